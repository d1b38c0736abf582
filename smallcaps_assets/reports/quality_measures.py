"""The figures of the data-quality report on one span, and those by which two spans are compared.

Computing them belongs to `domain/quality/figures.py`, reading the lake to the caller, the page to
`quality_page.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import polars as pl

from smallcaps_assets.reports import human
from smallcaps_assets.reports.canvas import OUTCOMES
from smallcaps_assets.reports.spans import Measure, Span


@dataclass(frozen=True)
class QualityFigures:
    """What the report says of one span.

    `coverage` are rows of that table; `failures` has table, key, kind, reason; `checks` has table,
    check, key, is_good, is_error, text; `gaps` has table, expected, missing, runs (texts);
    `suspects` has date, ticker, pct_change, suspect_reason, out of `metric_days` rows of
    daily_metrics; `reconciled` is `quality.reconciliation`, `bars` `quality.tape_shares`, `labels`
    `quality.label_balance` by month; `excluded` is `diagnostics.excluded_by_reason` of `tapes` out
    of `stored_tapes` ticker-sessions, `refused_tapes` more could not be classified. `short` has the
    key of each selected ticker-session without trades or with far too few, and what was figures;
    `outside` the key and the events of each that lies in no period; `empties` has table, key,
    tickers, is_confirmed, text of what came without rows although some are expected.
    """

    span: Span
    coverage: pl.DataFrame
    failures: pl.DataFrame
    checks: pl.DataFrame
    gaps: pl.DataFrame
    suspects: pl.DataFrame
    metric_days: int
    reconciled: pl.DataFrame
    bars: pl.DataFrame
    labels: pl.DataFrame
    excluded: pl.DataFrame
    short: pl.DataFrame
    outside: pl.DataFrame
    empties: pl.DataFrame
    tapes: int = 0
    stored_tapes: int = 0
    refused_tapes: int = 0


def quality_measures(figures: Sequence[QualityFigures]) -> list[Measure]:
    """The figures that sum up each span."""
    percent = partial(human.percent, decimals=2)

    def count(name: str, values: list[int]) -> Measure:
        return Measure(name, tuple(values))

    def share(name: str, values: list[float | None]) -> Measure:
        return Measure(name, tuple(values), percent, is_share=True)

    return [
        share("vendor tickers answered for", [answered_share(one) for one in figures]),
        count("missing partitions", [int(one.gaps["missing"].sum()) for one in figures]),
        count("failed partitions", [len(one.failures) for one in figures]),
        count("empty partitions", [len(one.empties) for one in figures]),
        count("of them unconfirmed", [_unconfirmed(one) for one in figures]),
        count("checks looked at", [len(one.checks) for one in figures]),
        count("checks that found a defect", [int(one.checks["is_error"].sum()) for one in figures]),
        count("checks with something to look at", [_warnings(one) for one in figures]),
        count("selected days without trades or far too few", [len(one.short) for one in figures]),
        count(
            "weighted events in no period", [int(one.outside["events"].sum()) for one in figures]
        ),
        count("suspect corporate actions", [len(one.suspects) for one in figures]),
        share("minutes in the daily volume", [_minutes(one) for one in figures]),
        share("median of eligible trades in the minutes", [_tape(one) for one in figures]),
        count("ticker-sessions with bars", [len(one.bars) for one in figures]),
        share(
            "of them over 20 % at the clamp", [_mean(one, "is_often_clamped") for one in figures]
        ),
        share("of them over 300 s between bars", [_mean(one, "is_slow") for one in figures]),
        share("of them too few for their dollars", [_mean(one, "is_scarce") for one in figures]),
        *(
            share(f"labels: {outcome.name}", [_labels(one, value) for one in figures])
            for value, outcome in OUTCOMES.items()
        ),
        share("volume left out of the sampled tapes", [_excluded(one) for one in figures]),
    ]


# Numbers ------------------------------------------------------------------------------------------
def answered_share(one: QualityFigures) -> float | None:
    """Share of the expected tickers, over vendor tables and sessions, that was answered for."""
    expected = int(one.coverage["expected"].sum())
    return int((one.coverage["got"] + one.coverage["empty"]).sum()) / expected if expected else None


def _unconfirmed(one: QualityFigures) -> int:
    return int((~one.empties["is_confirmed"]).sum())


def _warnings(one: QualityFigures) -> int:
    return int((~one.checks["is_good"]).sum()) - int(one.checks["is_error"].sum())


def _minutes(one: QualityFigures) -> float | None:
    daily = float(one.reconciled["daily"].sum())
    return float(one.reconciled["minutes"].sum()) / daily if daily else None


def _tape(one: QualityFigures) -> float | None:
    median = one.bars["tape_share"].median()
    return median if isinstance(median, float) else None


def _mean(one: QualityFigures, flag: str) -> float | None:
    return int(one.bars[flag].sum()) / len(one.bars) if len(one.bars) else None


def _labels(one: QualityFigures, value: int) -> float | None:
    rows = int(one.labels["rows"].sum())
    return int(one.labels.filter(pl.col("label") == value)["rows"].sum()) / rows if rows else None


def _excluded(one: QualityFigures) -> float | None:
    return float(one.excluded["share"].sum()) if one.tapes else None
