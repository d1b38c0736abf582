"""Session summaries and daily metrics: hand-worked values, edges, and brute-force twins."""

from __future__ import annotations

import math
from datetime import date, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smallcaps_assets.domain.market.calendar import session_hours
from smallcaps_assets.domain.market.metrics import daily_metrics, session_summary
from smallcaps_assets.settings import MetricsSettings
from smallcaps_assets_tests.domain.market_frames import (
    DAY,
    SESSIONS,
    back,
    daily,
    factors,
    members,
    minute,
    minutes,
    quiet_history,
    summaries,
    summary,
)

HOURS = session_hours(DAY)
DEFAULTS = MetricsSettings()


def metrics_of(rows: list[dict], *events: dict, universe: pl.DataFrame | None = None) -> dict:
    """The single metrics row of DAY."""
    result = daily_metrics(summaries(*rows), factors(*events), universe, SESSIONS, DAY, DEFAULTS)
    return result.row(0, named=True)


# session_summary ---------------------------------------------------------------------------------
def test_session_summary_given_daily_and_minutes_takes_close_and_dollars_from_daily():
    bars = daily(
        [
            {
                "ticker": "A",
                "open": 9.0,
                "high": 12.0,
                "low": 8.0,
                "close": 11.0,
                "vwap": 10.0,
                "volume": 5000.0,
                "transactions": 40,
            }
        ]
    )
    mins = minutes(
        minute("A", "08:00", 9.5, 300, high=9.9),
        minute("A", "09:29", 9.1, 200),
        minute("A", "09:30", 9.0, 1000),
        minute("A", "15:59", 10.5, 1500),
        minute("A", "16:00", 11.5, 500),
    )
    row = session_summary(members("A"), bars, mins, HOURS).row(0, named=True)
    assert (row["close"], row["open"], row["high"], row["low"]) == (11.0, 9.0, 12.0, 8.0)
    assert (row["close_source"], row["volume_source"]) == ("daily", "daily")
    assert (row["volume"], row["dollar_volume"]) == (5000.0, 50_000.0)
    assert row["dollar_volume_source"] == "daily_vwap"
    assert (row["premarket_high"], row["premarket_volume"]) == (9.9, 500.0)
    assert (row["premarket_minutes"], row["premarket_minute_volumes"]) == ([240, 329], [300, 200])
    assert row["first_price"] == 9.5
    assert (row["minute_volume"], row["minute_count"]) == (3500.0, 5)


def test_session_summary_given_no_daily_bar_closes_with_the_last_regular_minute():
    mins = minutes(
        minute("A", "09:29", 9.1, 200),
        minute("A", "09:31", 9.0, 100, open=8.8, high=9.3, low=8.7, transactions=3),
        minute("A", "15:58", 10.5, 300, transactions=4),
        minute("A", "16:00", 20.0, 400),
    )
    row = session_summary(members("A"), daily([]), mins, HOURS).row(0, named=True)
    assert (row["open"], row["high"], row["low"], row["close"]) == (8.8, 10.5, 8.7, 10.5)
    assert row["close_source"] == row["volume_source"] == "minute"
    assert row["volume"] == 1000.0
    assert row["dollar_volume"] == pytest.approx(9.1 * 200 + 9.0 * 100 + 10.5 * 300 + 20 * 400)
    assert row["dollar_volume_source"] == "minute_typical"
    assert row["vwap"] == pytest.approx(row["dollar_volume"] / 1000)


def test_session_summary_given_daily_without_vwap_sums_the_minutes():
    bars = daily([{"ticker": "A", "close": 10.0, "vwap": None, "volume": 700.0}])
    mins = minutes(
        minute("A", "09:30", 12.0, 100, high=15.0, low=9.0), minute("A", "10:00", 10.0, 200)
    )
    row = session_summary(members("A"), bars, mins, HOURS).row(0, named=True)
    assert row["dollar_volume"] == pytest.approx(12.0 * 100 + 10.0 * 200)
    assert row["dollar_volume_source"] == "minute_typical"
    assert row["close_source"] == "daily"


@pytest.mark.parametrize("bars", [daily([]), daily([{"ticker": "A", "vwap": None}])])
def test_session_summary_given_minutes_with_and_without_a_vwap_is_the_same(bars):
    mins = minutes(
        minute("A", "09:30", 12.0, 100, high=15.0, low=9.5), minute("A", "10:00", 10.0, 200)
    )
    with_vwap = mins.with_columns(vwap=pl.lit(11.0))
    plain = session_summary(members("A"), bars, mins, HOURS)
    assert plain.equals(session_summary(members("A"), bars, with_vwap, HOURS))


