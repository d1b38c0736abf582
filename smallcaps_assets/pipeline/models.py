"""Folds, models, importances and predictions: read from the lake, made month by month.

Months are made in worker processes, each on its own rows. A month's models are made from the rows
of its fold and nothing else, its predictions by its models and no other.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import polars as pl

from smallcaps_assets.domain.models import events
from smallcaps_assets.domain.models.algorithms import CONVOLUTION
from smallcaps_assets.domain.models.events import TARGETS, Target
from smallcaps_assets.domain.models.extra import INSTALL, ExtraError, is_installed, missing
from smallcaps_assets.domain.models.fold_table import fold_table, folds_of
from smallcaps_assets.domain.models.folds import FoldError, Lengths, check_split, day_digests
from smallcaps_assets.domain.models.importance import most_looked_at
from smallcaps_assets.domain.models.judgement import judged
from smallcaps_assets.domain.models.scoring import predict, scorers
from smallcaps_assets.domain.models.training import Trained, train_month
from smallcaps_assets.domain.models.tuning import Tuned
from smallcaps_assets.lake import Lake
from smallcaps_assets.lake.scanning import scan_keys
from smallcaps_assets.pipeline.fold_digests import anchor_of, month_digest, test_months
from smallcaps_assets.pipeline.outcome import BuildResult, Outcome, Outcomes
from smallcaps_assets.pipeline.processes import Workers, allowed
from smallcaps_assets.pipeline.threads import in_threads
from smallcaps_assets.pipeline.workspace import Workspace
from smallcaps_assets.reports.markdown import preview
from smallcaps_assets.reports.sparkline import areas_chart, share_bars
from smallcaps_assets.schemas import TABLES
from smallcaps_assets.schemas.features import CATALOGUE
from smallcaps_assets.schemas.model_columns import BARS, SAMPLES
from smallcaps_assets.settings import UNION, ModelSettings, RunSettings, Settings

_OF_ROWS = (
    *("ticker", "date", "bar_id", "identity", "t0", "t1", "price_at_t0", "is_selection_known"),
    *("label", "label_return", "forward_return_5m", "forward_return_15m"),
    *("forward_mid_return_5m", "forward_mid_return_15m"),
    *CATALOGUE,
)
_PATTERN_TABLES = ("pattern_events", "pattern_labels")


# Rows --------------------------------------------------------------------------------------------
def sample_rows(
    lake: Lake, sample: str, start: date, end: date, has_sequences: bool = False
) -> pl.DataFrame:
    """The rows of a sample from a day on until before another, with their sequences if asked for.

    Raises LakeError for a dataset of another contract, older than the features of today.
    """
    days = pl.col("date").is_between(start, end, closed="left")
    is_part = sample == BARS and not has_sequences  # else of all bars of the sessions
    wanted = days & pl.col("is_selection_known") if is_part else days
    found = scan_keys(lake, "ml_dataset", [UNION], wanted, list(_OF_ROWS))
    dataset = pl.concat([TABLES["ml_dataset"].empty().select(_OF_ROWS), *found])
    if has_sequences:
        dataset = events.with_sequences(dataset)
    if sample == BARS:
        return events.bar_rows(dataset)
    sessions = dataset.select(pl.format("{}_{}", "ticker", "date")).to_series().unique().sort()
    keys = [key for key in sessions if lake.exists(_PATTERN_TABLES[1], key)]
    found, labels = (lake.read_many(name, keys) for name in _PATTERN_TABLES)
    return events.pattern_rows(found, labels, dataset)


def _years(lake: Lake) -> Iterator[tuple[date, date]]:
    """The calendar years that the dataset has rows of."""
    days = pl.concat(list(scan_keys(lake, "ml_dataset", [UNION], columns=["date"])))
    for year in days["date"].dt.year().unique().sort():
        yield date(year, 1, 1), date(year + 1, 1, 1)


# Folds -------------------------------------------------------------------------------------------
def folds(work: Workspace, tables: list[str], keys: list[str]) -> Outcomes:
    """The outcome of `folds`, which is made whole."""
    until = work.span.end
    yield work.make("folds", None, lambda: build_folds(work.lake, work.settings.models, until))


def build_folds(lake: Lake, settings: ModelSettings, until: date) -> BuildResult:
    """The folds of both samples; the metadata says why a sample has none.

    A month that has begun by `until`, the last session of the market so far, has one too.
    """
    frames, told = [TABLES["folds"].empty()], {}
    for sample in SAMPLES:
        rows, days = _keys_and_digests(lake, sample, takes_sequences(settings))
        try:
            found = fold_table(sample, rows, days, settings, until)
        except FoldError as error:
            told[f"no folds of {sample}"] = str(error)
            continue
        frames.append(found)
        told[f"test months of {sample}"] = found.height
        told |= _lengths_told(sample, found)
    return BuildResult(pl.concat(frames), told)


def _lengths_told(sample: str, found: pl.DataFrame) -> dict[str, str]:
    if found.is_empty():
        return {}
    row = found.row(0, named=True)
    lengths = lengths_of(row)
    return {f"months of {sample}": f"{lengths.train} to train, {lengths.validate} to validate"}


def takes_sequences(settings: ModelSettings) -> bool:
    """Whether some algorithm takes the last bars of an event."""
    return CONVOLUTION in settings.algorithms


def _keys_and_digests(
    lake: Lake, sample: str, has_sequences: bool
) -> tuple[pl.DataFrame, dict[date, str]]:
    """Keys and instants of all rows, and what tells their days apart; a year in memory at once."""
    kept = ["ticker", "date", "event_id", "t0", "known_by"]
    kept += [target.decided for target in TARGETS.values() if target.sample == sample]
    frames, days = [], {}
    for start, end in _years(lake):
        rows = sample_rows(lake, sample, start, end, has_sequences)
        days |= day_digests(rows)
        frames.append(rows.select(kept))
    return pl.concat(frames) if frames else no_rows(sample).select(kept), days


def no_rows(sample: str) -> pl.DataFrame:
    """A sample without rows."""
    dataset = TABLES["ml_dataset"].empty()
    if sample == BARS:
        return events.bar_rows(dataset)
    patterns, labels = (TABLES[name].empty() for name in _PATTERN_TABLES)
    return events.pattern_rows(patterns, labels, dataset)


def lengths_of(row: Mapping[str, Any]) -> Lengths:
    """Months to train and to validate, of a row of `folds`."""
    edges = [row[name] for name in ("train_start", "validate_start", "test_start")]
    first, second, third = (day.year * 12 + day.month for day in edges)
    return Lengths(second - first, third - second)


# Months ------------------------------------------------------------------------------------------
def walk_forward(work: Workspace, tables: list[str], keys: list[str]) -> Outcomes:
    """Outcomes of the tables of some test months; those whose validation is tuned on come first."""
    if not is_installed():
        error = ExtraError(f"models need {', '.join(missing())}; install them with `{INSTALL}`")
        yield from (Outcome(table, key, error=error) for key in keys for table in tables[:1])
        return
    anchors = [key for key in keys if key == anchor_of(work.lake, key)]
    first = anchors if work.settings.models.trials else []
    for some in (first, [key for key in keys if key not in first]):
        helpers = month_workers(work.settings.run, len(some))
        make = _Make(work, tables, helpers)
        for made in in_threads(make.month, some, max(1, helpers.count), helpers.abandon):
            yield from made


def month_workers(settings: RunSettings, months: int) -> Workers:
    """A worker process for each month at once, as far as there is memory; none for one month."""
    count = min(allowed(settings), months)
    return Workers(count if count > 1 else 0)


@dataclass
class _Make:
    """The tables of a run's months."""

    work: Workspace
    tables: list[str]
    helpers: Workers

    def month(self, key: str) -> list[Outcome]:
        """The tables of a month, ending with the first that fails."""
        month = _Month(self.work, key, self.helpers)
        outcomes: list[Outcome] = []
        for table in self.tables:
            outcomes.append(self.work.make(table, key, lambda t=table: month.build(t)))
            if outcomes[-1].is_failed:
                break
        return outcomes


