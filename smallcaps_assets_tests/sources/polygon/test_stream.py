"""The live feed against the sandbox's WebSocket on loopback: order, faults, gaps, reconnects."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import polars as pl
import pytest
from massive import WebSocketClient
from massive.exceptions import AuthError
from pydantic import SecretStr

from smallcaps_assets.sandbox import Sandbox, SandboxConfig, SandboxConfigError
from smallcaps_assets.sandbox.server.stream import StreamServer, parse_stream_fault
from smallcaps_assets.sandbox.server.stream_rows import stream_rows
from smallcaps_assets.sources import PolygonClient
from smallcaps_assets.sources.errors import SourceUnavailable
from smallcaps_assets.sources.polygon.stream import (
    Batch,
    History,
    MinuteBar,
    Nbbo,
    Print,
    Stream,
)
from smallcaps_assets_tests.sources.polygon.tiny_market import DAY, OPEN, TICKER, TRADES, TinyMarket

MS = 1_000_000
TOPICS = ("T.*", "Q.*", "AM.*")


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> TinyMarket:
    return TinyMarket(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def client(market: TinyMarket) -> Iterator[PolygonClient]:
    with Sandbox(SandboxConfig(), market) as sandbox, PolygonClient(sandbox.url, "sandbox") as rest:
        yield rest


class Heard:
    """Batches as they came."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []

    def of(self, kind: type, is_filled: bool | None = None) -> list[Any]:
        return [m for b in self.batches if is_filled in (None, b.is_filled)
                for m in b.messages if isinstance(m, kind)]  # fmt: skip


@contextmanager
def listening(
    server: StreamServer, history: History | None = None, key: str = "sandbox",
    counts: Callable[[Print], bool] | None = lambda trade: True,
) -> Iterator[tuple[Stream, Heard]]:  # fmt: skip
    heard = Heard()
    stream = Stream(f"ws://{server.feed}/stocks", SecretStr(key), TOPICS, heard.batches.append,
                    history, counts, back_off=(0.02,))  # fmt: skip
    stream.start()
    try:
        yield stream, heard
    finally:
        stream.close()


