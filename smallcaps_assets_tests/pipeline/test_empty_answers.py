"""Lists that come empty by mistake, or in truth: what is stored, and when it is read again."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import polars as pl

from smallcaps_assets.lake import Scope
from smallcaps_assets.pipeline.market import market_of
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets.pipeline.reference import _actions
from smallcaps_assets.pipeline.workspace import Workspace
from smallcaps_assets.sandbox import Sandbox
from smallcaps_assets.settings import PolygonSettings
from smallcaps_assets.sources import PolygonClient
from smallcaps_assets_tests.end_to_end.command import digests
from smallcaps_assets_tests.pipeline.bench import make_sessions, reference, workspace

MONDAY, TUESDAY, WEDNESDAY = date(2026, 11, 2), date(2026, 11, 3), date(2026, 11, 4)
KEYS = ["2024-10-03", "2024-10-04"]
LISTS = ["tickers", "daily_bars", "universe"]
REST = {"polygon": {"minute_route": "rest", "empty_seconds": 0}}


def on(day: date, root: Path, *faults: str) -> Workspace:
    return replace(workspace(root, *faults, **REST), today=lambda: day)


def sandbox_of(work: Workspace) -> Sandbox:
    return market_of(work.settings).started_server()


def dividends(work: Workspace, key: str = "2024") -> Outcome:
    return work.store("dividends", key, lambda: _actions(work, "dividends", key))


def test_dividends_given_nothing_by_mistake_expected_read_again_on_another_day(
    tmp_path: Path,
) -> None:
    whole = on(MONDAY, tmp_path / "whole")
    assert dividends(whole).written.rows > 0  # type: ignore[union-attr]
    root = tmp_path / "lake"
    spoiled = dividends(on(MONDAY, root, "null_results@dividends*2"))
    assert spoiled.error is None and spoiled.written and spoiled.written.rows == 0

    same_day, next_day = on(MONDAY, root), on(TUESDAY, root)
    assert same_day.is_complete("dividends", "2024")
    assert not next_day.is_complete("dividends", "2024")
    healed = dividends(next_day)
    assert healed.error is None and not healed.is_unchanged
    path = next_day.lake.path("dividends", "2024")
    assert path.read_bytes() == whole.lake.path("dividends", "2024").read_bytes()
    assert on(WEDNESDAY, root).empties.all() == []


def test_dividends_given_a_true_empty_expected_nothing_made_and_left_alone(tmp_path: Path) -> None:
    assert dividends(on(MONDAY, tmp_path), "2023").written.rows == 0  # type: ignore[union-attr]
    path = on(MONDAY, tmp_path).lake.path("dividends", "2023")
    before = (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_ino)
    assert on(MONDAY, tmp_path).is_complete("dividends", "2023")

    again = dividends(on(TUESDAY, tmp_path), "2023")
    assert again.is_unchanged and again.error is None and again.written
    assert before == (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_ino)
    assert on(TUESDAY, tmp_path).is_complete("dividends", "2023")
    assert on(WEDNESDAY, tmp_path).is_complete("dividends", "2023")
    assert [empty.is_confirmed for empty in on(WEDNESDAY, tmp_path).empties.all()] == [True]


def test_minutes_given_none_of_a_ticker_that_has_traded_expected_it_alone_read_once_more(
    tmp_path: Path,
) -> None:
    work = on(MONDAY, tmp_path)
    reference(work)
    make_sessions(work, LISTS, KEYS)
    for table in ("universe", "daily_bars"):  # a ticker of which the vendor has no minutes
        rows, stamp = work.lake.read(table, KEYS[1]), work.lake.stamp(table, KEYS[1])
        ghost = rows.head(1).with_columns(pl.lit("GHOST").alias("ticker"))
        assert stamp is not None
        work.lake.write(table, KEYS[1], pl.concat([rows, ghost]), stamp)
    tables = ["minute_bars", "session_summary"]
    made = make_sessions(work, tables, KEYS)
    assert not any(outcome.error for outcome in made.values())
    path = work.lake.path("minute_bars", KEYS[1])
    before = path.read_bytes()
    assert work.is_complete("minute_bars", KEYS[1])

    later = on(TUESDAY, tmp_path)
    assert later.empties.due("minute_bars", KEYS[0]) == Scope.nothing()
    assert later.empties.due("minute_bars", KEYS[1]) == Scope.only(["GHOST"])
    assert later.held("minute_bars", KEYS[1]) == Scope().without(["GHOST"])
    again = make_sessions(later, tables, [KEYS[1]])
    assert list(again) == [("minute_bars", KEYS[1])]
    assert again["minute_bars", KEYS[1]].is_unchanged and path.read_bytes() == before
    assert on(WEDNESDAY, tmp_path).is_complete("minute_bars", KEYS[1])


def test_lake_given_storms_of_nothing_expected_equal_to_one_without(tmp_path: Path) -> None:
    """Each storm lasts half a minute, in which the clock goes on only while the client waits."""
    calm, stormy = on(MONDAY, tmp_path / "calm"), on(MONDAY, tmp_path / "stormy")
    server, now = sandbox_of(stormy), [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds
        if now[0] >= 30:
            server.clear_faults()

    settings = PolygonSettings(minute_route="rest", requests_per_second=100)
    client = PolygonClient(server.url, "sandbox", settings, clock=lambda: now[0], sleep=sleep)
    stormy.clients.polygon = client
    stages = [
        reference,
        *(lambda work, t=t: make_sessions(work, [t], KEYS) for t in (*LISTS, "minute_bars")),
    ]
    for stage in stages:
        now[0] = 0.0
        server.inject("null_results@any")
        stage(stormy)
        server.clear_faults()
        stage(calm)
    assert digests(tmp_path / "stormy") == digests(tmp_path / "calm")
    assert len(digests(tmp_path / "calm")) == 3 + 4 * len(KEYS)
