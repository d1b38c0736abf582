"""A stored session through the desk: the account's decisions as wishes, its fills as executions.

The account is the backtest's own, and its word on an event is check 12 of the risk chain; what the
kernel found of an order is what the broker here fills. So a replay has to come to the backtest's
decisions and trades, which are built again from the desk's journal alone and compared.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from smallcaps_assets.desk import events as e
from smallcaps_assets.desk.checks import Chain, Check
from smallcaps_assets.desk.control import Control
from smallcaps_assets.desk.core import Desk
from smallcaps_assets.desk.das.commands import NewOrder, Price
from smallcaps_assets.desk.das.words import Line, on_tick
from smallcaps_assets.desk.journal import Journal, read
from smallcaps_assets.desk.limits import SECOND
from smallcaps_assets.desk.runtime import Runtime
from smallcaps_assets.desk.state import DeskState, Rules
from smallcaps_assets.domain.execution.account import Account
from smallcaps_assets.domain.execution.slippage import signal_of
from smallcaps_assets.domain.execution.trades import Leg, Trade
from smallcaps_assets.domain.market.calendar import SessionHours

NEVER = 2**62
RULES = Rules(oldest_feed=NEVER, oldest_sweep=NEVER, same_order=-1)
"""Connection, feed and reconciliation pass; an account trades what it likes twice."""
NO_FILL = "no_fill"
Rows = Mapping[date, Sequence[Mapping[str, Any]]]


class TapeBroker:
    """Implements `Broker`: accepts every order; fills come from who replays the session."""

    def __init__(self) -> None:
        self.answers: list[e.Event] = []
        self.ids: dict[str, int] = {}
        self.left: dict[int, int] = {}
        self._commands: dict[int, NewOrder] = {}
        self._held: dict[str, int] = {}
        self._count = 0

    def send(self, command: Line) -> None:
        """As in Broker."""
        assert isinstance(command, NewOrder)
        self._count += 1
        self._commands[self._count] = command
        self.left[self._count] = command.qty
        self.answers.append(self._state(self._count, "Accepted"))

    def fill(self, order_id: int, qty: int, price: float) -> list[e.Event]:
        """What a fill tells."""
        command = self._commands[order_id]
        self._count += 1
        self.left[order_id] -= qty
        fill = e.Fill(self._count, order_id, command.symbol, command.side, qty, Decimal(str(price)))
        self._held[command.symbol] = self._held.get(command.symbol, 0) + fill.signed
        status = "Partial" if self.left[order_id] else "Executed"
        holding = e.Holding(command.symbol, self._held[command.symbol])
        return [fill, self._state(order_id, status), holding]

    def cancel(self, order_id: int) -> e.Event:
        """The rest of an order is cancelled."""
        return self._state(order_id, "Canceled")

    def _state(self, order_id: int, status: str) -> e.Event:
        c, left = self._commands[order_id], self.left[order_id]
        return e.OrderState(order_id, c.token, c.symbol, c.side, c.qty, left, 0, status)

    def sweep(self) -> None: ...

    def drop_writes(self) -> None: ...

    def close(self) -> None: ...


@dataclass
class _Progress:
    """How much of a trade has been told."""

    signal: str
    order_id: int
    entries: int = 0
    exits: int = 0


class DeskAccount(Account):
    """The backtest's account, of which one session goes through a desk. See `run`."""

    def run(
        self, sessions: Sequence[SessionHours], rows: Rows, runtime: Runtime, broker: TapeBroker,
        answers: dict[str, str], pace: Callable[[int], None],
    ) -> None:  # fmt: skip
        """Walk over some sessions, the last of them through `runtime`."""
        self._runtime, self._broker, self._answers, self._pace = runtime, broker, answers, pace
        self._day, self._close = sessions[-1].date, sessions[-1].postmarket_close
        self._progress: dict[int, _Progress] = {}
        self._cancels: list[tuple[int, int]] = []
        for session in sessions:
            self._session(session, rows.get(session.date, ()))
        self._tell_until(self._close)

    def _decide(self, row: Mapping[str, Any], located: dict[str, int]) -> None:
        """The account decides; the desk is asked, and the order sent."""
        if row["date"] != self._day:
            super()._decide(row, located)
            return
        self._tell_until(row["t0"])
        size = self.size(row, located)[0] if row["refusal"] in (None, NO_FILL) else 0
        super()._decide(row, located)
        number, refused = len(self.trades) - 1, self.trades[-1]["refused_by"]
        signal, trade = signal_of(row), self._held.get(number)
        self._answers[signal] = "" if refused in (None, NO_FILL) else refused
        shares = trade.shares if trade is not None else max(size, 1)
        wanted = self._entry(signal, row, shares)
        order_id = self._step(row["t0"], wanted)
        if order_id and trade is not None:
            self._progress[number] = _Progress(signal, order_id)
        elif order_id:
            live = row["t0"] + self.rules.latency_ms * 1_000_000
            self._cancels.append((live + int(self.rules.entry_seconds * SECOND), order_id))

    def _entry(self, signal: str, row: Mapping[str, Any], shares: int) -> e.Wanted:
        side = e.OPENING[row["side"]]
        price = Price("MKT")
        if row["price"]:
            price = Price.limit(_beyond(row["price"], row["side"], self.rules.entry_slack))
        return e.Wanted(signal, row["ticker"], side, shares, price, row["t0"],
                        pattern=row["pattern"] or "")  # fmt: skip

    def _step(self, t: int, event: e.Event) -> int:
        """One event through the desk, with the broker's answers; the id of an order it sent."""
        self._pace(t)
        self._runtime.step(t, event)
        sent = 0
        while self._broker.answers:
            answer = self._broker.answers.pop(0)
            sent = answer.order_id if isinstance(answer, e.OrderState) else sent
            self._runtime.step(t, answer)
        return sent

    def _tell_until(self, t: int) -> None:
        """Fills and cancels up to a time, in order. What the account has flattened since has other
        fills than before."""
        while due := [moment for moment in self._moments() if moment[0] <= t]:
            at, number, is_exit = min(due)
            if number >= 0:
                self._tell(at, number, is_exit)
            else:
                self._cancels.remove((at, -number))
                self._step(at, self._broker.cancel(-number))

    def _moments(self) -> Iterator[tuple[int, int, bool]]:
        """When each trade has its next fill, and whether of its exit; and cancels, by -order_id."""
        for number, told in self._progress.items():
            for is_exit, leg, k in self._next_of(number, told):
                yield leg.times[k], number, is_exit
        yield from ((at, -order_id, False) for at, order_id in self._cancels)

    def _next_of(self, number: int, told: _Progress) -> list[tuple[bool, Leg, int]]:
        """The next fill of a trade that is not told yet, if there is one."""
        trade = self._held[number]
        if told.entries < len(trade.entry.times):
            return [(False, trade.entry, told.entries)]
        return [(True, trade.exit, told.exits)] if told.exits < len(trade.exit.times) else []

    def _tell(self, t: int, number: int, is_exit: bool) -> None:
        trade, told = self._held[number], self._progress[number]
        leg, order_id = (trade.exit, 0) if is_exit else (trade.entry, told.order_id)
        k = told.exits if is_exit else told.entries
        if is_exit:
            side = "S" if trade.side > 0 else "B"
            purpose, signal = leg.reasons[k], f"{told.signal}-exit-{k}"
            symbol, price = trade.row["ticker"], Price("MKT")
            wanted = e.Wanted(signal, symbol, side, leg.shares[k], price, t, purpose=purpose,
                              pattern=trade.row["pattern"] or "")  # fmt: skip
            order_id = self._step(t, wanted)
            told.exits += 1
        else:
            told.entries += 1
        if order_id:
            for event in self._broker.fill(order_id, leg.shares[k], leg.prices[k]):
                self._step(t, event)