def until(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(0.005)


def ids(prints: list[Print]) -> list[int]:
    return [int(p.i) for p in prints]


def test_a_session_as_it_was(market: TinyMarket) -> None:
    rows = stream_rows(market, DAY, [TICKER])
    with StreamServer(rows, speed=None) as server, listening(server) as (stream, heard):
        until(lambda: len(heard.of(MinuteBar)) == 3)
        assert ids(heard.of(Print)) == [*range(TRADES)]  # the cancel's own record is not printed
        assert len(heard.of(Nbbo)) == TRADES - 1 and stream.problem == ""
        first = heard.of(Print)[7]
        assert (first.p, first.s, first.t, first.q) == (4.0, 100, OPEN // MS + 7000, 1014)
        assert not stream.received["late"] and not stream.received["gap"]


def test_bars_are_what_was_printed_until_their_end(market: TinyMarket) -> None:
    rows = stream_rows(market, DAY, [TICKER])
    objects = [json.loads(text) for text in rows["json"]]
    minutes = [o for o in objects if o["ev"] == "AM"]
    trades = [o for o in objects if o["ev"] == "T"]
    for bar in minutes:
        inside = [t for t in trades if bar["s"] <= t["t"] < bar["e"]]
        forming = [t["p"] for t in inside if t.get("c") != [37]]
        assert bar["v"] == sum(t["s"] for t in inside)
        assert (bar["o"], bar["h"], bar["l"]) == (forming[0], max(forming), min(forming))
        assert bar["av"] == sum(t["s"] for t in trades if t["t"] < bar["e"])
    seconds = [o for o in objects if o["ev"] == "A"]
    assert sum(o["v"] for o in seconds) == sum(t["s"] for t in trades if t.get("c") != [37])
    sent = [(o.get("t") or o["e"]) for o in objects]
    assert sent == sorted(sent)
    assert [o["i"] for o in objects if o["ev"] == "LULD"] == [[17], [18]]


@pytest.mark.parametrize("fault", ["abnormal_close", "normal_close", "slow_consumer"])
def test_what_a_broken_connection_missed_is_fetched(
    market: TinyMarket, client: PolygonClient, fault: str
) -> None:
    rows = stream_rows(market, DAY, [TICKER])
    server = StreamServer(rows, None, faults=[f"{fault}@60*40"])
    with server, listening(server, client) as (stream, heard):
        until(lambda: len(heard.of(MinuteBar)) == 3)
        assert ids(heard.of(Print)) == [*range(TRADES)]  # in order, each once
        assert heard.of(Print, is_filled=True) and stream.received["gap"] == 1
        last_filled = max(i for i, batch in enumerate(heard.batches) if batch.is_filled)
        fetched = [m.t for m in heard.of(Print, True) + heard.of(Nbbo, True)]
        after = heard.batches[last_filled + 1].messages
        # nothing was fetched that had not happened yet
        assert max(fetched) < min(m.t for m in after if isinstance(m, Print | Nbbo))


class Unreachable:
    """Implements `History` where the vendor does not answer."""

    def trades_between(self, ticker: str, start: int, end: int) -> pl.DataFrame:
        raise SourceUnavailable(f"no answer for {ticker}")

    quotes_between = trades_between


def test_what_can_not_be_fetched_is_counted_and_stays_so(market: TinyMarket) -> None:
    """The problem's text goes with the next connection, the count does not."""
    rows = stream_rows(market, DAY, [TICKER])
    server = StreamServer(rows, None, faults=["abnormal_close@60*40"])
    with server, listening(server, Unreachable()) as (stream, heard):
        until(lambda: len(heard.of(MinuteBar)) >= 2 and stream.received["unfilled"])
        assert stream.received["gap"] >= 1
        assert not heard.of(Print, is_filled=True)


def test_a_gap_within_a_connection_shows_in_the_minute(
    market: TinyMarket, client: PolygonClient
) -> None:
    rows = stream_rows(market, DAY, [TICKER])
    server = StreamServer(rows, None, faults=["gap@30*20"])
    with server, listening(server, client) as (stream, heard):
        until(lambda: len(heard.of(MinuteBar)) == 3)
        assert sorted(ids(heard.of(Print))) == [*range(TRADES)]
        assert stream.received["gap"] == 1 and stream.received["filled"] > 0


def test_duplicates_and_reversed_objects(market: TinyMarket) -> None:
    rows = stream_rows(market, DAY, [TICKER])
    faults = ["duplicate@30*10", "out_of_order@100*6"]
    with StreamServer(rows, None, faults=faults) as server, listening(server) as (stream, heard):
        until(lambda: len(heard.of(MinuteBar)) == 3)
        assert sorted(ids(heard.of(Print))) == [*range(TRADES)]
        assert stream.received["duplicate"] > 0
        late = [b.messages[i] for b in heard.batches for i in sorted(b.late)]
        assert len(late) == stream.received["late"] > 0


def test_a_refused_key_is_not_tried_again(market: TinyMarket) -> None:
    rows = stream_rows(market, DAY, [TICKER])
    with StreamServer(rows, None) as server, listening(server, key="wrong") as (stream, _):
        until(lambda: stream.is_refused)
        time.sleep(0.1)
        assert server._logins == 1 and "wrong" not in stream.problem


def test_steps_and_age(market: TinyMarket) -> None:
    rows = stream_rows(market, DAY, [TICKER])
    with StreamServer(rows, speed=0) as server, listening(server) as (stream, heard):
        server.step(3)
        until(lambda: sum(len(b.messages) for b in heard.batches) == 3)
        assert stream.age() < 60
        server.step(2)
        until(lambda: sum(len(b.messages) for b in heard.batches) == 5)


def test_speed_is_a_factor_on_the_sessions_own_pace(market: TinyMarket) -> None:
    rows = stream_rows(market, DAY, [TICKER]).head(300)
    span = (rows["at"][-1] - rows["at"][0]) / 1000
    began = time.monotonic()
    with StreamServer(rows, speed=span / 0.3) as server, listening(server):
        until(server.is_finished.is_set)
        assert time.monotonic() - began >= 0.25


def test_a_client_that_does_not_read_is_closed(market: TinyMarket) -> None:
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.client import connect

    rows = stream_rows(market, DAY, [TICKER])
    wide = rows["json"].str.replace("}", f',"x":"{"x" * 20_000}"}}', literal=True)
    server = StreamServer(rows.with_columns(json=wide), speed=2000, buffer=1)
    with server, connect(f"ws://{server.feed}/stocks", max_queue=1, max_size=None) as socket:
        socket.recv()
        socket.send('{"action":"auth","params":"sandbox"}')
        socket.recv()
        socket.send('{"action":"subscribe","params":"*"}')
        until(lambda: server._clients)
        until(lambda: not server._clients)
        with pytest.raises(ConnectionClosed):
            while True:
                socket.recv(timeout=10)


def test_damaged_objects_are_counted_and_the_others_told(market: TinyMarket) -> None:
    rows = stream_rows(market, DAY, [TICKER]).head(20)
    spoilt = rows.with_columns(
        json=rows["json"].str.replace('"ev":"T"', '"ev":"NEW"', literal=True)
    )
    with StreamServer(spoilt, None) as server, listening(server) as (stream, heard):
        until(lambda: stream.received["unreadable"] and heard.batches)
        assert heard.of(Nbbo) and not heard.of(Print)


def test_the_vendors_own_client(market: TinyMarket) -> None:
    rows = stream_rows(market, DAY, [TICKER])
    with StreamServer(rows, None, faults=["abnormal_close@200"]) as server:
        client = WebSocketClient("sandbox", feed=server.feed, market="stocks", secure=False,
                                 subscriptions=["T.ABCD", "Q.*", "AM.ABCD", "LULD.*"])  # fmt: skip
        found: list[Any] = []
        threading.Thread(target=client.run, args=(found.extend,), daemon=True).start()
        until(lambda: [m for m in found if m.event_type == "LULD"])
        kinds = {type(m).__name__ for m in found}
        assert {"EquityTrade", "EquityQuote", "EquityAgg", "LimitUpLimitDown"} <= kinds
        trade = next(m for m in found if m.event_type == "T")
        assert (trade.symbol, trade.price, trade.size) == (TICKER, 4.0, 10)
    with StreamServer(rows, None, faults=["auth_failed@0*1"]) as server:
        client = WebSocketClient("sandbox", feed=server.feed, market="stocks", secure=False)
        with pytest.raises(AuthError):
            client.run(found.extend)


@pytest.mark.parametrize("text", ["gap", "gap@x", "frob@3"])
def test_a_fault_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(SandboxConfigError, match="abnormal_close"):
        parse_stream_fault(text)