@dataclass
class _Month:
    """One test month: its models are trained once for all tables made of them."""

    work: Workspace
    key: str
    helpers: Workers
    trained: dict[str, pl.DataFrame] = field(default_factory=dict)

    def build(self, table: str) -> BuildResult:
        """The rows of a table."""
        place = (self.work.settings, str(self.work.lake.root), self.key)
        if table == "predictions":
            models = self.trained.get("models")
            stored = self.work.lake.read("models", self.key) if models is None else models
            frame = self.helpers.call(predict_month, *place, stored)
        else:
            self.trained = self.trained or self.helpers.call(train, *place, self._anchor)
            frame = self.trained[table]
        return BuildResult(frame, told_of(table, frame))

    @property
    def _anchor(self) -> str:
        """The month whose stored models were tuned for this year, if they are current."""
        first = anchor_of(self.work.lake, self.key)
        is_there = first != self.key and self.work.is_complete("models", first)
        return first if is_there else ""


def told_of(table: str, frame: pl.DataFrame) -> dict[str, Any]:
    """What a materialization shows: figures by model, the features that count most."""
    if frame.is_empty():
        return {"rows": "none: no event of this month could be scored yet"}
    if table == "predictions":
        return _areas_told(judged(frame))
    if table == "model_importance":
        most = most_looked_at(frame, 10)
        bars = share_bars([(name, share) for name, share in most["feature", "share"].rows()[:5]])
        return {"share of |SHAP|": bars, "most looked at": preview(most, 10)}
    shown = ["target", "algorithm", "train_rows", "rounds", "validate_auc", "refusal"]
    return {"models": preview(frame.select(shown), 32)}


