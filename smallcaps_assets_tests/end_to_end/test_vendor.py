"""The market `polygon` against a server that is not the vendor: only base URLs and a key differ."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from smallcaps_assets.lake import Lake
from smallcaps_assets.sandbox import Sandbox, SandboxConfig
from smallcaps_assets_tests.end_to_end.command import listing, settings, smallcaps

KEY = "a-key-of-the-test"
OPENED = {
    "selection.min_relative_volume": "0",
    "selection.min_change": "0",
    "selection.min_dollar_volume": "0",
    "polygon.retry_budget": "2",
}
FIRST, LAST = "2025-01-02", "2025-01-03"


@pytest.fixture(scope="module")
def vendor() -> Iterator[Sandbox]:
    """A market with enough sessions before the ones asked for."""
    config = SandboxConfig(
        tickers=20, start=date(2024, 10, 1), end=date(2025, 1, 3), api_key=KEY, trades_scale=0.5
    )
    with Sandbox(config) as server:
        yield server


def variables(vendor: Sandbox, key: str = KEY) -> dict[str, str]:
    """What points the client at another server."""
    return {
        "POLYGON_API_KEY": key,
        "SMALLCAPS_POLYGON_URL": vendor.url,
        "SMALLCAPS_POLYGON_FLATFILES_URL": vendor.flatfiles_url,
        "SMALLCAPS_FINRA_URL": vendor.finra_url,
    }


def test_key_without_a_market_means_polygon_and_runs_through(
    vendor: Sandbox, tmp_path: Path
) -> None:
    lake = tmp_path / "lake"
    days = ["--from", FIRST, "--to", LAST, "--tickers", "SPDV,FWSP"]
    done = smallcaps(
        "run", "--lake", lake, *days, *settings(OPENED), cwd=tmp_path, **variables(vendor)
    )
    assert (done.status, done.error) == (0, ""), done.out
    assert done.out.startswith(f"market polygon, sessions {FIRST} to {LAST}, ")
    stored = Lake(lake)
    chosen = {"FWSP_2025-01-02", "FWSP_2025-01-03", "SPDV_2025-01-02", "SPDV_2025-01-03"}
    assert set(stored.keys("sample_weights")) <= chosen and stored.keys("sample_weights")
    assert stored.keys("watchlist") == [FIRST, LAST]
    assert stored.read("ml_dataset", "union").height > 0
    files = [path for path in lake.rglob("*") if path.is_file()]
    assert not [path for path in files if KEY.encode() in path.read_bytes()]


def test_wrong_key_ends_in_one_line_and_leaves_nothing(vendor: Sandbox, tmp_path: Path) -> None:
    wrong = variables(vendor, key="wrong")
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
