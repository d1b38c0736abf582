"""The commands of the person at the desk, and the README's ways to read, on a finished lake."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pytest
import requests
from click.testing import CliRunner, Result

import smallcaps_assets
from smallcaps_assets.cli import main
from smallcaps_assets.lake import Lake, open_lake, scan
from smallcaps_assets.pipeline.market import market_of
from smallcaps_assets.pipeline.paper import known_of
from smallcaps_assets.pipeline.partition_keys import MarketSpan
from smallcaps_assets.pipeline.workspace import Workspace
from smallcaps_assets.schemas import RULES
from smallcaps_assets.schemas.tables import ASOF_COLUMNS
from smallcaps_assets.settings import Settings
from smallcaps_assets_tests.end_to_end.command import PROGRAM, SMALL_MARKET, environment

README = Path(smallcaps_assets.__file__).parents[1] / "README.md"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, small_lake: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder whose default lake is the small one."""
    monkeypatch.setattr("os.environ", environment(COLUMNS="200"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").symlink_to(small_lake)
    return tmp_path


@pytest.fixture
def registry(small_lake: Path) -> dict:
    """The first selected ticker-session."""
    rows = Lake(small_lake).read("ticker_sessions").filter("is_qualified").sort("partition_key")
    return rows.row(0, named=True)


def call(*arguments: object, status: int = 0) -> Result:
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert done.exit_code == status, done.output
    return done


def answer(*arguments: object) -> list[dict]:
    return json.loads(call(*arguments, "--json").stdout)


def refusal(*arguments: object) -> str:
    done = call(*arguments, status=2)
    assert done.stdout == "" and done.stderr.count("\n") == 1
    return done.stderr


# Questions ---------------------------------------------------------------------------------------
def test_sql_answers_as_table_json_and_csv() -> None:
    query = "select ticker, count(*) as days, max(date) as last from daily_bars group by ticker"
    expected = scan("daily_bars").group_by("ticker").len().collect()
    rows = answer("sql", query)
    assert {row["ticker"]: row["days"] for row in rows} == dict(expected.iter_rows())
    assert rows[0]["last"] == str(max(row["last"] for row in rows))[:10]
    assert call("sql", "--csv", "select 1 as a, 'x,y' as b").stdout == 'a,b\n1,"x,y"\n'
    assert "3 of" not in call("sql", "select 1").stdout
    assert "40 of 41 rows" in call("sql", "select * from range(41)").stdout


def test_sql_takes_values_as_parameters() -> None:
    odd = "x' or 1=1 --"
    assert answer("sql", "select count(*) as n from tickers where ticker = ?", odd) == [{"n": 0}]
    assert answer("sql", "select $1 as a, $2 as b", odd, "2") == [{"a": odd, "b": "2"}]


def test_sql_refuses_in_one_line() -> None:
    assert "Did you mean" in refusal("sql", "select * from dayly_bars")
    assert "CREATE is refused" in refusal("sql", "create table mine as select 1")
    assert "syntax error" in refusal("sql", "selec")


def test_sql_interrupted_ends_in_one_line(folder: Path) -> None:
    endless = "select sum(a.range * b.range) from range(10000000) a, range(10000000) b"
    status, out, error = interrupted(["sql", "--json", endless], folder, after=4)
    assert (status, out) == (130, "")
    assert error == "smallcaps: interrupted; run the same command again to go on\n"


def test_watchlist_and_runners_of_a_session(small_lake: Path) -> None:
    rows = answer("watchlist", "2024-12-30")
    stored = Lake(small_lake).read("watchlist", "2024-12-30")
    assert sorted((r["ticker"], r["rule"]) for r in rows) == stored.select("ticker", "rule").rows()
    assert re.fullmatch(r"2024-12-30T\d\d:\d\d:\d\d\.000000000.*", rows[0]["known_at"])
    assert answer("watchlist") == rows
    rules = [row["rule"] for row in rows]
    assert rules == sorted(rules, key=RULES.index) and len(set(rules)) > 1
    only = answer("watchlist", "--rule", "info_rich", "--rule", "follow_up")
    assert only == [row for row in rows if row["rule"] in ("info_rich", "follow_up")] != rows
    shown = call("watchlist").stdout
    assert "times in New York" in shown and " 16:00:00 " in shown  # info_rich, known at the close
    ranked = [row["rank"] for row in answer("runners")]
    assert ranked == list(range(1, len(ranked) + 1)) and ranked
    assert "runners of the 12 months to 2024-12-30" in call("runners").stdout
    assert call("runners", "--csv").stdout.startswith("date,rank,ticker")
    listed = Lake(small_lake).read("volatile", "2024-12-30").sort("rank")
    assert [row["ticker"] for row in answer("volatile")] == listed["ticker"].to_list()
    assert "volatile list of the 12 months to 2024-12-30" in call("volatile").stdout
    assert "no date; write it as YYYY-MM-DD" in refusal("watchlist", "yesterday")
    assert "the lake holds 15 partitions" in refusal("watchlist", "2024-12-25")


def test_status_coverage_and_density_as_json(small_lake: Path) -> None:
    tables = {row["table"]: row for row in answer("status")}
    assert tables["daily_bars"]["present"] == 15 == tables["daily_bars"]["expected"]
    covered = answer("coverage")
    assert len(covered) == scan("coverage").collect().height
    found = json.loads(call("density", "--json").stdout)
    assert [cost["period"] for cost in found["cost_of_ticks"]][:1] == ["before_christmas"]
    assert {row["rule"] for row in found["selected_days"]} >= {"info_rich"}


# One day -----------------------------------------------------------------------------------------
def test_show_gives_a_card_and_a_chart(registry: dict, folder: Path, small_lake: Path) -> None:
    asked = ("show", registry["ticker"], registry["date"])
    card = call(*asked, "--out", "day.html").stdout
    assert registry["ticker"] in card and "dollar imbalance bars" in card
    page = (folder / "day.html").read_text()
    assert page.count("<figure>") == 2 and "http" not in re.sub(r"data:[^\"]*", "", page)
    call(*asked, "--out", "day.png")
    assert (folder / "day.png").read_bytes().startswith(b"\x89PNG")
    told = json.loads(call(*asked, "--json").stdout)
    assert told["rules"] == registry["rules"].split(",")
    assert told["identity"] == registry["identity"]
    assert told["eligible_from"] == registry["eligible_from"].isoformat()
    assert sum(told["labels"].values()) > 0
    events = Lake(small_lake).read("pattern_events", registry["partition_key"])
    assert [row["event_id"] for row in told["patterns"]] == events["event_id"].to_list() != []
    assert events["pattern"][0].replace("_", " ") in card


def test_show_draws_minutes_where_there_are_no_trades(small_lake: Path, folder: Path) -> None:
    chosen = Lake(small_lake).read("ticker_sessions")["ticker"].to_list()
    day = Lake(small_lake).read("universe", "2024-12-12")
    quiet = next(ticker for ticker in day["ticker"] if ticker not in chosen)
    assert "not stored" in call("show", quiet, "2024-12-12", "--out", "day.png").stdout
    assert (folder / "day.png").stat().st_size > 10_000


def test_show_refuses_what_is_not_there() -> None:
    assert "unknown ticker 'NOPE'" in refusal("show", "NOPE", "2024-12-12")
    assert "no date" in refusal("show", "NOPE", "12/12/2024")
    assert "the lake holds 15 partitions" in refusal("show", "BCpC", "2024-12-25")


# Files -------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "read"),
    [("x.parquet", pl.read_parquet), ("x.arrow", pl.read_ipc)],
    ids=["parquet", "arrow"],
)
def test_export_gives_the_rows_of_a_scan(folder: Path, name: str, read: object) -> None:
    done = call("export", "daily_bars", name, "--tickers", "BCpC", "--from", "2024-12-12")
    expected = scan("daily_bars", "BCpC", "2024-12-12").collect()
    assert f"{expected.height} rows of daily_bars" in done.stdout
    assert read(folder / name).equals(expected)  # type: ignore[operator]
    assert sorted(path.name for path in folder.iterdir()) == ["data", name]


def test_export_of_trades_as_csv_has_lists_as_texts(folder: Path, registry: dict) -> None:
    call("export", "trades", "x.csv", "--tickers", registry["ticker"])
    found = pl.read_csv(folder / "x.csv", infer_schema=False)
    trades = scan("trades", registry["ticker"]).collect()
    assert found.height == trades.height
    expected = [" ".join(map(str, ids)) for ids in trades["conditions"].to_list()]
    assert found["conditions"].fill_null("").to_list() == expected


def test_export_adjusts_and_refuses(folder: Path) -> None:
    call("export", "daily_bars", "x.parquet", "--adjusted", "--to", "2024-12-20")
    expected = scan("daily_bars", end="2024-12-20", adjusted=True).collect()
    assert pl.read_parquet(folder / "x.parquet").equals(expected)
    assert "x.parquet exists; name another" in refusal("export", "daily_bars", "x.parquet")
    call("export", "daily_bars", "x.parquet", "--replace")
    assert pl.read_parquet(folder / "x.parquet").equals(scan("daily_bars").collect())
    assert "end it in .parquet, .csv, .arrow" in refusal("export", "daily_bars", "x.xls")
    assert "can't be written" in refusal("export", "daily_bars", "nowhere/x.csv")
    assert "unknown table" in refusal("export", "dayly_bars", "y.csv")
    assert "--as-of goes with --adjusted" in refusal(
        "export", "halts", "y.csv", "--as-of", "2024-12-20"
    )


# The market --------------------------------------------------------------------------------------
def test_sandbox_serves_the_lakes_market_until_it_is_interrupted(folder: Path) -> None:
    with running(["sandbox", "--json"], folder) as server:
        lines = iter(server.stdout.readline, "}\n")  # type: ignore[union-attr]
        told = json.loads("".join(lines) + "}")
        asked = f"{told['url']}/v3/reference/tickers?limit=1000"
        assert requests.get(asked, timeout=30).status_code == 401
        key = {"Authorization": f"Bearer {told['key']}"}
        found = requests.get(asked, headers=key, timeout=30).json()["results"]
        assert "BCpC" in {row["ticker"] for row in found}
        server.send_signal(signal.SIGINT)
        assert server.wait(30) == 130


def interrupted(arguments: list[str], folder: Path, after: float) -> tuple[int, str, str]:
    """Status and output of a command that gets a Ctrl-C once it has run for some seconds of CPU."""
    with running(arguments, folder) as child:
        while cpu_seconds(child.pid) < after and child.poll() is None:
            os.sched_yield()
        child.send_signal(signal.SIGINT)
        out, error = child.communicate(timeout=60)
        return child.returncode, out, error


def cpu_seconds(pid: int) -> float:
    """CPU time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def running(arguments: list[str], folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A command as a child, killed at the end if it is still there."""
    pipes: dict = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    command = [*PROGRAM, *arguments]
    with subprocess.Popen(command, cwd=folder, env=environment(), **pipes) as child:
        try:
            yield child
        finally:
            child.kill()


# The README --------------------------------------------------------------------------------------
def snippets() -> Iterator[tuple[str, str]]:
    section = README.read_text(encoding="utf-8").partition("\n## Read the lake\n")[2]
    for code in re.findall(r"```python\n(.*?)```", section.partition("\n## ")[0], re.DOTALL):
        yield code.splitlines()[0].split()[1], code


@pytest.mark.parametrize(("name", "code"), snippets(), ids=[name for name, _ in snippets()])
def test_readme_reads_a_lake(name: str, code: str) -> None:
    spaces: dict = {}
    exec(code, spaces)
    read = [value for value in spaces.values() if hasattr(value, "columns")]
    assert read and all(len(value.columns) for value in read)


def test_the_desk_knows_beside_the_tape_what_the_dataset_has(small_lake: Path) -> None:
    sandbox = {name.partition(".")[2]: value for name, value in SMALL_MARKET.items()}
    chosen = Settings.model_validate({"sandbox": sandbox, "lake": {"root": str(small_lake)}})
    lake = open_lake(small_lake, market_of(chosen).identity)
    work = Workspace(chosen, lake, MarketSpan.of_market(chosen))
    compared = set()
    for (day,), rows in lake.scan("ml_dataset").collect().group_by("date"):
        known = known_of(work, day, rows["ticker"].unique().to_list())
        instants = rows["t0"].to_physical()
        for row, t0 in zip(rows.select("ticker", *ASOF_COLUMNS).to_dicts(), instants, strict=True):
            told = {"ticker": row["ticker"], **known.companies[row["ticker"]].facts.at(t0)}
            assert told == row
            compared |= {name for name, value in row.items() if value}
    assert {"days_since_halt", "news_1d", "short_volume_ratio_z20", "runner_rank"} <= compared
