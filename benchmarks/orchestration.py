"""Dagster at full size: pages, backfills, sensors, memory.

    python benchmarks/orchestration.py                     # SQLite, full size
    python benchmarks/orchestration.py --postgres ADDRESS  # an empty database of a running server
    python benchmarks/orchestration.py --share 0.02        # a fiftieth of it, to try it out

An instance with everything materialized (6,405 tickers, 5,541 sessions, 50,000 ticker-sessions) is
made by inserting the events that runs would have stored, in bulk. Then

* pages: a headless Chromium opens the asset page, its partitions, the asset graph and the launch
  dialog; every GraphQL query that they send is sent again ten times, one at a time, and the median
  is shown. The page's own time includes the browser.
* backfill: 11,054 ticker-sessions of trivial work, launched as the UI does and carried out by the
  daemon, for one table, and with --chain for the eight tables of the tick chain. From the launch
  to the last partition.
* automation: schedule and sensors evaluated over a lake with the files that they look at.
* memory: resident size of web server, daemon and code server at the end.

ADDRESS is as in DAGSTER_POSTGRES_URL. The temporary lake is removed; the database is left as it is.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import dagster as dg
import polars as pl
import yaml
from dagster._core.events import (
    DagsterEvent,
    DagsterEventType,
    StepMaterializationData,
)
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.dagster_run import DagsterRun
from dagster._core.storage.event_log.schema import (
    AssetCheckExecutionsTable,
    SqlEventLogStorageTable,
)
from dagster._serdes import serialize_value
from sqlalchemy import func, select

from smallcaps_assets.definitions import build_definitions
from smallcaps_assets.domain.quality.checks import Finding
from smallcaps_assets.lake import Lake, Stamp, Written, open_lake
from smallcaps_assets.orchestration.checks import evaluation
from smallcaps_assets.orchestration.describe import event_metadata
from smallcaps_assets.orchestration.instance import POSTGRES_VARIABLE, open_instance, workspace_file
from smallcaps_assets.orchestration.location import remembered_settings
from smallcaps_assets.orchestration.partitions import TICKER_SESSIONS, TICKERS, Partitions
from smallcaps_assets.orchestration.pools import apply_pools
from smallcaps_assets.pipeline.clients import finra_client
from smallcaps_assets.pipeline.market import market_of
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets.pipeline.partition_keys import half_month_keys, month_keys, year_keys
from smallcaps_assets.schemas import TABLES, TICK_CHAIN, Partitioning
from smallcaps_assets.settings import UNION, Settings

START, END = "2004-01-02", "2026-01-09"
TICKERS_COUNT, TICKER_SESSIONS_COUNT, BACKFILL_COUNT = 6405, 50_000, 11_054
KEYS_PER_RUN, BATCH = 500, 5000
REPEATS = 10
PAGES = {
    "asset page": "/assets/daily_metrics",
    "partitions page, sessions": "/assets/daily_metrics?view=partitions",
    "partitions page, ticker-sessions": "/assets/trades?view=partitions",
    "checks page": "/assets/dollar_imbalance_bars?view=checks",
    "asset graph": "/asset-groups",
}


@dataclass(frozen=True)
class Full:
    """The size of everything, at some share of the full scale."""

    sessions: list[str]
    tickers: list[str]
    ticker_sessions: list[str]
    backfill: int
    partitions: Partitions

    def keys(self, table: str) -> list[str | None]:
        """Every partition of a table."""
        partitions, whole = self.partitions, {Partitioning.NONE: [None]}
        periods = [*(period.name for period in partitions.periods), UNION]
        return (
            whole.get(TABLES[table].partitioning)
            or {
                Partitioning.SESSION: self.sessions,
                Partitioning.HALF_MONTH: half_month_keys(partitions.start, partitions.end),
                Partitioning.MONTH: month_keys(partitions.start, partitions.end),
                Partitioning.YEAR: year_keys(partitions.start, partitions.end),
                Partitioning.TICKER: self.tickers,
                Partitioning.TICKER_SESSION: self.ticker_sessions,
                Partitioning.PERIOD: periods,
            }[TABLES[table].partitioning]
        )


def full_size(settings: Settings, share: float) -> Full:
    """Names for everything; ticker-sessions in the order of their sessions."""
    partitions = Partitions.of_market(settings)
    sessions = partitions.session_keys(partitions.start, partitions.end)
    tickers = [_name(number) for number in range(max(20, round(TICKERS_COUNT * share)))]
    count = max(100, round(TICKER_SESSIONS_COUNT * share))
    keys = [
        f"{tickers[(n * 7919) % len(tickers)]}_{sessions[n * len(sessions) // count]}"
        for n in range(count)
    ]
    unique = list(dict.fromkeys(keys))
    return Full(sessions, tickers, unique, max(100, round(BACKFILL_COUNT * share)), partitions)


def _name(number: int) -> str:
    letters = [chr(65 + number // 26**place % 26) for place in range(4)]
    return "".join(reversed(letters))


# The instance ------------------------------------------------------------------------------------
def fill(instance: dg.DagsterInstance, full: Full) -> int:
    """Insert the events of a history in which everything was materialized. Returns their number."""
    instance.add_dynamic_partitions(TICKERS.name or "", full.tickers)
    instance.add_dynamic_partitions(TICKER_SESSIONS.name or "", full.ticker_sessions)
    return sum(_fill_table(instance, table, full.keys(table)) for table in TABLES)


def _fill_table(instance: dg.DagsterInstance, table: str, keys: list[str | None]) -> int:
    storage: Any = instance.event_log_storage
    made, looked = _events(table, None if keys == [None] else _MARK, _MARK_OF_RUN)
    patterns = [storage._event_to_row(made), storage._event_to_row(looked)]
    pattern = _check_row(looked)
    for place in range(0, len(keys), BATCH):
        rows, checks = [], []
        first = _newest_id(storage) + 1
        for number, key in enumerate(keys[place : place + BATCH]):
            run = _run_of(instance, table, (place + number) // KEYS_PER_RUN)
            rows += [_filled(row, key, run) for row in patterns]
            made_id = first + 2 * number
            ids = {
                "materialization_event_storage_id": made_id,
                "evaluation_event_storage_id": made_id + 1,
            }
            checks.append({**_filled(pattern, key, run), **ids})
        with storage.index_connection() as connection:
            connection.execute(SqlEventLogStorageTable.insert(), rows)
            connection.execute(AssetCheckExecutionsTable.insert(), checks)
    # The last one by the front door: it keeps the table of assets.
    made, _ = _events(table, keys[-1], _run_of(instance, table, len(keys) // KEYS_PER_RUN))
    storage.store_event(made)
    return 2 * len(keys)


def _newest_id(storage: Any) -> int:
    query = select(func.coalesce(func.max(SqlEventLogStorageTable.c.id), 0))
    with storage.index_connection() as connection:
        return connection.execute(query).scalar_one()


_MARK, _MARK_OF_RUN = "PARTITION", "RUN"


def _filled(row: dict[str, Any], key: str | None, run: str) -> dict[str, Any]:
    """A row of the storage with its partition and run put in; serializing each would take hours."""
    text = {
        name: value.replace(f'"{_MARK_OF_RUN}"', f'"{run}"').replace(_MARK, key or "")
        for name, value in row.items()
        if name in ("event", "evaluation_event")
    }
    return {**row, **text, "partition": key, "run_id": run}


_RUNS: dict[tuple[str, int], str] = {}


def _run_of(instance: dg.DagsterInstance, table: str, number: int) -> str:
    """The id of the finished run that made a stretch of partitions."""
    if (table, number) not in _RUNS:
        run = DagsterRun(
            job_name="__ASSET_JOB",
            status=dg.DagsterRunStatus.SUCCESS,
            asset_selection=frozenset([dg.AssetKey(table)]),
        )
        instance.add_run(run)
        _RUNS[table, number] = run.run_id
    return _RUNS[table, number]


def _events(table: str, key: str | None, run: str) -> tuple[EventLogEntry, EventLogEntry]:
    written = Written(table, key, 1000, 50_000, f"{table}/{key}")
    outcome = Outcome(table, key, 0.5, written, pl.DataFrame({"ticker": ["AA"], "close": [1.5]}))
    made = dg.AssetMaterialization(table, partition=key, metadata=event_metadata(outcome))
    looked = evaluation(table, key, [Finding("contract", True, "1,000 unique rows")])
    data = {
        DagsterEventType.ASSET_MATERIALIZATION: StepMaterializationData(made),
        DagsterEventType.ASSET_CHECK_EVALUATION: looked,
    }
    entries = [
        EventLogEntry(
            error_info=None,
            level="debug",
            user_message="",
            run_id=run,
            timestamp=time.time(),
            dagster_event=DagsterEvent(
                event_type_value=kind.value, job_name="__ASSET_JOB", event_specific_data=value
            ),
        )
        for kind, value in data.items()
    ]
    return entries[0], entries[1]


def _check_row(event: EventLogEntry) -> dict[str, Any]:
    looked: Any = event.get_dagster_event().event_specific_data
    return {
        "asset_key": looked.asset_key.to_string(),
        "check_name": looked.check_name,
        "execution_status": "SUCCEEDED",
        "evaluation_event": serialize_value(event),
        "evaluation_event_timestamp": datetime.fromtimestamp(event.timestamp),
    }


# The servers -------------------------------------------------------------------------------------
@dataclass
class Servers:
    """A web server, and a daemon beside it."""

    url: str
    processes: dict[str, int]

    def ask(self, body: dict[str, Any]) -> dict[str, Any]:
        """The data of a GraphQL answer."""
        request = urllib.request.Request(
            f"{self.url}/graphql",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=600) as answer:
            found = json.load(answer)
        if found.get("errors"):
            raise RuntimeError(found["errors"][0])
        return found["data"]

    def is_loaded(self) -> bool:
        """Whether it answers, and knows the assets."""
        try:
            return bool(self.ask({"query": "{ assetNodes { id } }"})["assetNodes"])
        except OSError:
            return False

    def memory(self) -> dict[str, float]:
        """Megabytes resident, of each process and of its children."""
        return {
            name: sum(_resident(pid) for pid in [number, *children(number)]) / 1e6
            for name, number in self.processes.items()
        }


@contextmanager
def servers(home: Path, workspace: Path, has_daemon: bool, **variables: str) -> Iterator[Servers]:
    """`dagster-webserver`, and `dagster-daemon` if asked for, until the block ends."""
    port = free_port()
    environment = {**os.environ, **variables, "DAGSTER_HOME": str(home)}
    folder = Path(__file__).resolve().parents[1]
    environment["PYTHONPATH"] = f"{folder}{os.pathsep}{folder / 'benchmarks'}"
    web = ["dagster_webserver", "-p", str(port), "-w", str(workspace)]
    commands = {"web server": web}
    if has_daemon:
        commands["daemon"] = ["dagster._daemon", "run", "-w", str(workspace)]
    with ExitStack() as stack:
        log = stack.enter_context((home / "servers.log").open("ab"))
        started = {}
        for name, command in commands.items():
            process = subprocess.Popen(
                [sys.executable, "-m", *command], env=environment, stdout=log, stderr=log, cwd=home
            )
            stack.callback(_stop, process)
            started[name] = process.pid
        running = Servers(f"http://127.0.0.1:{port}", started)
        try:
            wait_for(running.is_loaded, 180, "the web server")
        except TimeoutError:
            print((home / "servers.log").read_text()[-3000:])
            raise
        yield running


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()


def wait_for(is_done: Callable[[], bool], seconds: float, what: str) -> None:
    end = time.monotonic() + seconds
    while not is_done():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {seconds} s")
        time.sleep(0.5)


def _resident(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS")), 0)


def children(pid: int) -> list[int]:
    """Child processes, theirs included; the code servers among them."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if parent == pid:
            child = int(stat.parent.name)
            found += [child, *children(child)]
    return found


