"""Adjustment factors and their application: hand-worked events, identities, and a twin."""

from __future__ import annotations

import math
from datetime import date, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smallcaps_assets.domain.market.adjustment import (
    adjust_bars,
    adjustment_factors,
    factor_after,
    listings,
    split_factor_between,
    with_identity,
)
from smallcaps_assets_tests.domain.market_frames import (
    DAY,
    back,
    daily,
    dividends,
    factors,
    splits,
)

NEXT = DAY + timedelta(days=3)


def listed(*rows: tuple[str, str, date, date]) -> pl.DataFrame:
    return pl.DataFrame(
        rows,
        schema={
            "ticker": pl.String,
            "identity": pl.String,
            "first_date": pl.Date,
            "last_date": pl.Date,
        },
        orient="row",
    )


ONE = listed(("A", "X", back(50), NEXT))


def rows_of(frame: pl.DataFrame) -> list[dict]:
    return frame.to_dicts()


# listings ----------------------------------------------------------------------------------------
def test_listings_given_reuse_and_rename_makes_an_interval_for_each_run():
    rows = [("A", back(5), "X"), ("A", back(4), "X"), ("B", back(3), "X"), ("A", back(1), "Y")]
    tickers = pl.DataFrame(rows, schema=["ticker", "date", "identity"], orient="row")
    assert listings(tickers).rows() == [
        ("A", "X", back(5), back(4)),
        ("A", "Y", back(1), back(1)),
        ("B", "X", back(3), back(3)),
    ]


def test_listings_given_a_symbol_that_returns_makes_two_runs():
    rows = [("A", back(3), "X"), ("A", back(2), "Y"), ("A", back(1), "X")]
    tickers = pl.DataFrame(rows, schema=["ticker", "date", "identity"], orient="row")
    assert listings(tickers)["identity"].to_list() == ["X", "Y", "X"]


@settings(max_examples=40, deadline=None)
@given(owners=st.lists(st.sampled_from(["X", "Y", None]), max_size=12), lazy=st.booleans())
def test_listings_equal_the_runs_of_a_plain_loop(owners, lazy):
    expected: list[tuple] = []
    rows = []
    for n, owner in enumerate(owners):
        if owner is not None:
            day = back(20 - n)
            rows.append(("A", day, owner))
            first = expected.pop()[2] if expected and expected[-1][1] == owner else day
            expected.append(("A", owner, first, day))
    schema = {"ticker": pl.String, "date": pl.Date, "identity": pl.String}
    tickers = pl.DataFrame(rows, schema=schema, orient="row").reverse()
    assert listings(tickers.lazy() if lazy else tickers).rows() == expected


@pytest.mark.parametrize(
    ("day", "identity"),
    [
        (date(2024, 1, 1), "A"),  # before any listing: nobody's
        (date(2024, 1, 2), "X"),
        (date(2024, 1, 20), "X"),  # within ten days of the last session
        (date(2024, 1, 21), "A"),
        (date(2024, 3, 1), "Y"),
    ],
)
def test_with_identity_finds_the_company_of_the_day(day, identity):
    intervals = listed(
        ("A", "X", date(2024, 1, 2), date(2024, 1, 10)),
        ("A", "Y", date(2024, 3, 1), date(2024, 4, 1)),
    )
    frame = pl.DataFrame({"ticker": ["A", "B"], "date": [day, day]})
    assert with_identity(frame, intervals)["identity"].to_list() == [identity, "B"]


# factors -----------------------------------------------------------------------------------------
def test_adjustment_factors_given_reverse_split_multiplies_earlier_prices():
    result = adjustment_factors(splits(("A", DAY, 20, 1)), dividends(), daily([]), ONE)
    assert rows_of(result) == [
        {
            "ticker": "A",
            "effective_date": DAY,
            "identity": "X",
            "split_factor": 20.0,
            "dividend_factor": 1.0,
            "cash_amount": 0.0,
            "previous_close": None,
        }
    ]


