"""The figures of the data-quality report, by hand and against the checks of single partitions."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest

from smallcaps_assets.domain.bars.build import build_bars
from smallcaps_assets.domain.bars.diagnostics import (
    bar_diagnostics,
    excluded_by_reason,
    excluded_volume,
)
from smallcaps_assets.domain.quality.checks import volumes_reconcile
from smallcaps_assets.domain.quality.figures import (
    bar_figures,
    coverage_over_time,
    coverage_totals,
    gap_runs,
    label_balance,
    reconciliation,
    tape_shares,
)
from smallcaps_assets.schemas import TABLES
from smallcaps_assets_tests.domain.bars.test_build import bar_settings, random_tape
from smallcaps_assets_tests.domain.tick_frames import tape_of, trade

DAYS = [date(2024, 1, 30), date(2024, 1, 31), date(2024, 2, 1)]


def covered(day: date, table: str, *counts: int) -> dict:
    names = ("expected", "got", "empty", "not_entitled", "failed", "missing")
    return {"date": day, "table": table, **dict(zip(names, counts, strict=True)), "reason": None}


def test_coverage_counts_an_empty_answer_as_an_answer():
    rows = [
        covered(DAYS[0], "halts", 10, 1, 9, 0, 0, 0),
        covered(DAYS[1], "halts", 10, 0, 5, 0, 2, 3),
        covered(DAYS[2], "halts", 10, 10, 0, 0, 0, 0),
        covered(DAYS[2], "trades", 0, 0, 0, 0, 0, 0),
    ]
    frame = TABLES["coverage"].validate(TABLES["coverage"].conform(pl.DataFrame(rows)))
    halts, trades = coverage_totals(frame).to_dicts()
    assert (halts["expected"], halts["failed"], halts["missing"]) == (30, 2, 3)
    assert halts["answered"] == pytest.approx(25 / 30) and trades["answered"] is None
    by_month = coverage_over_time(frame, "1mo").rows()
    assert by_month == [("halts", date(2024, 1, 1), 0.75), ("halts", date(2024, 2, 1), 1.0)]


def test_gap_runs_join_neighbours_among_the_expected_keys():
    expected = ["2024-01-05", "2024-01-08", "2024-01-09", "2024-01-10", "2024-01-11"]
    stored = {"2024-01-05", "2024-01-10"}
    assert gap_runs(expected, stored) == [
        ("2024-01-08", "2024-01-09", 2),
        ("2024-01-11", "2024-01-11", 1),
    ]
    assert gap_runs(expected, set(expected)) == []


def test_reconciliation_agrees_with_the_check_of_the_session():
    rows = [
        (DAYS[0], "A", 100.0, "daily", 90.0, 5),
        (DAYS[0], "B", 100.0, "daily", 101.0, 5),
        (DAYS[0], "C", 100.0, "daily", None, None),
        (DAYS[0], "D", 100.0, "minute", 100.0, 5),
        (DAYS[1], "A", 100.0, "daily", 100.05, 5),
    ]
    names = ["date", "ticker", "volume", "volume_source", "minute_volume", "minute_count"]
    summary = pl.DataFrame(rows, schema=names, orient="row")
    first, second = reconciliation(summary).to_dicts()
    assert (first["daily"], first["minutes"], first["compared"]) == (200.0, 191.0, 2)
    assert (first["more"], first["traded"], first["without_minutes"]) == (1, 4, 1)
    assert (second["more"], second["compared"]) == (0, 1)
    told = volumes_reconcile(summary.filter(pl.col("date") == DAYS[0])).found
    assert told.startswith("minutes hold 95.5%") and "1 of 2 tickers" in told


@pytest.mark.parametrize("gamma", [0.125, 1.0])
def test_bar_figures_of_many_ticker_sessions_are_those_of_each(gamma: float):
    made = [
        build_bars(random_tape(seed), "dollar_imbalance_bars", bar_settings(gamma=gamma), 20_000)
        for seed in (1, 2)
    ]
    bars = [
        one.with_columns(ticker=pl.lit(name)) for one, name in zip(made, ("A", "B"), strict=True)
    ]
    found = bar_figures(pl.concat(bars))
    assert found["ticker"].to_list() == ["A", "B"]
    for row, one in zip(found.to_dicts(), bars, strict=True):
        alone = bar_diagnostics(one)
        assert (row["bars"], row["clamped_share"]) == (alone.bars, alone.clamped_share)
        assert row["spacing_seconds"] == pytest.approx(alone.median_spacing_seconds)
        assert row["dollar_volume"] == pytest.approx(alone.dollar_volume)
        flags = (row["is_often_clamped"], row["is_slow"], row["is_scarce"])
        assert flags == (alone.is_often_clamped, alone.is_slow, alone.is_scarce)


def test_tape_shares_are_of_trades_with_minutes_only():
    names = ["date", "ticker", "source", "volume"]
    rows = [(DAYS[0], t, s, 80.0) for t, s in (("A", "trades"), ("B", "minutes"), ("C", "trades"))]
    minutes = {"date": [DAYS[0]] * 2, "ticker": ["A", "B"], "minute_volume": [100.0, 100.0]}
    figures = pl.DataFrame(rows, schema=names, orient="row")
    assert tape_shares(figures, pl.DataFrame(minutes))["tape_share"].to_list() == [0.8, None, None]


def test_label_balance_counts_by_month():
    rows = {"date": DAYS, "label": [1, 1, -1], "is_selection_known": [True, False, True]}
    assert label_balance(pl.DataFrame(rows), "1mo").rows() == [
        (date(2024, 1, 1), 1, 2, 1),
        (date(2024, 2, 1), -1, 1, 1),
    ]


def test_excluded_volume_of_some_tapes_is_a_share_of_all_their_volume():
    codes = ([], [2], [7], [7], [])
    rows = [trade(f"10:00:0{n}", 10.0, 100.0 * (n + 1), code) for n, code in enumerate(codes)]
    tape = tape_of(rows)
    counted = float(tape.ticks["size"].sum())
    alone = excluded_volume(tape)
    assert len(alone) == 2
    twice = excluded_by_reason([tape.audit, tape.audit], 2 * counted)
    assert twice["reason"].to_list() == alone["reason"].to_list()
    assert twice["share"].to_list() == pytest.approx(alone["share"].to_list())
    assert excluded_by_reason([], 0.0).is_empty()
