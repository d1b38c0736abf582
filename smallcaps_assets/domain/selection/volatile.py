"""The volatile list: companies that gapped, traded and ranged most over the trailing year.

Known at the close of its session; a rule limited to it asks for the list of the session before.
"""

from __future__ import annotations

from datetime import date

import polars as pl

from smallcaps_assets.domain.market.calendar import shift_session
from smallcaps_assets.schemas.tables import TABLES
from smallcaps_assets.settings import SelectionSettings

LEAST_SESSIONS = 20
VOLATILITY = {
    "mean_gap": pl.col("gap").abs(),
    "mean_relative_volume": pl.col("rvol30"),
    "mean_range": (pl.col("high") - pl.col("low")) / pl.col("close"),
}
"""What is averaged over a company's sessions."""


def session_volatility(metrics: pl.DataFrame) -> pl.DataFrame:
    """date, ticker, identity and the measures of each company of which all three are known.

    Days that look like a missing split are left out.
    """
    measured = metrics.filter(~pl.col("is_suspect_at_close")).select(
        "date", "ticker", "identity", *(value.alias(name) for name, value in VOLATILITY.items())
    )
    return measured.drop_nulls()


def volatile(measures: pl.DataFrame, day: date, settings: SelectionSettings) -> pl.DataFrame:
    """The table `volatile` as of the session `day`, from rows of `session_volatility`.

    Each company has three ranks, by its mean gap, relative volume and range over the trailing
    sessions, at least 20 of them; the smallest mean of the three comes first.
    """
    first = shift_session(day, 1 - settings.volatile_sessions)
    means = (
        measures.filter(pl.col("date").is_between(first, day))
        .sort("identity", "date", "ticker")
        .group_by("identity", maintain_order=True)
        .agg(
            pl.col("ticker").last(),
            pl.col("date").n_unique().cast(pl.Int64).alias("sessions"),
            *(pl.col(name).mean() for name in VOLATILITY),
        )
        .filter(pl.col("sessions") >= LEAST_SESSIONS)
    )
    ranks = (pl.col(name).rank("average", descending=True) for name in VOLATILITY)
    score = pl.mean_horizontal(*ranks).alias("mean_rank")
    top = means.with_columns(score).sort("mean_rank", "ticker", "identity").head(settings.volatile)
    ranked = top.with_columns(
        pl.lit(day).alias("date"), pl.int_range(1, pl.len() + 1).alias("rank")
    )
    return TABLES["volatile"].validate(ranked)
