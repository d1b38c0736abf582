"""The volatile list: mean ranks of three measures, enough sessions, nothing after its day."""

from __future__ import annotations

import polars as pl
import pytest

from smallcaps_assets.domain.selection.volatile import session_volatility, volatile
from smallcaps_assets.settings import SelectionSettings
from smallcaps_assets_tests.domain.market_frames import DAY, back, frame

SETTINGS = SelectionSettings(volatile=2)


def day(ticker: str, n: int, gap: float, relative: float, spread: float, **more) -> dict:
    """Metrics of the n-th session before DAY."""
    return {
        "date": back(n),
        "ticker": ticker,
        "identity": f"FIGI-{ticker}",
        "gap": gap,
        "rvol30": relative,
        "high": 10.0 + 10.0 * spread,
        "low": 10.0,
        "close": 10.0,
        "is_suspect_at_close": False,
        **more,
    }


def measures(*rows: dict) -> pl.DataFrame:
    return session_volatility(frame("daily_metrics", list(rows)))


def steady(ticker: str, *values: float, sessions: int = 20) -> list[dict]:
    return [day(ticker, n, *values) for n in range(sessions)]


def test_list_expected_by_the_mean_of_three_ranks():
    rows = [
        *steady("A", -0.3, 1.0, 0.1),  # ranks 1, 3, 2
        *steady("B", 0.2, 3.0, 0.2),  # ranks 2, 1, 1
        *steady("C", 0.1, 2.0, 0.05),  # ranks 3, 2, 3
        *steady("D", 0.9, 9.0, 0.9, sessions=19),  # too few
    ]
    found = volatile(measures(*rows), DAY, SETTINGS)
    assert found.select("rank", "ticker", "sessions").rows() == [(1, "B", 20), (2, "A", 20)]
    assert found["mean_rank"].to_list() == pytest.approx([4 / 3, 2])
    assert found["mean_gap"].to_list() == pytest.approx([0.2, 0.3])


def test_days_without_a_measure_or_with_a_missing_split_expected_left_out():
    rows = [
        *steady("A", 0.1, 1.0, 0.1),
        day("A", 20, 5.0, 1.0, 0.1, is_suspect_at_close=True),
        day("A", 21, 5.0, None, 0.1),
    ]
    (row,) = volatile(measures(*rows), DAY, SETTINGS).to_dicts()
    assert (row["sessions"], row["mean_gap"]) == (20, pytest.approx(0.1))


def test_sessions_after_the_day_or_before_the_window_expected_unseen():
    rows = steady("A", 0.1, 1.0, 0.1, sessions=30)
    whole = measures(*rows, day("A", -1, 9.0, 9.0, 9.0), day("A", 260, 9.0, 9.0, 9.0))
    cut = volatile(measures(*rows), DAY, SETTINGS)
    assert volatile(whole, DAY, SETTINGS).equals(cut) and cut.height == 1


def test_symbols_of_one_company_expected_counted_together_under_the_last():
    rows = [*(day("OLD", n, 0.1, 1.0, 0.1) for n in range(10, 20)), *steady("A", 0.1, 1.0, 0.1)]
    old = [{**row, "identity": "FIGI-A"} for row in rows[:10]]
    found = volatile(measures(*old, *rows[10:20]), DAY, SETTINGS)
    assert found.select("ticker", "sessions").rows() == [("A", 20)]
