"""Missing splits and real rises, each judged with what was known at the rule's moment."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smallcaps_assets.domain.market.calendar import session_hours
from smallcaps_assets.domain.market.metrics import daily_metrics, session_summary
from smallcaps_assets.domain.market.suspects import (
    NO_DECISIONS,
    PREMARKET_MINUTES,
    premarket_history,
    premarket_means,
)
from smallcaps_assets.domain.selection.rules import runners, watchlist
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
    summaries,
    summary,
)

HOURS = session_hours(DAY)
# Every jump that is judged at all is selected, so that only suspicion leaves one out.
EASY = {"min_relative_volume": 0, "min_dollar_volume": 0, "max_price": 1000.0}
EASY |= {"min_premarket_volume": 0, "min_premarket_relative_volume": 0}


def history(
    close: float = 1.0,
    volume: float = 100_000.0,
    premarket: dict[int, float] | None = None,
    count: int = 25,
) -> list[dict[str, Any]]:
    """Sessions before DAY, alike; `premarket` has shares by minute after 04:00."""
    shares = {200: 1000.0} if premarket is None else premarket
    return [
        summary(
            "A",
            back(n),
            close,
            volume,
            premarket_volume=sum(shares.values()),
            premarket_minutes=list(shares),
            premarket_minute_volumes=list(shares.values()),
        )
        for n in range(count, 0, -1)
    ]


def told(verdict: str) -> pl.DataFrame:
    return pl.DataFrame([("A", DAY, verdict)], schema=NO_DECISIONS.schema, orient="row")


def metrics_of(
    *today: dict[str, Any],
    close: float,
    volume: float,
    before: list[dict[str, Any]] | None = None,
    events: pl.DataFrame | None = None,
    decisions: pl.DataFrame = NO_DECISIONS,
    **bar: float,
) -> pl.DataFrame:
    """daily_metrics of A from today's minutes and its daily bar."""
    bars = daily([{"ticker": "A", "close": close, "volume": volume, **bar}])
    now = session_summary(members("A"), bars, minutes(*today), HOURS)
    rows = pl.concat([summaries(*(history() if before is None else before)), now])
    listed = factors() if events is None else events
    return daily_metrics(rows, listed, None, SESSIONS, DAY, MetricsSettings(), decisions)


def selected(
    metrics: pl.DataFrame, *today: dict[str, Any], **changes: float
) -> dict[str, tuple[Any, ...]]:
    """Moment and figures by rule; the day before was info-rich."""
    rich = {"ticker": "A", "identity": "FIGI-A", "rule": "info_rich", "date": back(1)}
    previous = frame("watchlist", [{**rich, "known_at": instant("16:00", back(1)), "price": 1.0}])
    rules = SelectionSettings.model_validate(EASY | changes)
    found = watchlist(
        metrics, minutes(*today), members("A"), previous, TABLES["runners"].empty(), HOURS, rules
    )
    return {row["rule"]: tuple(row.values()) for row in found.iter_rows(named=True)}


def flags(metrics: pl.DataFrame) -> tuple[bool, bool]:
    return metrics.select("is_suspect_at_open", "is_suspect_at_close").row(0)


# Rises that were traded --------------------------------------------------------------------------
def climb(last: float, first: float = 1.1) -> list[dict[str, Any]]:
    """Premarket on news, then minute by minute to `last`."""
    steps = [minute("A", "07:00", first, 200_000)]
    prices = [first + (last - first) * n / 40 for n in range(41)]
    clocks = [f"{9 + (30 + n) // 60:02}:{(30 + n) % 60:02}" for n in range(41)]
    return steps + [minute("A", c, p, 100_000) for c, p in zip(clocks, prices, strict=True)]


@pytest.mark.parametrize("last", [3.2, 5.67, 10.0])
def test_rise_traded_minute_by_minute_is_info_rich_triggered_and_a_runner(last):
    today = climb(last)
    metrics = metrics_of(*today, close=last, volume=4.3e6, open=1.1, vwap=last / 2)
    assert flags(metrics) == (False, False)
    found = selected(metrics, *today, min_relative_volume=2.0, min_dollar_volume=1e6)
    assert {"info_rich", "intraday_trigger"} <= found.keys()
    rich = pl.DataFrame([found["info_rich"]], schema=TABLES["watchlist"].columns, orient="row")
    assert runners(rich, DAY, SelectionSettings())["ticker"].to_list() == ["A"]