# Pages -------------------------------------------------------------------------------------------
_COUNTS = '{ assetNodes(assetKeys: [{path: ["%s"]}]) { partitionStats { numMaterialized } } }'


def measure_pages(running: Servers) -> None:
    """Print, per page, the slowest of the queries behind it.

    Dagster keeps counts per asset, which grow with the runs; for inserted events they are counted
    first, once.
    """
    began = time.perf_counter()
    for table in TABLES:
        running.ask({"query": _COUNTS % table})
    print(f"  counted once in {time.perf_counter() - began:.0f} s", flush=True)
    for page, found in _queries(running).items():
        times = {name: _time_query(running, body) for name, body in found.items()}
        slow = sorted(times.items(), key=lambda item: -item[1])[:3]
        shown = ", ".join(f"{name} {seconds * 1000:.0f} ms" for name, seconds in slow)
        print(f"  {page:<34} {len(times):>2} queries; slowest medians: {shown}", flush=True)


def _time_query(running: Servers, body: dict[str, Any]) -> float:
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        running.ask(body)
        times.append(time.perf_counter() - began)
    return median(times)


def _queries(running: Servers) -> dict[str, dict[str, dict[str, Any]]]:
    """GraphQL queries by page and operation, as the web server's own pages send them."""
    from playwright.sync_api import sync_playwright

    found: dict[str, dict[str, dict[str, Any]]] = {}
    executable = shutil.which(os.environ.get("CHROMIUM", "chromium"))
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1600, "height": 900})
        current: dict[str, dict[str, Any]] = {}
        page.on("request", lambda request: _note(current, request))
        for title, address in PAGES.items():
            current.clear()
            page.goto(running.url + address, wait_until="load")
            page.wait_for_timeout(8000)
            found[title] = dict(current)
        current.clear()
        page.goto(f"{running.url}/assets/trades?view=partitions")
        page.get_by_role("button", name="Materialize").first.click(timeout=60_000)
        page.get_by_role("button", name="Launch").last.wait_for(timeout=60_000)
        page.wait_for_timeout(3000)
        found["launch dialog"] = dict(current)
        browser.close()
    return found


