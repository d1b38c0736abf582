"""`smallcaps ui` in a real browser: the lineage is drawn, and partitions launched there succeed.

Needs Chromium (in PATH, or named by CHROMIUM) and the playwright package; skipped without them.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from smallcaps_assets.orchestration.describe import group_name
from smallcaps_assets.orchestration.launchers import REASON_TAG
from smallcaps_assets.schemas import TABLES, TICK_CHAIN
from smallcaps_assets_tests.end_to_end.command import in_process

START_SECONDS, RUN_SECONDS, STOP_SECONDS = 120, 120, 60
BROWSER_ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
T = TypeVar("T")

_LAUNCH = """
mutation Launch($params: ExecutionParams!) {
  launchPipelineExecution(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
    ... on RunConfigValidationInvalid { errors { message } }
  }
}"""
_START = """
mutation Start($selector: SensorSelector!) {
  startSensor(sensorSelector: $selector) { __typename ... on PythonError { message } } }"""
_RUNS = "{ runsOrError(limit: 50) { ... on Runs { results { runId tags { key value } } } } }"
_ORIGINS = """
{ runsOrError(limit: 100) { ... on Runs { results { runId parentPipelineSnapshotId
    repositoryOrigin { repositoryName repositoryLocationName }
    tags { key value } } } } }"""
_JOB = """
query Job($selector: PipelineSelector!) {
  pipelineOrError(params: $selector) { ... on Pipeline { pipelineSnapshotId } } }"""
_TICKS = """
query Ticks($selector: SensorSelector!) {
  sensorOrError(sensorSelector: $selector) { ... on Sensor { sensorState {
    ticks(limit: 1, statuses: [SKIPPED]) { status } } } } }"""
_LIMITS = "{ instance { concurrencyLimits { concurrencyKey limit } } }"
_RUN = "query Run($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
_NODES = """
{ assetNodes { assetKey { path } partitionKeys
    partitionStats { numMaterialized numPartitions } } }"""
_REPOSITORIES = """
{ repositoriesOrError { ... on RepositoryConnection { nodes { name location { name } } } } }"""
_EVENTS = """
query Events($id: ID!) { logsForRun(runId: $id) { ... on EventConnection { events {
  ... on MaterializationEvent { assetKey { path } partition } } } } }"""


def chromium() -> str | None:
    """The browser's executable."""
    names = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
    return next((path for name in names if name and (path := shutil.which(name))), None)


playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = pytest.mark.skipif(
    chromium() is None, reason="no Chromium in PATH; install it or set CHROMIUM to its executable"
)


def poll(ask: Callable[[], T | None], seconds: float, what: str) -> T:
    """The first answer that is not None."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        answer = ask()
        if answer is not None:
            return answer
        time.sleep(0.25)
    raise TimeoutError(f"{what}: nothing within {seconds} s")


@dataclass(frozen=True)
class Server:
    """A running `smallcaps ui`."""

    url: str

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """The data of a GraphQL answer."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}/graphql", body, headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            found = json.load(answer)
        assert not found.get("errors"), found["errors"]
        return found["data"]

    def location(self) -> tuple[str, str] | None:
        """Names of the loaded repository and its location, as soon as there are any."""
        try:
            nodes = self.ask(_REPOSITORIES)["repositoriesOrError"].get("nodes")
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return None
        return (nodes[0]["name"], nodes[0]["location"]["name"]) if nodes else None

    def nodes(self) -> dict[str, dict[str, Any]]:
        """What the server knows of each asset."""
        return {node["assetKey"]["path"][0]: node for node in self.ask(_NODES)["assetNodes"]}

    def of_location(self, **names: str) -> dict[str, str]:
        """What names a thing of the code location."""
        repository, location = self.location() or ("", "")
        return {"repositoryName": repository, "repositoryLocationName": location, **names}

    def start_sensor(self, name: str) -> None:
        """Switch a sensor on; the daemon beside the web server evaluates it."""
        selector = self.of_location(sensorName=name)
        answer = self.ask(_START, selector=selector)["startSensor"]
        assert answer["__typename"] == "Sensor", answer

    def runs_of(self, reason: str) -> list[dict[str, Any]]:
        """Runs with a reason, newest first."""
        tag = {"key": REASON_TAG, "value": reason}
        return [r for r in self.ask(_ORIGINS)["runsOrError"]["results"] if tag in r["tags"]]

    def requested(self, reason: str) -> str | None:
        """The id of a run that was requested for a reason beginning so, once there is one."""
        for run in self.ask(_RUNS)["runsOrError"]["results"]:
            tags = {tag["key"]: tag["value"] for tag in run["tags"]}
            if tags.get(REASON_TAG, "").startswith(reason):
                return run["runId"]
        return None

    def launch(
        self, tables: tuple[str, ...], key: str = "", checks: tuple[tuple[str, str], ...] = ()
    ) -> str:
        """Launch a partition with the launch dialog's own mutation; returns the run's id."""
        repository, location = self.location() or ("", "")
        selector = {
            "repositoryName": repository,
            "repositoryLocationName": location,
            "pipelineName": "__ASSET_JOB",
            "assetSelection": [{"path": [table]} for table in tables],
            "assetCheckSelection": [
                {"assetKey": {"path": [table]}, "name": name} for table, name in checks
            ],
        }
        params = {
            "mode": "default",
            "runConfigData": "{}",
            "selector": selector,
            "executionMetadata": {
                "tags": [{"key": "dagster/partition", "value": key}] if key else []
            },
        }
        answer = self.ask(_LAUNCH, params=params)["launchPipelineExecution"]
        assert answer["__typename"] == "LaunchRunSuccess", answer
        return answer["run"]["runId"]

    def status(self, run: str) -> str:
        """How a run ended."""

        def ended() -> str | None:
            status = self.ask(_RUN, id=run)["runOrError"]["status"]
            return status if status in ("SUCCESS", "FAILURE", "CANCELED") else None

        return poll(ended, RUN_SECONDS, f"the end of run {run}")

    def materialized(self, run: str) -> set[tuple[str, str]]:
        """Tables and keys that a run has made."""
        events = self.ask(_EVENTS, id=run)["logsForRun"]["events"]
        return {(e["assetKey"]["path"][0], e["partition"]) for e in events if e.get("assetKey")}