def test_session_summary_given_daily_without_vwap_and_no_minutes_uses_the_typical_price():
    bars = daily([{"ticker": "A", "high": 12.0, "low": 9.0, "close": 9.0, "vwap": None}])
    row = session_summary(members("A"), bars, None, HOURS).row(0, named=True)
    assert (row["dollar_volume"], row["dollar_volume_source"]) == (10_000.0, "daily_typical")


@pytest.mark.parametrize("mins", [None, minutes()])
def test_session_summary_given_no_minutes_leaves_premarket_null(mins):
    row = session_summary(members("A"), daily([{"ticker": "A"}]), mins, HOURS).row(0, named=True)
    assert row["premarket_high"] is None
    assert row["premarket_volume"] is None
    assert row["premarket_minutes"] is None
    assert row["first_price"] == row["open"]
    assert row["minute_volume"] is None


def test_session_summary_given_regular_minutes_only_has_zero_premarket_volume():
    mins = minutes(minute("A", "09:30", 10.0, 100))
    row = session_summary(members("A"), daily([{"ticker": "A"}]), mins, HOURS).row(0, named=True)
    assert (row["premarket_high"], row["premarket_volume"]) == (None, 0.0)
    assert (row["premarket_minutes"], row["first_price"]) == ([], row["open"])


def test_session_summary_given_early_close_ends_regular_minutes_at_thirteen():
    day = date(2023, 11, 24)
    mins = minutes(
        minute("A", "12:59", 5.0, 100, date=day), minute("A", "13:00", 9.0, 100, date=day)
    )
    universe = members("A", day=day)
    row = session_summary(universe, daily([]), mins, session_hours(day)).row(0, named=True)
    assert row["close"] == 5.0


def test_session_summary_leaves_out_strangers_and_the_untraded():
    bars = daily([{"ticker": "A"}, {"ticker": "ZZZ"}])
    mins = minutes(minute("C", "08:00", 1.0, 5))
    result = session_summary(members("A", "B", "C"), bars, mins, HOURS)
    assert result["ticker"].to_list() == ["A"]


# previous_close ----------------------------------------------------------------------------------
def test_daily_metrics_given_plain_history_computes_changes():
    row = metrics_of([*quiet_history("A", 1), summary("A", DAY, 11.5, 3000, open=12.0)])
    assert (row["previous_close"], row["previous_close_date"]) == (10.0, back(1))
    assert row["pct_change"] == pytest.approx(0.15)
    assert row["gap"] == pytest.approx(0.2)
    assert row["log_return"] == pytest.approx(math.log(1.15))
    assert (row["split_factor"], row["previous_close_reason"]) == (1.0, None)


def test_daily_metrics_given_reverse_split_does_not_see_a_rise():
    split = {"ticker": "A", "effective_date": DAY, "split_factor": 20.0}
    history = quiet_history("A", 12, close=0.5, volume=20_000)
    row = metrics_of([*history, summary("A", DAY, 10.5, 2000)], split)
    assert row["previous_close"] == 10.0
    assert row["pct_change"] == pytest.approx(0.05)
    assert (row["split_factor"], row["jump_ratio"]) == (20.0, None)
    assert (row["mean_volume30"], row["rvol30"]) == (1000.0, 2.0)


def test_daily_metrics_given_rename_joins_by_identity():
    old = quiet_history("OLD", 12, identity="FIGI-X")
    row = metrics_of([*old, summary("NEW", DAY, 12.0, 3000, identity="FIGI-X")])
    assert (row["ticker"], row["previous_close"], row["rvol30"]) == ("NEW", 10.0, 3.0)


def test_daily_metrics_given_reused_symbol_does_not_join():
    old = quiet_history("A", 12, identity="FIGI-OLD")
    row = metrics_of([*old, summary("A", DAY, 12.0, 3000, identity="FIGI-NEW")])
    assert (row["previous_close"], row["pct_change"], row["rvol30"]) == (None, None, None)
    assert row["previous_close_reason"] == "new listing"
    assert row["volume_sessions"] == 0


def test_daily_metrics_given_bare_symbol_restarts_at_the_listing_date():
    history = quiet_history("A", 12, identity="A")
    today = summary("A", DAY, 12.0, 3000, identity="A")
    universe = members("A", list_date=back(2)).with_columns(identity=pl.lit("A"))
    row = metrics_of([*history, today], universe=universe)
    assert (row["previous_close"], row["volume_sessions"]) == (10.0, 2)
    universe = members("A", list_date=DAY).with_columns(identity=pl.lit("A"))
    assert metrics_of([*history, today], universe=universe)["previous_close"] is None


def test_daily_metrics_given_two_share_classes_of_one_identity_keeps_them_apart():
    rows = [
        summary(symbol, day, close, 1000, identity="CIK-1")
        for day in (back(1), DAY)
        for symbol, close in (("X.A", 10.0), ("X.B", 500.0))
    ]
    result = daily_metrics(summaries(*rows), factors(), None, SESSIONS, DAY, DEFAULTS)
    assert result["previous_close"].to_list() == [10.0, 500.0]


