"""Findings on facts: look-ahead, impossible volumes, and ratios that halts have bent."""

from __future__ import annotations

from datetime import UTC, date, datetime

import polars as pl
import pytest

from smallcaps_assets.domain.market.calendar import session_hours
from smallcaps_assets.domain.quality.feed_checks import (
    halts_have_ended,
    known_not_before,
    long_halts,
    short_volumes_fit,
    volume_after_halts,
)
from smallcaps_assets.schemas.table import INSTANT

DAY = date(2024, 12, 13)
MIDNIGHT = datetime(2024, 12, 13, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("short", "exempt", "is_good"),
    [(5.0, 1.0, True), (5.0, None, True), (11.0, 1.0, False), (5.0, 6.0, False)],
)
def test_short_volumes_fit(short: float, exempt: float | None, is_good: bool) -> None:
    frame = pl.DataFrame(
        {"short_volume": [short], "short_exempt_volume": [exempt], "total_volume": [10.0]},
        schema_overrides={"short_exempt_volume": pl.Float64},
    )
    assert short_volumes_fit(frame).is_good is is_good


@pytest.mark.parametrize(("hour", "is_good"), [(5, True), (4, False)])
def test_known_not_before_the_new_york_day(hour: int, is_good: bool) -> None:
    known = pl.Series("known_at", [MIDNIGHT.replace(hour=hour)], dtype=INSTANT)
    frame = pl.DataFrame({"date": [DAY]}).with_columns(known)
    assert known_not_before(frame, "date").is_good is is_good


def halts(*rows: tuple[str, int, int | None]) -> pl.DataFrame:
    """Ticker, start and end in hours of UTC; the session is from 14:30 to 21:00."""
    moments = [
        (ticker, *(None if hour is None else MIDNIGHT.replace(hour=hour) for hour in hours))
        for ticker, *hours in rows
    ]
    schema = {"ticker": pl.String, "halt_start": INSTANT, "halt_end": INSTANT}
    return pl.DataFrame(moments, schema=schema, orient="row")


def test_long_halts_are_those_of_half_a_session() -> None:
    feed = halts(("A", 15, None), ("B", 15, 16), ("C", 9, 18), ("D", 15, 17), ("D", 18, 20))
    assert long_halts(feed, session_hours(DAY)) == ["A", "C", "D"]
    assert halts_have_ended(feed).found.endswith(": A")


def test_volume_after_halts_names_high_ratios_only() -> None:
    metrics = pl.DataFrame({"ticker": ["A", "B", "C"], "rvol30": [3.0, 1.0, 9.0]})
    found = volume_after_halts(metrics, {"A", "B"})
    assert not found.is_good
    assert not found.is_error
    assert found.found.endswith("longer: A")
    assert volume_after_halts(metrics, {"B"}).is_good