def test_adjustment_factors_given_dividend_uses_the_close_before():
    closes = daily(
        [
            {"ticker": "A", "date": back(2), "close": 99.0},
            {"ticker": "A", "date": back(1), "close": 20.0},
            {"ticker": "A", "date": DAY, "close": 5.0},
        ]
    )
    (row,) = rows_of(adjustment_factors(splits(), dividends(("A", DAY, 1.0)), closes, ONE))
    assert (row["dividend_factor"], row["previous_close"]) == (0.95, 20.0)
    assert (row["cash_amount"], row["split_factor"]) == (1.0, 1.0)


def test_adjustment_factors_given_split_between_close_and_ex_date_rebases_the_close():
    closes = daily([{"ticker": "A", "date": back(3), "close": 20.0}])
    events = splits(("A", back(2), 1, 2), ("A", DAY, 1, 10))
    result = adjustment_factors(events, dividends(("A", DAY, 1.0)), closes, ONE)
    row = result.filter(pl.col("effective_date") == DAY).row(0, named=True)
    assert (row["previous_close"], row["dividend_factor"]) == (10.0, 0.9)
    assert row["split_factor"] == 0.1


def test_adjustment_factors_given_several_events_a_day_combines_them():
    closes = daily([{"ticker": "A", "date": back(1), "close": 10.0}])
    events = splits(("A", DAY, 1, 2), ("A", DAY, 1, 5), ("A", DAY, 0.5, 1))
    cash = dividends(("A", DAY, 0.5), ("A", DAY, 1.5))
    (row,) = rows_of(adjustment_factors(events, cash, closes, ONE))
    assert row["split_factor"] == pytest.approx(0.1)  # 0.5 for 1 repeats 1 for 2
    assert (row["cash_amount"], row["dividend_factor"]) == (2.0, 0.8)


@pytest.mark.parametrize("close", [None, 1.0, 0.9])
def test_adjustment_factors_given_no_usable_close_flags_the_dividend(close):
    closes = daily([{"ticker": "A", "date": back(1), "close": close}] if close else [])
    (row,) = rows_of(adjustment_factors(splits(), dividends(("A", DAY, 1.0)), closes, ONE))
    assert (row["dividend_factor"], row["previous_close"]) == (1.0, None)
    assert row["cash_amount"] == 1.0


def test_adjustment_factors_given_foreign_currency_leaves_it_out():
    cash = dividends(("A", DAY, 1.0), currency="CAD")
    assert adjustment_factors(splits(), cash, daily([]), ONE).is_empty()


def test_adjustment_factors_given_reused_symbol_separates_the_companies():
    intervals = listed(("A", "X", back(50), back(30)), ("A", "Y", back(5), DAY))
    events = splits(("A", back(40), 1, 2), ("A", back(2), 10, 1))
    closes = daily([{"ticker": "A", "date": back(31), "close": 20.0}])
    result = adjustment_factors(events, dividends(("A", back(5), 1.0)), closes, intervals)
    assert result.select("effective_date", "identity").rows() == [
        (back(40), "X"),
        (back(5), "Y"),
        (back(2), "Y"),
    ]
    assert result["previous_close"].to_list() == [None, None, None]


def test_adjustment_factors_given_split_under_both_symbols_of_a_rename_counts_it_once():
    intervals = listed(("OLD", "X", back(50), back(1)), ("NEW", "X", DAY, NEXT))
    events = splits(("OLD", DAY, 10, 1), ("NEW", DAY, 10, 1))
    (row,) = rows_of(adjustment_factors(events, dividends(), daily([]), intervals))
    assert (row["identity"], row["split_factor"]) == ("X", 10.0)


def test_adjustment_factors_given_rename_takes_the_close_under_the_old_symbol():
    intervals = listed(("OLD", "X", back(50), back(1)), ("NEW", "X", DAY, NEXT))
    closes = daily([{"ticker": "OLD", "date": back(1), "close": 8.0}])
    result = adjustment_factors(splits(), dividends(("NEW", DAY, 2.0)), closes, intervals)
    assert result["dividend_factor"].to_list() == [0.75]