@pytest.mark.parametrize(("age", "expected"), [(1, 8.0), (10, 8.0), (11, None)])
def test_daily_metrics_previous_close_is_at_most_ten_sessions_old(age, expected):
    row = metrics_of([summary("A", back(age), 8.0, 100), summary("A", DAY, 9.0, 100)])
    assert row["previous_close"] == expected
    if expected is None:
        assert row["previous_close_reason"] == "last close older than 10 sessions"
        assert row["previous_close_date"] is None


def test_daily_metrics_given_first_session_of_the_lake_says_so():
    row = metrics_of([summary("A", DAY, 9.0, 100)])
    assert row["previous_close_reason"] == "no earlier session at hand"


@pytest.mark.parametrize(("cash", "base"), [(0.49, 10.0), (0.5, 9.5), (3.0, 7.0)])
def test_daily_metrics_subtracts_dividends_of_five_percent(cash, base):
    event = {"ticker": "A", "effective_date": DAY, "cash_amount": cash}
    row = metrics_of([*quiet_history("A", 1), summary("A", DAY, 9.5, 100)], event)
    assert row["previous_close"] == pytest.approx(base)
    assert row["cash_dividend"] == cash


def test_daily_metrics_given_dividend_above_the_price_has_no_base():
    event = {"ticker": "A", "effective_date": DAY, "cash_amount": 11.0}
    row = metrics_of([*quiet_history("A", 1), summary("A", DAY, 9.5, 100)], event)
    assert row["previous_close"] is None
    assert row["previous_close_reason"] == "dividend not below the last close"


# relative volume ---------------------------------------------------------------------------------
@pytest.mark.parametrize(("count", "expected"), [(9, None), (10, 5.0), (30, 5.0)])
def test_daily_metrics_relative_volume_needs_ten_sessions(count, expected):
    row = metrics_of([*quiet_history("A", count), summary("A", DAY, 10.0, 5000)])
    assert (row["rvol30"], row["volume_sessions"]) == (expected, count)


def test_daily_metrics_mean_takes_the_latest_thirty_and_not_today():
    old = [summary("A", back(n), 10.0, 1_000_000) for n in range(60, 30, -1)]
    row = metrics_of([*old, *quiet_history("A", 30), summary("A", DAY, 10.0, 4000)])
    assert (row["mean_volume30"], row["rvol30"], row["volume_sessions"]) == (1000.0, 4.0, 30)


def test_daily_metrics_given_halted_sessions_skips_them():
    traded = [n for n in range(45, 0, -1) if n % 3]
    rows = [summary("A", back(n), 10.0, 1000.0) for n in traded]
    untraded = [summary("A", back(n), 10.0, 0.0) for n in range(45, 0, -1) if n % 3 == 0]
    row = metrics_of([*rows, *untraded, summary("A", DAY, 10.0, 2000)])
    assert (row["mean_volume30"], row["rvol30"]) == (1000.0, 2.0)


def test_daily_metrics_looks_back_sixty_sessions_only():
    rows = [summary("A", back(n), 10.0, 1000.0) for n in range(61, 51, -1)]
    row = metrics_of([*rows, summary("A", DAY, 10.0, 2000)])
    assert (row["rvol30"], row["volume_sessions"]) == (None, 9)


def test_daily_metrics_mean_uses_the_same_volume_source():
    foreign = quiet_history("A", 15, volume=9e6, volume_source="minute")
    own = [summary("A", back(n), 10.0, 1000.0) for n in range(27, 15, -1)]
    row = metrics_of([*foreign, *own, summary("A", DAY, 10.0, 3000)])
    assert (row["mean_volume30"], row["rvol30"], row["volume_sessions"]) == (1000.0, 3.0, 12)


def test_daily_metrics_premarket_and_twenty_session_figures():
    rows = [
        summary("A", back(n), 10.0, 1000.0 + n, premarket_volume=None if n > 12 else 50.0)
        for n in range(30, 0, -1)
    ]
    row = metrics_of([*rows, summary("A", DAY, 10.0, 3000, premarket_volume=200.0)])
    assert (row["mean_premarket_volume30"], row["premarket_rvol30"]) == (50.0, 4.0)
    assert row["mean_volume20"] == pytest.approx(1010.5)
    assert row["median_dollar_volume20"] == pytest.approx(10_105.0)


def test_daily_metrics_given_no_premarket_before_has_no_ratio():
    history = quiet_history("A", 12, premarket_volume=0.0)
    row = metrics_of([*history, summary("A", DAY, 10.0, 3000, premarket_volume=200.0)])
    assert (row["mean_premarket_volume30"], row["premarket_rvol30"]) == (0.0, None)