def _note(found: dict[str, dict[str, Any]], request: Any) -> None:
    if request.method == "POST" and "graphql" in request.url:
        body = json.loads(request.post_data)
        if body.get("query", "").lstrip().startswith(("query", "fragment", "{")):
            found[body.get("operationName") or "?"] = body


# Backfill ----------------------------------------------------------------------------------------
LAUNCH = """
mutation Launch($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
  __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""


def measure_backfill(postgres: str, full: Full, tables: tuple[str, ...]) -> None:
    """Print partitions per second of a backfill in an instance of its own, and the memory."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        with open_instance(root) as instance:
            home = Path(instance.root_directory)
            name = "ticker_session"
            keys = full.ticker_sessions[: full.backfill]
            if postgres:
                for key in instance.get_dynamic_partitions(name):
                    instance.delete_dynamic_partition(name, key)
            instance.add_dynamic_partitions(name, keys)
            apply_pools(instance, Settings().run)
            workspace = root / "workspace.yaml"
            module = {"python_module": {"module_name": "trivial_chain"}}
            workspace.write_text(yaml.safe_dump({"load_from": [module]}))
            before = _count(instance, tables[-1], keys)
            with servers(home, workspace, True, TRIVIAL_TABLES=",".join(tables)) as running:
                params = {
                    "assetSelection": [{"path": [table]} for table in tables],
                    "partitionNames": keys,
                    "title": "benchmark",
                }
                began = time.perf_counter()
                body = {"query": LAUNCH, "variables": {"params": params}}
                answer = running.ask(body)["launchPartitionBackfill"]
                assert answer["__typename"] == "LaunchBackfillSuccess", answer
                _follow(instance, tables, keys, began, before)
                seconds = time.perf_counter() - began
                done = len(keys) * len(tables)
                print(
                    f"  {len(tables)} table(s): {done:,} partitions in {seconds:.0f} s,"
                    f" {done / seconds:.0f} a second",
                    flush=True,
                )
                print_memory(running)


