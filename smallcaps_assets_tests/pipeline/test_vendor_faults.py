"""What is stored, told and asked again when the vendor fails in part, or changes its mind."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
import requests

from smallcaps_assets.lake import Failures
from smallcaps_assets.pipeline.coverage import _of_session
from smallcaps_assets.pipeline.market import market_of
from smallcaps_assets.pipeline.outcome import BuildResult
from smallcaps_assets.pipeline.workspace import CHANGES, PACE
from smallcaps_assets.sandbox import Sandbox
from smallcaps_assets.schemas import ContractError
from smallcaps_assets.sources.errors import MissingTickers, NotEntitled, SourceUnavailable
from smallcaps_assets.sources.http.page_cache import CachedPages
from smallcaps_assets_tests.pipeline.bench import make_sessions, reference, workspace

LISTS = ["tickers", "daily_bars", "universe"]
KEY = "2024-10-04"
REST = {"polygon": {"minute_route": "rest"}, "run": {"max_missing": 0.1}}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "lake"


def prepared(root: Path, *faults: str, **sections: dict):
    work = workspace(root, *faults, **sections)
    assert [outcome.error for outcome in reference(work)] == [None] * 3
    made = make_sessions(work, LISTS)
    assert [outcome.error for outcome in made.values()] == [None] * len(made)
    return work


def sandbox_of(work) -> Sandbox:
    """The server that the workspace's client talks to."""
    return market_of(work.settings).started_server()


def victim(work) -> str:
    return work.lake.read("universe", KEY)["ticker"].sort()[3]


def test_minutes_given_one_failing_ticker_expected_stored_without_and_asked_alone_next(
    root: Path, tmp_path: Path
) -> None:
    whole = prepared(tmp_path / "whole", **REST)
    expected = make_sessions(whole, ["minute_bars"])
    ticker = victim(whole)

    broken = prepared(root, f"500@bars:{ticker}", **REST)
    made = make_sessions(broken, ["minute_bars"])
    for outcome in made.values():
        assert isinstance(outcome.error, MissingTickers)
        assert list(outcome.error.reasons) == [ticker]
        assert outcome.written is not None
    stored = broken.lake.read("minute_bars", KEY)
    assert stored.equals(whole.lake.read("minute_bars", KEY).filter(pl.col("ticker") != ticker))
    assert not broken.is_complete("minute_bars", KEY)
    row = _of_session(broken, KEY).frame.filter(pl.col("table") == "minute_bars").to_dicts()[0]
    assert (row["failed"], row["missing"]) == (1, 0)
    assert row["reason"].startswith(f"{ticker}: SourceUnavailable")

    mended = workspace(root, **REST)
    before = mended.clients.polygon.counters()["requests"]
    again = make_sessions(mended, ["minute_bars"])
    assert [outcome.error for outcome in again.values()] == [None] * len(expected)
    assert mended.clients.polygon.counters()["requests"] - before == 1
    for table, key in expected:
        assert mended.lake.read(table, key).equals(whole.lake.read(table, key))
        assert mended.lake.path(table, key).read_bytes() == whole.lake.path(table, key).read_bytes()
    assert Failures(mended.lake).find("minute_bars", KEY) is None
    assert list((root / "state" / "spool").iterdir()) == []


def test_minutes_given_too_many_failing_tickers_expected_nothing_stored(root: Path) -> None:
    work = prepared(root, "500@bars~0.5", **REST)
    made = make_sessions(work, ["minute_bars"], [KEY])
    outcome = made["minute_bars", KEY]
    assert isinstance(outcome.error, MissingTickers)
    assert not work.lake.exists("minute_bars", KEY)
    mended = workspace(root, **REST)
    before = mended.clients.polygon.counters()["requests"]
    assert make_sessions(mended, ["minute_bars"], [KEY])["minute_bars", KEY].error is None
    assert mended.clients.polygon.counters()["requests"] - before == len(outcome.error.reasons)


def test_minutes_given_a_plan_without_them_expected_not_entitled_in_the_coverage(
    root: Path,
) -> None:
    work = prepared(root, "403@bars", **REST)
    outcome = make_sessions(work, ["minute_bars"], [KEY])["minute_bars", KEY]
    assert isinstance(outcome.error, NotEntitled)
    row = _of_session(work, KEY).frame.filter(pl.col("table") == "minute_bars").to_dicts()[0]
    assert row["not_entitled"] == row["expected"] > 0


