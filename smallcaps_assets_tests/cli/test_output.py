"""What a command prints where not every character can be shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from smallcaps_assets.cli import main
from smallcaps_assets.lake import open_lake
from smallcaps_assets.pipeline.market import market_of
from smallcaps_assets.settings import load_settings


@pytest.mark.parametrize(
    ("options", "shown"),
    [((), rb"\u2026"), (("--csv",), "…".encode()), (("--json",), rb"\u2026")],
    ids=["table", "csv", "json"],
)
def test_terminal_without_unicode_loses_nothing(
    tmp_path: Path, options: tuple[str, ...], shown: bytes
) -> None:
    lake = str(tmp_path / "lake")
    open_lake(lake, market_of(load_settings()).identity, {})
    query = "select 'é…' as x, 'plain' as y"
    done = CliRunner(charset="ascii").invoke(main, ["sql", "--lake", lake, query, *options])
    assert (done.exit_code, done.stderr) == (0, ""), done.exception
    assert b"plain" in done.stdout_bytes and shown in done.stdout_bytes


@pytest.mark.parametrize("charset", ["ascii", "latin-1", "utf-8"])
def test_refusal_is_one_line_in_every_character_set(charset: str) -> None:
    done = CliRunner(charset=charset).invoke(main, ["status", "--market", "naïve…"])
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("smallcaps: unknown market 'na")
    assert done.stderr.count("\n") == 1