def _beyond(price: float, side: int, slack: float) -> Decimal:
    """A limit beyond a price, on the tick at or beyond it."""
    raw = Decimal(str(price * (1 + side * slack)))
    return on_tick(raw, is_up=side > 0)


@dataclass(frozen=True)
class Replayed:
    """A replayed session: by signal why not, trades built from the journal, and what differs."""

    refused: Mapping[str, str]
    trades: Mapping[str, Mapping[str, Any]]
    fills: int
    differences: Sequence[str]


def replay(
    account: DeskAccount, sessions: Sequence[SessionHours], rows: Rows, folder: Path,
    stored: Sequence[Mapping[str, Any]], speed: float = 0,
) -> Replayed:  # fmt: skip
    """The last of some sessions through a desk with its journal in `folder`, which is made anew.

    `stored` are the rows of `backtest_trades` of that session, instants as integers; `speed` is a
    factor on the session's own pace, 0 as fast as it goes.
    """
    path = folder / "journal.jsonl"
    path.unlink(missing_ok=True)
    answers: dict[str, str] = {}

    def ask(desk: DeskState, wanted: e.Wanted) -> tuple[bool, str]:
        refused = answers.get(wanted.signal, "")
        return not refused, refused or "taken"

    desk = Desk(sessions[-1].date.timetuple().tm_yday, rules=RULES,
                chain=Chain([Check(12, "account", ask)]))  # fmt: skip
    runtime, broker = Runtime(desk, Journal(path), Control(folder)), TapeBroker()
    runtime.broker = broker
    start = sessions[-1].premarket_open
    for event in (e.Link(True), e.Snapshot((), (), ())):
        runtime.step(start, event)
    account.run(sessions, rows, runtime, broker, answers, _pace(speed))
    runtime.journal.close()
    refused, fills = _told(path)
    trades = {told.signal: _rebuilt(account._held[number], told.signal, fills)
              for number, told in account._progress.items()}  # fmt: skip
    count = sum(len(times) for times in fills.values())
    return Replayed(refused, trades, count, [*_differences(stored, refused, trades)])


