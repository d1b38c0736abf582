"""`smallcaps models` and `smallcaps predict`: how good the models were, and what they say of a day.

Nothing is contacted, nothing in the lake changes.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import polars as pl

from smallcaps_assets.cli.console import wide_console
from smallcaps_assets.cli.options import LakeOptions
from smallcaps_assets.cli.output import echo_json, plain_rows, show_rows, write_file
from smallcaps_assets.cli.setup import UserError, settings_of, stored_lake
from smallcaps_assets.cli.spans import check_page
from smallcaps_assets.domain.market.calendar import NEW_YORK
from smallcaps_assets.lake import Lake
from smallcaps_assets.lake.selection import as_day, select, stored_keys
from smallcaps_assets.settings import Settings

if TYPE_CHECKING:
    from smallcaps_assets.reports.model_page import ModelFigures

_FEATURES = 15


def show_models(options: LakeOptions, html: str | None, is_json: bool) -> int:
    """Print the tables, or JSON, and write the page."""
    settings = settings_of(options)
    store = stored_lake(settings)
    check_page(html)
    figures = _figures(settings, store)
    from smallcaps_assets.reports.model_page import grids, model_page
    from smallcaps_assets.reports.sections import terminal_table

    if html is not None:
        write_file(html, model_page(figures).encode(), "--html")
    if is_json:
        told = {"folds": figures.folds, "scores": figures.judged, "by_month": figures.monthly}
        told |= {"by_company": figures.seen, "reliability": figures.reliability}
        told |= {"against_oracle": figures.oracle}
        told |= {f"features_of_{target}": rows for target, rows in figures.features.items()}
        rows = {name: plain_rows(frame) for name, frame in told.items()}
        echo_json({**rows, "words": figures.words, "missing": figures.refused})
        return 0
    console = wide_console()
    console.print(figures.words, soft_wrap=True)
    for grid in grids(figures):
        console.print(terminal_table(grid))
    for line in figures.leaks:
        console.print(line, style="bold red", soft_wrap=True, markup=False)
    for line in figures.refused:
        console.print(f"no model: {line}", style="yellow", soft_wrap=True, markup=False)
    if html is not None:
        console.print(f"page  {html}", soft_wrap=True, markup=False)
    return 0


def _figures(settings: Settings, lake: Lake) -> ModelFigures:
    from smallcaps_assets.cli.oracle import has_oracle, oracle_shares
    from smallcaps_assets.domain.models.importance import most_looked_at
    from smallcaps_assets.domain.models.judgement import judged, reliability
    from smallcaps_assets.reports.model_page import ModelFigures
    from smallcaps_assets.reports.spans import Span

    months = stored_keys(lake, "predictions")
    predictions, models, importance = (
        lake.read_many(name, months) for name in ("predictions", "models", "model_importance")
    )
    folds = lake.read("folds")
    targets = models["target"].unique(maintain_order=True)
    of_target = {t: importance.filter(pl.col("target") == t) for t in targets}
    first, last = (date.fromisoformat(f"{month}-01") for month in (months[0], months[-1]))
    return ModelFigures(
        span=Span(f"test months {months[0]} to {months[-1]}", first, last),
        market=settings.market.name,
        folds=folds,
        models=models,
        judged=judged(predictions),
        monthly=judged(predictions, ["month"]),
        seen=judged(predictions, ["is_unseen"]),
        reliability=reliability(predictions),
        oracle=oracle_shares(settings, predictions) if has_oracle(settings) else pl.DataFrame(),
        features={
            t: most_looked_at(rows, _FEATURES) for t, rows in of_target.items() if rows.height
        },
    )


def show_predictions(
    options: LakeOptions, ticker: str, day: str, is_json: bool, is_csv: bool
) -> int:
    """What the models of a day's month say of each of its events, one by one as they came."""
    settings = settings_of(options)
    store = stored_lake(settings)
    session = as_day(day, "DATE")
    assert session is not None
    select(store, "daily_bars", (ticker,), session, session)
    from smallcaps_assets.pipeline.scoring import day_scores

    rows = day_scores(store, ticker, session)
    if rows.is_empty():
        raise UserError(
            f"{ticker} has no event on {session} that a model could score: its day had not been"
            " admitted, or has no bars; `smallcaps show` tells what it has"
        )
    clock = pl.col("t0").dt.convert_time_zone(NEW_YORK.key).dt.strftime("%H:%M:%S")
    shown = rows if is_json or is_csv else rows.with_columns(clock).drop("model", "ticker", "date")
    show_rows(shown, f"{ticker} on {session}, times in New York", is_json, is_csv)
    return 0
