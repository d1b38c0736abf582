"""Selected days by rule and period, and the cost of their ticks."""

from datetime import date

import polars as pl
import pytest

from smallcaps_assets.domain.density import selected_days, tick_cost


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