# short-sale restriction --------------------------------------------------------------------------
@pytest.mark.parametrize(("low", "carried"), [(2.97, True), (2.98, False)])
def test_daily_metrics_carries_the_short_sale_restriction(low, carried):
    rows = [
        summary("A", back(2), 3.30, 100),
        summary("A", back(1), 3.2, 100, low=low),
        summary("A", DAY, 3.2, 100),
    ]
    assert metrics_of(rows)["is_ssr_carried"] is carried


def test_daily_metrics_short_sale_reference_is_on_its_own_share_basis():
    split = {"ticker": "A", "effective_date": back(1), "split_factor": 10.0}
    rows = [
        summary("A", back(2), 1.0, 100),
        summary("A", back(1), 9.5, 100, low=9.1),
        summary("A", DAY, 9.5, 100),
    ]
    assert metrics_of(rows, split)["is_ssr_carried"] is False
    lower = [rows[0], {**rows[1], "low": 9.0}, rows[2]]
    assert metrics_of(lower, split)["is_ssr_carried"] is True


@pytest.mark.parametrize(("low", "carried"), [(0.95, False), (0.90, True)])
def test_daily_metrics_short_sale_low_given_a_split_today_is_on_the_basis_of_its_reference(
    low, carried
):
    split = {"ticker": "A", "effective_date": DAY, "split_factor": 10.0}
    rows = [
        summary("A", back(2), 1.0, 100),
        summary("A", back(1), 1.0, 100, low=low),
        summary("A", DAY, 10.0, 100),
    ]
    assert metrics_of(rows, split)["is_ssr_carried"] is carried


# no look-ahead, and the twin ---------------------------------------------------------------------
def test_daily_metrics_ignores_everything_later():
    rows = [*quiet_history("A", 12), summary("A", DAY, 11.5, 3000)]
    later = [summary("A", DAY + timedelta(days=n), 99.0, 9e9) for n in (3, 4)]
    split = {"ticker": "A", "effective_date": DAY + timedelta(days=3), "split_factor": 20.0}
    cash = {"ticker": "A", "effective_date": DAY + timedelta(days=4), "cash_amount": 9.0}
    assert metrics_of([*rows, *later], split, cash) == metrics_of(rows)


def test_daily_metrics_given_many_tickers_in_any_order_keeps_each_apart():
    rows = [
        *quiet_history("A", 12, close=10.0, volume=1000),
        *quiet_history("B", 11, close=4.0, volume=500, volume_source="minute"),
        summary("A", DAY, 11.0, 2000),
        summary("B", DAY, 5.0, 2500, volume_source="minute"),
        summary("C", DAY, 7.0, 10),
    ]
    split = factors({"ticker": "B", "effective_date": DAY, "split_factor": 1.25})
    args = (split, None, SESSIONS, DAY, DEFAULTS)
    result = daily_metrics(summaries(*rows), *args)
    assert result.select("ticker", "previous_close", "rvol30").rows() == [
        ("A", 10.0, 2.0),
        ("B", 5.0, 6.25),
        ("C", None, None),
    ]
    assert result.equals(daily_metrics(summaries(*reversed(rows)), *args))


history_strategy = st.lists(
    st.tuples(
        st.integers(1, 66),
        st.sampled_from([0.0, 100.0, 250.0, 1000.0]),
        st.sampled_from([1.0, 2.5, 40.0]),
        st.sampled_from(["daily", "daily", "daily", "minute"]),
    ),
    unique_by=lambda row: row[0],
    max_size=66,
)
split_strategy = st.dictionaries(st.integers(-2, 66), st.sampled_from([0.5, 2.0, 20.0]), max_size=3)


@settings(max_examples=60, deadline=None)
@given(history=history_strategy, events=split_strategy)
def test_daily_metrics_equals_a_plain_loop(history, events):
    def factor(ages_back: int) -> float:
        return math.prod(f for age, f in events.items() if 0 <= age < ages_back)

    traded = sorted((h for h in history if h[1] > 0 and h[0] <= 60), key=lambda h: h[0])
    same = [h for h in traded if h[3] == "daily"][:30]
    volumes = [volume / factor(age) for age, volume, _, _ in same]
    rows = [summary("A", back(a), c, v, volume_source=s) for a, v, c, s in history]
    splits = [
        {"ticker": "A", "effective_date": back(age), "split_factor": f} for age, f in events.items()
    ]
    row = metrics_of([*rows, summary("A", DAY, 10.0, 5000)], *splits)
    if traded and traded[0][0] <= 10:
        assert row["previous_close"] == pytest.approx(traded[0][2] * factor(traded[0][0]))
    else:
        assert row["previous_close"] is None
    assert row["volume_sessions"] == len(same)
    if len(same) >= 10:
        assert row["rvol30"] == pytest.approx(5000 / (sum(volumes) / len(volumes)))
    else:
        assert row["rvol30"] is None
