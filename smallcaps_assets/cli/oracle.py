"""`smallcaps sandbox oracle`: the best that any model can reach on a simulated lake's dataset.

And what of it the lake's own models reach, for `smallcaps models`.
"""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any

import click
import polars as pl

from smallcaps_assets.cli.output import echo_json
from smallcaps_assets.cli.setup import UserError, check_lake
from smallcaps_assets.domain.columns import group_numbers
from smallcaps_assets.domain.evaluation import (
    EvaluationError,
    OracleShare,
    auc,
    clustered_standard_error,
    share_of_oracle,
)
from smallcaps_assets.lake.reading import existing_lake
from smallcaps_assets.pipeline.market import market_of
from smallcaps_assets.settings import UNION, Settings

_COLUMNS = ["ticker", "date", "t0", "rules", "is_selection_known"]
_MINUTES = {"sign_5m": 5, "sign_15m": 15}
_HEAD = ("rule", "rows", "ticker-sessions", "AUC", "(s.e.)", "hidden", "expected bp", "realised bp")


def run_oracle(settings: Settings, is_json: bool) -> int:
    """Print AUC and expectancy of the oracle by rule, on one row a quarter of an hour."""
    if not has_oracle(settings):
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


def has_oracle(settings: Settings) -> bool:
    """Whether the market can be foretold."""
    return settings.market.name in ("simulated", "placebo")


def _market(settings: Settings) -> Any:
    return market_of(settings).server().market


def _thinned(rows: pl.DataFrame) -> pl.DataFrame:
    """The first row of each quarter of an hour of a ticker-session, once its selection is known."""
    return _first_of_quarters(rows.filter("is_selection_known"), ["ticker", "date"])


def _first_of_quarters(rows: pl.DataFrame, group: list[str]) -> pl.DataFrame:
    quarter = pl.col("t0").dt.truncate("15m").alias("quarter")
    ordered = rows.with_columns(quarter).sort(*group, "t0")
    return ordered.unique([*group, "quarter"], keep="first", maintain_order=True)


def oracle_by_rule(settings: Settings, rows: pl.DataFrame) -> list[dict[str, Any]]:
    """A row for all of `rows` (ticker, date, t0, rules) and one per rule."""
    from smallcaps_assets.sandbox.simulation.oracle import foretold

    told = foretold(_market(settings), rows).filter(pl.col("mid_return").is_not_nan())
    judged = told.filter(pl.col("mid_return") != 0)
    rules = judged.select(pl.col("rules").str.split(",").explode().unique().sort()).to_series()
    named = [(rule, pl.col("rules").str.split(",").list.contains(rule)) for rule in rules]
    return [_line(rule, judged.filter(part)) for rule, part in [("all", pl.lit(True)), *named]]


def oracle_shares(settings: Settings, predictions: pl.DataFrame) -> pl.DataFrame:
    """What of the oracle's edge each model of a sign reaches, on one row a quarter of an hour of
    `predictions`: columns target, algorithm, rows and those of OracleShare."""
    from smallcaps_assets.sandbox.simulation.oracle import foretold

    found, market = [], _market(settings)
    for target, minutes in _MINUTES.items():
        known = predictions.filter(pl.col("target") == target, pl.col("outcome").is_not_null())
        if known.is_empty():
            continue
        rows = _first_of_quarters(known, ["algorithm", "ticker", "date"])
        instants = rows.select("ticker", "date", "t0").unique(maintain_order=True)
        told = foretold(market, instants, minutes * 60 * 10**9).select(*instants.columns, "p_up")
        for (algorithm,), own in rows.join(told, on=instants.columns).group_by(
            "algorithm", maintain_order=True
        ):
            found.append({"target": target, "algorithm": algorithm, **_share(own)})
    return pl.DataFrame(found, schema=_SHARES).sort("target", "algorithm")


def _share(rows: pl.DataFrame) -> dict[str, Any]:
    clusters = group_numbers(rows, "ticker", "date")
    ranks, oracle, outcomes = (rows[name].to_numpy() for name in ("rank", "p_up", "outcome"))
    try:
        return {"rows": rows.height, **asdict(share_of_oracle(ranks, oracle, outcomes, clusters))}
    except EvaluationError:  # too few rows to judge: shown as such
        return {"rows": rows.height}


_SHARES = {
    **{"target": pl.String, "algorithm": pl.String, "rows": pl.Int64},
    **{field.name: pl.Float64 for field in fields(OracleShare) if field.name != "is_leak"},
    "is_leak": pl.Boolean,
}


def _line(rule: str, rows: pl.DataFrame) -> dict[str, Any]:
    is_up = (rows["mid_return"] > 0).to_numpy()
    clusters = group_numbers(rows, "ticker", "date")
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