def _follow(
    instance: dg.DagsterInstance,
    tables: tuple[str, ...],
    keys: list[str],
    began: float,
    before: int,
) -> None:
    """Wait for the last partition; every 15 s what is there already, as the UI shows it."""
    told = began
    while (count := _count(instance, tables[-1], keys)) < len(keys):
        if time.perf_counter() - told > 15:
            told = time.perf_counter()
            print(f"    after {told - began:4.0f} s: {count:,} of {len(keys):,}", flush=True)
        if time.perf_counter() - began > 3600:
            raise TimeoutError(f"{count} of {len(keys)} after an hour")
        time.sleep(1)


def _count(instance: dg.DagsterInstance, table: str, keys: list[str]) -> int:
    return len(instance.get_materialized_partitions(dg.AssetKey(table)) & set(keys))


def print_memory(running: Servers) -> None:
    shown = ", ".join(f"{name} {size:,.0f} MB" for name, size in running.memory().items())
    print(f"  memory with their code servers: {shown}", flush=True)


# Automation --------------------------------------------------------------------------------------
def fill_lake(lake: Lake, full: Full) -> None:
    """The files that schedule and sensors look at; ticker-sessions as a registry and as files."""
    for table in ("daily_bars", "watchlist", "minute_bars"):
        for key in full.sessions:
            lake.write(table, key, TABLES[table].empty(), Stamp(table, TABLES[table].version, "0"))
    for table in ("tickers", "short_volume", "universe", "session_summary", "daily_metrics"):
        for key in full.sessions[-30:]:
            lake.write(table, key, TABLES[table].empty(), Stamp(table, TABLES[table].version, "0"))
    rows = pl.DataFrame({"partition_key": full.ticker_sessions}).with_columns(
        pl.col("partition_key").str.split("_").list.first().alias("ticker"),
        pl.col("partition_key").str.split("_").list.last().str.to_date().alias("date"),
        identity=pl.lit("x"),
        rules=pl.lit("info_rich"),
        selection_rule=pl.lit("info_rich"),
        eligible_from=pl.lit(datetime(2004, 1, 1)).dt.replace_time_zone("UTC"),
        is_qualified=pl.lit(True),
    )
    table = TABLES["ticker_sessions"]
    lake.write("ticker_sessions", None, table.conform(rows), Stamp(table.name, table.version, "0"))
    for key in full.ticker_sessions[:-100]:
        path = Path(str(lake.path("sample_weights", key)))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def measure_automation(settings: Settings, instance: dg.DagsterInstance, full: Full) -> None:
    """Print seconds of one evaluation of each schedule and sensor, the first with work.

    The embedded market answers them. Its 22 years are drawn before, which a vendor needn't.
    """
    finra_client(settings).short_volume(datetime.fromisoformat(full.sessions[-1]).date())
    periods = [p.model_dump() | {"ticks": True} for p in settings.dataset.periods]
    asked = Settings.model_validate(
        {**settings.model_dump(exclude={"dataset"}), "dataset": {"periods": periods}}
    )
    definitions = build_definitions(asked)
    last = datetime.fromisoformat(f"{full.sessions[-1]}T20:00-05:00") + timedelta(days=1)
    for name in ("daily", "daily_actions", "monthly_details", "daily_coverage"):
        schedule = definitions.resolve_schedule_def(name)
        with dg.build_schedule_context(
            instance=instance,
            scheduled_execution_time=last,
            resources=definitions.resources,
            repository_def=definitions.get_repository_def(),
        ) as context:
            began = time.perf_counter()
            requests = schedule.evaluate_tick(context).run_requests or []
        seconds, count = time.perf_counter() - began, len(requests)
        print(f"  schedule {name:<16} {seconds:.2f} s, {count} runs requested", flush=True)
    for name in ("registry", "ticks", "dataset", "corrections"):
        sensor = definitions.resolve_sensor_def(name)
        with dg.build_sensor_context(
            instance=instance, resources=definitions.resources, definitions=definitions
        ) as context:
            began = time.perf_counter()
            found = sensor.evaluate_tick(context)
        seconds, count = time.perf_counter() - began, len(found.run_requests or [])
        print(f"  sensor {name:<18} {seconds:.2f} s, {count} runs requested", flush=True)


