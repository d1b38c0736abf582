"""`smallcaps paper`: a strategy on a live feed, or on a session of an embedded market, on paper."""

from __future__ import annotations

import importlib.util
import os
import queue
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from pydantic import SecretStr

from smallcaps_assets import interrupts
from smallcaps_assets.cli.options import LakeOptions
from smallcaps_assets.cli.output import echo_json, echo_values
from smallcaps_assets.cli.setup import UserError, check_speed, names_of, settings_of
from smallcaps_assets.desk.runtime import BEAT
from smallcaps_assets.domain.market.calendar import NEW_YORK, sessions
from smallcaps_assets.lake import open_lake
from smallcaps_assets.lake.selection import as_day
from smallcaps_assets.pipeline.market import Market, market_of
from smallcaps_assets.pipeline.partition_keys import MarketSpan
from smallcaps_assets.pipeline.workspace import Workspace

if TYPE_CHECKING:
    from smallcaps_assets.desk.session import Session
    from smallcaps_assets.pipeline.paper import Known
    from smallcaps_assets.sources.polygon.stream import Batch, Stream

VENDOR_FEED = "wss://socket.massive.com/stocks"
_BEHIND = 1_000_000_000  # ns that a message may take to come without being late
_LEAVING, _QUIET, _LOG_EVERY = 5.0, 1.0, 10.0  # seconds


def run_paper(
    options: LakeOptions, day: str | None, strategy: str, tickers: str | None, feed: str | None,
    speed: float, on_exit: str, is_plain: bool, is_json: bool,
) -> int:  # fmt: skip
    """Trade to the end of the session or the first Ctrl-C, and tell what came of it."""
    if importlib.util.find_spec("websockets") is None:
        raise UserError('the feed needs websockets: pip install "smallcaps-assets[desk]"')
    check_speed(speed)
    settings = settings_of(options)
    market = market_of(settings)
    session_day = _day(market, as_day(day, "--date"))
    work = Workspace(settings, open_lake(settings.lake.root, market.identity),
                     MarketSpan.of_market(settings))  # fmt: skip
    from smallcaps_assets.pipeline.paper import (
        agreement,
        chooser_of,
        known_of,
        listed,
        paper_session,
    )

    names = names_of(tickers, "--tickers", "ticker") or listed(work, session_day)
    names = names or _most_traded(market, session_day)
    known = known_of(work, session_day, names)
    chooser = chooser_of(work, strategy, known)
    desk = settings.desk_folder
    folder = _free(desk / "paper", f"{session_day}-{strategy}")
    tell = click.echo if is_plain or is_json else (lambda text: None)
    session = paper_session(settings, known, chooser, folder, desk, tell)
    with _served(market, session_day, names, speed, feed) as (url, is_finished):
        if names_without := ", ".join(known.without_close):
            click.echo(f"no close of the session before is known of {names_without}: their change"
                       " and the short-sale restriction can't be told", err=True)  # fmt: skip
        run = _Run(work, session, known, url, on_exit, is_finished)
        is_whole = run.go(is_plain or is_json or not sys.stdout.isatty())
    session.trader.runtime.journal.close()
    told = _summary(session, run.stream, folder)
    if is_whole:
        found = agreement(work, known, session)
        found.write(folder / "agreement.json")
        told["agreement"] = dict(found.reasons)
    if is_json:
        echo_json(told)
    else:
        echo_values(told, 12)
    return 0


def _day(market: Market, asked: date | None) -> date:
    """The session: that asked for, an embedded market's last, or today."""
    today = datetime.now(NEW_YORK).date()
    day = asked or (market.span[1] if market.is_embedded else today)
    if not sessions(day, day):
        raise UserError(f"{day} is no session; choose another --date")
    return day


def _free(folder: Path, name: str) -> Path:
    """A folder that is not there yet: no session writes into another's journal."""
    number, found = 1, folder / name
    while found.exists():
        number += 1
        found = folder / f"{name}-{number}"
    return found


def _most_traded(market: Market, day: date) -> list[str]:
    """An embedded market's most traded tickers."""
    if not market.is_embedded:
        raise UserError("the lake has no selected tickers of this session; give --tickers")
    from smallcaps_assets.sandbox.server.stream_rows import most_traded

    return most_traded(market.started_server().market, day)


