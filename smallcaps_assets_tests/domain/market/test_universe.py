"""The universe: who is in, on which share basis, and that the future changes nothing."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest

from smallcaps_assets.domain.market.universe import universe
from smallcaps_assets.schemas.tables import TABLES
from smallcaps_assets.settings import UniverseSettings
from smallcaps_assets_tests.domain.market_frames import (
    DAY,
    back,
    daily,
    days_before,
    dividends,
    frame,
    splits,
    tickers,
)

DEFAULTS = UniverseSettings()
AS_OF = days_before(92)
AFTER = DAY + timedelta(days=1)


def details(*rows: dict) -> pl.DataFrame:
    return frame(
        "ticker_details", list(rows), month=DAY.replace(day=1), as_of=AS_OF, is_lagged=True
    )


def closes(**prices: float) -> pl.DataFrame:
    return daily([{"ticker": t, "date": back(1), "close": p} for t, p in prices.items()])


def universe_of(listed=None, known=None, split=None, paid=None, bars=None, settings=DEFAULTS):
    return universe(
        tickers([{"ticker": "A"}]) if listed is None else listed,
        details({"ticker": "A", "shares_outstanding": 1e8}) if known is None else known,
        splits() if split is None else split,
        dividends() if paid is None else paid,
        closes(A=10.0) if bars is None else bars,
        settings,
        DAY,
    )


def row_of(**inputs) -> dict:
    return universe_of(**inputs).row(0, named=True)


@pytest.mark.parametrize(
    ("given", "is_in"),
    [
        ({}, True),
        ({"type": "ADRC"}, False),
        ({"type": "ETF"}, False),
        ({"type": None}, False),
        ({"primary_exchange": "XASE"}, True),
        ({"primary_exchange": "ARCX"}, False),
        ({"primary_exchange": None}, False),
        ({"ticker": "ZVZZT"}, False),
        ({"ticker": "ZTS"}, True),
        ({"date": back(1)}, False),
    ],
)
def test_universe_keeps_common_stock_of_the_exchanges(given, is_in):
    assert universe_of(listed=tickers([{"ticker": "A", **given}])).height == is_in


def test_universe_given_adrc_in_the_settings_admits_them():
    settings = UniverseSettings(types=("CS", "ADRC"))
    listed = tickers([{"ticker": "A", "type": "ADRC"}])
    assert universe_of(listed=listed, settings=settings).height == 1


@pytest.mark.parametrize(("shares", "is_in"), [(199_999_999, True), (2e8, False)])
def test_universe_given_the_market_cap_keeps_those_below_the_limit(shares, is_in):
    known = details({"ticker": "A", "shares_outstanding": float(shares)})
    assert universe_of(known=known).height == is_in


def test_universe_given_known_size_states_it():
    row = row_of()
    assert (row["market_cap"], row["shares_outstanding"]) == (1e9, 1e8)
    assert (row["previous_close"], row["is_market_cap_known"]) == (10.0, True)
    assert row["is_shares_lagged"] is True


@pytest.mark.parametrize("missing", ["known", "bars"])
def test_universe_given_unknown_size_keeps_and_flags(missing):
    empty = {"known": details(), "bars": TABLES["daily_bars"].empty()}
    row = row_of(**{missing: empty[missing]})
    assert (row["market_cap"], row["is_market_cap_known"]) == (None, False)


def test_universe_given_split_on_the_session_moves_close_and_shares():
    row = row_of(split=splits(("A", DAY, 20, 1)))
    assert row["previous_close"] == 10.0
    assert row["shares_outstanding"] == 5e6
    assert row["market_cap"] == 1e9


def test_universe_given_split_before_the_previous_close_moves_the_shares_only():
    row = row_of(split=splits(("A", back(20), 20, 1)))
    assert (row["shares_outstanding"], row["market_cap"]) == (5e6, 5e7)


def test_universe_given_split_before_the_details_moves_nothing():
    assert row_of(split=splits(("A", AS_OF, 20, 1)))["market_cap"] == 1e9


def test_universe_takes_the_latest_bar_before_the_session():
    bars = daily(
        [
            {"ticker": "A", "date": back(2), "close": 3.0},
            {"ticker": "A", "date": back(1), "close": 4.0},
            {"ticker": "A", "date": DAY, "close": 5.0},
        ]
    )
    assert row_of(bars=bars)["previous_close"] == 4.0


def test_universe_given_details_of_another_company_ignores_them():
    listed = tickers([{"ticker": "A", "composite_figi": "NEW", "cik": "1"}])
    known = details({"ticker": "A", "shares_outstanding": 1e8, "composite_figi": "OLD", "cik": "1"})
    row = row_of(listed=listed, known=known)
    assert (row["shares_outstanding"], row["is_shares_lagged"]) == (None, None)


def test_universe_counts_events_since_the_listing_up_to_the_session():
    listing = days_before(100)
    known = details({"ticker": "A", "shares_outstanding": 1e6, "list_date": listing})
    events = [("A", days_before(101)), ("A", listing), ("A", DAY), ("A", AFTER)]
    row = row_of(
        known=known,
        split=splits(*((*e, 2, 1) for e in events), ("A", DAY, 4, 2)),
        paid=dividends(*((*e, 0.1) for e in events), ("A", DAY, 0.2)),
    )
    assert (row["splits_count"], row["dividends_count"]) == (2, 3)


def test_universe_ignores_the_future():
    later = details(
        {"ticker": "A", "shares_outstanding": 7.0, "as_of": AFTER},
        {"ticker": "A", "shares_outstanding": 7.0, "month": AFTER, "as_of": AFTER},
        {"ticker": "A", "shares_outstanding": 7.0, "month": AFTER},
    )
    plain = universe_of()
    assert plain.equals(
        universe_of(
            known=pl.concat([details({"ticker": "A", "shares_outstanding": 1e8}), later]),
            split=splits(("A", AFTER, 20, 1)),
            paid=dividends(("A", AFTER, 1.0)),
            bars=pl.concat([closes(A=10.0), daily([{"ticker": "A", "date": DAY, "close": 77.0}])]),
        )
    )