# All of it ---------------------------------------------------------------------------------------
def main(arguments: Iterable[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--postgres", default="", metavar="ADDRESS")
    parser.add_argument("--share", type=float, default=1.0, help="of the full size")
    parser.add_argument("--chain", action="store_true", help="a backfill of all eight tables too")
    parser.add_argument(
        "--only", choices=["pages", "automation", "backfill"], help="one part of the measurements"
    )
    given = parser.parse_args(None if arguments is None else list(arguments))
    os.environ.pop(POSTGRES_VARIABLE, None)
    if given.postgres:
        os.environ[POSTGRES_VARIABLE] = given.postgres
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "lake"
        settings = Settings.model_validate(
            {
                "lake": {"root": str(root)},
                "sandbox": {"start": START, "end": END, "tickers": 20},
                "polygon": {"read_timeout": 120},
            }
        )
        full = full_size(settings, given.share)
        storage = "PostgreSQL" if given.postgres else "SQLite"
        print(
            f"{storage}: {len(full.tickers):,} tickers, {len(full.sessions):,} sessions,"
            f" {len(full.ticker_sessions):,} ticker-sessions",
            flush=True,
        )
        if given.only != "backfill":
            _measure_full(settings, root, full, given.only)
        if given.only in (None, "backfill"):
            print("backfill through the daemon:", flush=True)
            for tables in (("trades",), *([TICK_CHAIN] if given.chain else [])):
                measure_backfill(given.postgres, full, tables)


def _measure_full(settings: Settings, root: Path, full: Full, only: str | None) -> None:
    lake = open_lake(root, market_of(settings).identity, remembered_settings(settings))
    with open_instance(root) as instance:
        began = time.perf_counter()
        events = fill(instance, full)
        print(f"{events:,} events inserted in {time.perf_counter() - began:.0f} s", flush=True)
        home = Path(instance.root_directory)
        if only in (None, "pages"):
            variables = {"SMALLCAPS_LAKE_ROOT": str(root)}
            with servers(home, workspace_file(home), True, **variables) as running:
                print("GraphQL behind the pages:", flush=True)
                measure_pages(running)
                print_memory(running)
        if only in (None, "automation"):
            fill_lake(lake, full)
            print("automation:", flush=True)
            measure_automation(settings, instance, full)


if __name__ == "__main__":
    main()
