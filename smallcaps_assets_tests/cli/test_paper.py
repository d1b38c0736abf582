"""`smallcaps paper` on the stream of a small embedded market: to its end, and to a Ctrl-C."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest
from rich.console import Console

from smallcaps_assets.cli.paper import page
from smallcaps_assets.desk.journal import read
from smallcaps_assets_tests.end_to_end.command import (
    PROGRAM,
    SMALL_MARKET,
    environment,
    settings,
    smallcaps,
)

DAY = "2024-12-27"
ARGUMENTS = ("paper", "--market", "simulated", "--date", DAY, "--tickers", "CULT,MOPS",
             *settings(SMALL_MARKET))  # fmt: skip


def test_a_session_ends_by_itself_with_a_whole_journal(tmp_path: Path) -> None:
    done = smallcaps(*ARGUMENTS, "--lake", "lake", "--speed", "0", "--json", cwd=tmp_path)
    assert done.status == 0, done.error
    told = json.loads(done.out[done.out.index("{") :])
    assert told["trades"] > 3 and told["open"] == {} and told["late"] == 0
    assert set(told["agreement"]) == {"agrees"} and told["agreement"]["agrees"] > 10
    entries, torn = read(Path(tmp_path / told["journal"]))
    assert torn == b""
    net: dict[str, int] = {}
    fills = [entry.data for entry in entries if entry.kind == "fill"]
    for fill in fills:
        sign = 1 if fill["side"] == "B" else -1
        net[fill["symbol"]] = net.get(fill["symbol"], 0) + sign * fill["qty"]
    assert len(fills) == told["fills"] and set(net.values()) == {0}
    decided = [e for e in entries if e.kind == "decision" and e.data["purpose"] == "entry"]
    assert len(decided) == told["signals"]
    stored = json.loads((tmp_path / told["journal"]).with_name("agreement.json").read_text())
    assert stored == {"reasons": told["agreement"], "differences": []}


def test_ctrl_c_does_what_is_asked(tmp_path: Path) -> None:
    def begin(how: str) -> subprocess.Popen[str]:
        command = [*PROGRAM, *ARGUMENTS, "--lake", str(tmp_path / how), "--speed", "2000",
                   "--plain", "--on-exit", how, "--strategy", "always_long",
                   "--set", "backtest.timeout_seconds=20000"]  # fmt: skip
        pipe = subprocess.PIPE
        return subprocess.Popen(command, env=environment(), stdout=pipe, stderr=pipe, text=True)

    sessions = {how: begin(how) for how in ("flatten", "keep")}
    for how, run in sessions.items():
        journal = tmp_path / how / "desk" / "paper" / f"{DAY}-always_long" / "journal.jsonl"
        while run.poll() is None and not (journal.exists() and b'"fill"' in journal.read_bytes()):
            time.sleep(0.02)
        run.send_signal(signal.SIGINT)
    for how, run in sessions.items():
        out, told = run.communicate()
        assert run.returncode == 130, told
        assert f"stopped ({how})" in told and ("positions: none" in told) == (how == "flatten")
        assert out.splitlines()[-1].startswith("journal") and "agreement" not in out


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--date", "2024-12-25"], "2024-12-25 is no session"),
        (["--strategy", "nothing"], "no strategy 'nothing' is declared"),
        (["--strategy", "model"], "the lake has none of 2024-12"),
        (["--speed", "-1"], "--speed -1.0 is negative"),
        (["--tickers", "NONE"], "nothing was traded on 2024-12-27"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(
    tmp_path: Path, options: list[str], named: str
) -> None:
    done = smallcaps(*ARGUMENTS, "--lake", "lake", *options, cwd=tmp_path)
    assert done.status == 2 and named in done.error and done.error.count("\n") == 1


def test_the_dashboard_shows_what_is_held() -> None:
    class Feed:
        problem = "slow"

        def age(self) -> float:
            return 1.25

    state = {
        "time": 1735300800 * 10**9, "equity": 50_123.4, "realised": 12.0, "open": -3.5,
        "kill_switch": "soft", "used": {"positions": (1, 3), "day_loss": (0.0, 1000.0)},
        "halts": ["EFGH"], "messages": 12_345, "late": 2,
        "positions": [{"symbol": "ABCD", "shares": 300, "average": 4.1, "last": 4.2, "profit": 30.0,
                       "take_profit": 4.72, "stop": 3.69, "since": 0}],
        "orders": [{"symbol": "ABCD", "side": "S", "shares": 300, "price": "4.72",
                    "state": "WORKING", "purpose": "take_profit"}],
    }  # fmt: skip
    console = Console(width=120, record=True)
    console.print(page(state, Feed()))  # type: ignore[arg-type]
    shown = console.export_text()
    for part in ("07:00:00", "50,123.40", "kill switch soft", "positions 1 of 3", "EFGH", "1.2 s",
                 "+30.00", "4.7200", "WORKING", "slow"):  # fmt: skip
        assert part in shown