def test_details_given_one_failing_ticker_expected_the_others_and_it_alone_next(
    root: Path, tmp_path: Path
) -> None:
    ticker = victim(prepared(tmp_path / "whole"))
    broken = workspace(root, f"500@ticker_details:{ticker}", run={"max_missing": 0.1})
    assert isinstance(reference(broken)[2].error, MissingTickers)
    assert ticker not in broken.lake.read("ticker_details", "2024-10")["ticker"]
    assert not broken.is_complete("ticker_details", "2024-10")
    mended = workspace(root)
    assert reference(mended)[2].error is None
    assert mended.is_complete("ticker_details", "2024-10")
    assert ticker in mended.lake.read("ticker_details", "2024-10")["ticker"]


def test_details_read_again_given_a_failing_ticker_expected_its_earlier_row_kept(
    root: Path,
) -> None:
    ticker = victim(prepared(root))
    broken = workspace(root, f"500@ticker_details:{ticker}", run={"max_missing": 0.1})
    assert isinstance(reference(broken)[2].error, MissingTickers)
    assert ticker in broken.lake.read("ticker_details", "2024-10")["ticker"]


def test_minutes_given_a_replaced_flat_file_expected_its_session_made_again(root: Path) -> None:
    work = prepared(root)
    made = make_sessions(work, ["minute_bars"])
    stamp = work.lake.stamp("minute_bars", KEY)
    assert stamp is not None
    assert stamp.source.startswith(
        "flatfile us_stocks_sip/minute_aggs_v1/2024/10/2024-10-04.csv.gz"
    )
    assert all(work.is_current("minute_bars", key) for _, key in made)

    sandbox = sandbox_of(work)
    sandbox.inject("replaced_file@flatfile*1")
    key = stamp.source.split()[1]
    assert requests.get(f"{sandbox.url}/flatfiles/{key}", timeout=10).ok
    later = workspace(root, polygon={"workers": 3})  # a new run looks at the listing anew
    assert not later.is_current("minute_bars", KEY)
    assert later.is_current("minute_bars", "2024-10-03")
    again = make_sessions(later, ["minute_bars"])
    redone = [key for (_, key), outcome in again.items() if not outcome.is_reused]
    assert redone == [KEY]
    assert "changed" in again["minute_bars", KEY].metadata[CHANGES]
    assert later.is_current("minute_bars", KEY)


def test_daily_bars_read_again_given_the_same_rows_expected_nothing_changed(root: Path) -> None:
    work = prepared(root)
    again = make_sessions(work, ["daily_bars"], [KEY], is_resumed=False)["daily_bars", KEY]
    assert again.metadata[CHANGES] == "nothing changed"


def test_outcome_given_a_vendor_table_expected_requests_refusals_and_rate(root: Path) -> None:
    work = prepared(root, "429@grouped*1")
    outcome = make_sessions(work, ["daily_bars"], [KEY], is_resumed=False)["daily_bars", KEY]
    requests, refused, rate = (outcome.metadata[name] for name in PACE)
    assert requests > 8
    assert refused == 1
    assert 0 < rate <= work.settings.polygon.requests_per_second


def test_daily_bars_given_a_lasting_fault_expected_the_day_failed_and_told(root: Path) -> None:
    work = workspace(root, "503@grouped")
    outcome = make_sessions(work, ["daily_bars"], [KEY])["daily_bars", KEY]
    assert isinstance(outcome.error, SourceUnavailable)
    assert not work.lake.exists("daily_bars", KEY)
    failure = Failures(work.lake).find("daily_bars", KEY)
    assert failure is not None
    assert failure.kind == "SourceUnavailable"


def test_rows_that_break_the_contract_expected_their_pages_forgotten(root: Path) -> None:
    work, rows = workspace(root), pl.DataFrame({"ticker": ["A"]})
    pages = work.clients.page_cache.pages("splits", "2024")
    pages.add("A", {"2024": rows})
    outcome = work.store("splits", "2024", lambda: BuildResult(rows, cached=CachedPages(pages)))
    assert isinstance(outcome.error, ContractError) and outcome.written is None
    assert work.clients.page_cache.pages("splits", "2024").names() == set()