@pytest.mark.parametrize("first", [2.0, 3.0, 0.5])
def test_jump_onto_a_ratio_that_premarket_trades_heavily_is_real(first):
    today = [minute("A", "07:00", first, 200_000), minute("A", "09:30", first, 500_000)]
    metrics = metrics_of(*today, close=first, volume=4e6, vwap=first)
    assert metrics["jump_ratio"].to_list() == [first]
    assert flags(metrics) == (False, False)
    assert len(selected(metrics, *today)) == 4


# Missing splits ----------------------------------------------------------------------------------
@pytest.mark.parametrize("ratio", [10.0, 20.0, 1.5, 0.5, 1 / 3, 0.8])
def test_missing_split_is_in_no_rule_that_knows_of_it(ratio):
    today = [
        minute("A", "07:20", ratio, 1000 / ratio),
        minute("A", "09:30", ratio, 50_000 / ratio),
    ]
    metrics = metrics_of(*today, close=ratio * 1.02, volume=100_000 / ratio, open=ratio)
    assert flags(metrics) == (True, True)
    assert "the open and the close" in metrics["suspect_reason"][0]
    assert selected(metrics, *today).keys() == {"follow_up"}


def jumps(*growths: float) -> list[float | None]:
    """jump_ratio of tickers whose price has grown so."""
    rows = [
        summary(f"T{n:03}", day, price, 1e5)
        for n, growth in enumerate(growths)
        for day, price in ((back(1), 8.0), (DAY, 8.0 * growth))
    ]
    settings = MetricsSettings()
    return daily_metrics(summaries(*rows), factors(), None, SESSIONS, DAY, settings)[
        "jump_ratio"
    ].to_list()


def test_every_split_ratio_is_a_jump_within_three_percent_either_way():
    whole = (*range(2, 11), 12, 15, 20, 25, 30, 40, 50, 60, 75, 80, 100, 150, 200, 250)
    ratios = [r for n in (*whole, 3 / 2, 5 / 2, 4 / 3, 5 / 4) for r in (n, 1 / n)]
    assert jumps(*(r * 0.9701 for r in ratios)) == ratios
    assert jumps(*(r * 1.0299 for r in ratios)) == ratios
    others = (1.0, 1.19, 0.84, 1.4, 2.0601, 1.9399, 3.2, 11.0, 18.0, 1 / 18, 260.0)
    assert jumps(*others) == [None] * len(others)


@pytest.mark.parametrize(
    ("ratio", "premarket", "is_suspect"),
    [
        (2.0, 999.0, True),
        (2.0, 1000.0, False),
        (0.5, 1001.0, True),
        (0.5, 1000.0, False),
        (0.5, 10_000.0, True),
        (0.5, 10_001.0, False),  # a crash: five times the usual dollars
        (2.0, 0.0, True),  # no premarket volume: the ratio alone
        (0.5, 0.0, True),
    ],
)
def test_open_compares_premarket_volume_with_that_of_twenty_sessions(ratio, premarket, is_suspect):
    early = [minute("A", "07:20", ratio, premarket)] if premarket else []
    today = [*early, minute("A", "09:30", ratio, 50_000)]
    old = [summary("A", back(n), 1.0, 1e5, premarket_volume=9e9) for n in range(40, 25, -1)]
    metrics = metrics_of(*today, close=1.0, volume=1e5, before=old + history(), open=ratio)
    assert metrics["mean_premarket_volume20"].to_list() == [1000.0]
    assert metrics["is_suspect_at_open"].to_list() == [is_suspect]


@pytest.mark.parametrize(("count", "is_suspect"), [(9, True), (10, False)])
def test_open_given_too_few_sessions_goes_by_the_ratio_alone(count, is_suspect):
    today = [minute("A", "07:20", 2.0, 5000.0)]
    metrics = metrics_of(*today, close=2.0, volume=1e5, before=history(count=count))
    assert metrics["is_suspect_at_open"].to_list() == [is_suspect]