@pytest.fixture(scope="module")
def lake(small_lake: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the small lake, to be served and changed, with one run of its own."""
    copy = Path(shutil.copytree(small_lake, tmp_path_factory.mktemp("ui") / "lake"))
    done = in_process("backfill", "ticker_sessions", "--lake", copy, cwd=copy.parent)
    assert done.status == 0, done
    return copy


@pytest.fixture(scope="module")
def server(lake: Path) -> Iterator[Server]:
    """`smallcaps ui` on the lake, ended as a service manager would."""
    port = _free_port()
    log = lake.parent / "ui.log"
    config = lake.parent / "ui.toml"
    config.write_text("[run]\nvendor_runs = 3\n")
    place = ["--lake", str(lake), "--port", str(port)]
    command = [*_smallcaps("ui"), *place, "--config", str(config), "--set", "run.tick_runs=7"]
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command, cwd=lake.parent, env=_environment(), stdout=output, stderr=output
        ) as child,
    ):
        found = Server(f"http://127.0.0.1:{port}")
        try:
            poll(found.location, START_SECONDS, "the web server")
            yield found
        finally:
            child.send_signal(signal.SIGTERM)
            try:
                child.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()
                raise
    told = log.read_text().splitlines()
    assert child.returncode == 0, told
    assert told[0] == f"serving at {found.url}; Ctrl-C ends it"
    # What the runs of these tests have told; the checks' findings are made on purpose.
    assert not [line for line in told[1:] if "DEBUG" in line or "Traceback" in line], told


@pytest.fixture
def page(server: Server) -> Iterator[Any]:
    """A browser page that fails the test on an error in its console or an uncaught exception."""
    errors: list[str] = []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium(), args=BROWSER_ARGUMENTS)
        opened = browser.new_page(viewport={"width": 1600, "height": 900})
        opened.set_default_timeout(60_000)
        opened.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
        opened.on("pageerror", lambda error: errors.append(str(error)))
        yield opened
        browser.close()
    assert not errors


def test_lineage_given_a_lake_shows_every_asset_and_its_partitions(server: Server, page: Any):
    nodes = server.nodes()
    assert set(nodes) == set(TABLES)
    stats = {table: node["partitionStats"] for table, node in nodes.items()}
    missing = {t for t, s in stats.items() if s and s["numMaterialized"] < s["numPartitions"]}
    # Periods outside the market are empty, the last half-months come out after its end.
    later = {"ml_dataset", "short_interest", "fails_to_deliver"}
    # Three weeks have no test month.
    later |= {name for name, table in TABLES.items() if table.group in ("models", "backtest")}
    assert missing <= later | {name for name, table in TABLES.items() if table.is_optional}

    for table in ("daily_metrics", "trades", "ml_dataset"):  # groups are folded at first
        group = group_name(TABLES[table])
        page.goto(f"{server.url}/asset-groups?expanded=global@global:{group}")
        page.get_by_text(table, exact=True).first.wait_for()


def test_settings_given_to_the_command_reach_the_daemon(server: Server):
    """Its sensor `upkeep`, which is on from the start, sets the limits of the pools."""
    selector = server.of_location(sensorName="upkeep")

    def evaluated() -> bool | None:
        state = server.ask(_TICKS, selector=selector)["sensorOrError"]["sensorState"]
        return True if state["ticks"] else None

    poll(evaluated, RUN_SECONDS, "the first look of the sensor upkeep")
    limits = server.ask(_LIMITS)["instance"]["concurrencyLimits"]
    assert {pool["concurrencyKey"]: pool["limit"] for pool in limits} == {"vendor": 3, "ticks": 7}


def test_runs_of_the_command_are_in_the_overview_and_can_be_run_again(server: Server, page: Any):
    selector = server.of_location(pipelineName="__ASSET_JOB")
    loaded = server.ask(_JOB, selector=selector)["pipelineOrError"]["pipelineSnapshotId"]
    [again] = server.runs_of("smallcaps backfill")
    repository, location = server.location() or ("", "")
    origin = {"repositoryName": repository, "repositoryLocationName": location}
    earlier = server.runs_of("smallcaps run")
    assert [run["repositoryOrigin"] for run in earlier] == [origin] * len(earlier) != []
    assert (again["repositoryOrigin"], again["parentPipelineSnapshotId"]) == (origin, loaded)

    page.goto(f"{server.url}/overview/activity/timeline")
    page.get_by_text("Jobless asset materializations").first.wait_for()
    page.goto(f"{server.url}/runs/{again['runId']}")
    button = page.get_by_role("button", name="Re-execute all")
    button.hover()
    page.get_by_text("RUN_SUCCESS").wait_for()
    assert not page.get_by_text("may be different").count()
    with page.expect_response(lambda answer: _is_launch(answer.request)) as launched:
        button.click()
    answer = next(iter(launched.value.json()["data"].values()))
    assert server.status(answer["run"]["id"]) == "SUCCESS"


def test_web_server_listens_on_loopback_only(server: Server):
    """What listens on all addresses answers at every one of this machine's."""
    port = int(server.url.rpartition(":")[2])
    socket.create_connection(("127.0.0.1", port), timeout=5).close()
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.2", port), timeout=5)


def test_session_given_the_launch_dialog_is_seen_to_succeed(server: Server, page: Any):
    key = server.nodes()["watchlist"]["partitionKeys"][-1]
    page.goto(f"{server.url}/assets/watchlist?view=partitions")
    page.get_by_role("button", name="Materialize").first.click()
    chosen = page.get_by_placeholder("ex:").last
    chosen.fill(key)
    chosen.press("Enter")
    run = _launch_and_follow(server, page)
    assert server.materialized(run) == {("watchlist", key)}


def test_ticker_session_given_the_launch_dialog_is_seen_to_succeed(server: Server, page: Any):
    key = server.nodes()["trades"]["partitionKeys"][0]
    page.goto(f"{server.url}/assets/trades?view=partitions")
    page.get_by_role("button", name="Materialize").first.click()
    page.get_by_text("Select a partition or create one").last.click()
    page.keyboard.type(key)
    page.get_by_text("Select all (1)").click()
    page.keyboard.press("Escape")
    run = _launch_and_follow(server, page)
    assert server.materialized(run) == {("trades", key)}


def test_chain_of_a_ticker_session_succeeds_and_shows_its_plot(server: Server, page: Any):
    key = server.nodes()["trades"]["partitionKeys"][0]
    run = server.launch(TICK_CHAIN, key)
    assert server.status(run) == "SUCCESS"
    assert server.materialized(run) == {(table, key) for table in TICK_CHAIN}

    page.goto(f"{server.url}/assets/triple_barrier_labels?view=partitions&partition={key}")
    page.get_by_text("path of price").wait_for()
    plot = page.locator("img[src^='data:image/svg']").first
    plot.scroll_into_view_if_needed()
    assert plot.evaluate("image => image.complete && image.naturalWidth > 100")


def test_failing_check_says_what_is_missing_and_what_to_do(server: Server, page: Any, lake: Path):
    key = server.nodes()["short_volume"]["partitionKeys"][3]
    shutil.rmtree(lake / "raw" / "short_volume" / f"date={key}")
    run = server.launch((), checks=(("short_volume", "coverage"),))
    assert server.status(run) == "SUCCESS"  # the check fails, and blocks nothing

    page.goto(f"{server.url}/assets/short_volume?view=checks&checkDetail=coverage")
    page.get_by_text(f"1 missing, first {key}").first.wait_for()
    page.get_by_text("smallcaps backfill").first.wait_for()


def test_sensor_switched_on_requests_the_dataset_and_the_daemon_makes_it(server: Server):
    server.start_sensor("dataset")
    run = poll(lambda: server.requested("sensor dataset:"), RUN_SECONDS, "the sensor's run")
    assert server.status(run) == "SUCCESS"
    made = server.materialized(run)
    assert ("ml_dataset", "union") in made and len(made) > 1


def _launch_and_follow(server: Server, page: Any) -> str:
    """Press the button and watch the run's page until its log ends well; the run's id."""
    with page.expect_response(lambda answer: _is_launch(answer.request)) as launched:
        page.get_by_role("button", name="Launch 1 run").click()
    run = launched.value.json()["data"]["launchPipelineExecution"]["run"]["id"]
    page.goto(f"{server.url}/runs/{run}")
    page.get_by_text("RUN_SUCCESS").wait_for()
    assert server.status(run) == "SUCCESS"
    return run


def _is_launch(request: Any) -> bool:
    asked = request.post_data or ""
    return "launchPipelineExecution" in asked or "launchPipelineReexecution" in asked


def _smallcaps(command: str) -> list[str]:
    return [sys.executable, "-m", "smallcaps_assets", command]


def _environment() -> dict[str, str]:
    """The environment without settings of another lake, or a vendor's key."""
    prefixes = ("SMALLCAPS_", "DAGSTER_", "POLYGON_", "MASSIVE_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}
    return kept | {"PYTHONPATH": str(Path(__file__).parents[2])}


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]
