"""A lake of one market with its settings: what partitions are looked up in and compared with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import polars as pl

from smallcaps_assets.domain.market.calendar import sessions
from smallcaps_assets.lake import Lake, Scope
from smallcaps_assets.pipeline.partition_keys import MarketSpan
from smallcaps_assets.schemas import TABLES, Partitioning
from smallcaps_assets.settings import Settings


@dataclass
class LakeContext:
    """The settings, the lake, the market's span, and the tickers that a run is limited to."""

    settings: Settings
    lake: Lake
    span: MarketSpan
    tickers: tuple[str, ...] = ()

    def scope(self, table: str) -> Scope:
        """The tickers that this run makes of a table; only market-wide tables can be limited."""
        declared = TABLES[table]
        is_limited = declared.partitioning is Partitioning.SESSION and "ticker" in declared.key
        return Scope.only(self.tickers) if is_limited else Scope()

    def sessions_before(self, day: date, count: int) -> list[str]:
        """Keys of the market's last `count` sessions before a day, in order."""
        days = sessions(self.span.start, day)
        return [d.isoformat() for d in days if d < day][-count:]

    def only_wanted(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The rows of the run's tickers; all rows when the run has no such limit."""
        return frame.filter(pl.col("ticker").is_in(self.tickers)) if self.tickers else frame
