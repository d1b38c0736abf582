"""How much of what a session should have is there.

Pure counting: a table's expected tickers against those with rows, and what is known of the rest.
Which tickers are expected, and what failed, is found out by the caller.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date

import polars as pl

from smallcaps_assets.schemas import TABLES

NOT_ENTITLED = ("NotEntitled", "NotOffered")


@dataclass(frozen=True)
class Reading:
    """What is known of one table of one session.

    `got` are the tickers with rows, `asked` those that the vendor has answered for, with rows or
    without. `failures` gives (kind, reason) of the last attempt by ticker.
    """

    table: str
    expected: Collection[str]
    got: Collection[str]
    asked: Collection[str]
    failures: Mapping[str, tuple[str, str]] = field(default_factory=dict)


def coverage(day: date, readings: Collection[Reading]) -> pl.DataFrame:
    """Coverage of a session: one row per reading; the parts add up to `expected`."""
    rows = [{"date": day, "table": reading.table, **_counts(reading)} for reading in readings]
    return TABLES["coverage"].conform(pl.DataFrame(rows, schema=TABLES["coverage"].columns))


def _counts(reading: Reading) -> dict[str, int | str | None]:
    expected = set(reading.expected)
    got = expected & set(reading.got)
    empty = (expected & set(reading.asked)) - got
    left = expected - got - empty
    failed = {ticker: reading.failures[ticker] for ticker in sorted(left & set(reading.failures))}
    refused = {ticker for ticker, (kind, _) in failed.items() if kind in NOT_ENTITLED}
    return {
        "expected": len(expected),
        "got": len(got),
        "empty": len(empty),
        "not_entitled": len(refused),
        "failed": len(failed) - len(refused),
        "missing": len(left) - len(failed),
        "reason": next((f"{ticker}: {reason}" for ticker, (_, reason) in failed.items()), None),
    }