@contextmanager
def _served(
    market: Market, day: date, tickers: list[str] | tuple[str, ...], speed: float, feed: str | None
) -> Iterator[tuple[str, Any]]:
    """Where the feed is, and what tells that an embedded market has sent all."""
    if feed is not None or not market.is_embedded:
        yield feed or VENDOR_FEED, None
        return
    from smallcaps_assets.sandbox.server.stream import PATH, StreamServer
    from smallcaps_assets.sandbox.server.stream_rows import stream_rows

    rows = stream_rows(market.started_server().market, day, tickers)
    if rows.is_empty():
        raise UserError(f"nothing was traded on {day}; choose another --date or other --tickers")
    with StreamServer(rows, speed or None, market.endpoints().key) as server:
        yield f"ws://{server.feed}{PATH}", server.is_finished


class _Run:
    """The loop between the feed and the session."""

    def __init__(
        self, work: Workspace, session: Session, known: Known, url: str, on_exit: str,
        is_finished: Any,
    ) -> None:  # fmt: skip
        from smallcaps_assets.pipeline.paper import unit_of
        from smallcaps_assets.sources.polygon.stream import Stream

        self.session, self.known, self._on_exit = session, known, on_exit
        self._unit, self._is_finished = unit_of(work.settings, known.day), is_finished
        self._inbox: queue.SimpleQueue[Batch] = queue.SimpleQueue()
        topics = [f"{kind}.{name}" for name in known.contexts for kind in ("T", "Q", "LULD")]
        key = SecretStr(market_of(work.settings).endpoints(os.environ).key)
        history = work.clients.polygon
        self.stream = Stream(url, key, topics, self._inbox.put, history)
        self._beat_at = self._shown_at = self._heard_at = time.monotonic()
        self._missed: list[Any] = []

    def go(self, is_plain: bool) -> bool:
        """Whether the session came to its end; otherwise what the first Ctrl-C asks for is done."""
        self.stream.start()
        shown = nullcontext(_log) if is_plain else _dashboard()
        with shown as show, interrupts.left_to_command() as is_asked_to_stop:
            try:
                self._loop(show, is_asked_to_stop)
                if is_asked_to_stop():
                    self._leave(show)
                    return False
            finally:
                self.stream.close()
            self._end()
            return not is_asked_to_stop()

    def _loop(self, show: Any, is_done: Any) -> None:
        while not is_done() and not self._is_over():
            try:
                self._take(self._inbox.get(timeout=BEAT / 2))
                self._heard_at = time.monotonic()
            except queue.Empty:
                pass
            now = time.monotonic()
            if now - self._beat_at >= BEAT:
                self._beat_at = now
                self._let_time_pass()
                self.session.trader.runtime.beat()
                self.session.trader.settle()
            if now - self._shown_at >= (_LOG_EVERY if show is _log else BEAT):
                self._shown_at = now
                show(self.session.state(), self.stream)
            if self.stream.is_refused:
                raise UserError(f"the feed refuses the key: {self.stream.problem}")

    def _let_time_pass(self) -> None:
        """A feed of today has the clock of this machine; another that of its messages."""
        today = datetime.now(NEW_YORK).date()
        if self._is_finished is None and self.known.day == today:
            self.session.reach(time.time_ns() - _BEHIND)
        self.session.settle()
        self.session.trader.advance(self.session.now)

    def _take(self, batch: Batch) -> None:
        """A batch; what was missed is put in order of time before the first that was not."""
        from smallcaps_assets.pipeline.paper import messages_of

        found = list(messages_of(batch, self._unit))
        if batch.is_filled:
            self._missed += found
            return
        missed, self._missed = sorted(self._missed, key=lambda m: m.time), []
        self.session.take([*missed, *found])

    def _is_over(self) -> bool:
        """After the scheduled close, or once an embedded market has sent all."""
        if self.session.now >= self.known.hours.close:
            return True
        is_quiet = time.monotonic() - self._heard_at > _QUIET and self._inbox.empty()
        return self._is_finished is not None and self._is_finished.is_set() and is_quiet

    def _end(self) -> None:
        """The session's end: what its last instants bring."""
        self.session.reach(self.known.hours.close)
        self.session.settle()
        self.session.trader.advance(self.known.hours.close)

    def _leave(self, show: Any) -> None:
        """What Ctrl-C asks for, on the feed, for some seconds at most."""
        trader, until = self.session.trader, time.monotonic() + _LEAVING
        trader.stop(self._on_exit)
        if self._on_exit == "flatten":
            self._loop(show, lambda: trader.is_flat or time.monotonic() > until)
        left = {p["symbol"]: p["shares"] for p in self.session.state()["positions"] if p["shares"]}
        resting = len(self.session.state()["orders"])
        said = f"stopped ({self._on_exit}); positions: {left or 'none'}; resting: {resting}"
        click.echo(said, err=True)


