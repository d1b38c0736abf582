"""Our fills beside the broker's own list of the day: what agrees, what only one side has, what
differs. The day is good only when nothing is left over.

The list is DAS's trade log as exported, or `GET TRADES`. Its columns are the user's choice, so they
are found by name; a file without the needed ones is refused. Times are those of DAS's clock.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal

from msgspec import Struct

from smallcaps_assets.desk.das.words import LineError, number, whole
from smallcaps_assets.desk.events import Fill

_NAMES = {
    "time": ("time", "exec time", "execution time"),
    "symbol": ("symb", "symbol"),
    "side": ("side", "b/s", "buy/sell"),
    "price": ("price", "exec price", "avg price"),
    "qty": ("qty", "quantity", "shares"),
    "trade_id": ("trade id", "tradeid", "exec id"),
    "fee": ("ecnfee", "ecn fee"),
}
_NEEDED = ("time", "symbol", "side", "price", "qty")
SECONDS, PRICE = 1, Decimal("0.0001")
"""How far two times and two prices may be apart and still be the same."""


class DropCopyError(ValueError):
    """A list of executions that can't be read."""


class Execution(Struct, frozen=True):
    """One execution; `second` of the day on DAS's clock, `shares` negative when sold."""

    second: int
    symbol: str
    shares: int
    price: Decimal
    trade_id: int | None = None
    fee: Decimal | None = None


class Match(Struct, frozen=True):
    """matched, only ours, only theirs, or differs with the field in which it does."""

    outcome: str
    ours: Execution | None
    theirs: Execution | None
    field: str = ""


def of_fills(fills: Iterable[Fill]) -> list[Execution]:
    """The desk's own fills."""
    return [Execution(second_of(f.time), f.symbol, f.signed, f.price, f.trade_id, f.fee)
            for f in fills]  # fmt: skip


def read_drop_copy(text: str) -> list[Execution]:
    """Executions of a CSV or tab-separated export. Raises DropCopyError naming line and value."""
    text = text.removeprefix("\ufeff").strip()
    head = text.partition("\n")[0]
    rows = list(csv.reader(io.StringIO(text), delimiter="\t" if "\t" in head else ","))
    columns = _columns(rows[0] if rows else [])
    return list(_executions(rows[1:], columns))


def _columns(head: Sequence[str]) -> dict[str, int]:
    """The place of each field. Raises DropCopyError when a needed one has no column."""
    names = [name.strip().lower() for name in head]
    found = {field: names.index(name) for field, known in _NAMES.items()
             for name in known if name in names}  # fmt: skip
    missing = [field for field in _NEEDED if field not in found]
    if missing:
        raise DropCopyError(
            f"no column for {', '.join(missing)} among {', '.join(head) or 'nothing'}; export with"
            " Time, Symb, Side, Price and Qty"
        )
    return found


def _executions(rows: Sequence[Sequence[str]], columns: dict[str, int]) -> Iterator[Execution]:
    for line, row in enumerate(rows, 2):
        cells = {field: row[i].strip() if i < len(row) else "" for field, i in columns.items()}
        if not any(cells.values()):
            continue
        try:
            yield _execution(cells)
        except LineError as problem:
            raise DropCopyError(f"line {line}: {problem}; export the file again") from None


def _execution(cells: dict[str, str]) -> Execution:
    side = cells["side"].upper()
    if side[:1] not in ("B", "S"):
        raise LineError(f"side {cells['side']!r} begins with neither B nor S")
    qty = abs(whole(cells["qty"].replace(",", ""), "qty"))
    price = number(cells["price"].replace(",", "").lstrip("$"), "price")
    trade_id, fee = cells.get("trade_id"), cells.get("fee")
    return Execution(
        second_of(cells["time"]),
        cells["symbol"],
        qty if side[0] == "B" else -qty,
        price,
        whole(trade_id, "trade id") if trade_id else None,
        number(fee, "fee") if fee else None,
    )


