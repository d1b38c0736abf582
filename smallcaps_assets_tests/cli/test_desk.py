"""`smallcaps desk` against the simulator of DAS: the switch, the first day, the broker's list."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from smallcaps_assets.cli import main
from smallcaps_assets.desk import events as e
from smallcaps_assets.desk.control import Control
from smallcaps_assets.desk.core import Desk
from smallcaps_assets.desk.das import commands as c
from smallcaps_assets.desk.das import messages as m
from smallcaps_assets.desk.das.simulator import DasSimulator
from smallcaps_assets.desk.events import Level
from smallcaps_assets.desk.journal import Journal
from smallcaps_assets.desk.runtime import Runtime
from smallcaps_assets.domain.market.calendar import NEW_YORK
from smallcaps_assets_tests.desk.scripted import Scripted
from smallcaps_assets_tests.end_to_end.command import environment

D = Decimal
TODAY = str(datetime.now(NEW_YORK).date())


@pytest.fixture
def das(monkeypatch: pytest.MonkeyPatch) -> Iterator[DasSimulator]:
    """A broker with a position, an order and quotes."""
    monkeypatch.setattr("os.environ", {**environment(), "DAS_PASSWORD": "simulated"})
    with DasSimulator(Scripted()) as simulator:
        for symbol in ("ABCD", "EFGH"):
            simulator.facts["LV1", symbol] = m.Quote(symbol, {"A": "4.26", "B": "4.24"})
        simulator.place_by_hand(c.NewOrder(0, "B", "ABCD", "ARCA", 300, c.Price.limit(D("4.25"))))
        simulator.place_by_hand(c.NewOrder(0, "SS", "EFGH", "ARCA", 50, c.Price.limit(D("4.25"))))
        simulator.place_by_hand(c.NewOrder(0, "B", "ABCD", "ARCA", 102, c.Price.limit(D("4.00"))))
        yield simulator


def desk(folder: Path, das: DasSimulator, *arguments: str, **options: str) -> Result:
    settings = {"trader": "TRD1", "account": "SIM1", "accounts": "SIM1", "route": "ARCA",
                "host": das.address[0], "port": das.address[1]}  # fmt: skip
    sets = [f"--set=desk.{name}={value}" for name, value in settings.items()]
    return CliRunner().invoke(main, ["desk", *arguments, f"--lake={folder}", *sets], **options)


def live(das: DasSimulator) -> list[m.Order]:
    return [order for order in das.orders.values() if order.status in ("Accepted", "Partial")]


def test_kill_without_a_desk_cancels_and_closes(tmp_path: Path, das: DasSimulator) -> None:
    done = desk(tmp_path, das, "kill", "cancel", "--live", "--account", "SIM1")
    assert done.exit_code == 0, done.output
    assert not live(das) and (das.net("ABCD"), das.net("EFGH")) == (300, -50)
    done = desk(tmp_path, das, "kill", "flatten", "--live", "--account", "SIM1")
    assert done.exit_code == 0, done.output
    assert not live(das) and (das.net("ABCD"), das.net("EFGH")) == (0, 0)
    assert desk(tmp_path, das, "kill", "soft").output.startswith("kill switch at flatten")
    told = json.loads(desk(tmp_path, das, "status", "--json").output)
    assert (told["kill_switch"], told["is_running"]) == ("flatten", False)
    assert desk(tmp_path, das, "reset").exit_code == 0
    assert json.loads(desk(tmp_path, das, "status", "--json").output)["kill_switch"] == "none"


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--account", "SIM1"], "--live"),
        (["--live"], "desk.accounts"),
        (["--live", "--account", "OTHER"], "desk.accounts"),
    ],
)
def test_kill_acts_only_with_permission_and_is_latched_all_the_same(
    tmp_path: Path, das: DasSimulator, options: list[str], named: str
) -> None:
    done = desk(tmp_path, das, "kill", "cancel", *options)
    assert done.exit_code == 2 and named in done.output
    assert len(live(das)) == 1 and not das.received
    assert Control(tmp_path / "desk").read().level == Level.CANCEL


HOLDER = """
import sys, time
from pathlib import Path
from smallcaps_assets.desk.journal import Journal
journal = Journal(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(100)
"""


def test_kill_acts_by_itself_when_the_desk_hangs(
    tmp_path: Path, das: DasSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smallcaps_assets.cli.desk._HEARING", 0.3)
    path = tmp_path / "desk" / TODAY / "journal.jsonl"
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as hanging:
        assert hanging.stdout is not None and hanging.stdout.readline()
        done = desk(tmp_path, das, "kill", "cancel", "--live", "--account", "SIM1")
        hanging.kill()
    assert done.exit_code == 0 and "no desk has heard of it" in done.output and not live(das)


def journalled(folder: Path) -> list[e.Fill]:
    """A journal of today with some fills."""
    fills = [e.Fill(1, 5, "ABCD", "B", 100, D("4.25"), "09:41:09"),
             e.Fill(2, 6, "ABCD", "S", 100, D("4.35"), "09:50:00")]  # fmt: skip
    control = Control(folder / "desk")
    runtime = Runtime(Desk(1), Journal(folder / "desk" / TODAY / "journal.jsonl"), control)
    for fill in fills:
        runtime.step(time.time_ns(), fill)
    runtime.journal.close()
    return fills


LIST = "Time,Symb,Side,Price,Qty\n09:41:09,ABCD,B,4.25,100\n09:50:00,ABCD,S,4.35,100\n"


def test_reconcile_and_export(tmp_path: Path, das: DasSimulator) -> None:
    journalled(tmp_path)
    good = desk(tmp_path, das, "reconcile", "-", input=LIST)
    assert (good.exit_code, good.output) == (0, "2 executions, 2 agree\n")
    bad = desk(tmp_path, das, "reconcile", "-", input=LIST.replace("4.35", "4.36"))
    assert bad.exit_code == 1 and "differs price" in bad.output
    refused = desk(tmp_path, das, "reconcile", "-", input="Time,Symb\n")
    assert refused.exit_code == 2 and "no column for side, price, qty" in refused.output
    out = tmp_path / "out.csv"
    assert desk(tmp_path, das, "export", "tradersync", str(out)).exit_code == 0
    assert len(out.read_text().splitlines()) == 3
    other = desk(tmp_path, das, "export", "tradervue", str(out), "--day", "2024-01-02")
    assert other.exit_code == 2 and "no journal of 2024-01-02" in other.output


def test_probe_sends_orders_only_live_and_leaves_none(tmp_path: Path, das: DasSimulator) -> None:
    das.disconnect()
    out, before = tmp_path / "probe.json", len(das.orders)
    resting = len(live(das))
    common = ["probe", "ABCD", "--price", "1.01", "--out", str(out), "--quiet", "0.1"]
    assert desk(tmp_path, das, *common, input="y\n" * 11).exit_code == 0
    found = {finding["name"]: finding for finding in json.loads(out.read_text())}
    assert found["limit"]["received"][0] == "not sent: this session only watches"
    assert "Client 1" in found["echo"]["received"] and len(das.orders) == before
    das.matching.submit = lambda order, command: []  # type: ignore[method-assign]
    answers = "SIM1\n" + "y\n" * 5 + "n\n" + "y\n" * 5  # the limit order is not confirmed
    done = desk(tmp_path, das, *common, "--live", input=answers)
    assert done.exit_code == 0, done.output
    found = {finding["name"]: finding for finding in json.loads(out.read_text())}
    assert "limit" not in found and "STOPLMTP" in "".join(found["stop"]["received"])
    time.sleep(0.1)
    assert len(live(das)) == resting and len(das.orders) > before


def test_probe_refuses_a_price_off_its_tick(tmp_path: Path, das: DasSimulator) -> None:
    done = desk(tmp_path, das, "probe", "ABCD", "--price", "1.001")
    assert done.exit_code == 2 and "1.001 is not on a tick" in done.output
