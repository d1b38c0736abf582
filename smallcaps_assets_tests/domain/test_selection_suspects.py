"""Suspect actions at the intraday trigger: judged at its minute, never by the close."""

from __future__ import annotations

import polars as pl
import pytest

from smallcaps_assets.domain.calendar import session_hours
from smallcaps_assets.domain.selection import watchlist
from smallcaps_assets.schemas.tables import TABLES
from smallcaps_assets.settings import SelectionSettings
from smallcaps_assets_tests.domain.market_frames import (
    DAY,
    frame,
    instant,
    members,
    minute,
    minutes,
)


def triggered(*rows: dict, mean_volume: float = 250_000.0, **values) -> pl.DataFrame:
    """The watchlist of a ticker whose close makes it suspect, previous close 6."""
    row = {
        "date": DAY,
        "ticker": "A",
        "identity": "FIGI-A",
        "close": 1.9,
        "previous_close": 6.0,
        "pct_change": 1.9 / 6.0 - 1,
        "split_factor": 1.0,
        "mean_volume30": mean_volume,
        "rvol30": 20.0,
        "dollar_volume": 1e7,
        "is_suspect_action": True,
        "is_ssr_carried": False,
        **values,
    }
    metrics, universe = frame("daily_metrics", [row]), members("A")
    earlier = TABLES["watchlist"].empty(), TABLES["runners"].empty()
    settings = SelectionSettings()
    return watchlist(metrics, minutes(*rows), universe, *earlier, session_hours(DAY), settings)


def test_trigger_given_a_day_that_goes_on_to_a_third_is_kept():
    """Only its close is suspect: leaving it out would keep the days that recover."""
    result = triggered(minute("A", "10:00", 5.0, 2e6), minute("A", "15:00", 1.9, 2e6))
    assert result.select("rule", "known_at").rows() == [("intraday_trigger", instant("10:01"))]


@pytest.mark.parametrize(
    ("price", "volume", "is_in"),
    [
        (18.1, 2e6, False),  # beyond 3
        (17.9, 2e6, True),
        (1.99, 4e6, False),  # below a third
        (3.0, 900_000.0 * 2, True),  # a half, but on more than four times the normal volume
    ],
)
def test_trigger_given_a_suspect_minute_is_out(price, volume, is_in):
    assert triggered(minute("A", "09:30", price, volume)).height == is_in


@pytest.mark.parametrize(("price", "is_in"), [(3.0, False), (3.08, False), (3.1, True)])
def test_trigger_given_half_the_price_on_twice_the_volume_is_out(price, is_in):
    result = triggered(minute("A", "09:30", price, 2e6), mean_volume=800_000.0)
    assert result.height == is_in


def test_trigger_given_a_suspect_first_minute_stays_out_when_the_price_comes_back():
    rows = minute("A", "09:30", 18.5, 2e6), minute("A", "09:31", 9.0, 2e6)
    assert triggered(*rows).is_empty()


def test_trigger_given_a_known_split_is_not_suspect():
    assert triggered(minute("A", "09:30", 18.5, 2e6), split_factor=20.0).height == 1
