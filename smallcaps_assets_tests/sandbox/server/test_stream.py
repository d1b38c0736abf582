"""`smallcaps sandbox stream`. The feed's own tests are in sources/polygon/test_stream.py."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner
from websockets.sync.client import connect

from smallcaps_assets.cli import main
from smallcaps_assets_tests.end_to_end.command import PROGRAM, environment


def test_a_session_is_streamed_to_who_logs_in(tmp_path: Path, recording: Path) -> None:
    arguments = ["--day", "2013-10-07", "--speed", "0", "--json", "--lake", str(tmp_path / "lake")]
    command = [*PROGRAM, "sandbox", "stream", "--market", f"recorded:{recording}", *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=tmp_path, env=environment()
    ) as served:
        assert served.stdout is not None
        text = ""
        while not text.rstrip().endswith("}"):
            text += served.stdout.readline()
        told = json.loads(text)
        assert (told["session"], told["objects"]) == ("2013-10-07", 4)
        with connect(told["url"]) as socket:
            socket.recv()
            socket.send(json.dumps({"action": "auth", "params": told["key"]}))
            assert "auth_success" in str(socket.recv())
            socket.send('{"action":"subscribe","params":"T.AAPL,AM.*"}')
            socket.recv()
            found = json.loads(socket.recv(timeout=60))
        served.terminate()
    assert [(x["ev"], x.get("p", x.get("c"))) for x in found] == [("T", 10), ("T", 11), ("AM", 11)]


@pytest.mark.parametrize(
    ("options", "named"),
    [(["--speed", "-1"], "--speed -1"), (["--day", "x"], "--day 'x' is no date")],
)
def test_what_can_not_be_streamed_is_refused(
    tmp_path: Path, options: list[str], named: str
) -> None:
    done = CliRunner().invoke(main, ["sandbox", "stream", f"--lake={tmp_path}", *options])
    assert done.exit_code == 2 and named in done.output
