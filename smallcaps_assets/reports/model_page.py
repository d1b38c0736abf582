"""The report on models: folds, how good predictions were, calibration, what models look at.

The figures are those of `domain/models/judgement.py` on the stored predictions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl
from matplotlib.figure import Figure

from smallcaps_assets.reports import human
from smallcaps_assets.reports.canvas import (
    AMBER,
    BLUE,
    GREEN,
    GREY,
    MUTED,
    RED,
    Plot,
    Size,
    draw_plot,
    legend_above,
    panel,
)
from smallcaps_assets.reports.sections import Grid, Section, render_page
from smallcaps_assets.reports.spans import Span

_COLOURS = {
    **{"lightgbm": BLUE, "xgboost": AMBER, "logistic": GREY, "convolution": RED},
    "ensemble": GREEN,
}
_WIDE, _NARROW = Size(5.2, 3.0), Size(4.3, 3.0)
_SHORT = 6
_WORDS = (
    "Every row was scored by the models of its own month, which had seen nothing of that month."
    " Errors take a ticker-session as one draw. A touch or a profitable pattern can be foretold by"
    " volatility alone, without any edge: judge those by the return, after costs."
)
_MACHINERY = (
    "Trained on {months} months a fold: this shows the machinery, not an edge. Take a longer lake."
)


@dataclass(frozen=True)
class ModelFigures:
    """What the page shows: folds, models, figures of predictions, and features by target.

    `judged` has the figures of all months, `monthly` those of each, `seen` those of companies with
    and without a row in the training months, `oracle` how they compare with the market's own
    forecast: nothing where it has none.
    """

    span: Span
    market: str
    folds: pl.DataFrame
    models: pl.DataFrame
    judged: pl.DataFrame
    monthly: pl.DataFrame
    seen: pl.DataFrame
    reliability: pl.DataFrame
    features: dict[str, pl.DataFrame]
    oracle: pl.DataFrame

    @property
    def words(self) -> str:
        """What to know before a figure is believed."""
        months: float | None = self.folds.select(
            ((pl.col("validate_start") - pl.col("train_start")).dt.total_days() / 30.4)
            .round()
            .min()
        ).item()
        told = []
        if months is not None and months < _SHORT:
            told.append(_MACHINERY.format(months=int(months)))
        return " ".join(filter(None, [_WORDS, *told, human.market_text(self.market)]))

    @property
    def leaks(self) -> list[str]:
        """A line for each model that knows what nobody could."""
        if self.oracle.is_empty():
            return []
        return [
            f"leak: {r['target']} {r['algorithm']} is {r['difference']:.3f} above the oracle, more"
            f" than three standard errors of {r['difference_error']:.3f}; look for what was unknown"
            for r in self.oracle.filter("is_leak").iter_rows(named=True)
        ]

    @property
    def refused(self) -> list[str]:
        """A line for each fold or model that there is not."""
        folds = self.folds.filter(pl.col("refusal").is_not_null())
        models = self.models.filter(pl.col("refusal").is_not_null())
        return [
            *(f"{r['month']} {r['sample']}: {r['refusal']}" for r in folds.iter_rows(named=True)),
            *(
                f"{r['month']} {r['target']} {r['algorithm']}: {r['refusal']}"
                for r in models.iter_rows(named=True)
            ),
        ]


# Tables ------------------------------------------------------------------------------------------
def fold_grid(folds: pl.DataFrame) -> Grid:
    """The folds as a table of texts."""
    columns = ["test month", "sample", "trained from", "to", "train", "validate", "test"]
    rows = [
        [
            *(row["month"], row["sample"], str(row["train_start"]), str(row["validate_start"])),
            *(human.count(row[f"{part}_rows"]) for part in ("train", "validate", "test")),
            human.count(row["purged"]),
            human.count(row["embargoed"]),
            human.count(round(row["train_effective"])),
        ]
        for row in folds.sort("month", "sample").iter_rows(named=True)
    ]
    more = ["purged", "embargoed", "effective"]
    return Grid([*columns, *more], rows, "Folds", names=["sample", "trained from", "to"])


def score_grid(judged: pl.DataFrame, title: str, by: str = "") -> Grid:
    """The figures of `judged` as a table of texts."""
    columns = ["target", *([by] if by else []), "model", "events", "positive", "AUC", "error"]
    rows = [
        [
            row["target"],
            *([_named(row[by])] if by else []),
            row["algorithm"],
            human.count(row["rows"]),
            human.percent(row["share"]),
            _number(row["auc"]),
            _number(row["auc_error"]),
            _number(row["brier"]),
            _number(row["reliability"], 2),
            human.percent(row["top_return"], 2, signed=True),
            human.percent(row["top_error"], 2),
        ]
        for row in judged.iter_rows(named=True)
    ]
    more = ["Brier", "reliability", "top decile", "its error"]
    return Grid([*columns, *more], rows, title, names=["model", *([by] if by else [])])


def oracle_grid(shares: pl.DataFrame) -> Grid:
    """What of the oracle's edge the models reach."""
    rows = [
        [
            *(row["target"], row["algorithm"], human.count(row["rows"])),
            *(_number(row[name]) for name in ("auc", "oracle_auc", "share", "low", "high")),
            *(_number(row[name]) for name in ("difference", "difference_error")),
            {True: "yes", False: "no"}.get(row["is_leak"], human.MISSING),
        ]
        for row in shares.iter_rows(named=True)
    ]
    columns = ["target", "model", "rows", "AUC", "oracle", "share", "from", "to", "difference"]
    note = (
        "One row a quarter of an hour. The oracle knows the law of the simulated market and what is"
        " public; no share where its own edge is under three standard errors."
    )
    return Grid([*columns, "its error", "leak"], rows, "Against the oracle", note, names=["model"])


