"""`smallcaps sandbox oracle`: the best that any model can reach on a simulated lake's dataset."""

from __future__ import annotations

from typing import Any

import click
import polars as pl

from smallcaps_assets.cli.output import echo_json
from smallcaps_assets.cli.setup import UserError, check_lake
from smallcaps_assets.domain.evaluation import EvaluationError, auc, clustered_standard_error
from smallcaps_assets.lake.reading import existing_lake
from smallcaps_assets.pipeline.market import market_of
from smallcaps_assets.settings import UNION, Settings

_COLUMNS = ["ticker", "date", "t0", "rules", "is_selection_known"]
_HEAD = ("rule", "rows", "ticker-sessions", "AUC", "(s.e.)", "hidden", "expected bp", "realised bp")


def run_oracle(settings: Settings, is_json: bool) -> int:
    """Print AUC and expectancy of the oracle by rule, on one row a quarter of an hour."""
    if settings.market.name not in ("simulated", "placebo"):
        raise UserError(
            f"market {settings.market.name} can't be foretold: only a simulated market has an"
            " oracle; choose a lake of one with --lake"
        )
    lake = existing_lake(settings.lake.root)
    check_lake(settings)
    if not lake.exists("ml_dataset", UNION):
        raise UserError(f"lake {settings.lake.root} has no dataset; make it with `smallcaps run`")
    rows = _thinned(lake.read("ml_dataset", UNION, _COLUMNS))
    told = oracle_by_rule(settings, rows)
    busy = len(_market(settings).facts.busy_quotes)
    if is_json:
        echo_json({"rules": told, "busy_quotes": busy, "edge": settings.sandbox.edge})
        return 0
    click.echo("  ".join(f"{name:>15}" for name in _HEAD))
    for row in told:
        click.echo("  ".join(f"{_text(value):>15}" for value in row.values()))
    click.echo(f"sign of the next 15 minutes, mid to mid; edge {settings.sandbox.edge:g}")
    click.echo(f"{busy} ticker-sessions of the market have 100,000 quotes or more")
    return 0


def _market(settings: Settings) -> Any:
    return market_of(settings).server().market


def _thinned(rows: pl.DataFrame) -> pl.DataFrame:
    """The first row of each quarter of an hour of a ticker-session, once its selection is known."""
    quarter = pl.col("t0").dt.truncate("15m").alias("quarter")
    known = rows.filter("is_selection_known").with_columns(quarter).sort("ticker", "date", "t0")
    return known.unique(["ticker", "date", "quarter"], keep="first", maintain_order=True)


def oracle_by_rule(settings: Settings, rows: pl.DataFrame) -> list[dict[str, Any]]:
    """A row for all of `rows` (ticker, date, t0, rules) and one per rule."""
    from smallcaps_assets.sandbox.simulation.oracle import foretold

    told = foretold(_market(settings), rows).filter(pl.col("mid_return").is_not_nan())
    judged = told.filter(pl.col("mid_return") != 0)
    rules = judged.select(pl.col("rules").str.split(",").explode().unique().sort()).to_series()
    named = [(rule, pl.col("rules").str.split(",").list.contains(rule)) for rule in rules]
    return [_line(rule, judged.filter(part)) for rule, part in [("all", pl.lit(True)), *named]]


def _line(rule: str, rows: pl.DataFrame) -> dict[str, Any]:
    is_up = (rows["mid_return"] > 0).to_numpy()
    clusters = rows.select(pl.struct("ticker", "date").rank("dense")).to_series().to_numpy()
    side = pl.when(pl.col("mean") > 0).then(1.0).otherwise(-1.0)
    earned = rows.select(pl.col("mean").abs().mean(), (side * pl.col("mid_return")).mean()).row(0)
    found: dict[str, Any] = {
        "rule": rule,
        "rows": rows.height,
        "ticker_sessions": len(set(clusters)),
    }
    try:
        public, hidden = rows["p_up"].to_numpy(), rows["hidden_p_up"].to_numpy()
        found |= {
            "auc": auc(public, is_up),
            "auc_error": clustered_standard_error(public, is_up, clusters),
            "hidden_auc": auc(hidden, is_up),
        }
    except EvaluationError:  # too few rows of a rule to judge: shown as such
        found |= {"auc": None, "auc_error": None, "hidden_auc": None}
    return found | {
        "expected_bp": 1e4 * (earned[0] or 0.0),
        "realised_bp": 1e4 * (earned[1] or 0.0),
    }


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    return "-" if value is None else str(value)