def _areas_told(figures: pl.DataFrame) -> dict[str, Any]:
    """A picture and a table of the areas under the curve, and each as a number to be plotted."""
    known = figures.filter(pl.col("auc").is_not_null())
    areas = [
        (f"{target} {algorithm}", area, error or 0.0)
        for target, algorithm, area, error in known[
            "target", "algorithm", "auc", "auc_error"
        ].iter_rows()
    ]
    numbers = {f"AUC {name}": area for name, area, _ in areas}
    return {"areas": areas_chart(areas), "by model": preview(figures, 32, 12), **numbers}


def train(settings: Settings, root: str, key: str, anchor: str) -> dict[str, pl.DataFrame]:
    """The rows of `models` and `model_importance` of a test month.

    `anchor` is the month whose stored models have the parameters that were tuned for the year;
    empty where they are to be tuned.
    """
    lake, chosen = Lake(root), settings.models
    tuned = _parameters(lake, chosen, key, anchor)
    found = _trained(lake, chosen, key, tuned)
    tables = {
        "models": pl.DataFrame(found.models, schema_overrides=_TYPES, infer_schema_length=None)
    }
    tables["model_importance"] = pl.concat([_no_importance(), *found.importances], how="diagonal")
    told = {"month": pl.lit(key), "fold_digest": pl.lit(month_digest(lake, key))}
    return {
        name: TABLES[name].conform(_with_all(name, frame.with_columns(**told)))
        for name, frame in tables.items()
    }


def _parameters(
    lake: Lake, settings: ModelSettings, key: str, anchor: str
) -> dict[tuple[str, str], Tuned] | None:
    """Parameters of the first test month of the year; None to tune for this month, which is it."""
    first = anchor_of(lake, key)
    if not settings.trials:
        return {}
    if first == key:
        return None
    rows = (
        lake.read("models", anchor).iter_rows(named=True)
        if anchor
        else _trained(lake, settings, first, None).models
    )
    return {
        (row["target"], row["algorithm"]): Tuned(json.loads(row["parameters"]), 0, first)
        for row in rows
        if row.get("trials")
    }


