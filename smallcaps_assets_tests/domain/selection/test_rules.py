"""Selection rules at their edges, the moment each was known, runners, registry and density."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smallcaps_assets.domain.market.calendar import session_hours
from smallcaps_assets.domain.market.metrics import daily_metrics, session_summary
from smallcaps_assets.domain.selection.rules import density, runners, ticker_sessions, watchlist
from smallcaps_assets.schemas.tables import TABLES
from smallcaps_assets.settings import MetricsSettings, SelectionSettings
from smallcaps_assets_tests.domain.market_frames import (
    DAY,
    SESSIONS,
    back,
    daily,
    factors,
    frame,
    instant,
    members,
    minute,
    minutes,
    quiet_history,
    summaries,
)

HOURS = session_hours(DAY)
DEFAULTS = SelectionSettings()
NO_WATCHLIST = TABLES["watchlist"].empty()
NO_RUNNERS = TABLES["runners"].empty()


def metric(ticker: str = "A", **values) -> dict:
    """A row that meets no rule but is judgeable by all."""
    return {
        "date": DAY,
        "ticker": ticker,
        "identity": f"FIGI-{ticker}",
        "open": 10.0,
        "high": 10.0,
        "low": 10.0,
        "close": 10.0,
        "volume": 1e6,
        "dollar_volume": 1e7,
        "previous_close": 10.0,
        "split_factor": 1.0,
        "cash_dividend": 0.0,
        "pct_change": 0.0,
        "gap": 0.0,
        "volume_sessions": 30,
        "mean_volume30": 250_000.0,
        "rvol30": 4.0,
        "is_suspect_at_open": False,
        "is_suspect_at_close": False,
        "is_ssr_carried": False,
        **values,
    }


def select(*rows: dict, mins=None, universe=None, previous=NO_WATCHLIST, ran=NO_RUNNERS, **changes):
    metrics = frame("daily_metrics", list(rows))
    chosen = members("A", "B") if universe is None else universe
    rules = SelectionSettings(**changes)
    hours = session_hours(metrics["date"][0]) if rows else HOURS
    return watchlist(metrics, mins, chosen, previous, ran, hours, rules)


def watched(rule: str, day: date, ticker: str = "A", **values) -> dict:
    return {
        "date": day,
        "ticker": ticker,
        "identity": f"FIGI-{ticker}",
        "rule": rule,
        "known_at": instant("16:00", day),
        "price": 5.0,
        **values,
    }


# info_rich ---------------------------------------------------------------------------------------
RICH = {"close": 11.5, "pct_change": 11.5 / 10 - 1, "rvol30": 2.0, "dollar_volume": 5e6}


def test_info_rich_is_known_at_the_close_with_what_it_was_judged_on():
    row = select(metric(**RICH)).row(0, named=True)
    assert row == {
        "date": DAY,
        "ticker": "A",
        "rule": "info_rich",
        "identity": "FIGI-A",
        "known_at": instant("16:00"),
        "price": 11.5,
        "change": 11.5 / 10 - 1,
        "relative_volume": 2.0,
        "dollar_volume": 5e6,
    }


@pytest.mark.parametrize(
    ("change", "is_in"),
    [
        ({}, True),
        ({"pct_change": 2.3 / 2.0 - 1}, True),  # 0.1499999999999999 in doubles
        ({"pct_change": -0.15}, True),
        ({"pct_change": 0.1499}, False),
        ({"rvol30": 1.99}, False),
        ({"rvol30": None}, False),
        ({"pct_change": None}, False),
        ({"dollar_volume": 4_999_999.0}, False),
        ({"close": 0.5}, True),
        ({"close": 0.49}, False),
        ({"close": 20.0}, True),
        ({"close": 20.01}, False),
        ({"is_suspect_at_close": True}, False),
        ({"is_suspect_at_open": True}, True),
        ({"ticker": "STRANGER"}, False),
    ],
)
def test_info_rich_thresholds_are_inclusive(change, is_in):
    assert select(metric(**{**RICH, **change})).height == is_in


def test_info_rich_on_an_early_close_is_known_at_thirteen():
    day = date(2023, 11, 24)
    row = metric(**RICH, date=day)
    result = select(row, universe=members("A", day=day))
    assert result["known_at"].to_list() == [instant("13:00", day)]


# intraday_trigger --------------------------------------------------------------------------------
FADER = (
    minute("A", "09:30", 10.0, 300_000),
    minute("A", "09:31", 12.0, 100_000),
    minute("A", "09:32", 12.0, 99_999),
    minute("A", "09:33", 12.0, 1),
    minute("A", "09:34", 10.1, 10),
)


def test_intraday_trigger_given_fader_is_its_only_rule():
    row = select(metric(close=10.1, pct_change=0.01), mins=minutes(*FADER)).row(0, named=True)
    assert row["rule"] == "intraday_trigger"
    assert row["known_at"] == instant("09:34")  # the end of the 09:33 minute
    assert (row["price"], row["change"]) == (12.0, pytest.approx(0.2))
    assert row["relative_volume"] == 2.0
    assert row["dollar_volume"] == 3_000_000 + 1_200_000 + 1_199_988 + 12


def by_time_of_day(curves: dict[str, float], mins=FADER) -> pl.DataFrame:
    """With so many shares usual by the end of every minute, of some tickers."""
    usual = {ticker: np.full(960, shares) for ticker, shares in curves.items()}
    metrics = frame("daily_metrics", [metric(close=10.1, pct_change=0.01)])
    rules = SelectionSettings(volume_at_time=True)
    given = (metrics, minutes(*mins), members("A"), NO_WATCHLIST, NO_RUNNERS, HOURS, rules)
    asked: list[list[str]] = []

    def told(tickers: list[str]) -> dict[str, np.ndarray]:
        asked.append(tickers)
        return {ticker: curve for ticker, curve in usual.items() if ticker in tickers}

    found = watchlist(*given, usual=told)
    assert asked == [["A"]]
    return found


def test_intraday_trigger_by_the_time_of_day_compares_with_the_usual_by_that_minute():
    (row,) = by_time_of_day({"A": 220_000.0, "B": 1.0}).to_dicts()
    assert (row["known_at"], row["relative_volume"]) == (
        instant("09:33"),
        pytest.approx(499_999 / 220_000),
    )
    assert by_time_of_day({"A": 250_010.0}).is_empty()


def test_intraday_trigger_by_the_time_of_day_without_a_usual_volume_selects_nothing():
    assert by_time_of_day({}).is_empty()
    assert by_time_of_day({"A": 0.0}).is_empty()


def test_rules_limited_to_the_volatile_list_hold_for_its_companies_alone():
    rows = [metric(ticker, **RICH) for ticker in ("A", "B")]
    given = (frame("daily_metrics", rows), minutes(*FADER), members("A", "B"), NO_WATCHLIST)
    limited = SelectionSettings(volatile_only=("info_rich",))
    listed = frame("volatile", [{"date": back(1), "rank": 1, "identity": "FIGI-B"}])
    found = watchlist(*given, NO_RUNNERS, HOURS, limited, listed=listed)
    assert found.select("ticker", "rule").rows() == [("A", "intraday_trigger"), ("B", "info_rich")]
    nothing = watchlist(*given, NO_RUNNERS, HOURS, limited)
    assert nothing["rule"].to_list() == ["intraday_trigger"]


@pytest.mark.parametrize(
    ("at", "clock"),
    [("08:00", "08:01"), ("04:00", "04:01"), ("15:59", "16:00"), ("16:00", None), ("19:00", None)],
)
def test_intraday_trigger_counts_premarket_and_ends_at_the_close(at, clock):
    result = select(metric(), mins=minutes(minute("A", at, 11.5, 500_000)))
    expected = [instant(clock)] if clock else []
    assert result["known_at"].to_list() == expected


def test_intraday_trigger_on_an_early_close_ignores_minutes_after_thirteen():
    day = date(2023, 11, 24)
    late = minutes(minute("A", "13:00", 11.5, 500_000, date=day))
    assert select(metric(date=day), mins=late, universe=members("A", day=day)).is_empty()


@pytest.mark.parametrize(
    ("close", "volume", "is_in"),
    [(11.5, 500_000, True), (8.5, 600_000, True), (11.49, 500_000, False), (11.5, 499_999, False)],
)
def test_intraday_trigger_thresholds_are_inclusive(close, volume, is_in):
    mins = minutes(minute("A", "10:00", close, volume))
    assert select(metric(), mins=mins).height == is_in


def test_intraday_trigger_compares_with_the_price_range_and_the_dollars():
    cheap = metric(previous_close=0.4, mean_volume30=1000.0)
    assert select(cheap, mins=minutes(minute("A", "10:00", 0.49, 2e7))).is_empty()
    assert select(cheap, mins=minutes(minute("A", "10:00", 0.50, 1e7))).height == 1
    assert select(cheap, mins=minutes(minute("A", "10:00", 0.50, 9_999_999))).is_empty()


@pytest.mark.parametrize("vwap", [None, 9.99, 11.6])
def test_intraday_trigger_prices_minutes_alike_with_and_without_a_vwap(vwap):
    mins = minutes(minute("A", "10:00", 11.5, 500_000, high=11.7, low=11.3, vwap=vwap))
    row = select(metric(), mins=mins).row(0, named=True)
    assert row["dollar_volume"] == (11.7 + 11.3 + 11.5) / 3 * 500_000


@pytest.mark.parametrize("change", [{"previous_close": None}, {"mean_volume30": None}])
def test_intraday_trigger_given_no_base_judges_nothing(change):
    assert select(metric(**change), mins=minutes(minute("A", "10:00", 12.0, 1e6))).is_empty()


def test_intraday_trigger_ignores_what_follows():
    plain = select(metric(), mins=minutes(*FADER[:4]))
    later = [minute("A", "10:00", 19.0, 9e6), minute("A", "17:00", 1.0, 9e6)]
    assert plain.height == 1
    assert plain.equals(select(metric(), mins=minutes(*FADER[:4], *later)))


def test_intraday_trigger_adds_up_each_ticker_by_itself():
    halves = [minute(t, "10:00", 20.0, 250_000) for t in ("A", "B")]
    assert select(metric("A"), metric("B"), mins=minutes(*halves)).is_empty()  # volume
    more = [*halves, minute("B", "10:05", 20.0, 250_000)]
    result = select(metric("A"), metric("B"), mins=minutes(*more))
    assert result.select("ticker", "known_at").rows() == [("B", instant("10:06"))]
    busy = [metric(t, mean_volume30=1000.0) for t in ("A", "B")]
    cheap = [minute(t, "10:00", 12.0, 250_000) for t in ("A", "B")]
    assert select(*busy, mins=minutes(*cheap)).is_empty()  # dollars


def test_watchlist_given_rows_in_any_order_is_the_same():
    rows = [metric("A", **RICH), metric("B", **RICH)]
    mins = minutes(*FADER, *(minute("B", "11:00", 12.0, 9e5),))
    plain = select(*rows, mins=mins)
    assert plain.height == 4
    assert plain.equals(select(*reversed(rows), mins=mins.reverse()))


@settings(max_examples=60, deadline=None)
@given(
    path=st.lists(
        st.tuples(
            st.integers(0, 719),
            st.sampled_from([7.0, 8.5, 9.9, 11.5, 13.0, 20.0, 21.0]),
            st.integers(1, 400_000),
        ),
        unique_by=lambda row: row[0],
        min_size=1,
        max_size=25,
    )
)
def test_intraday_trigger_equals_a_plain_loop(path):
    def clock(n: int) -> str:
        return f"{4 + n // 60:02}:{n % 60:02}"

    dollars = volume = 0.0
    expected: list = []
    for at, price, size in sorted(path):
        dollars, volume = dollars + price * size, volume + size
        moved = abs(price / 10 - 1) >= 0.15 - 1e-10
        if moved and dollars >= 5e6 and volume >= 500_000 and 0.5 <= price <= 20:
            expected = [instant(clock(at)) + timedelta(minutes=1)]
            break
    mins = minutes(*(minute("A", clock(n), p, s) for n, p, s in path)).reverse()
    assert select(metric(), mins=mins)["known_at"].to_list() == expected


# premarket_gap -----------------------------------------------------------------------------------
GAP = {
    "open": 11.0,
    "gap": 11.0 / 10 - 1,
    "premarket_volume": 100_000.0,
    "mean_premarket_volume30": 40_000.0,
    "premarket_rvol30": 2.5,
}


@pytest.mark.parametrize(
    ("change", "is_in"),
    [
        ({}, True),
        ({"gap": -0.10}, True),
        ({"gap": 0.099}, False),
        ({"premarket_volume": 99_999.0}, False),
        ({"premarket_volume": None}, False),
        ({"mean_premarket_volume30": 50_000.0}, False),  # must exceed 2
        ({"mean_premarket_volume30": 0.0, "premarket_rvol30": None}, True),
        ({"mean_premarket_volume30": None, "premarket_rvol30": None}, False),
        ({"open": 20.5}, False),
        ({"is_suspect_at_open": True}, False),
        ({"is_suspect_at_close": True}, True),
    ],
)
def test_premarket_gap_thresholds(change, is_in):
    assert select(metric(**{**GAP, **change})).height == is_in


def test_premarket_gap_is_known_at_the_open_print():
    row = select(metric(**GAP)).row(0, named=True)
    assert (row["rule"], row["known_at"]) == ("premarket_gap", instant("09:30"))
    assert (row["price"], row["change"]) == (11.0, GAP["gap"])
    prompt = minutes(minute("A", "08:00", 11.0, 10), minute("A", "09:30", 11.0, 10))
    assert select(metric(**GAP), mins=prompt)["known_at"].to_list() == [instant("09:30")]
    delayed = minutes(minute("A", "09:29", 11.0, 10), minute("A", "09:47", 11.0, 10))
    assert select(metric(**GAP), mins=delayed)["known_at"].to_list() == [instant("09:48")]


@pytest.mark.parametrize(("free_float", "is_in"), [(None, True), (99e6, True), (100e6, False)])
def test_premarket_gap_given_a_known_float_limits_it(free_float, is_in):
    universe = members("A").with_columns(free_float=pl.lit(free_float, pl.Float64))
    assert select(metric(**GAP), universe=universe).height == is_in


# follow_up ---------------------------------------------------------------------------------------
def test_follow_up_takes_the_info_rich_and_the_runners_by_identity():
    previous = frame(
        "watchlist",
        [
            watched("info_rich", back(1), "OLD", identity="FIGI-A"),
            watched("intraday_trigger", back(1), "B"),
            watched("info_rich", back(1), "GONE"),
        ],
    )
    ran = frame(
        "runners",
        [
            {
                "date": back(1),
                "rank": 1,
                "ticker": "C",
                "identity": "FIGI-C",
                "info_rich_sessions": 3,
                "last_info_rich": back(9),
            }
        ],
    )
    universe = members("A", "B", "C", previous_close=4.0)
    result = select(metric("A"), universe=universe, previous=previous, ran=ran)
    assert result.select("ticker", "rule", "price").rows() == [
        ("A", "follow_up", 10.0),
        ("C", "follow_up", 4.0),  # does not trade today
    ]
    assert result["known_at"].to_list() == [instant("04:00")] * 2


@pytest.mark.parametrize(("decision", "is_in"), [(None, True), ("real", True), ("split", False)])
def test_follow_up_given_a_suspect_day_leaves_it_out_only_by_decision(decision, is_in):
    previous = frame("watchlist", [watched("info_rich", back(1))])
    suspect = {"is_suspect_at_open": True, "is_suspect_at_close": True}
    row = metric(**suspect, suspect_decision=decision)
    assert select(row, previous=previous).height == is_in


def test_watchlist_given_a_day_under_every_rule_has_four_rows():
    row = metric(**{**RICH, **GAP})
    previous = frame("watchlist", [watched("info_rich", back(1))])
    mins = minutes(minute("A", "10:00", 12.0, 600_000))
    result = select(row, mins=mins, previous=previous)
    assert result["rule"].to_list() == [
        "follow_up",
        "info_rich",
        "intraday_trigger",
        "premarket_gap",
    ]


# from bars to selection --------------------------------------------------------------------------
@pytest.mark.parametrize("vwap", [10.8, None])
def test_watchlist_given_either_source_of_dollars_selects_the_same_days(vwap):
    """A daily bar with a vwap and one without (dollars from its minutes) agree."""
    bars = daily([{"ticker": "A", "close": 11.5, "vwap": vwap, "volume": 600_000.0}])
    mins = minutes(
        minute("A", "09:30", 10.4, 300_000, transactions=5),
        minute("A", "15:59", 11.2, 300_000, transactions=5),
    )
    today = session_summary(members("A"), bars, mins, HOURS)
    history = summaries(*quiet_history("A", 12, volume=200_000))
    metrics = daily_metrics(
        pl.concat([history, today]), factors(), None, SESSIONS, DAY, MetricsSettings()
    )
    result = watchlist(metrics, mins, members("A"), NO_WATCHLIST, NO_RUNNERS, HOURS, DEFAULTS)
    assert result["rule"].to_list() == ["info_rich"]
    assert result["dollar_volume"].to_list() == [pytest.approx(6_480_000)]


# runners -----------------------------------------------------------------------------------------
def test_runners_counts_the_trailing_sessions_with_stated_ties():
    rich = [
        ("B", (3, 2)),
        ("A", (3, 2)),
        ("C", (2, 1)),
        ("D", (251, 250, 9)),
        ("E", (252, 253)),  # outside the window
        ("F", (0,)),
    ]
    rows = [watched("info_rich", back(n), t) for t, ages in rich for n in ages]
    rows += [watched("follow_up", back(n), "F") for n in range(5)]
    future = [watched("info_rich", DAY + timedelta(days=3), "F")]
    result = runners(frame("watchlist", rows + future), DAY, DEFAULTS)
    assert result.select("rank", "ticker", "info_rich_sessions", "last_info_rich").rows() == [
        (1, "D", 3, back(9)),
        (2, "C", 2, back(1)),
        (3, "A", 2, back(2)),
        (4, "B", 2, back(2)),
        (5, "F", 1, DAY),
    ]
    assert result["date"].unique().to_list() == [DAY]


def test_runners_given_rename_counts_one_company_under_its_latest_symbol():
    rows = [
        watched("info_rich", back(2), "OLD", identity="X"),
        watched("info_rich", back(1), "NEW", identity="X"),
    ]
    result = runners(frame("watchlist", rows), DAY, SelectionSettings(runners=1))
    assert result.select("ticker", "info_rich_sessions").rows() == [("NEW", 2)]


# registry ----------------------------------------------------------------------------------------
def test_ticker_sessions_joins_the_rules_and_takes_the_earliest_moment_of_a_tick_rule():
    rows = [
        watched("info_rich", DAY),
        watched("intraday_trigger", DAY, known_at=instant("10:05")),
        watched("follow_up", DAY, known_at=instant("04:00")),
        watched("follow_up", DAY, "B", known_at=instant("04:00")),
        watched("info_rich", DAY, "C"),
    ]
    result = ticker_sessions(frame("watchlist", rows), None, DEFAULTS)
    assert result.rows() == [
        (
            "A",
            DAY,
            "A_2024-05-03",
            "FIGI-A",
            "follow_up,info_rich,intraday_trigger",
            "intraday_trigger",
            instant("10:05"),
            True,
        ),
        ("C", DAY, "C_2024-05-03", "FIGI-C", "info_rich", "info_rich", instant("16:00"), True),
    ]


def test_ticker_sessions_given_tick_rules_of_config_asks_for_those():
    rows = frame("watchlist", [watched("follow_up", DAY), watched("info_rich", DAY, "C")])
    only = SelectionSettings(tick_rules=("follow_up",))
    assert ticker_sessions(rows, None, only)["ticker"].to_list() == ["A"]


def test_ticker_sessions_keeps_the_disqualified_and_readmits_them():
    both = frame("watchlist", [watched("info_rich", DAY), watched("info_rich", DAY, "C")])
    first = ticker_sessions(both, None, DEFAULTS)
    second = ticker_sessions(both.filter(pl.col("ticker") == "A"), first, DEFAULTS)
    assert second.select("ticker", "is_qualified").rows() == [("A", True), ("C", False)]
    assert second.drop("is_qualified").equals(first.drop("is_qualified"))
    assert ticker_sessions(both, second, DEFAULTS).equals(first)


# density -----------------------------------------------------------------------------------------
def test_density_counts_empty_sessions():
    days = [date(2024, 4, 29), date(2024, 4, 30), date(2024, 5, 1), date(2024, 5, 2)]
    rows = [
        watched("info_rich", days[0]),
        watched("info_rich", days[0], "B"),
        watched("info_rich", days[2]),
    ]
    result = density(frame("watchlist", rows), days)
    assert result.rows() == [
        (2024, 4, "info_rich", 2, 2, 1.0, 1.0),
        (2024, 5, "info_rich", 1, 2, 0.5, 0.5),
        (2024, None, "info_rich", 3, 4, 0.75, 0.5),
    ]