def _pace(speed: float) -> Callable[[int], None]:
    """Waits until an instant of the session is due."""
    began: list[float] = []

    def wait(t: int) -> None:
        began[:] = began or [time.monotonic() - t / SECOND / speed]
        time.sleep(max(began[0] + t / SECOND / speed - time.monotonic(), 0))

    return wait if speed else lambda t: None


def _told(path: Path) -> tuple[dict[str, str], dict[str, list[tuple[int, int, float]]]]:
    """From a journal alone: by signal why it was refused, empty when not; and fills by signal, as
    time, shares, price."""
    entries, _ = read(path)
    refused, signals, owners = {}, {}, {}
    fills: dict[str, list[tuple[int, int, float]]] = {}
    for entry in entries:
        data = entry.data
        if entry.kind == "decision" and data["purpose"] == "entry":
            account = data["refused"] == "account"
            refused[data["signal"]] = data["checks"]["account"] if account else data["refused"]
        elif entry.kind == "intent":
            signals[data["token"]] = data["signal"]
        elif entry.kind == "order":
            owners[data["order_id"]] = signals[data["token"]]
            if data["status"] == "Canceled":
                refused[owners[data["order_id"]]] = NO_FILL
        elif entry.kind == "fill":
            told = fills.setdefault(owners[data["order_id"]], [])
            told.append((entry.t, data["qty"], float(data["price"])))
    return refused, fills


def _rebuilt(trade: Trade, signal: str, fills: Mapping[str, Any]) -> Mapping[str, Any]:
    """The columns of `backtest_trades` from the fills; empty while the trade is open.

    Mids and reasons are the tape's and the account's; times, shares and prices the desk's.
    """
    exits = [fills.get(f"{signal}-exit-{k}", []) for k in range(len(trade.exit.times))]
    entry = _leg(fills.get(signal, []), trade.entry)
    exit = _leg([fill for part in exits for fill in part], trade.exit)
    if entry.total != exit.total or not entry.total:
        return {}
    return Trade(trade.row, entry.total, entry, exit, trade.place, trade.rules,
                 trade.exit_day).told()  # fmt: skip


def _leg(fills: Sequence[tuple[int, int, float]], known: Leg) -> Leg:
    times, shares, prices = zip(*fills, strict=True) if fills else ((), (), ())
    count = len(times)
    return Leg(times, shares, prices, known.mids[:count], known.reasons[:count])


def _differences(
    stored: Sequence[Mapping[str, Any]], refused: Mapping[str, str],
    trades: Mapping[str, Mapping[str, Any]],
) -> list[str]:  # fmt: skip
    """Where the backtest's rows and the desk's differ, one line each."""
    found = []
    signals = {row_signal(row): row for row in stored}
    for signal in refused.keys() - signals.keys():
        found.append(f"{signal}: the backtest does not have it")
    for signal, row in signals.items():
        why = refused.get(signal, "never asked")
        if why != (row["refused_by"] or ""):
            found.append(f"{signal}: refused by {why or 'nothing'}, not {row['refused_by']}")
        for name, value in trades.get(signal, {}).items():
            if value != row[name]:
                found.append(f"{signal}: {name} is {value}, not {row[name]}")
        if not row["refused_by"] and signal not in trades:
            found.append(f"{signal}: not traded")
    return found


def row_signal(row: Mapping[str, Any]) -> str:
    """The signal of a stored row, which names patterns but not samples."""
    sample = "patterns" if row["pattern"] else "bars"
    return signal_of({**row, "sample": sample})