def _trained(
    lake: Lake, settings: ModelSettings, key: str, tuned: dict[tuple[str, str], Tuned] | None
) -> Trained:
    parts = {sample: month_parts(lake, settings, sample, key) for sample in SAMPLES}
    samples = {sample: found[:2] for sample, found in parts.items() if found is not None}
    if not samples:
        raise FoldError(f"{key} has no usable fold; {_why_not(lake, key)}")
    return train_month(samples, settings, key, tuned)


def _why_not(lake: Lake, key: str) -> str:
    """Why a month has no usable fold."""
    months = test_months(lake)
    own = lake.read("folds").filter(pl.col("month") == key)["refusal"].drop_nulls()
    if own.len():
        return own[0]
    return f"choose from {', '.join(months)}" if months else "take more sessions"


def month_parts(
    lake: Lake, settings: ModelSettings, sample: str, key: str
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame] | None:
    """Training, validation and test rows of a sample's fold; None when it has no usable one."""
    stored = lake.read("folds").filter(
        pl.col("sample") == sample, pl.col("month") == key, pl.col("refusal").is_null()
    )
    if stored.is_empty():
        return None
    row = stored.row(0, named=True)
    span = row["train_start"], row["test_end"]
    rows = sample_rows(lake, sample, *span, takes_sequences(settings))
    (fold,) = folds_of(rows, lengths_of(row), settings, key)
    train, validate, test = (
        rows[part] for part in (fold.train_rows, fold.validate_rows, fold.test_rows)
    )
    check_split(train, test)
    check_split(validate, test, ("validation", "test"))
    return train, validate, test


def test_rows(lake: Lake, sample: str, month: str) -> pl.DataFrame:
    """The rows of a sample's test month, of which none is ever dropped; none without a fold."""
    stored = lake.read("folds").filter(
        pl.col("sample") == sample, pl.col("month") == month, pl.col("refusal").is_null()
    )
    if stored.is_empty():
        return no_rows(sample)
    row = stored.row(0, named=True)
    return sample_rows(lake, sample, row["test_start"], row["test_end"])


def predict_month(settings: Settings, root: str, key: str, models: pl.DataFrame) -> pl.DataFrame:
    """The rows of `predictions` of a test month."""
    lake, table, ready = Lake(root), TABLES["predictions"], scorers(models)
    frames = [table.empty()]
    for sample in SAMPLES:
        parts = month_parts(lake, settings.models, sample, key)
        targets = [t for t in TARGETS.values() if t.sample == sample]
        if parts is None or parts[2].is_empty():
            continue
        train, _, test = parts
        for target in targets:
            scored = predict(test, ready, [target.name])
            told = _with_outcomes(scored, test, target, train["identity"])
            frames.append(table.conform(told.with_columns(month=pl.lit(key))))
    return table.conform(pl.concat(frames))


def _with_outcomes(
    scored: pl.DataFrame, rows: pl.DataFrame, target: Target, seen: pl.Series
) -> pl.DataFrame:
    """Predictions with what came of each event."""
    told = rows.select(
        *events.KEY,
        "t0",
        is_unseen=~pl.col("identity").is_in(seen.unique().to_list()),
        outcome=target.name,
        outcome_return=target.outcome,
        known=target.decided,
    )
    return scored.join(told, on=events.KEY)


_TYPES = {
    **{"knots_x": pl.List(pl.Float64), "knots_y": pl.List(pl.Float64)},
    "quantiles": pl.List(pl.Float64),
}


def _no_importance() -> pl.DataFrame:
    return TABLES["model_importance"].empty().drop("month")


def _with_all(name: str, frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with a null column for each that it lacks."""
    absent = [column for column in TABLES[name].columns if column not in frame.columns]
    return frame.with_columns(pl.lit(None).alias(column) for column in absent)
