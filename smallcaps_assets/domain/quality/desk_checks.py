"""What is looked at in the desk's records: journals, positions, and the broker's own list."""

from __future__ import annotations

import polars as pl

from smallcaps_assets.domain.quality.checks import Finding
from smallcaps_assets.schemas.desk_columns import OUTCOMES


def journal_found(source: str) -> Finding:
    """Whether a desk ran; that none did is no defect, but said."""
    found = f"read from {source}" if source else "no desk ran: the session has no journal"
    return Finding("journal", True, found)


def reconciled(rows: pl.DataFrame) -> Finding:
    """Whether the broker has exactly our executions: good only when nothing is left over."""
    counts = dict(rows["outcome"].value_counts().iter_rows())
    figures = {outcome: counts.get(outcome, 0) for outcome in OUTCOMES}
    told = ", ".join(f"{n:,} {outcome}" for outcome, n in figures.items())
    lists = ", ".join(rows["list"].unique().sort()) or "nothing was executed"
    remedy = (
        "compare with the broker's statement; a list that was put beside the journal as"
        " drop_copy.csv, or `smallcaps desk reconcile`, takes the place of GET TRADES"
    )
    is_good = rows.height == figures["matched"]
    return Finding("reconciliation", is_good, f"{told} ({lists})", remedy, figures=figures)


def positions_agree(rows: pl.DataFrame) -> Finding:
    """Whether the broker's positions are those of the fills."""
    off = rows.filter(pl.col("held") != pl.col("by_fills"))["ticker"].to_list()
    found = f"{rows.height - len(off)} of {rows.height} positions are those of the fills"
    remedy = f"look at {', '.join(off[:10])}: somebody else traded, or fills are missing"
    return Finding("positions", not off, found, remedy, figures={"positions off": len(off)})


def orders_settled(rows: pl.DataFrame) -> Finding:
    """Whether each order's end is known."""
    open_ones = rows.filter(pl.col("closed_at").is_null())["token"].to_list()
    found = f"{rows.height - len(open_ones)} of {rows.height} orders had ended"
    remedy = f"ask the broker for {', '.join(map(str, open_ones[:10]))}"
    figures = {"orders": rows.height, "open orders": len(open_ones)}
    return Finding("orders", not open_ones, found, remedy, is_error=False, figures=figures)


def fills_owned(rows: pl.DataFrame) -> Finding:
    """Whether each fill is of an order of the desk."""
    foreign = rows.filter(pl.col("token").is_null()).height
    found = f"{rows.height - foreign} of {rows.height} fills are of the desk's orders"
    remedy = "somebody else trades the account"
    figures = {"fills": rows.height, "fills of others": foreign}
    return Finding("owners", not foreign, found, remedy, is_error=False, figures=figures)