def test_adjustment_factors_given_nothing_is_empty():
    assert adjustment_factors(splits(), dividends(), daily([]), ONE).is_empty()


# application -------------------------------------------------------------------------------------
EVENTS = factors(
    {"ticker": "A", "effective_date": back(1), "split_factor": 20.0},
    {"ticker": "A", "effective_date": back(1), "identity": "OTHER", "split_factor": 7.0},
    {"ticker": "A", "effective_date": DAY, "dividend_factor": 0.9, "cash_amount": 1.0},
    {"ticker": "A", "effective_date": NEXT, "split_factor": 0.5},
)
BARS = daily(
    [{"ticker": "A", "date": d, "close": 2.0, "volume": 600.0} for d in (back(2), back(1), DAY)]
).with_columns(identity=pl.lit("FIGI-A"))


def test_adjust_bars_applies_events_after_the_bar_up_to_as_of():
    result = adjust_bars(BARS, EVENTS, DAY)
    assert result["close"].to_list() == [40.0, 2.0, 2.0]
    assert result["vwap"].to_list() == [40.0, 2.0, 2.0]
    assert result["volume"].to_list() == [30.0, 600.0, 600.0]


def test_adjust_bars_of_summaries_leaves_no_price_and_no_volume_on_the_old_basis():
    lists = {"premarket_minutes": [[5, 9]], "premarket_minute_volumes": [[100.0, 500.0]]}
    volumes = {"volume": 900.0, "premarket_volume": 600.0, "minute_volume": 900.0}
    row = {"ticker": "A", "identity": "FIGI-A", "date": back(2), "first_price": 2.0, "close": 2.0}
    rows = pl.DataFrame({**{k: [v] for k, v in (row | volumes).items()}, **lists})
    result = adjust_bars(rows, EVENTS, DAY).row(0, named=True)
    assert (result["first_price"], result["close"], result["volume"]) == (40.0, 40.0, 45.0)
    assert result["premarket_minute_volumes"] == [5.0, 25.0]
    assert sum(result["premarket_minute_volumes"]) == result["premarket_volume"]
    assert result["premarket_minutes"] == [5, 9]


def test_adjust_bars_given_as_of_before_the_event_changes_nothing():
    assert adjust_bars(BARS, EVENTS, back(2)).equals(BARS)


def test_adjust_bars_given_dividends_adjusts_prices_and_no_volume():
    result = adjust_bars(BARS, EVENTS, NEXT, dividends=True)
    assert result["close"].to_list() == pytest.approx([18.0, 0.9, 1.0])
    assert result["volume"].to_list() == [60.0, 1200.0, 1200.0]


def test_split_factor_between_keeps_the_row_order():
    frame = BARS.reverse()
    assert split_factor_between(frame, EVENTS, NEXT).to_list() == [0.5, 0.5, 10.0]


@settings(max_examples=50, deadline=None)
@given(
    events=st.lists(
        st.tuples(st.integers(0, 20), st.sampled_from("XY"), st.sampled_from([0.5, 3.0, 20.0])),
        max_size=8,
    ),
    bars=st.lists(st.tuples(st.integers(0, 20), st.sampled_from("XYZ")), max_size=12),
    until=st.integers(0, 20),
)
def test_factor_after_equals_a_plain_product(events, bars, until):
    origin = date(2024, 1, 1)
    table = factors(
        *(
            {
                "ticker": f"T{n}",
                "identity": who,
                "effective_date": origin + timedelta(days=at),
                "split_factor": f,
            }
            for n, (at, who, f) in enumerate(events)
        )
    )
    frame = pl.DataFrame(
        [(origin + timedelta(days=at), who) for at, who in bars],
        schema={"date": pl.Date, "identity": pl.String},
        orient="row",
    )
    expected = [
        math.prod(f for at, who, f in events if who == owner and since < at <= until)
        for since, owner in bars
    ]
    result = factor_after(frame, table, origin + timedelta(days=until)).to_list()
    assert result == pytest.approx(expected)
