"""The lake for a reader: `lake.scan("daily_bars", tickers=["GEVO"], adjusted=True)`.

Frames are lazy, safe beside a running writer, and read only what is asked for. What a request means
is in `selection.py`; SQL is in `catalog.py`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
from polars.io.plugins import register_io_source

from smallcaps_assets.domain.bars.sequences import LENGTH, SEQUENCE_COLUMNS, bar_sequences
from smallcaps_assets.domain.market.adjustment import PRICE_COLUMNS, VOLUME_COLUMNS, adjust_bars
from smallcaps_assets.lake.errors import LakeError, RequestError
from smallcaps_assets.lake.market import read_identity
from smallcaps_assets.lake.scanning import read_keys, scan_keys
from smallcaps_assets.lake.selection import Day, Selection, as_day, select
from smallcaps_assets.lake.store import Lake
from smallcaps_assets.schemas import TABLES
from smallcaps_assets.schemas.features import CATALOGUE, feature_columns
from smallcaps_assets.schemas.table import CATEGORY

ADJUSTABLE = ("daily_bars", "minute_bars", "session_summary")
_BASED = (*PRICE_COLUMNS, *VOLUME_COLUMNS)


def scan(
    table: str,
    tickers: str | Sequence[str] = (),
    start: Day | None = None,
    end: Day | None = None,
    *,
    adjusted: bool = False,
    as_of: Day | None = None,
    root: str | Path | None = None,
) -> pl.LazyFrame:
    """Rows of a table as a lazy frame, in the order of its partitions.

    Days are dates or `YYYY-MM-DD`, both ends inclusive; no ticker means all. `adjusted` brings
    prices and volumes of bars onto the share basis of `as_of`, by default the last day asked for,
    so that no later split is seen. The lake is the folder `root`, else SMALLCAPS_LAKE_ROOT, else
    data. Raises LakeError for a folder that is no lake, RequestError for a table, ticker or day
    that it has not.
    """
    lake = existing_lake(root or os.environ.get("SMALLCAPS_LAKE_ROOT") or "data")
    named = (tickers,) if isinstance(tickers, str) else tuple(tickers)
    basis = as_day(as_of, "as_of")
    if basis and not adjusted:
        raise RequestError(f"as_of {basis} is for adjusted=True; add it, or leave as_of out")
    chosen = select(lake, table, named, start, end or basis)
    return lazy(lake, chosen, basis_of(chosen, basis) if adjusted else None)


def features(
    families: str | Sequence[str] = (),
    columns: Sequence[str] = (),
    tickers: str | Sequence[str] = (),
    start: Day | None = None,
    end: Day | None = None,
    *,
    root: str | Path | None = None,
) -> pl.LazyFrame:
    """Features of the dataset's events: ticker, date, bar_id, t0, then those of some families and
    single `columns`, all of neither. A row per labelled event, also where selection was not known.

    Raises FeatureChoiceError for a column that no model may be given, and as `scan`.
    """
    named = (families,) if isinstance(families, str) else tuple(families)
    chosen = feature_columns(named, columns)
    events = scan("ml_dataset", tickers, start, end, root=root)
    return events.select(*TABLES["ml_dataset"].key, "t0", *chosen)


def sequences(
    columns: Sequence[str] = SEQUENCE_COLUMNS,
    tickers: str | Sequence[str] = (),
    start: Day | None = None,
    end: Day | None = None,
    *,
    length: int = LENGTH,
    root: str | Path | None = None,
) -> np.ndarray:
    """The last bars up to each event of the dataset: float32[events, length, columns].

    An event is a row of `features` of the same tickers and days, in the same order; its last place
    is its own bar, those before are the labelled bars of its session, and NaN where there are none,
    or a value is unknown. Columns are features that are numbers. Raises FeatureChoiceError for a
    column that no model may be given, RequestError for a category, and as `scan`.
    """
    feature_columns((), columns)
    texts = [name for name in columns if CATALOGUE[name].unit == CATEGORY]
    if texts:
        raise RequestError(f"{texts[0]} is a category, and sequences are of numbers; leave it out")
    key = TABLES["ml_dataset"].key
    events = scan("ml_dataset", tickers, start, end, root=root).select(*key, *columns)
    return bar_sequences(events.collect(), columns, length)


def existing_lake(root: str | Path) -> Lake:
    """The lake in a folder. Raises LakeError when there is none."""
    if read_identity(root) is None:
        raise LakeError(f"lake {root} is empty; fill it with `smallcaps run`")
    return Lake(root)


def basis_of(selection: Selection, as_of: date | None = None) -> date:
    """The day whose share basis adjusted bars are on. Raises RequestError when there is none."""
    name = selection.table.name
    if name not in ADJUSTABLE:
        raise RequestError(f"{name} can't be adjusted; choose from {', '.join(ADJUSTABLE)}")
    last = date.fromisoformat(selection.keys[-1])
    if as_of and as_of < last:
        raise RequestError(f"as_of {as_of} is before {last}, the last day asked for; end there")
    return as_of or selection.end or last


def lazy(lake: Lake, selection: Selection, as_of: date | None = None) -> pl.LazyFrame:
    """The selected rows, adjusted if a day is given; files are opened when it is collected."""

    def rows(
        columns: list[str] | None, predicate: pl.Expr | None, limit: int | None, _: int | None
    ) -> Iterator[pl.DataFrame]:
        left = limit
        for found in frames(lake, selection, as_of, predicate, columns, limit):
            yield found if left is None else found.head(left)
            left = None if left is None else left - len(found)
            if left is not None and left <= 0:
                return

    return register_io_source(rows, schema=selection.table.columns)


def frames(
    lake: Lake,
    selection: Selection,
    as_of: date | None = None,
    predicate: pl.Expr | None = None,
    columns: list[str] | None = None,
    limit: int | None = None,
) -> Iterator[pl.DataFrame]:
    """The selected rows in frames of bounded size; of adjusted ones perhaps more than `limit`."""
    if as_of is not None:
        yield from _adjusted(lake, selection, as_of, predicate, columns)
        return
    wanted = _both(selection.wanted, predicate)
    yield from scan_keys(lake, selection.table.name, selection.keys, wanted, columns, limit)


def _adjusted(
    lake: Lake,
    selection: Selection,
    as_of: date,
    predicate: pl.Expr | None,
    columns: list[str] | None,
) -> Iterator[pl.DataFrame]:
    """A condition on what adjusting changes is judged after it, any other before."""
    table, shown = selection.table, columns or list(selection.table.columns)
    asked = set(predicate.meta.root_names()) if predicate is not None else set()
    is_late = bool(asked & set(_BASED))
    early = _both(selection.wanted, None if is_late else predicate)
    read = [n for n in table.columns if n in {*shown, *asked, "date", "ticker", "identity"}]
    factors = lake.read("adjustment_factors")
    for bars in scan_keys(lake, table.name, selection.keys, early, read):
        owned = bars if "identity" in read else _with_identity(lake, bars, selection.wanted)
        found = adjust_bars(owned, factors, as_of)
        yield (found.filter(predicate) if is_late and predicate is not None else found)[shown]


def _with_identity(lake: Lake, bars: pl.DataFrame, wanted: pl.Expr | None) -> pl.DataFrame:
    """Bars with the company that had the symbol on their session, by that session's list.

    A symbol that the list lacks stands for itself, which no event is of.
    """
    key, days = ["date", "ticker"], [str(day) for day in bars["date"].unique().sort()]
    owners = read_keys(lake, "tickers", days, wanted, [*key, "identity"])
    found = bars.join(owners, on=key, how="left", maintain_order="left")
    return found.with_columns(pl.col("identity").fill_null(pl.col("ticker")))


def _both(one: pl.Expr | None, other: pl.Expr | None) -> pl.Expr | None:
    if one is None or other is None:
        return other if one is None else one
    return one & other
