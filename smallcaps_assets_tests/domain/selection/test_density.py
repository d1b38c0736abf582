"""Selected days by rule and period, and the cost of their ticks."""

from datetime import date

import polars as pl
import pytest

from smallcaps_assets.domain.selection.density import (
    change_counts,
    change_histogram,
    change_tails,
    dollars_traded,
    rvol_near,
    rvol_summary,
    selected_days,
    tick_cost,
    top_runners,
)


def test_quotes_cost_several_rows_for_each_trade():
    days = pl.DataFrame({"transactions": [20_000, None]})
    trades, quotes = (tick_cost(days, 3, 95, table) for table in ("trades", "quotes"))
    assert (trades.requests, quotes.requests) == (2, 3)
    assert quotes.gigabytes == pytest.approx((100_000 + 5) * 14 / 1e9)


def test_tick_cost_counts_pages_and_takes_the_slower_bound():
    days = pl.DataFrame({"transactions": [50_000, 50_001, None, 0]})
    cost = tick_cost(days, workers=3, requests_per_second=95)
    assert (cost.ticker_sessions, cost.requests) == (4, 5)
    assert cost.gigabytes == pytest.approx(100_003 * 18 / 1e9)
    assert cost.hours_paid == pytest.approx(5 / 2 / 3600)
    assert cost.hours_free == pytest.approx(5 * 61 / 5 / 3600)
    slow = tick_cost(days, workers=300, requests_per_second=1)
    assert slow.hours_paid == pytest.approx(5 / 3600)


def test_selected_days_count_sessions_without_a_day_of_the_rule():
    rows = [
        (date(2024, 1, 2), "info_rich"),
        (date(2024, 1, 2), "info_rich"),
        (date(2024, 1, 3), "follow_up"),
        (date(2025, 1, 2), "info_rich"),
    ]
    watchlist = pl.DataFrame(rows, schema=["date", "rule"], orient="row")
    looked_at = pl.Series([*watchlist["date"].unique(), date(2024, 1, 4)])
    found = selected_days(watchlist, looked_at, "1y")
    rich = found.filter(pl.col("rule") == "info_rich")
    assert rich.select("days", "sessions", "mean", "median").rows() == [
        (2, 3, 2 / 3, 0.0),
        (1, 1, 1.0, 1.0),
    ]


DAYS = [date(2024, 1, day) for day in (2, 3, 4, 5)]


def test_top_runners_count_info_rich_days_of_each_period():
    rows = [
        (DAYS[0], "AA", "info_rich", 0.2),
        (DAYS[1], "AA", "info_rich", 0.5),
        (DAYS[1], "BB", "info_rich", 0.9),
        (DAYS[1], "CC", "intraday_trigger", 2.0),
    ]
    watchlist = pl.DataFrame(rows, schema=["date", "ticker", "rule", "change"], orient="row")
    found = top_runners(watchlist, "1y", most=1)
    assert found.rows() == [(date(2024, 1, 1), "AA", 2, 0.5)]


def test_change_tails_count_days_beyond_the_threshold():
    metrics = pl.DataFrame({"date": DAYS, "pct_change": [0.15, -0.5, 0.01, None]})
    (row,) = change_tails(metrics, "1y").to_dicts()
    assert (row["days"], row["beyond"], row["q_0.5"]) == (3, 2, 0.01)
    assert row["q_0.001"] == -0.5 and row["q_0.999"] == 0.15


def test_rvol_around_events_is_by_sessions_not_days():
    metrics = pl.DataFrame(
        {"date": DAYS * 2, "ticker": ["AA"] * 4 + ["BB"] * 4, "rvol30": [1.0, 2, 3, 4] + [9.0] * 4}
    )
    events = pl.DataFrame({"date": [DAYS[1], DAYS[1], DAYS[2]], "ticker": ["AA"] * 3})
    found = rvol_summary(rvol_near(metrics, events, reach=1))
    assert found.select("offset", "count", "median").rows() == [
        (-1, 2, 1.5),
        (0, 2, 2.5),
        (1, 2, 3.5),
    ]


def test_dollars_traded_count_a_day_of_two_rules_once():
    watchlist = pl.DataFrame({"date": [DAYS[0]] * 2, "ticker": ["AA"] * 2})
    metrics = pl.DataFrame(
        {"date": [DAYS[0]] * 2, "ticker": ["AA", "BB"], "dollar_volume": [3e6, 9e6]}
    )
    found = dollars_traded(watchlist, metrics, "1mo")
    assert found.rows() == [(date(2024, 1, 1), 12e6, 3e6, 0.25)]


def test_change_counts_and_bins_add_up_over_parts_of_a_market():
    metrics = pl.DataFrame({"pct_change": [0.15, -0.5, 0.01, None, 1.0]})
    found = {row[0]: row[1:] for row in change_counts(metrics).iter_rows()}
    assert found == {
        0.10: (2, 1, 4),
        0.15: (2, 1, 4),
        0.30: (1, 1, 4),
        0.50: (1, 1, 4),
        1.00: (1, 0, 4),
    }
    assert change_histogram(metrics).rows() == [(-14, 1), (0, 1), (3, 1), (14, 1)]
    wild = pl.DataFrame({"pct_change": [1e6, -1 + 1e-9]})
    assert change_histogram(wild).rows() == [(-30, 1), (30, 1)]