def second_of(clock: str) -> int:
    """Seconds since midnight of HH:MM:SS. Raises LineError."""
    parts = clock.strip().split(" ")[-1].split(":")
    if len(parts) != 3 or not all(part.isdecimal() for part in parts):
        raise LineError(f"time {clock!r} is not HH:MM:SS")
    hours, minutes, seconds = map(int, parts)
    return hours * 3600 + minutes * 60 + seconds


def compare(ours: Sequence[Execution], theirs: Sequence[Execution]) -> list[Match]:
    """Every execution of both sides in exactly one match.

    By trade id where both have one; else symbol, side and shares, with time and price within
    tolerance; then those that differ in one field only.
    """
    ours, theirs = sorted(ours, key=_order), sorted(theirs, key=_order)
    found = list(_pair(ours, theirs, _same_id))
    found += _pair(ours, theirs, lambda a, b: not _differences(a, b) and not _other_ids(a, b))
    found += _pair(ours, theirs, lambda a, b: len(_differences(a, b)) == 1
                   and a.symbol == b.symbol and not _other_ids(a, b))  # fmt: skip
    found += [Match("only ours", a, None) for a in ours]
    return found + [Match("only theirs", None, b) for b in theirs]


def _pair(ours: list[Execution], theirs: list[Execution], fits) -> Iterator[Match]:
    """Matches of what fits, which are taken out of both lists."""
    for a in list(ours):
        b = next((b for b in theirs if fits(a, b)), None)
        if b is not None:
            ours.remove(a)
            theirs.remove(b)
            fields = _differences(a, b)
            yield Match("differs" if fields else "matched", a, b, ", ".join(fields))


def _order(execution: Execution) -> tuple[int, str, int]:
    return execution.second, execution.symbol, execution.trade_id or 0


def _same_id(a: Execution, b: Execution) -> bool:
    return a.trade_id is not None and a.trade_id == b.trade_id


def _other_ids(a: Execution, b: Execution) -> bool:
    return None not in (a.trade_id, b.trade_id) and a.trade_id != b.trade_id


def _differences(a: Execution, b: Execution) -> list[str]:
    found = {
        "symbol": a.symbol != b.symbol,
        "side": (a.shares < 0) != (b.shares < 0),
        "qty": abs(a.shares) != abs(b.shares),
        "price": abs(a.price - b.price) > PRICE,
        "time": abs(a.second - b.second) > SECONDS,
    }
    return [field for field, differs in found.items() if differs]


class Total(Struct, frozen=True):
    """A symbol's day on one side: net shares, average prices, profit of what was closed, fees."""

    net: int
    bought: Decimal
    sold: Decimal
    realized: Decimal
    fees: Decimal


def totals(executions: Iterable[Execution]) -> dict[str, Total]:
    """By symbol; `bought` and `sold` are average prices, 0 without any."""
    by_symbol: dict[str, list[Execution]] = {}
    for execution in executions:
        by_symbol.setdefault(execution.symbol, []).append(execution)
    return {symbol: _total(rows) for symbol, rows in sorted(by_symbol.items())}


def _total(rows: Sequence[Execution]) -> Total:
    sums = {sign: (sum(abs(r.shares) for r in rows if r.shares * sign > 0),
                   sum((abs(r.shares) * r.price for r in rows if r.shares * sign > 0), Decimal(0)))
            for sign in (1, -1)}  # fmt: skip
    bought, sold = (dollars / shares if shares else Decimal(0) for shares, dollars in sums.values())
    closed = min(sums[1][0], sums[-1][0])
    fees = sum((row.fee or Decimal(0) for row in rows), Decimal(0))
    return Total(sum(r.shares for r in rows), bought, sold, closed * (sold - bought), fees)


def is_green(matches: Iterable[Match]) -> bool:
    """Whether everything matched."""
    return all(match.outcome == "matched" for match in matches)
