"""The desk killed at random against the simulator of DAS: is any order sent twice or forgotten?

    python benchmarks/desk_kills.py --kills 200 [--seed 1] [--flush-late]

Each kill is SIGKILL at one of six points: in a write of the journal, before its flush, at a send,
at an acknowledgement, at a fill, in a reconnect. A desk with the same folder follows, which goes on
where the killed one was. In the end each wish of the strategy has exactly one order at the broker,
each order there is in the journal, the journal is whole, and positions are equal. With --flush-late
orders are sent before the journal is flushed, a defect that this has to find.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from smallcaps_assets.desk import events as e  # noqa: E402
from smallcaps_assets.desk.control import Control  # noqa: E402
from smallcaps_assets.desk.core import Desk, Rules  # noqa: E402
from smallcaps_assets.desk.das.broker import DasBroker, permit  # noqa: E402
from smallcaps_assets.desk.das.commands import Login, NewOrder, Price  # noqa: E402
from smallcaps_assets.desk.das.messages import Order  # noqa: E402
from smallcaps_assets.desk.das.simulator import DasSimulator, Outcome  # noqa: E402
from smallcaps_assets.desk.das.words import Line  # noqa: E402
from smallcaps_assets.desk.journal import Journal, read  # noqa: E402
from smallcaps_assets.desk.limits import SECOND  # noqa: E402
from smallcaps_assets.desk.runtime import Runtime  # noqa: E402

POINTS = ("write", "flush", "send", "acknowledgement", "fill", "reconnect")
SYMBOLS = ("ABCD", "EFGH", "IJKL")
RULES = Rules(silent_order=SECOND // 4, sweep_after_fill=SECOND // 8, sweep_every=SECOND // 2,
              disagreement=SECOND, unsettled=60 * SECOND, most_rejects=10**6,
              oldest_feed=2**63)  # fmt: skip
PRICE = Decimal("4.25")


class Market:
    """Fills half of an order at once, the rest some milliseconds later; rejects one in ten."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.simulator: DasSimulator | None = None

    def submit(self, order: Order, command: NewOrder) -> Iterable[Outcome]:
        if self._random.random() < 0.1:
            return [Outcome("reject", text="no shares")]
        late = threading.Timer(self._random.uniform(0, 0.02), self._fill, [order.order_id])
        late.start()
        return [Outcome("accept"), Outcome("fill", order.qty // 2, PRICE)]

    def _fill(self, order_id: int) -> None:
        assert self.simulator is not None
        self.simulator.apply(order_id, [Outcome("fill", 10**6, PRICE)])

    def cancel(self, order: Order) -> Iterable[Outcome]:
        return [Outcome("cancel")]

    def replace(self, order: Order) -> Iterable[Outcome]:
        return []


# The desk that is killed


class Killer:
    """Ends this process at the n-th time that a point is reached."""

    def __init__(self, point: str, count: int) -> None:
        self._point, self._left = point, count
        self.is_early = count % 2 == 0  # before a send, or after it

    def at(self, point: str) -> bool:
        """Whether it is now; the caller then calls `end`."""
        self._left -= point == self._point
        return point == self._point and self._left <= 0

    def end(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(10)


class KilledJournal(Journal):
    killer: Killer

    def push(self) -> None:
        if self._pending and self.killer.at("write"):
            os.write(self._file, self._pending[: len(self._pending) // 2])
            self.killer.end()
        super().push()

    def flush(self) -> None:
        if self.killer.at("flush"):
            self.killer.end()
        super().flush()


class KilledBroker(DasBroker):
    killer: Killer

    def send(self, command: Line) -> None:
        is_now = isinstance(command, NewOrder) and self.killer.at("send")
        if is_now and self.killer.is_early:
            self.killer.end()
        super().send(command)
        if is_now:
            self.killer.end()


class KilledRuntime(Runtime):
    killer: Killer
    flushes_late = False

    def step(self, t: int, event: e.Event) -> None:
        points = {e.OrderState: "acknowledgement", e.OrderAction: "acknowledgement",
                  e.Fill: "fill", e.Link: "reconnect", e.Snapshot: "reconnect"}  # fmt: skip
        if self.killer.at(points.get(type(event), "")):
            self.killer.end()
        super().step(t, event)

    def _send(self, send: e.Send):
        if not self.flushes_late:
            yield from super()._send(send)
            return
        sent = self._hand_over(send)  # the planted defect
        self._write(self.journal.flush)
        if sent is not None:
            yield sent


def trade(folder: Path, port: int, wishes: int, killer: Killer, flushes_late: bool) -> bool:
    """A desk that sends one order for each wish, one at a time; True once all are settled."""
    KilledJournal.killer = KilledBroker.killer = KilledRuntime.killer = killer
    KilledRuntime.flushes_late = flushes_late
    journal = KilledJournal(folder / "journal.jsonl")
    desk = Desk(325, rules=RULES)
    runtime = KilledRuntime(desk, journal, Control(folder))
    runtime.recover()
    permission = permit("SIM1", ("SIM1",), True, "SIM1")
    login = Login("TRD1", "simulated", "SIM1")
    broker = KilledBroker(("127.0.0.1", port), login, runtime.put, permission, (0.02, 0.05))
    runtime.broker = broker.start()
    deadline = time.monotonic() + 60
    for wish in range(wishes):
        while not _is_done(desk, wish) and time.monotonic() < deadline:
            runtime.run(lambda: _may_go_on(desk, wish) or time.monotonic() > deadline)  # noqa: B023
            if not _is_done(desk, wish):
                runtime.step(time.time_ns(), _wanted(desk, wish))
                runtime.beat()
    runtime.run(lambda: _agrees(desk) or time.monotonic() > deadline)
    broker.close()
    journal.close()
    return _agrees(desk)


def _attempts(desk: Desk, wish: int) -> list[int]:
    return [token for name, token in desk.by_signal.items() if name.startswith(f"{wish}.")]


def _is_done(desk: Desk, wish: int) -> bool:
    return any(desk.orders[t].is_settled and desk.orders[t].stage != 3
               for t in _attempts(desk, wish))  # fmt: skip


def _may_go_on(desk: Desk, wish: int) -> bool:
    """Nothing is under way for the wish, so that it may be sent again."""
    return desk.link.is_ready and all(desk.orders[t].is_settled for t in _attempts(desk, wish))


def _agrees(desk: Desk) -> bool:
    return desk.link.is_ready and all(desk.held.get(s, 0) == desk.net(s) for s in SYMBOLS)


def _wanted(desk: Desk, wish: int) -> e.Wanted:
    name = f"{wish}.{len(_attempts(desk, wish))}"
    desk.paused.clear()
    return e.Wanted(name, SYMBOLS[wish % len(SYMBOLS)], "B", 100 + 2 * wish, Price.limit(PRICE),
                    time.time_ns())  # fmt: skip


# The one who kills


def run(folder: Path, points: list[str], seed: int, flushes_late: bool = False) -> list[str]:
    """What went wrong after a kill at each of some points; nothing when all is well."""
    dice, market = random.Random(seed), Market(seed)
    dice.shuffle(points)
    wishes = 0
    struck: Counter[str] = Counter()
    with DasSimulator(market) as simulator:
        market.simulator = simulator
        for point in points:
            wishes += 4
            if point == "reconnect" or dice.random() < 0.2:
                simulator.faults["NEWORDER"].append(dice.choice(["drop_before", "drop_after"]))
            died = _child(folder, simulator, wishes, point, dice.randint(1, 4), flushes_late)
            struck[point] += died == -signal.SIGKILL
        status = _child(folder, simulator, wishes, "none", 0, flushes_late)
        found = [] if status == 0 else [f"the last desk ended with {status}"]
        print(f"kills: {dict(struck)}")
        return found + _problems(folder, simulator, wishes)


def _child(folder: Path, simulator: DasSimulator, wishes: int, point: str, count: int,
           flushes_late: bool) -> int:  # fmt: skip
    arguments = [folder, simulator.address[1], wishes, point, count, int(flushes_late)]
    command = [sys.executable, __file__, "--child", *map(str, arguments)]
    return subprocess.run(command, check=False, timeout=100).returncode


def _problems(folder: Path, simulator: DasSimulator, wishes: int) -> list[str]:
    entries, torn = read(folder / "journal.jsonl")
    found = ["the journal is torn"] if torn else []
    intents = {x.data["token"]: x.data["signal"] for x in entries if x.kind == "intent"}
    tokens = [order.token for order in simulator.orders.values()]
    found += [f"token {t} was sent twice" for t, n in Counter(tokens).items() if n > 1]
    found += [f"order {t} is not in the journal" for t in tokens if t not in intents]
    sent = Counter(intents[t].partition(".")[0] for t in tokens if t in intents)
    found += [f"wish {w} has {sent[str(w)]} orders" for w in range(wishes) if sent[str(w)] != 1]
    fills = {x.data["trade_id"]: x.data for x in entries if x.kind == "fill"}
    missing = {trade.trade_id for trade in simulator.trades} ^ fills.keys()
    found += [f"fills differ: {sorted(missing)}"] if missing else []
    for symbol in SYMBOLS:
        shares = sum(fill["qty"] for fill in fills.values() if fill["symbol"] == symbol)
        if shares != simulator.net(symbol):
            found.append(f"{symbol}: {shares} shares in the journal, {simulator.net(symbol)} held")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--flush-late", action="store_true")
    parser.add_argument("--child", nargs=6)
    options = parser.parse_args()
    if options.child:
        folder, port, wishes, point, count, is_late = options.child
        killer = Killer(point, int(count))
        return not trade(Path(folder), int(port), int(wishes), killer, is_late == "1")
    with tempfile.TemporaryDirectory() as folder:
        points = [POINTS[i % len(POINTS)] for i in range(options.kills)]
        problems = run(Path(folder), points, options.seed, options.flush_late)
    print("\n".join(problems) or "no order twice, none forgotten, journal whole, positions equal")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
