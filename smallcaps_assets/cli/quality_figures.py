"""The figures of the data-quality report from the lake and its Dagster instance.

Only the needed columns are read, in frames of bounded size; what is kept of a session or of a
ticker-session is one row. Tapes are classified again for a sample only: nothing stores what each
of them left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg
import polars as pl

from smallcaps_assets.cli.spans import Advance, dated_keys, is_in_span, parts, rows
from smallcaps_assets.defs.expected import between_stored, expected_keys
from smallcaps_assets.domain.bars.diagnostics import excluded_by_reason
from smallcaps_assets.domain.market.calendar import session_hours
from smallcaps_assets.domain.quality import figures as quality
from smallcaps_assets.domain.ticks.tape import TickError, prepare_ticks
from smallcaps_assets.lake import Empties, Failures, Lake, split_ticker_session
from smallcaps_assets.orchestration.partitions import Partitions
from smallcaps_assets.orchestration.storage.check_results import check_results
from smallcaps_assets.pipeline.halt_feed import halts_of
from smallcaps_assets.pipeline.losses import losses
from smallcaps_assets.pipeline.market import market_of
from smallcaps_assets.reports.quality_measures import QualityFigures
from smallcaps_assets.reports.spans import Span
from smallcaps_assets.schemas import TABLES
from smallcaps_assets.settings import UNION, Settings

BARS = "dollar_imbalance_bars"
_FAILED = {"table": pl.String, "key": pl.String, "kind": pl.String, "reason": pl.String}
EMPTY = {
    **{"table": pl.String, "key": pl.String, "tickers": pl.List(pl.String)},
    **{"is_confirmed": pl.Boolean, "text": pl.String},
}
_GAPS = {"table": pl.String, "expected": pl.Int64, "missing": pl.Int64, "runs": pl.String}
_SHORT = {"key": pl.String, "found": pl.String}
_OUTSIDE = {"key": pl.String, "events": pl.Int64}
_SUSPECTS = ["date", "ticker", "pct_change", "suspect_reason"]
_MOST_RUNS = 8


@dataclass(frozen=True)
class Source:
    """Where the figures come from; `checks` are those of the whole lake, `tapes` the sample."""

    settings: Settings
    lake: Lake
    instance: dg.DagsterInstance
    checks: pl.DataFrame
    tapes: int
    advance: Advance


def read_source(
    settings: Settings, lake: Lake, instance: dg.DagsterInstance, tapes: int, advance: Advance
) -> Source:
    """What all spans share, read once."""
    return Source(settings, lake, instance, check_results(instance), tapes, advance)


def partitions_to_read(lake: Lake, span: Span, tapes: int) -> int:
    """How many partitions `advance` will count."""
    tables = ("session_summary", "daily_metrics", BARS)
    trades = len(dated_keys(lake, "trades", span))
    return sum(len(dated_keys(lake, table, span)) for table in tables) + min(tapes, trades)


def quality_figures(source: Source, span: Span) -> QualityFigures:
    """The figures of a span."""
    lake = source.lake
    coverage = rows(
        lake, "coverage", dated_keys(lake, "coverage", span), list(TABLES["coverage"].columns)
    )
    reconciled, minutes = _summaries(source, span)
    suspects, metric_days = _suspects(source, span)
    return QualityFigures(
        span=span,
        coverage=coverage,
        failures=_failures(lake, span),
        checks=_checks(source.checks, span),
        gaps=_gaps(source, span),
        suspects=suspects,
        metric_days=metric_days,
        reconciled=reconciled,
        bars=_bars(source, span, minutes),
        labels=_labels(lake, span),
        **_losses(source, span),
        empties=_empties(lake, span),
        **_excluded(source, span),
    )


def _losses(source: Source, span: Span) -> dict[str, pl.DataFrame]:
    """Ticker-sessions whose trades are not their day's, and events that lie in no period."""
    lost = losses(source.lake, source.settings.dataset.periods, span.start, span.end)
    return {
        "short": pl.DataFrame(list(lost.short.items()), schema=_SHORT, orient="row"),
        "outside": pl.DataFrame(list(lost.outside.items()), schema=_OUTSIDE, orient="row"),
    }


def _checks(checks: pl.DataFrame, span: Span) -> pl.DataFrame:
    """Those of the span's partitions, and of whole tables."""
    pairs = checks.select("table", "key").iter_rows()
    kept = [table in TABLES and is_in_span(table, key, span) for table, key in pairs]
    return checks.filter(pl.Series(kept, dtype=pl.Boolean))


def _failures(lake: Lake, span: Span) -> pl.DataFrame:
    found = [
        (table, key, failure.kind, failure.reason)
        for table, key, failure in Failures(lake).all()
        if is_in_span(table, key, span)
    ]
    return pl.DataFrame(found, schema=_FAILED, orient="row")


