"""The market `polygon` against a server that is not the vendor: only base URLs and a key differ."""

from __future__ import annotations

import logging
import sqlite3
import threading
import zlib
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from smallcaps_assets.jobs import run
from smallcaps_assets.lake import Lake
from smallcaps_assets.sandbox import Sandbox, SandboxConfig
from smallcaps_assets_tests.end_to_end.command import Finished, listing, settings, smallcaps

KEY = "a-key-of-the-test"
SECRETS = {
    "POLYGON_API_KEY": KEY,
    "POLYGON_S3_ACCESS_KEY": "an-id-of-flat-files",
    "POLYGON_S3_SECRET_KEY": "a-secret-of-flat-files",
    "AWS_ACCESS_KEY_ID": "an-id-of-a-lake",
    "AWS_SECRET_ACCESS_KEY": "a-secret-of-a-lake",
}
FAULTS = (
    *("429@trades*2", "500@bars*2", "cut_gzip@trades*1", "reset@grouped*1", "502@flatfile*1"),
    "403@float",
    "403@short_interest",
)
PICKLES = tuple(bytes([0x80, protocol]) for protocol in range(2, 6))
OPENED = {
    "selection.min_relative_volume": "0",
    "selection.min_change": "0",
    "selection.min_dollar_volume": "0",
    "polygon.retry_budget": "2",
    "polygon.empty_seconds": "0",
    "metrics.lookback_sessions": "15",
}
FIRST, LAST = "2025-01-02", "2025-01-03"


@pytest.fixture(scope="module")
def vendor() -> Iterator[Sandbox]:
    """A market with enough sessions before the ones asked for, and faults now and then."""
    config = SandboxConfig(
        tickers=20,
        start=date(2024, 11, 20),
        end=date(2025, 1, 3),
        season=30,
        api_key=KEY,
        trades_scale=0.5,
        faults=FAULTS,
    )
    with Sandbox(config) as server:
        assert server.url.startswith("http://127.0.0.1:")
        yield server


def variables(vendor: Sandbox, **changes: str) -> dict[str, str]:
    """What points the client at another server."""
    places = {
        "SMALLCAPS_POLYGON_URL": vendor.url,
        "SMALLCAPS_POLYGON_FLATFILES_URL": vendor.url,
        "SMALLCAPS_FINRA_URL": vendor.url,
    }
    return SECRETS | places | changes


@pytest.fixture(scope="module", autouse=True)
def few_earlier_sessions() -> Iterator[None]:
    """The main job reads as many sessions before the first as these settings look back on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "METRICS_WINDOW", int(OPENED["metrics.lookback_sessions"]))
        yield


@pytest.fixture(scope="module")
def ran(vendor: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Finished]:
    """The lake of a main job that met the faults, and what the job told."""
    lake = tmp_path_factory.mktemp("vendor") / "lake"
    days = ["--from", FIRST, "--to", LAST, "--tickers", "BCPC,TOBV"]
    given = [*days, *settings(OPENED)]
    return lake, smallcaps("run", "--lake", lake, *given, cwd=lake.parent, **variables(vendor))


def test_key_without_a_market_means_polygon_and_runs_through(
    vendor: Sandbox, ran: tuple[Path, Finished]
) -> None:
    """All but the free float and the short interest, which the vendor does not offer."""
    lake, done = ran
    assert {asked.fault for asked in vendor.requests} >= {"429", "cut_gzip", "403"}
    assert (done.status, done.error) == (0, ""), done
    for table in ("free_float", "short_interest"):
        assert done.out.count(f"the vendor does not offer {table}") == 1
    assert done.out.startswith(f"market polygon, sessions {FIRST} to {LAST}, ")
    stored = Lake(lake)
    chosen = {"BCPC_2025-01-02", "BCPC_2025-01-03", "TOBV_2025-01-02", "TOBV_2025-01-03"}
    assert set(stored.keys("sample_weights")) <= chosen and stored.keys("sample_weights")
    assert stored.keys("watchlist") == [FIRST, LAST]
    assert stored.read("ml_dataset", "union").height > 0
    asked = sum(request.fault == "403" for request in vendor.requests)
    days = ["--from", FIRST, "--to", LAST, "--tickers", "BCPC,TOBV", "--no-report"]
    again = smallcaps("run", "--lake", lake, *days, cwd=lake.parent, **variables(vendor))
    assert (again.status, again.error) == (0, "") and "nothing to do" in again.out
    assert sum(request.fault == "403" for request in vendor.requests) == asked


def test_run_with_faults_leaves_no_secret_and_no_pickle_anywhere(
    ran: tuple[Path, Finished],
) -> None:
    lake, done = ran
    texts = [done.out.encode(), done.error.encode()]
    for path in every_file(lake):
        texts += [path.read_bytes(), *unpacked(path)]
    assert [text for text in texts if b"HTTP 403" in text]
    for secret in SECRETS.values():
        assert not [text[:200] for text in texts if secret.encode() in text]
    assert not [text[:20] for text in texts if text.startswith(PICKLES)]


def every_file(folder: Path) -> list[Path]:
    """All files: tables, reports, state, Dagster's databases and logs."""
    return [path for path in folder.rglob("*") if path.is_file()]


def unpacked(path: Path) -> Iterator[bytes]:
    """What a search of a file's bytes misses: texts in Parquet columns, blobs in databases."""
    if path.suffix == ".parquet":
        rows = pl.read_parquet(path, hive_partitioning=False)
        yield rows.select(pl.selectors.string()).write_csv().encode()
    if path.suffix in (".db", ".sqlite"):
        with closing(sqlite3.connect(path)) as base:
            tables = base.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            for (table,) in tables:
                for row in base.execute(f"SELECT * FROM {table}"):
                    for blob in (cell for cell in row if isinstance(cell, bytes)):
                        yield blob
                        yield zlib.decompress(blob)


def test_wrong_key_ends_in_one_line_and_leaves_nothing(vendor: Sandbox, tmp_path: Path) -> None:
    wrong = variables(vendor, POLYGON_API_KEY="wrong")
    days = ["--from", FIRST, "--to", LAST]
    done = smallcaps("run", "--market", "polygon", "--lake", "lake", *days, cwd=tmp_path, **wrong)
    assert done.status == 2 and done.out == ""
    assert len(done.error.splitlines()) == 1
    assert "set POLYGON_API_KEY to a valid key" in done.error and "HTTP 401" in done.error
    assert "wrong" not in done.error
    assert listing(tmp_path) == {}


def test_server_starts_while_another_thread_is_inside_a_log_handler() -> None:
    """Dagster logs events from one thread while another starts the embedded market."""
    handler = logging.StreamHandler()
    config = SandboxConfig(tickers=20, start=date(2024, 12, 9), end=date(2024, 12, 11))
    server = Sandbox(config)
    with handler.lock:  # type: ignore[union-attr]
        starting = threading.Thread(target=server.start, daemon=True)
        starting.start()
        starting.join(10)
        assert not starting.is_alive()
    server.stop()
