"""The page of the data-quality report: one span, or two side by side.

What is shown of the figures in `quality_measures.py`; drawing is in `quality_plots.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from smallcaps_assets.domain.quality.figures import PARTS, coverage_totals
from smallcaps_assets.reports import human
from smallcaps_assets.reports import quality_plots as plots
from smallcaps_assets.reports.canvas import OUTCOMES
from smallcaps_assets.reports.quality_measures import (
    QualityFigures,
    answered_share,
    quality_measures,
)
from smallcaps_assets.reports.sections import (
    Grid,
    Section,
    both,
    measures_grid,
    render_page,
    titled,
)
from smallcaps_assets.reports.spans import Measure

MOST_ROWS = 50


def quality_page(figures: Sequence[QualityFigures], market: str) -> str:
    """The HTML of the report on one or two spans."""
    measures = measures_grid(quality_measures(figures), [one.span for one in figures])
    heading = "Side by side" if len(figures) > 1 else "In figures"
    sections = [
        Section("figures", heading, grids=[[measures]]),
        _coverage(figures),
        _gaps(figures),
        _failures(figures),
        _empties(figures),
        _checks(figures),
        _losses(figures),
        _suspects(figures),
        _reconciliation(figures),
        _bars(figures),
        _balance(figures),
        _left_out(figures),
    ]
    return render_page("Data quality", market, figures, _cards(figures), sections)


def _cards(figures: Sequence[QualityFigures]) -> list[tuple[str, str]]:
    """The most telling figures, for two spans of both."""
    bad = [int((~one.checks["is_good"]).sum()) for one in figures]
    return [
        (
            both(human.percent(answered_share(one)) for one in figures),
            "of vendor tickers answered for",
        ),
        (
            both(human.count(int(one.gaps["missing"].sum())) for one in figures),
            "partitions missing",
        ),
        (both(human.count(len(one.failures)) for one in figures), "partitions failed"),
        (both(human.count(n) for n in bad), "checks not passed"),
    ]


# Sections ----------------------------------------------------------------------------------------
def _first(count: int) -> str:
    """A note on what a table leaves out."""
    return f"The first {MOST_ROWS} of {count:,}; --json gives all." if count > MOST_ROWS else ""


def _coverage(figures: Sequence[QualityFigures]) -> Section:
    return Section(
        "coverage",
        "Coverage of the vendor's tables",
        "For how many of its expected tickers each table has rows, or the answer that"
        " there are none. The next run retries what failed; what the plan does not"
        " cover needs another plan or route. White: nothing was expected.",
        plots=[plots.coverage_plot(one.coverage) for one in figures],
        grids=[
            [_coverage_grid(one, titled("Tickers x sessions", one, figures))] for one in figures
        ],
        empty="The table coverage is empty; `smallcaps run` makes it.",
    )


def _coverage_grid(one: QualityFigures, title: str) -> Grid:
    texts = [
        [row["table"], *(human.count(row[n]) for n in PARTS), human.percent(row["answered"], 2)]
        for row in coverage_totals(one.coverage).iter_rows(named=True)
    ]
    columns = ["table", *(name.replace("_", " ") for name in PARTS), "answered"]
    return Grid(columns, texts, title)


def _gaps(figures: Sequence[QualityFigures]) -> Section:
    grids = []
    for one in figures:
        rows = one.gaps.filter(pl.col("missing") > 0)
        texts = [
            [row["table"], human.count(row["expected"]), human.count(row["missing"]), row["runs"]]
            for row in rows.iter_rows(named=True)
        ]
        columns = ["table", "expected", "missing", "which"]
        grids.append(Grid(columns, texts, titled("Missing", one, figures), words=["which"]))
    return Section(
        "gaps",
        "Gaps against the calendar",
        "Partitions that are missing between the first and the last stored one: sessions by the"
        " exchange's calendar, ticker-sessions by the registry.",
        grids=[[grid] for grid in grids],
        empty="None: every partition between the first and the last stored one is there.",
    )


def _failures(figures: Sequence[QualityFigures]) -> Section:
    grids = []
    for one in figures:
        texts = [list(row) for row in one.failures.head(MOST_ROWS).iter_rows()]
        columns, note = ["table", "partition", "kind", "reason"], _first(len(one.failures))
        title = titled("Failed", one, figures)
        grids.append(Grid(columns, texts, title, note, ["reason"], ["partition", "kind"]))
    return Section(
        "failures",
        "Failures",
        "Partitions of the vendor's tables whose last attempt failed, whole or for some tickers.",
        grids=[[grid] for grid in grids],
        empty="None: the last attempt at every partition succeeded.",
    )


def _empties(figures: Sequence[QualityFigures]) -> Section:
    grids = []
    for one in figures:
        rows = one.empties.sort("is_confirmed", maintain_order=True).head(MOST_ROWS)
        texts = [list(row) for row in rows.select("table", "key", "text").iter_rows()]
        columns, note = ["table", "partition", "what is known"], _first(len(one.empties))
        title = titled("Empty", one, figures)
        grids.append(Grid(columns, texts, title, note, ["what is known"], ["partition"]))
    return Section(
        "empties",
        "Empty answers",
        "Partitions, or tickers in them, that came without rows although some are expected. One"
        " that was read on one day only is read again by the first run of another day.",
        grids=[[grid] for grid in grids],
        empty="None: everything that should have rows has some.",
    )


def _checks(figures: Sequence[QualityFigures]) -> Section:
    grids = []
    for one in figures:
        grids.append([_check_grid(one, titled("Checks by table", one, figures))])
        bad = one.checks.filter(~pl.col("is_good")).sort("is_error", "table", descending=True)
        texts = [
            [
                row["table"],
                row["key"] or "all",
                "defect" if row["is_error"] else "look",
                row["text"],
            ]
            for row in bad.head(MOST_ROWS).iter_rows(named=True)
        ]
        columns = ["table", "partition", "kind", "found"]
        title = titled("Not passed", one, figures)
        named = ["partition", "kind"]
        grids.append([Grid(columns, texts, title, _first(len(bad)), ["found"], named)])
    return Section(
        "checks",
        "Checks",
        "The newest result of every check of every partition, as in the Dagster UI. A defect means:"
        " don't use this partition. The others deserve a look.",
        grids=grids,
        empty="Dagster has no check results; the lake was made without it.",
    )


def _check_grid(one: QualityFigures, title: str) -> Grid:
    is_bad = ~pl.col("is_good")
    rows = (
        one.checks.group_by("table", "check")
        .agg(
            pl.len().alias("partitions"),
            pl.col("is_good").sum(),
            (is_bad & ~pl.col("is_error")).sum().alias("look"),
            pl.col("is_error").sum(),
        )
        .sort("table", "check")
    )
    texts = [[*row[:2], *map(human.count, row[2:])] for row in rows.iter_rows()]
    columns = ["table", "check", "looked at", "passed", "have a look", "defects"]
    return Grid(columns, texts, title, names=["check"], is_folded=True)


def _losses(figures: Sequence[QualityFigures]) -> Section:
    grids = []
    for one in figures:
        kinds = (("Short of trades", one.short), ("In no period", one.outside))
        for words, rows in kinds:
            texts = [[str(value) for value in row] for row in rows.head(MOST_ROWS).iter_rows()]
            title, note = titled(words, one, figures), _first(len(rows))
            grids.append(Grid(rows.columns, texts, title, note, ["found"], ["key"]))
    return Section(
        "losses",
        "Lost to the dataset",
        "Selected ticker-sessions that have no trades, or less than half of their day's volume:"
        " fetch them again. And those that no period of dataset.periods covers: their events"
        " are in no dataset.",
        grids=[[grid] for grid in grids],
        empty="Nothing: every selected day has its trades and lies in a period.",
    )


def _suspects(figures: Sequence[QualityFigures]) -> Section:
    grids = []
    for one in figures:
        texts = [
            [str(day), ticker, human.percent(change, signed=True), reason or ""]
            for day, ticker, change, reason in one.suspects.head(MOST_ROWS).iter_rows()
        ]
        columns, note = ["date", "ticker", "change", "why"], _first(len(one.suspects))
        title = titled(f"Out of {one.metric_days:,} ticker-days", one, figures)
        grids.append(Grid(columns, texts, title, note, words=["why"], names=["ticker"]))
    return Section(
        "suspects",
        "Suspect corporate actions",
        "Jumps between sessions that look like a split which the vendor's list lacks. Rules leave"
        " out what was suspect at their moment; compare with the company's filings, and write real"
        " or split into the lake's suspects.csv.",
        grids=[grids],
        empty="None.",
    )


def _reconciliation(figures: Sequence[QualityFigures]) -> Section:
    names = {
        "compared": "ticker-days with both",
        "more": "more in the minutes than in the day",
        "traded": "ticker-days with volume",
        "without_minutes": "of them without minutes",
    }
    measures = [
        Measure(words, tuple(int(one.reconciled[name].sum()) for one in figures))
        for name, words in names.items()
    ]
    is_empty = not any(one.reconciled["traded"].sum() for one in figures)
    grid = measures_grid([] if is_empty else measures, [one.span for one in figures])
    return Section(
        "reconciliation",
        "Daily bars, minutes and trades",
        "The day's volume is at least the sum of its minutes, and the minutes at least the sum of"
        " the eligible trades. What is missing is after hours, in auctions, or not eligible; more"
        " than 100 % means that one of the two is stale. Trades are compared by the volume of the"
        " dollar imbalance bars, which holds every eligible trade.",
        small=[plots.minutes_plot(figures), plots.tape_plot(figures)],
        grids=[[grid]],
    )


def _bars(figures: Sequence[QualityFigures]) -> Section:
    return Section(
        "bars",
        "Bars",
        "Dollar imbalance bars by ticker-session. Many bars at the clamp, or minutes between them,"
        " mean that the target does not suit these tickers: see bars.activity_scale. Dashed: the"
        " limits of the check.",
        small=[plots.clamp_plot(figures), plots.spacing_plot(figures)],
        empty="No bars are stored.",
    )


def _balance(figures: Sequence[QualityFigures]) -> Section:
    return Section(
        "labels",
        "Balance of the labels",
        "Of all rows of the dataset; the run report shows them by view.",
        small=[plots.balance_plot(one.labels, titled("Labels", one, figures)) for one in figures],
        grids=[[_label_grid(one, titled("Events by label", one, figures)) for one in figures]],
        empty="No dataset is stored.",
    )


def _label_grid(one: QualityFigures, title: str) -> Grid:
    totals = one.labels.group_by("label").agg(pl.col("rows", "known").sum())
    held = {label: (rows, known) for label, rows, known in totals.iter_rows()}
    texts = [
        [outcome.name, *map(human.count, held.get(value, (0, 0)))]
        for value, outcome in OUTCOMES.items()
    ]
    return Grid(["label", "rows", "known rows"], texts if held else [], title)


def _left_out(figures: Sequence[QualityFigures]) -> Section:
    looked = "; ".join(
        f"{one.tapes:,} of {one.stored_tapes:,}"
        + (f" ({one.span.name})" if len(figures) > 1 else "")
        for one in figures
    )
    refused = sum(one.refused_tapes for one in figures)
    unclear = f" {refused:,} more have too much volume under unknown conditions." if refused else ""
    grids = []
    for one in figures:
        texts = [
            [reason, human.count(trades), human.count(volume), human.percent(share, 2)]
            for reason, trades, volume, share in one.excluded.iter_rows()
        ]
        columns = ["reason", "trades", "shares", "of all volume"]
        title = titled("Left out", one, figures)
        grids.append(Grid(columns, texts, title))
    return Section(
        "excluded",
        "Volume left out of the tapes",
        "Trades that are neither flow nor price, by the strictest of their conditions. Classified"
        f" again from a sample of the stored tapes, evenly spread: {looked}.{unclear}",
        small=[plots.excluded_plot(figures)],
        grids=[grids],
        empty="No tape is stored.",
    )