def _summary(session: Session, stream: Stream, folder: Path) -> dict[str, Any]:
    trader = session.trader
    refused = Counter(trader.refused.values())
    return {
        "session": str(trader.hours.date),
        "strategy": trader.account.strategy.name,
        "signals": len(trader.refused),
        "trades": len(trader.trades),
        "fills": len(trader.runtime.desk.fills),
        "refused": {reason: count for reason, count in refused.most_common() if reason},
        "net_profit": round(sum(trade["net_profit"] for trade in trader.trades), 2),
        "open": {h.ticker: h.side * h.shares for h in trader.held.values() if h.shares},
        "feed": dict(stream.received),
        "late": session.late,
        "journal": str(folder / "journal.jsonl"),
    }


def _clock(t: int) -> str:
    return datetime.fromtimestamp(t / 1e9, UTC).astimezone(NEW_YORK).strftime("%H:%M:%S")


def _log(state: Any, stream: Stream) -> None:
    """The dashboard as a line."""
    held = ", ".join(f"{p['shares']} {p['symbol']}" for p in state["positions"]) or "none"
    profit = state["realised"] + state["open"]
    parts = [
        _clock(state["time"]), f"equity {state['equity']:.2f}", f"day {profit:+.2f}",
        f"positions {held}", f"orders {len(state['orders'])}", f"trades {state['trades']}",
        f"halts {', '.join(state['halts']) or 'none'}", f"data {stream.age():.1f} s old",
        f"kill switch {state['kill_switch']}", *filter(None, [stream.problem]),
    ]  # fmt: skip
    click.echo(" | ".join(parts))


@contextmanager
def _dashboard() -> Iterator[Any]:
    """A page in the terminal that is drawn anew."""
    from rich.live import Live

    with Live(refresh_per_second=4, screen=False) as live:
        yield lambda state, stream: live.update(page(state, stream))


def page(state: Any, stream: Stream) -> Any:
    """Positions, orders, profit, limits used, halts and the age of the data."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    head = Text(f"{_clock(state['time'])}  equity {state['equity']:,.2f}"
                f"  day {state['realised']:+,.2f} realised {state['open']:+,.2f} open"
                f"  kill switch {state['kill_switch']}")  # fmt: skip
    used = ", ".join(f"{name.replace('_', ' ')} {a:g} of {b:g}"
                     for name, (a, b) in state["used"].items())  # fmt: skip
    limits = Text(f"limits used: {used}; halts: {', '.join(state['halts']) or 'none'};"
                  f" data {stream.age():.1f} s old; {state['messages']:,} messages,"
                  f" {state['late']} late {stream.problem}")  # fmt: skip
    positions = Table("symbol", "shares", "average", "last", "profit", "take profit", "stop",
                      title="positions")  # fmt: skip
    for p in state["positions"]:
        profit = "" if p["profit"] is None else f"{p['profit']:+.2f}"
        positions.add_row(p["symbol"], f"{p['shares']}", f"{p['average']:.4f}", f"{p['last']:.4f}",
                          profit, f"{p['take_profit']:.4f}", f"{p['stop']:.4f}")  # fmt: skip
    orders = Table("symbol", "side", "shares", "price", "state", "purpose", title="orders")
    for o in state["orders"]:
        orders.add_row(*map(str, o.values()))
    return Group(head, limits, positions, orders)