def _empties(lake: Lake, span: Span) -> pl.DataFrame:
    found = [
        (empty.table, empty.key, list(empty.tickers), empty.is_confirmed, empty.describe())
        for empty in Empties(lake).all()
        if is_in_span(empty.table, empty.key, span)
    ]
    return pl.DataFrame(found, schema=EMPTY, orient="row")


def _gaps(source: Source, span: Span) -> pl.DataFrame:
    """Of each table cut by date: expected, missing, and the missing ones as runs of neighbours."""
    market = market_of(source.settings)
    start, end = market.span
    partitions = Partitions(
        start,
        min(end, market.last_day),
        source.settings.dataset.periods,
        strategies=source.settings.backtest.names,
    )
    found = []
    for name, table in TABLES.items():
        if not table.partitioning.is_dated:
            continue
        keys = expected_keys(source.lake, source.instance, partitions, name)
        wanted, stored = between_stored(source.lake, name, keys)
        wanted = [key for key in wanted if is_in_span(name, key, span)]
        runs = quality.gap_runs(wanted, stored)
        missing = sum(count for _, _, count in runs)
        found.append((name, len(wanted), missing, _shown(runs)))
    return pl.DataFrame(found, schema=_GAPS, orient="row")


def _shown(runs: list[tuple[str, str, int]]) -> str:
    texts = [first if n == 1 else f"{first} to {last} ({n:,})" for first, last, n in runs]
    more = f" and {len(texts) - _MOST_RUNS:,} more" if len(texts) > _MOST_RUNS else ""
    return ", ".join(texts[:_MOST_RUNS]) + more


def _summaries(source: Source, span: Span) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Sums by session, and the minutes' volume of the ticker-sessions that have bars."""
    lake, keys = source.lake, dated_keys(source.lake, "session_summary", span)
    chosen = _ticker_sessions(dated_keys(lake, BARS, span))
    sums, minutes = [], []
    for found in parts(lake, "session_summary", keys, list(quality.RECONCILED)):
        sums.append(quality.reconciliation(found))
        held = found.select("date", "ticker", "minute_volume")
        minutes.append(held.join(chosen, on=["date", "ticker"], how="semi"))
        source.advance(len(sums[-1]))
    return pl.concat(sums), pl.concat(minutes)


def _ticker_sessions(keys: list[str]) -> pl.DataFrame:
    pairs = [split_ticker_session(key) for key in keys]
    return pl.DataFrame(pairs, schema={"ticker": pl.String, "date": pl.Date}, orient="row")


def _suspects(source: Source, span: Span) -> tuple[pl.DataFrame, int]:
    """Suspect ticker-days, newest first, and the number of all."""
    keys = dated_keys(source.lake, "daily_metrics", span)
    found, count = [], 0
    for part in parts(source.lake, "daily_metrics", keys, _SUSPECTS):
        found.append(part.filter(pl.col("suspect_reason").is_not_null()))
        count += len(part)
        source.advance(part["date"].n_unique())
    return pl.concat(found).sort("date", "ticker", descending=[True, False]), count


def _bars(source: Source, span: Span, minutes: pl.DataFrame) -> pl.DataFrame:
    found = []
    for part in parts(source.lake, BARS, dated_keys(source.lake, BARS, span), list(quality.BARS)):
        found.append(quality.bar_figures(part))
        source.advance(len(found[-1]))
    return quality.tape_shares(pl.concat(found), minutes)


def _labels(lake: Lake, span: Span) -> pl.DataFrame:
    keys = [key for key in lake.keys("ml_dataset") if key != UNION]
    columns = ["date", "label", "is_selection_known"]
    is_of_span = pl.col("date").is_between(span.start, span.end)
    held = [part.filter(is_of_span) for part in parts(lake, "ml_dataset", keys, columns)]
    return quality.label_balance(pl.concat(held), "1mo")


def _excluded(source: Source, span: Span) -> Mapping[str, Any]:
    """What a sample of the tapes left out; evenly spread over the stored ones, by session."""
    keys = sorted(
        dated_keys(source.lake, "trades", span), key=lambda key: split_ticker_session(key)[::-1]
    )
    count = min(source.tapes, len(keys))
    sample = [keys[n * len(keys) // count] for n in range(count)]
    audits, counted, refused = [], 0.0, 0
    for key in sample:
        ticker, day = split_ticker_session(key)
        feed = halts_of(source.lake, ticker, day)
        trades = source.lake.read("trades", key)
        try:
            hours = session_hours(day)
            tape = prepare_ticks(trades, hours, source.settings.ticks, feed, ticker)
            audits.append(tape.audit)
            counted += float(tape.ticks["size"].sum())
        except TickError:
            refused += 1
        source.advance(1)
    return {
        "excluded": excluded_by_reason(audits, counted),
        "tapes": len(audits),
        "stored_tapes": len(keys),
        "refused_tapes": refused,
    }