def feature_grid(features: pl.DataFrame, target: str) -> Grid:
    """What the models of a target look at most."""
    rows = [
        [
            row["feature"],
            human.percent(row["share"]),
            human.percent(row["spread"]),
            _number(row["mutual_information"], 4),
            _number(row["permutation"], 4),
        ]
        for row in features.iter_rows(named=True)
    ]
    columns = ["feature", "share of |SHAP|", "spread", "mutual information", "permuted"]
    return Grid(columns, rows, f"Most looked at: {target}", is_folded=True)


def _number(value: float | None, digits: int = 3) -> str:
    return human.MISSING if value is None else f"{value:.{digits}f}"


def _named(value: object) -> str:
    return {True: "not trained on", False: "trained on"}.get(value, str(value))  # type: ignore[call-overload]


# Plots -------------------------------------------------------------------------------------------
def auc_plot(monthly: pl.DataFrame, target: str) -> Plot | None:
    """The area under the curve by test month, with two standard errors."""
    rows = monthly.filter(pl.col("target") == target, pl.col("auc").is_not_null())
    if rows.is_empty():
        return None
    months = rows["month"].unique().sort().to_list()

    def draw(figure: Figure, is_narrow: bool) -> None:
        axes = panel(figure, 0.55, 0.4, 0.12, 0.62)
        for number, (name, colour) in enumerate(_COLOURS.items()):
            own = rows.filter(pl.col("algorithm") == name)
            places = [months.index(m) + 0.12 * (number - 1.5) for m in own["month"]]
            error = (2 * own["auc_error"].fill_null(0)).to_list()
            axes.errorbar(
                places, own["auc"].to_list(), error, fmt="o", ms=4, color=colour, label=name
            )
        axes.axhline(0.5, color=MUTED, lw=1, ls=(0, (3, 2)))
        step = max(1, len(months) // 8)
        axes.set_xticks(range(0, len(months), step), months[::step])
        axes.set_title(f"{target}: AUC by test month", pad=22)
        legend_above(axes)

    return draw_plot(draw, f"Area under the curve of {target} by test month.", _WIDE, _NARROW)


def reliability_plot(rows: pl.DataFrame, target: str) -> Plot | None:
    """The share of positive outcomes against the mean probability, in ten bins."""
    own = rows.filter(pl.col("target") == target)
    if own.is_empty():
        return None

    def draw(figure: Figure, is_narrow: bool) -> None:
        axes = panel(figure, 0.55, 0.45, 0.12, 0.62)
        values = [*own["probability"].to_list(), *own["outcome"].to_list()]
        ends = [min(values), max(values)]
        axes.plot(ends, ends, color=MUTED, lw=1, ls=(0, (3, 2)))
        for name, colour in _COLOURS.items():
            line = own.filter(pl.col("algorithm") == name)
            axes.plot(
                line["probability"], line["outcome"], "o-", ms=3, lw=1, color=colour, label=name
            )
        axes.set_xlabel("probability")
        axes.set_title(f"{target}: share that came true", pad=22)
        legend_above(axes)

    return draw_plot(draw, f"Reliability of the probabilities of {target}.", _WIDE, _NARROW)


def feature_plot(features: pl.DataFrame, target: str) -> Plot | None:
    """The features with the greatest share of |TreeSHAP|, and its spread over models."""
    if features.is_empty():
        return None
    shown = features.head(12).reverse()

    def draw(figure: Figure, is_narrow: bool) -> None:
        axes = panel(figure, 2.0, 0.3, 0.12, 0.32)
        shares, spread = (100 * shown["share"]).to_list(), (100 * shown["spread"]).to_list()
        axes.barh(range(shown.height), shares, xerr=spread, color=BLUE, ecolor=MUTED)
        axes.set_yticks(range(shown.height), shown["feature"].to_list())
        axes.grid(axis="y", visible=False)
        axes.grid(axis="x")
        axes.set_title(f"{target}: share of |SHAP|, %")

    return draw_plot(draw, f"What the models of {target} look at most.", _WIDE, _NARROW)


# Page --------------------------------------------------------------------------------------------
def grids(figures: ModelFigures) -> Iterator[Grid]:
    """The tables of the report, in order."""
    yield fold_grid(figures.folds)
    yield from score_grids(figures)
    yield from (feature_grid(rows, target) for target, rows in figures.features.items())


def score_grids(figures: ModelFigures) -> Iterator[Grid]:
    """How good the predictions were: over all, by month, by company, and beside the oracle."""
    yield score_grid(figures.judged, "All test months")
    yield score_grid(figures.monthly, "By test month", "month")
    yield score_grid(figures.seen, "Companies with and without a row in the training", "is_unseen")
    if not figures.oracle.is_empty():
        yield oracle_grid(figures.oracle)


def model_page(figures: ModelFigures) -> str:
    """The HTML of the report."""
    targets = figures.judged["target"].unique(maintain_order=True).to_list()
    sections = [
        Section("scores", "Out of sample", figures.words,
                grids=[[grid] for grid in score_grids(figures)],
                small=[p for t in targets for p in (auc_plot(figures.monthly, t),
                                                    reliability_plot(figures.reliability, t))],
                empty="There are no predictions."),
        Section("features", "What the models look at",
                "Shares of the mean |exact contribution| on the validation months, and their spread"
                " over months and algorithms; by how much the log loss grows when a cluster of"
                " features is permuted. A share says that a feature is used, not that it pays.",
                small=[feature_plot(rows, t) for t, rows in figures.features.items()],
                grids=[[feature_grid(rows, t)] for t, rows in figures.features.items()]),
        Section("folds", "Folds", "Test rows are never dropped.",
                grids=[[fold_grid(figures.folds)]]),
        Section("missing", "What there is no model of", "",
                grids=[[_refusals(figures.refused)]], empty="Every fold has all its models."),
    ]  # fmt: skip
    most = figures.judged.group_by("target").agg(pl.col("rows").max())
    cards = [
        (human.count(figures.monthly["month"].n_unique()), "test months"),
        (human.count(figures.models.filter(pl.col("refusal").is_null()).height), "models"),
        (human.count(sum(most["rows"])), "events judged"),
        (human.count(sum(figures.models["trials"].drop_nulls())), "parameters tried"),
    ]
    return render_page("Models", figures.market, [figures], cards, sections)


def _refusals(lines: Sequence[str]) -> Grid:
    rows = [line.partition(": ")[::2] for line in lines]
    return Grid(["what", "why"], [list(row) for row in rows], words=["why"])
