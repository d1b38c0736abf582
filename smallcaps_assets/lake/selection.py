"""Which partitions and rows a request means, by table, tickers and dates.

Everything that can be wrong with a request is found here, before a row is read. Reading is in
`reading.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import reduce

import polars as pl

from smallcaps_assets.lake.errors import RequestError
from smallcaps_assets.lake.paths import split_ticker_session
from smallcaps_assets.lake.scanning import scan_keys
from smallcaps_assets.lake.store import Lake
from smallcaps_assets.schemas import TABLES, Partitioning, Table

UNION = "ml_dataset_union"
"""The dataset of all periods, with its time decay over all of them; `ml_dataset` is by period."""
NAMES = (*TABLES, UNION)
_WHOLE_MONTHS = ("month", "half_month")
Day = date | str


@dataclass(frozen=True)
class Selection:
    """Partitions of a table, the rows wanted from them, and the last day asked for, if any."""

    table: Table
    keys: Sequence[str]
    wanted: pl.Expr | None = None
    end: date | None = None


def select(
    lake: Lake,
    name: str,
    tickers: Sequence[str] = (),
    start: Day | None = None,
    end: Day | None = None,
) -> Selection:
    """What a request means; days are dates or YYYY-MM-DD, both ends inclusive.

    Raises RequestError naming what is unknown, and what there is.
    """
    if name not in NAMES:
        raise RequestError(f"unknown table {name!r}; choose from {', '.join(NAMES)}")
    table = TABLES["ml_dataset" if name == UNION else name]
    first, last = as_day(start, "start"), as_day(end, "end")
    if first and last and first > last:
        raise RequestError(f"start {first} is after end {last}; exchange them")
    stored = stored_keys(lake, name)
    _check_tickers(lake, table, tickers)
    keys = [key for key in stored if _holds(table, key, tickers, first, last)]
    if not keys:
        raise RequestError(_nothing(table, stored, tickers, first, last))
    conditions = [*_of_tickers(table, tickers), *_of_days(table, first, last)]
    wanted = reduce(lambda a, b: a & b, conditions) if conditions else None
    return Selection(table, keys, wanted, last)


def stored_keys(lake: Lake, name: str) -> list[str]:
    """Keys of a table's stored partitions. Raises RequestError when there is none."""
    table = TABLES["ml_dataset" if name == UNION else name]
    stored = [key for key in lake.keys(table.name) if _is_of(name, key)]
    if not stored:
        remedy = f"smallcaps backfill {name}" if table.is_optional else "smallcaps run"
        raise RequestError(f"the lake {lake.root} has no {name}; make it with `{remedy}`")
    return stored


def as_day(value: Day | None, name: str) -> date | None:
    """A date, or None as it is. Raises RequestError for a text that is none."""
    if not isinstance(value, str):
        return value
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise RequestError(f"{name} {value!r} is no date; write it as YYYY-MM-DD") from None


def date_column(table: Table) -> str | None:
    """The column by which a table's rows are dated, if they are."""
    days = [name for name, kind in table.columns.items() if kind == pl.Date]
    preferred = ("date", "filing_date", *(n for n in table.key if n not in _WHOLE_MONTHS), *days)
    return next((name for name in preferred if name in days), None)


def _is_of(name: str, key: str) -> bool:
    return (key == "union") == (name == UNION)


def _holds(
    table: Table, key: str, tickers: Sequence[str], start: date | None, end: date | None
) -> bool:
    """Whether a partition may have rows of a request."""
    cut, day = table.partitioning, key
    if cut is Partitioning.TICKER:
        return not tickers or key in tickers
    if cut is Partitioning.TICKER_SESSION:
        ticker, session = split_ticker_session(key)
        if tickers and ticker not in tickers:
            return False
        day = session.isoformat()
    if not cut.is_dated:
        return True
    is_half = cut is Partitioning.HALF_MONTH
    first = start and (start.replace(day=1) if is_half else start).isoformat()
    is_early = first is not None and day < first[: len(day)]
    return not is_early and (end is None or day <= end.isoformat()[: len(day)])


def _of_tickers(table: Table, tickers: Sequence[str]) -> list[pl.Expr]:
    if not tickers:
        return []
    if "ticker" in table.columns:
        one = len(tickers) == 1
        ticker = pl.col("ticker")
        return [ticker == tickers[0] if one else ticker.is_in(sorted(tickers))]
    if "tickers" in table.columns:
        return [pl.col("tickers").list.set_intersection(sorted(tickers)).list.len() > 0]
    raise RequestError(f"{table.name} is not by ticker; leave the tickers out")


def _of_days(table: Table, start: date | None, end: date | None) -> list[pl.Expr]:
    """Conditions on the date column; a month counts if the range touches it."""
    if table.partitioning is Partitioning.SESSION:
        return []  # the partitions say it
    name = date_column(table)
    if name is None:
        if start or end:
            raise RequestError(f"{table.name} has no dates; leave start and end out")
        return []
    first = start.replace(day=1) if start and name == "month" else start
    bounds = [(first, pl.col(name) >= first)] if first else []
    bounds += [(end, pl.col(name) <= end)] if end else []
    return [condition for _, condition in bounds]


def _check_tickers(lake: Lake, table: Table, tickers: Sequence[str]) -> None:
    """Raises RequestError for a ticker that no list of the lake has; new and old lists first."""
    lists = lake.keys("tickers")
    missing = set(tickers)
    for keys in ([*lists[-1:], *lists[:1]], lists):
        if not missing or not lists:
            return
        is_asked = pl.col("ticker").is_in(sorted(missing))
        for found in scan_keys(lake, "tickers", keys, is_asked, ["ticker"]):
            missing -= set(found["ticker"])
    if missing:
        unknown = sorted(missing)[0]
        raise RequestError(
            f"unknown ticker {unknown!r}: no list from {lists[0]} to {lists[-1]} has it;"
            " check the spelling, case matters (BCpC is not BCPC)"
        )


def _nothing(
    table: Table,
    stored: Sequence[str],
    tickers: Sequence[str],
    start: date | None,
    end: date | None,
) -> str:
    asked = f" from {start or 'the first'} to {end or 'the last'}" if start or end else ""
    whose = f" of {', '.join(tickers)}" if tickers else ""
    what = f"{len(stored)} partitions, {stored[0]} to {stored[-1]}"
    return f"{table.name} has nothing{whose}{asked}; the lake holds {what}"
