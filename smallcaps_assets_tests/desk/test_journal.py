"""The journal and the kill switch: whole after a kill, loud when damaged, latched."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from smallcaps_assets.desk import events as e
from smallcaps_assets.desk.control import Control
from smallcaps_assets.desk.core import Desk
from smallcaps_assets.desk.das.commands import Cancel, CancelAll, Get
from smallcaps_assets.desk.das.messages import SymbolStatus
from smallcaps_assets.desk.das.words import Line
from smallcaps_assets.desk.events import Level
from smallcaps_assets.desk.journal import Journal, JournalError, is_open, read
from smallcaps_assets.desk.limits import RateLimits
from smallcaps_assets.desk.runtime import Runtime
from smallcaps_assets_tests.desk.scripted import quoted, wanted


def written(path: Path, count: int = 3) -> Path:
    journal = Journal(path)
    for i in range(count):
        journal.append(i, "alert", {"text": f"é{i}"})
    journal.close()
    return path


def test_records_come_back_and_go_on(tmp_path: Path) -> None:
    path = written(written(tmp_path / "j.jsonl"), 2)
    entries, torn = read(path)
    assert [(x.seq, x.t) for x in entries] == [(1, 0), (2, 1), (3, 2), (4, 0), (5, 1)]
    assert entries[1].data == {"text": "é1"} and torn == b""


@pytest.mark.parametrize("length", [1, 20, 45])
def test_a_torn_last_line_is_cut_off_and_told(tmp_path: Path, length: int) -> None:
    path = written(tmp_path / "j.jsonl")
    whole = path.read_bytes()
    path.write_bytes(whole + whole.splitlines()[-1][:length])
    journal = Journal(path)
    assert len(journal.entries) == 3 and len(journal.torn) == length
    told: list[str] = []
    Runtime(Desk(1), journal, Control(tmp_path), tell=told.append).recover()
    journal.close()
    assert [x.kind for x in read(path)[0]] == ["alert"] * 3 + ["start"] and "torn" in told[0]


def test_damage_before_the_end_is_no_torn_line(tmp_path: Path) -> None:
    path = written(tmp_path / "j.jsonl")
    lines = path.read_bytes().splitlines(keepends=True)
    for damaged in ([lines[0], b"{rubbish\n", lines[2]], [lines[0], lines[2]]):
        path.write_bytes(b"".join(damaged))
        with pytest.raises(JournalError, match="line 2"):
            Journal(path)


def test_one_desk_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    journal = Journal(path)
    assert is_open(path)
    with pytest.raises(JournalError, match="in use"):
        Journal(path)
    journal.close()
    assert not is_open(path)


class Collector:
    """A broker that keeps what it is sent, and looks at the journal first."""

    def __init__(self, path: Path) -> None:
        self.path, self.sent, self.is_dropped = path, [], False

    def send(self, command: Line) -> None:
        line = command.line()
        if line.startswith("NEWORDER"):  # flushed before it is sent
            assert line in self.path.read_text()
        self.sent.append(line)

    def sweep(self) -> None: ...

    def drop_writes(self) -> None:
        self.is_dropped = True

    def close(self) -> None: ...


@pytest.fixture
def runtime(tmp_path: Path):
    journal = Journal(tmp_path / "j.jsonl")
    made = Runtime(Desk(325), journal, Control(tmp_path))
    made.recover()
    made.broker = Collector(journal.path)
    t = made._clock()
    for event in (e.Link(True), e.Snapshot((), (), ()), quoted()):
        made.step(t, event)
    yield made
    journal.close()


def want(runtime: Runtime, *orders: e.Wanted) -> None:
    for order in orders:
        runtime.step(runtime._clock(), order)


def test_a_full_disk_stops_sending_and_keeps_what_rests(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    want(runtime, wanted("a"))
    real, before = os.write, runtime.journal.path.read_bytes()

    def full(file: int, data: bytes) -> int:
        real(file, data[:10])  # the system takes a part, and then no more
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    want(runtime, wanted("b", 200), wanted("c", 300))
    assert runtime.journal.path.read_bytes() == before
    monkeypatch.setattr(os, "write", real)
    runtime.beat()
    want(runtime, wanted("d", 400))
    assert isinstance(runtime.broker, Collector)
    orders = [line for line in runtime.broker.sent if line.startswith("NEWORDER")]
    assert len(orders) == 2 and not [x for x in runtime.broker.sent if x.startswith("CANCEL")]
    entries, torn = read(runtime.journal.path)
    alerts = [x.data["text"] for x in entries if x.kind == "alert"]
    assert torn == b"" and any("can't be written" in text for text in alerts)
    assert alerts[-1] == "the journal can be written again"


def test_tokens_go_on_after_a_restart_and_after_a_lost_journal(
    tmp_path: Path, runtime: Runtime
) -> None:
    want(runtime, wanted("a"), wanted("b", 200))
    assert [*runtime.desk.orders] == [132500000, 132500001]
    runtime.journal.close()
    journal = Journal(tmp_path / "j.jsonl")
    again = Runtime(Desk(325), journal, Control(tmp_path))
    again.recover()
    assert again.desk._next == 132500002 and again.desk.by_signal.keys() == {"a", "b"}
    fresh = Desk(325)
    state = e.OrderState(5, 132500041, "ABCD", "B", 100, 0, 0, "Executed")
    fresh.handle(1, e.Snapshot((state,)))
    assert fresh._next == 132500042


def test_the_switch_is_latched_until_a_person_resets_it(tmp_path: Path) -> None:
    control = Control(tmp_path)
    assert control.read().level == Level.NONE
    control.throw(Level.FLATTEN, "loss", 5)
    assert control.throw(Level.SOFT, "less", 6).level == Level.FLATTEN
    assert (control.read().level, control.read().reason) == (Level.FLATTEN, "loss")
    control.reset(7)
    assert control.read().level == Level.NONE
    (tmp_path / "control.json").write_text("{rubbish")
    assert control.read().level == Level.SOFT


def test_levels_of_the_switch(runtime: Runtime) -> None:
    assert isinstance(runtime.broker, Collector)
    runtime.step(runtime._clock(), e.Holding("HELD", 300, initial=300))
    runtime.control.throw(Level.SOFT, "look", runtime._clock())
    runtime.beat()
    want(runtime, wanted("in"), wanted("out", 100, "S", "HELD"))
    assert [*runtime.desk.by_signal] == ["out"]
    assert "CANCEL ALL" not in runtime.broker.sent
    runtime.control.throw(Level.CANCEL, "more", runtime._clock())
    runtime.beat()
    assert "CANCEL ALL" in runtime.broker.sent and runtime.control.heard() == Level.CANCEL
    runtime.control.throw(Level.HARD, "all", runtime._clock())
    runtime.beat()
    want(runtime, wanted("late", 100, "S", "HELD"))
    assert runtime.broker.is_dropped and "late" not in runtime.desk.by_signal
    runtime.control.reset(runtime._clock())
    runtime.beat()
    assert runtime.desk.level == Level.NONE


def test_flatten_closes_what_the_broker_holds(runtime: Runtime) -> None:
    assert isinstance(runtime.broker, Collector)
    runtime.step(runtime._clock(), e.Holding("ABCD", 300, initial=300))
    runtime.step(runtime._clock(), e.Holding("SHRT", -70, initial=-70))
    runtime.control.throw(Level.FLATTEN, "done", runtime._clock())
    runtime.beat()
    runtime.beat()
    lines = runtime.broker.sent
    assert any(" S ABCD SMAT 300 4.02 " in line for line in lines)  # 5 % below the bid of 4.24
    assert "SB SHRT Lv1" in lines
    runtime.step(runtime._clock(), quoted("SHRT", "0.9500", "0.9601"))
    runtime.beat()
    assert any(" B SHRT SMAT 70 1.01 " in line for line in runtime.broker.sent)
    assert len([line for line in runtime.broker.sent if line.startswith("NEWORDER")]) == 2


def test_flatten_asks_again_for_what_still_rests(runtime: Runtime) -> None:
    assert isinstance(runtime.broker, Collector)
    t, second = runtime.desk.now, 10**9
    runtime.step(t, e.Holding("ABCD", 300, initial=300))
    by_hand = e.OrderState(7, 0, "ABCD", "S", 300, 300, 0, "Accepted", is_from_api=False)
    runtime.step(t, by_hand)
    runtime.step(t, e.Killed(Level.FLATTEN, "done"))
    for after in range(8):
        runtime.step(t + after * second, e.Beat())
    sent = [line for line in runtime.broker.sent if not line.startswith("GET")]
    assert sent == ["CANCEL ALL", "CANCEL ALLSYMB ABCD"]  # nothing is closed beside a resting order
    gone = msgspec.structs.replace(by_hand, status="Canceled", left=0, canceled=300)
    runtime.step(t + 8 * second, gone)
    runtime.step(t + 9 * second, e.Beat())
    assert " S ABCD SMAT 300 " in runtime.broker.sent[-1]


def test_the_clock_going_back_and_an_old_signal() -> None:
    desk = Desk(325)
    desk.handle(10**12, e.Link(True))
    desk.handle(10**12, e.Snapshot((), (), ()))
    desk.handle(10**12, quoted())
    [alert] = [a for a in desk.handle(10**12 - 3 * 10**9, e.Beat()) if isinstance(a, e.Record)]
    assert "clock went back" in alert.data["text"]
    [refusal] = desk.handle(10**12 - 3 * 10**9, wanted("a", t=10**12))
    assert isinstance(refusal, e.Record) and refusal.data["refused"] == "clock"
    [refusal] = desk.handle(10**12, wanted("b", t=10**12 - 5 * 10**9))
    assert isinstance(refusal, e.Record) and refusal.data["refused"] == "signal_age"


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        (wanted("x", price="4.251", t=1), "line"),
        (wanted("x", symbol="AB CD", t=1), "line"),
        (wanted("x", side="BUY", t=1), "line"),
        (wanted("x", qty=0, t=1), "line"),
    ],
)
def test_what_cannot_be_written_is_refused(order: e.Wanted, reason: str) -> None:
    desk = Desk(325)
    for event in (e.Link(True), e.Snapshot((), (), ()), quoted()):
        desk.handle(1, event)
    [refusal] = desk.handle(1, order)
    assert isinstance(refusal, e.Record) and refusal.data["refused"] == reason


def test_an_accepted_mismatch_stays_accepted_after_a_restart(runtime: Runtime) -> None:
    second = 10**9
    t = runtime.desk.now
    fill = e.Fill(9, 77, "ABCD", "B", 100, wanted("x").price.values[0])
    for after, event in ((0, fill), (0, e.Holding("ABCD", 100)), (3, e.Beat()),
                         (4, e.Accepted("ABCD"))):  # fmt: skip
        runtime.step(t + after * second, event)
    assert not runtime.desk.paused
    again = Desk(325)
    for entry in read(runtime.journal.path)[0]:
        again.restore(entry.t, entry.kind, entry.data)
    again.handle(t + 9 * second, e.Beat())
    assert again.held == {"ABCD": 100} and not again.paused


def test_commands_are_kept_below_the_limits_with_a_reserve_for_what_protects() -> None:
    limits, order, cancel = RateLimits(), wanted("x"), Cancel(1)
    command = Desk(1).command_of(order, 1)
    assert [limits.room(c, 0) for c in (command, cancel, CancelAll())] == [36, 72, 72]
    for _ in range(36):
        limits.note(command, 5)
    assert limits.room(command, 6) == 0 and limits.room(command, 6, is_urgent=True) == 9
    assert limits.room(command, 5 + 10**9) == 36 and limits.room(Get("BP"), 0) > 1000


def test_in_a_halt_entries_are_taken_back_and_what_protects_stays(runtime: Runtime) -> None:
    assert isinstance(runtime.broker, Collector)
    t = runtime.desk.now
    runtime.step(t, e.Holding("ABCD", 300, initial=300))
    stop = msgspec.structs.replace(wanted("stop", 100, "S", t=t), purpose="stop")
    for number, order in enumerate((wanted("in", 50, t=t), stop)):
        runtime.step(t, order)
        token = runtime.desk.by_signal[order.signal]
        runtime.step(t, e.OrderState(number + 1, token, "ABCD", order.side, order.qty, order.qty,
                                     0, "Accepted"))  # fmt: skip
    runtime.step(t, e.Told(SymbolStatus("ABCD", {"SSR": "Y", "TA": "P"})))
    runtime.step(t, wanted("late", 60, t=t))
    runtime.step(t, wanted("out", 70, "S", t=t))
    assert "CANCEL 1" in runtime.broker.sent and "CANCEL 2" not in runtime.broker.sent
    assert runtime.desk.by_signal.keys() == {"in", "stop", "out"}
    runtime.step(t, e.Told(SymbolStatus("ABCD", {"TA": "T"})))
    runtime.step(t, wanted("again", 80, t=t))
    assert "again" in runtime.desk.by_signal


def test_a_crossed_quote_is_passed_over() -> None:
    desk = Desk(325)
    desk.handle(1, quoted())
    desk.handle(2, quoted(bid="4.30", ask="4.20"))
    assert desk.quotes["ABCD"].bid == quoted().bid


def test_same_events_same_actions() -> None:
    events = [e.Link(True), e.Snapshot((), (), ()), quoted(), wanted("a", t=1), e.Sent(132500000),
              e.OrderState(5, 132500000, "ABCD", "B", 100, 100, 0, "Accepted"),
              e.Fill(9, 5, "ABCD", "B", 100, wanted("a").price.values[0]), e.Beat()]  # fmt: skip
    first, second = Desk(325), Desk(325)
    actions = [[desk.handle(i, x) for i, x in enumerate(events)] for desk in (first, second)]
    assert actions[0] == actions[1] and any(actions[0])


def test_the_desk_starts_without_heavy_modules() -> None:
    heavy = ("polars", "dagster", "numpy", "pydantic")
    code = (
        "import sys, smallcaps_assets.desk.runtime, smallcaps_assets.desk.das.broker;"
        f"print([m for m in {heavy} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
