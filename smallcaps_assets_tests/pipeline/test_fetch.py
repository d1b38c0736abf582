"""Minutes and trades from where the router says: real files, real HTTP."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from smallcaps_assets.pipeline.clients import Clients
from smallcaps_assets.pipeline.fetch import fetch_minutes, fetch_ticks
from smallcaps_assets.pipeline.outcome import BuildResult
from smallcaps_assets.settings import PolygonSettings, Settings
from smallcaps_assets.sources import FlatFiles, Router
from smallcaps_assets.sources.errors import (
    NotFound,
    SourceError,
    SourceUnavailable,
    WrongContent,
)
from smallcaps_assets.sources.http.notices import heard_by
from smallcaps_assets.sources.http.page_cache import PageCache
from smallcaps_assets.sources.polygon.flatfile_stores import HttpStore, LocalStore
from smallcaps_assets.sources.polygon.flatfiles import key_of
from smallcaps_assets.sources.polygon.minutes import MonthsOfMinutes
from smallcaps_assets.sources.polygon.tick_files import TickFiles
from smallcaps_assets_tests.sources.conftest import make_client
from smallcaps_assets_tests.sources.loopback import Asked, Loopback, Reply
from smallcaps_assets_tests.sources.rows import (
    DAY,
    OPEN_NS,
    minute_bar,
    minutes_page,
    ok,
    trade,
    trades_json,
)

BARS = "ticker,volume,open,close,high,low,window_start,transactions\n"
BAR = f"{{}},100,2.0,2.4,2.5,1.9,{OPEN_NS},3\n"
TRADES = (
    "ticker,conditions,correction,exchange,id,participant_timestamp,price,sequence_number,"
    "sip_timestamp,size,tape,trf_id,trf_timestamp\n"
)
TRADE = f"{{}},12,0,8,7,{OPEN_NS},2.5,1,{OPEN_NS},100,1,0,0\n"


def rest(asked: Asked) -> Reply:
    """One bar, or one trade, of any ticker."""
    if asked.path.startswith("/v3/trades/"):
        return trades_json([1])
    return minutes_page([minute_bar(0)], ticker=asked.path.split("/")[4])


def minute_file(*tickers: str) -> str:
    return BARS + "".join(BAR.format(ticker) for ticker in tickers)


def trade_file(*tickers: str) -> str:
    return TRADES + "".join(TRADE.format(ticker) for ticker in tickers)


def put(root: Path, dataset: str, text: str, day: date = DAY) -> Path:
    path = root / key_of(dataset, day)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode(), mtime=0))
    return path


class Bench:
    """Clients of a loopback vendor and of the given files."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self.stack, self.page_cache = stack, PageCache(folder / "spool")
        self.server = stack.enter_context(Loopback(rest))

    def clients(self, files: FlatFiles, url: str = "", **settings: Any) -> Clients:
        client = self.stack.enter_context(make_client(url or self.server.url, retry_budget=0.01))
        clients = Clients(Settings())
        clients.polygon, clients.flat_files, clients.page_cache = client, files, self.page_cache
        clients.tick_files = TickFiles(files, self.page_cache)
        chosen = PolygonSettings.model_validate(settings)
        clients.router = Router(files, chosen, client.throttle)
        return clients

    def months(self, clients: Clients) -> MonthsOfMinutes:
        months = MonthsOfMinutes(clients.polygon, self.page_cache, lambda day: {})
        self.stack.callback(months.close)
        return months

    def minutes(self, files: FlatFiles, **settings: Any) -> BuildResult:
        clients = self.clients(files, **settings)
        return fetch_minutes(clients, self.months(clients), DAY, ["A", "B"])


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(stack, tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    put(tmp_path / "files", "minute_aggs_v1", minute_file("A", "B", "C"))
    put(tmp_path / "files", "trades_v1", trade_file("A", "B", "C"))
    return tmp_path / "files"


def local(folder: Path) -> FlatFiles:
    return FlatFiles(LocalStore(folder))


def told(built: BuildResult) -> str:
    """What is said of the way that the rows came."""
    return str(built.metadata["source"])


def store(built: BuildResult) -> None:
    """What storing the rows does to the page cache."""
    assert built.cached is not None
    built.cached.drop()


def test_minute_bars_given_a_published_file_expected_it_and_its_etag(
    bench: Bench, folder: Path
) -> None:
    built = bench.minutes(local(folder))
    assert built.frame["ticker"].to_list() == ["A", "B"]
    assert told(built) == f"flatfile {key_of('minute_aggs_v1', DAY)}"
    assert built.source.startswith(f"{told(built)} ")
    assert bench.server.asked == []


def test_minute_bars_given_a_day_that_is_not_listed_expected_rest(
    bench: Bench, tmp_path: Path
) -> None:
    built = bench.minutes(local(tmp_path))
    assert told(built) == "rest: the day's file is not published"
    assert built.frame["ticker"].to_list() == ["A", "B"]
    assert built.source == ""


def _bucket(listed: bool, status: int) -> Callable[[Asked], Reply]:
    item = f"<Contents><Key>{key_of('minute_aggs_v1', DAY)}</Key><Size>9</Size></Contents>"
    body = f"<ListBucketResult>{item if listed else ''}</ListBucketResult>".encode()

    def answer(asked: Asked) -> Reply:
        return Reply(body) if "list-type" in asked.query else Reply(b"", status)

    return answer


@pytest.mark.parametrize(
    ("status", "reason"),
    [(404, "rest: the day has no file"), (403, "rest: no right to the day's file")],
)
def test_minute_bars_given_a_listed_file_that_is_refused_expected_rest(
    bench: Bench, status: int, reason: str
) -> None:
    bucket = bench.stack.enter_context(Loopback(_bucket(True, status)))
    built = bench.minutes(FlatFiles(HttpStore(bucket.url, 2, 0.5)))
    assert told(built).startswith(reason)


def test_minute_bars_given_403_expected_the_month_not_tried_again(bench: Bench) -> None:
    bucket = bench.stack.enter_context(Loopback(_bucket(True, 403)))
    clients = bench.clients(FlatFiles(HttpStore(bucket.url, 2, 0.5)))
    months = bench.months(clients)
    fetch_minutes(clients, months, DAY, ["A"])
    asked = len(bucket.asked)
    built = fetch_minutes(clients, months, date(2024, 5, 6), ["A"])
    assert told(built) == "rest: no right to the month's files"
    assert len(bucket.asked) == asked


def test_minute_bars_given_a_host_that_does_not_list_expected_the_file_asked_for(
    bench: Bench, folder: Path
) -> None:
    raw = (folder / key_of("minute_aggs_v1", DAY)).read_bytes()
    bucket = bench.stack.enter_context(
        Loopback(lambda asked: Reply(b"", 404) if "list-type" in asked.query else Reply(raw))
    )
    built = bench.minutes(FlatFiles(HttpStore(bucket.url, 2, 0.5)))
    assert told(built).startswith("flatfile ")


def test_minute_bars_given_route_rest_expected_no_file_read(bench: Bench, folder: Path) -> None:
    built = bench.minutes(local(folder), minute_route="rest")
    assert told(built) == "rest: forced by the settings"
    assert built.frame["vwap"].to_list() == [2.2, 2.2]


def test_minute_bars_given_route_flatfile_expected_refusal_raised(
    bench: Bench, tmp_path: Path, folder: Path
) -> None:
    built = bench.minutes(local(folder), minute_route="flatfile")
    assert told(built).endswith(": forced by the settings")
    with pytest.raises(NotFound):
        bench.minutes(local(tmp_path), minute_route="flatfile")


def test_minute_bars_given_no_tickers_expected_nothing_asked(bench: Bench, folder: Path) -> None:
    clients = bench.clients(local(folder))
    built = fetch_minutes(clients, bench.months(clients), DAY, [])
    assert (told(built), built.frame.height) == ("nothing asked", 0)
    assert bench.server.asked == []


def test_trades_given_one_ticker_and_a_large_file_expected_rest(bench: Bench, folder: Path) -> None:
    path = folder / key_of("trades_v1", DAY)
    with path.open("ab") as file:
        file.truncate(10_000_000)
    built = fetch_ticks(bench.clients(local(folder)), "trades", "A", DAY)
    assert told(built) == "rest: 1 tickers cost less than the day's file"
    assert built.frame["ticker"].to_list() == ["A"]


def test_trades_given_a_small_local_file_expected_it(bench: Bench, folder: Path) -> None:
    built = fetch_ticks(bench.clients(local(folder)), "trades", "A", DAY)
    assert told(built) == f"flatfile {key_of('trades_v1', DAY)}"
    assert bench.server.asked == []


def test_trades_given_companions_expected_the_file_read_once_for_all(
    bench: Bench, folder: Path
) -> None:
    clients = bench.clients(local(folder), trade_route="flatfile")
    first = fetch_ticks(clients, "trades", "A", DAY, ["A", "B", "NONE"])
    (folder / key_of("trades_v1", DAY)).unlink()
    second, third = (
        fetch_ticks(clients, "trades", ticker, DAY, ["A", "B", "NONE"]) for ticker in ("B", "NONE")
    )
    assert [r.frame["ticker"].to_list() for r in (first, second, third)] == [["A"], ["B"], []]
    assert first.source == second.source
    for built in (first, second, third):
        store(built)
    assert list((bench.page_cache._folder).iterdir()) == []
    with pytest.raises(NotFound):
        fetch_ticks(clients, "trades", "A", DAY, ["A", "B"])


def test_trades_given_many_pages_and_a_failure_expected_resumed_where_it_was(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each page holds two rows; the vendor fails at the third page, once."""
    monkeypatch.setattr("smallcaps_assets.sources.polygon.keyset.LIMIT", 2)
    is_down = True

    def answer(asked: Asked) -> Reply:
        first = int(asked.query["timestamp.gte"]) - OPEN_NS
        if is_down and first >= 3:
            return Reply(b"", 500)
        return trades_json([n for n in range(1, 8) if n >= first][:2])

    server = bench.stack.enter_context(Loopback(answer))
    clients = bench.clients(local(tmp_path), server.url)
    with pytest.raises(SourceError):
        fetch_ticks(clients, "trades", "A", DAY)
    is_down, before = False, len(server.asked)
    built = fetch_ticks(clients, "trades", "A", DAY)
    assert built.frame["sequence_number"].to_list() == list(range(1, 8))
    starts = [int(a.query["timestamp.gte"]) - OPEN_NS for a in server.asked[before:]]
    assert min(starts) == 3
    store(built)
    assert list(bench.page_cache._folder.iterdir()) == []


def test_trades_given_pages_of_wrong_content_expected_all_asked_again(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages that can't be stored are no help to the next attempt."""
    monkeypatch.setattr("smallcaps_assets.sources.polygon.keyset.LIMIT", 2)
    sign = -1

    def answer(asked: Asked) -> Reply:
        first = int(asked.query["timestamp.gte"]) - OPEN_NS
        found = [n for n in range(1, 6) if n >= first][:2]
        return ok([trade(n, price=sign * 5.0) for n in found])

    server = bench.stack.enter_context(Loopback(answer))
    clients = bench.clients(local(tmp_path), server.url)
    with pytest.raises(WrongContent, match="5 trades .* negative price"):
        fetch_ticks(clients, "trades", "A", DAY)
    sign = 1
    assert fetch_ticks(clients, "trades", "A", DAY).frame["price"].to_list() == [5.0] * 5


def test_trades_given_rows_expected_the_row_of_each_ticker(bench: Bench, tmp_path: Path) -> None:
    """The loopback's trade is the one of `rows`."""
    found = fetch_ticks(bench.clients(local(tmp_path)), "trades", "A", DAY).frame
    assert found["price"].to_list() == [trade(1)["price"]]


@pytest.mark.parametrize("is_listed", [False, True])
def test_minute_bars_given_a_host_that_is_down_expected_rest_said_once_and_it_left_alone(
    bench: Bench, is_listed: bool
) -> None:
    days = [date(2024, 5, 3), date(2024, 5, 6), date(2024, 5, 7), date(2024, 6, 3)]
    answer = _bucket(True, 503) if is_listed else Reply(b"", 503)
    bucket = bench.stack.enter_context(Loopback(answer))
    files = FlatFiles(HttpStore(bucket.url, 2, 0.5), retry_budget=2, sleep=lambda seconds: None)
    clients = bench.clients(files)
    months = bench.months(clients)
    heard: list[str] = []
    with heard_by(heard.append):
        found = [fetch_minutes(clients, months, day, ["A"]) for day in days]
    assert [told(built)[:5] for built in found] == ["rest:"] * 4
    assert found[0].frame.height == 1 and len(bucket.asked) <= 4
    assert len(heard) == 1 and "going on over REST" in heard[0]


def test_minute_bars_given_a_closed_port_and_route_flatfile_expected_one_patience_for_all(
    bench: Bench,
) -> None:
    with Loopback(rest) as closed:
        url = closed.url
    slept: list[float] = []
    files = FlatFiles(HttpStore(url, 2, 0.5), retry_budget=0.5, sleep=slept.append)
    clients = bench.clients(files, minute_route="flatfile")
    tries = []
    for day in (DAY, date(2024, 5, 6)):
        with pytest.raises(SourceUnavailable, match="refuses the connection"):
            fetch_minutes(clients, bench.months(clients), day, ["A"])
        tries.append(len(slept))
    assert tries[0] == tries[1] and files.why_down()
