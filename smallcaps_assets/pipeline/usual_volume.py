"""Minutes of the sessions before one, of the tickers whose ticks are wanted, on its share basis.

What volume is usual by a minute is made of them in `domain/market/volume_curve.py`.
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import cached_property, lru_cache

import polars as pl

from smallcaps_assets.pipeline.context import LakeContext
from smallcaps_assets.pipeline.registered import registry_rows
from smallcaps_assets.schemas import TABLES
from smallcaps_assets.schemas.tables import CURVE_WINDOW

_COLUMNS = ["date", "ticker", "window_start", "volume"]
_REACH = timedelta(days=100)
"""More than the sessions of the window take."""


class UsualVolume:
    """The minutes that some ticker-sessions look back on, each file read once.

    `wanted` has their days by ticker; all of the registry unless others are given.
    """

    def __init__(self, work: LakeContext, wanted: dict[str, list[date]] | None = None) -> None:
        self._work = work
        self._given = wanted
        self._session = lru_cache(maxsize=CURVE_WINDOW + 4)(self._read)

    def minutes(self, ticker: str, day: date) -> pl.DataFrame:
        """date, window_start and volume of a symbol's minutes in the sessions before a day.

        Splits since then are applied; a symbol that has changed is not followed.
        """
        keys = self._work.sessions_before(day, CURVE_WINDOW)
        found = [rows for key in keys if (rows := self._session(key).get(ticker)) is not None]
        if not found:
            return TABLES["minute_bars"].empty()
        rows = pl.concat(found)
        for on, factor in self._splits.get(ticker, ()):
            if found[0]["date"][0] < on <= day:
                volume = pl.when(pl.col("date") < on).then(pl.col("volume") * factor)
                rows = rows.with_columns(volume.otherwise("volume").alias("volume"))
        return rows

    def _read(self, key: str) -> dict[str, pl.DataFrame]:
        """Minutes of a session by ticker, of those whose ticks are wanted soon after it."""
        lake, day = self._work.lake, date.fromisoformat(key)
        if not lake.exists("minute_bars", key):
            return {}
        until = day + _REACH
        wanted = [t for t, days in self._wanted.items() if any(day < d <= until for d in days)]
        rows = lake.read("minute_bars", key, _COLUMNS).filter(pl.col("ticker").is_in(wanted))
        parts = rows.partition_by("ticker", as_dict=True, include_key=False)
        return {str(name[0]): part for name, part in parts.items()}

    @cached_property
    def _wanted(self) -> dict[str, list[date]]:
        """Days by ticker."""
        if self._given is not None:
            return self._given
        found: dict[str, list[date]] = {}
        for row in registry_rows(self._work.lake).values():
            found.setdefault(row["ticker"], []).append(row["date"])
        return found

    @cached_property
    def _splits(self) -> dict[str, list[tuple[date, float]]]:
        """Day and factor on earlier volumes of each split, by ticker."""
        found: dict[str, list[tuple[date, float]]] = {}
        names = ["ticker", "execution_date", "split_from", "split_to"]
        rows = self._work.lake.read_many("splits", self._work.lake.keys("splits"), names)
        for ticker, day, old, new in rows.select(names).iter_rows():
            found.setdefault(ticker, []).append((day, new / old))
        return found