@pytest.mark.parametrize(
    ("volume", "vwap", "is_suspect"),
    [
        (50_000.0, 2.0, True),
        (100_001.0, 2.0, False),  # more shares than usual
        (99_999.0, 5.0, True),
        (99_999.0, 5.01, False),  # more than five times the dollars
        (10_000.0, 2.0, True),
        (9_900.0, 2.0, False),  # less than a fifth
    ],
)
def test_close_compares_the_days_shares_and_dollars(volume, vwap, is_suspect):
    metrics = metrics_of(close=2.0, volume=volume, vwap=vwap)
    assert metrics["is_suspect_at_close"].to_list() == [is_suspect]


# Nothing later than the moment -------------------------------------------------------------------
GAPPER = [
    minute("A", "08:00", 1.25, 900.0),
    minute("A", "09:30", 1.2, 50_000.0),
    minute("A", "10:00", 4.0, 2e6),
]


@pytest.mark.parametrize("premarket", [900.0, 90_000.0])
@pytest.mark.parametrize("after", [0.3, 1.2, 9.0])
def test_open_and_its_rule_ignore_what_follows(premarket, after):
    early = [{**GAPPER[0], "volume": premarket}, GAPPER[1]]
    plain = metrics_of(*early, close=1.2, volume=1e5, open=1.2)
    wild = [*early, minute("A", "10:00", after, 2e7)]
    later = metrics_of(*wild, close=after, volume=3e7, open=1.2, high=9.0, low=0.3)
    known = ["first_price", "jump_ratio", "premarket_mean_so_far", "is_suspect_at_open"]
    assert plain.select(known).equals(later.select(known))
    one, other = selected(plain, *early), selected(later, *wild)
    assert one.get("premarket_gap") == other.get("premarket_gap")
    assert ("premarket_gap" in one) is (premarket > 1000)


@pytest.mark.parametrize("price", [0.2, 1.0, 10.0])
@pytest.mark.parametrize("volume", [1.0, 1e7])
def test_follow_up_ignores_the_whole_day(price, volume):
    quiet = metrics_of(close=1.0, volume=1e5)
    today = [minute("A", "04:00", price, volume)]
    jumped = metrics_of(*today, close=price, volume=volume)
    assert selected(quiet)["follow_up"] == selected(jumped, *today)["follow_up"]


def test_trigger_ignores_what_follows():
    now = metrics_of(*GAPPER, close=1.2, volume=1e5, open=1.2)
    full = selected(now, *GAPPER, min_dollar_volume=50_000)
    early = [{**GAPPER[0], "volume": 2000.0}, *GAPPER[1:]]
    metrics = metrics_of(*early, close=4.0, volume=1e5, open=1.2)
    found = selected(metrics, *early, min_dollar_volume=50_000)["intraday_trigger"]
    assert "intraday_trigger" not in full  # suspect at the open, and so at every minute after
    cut = metrics_of(*early[:2], close=1.2, volume=5e4, open=1.2)
    assert selected(cut, *early[:2], min_dollar_volume=50_000)["intraday_trigger"] == found


# At that minute ----------------------------------------------------------------------------------
def test_premarket_trigger_compares_with_the_volume_usual_by_then():
    today = [minute("A", "07:00", 2.0, 500.0), minute("A", "09:30", 2.0, 1e5)]
    late = metrics_of(*today, close=2.0, volume=2e5, before=history(premarket={300: 1000.0}))
    assert late["is_suspect_at_open"].to_list() == [True]  # 500 shares where 1,000 are usual
    trigger = selected(late, *today)["intraday_trigger"]
    assert instant("07:01") in trigger  # when none are
    early = metrics_of(*today, close=2.0, volume=2e5, before=history(premarket={60: 1000.0}))
    assert "intraday_trigger" not in selected(early, *today)


