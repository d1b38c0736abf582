"""`suspects.csv` beside `lake.json`: what somebody found out about days that look like a split.

    ticker,date,verdict
    GEVO,2024-12-13,split
    PUX,2025-01-10,real

`split`: the vendor's list lacks a split of that day; `real`: the price moved. Other columns are the
writer's own. Which days look so, and what a verdict does, is in `domain/market/suspects.py`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import date
from typing import Any

import polars as pl

from smallcaps_assets.domain.market.calendar import is_session
from smallcaps_assets.domain.market.suspects import NO_DECISIONS, VERDICTS
from smallcaps_assets.lake.errors import LakeError
from smallcaps_assets.lake.store import Lake

FILE = "suspects.csv"
_COLUMNS = ("ticker", "date", "verdict")
_HELD: dict[str, tuple[Any, pl.DataFrame]] = {}


class DecisionError(LakeError):
    """A `suspects.csv` that can't be understood."""


def decisions(lake: Lake) -> pl.DataFrame:
    """The rows (ticker, date, verdict) of the lake's file; none without one.

    Read anew only when the file has changed. Raises DecisionError naming line, value and remedy.
    """
    entry, path = lake.entry(FILE), lake.root / FILE
    if entry is None:
        return NO_DECISIONS
    held = _HELD.get(str(path))
    if held is None or held[0] != entry.tag:
        held = _HELD[str(path)] = (entry.tag, parse_decisions(lake.whole(path), str(path)))
    return held[1]


def decisions_digest(lake: Lake, day: date) -> str:
    """A text that changes with what the file says of a session; empty if it says nothing."""
    told = decisions(lake).filter(pl.col("date") == day)
    return "; ".join(f"{ticker} {verdict}" for ticker, _, verdict in told.iter_rows())


def parse_decisions(data: bytes, place: str) -> pl.DataFrame:
    """The rows of a file at `place`, by date and ticker. Raises DecisionError."""
    try:
        lines = csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""))
        missing = [name for name in _COLUMNS if name not in (lines.fieldnames or ())]
        if missing:
            raise DecisionError(
                f"{place} has no column {missing[0]!r}; begin it with ticker,date,verdict"
            )
        rows = list(_rows(lines, place))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DecisionError(f"{place} is no CSV file in UTF-8 ({error}); save it as one") from None
    return pl.DataFrame(rows, schema=NO_DECISIONS.schema, orient="row").sort("date", "ticker")


def _rows(lines: csv.DictReader[str], place: str) -> Iterator[tuple[str, date, str]]:
    told: set[tuple[str, date]] = set()
    for line in lines:
        where = f"{place}, line {lines.line_num}"
        ticker, day, verdict = (str(line[name] or "").strip() for name in _COLUMNS)
        if not ticker:
            raise DecisionError(f"{where}: the ticker is empty; write the symbol of that day")
        if verdict not in VERDICTS:
            raise DecisionError(f"{where}: verdict {verdict!r} is neither {' nor '.join(VERDICTS)}")
        key = ticker, _session(day, where)
        if key in told:
            raise DecisionError(f"{where}: {ticker} {day} is there twice; remove one of the lines")
        told.add(key)
        yield *key, verdict


def _session(text: str, where: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise DecisionError(f"{where}: {text!r} is no date; write it as YYYY-MM-DD") from None
    if not is_session(day):
        raise DecisionError(f"{where}: {text} is no session; write the day of the jump")
    return day
