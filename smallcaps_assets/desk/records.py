"""A session's journals as rows: decisions, orders, fills, positions, and the broker's own list.

Rows are dictionaries by the columns of `schemas/desk_columns.py`, instants as UTC nanoseconds.
What an order came to is what the desk itself makes of its journal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import msgspec

from smallcaps_assets.desk.core import Desk
from smallcaps_assets.desk.drop_copy import Execution, Match, of_fills, totals
from smallcaps_assets.desk.events import Fill
from smallcaps_assets.desk.journal import Entry, is_open, read
from smallcaps_assets.desk.orders import Order

MAIN, PATTERN = "journal.jsonl", "*.jsonl"
DROP_COPY = "drop_copy.csv"
_MILLISECOND = 1_000_000
Row = dict[str, Any]


class RecordsError(ValueError):
    """Journals that no records can be made of now."""


def journals(folder: Path) -> list[Path]:
    """The journals of a run's folder: the desk's own, then those of commands that closed."""
    found = folder.glob(PATTERN) if folder.is_dir() else ()
    return sorted(found, key=lambda path: (path.name != MAIN, path.name))


@dataclass
class Records:
    """Rows of one run of a session: live, or one on paper. `listed` is what the broker's last
    complete list of trades held, None without one; `torn` are journals whose last line a kill cut.
    """

    day: date
    run: str
    decisions: list[Row] = field(default_factory=list)
    orders: list[Row] = field(default_factory=list)
    fills: list[Row] = field(default_factory=list)
    positions: list[Row] = field(default_factory=list)
    executed: list[Fill] = field(default_factory=list)
    listed: list[Execution] | None = None
    torn: list[str] = field(default_factory=list)


def session_records(folder: Path, day: date, run: str) -> Records:
    """The records of a run's journals. Raises JournalError for a damaged one, and RecordsError
    while a desk writes one."""
    told = []
    records = Records(day, run)
    for path in journals(folder):
        if is_open(path):
            raise RecordsError(f"{path} is in use: a desk runs this session; end it first")
        entries, torn = read(path)
        told.append(_Told(path.name, entries))
        if torn:
            records.torn.append(path.name)
    owners = {order_id: token for one in told for order_id, token in one.desk.by_id.items()}
    heard: dict[int, tuple[int, Row]] = {}
    for one in told:
        records.decisions += one.decisions
        records.orders += map(one.order_row, one.desk.orders.values())
        for trade_id, fill in one.fills.items():
            heard.setdefault(trade_id, fill)
    records.executed = [_fill(data) for _, data in heard.values()]
    records.fills = [_fill_row(t, data, owners) for t, data in heard.values()]
    records.positions = list(_positions(told, records.executed))
    records.listed = _listed(told, heard)
    for row in (*records.decisions, *records.orders, *records.fills, *records.positions):
        row |= {"date": day, "run": run}
    return records


class _Told:
    """One journal, read record by record."""

    def __init__(self, name: str, entries: Sequence[Entry]) -> None:
        self.name, self.desk = name, Desk(1)
        self.decisions: list[Row] = []
        self.fills: dict[int, tuple[int, Row]] = {}
        self.held_at: dict[str, int] = {}
        self.listed: tuple[int, Row] | None = None
        self._wanted: dict[str, Row] = {}
        self._times: dict[int, dict[str, int]] = {}
        self._open: dict[int, None] = {}
        for entry in entries:
            self.desk.restore(entry.t, entry.kind, entry.data)
            self._note(entry)
            self._close(entry.t)

    def _note(self, entry: Entry) -> None:
        t, kind, data = entry.t, entry.kind, entry.data
        if kind == "decision":
            self._decide(entry)
        elif kind == "intent":
            token = data["token"]
            self._times[token], self._open[token] = {"created_at": t}, None
            if data["signal"] in self._wanted:
                self._wanted[data["signal"]]["token"] = token
        elif kind == "sent":
            self._times[data["token"]]["sent_at"] = t
        elif kind in ("order", "act"):
            token = self.desk.by_id.get(data["order_id"], data["token"])
            if token in self._times:
                self._times[token].setdefault("acknowledged_at", t)
        elif kind == "fill":
            self.fills[data["trade_id"]] = t, data
        elif kind == "position":
            self.held_at[data["symbol"]] = t
        elif kind == "trades":
            self.listed = t, data

    def _decide(self, entry: Entry) -> None:
        t, data = entry.t, entry.data
        row = {
            "journal": self.name,
            "number": entry.seq,
            "decided_at": t,
            **{name: data[name] for name in ("signal", "side", "purpose")},
            "signal_at": data["known_at"],
            "pattern": data.get("pattern") or None,
            "ticker": data["symbol"],
            "shares": data["qty"],
            "price": _words(data["price"]),
            "refused_by": data["refused"] or None,
            "checks": msgspec.json.encode(data["checks"]).decode(),
            "token": None,
            **_quote(data),
        }
        self.decisions.append(row)
        self._wanted[data["signal"]] = row

    def _close(self, t: int) -> None:
        for token in [token for token in self._open if self.desk.orders[token].is_done]:
            self._times[token]["closed_at"] = t
            del self._open[token]

    def order_row(self, order: Order) -> Row:
        """An order as it stands at the end of the journal."""
        command, wanted = order.command, self._wanted.get(order.signal, {})
        fills = [self.fills[trade_id] for trade_id in order.fills]
        heard = [t for t, _ in fills]
        times = self._times[order.token] | (
            {"first_fill_at": min(heard), "last_fill_at": max(heard)} if heard else {}
        )
        limit = command.price.values[-1] if "LMT" in command.price.kind else None
        known = wanted.get("signal_at")
        return {
            "token": order.token,
            "journal": self.name,
            **{name: getattr(order, name) for name in ("order_id", "signal", "purpose", "state")},
            **{name: getattr(order, name) for name in ("filled", "canceled")},
            **{name: getattr(command, name) for name in ("side", "route", "tif")},
            **{name: wanted.get(name) for name in ("pattern", "signal_at", "bid", "ask")},
            "ticker": command.symbol,
            "shares": order.qty,
            "kind": command.price.kind,
            "limit_price": _float(limit),
            **times,
            "signal_to_sent": _between(known, times.get("sent_at")),
            "sent_to_acknowledged": _between(times.get("sent_at"), times.get("acknowledged_at")),
            "sent_to_first_fill": _between(times.get("sent_at"), times.get("first_fill_at")),
            "average_price": _float(order.average),
            "fees": sum(float(data["fee"] or 0) for _, data in fills),
            "reason": order.reason or None,
        }


def _positions(told: Sequence[_Told], fills: Sequence[Fill]) -> Iterator[Row]:
    """A row for each symbol that was held or traded; the newest word of the broker counts."""
    sums = totals(of_fills(fills))
    for symbol in sorted({*sums, *(symbol for one in told for symbol in one.held_at)}):
        newest = max(told, key=lambda one: one.held_at.get(symbol, 0))
        initial = newest.desk.initial.get(symbol, 0)
        traded = [fill.signed for fill in fills if fill.symbol == symbol]
        total = sums.get(symbol)
        yield {
            "ticker": symbol,
            "initial": initial,
            "held": newest.desk.held.get(symbol, 0),
            "by_fills": initial + sum(traded),
            "bought": sum(n for n in traded if n > 0),
            "sold": -sum(n for n in traded if n < 0),
            "buy_price": float(total.bought) or None if total else None,
            "sell_price": float(total.sold) or None if total else None,
            "realized": float(total.realized) if total else 0.0,
            "fees": float(total.fees) if total else 0.0,
            "held_at": newest.held_at.get(symbol),
            "mismatch": next((p for one in told if (p := one.desk.paused.get(symbol))), None),
        }


def _listed(told: Sequence[_Told], heard: Mapping[int, tuple[int, Row]]) -> list[Execution] | None:
    """What the newest list of the broker held: ours of then, less what it lacked, and as it said
    where it differed."""
    lists = [one.listed for one in told if one.listed]
    if not lists:
        return None
    at, told_of = max(lists, key=lambda found: found[0])
    theirs = {i: data for i, (t, data) in heard.items() if t <= at}
    for trade_id in told_of["missing"]:
        theirs.pop(trade_id, None)
    theirs |= {data["trade_id"]: data for data in told_of["differing"]}
    return of_fills(map(_fill, theirs.values()))


def match_rows(matches: Sequence[Match], source: str, of: Records) -> list[Row]:
    """The rows of a reconciliation, in order of time."""

    def at(match: Match) -> tuple[int, str]:
        one = match.ours or match.theirs
        return (one.second, one.symbol) if one else (0, "")

    return [
        {"date": of.day, "run": of.run, "number": number, "outcome": match.outcome,
         "field": match.field or None, "list": source, "ticker": at(match)[1],
         **_side("our", match.ours), **_side("their", match.theirs)}
        for number, match in enumerate(sorted(matches, key=at), 1)
    ]  # fmt: skip


def _side(whose: str, one: Execution | None) -> Row:
    if one is None:
        return {}
    clock = f"{one.second // 3600:02}:{one.second // 60 % 60:02}:{one.second % 60:02}"
    return {f"{whose}_trade_id": one.trade_id, f"{whose}_time": clock,
            f"{whose}_shares": one.shares, f"{whose}_price": float(one.price)}  # fmt: skip


def _fill(data: Mapping[str, Any]) -> Fill:
    return msgspec.convert({**data, "type": Fill.__name__}, Fill)


def _fill_row(t: int, data: Row, owners: Mapping[int, int]) -> Row:
    return {
        **{name: data[name] for name in ("trade_id", "order_id", "side", "route", "liquidity")},
        "received_at": t,
        "broker_time": data["time"],
        "token": owners.get(data["order_id"]),
        "ticker": data["symbol"],
        "shares": data["qty"],
        "price": float(data["price"]),
        "fee": _float(data["fee"]),
        **_quote(data),
    }


def _quote(data: Mapping[str, Any]) -> Row:
    """Bid and ask of a record; a side without an offer is none."""
    return {name: _float(data.get(name)) or None for name in ("bid", "ask")}


def _words(price: Mapping[str, Any]) -> str:
    kind = [] if price["kind"] == "LMT" else [price["kind"]]
    return " ".join([*kind, *map(str, price.get("values", ()))])


def _float(value: Any) -> float | None:
    return None if value is None else float(value)


def _between(start: int | None, end: int | None) -> float | None:
    return None if start is None or end is None else (end - start) / _MILLISECOND
