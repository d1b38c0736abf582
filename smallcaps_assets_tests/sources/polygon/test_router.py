"""Which way minutes and trades are to be read: what the router answers, and what it looks at."""

from __future__ import annotations

import gzip
import os
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from smallcaps_assets.settings import PolygonSettings
from smallcaps_assets.sources import FlatFiles, Route, Router, make_throttle
from smallcaps_assets.sources.errors import NotEntitled, NotFound, SourceUnavailable
from smallcaps_assets.sources.polygon.flatfile_stores import HttpStore, LocalStore
from smallcaps_assets.sources.polygon.flatfiles import MINUTES, TICKS, key_of
from smallcaps_assets_tests.sources.loopback import Loopback, Reply
from smallcaps_assets_tests.sources.rows import DAY, OPEN_NS

BARS = "ticker,volume,open,close,high,low,window_start,transactions\n"
FILE, FORCED = Route(True), "forced by the settings"


def router_of(files: FlatFiles, **settings: Any) -> Router:
    chosen = PolygonSettings.model_validate(settings)
    return Router(files, chosen, make_throttle(chosen))


def local(folder: Path) -> FlatFiles:
    return FlatFiles(LocalStore(folder))


def hosted(url: str) -> FlatFiles:
    return FlatFiles(HttpStore(url, 2, 0.5))


def put(root: Path, dataset: str, text: str = BARS) -> Path:
    path = root / key_of(dataset, DAY)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode(), mtime=0))
    return path


def test_minutes_given_each_setting_expected_the_route_and_its_reason(tmp_path: Path) -> None:
    unpublished = Route(False, "the day's file is not published")
    assert router_of(local(tmp_path)).minutes(DAY) == unpublished
    assert router_of(local(tmp_path), minute_route="rest").minutes(DAY) == Route(False, FORCED)
    assert router_of(local(tmp_path), minute_route="flatfile").minutes(DAY) == Route(True, FORCED)
    put(tmp_path, MINUTES, "not even a file of minutes: it is not opened")
    assert router_of(local(tmp_path)).minutes(DAY) == FILE


def test_trades_given_a_small_and_a_large_file_expected_the_cheaper_route(tmp_path: Path) -> None:
    path = put(tmp_path, TICKS["trades"].dataset)
    assert router_of(local(tmp_path)).ticks("trades", DAY, 1) == FILE
    with path.open("ab") as file:
        file.truncate(10_000_000)
    large = router_of(local(tmp_path))
    assert large.ticks("trades", DAY, 1) == Route(False, "1 tickers cost less than the day's file")
    assert large.ticks("trades", DAY, 100) == FILE


def test_instead_given_a_file_that_could_not_be_read_expected_rest_and_why(tmp_path: Path) -> None:
    put(tmp_path, MINUTES)
    router = router_of(local(tmp_path))
    absent, down = NotFound("no such key"), SourceUnavailable("answers 503")
    assert router.instead(FILE, DAY, absent) == Route(False, "the day has no file")
    assert router.instead(FILE, DAY, down) == Route(False, "answers 503")
    with pytest.raises(NotFound):
        router.instead(Route(True, FORCED), DAY, absent)
    assert router.minutes(DAY) == FILE


def test_instead_given_a_refused_file_expected_no_other_of_its_month(tmp_path: Path) -> None:
    put(tmp_path, MINUTES)
    router = router_of(local(tmp_path))
    refused = router.instead(FILE, DAY, NotEntitled("answers 403"))
    assert refused == Route(False, "no right to the day's file (answers 403)")
    assert router.minutes(date(2024, 5, 6)) == Route(False, "no right to the month's files")
    assert router.minutes(date(2024, 6, 3)).reason == "the day's file is not published"


def test_describe_given_each_route_expected_what_people_read() -> None:
    assert Route(False, FORCED).describe() == "rest: forced by the settings"
    assert FILE.describe("a/b") == "flatfile a/b"
    assert Route(True, FORCED).describe("a/b") == "flatfile a/b: forced by the settings"


def test_is_replaced_given_another_file_of_the_day_expected_noticed(tmp_path: Path) -> None:
    path = put(tmp_path, MINUTES)
    source = local(tmp_path).minute_bars(DAY).source
    since = path.stat().st_mtime + 10
    assert not router_of(local(tmp_path)).is_replaced(DAY, source, since)
    os.utime(path, (since + 10, since + 10))
    # Touched, and the same bytes.
    assert not router_of(local(tmp_path)).is_replaced(DAY, source, since)
    put(tmp_path, MINUTES, BARS + f"A,100,2.0,2.4,2.5,1.9,{OPEN_NS},3\n")
    os.utime(path, (since + 20, since + 20))
    assert router_of(local(tmp_path)).is_replaced(DAY, source, since)


def test_is_replaced_given_listing_with_another_etag_expected_noticed() -> None:
    key = key_of(MINUTES, DAY)
    body = f"<L><Contents><Key>{key}</Key><Size>9</Size><ETag>&quot;new&quot;</ETag></Contents></L>"
    with Loopback(Reply(body.encode())) as bucket:
        router = router_of(hosted(bucket.url))
        assert router.is_replaced(DAY, f"flatfile {key} old", 0.0)
        assert not router.is_replaced(DAY, f"flatfile {key} new", 0.0)
        assert not router.is_replaced(DAY, "", 0.0)
        assert len(bucket.asked) == 1


def test_is_replaced_given_a_listing_that_fails_expected_nothing_replaced() -> None:
    with Loopback(Reply(b"", 500)) as bucket:
        router = router_of(hosted(bucket.url))
        assert not router.is_replaced(DAY, f"flatfile {key_of(MINUTES, DAY)} old", 0.0)