def test_premarket_trigger_waits_until_the_volume_tells():
    today = [minute("A", "07:00", 2.0, 500.0), minute("A", "08:00", 2.0, 501.0)]
    metrics = metrics_of(*today, close=2.0, volume=2e5, before=history(premarket={60: 1000.0}))
    assert instant("08:01") in selected(metrics, *today)["intraday_trigger"]


@settings(max_examples=40, deadline=None)
@given(
    days=st.lists(
        st.dictionaries(st.integers(0, 329), st.sampled_from([1.0, 100.0, 2500.0]), max_size=5),
        min_size=1,
        max_size=24,
    ),
    basis=st.sampled_from([1.0, 0.25, 20.0]),
)
def test_premarket_means_equal_a_plain_loop(days, basis):
    rows = [history(premarket=day, count=n)[0] for n, day in enumerate(days, 1)]
    told = summaries(*rows).with_columns(chain=pl.lit("A"), factor=pl.lit(basis))
    lists = ["premarket_minutes", "premarket_minute_volumes"]
    known = premarket_history(told.drop(lists))
    found = premarket_means(known, told.select("date", "ticker", *lists), MetricsSettings())
    mean = [0.0] * PREMARKET_MINUTES
    for day in days[:20]:
        for number, shares in day.items():
            for later in range(number, PREMARKET_MINUTES):
                mean[later] += shares / basis / min(len(days), 20)
    expected = [pytest.approx(mean)] if len(days) >= 10 else []
    assert found["premarket_mean_so_far"].to_list() == expected


def test_premarket_means_are_on_todays_share_basis():
    split = factors({"ticker": "A", "effective_date": back(10), "split_factor": 10.0})
    before = history(close=0.1, count=25)[:15] + history(close=1.0, count=10)
    metrics = metrics_of(close=2.0, volume=1e5, before=before, events=split)
    assert metrics["mean_premarket_volume20"].to_list() == [(10 * 1000 + 10 * 100) / 20]
    assert metrics["premarket_mean_so_far"][0].to_list() == [0.0] * 200 + [550.0] * 130


# What resolves it --------------------------------------------------------------------------------
SPLIT_DAY = [minute("A", "07:20", 10.0, 100.0), minute("A", "09:30", 10.0, 5000.0)]


def test_decision_that_it_was_real_admits_the_day():
    metrics = metrics_of(*SPLIT_DAY, close=10.2, volume=1e4, decisions=told("real"))
    assert flags(metrics) == (False, False)
    assert metrics["suspect_decision"].to_list() == ["real"]
    assert len(selected(metrics, *SPLIT_DAY)) == 4


@pytest.mark.parametrize("price", [10.0, 18.0])  # 18 is no ratio of the list
def test_decision_that_it_was_a_split_leaves_the_day_out_of_every_rule(price):
    today = [minute("A", "07:20", price, 9e6), minute("A", "09:30", price, 9e6)]
    metrics = metrics_of(*today, close=price, volume=9e7, decisions=told("split"))
    assert flags(metrics) == (True, True)
    assert selected(metrics, *today) == {}


@pytest.mark.parametrize("decisions", [NO_DECISIONS, told("split"), told("real")])
def test_split_that_the_vendor_lists_later_resolves_it(decisions):
    split = factors({"ticker": "A", "effective_date": DAY, "split_factor": 10.0})
    rest = {"events": split, "decisions": decisions}
    metrics = metrics_of(*SPLIT_DAY, close=10.2, volume=1e4, **rest)
    assert flags(metrics) == (False, False)
    assert metrics["pct_change"].to_list() == [pytest.approx(0.02)]
    assert selected(metrics, *SPLIT_DAY).keys() == {"follow_up"}


def test_decisions_on_other_days_and_tickers_change_nothing():
    other = pl.DataFrame(
        [("A", DAY + timedelta(3), "real"), ("B", DAY, "real"), ("A", date(2024, 5, 2), "real")],
        schema=NO_DECISIONS.schema,
        orient="row",
    )
    plain = metrics_of(*SPLIT_DAY, close=10.2, volume=1e4)
    assert plain.equals(metrics_of(*SPLIT_DAY, close=10.2, volume=1e4, decisions=other))
