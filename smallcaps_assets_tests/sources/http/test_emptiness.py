"""When "nothing" is believed: against a server that says it by mistake for a while."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import date
from typing import Any

import pytest

from smallcaps_assets.settings import PolygonSettings
from smallcaps_assets.sources import PolygonClient
from smallcaps_assets.sources.errors import BadAnswer
from smallcaps_assets_tests.sources.conftest import KEY, ShortJitter
from smallcaps_assets_tests.sources.loopback import MISSING, Asked, Loopback, Reply, csv, ok
from smallcaps_assets_tests.sources.rows import (
    DAY,
    TRADE_HEADER,
    daily_bar,
    minute_bar,
    minutes_page,
    trade,
    trade_line,
    trades_csv,
    trades_json,
)

STORM = 30.0
NOTHING = [ok(None), ok(), ok([])]
SHEET = {"period_end": "2024-03-31", "filing_date": "2024-05-01", "cik": "1", "timeframe": "annual"}
ARTICLE = {"id": "n", "published_utc": "2024-05-02T13:00:00Z", "tickers": ["A"]}

# A full answer of each list about the market, and the call that asks for it.
LISTS: dict[str, tuple[dict[str, Any], Callable[[PolygonClient], Any]]] = {
    "tickers": ({"ticker": "A"}, lambda c: c.tickers(DAY)),
    "delisted": ({"ticker": "A", "delisted_utc": "2024-01-02"}, lambda c: c.delisted_dates()),
    "splits": (
        {"ticker": "A", "execution_date": "2013-02-01", "split_from": 1, "split_to": 2},
        lambda c: c.splits(2013),
    ),
    "dividends": (
        {"ticker": "A", "ex_dividend_date": "2013-02-01", "cash_amount": 1, "currency": "USD"},
        lambda c: c.dividends(2013),
    ),
    "daily_bars": (daily_bar(), lambda c: c.daily_bars(DAY)),
    "conditions": ({"id": 1, "name": "x"}, lambda c: c.conditions()),
    "news": (ARTICLE, lambda c: c.news(date(2024, 5, 1), date(2024, 5, 31))),
    "float": (
        {"ticker": "A", "effective_date": "2024-05-01", "free_float": 5},
        lambda c: c.free_float(),
    ),
    "short_interest": (
        {"ticker": "A", "settlement_date": "2024-05-15", "short_interest": 5},
        lambda c: c.short_interest(date(2024, 5, 1), date(2024, 5, 15)),
    ),
    "short_volume": ({"ticker": "A", "date": str(DAY)}, lambda c: c.short_volume(DAY, DAY)),
    "balance_sheets": (SHEET, lambda c: c.balance_sheets(date(2024, 1, 1), date(2024, 12, 31))),
}


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now, self.slept = 0.0, [0.0]

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class Bench:
    """Clients of scripted servers whose time is `clock`."""

    def __init__(self, stack: ExitStack) -> None:
        self.stack, self.clock = stack, Clock()

    def client(self, script: Callable[[Asked], Reply]) -> tuple[PolygonClient, Loopback]:
        server = self.stack.enter_context(Loopback(script))
        client = PolygonClient(
            server.url,
            KEY,
            PolygonSettings(retry_budget=20),
            clock=self.clock,
            sleep=self.clock.sleep,
            rng=ShortJitter(),
        )
        return self.stack.enter_context(client), server

    def storm(self, reply: Callable[[Asked], Reply], nothing: Reply) -> Callable[[Asked], Reply]:
        """`nothing` for half a minute, then what `reply` says."""
        return lambda asked: nothing if self.clock.now < STORM else reply(asked)


@pytest.fixture
def bench() -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(stack)


@pytest.mark.parametrize("name", LISTS)
def test_market_list_given_a_storm_of_nothing_expected_read_again_after_it(
    bench: Bench, name: str
) -> None:
    row, ask = LISTS[name]
    nothing = ok(None, adjusted=False)
    client, server = bench.client(bench.storm(lambda _: ok([row], adjusted=False), nothing))
    assert ask(client).height == 1
    assert len(server.asked) == 2 and bench.clock.now >= 60


@pytest.mark.parametrize("nothing", NOTHING, ids=["null", "missing", "empty"])
def test_market_list_given_nothing_for_ever_expected_two_readings_apart(
    bench: Bench, nothing: Reply
) -> None:
    client, server = bench.client(lambda _: nothing)
    assert client.splits(2013).is_empty()
    assert len(server.asked) == 2 and 60 <= bench.clock.now < 61


def test_list_of_one_ticker_given_nothing_expected_believed_at_once(bench: Bench) -> None:
    client, server = bench.client(lambda _: ok(None))
    assert client.find_ticker("A").is_empty()
    assert client.news(DAY, DAY, ticker="A").is_empty()
    assert client.free_float("A").is_empty()
    assert client.trades("A", DAY).is_empty()
    assert len(server.asked) == 2 * 2 + 2 + 2 + 3 and bench.clock.now < 1


def test_trades_given_a_storm_expected_read_again_after_it(bench: Bench) -> None:
    """Of a ticker that other lists show trading."""

    def reply(asked: Asked) -> Reply:
        return trades_csv([1, 2]) if asked.headers["Accept"] == "text/csv" else trades_json([1, 2])

    client, _ = bench.client(bench.storm(reply, ok(None)))
    assert client.trades("A", DAY, is_traded=True)["sequence_number"].to_list() == [1, 2]
    assert bench.clock.now >= 60


def test_pages_given_an_announced_page_of_nothing_expected_not_the_end(bench: Bench) -> None:
    """The first page says that there are more."""
    rows = [{"ticker": "A"}, {"ticker": "B"}]

    def reply(asked: Asked) -> Reply:
        if "cursor" in asked.query:
            return ok(None) if bench.clock.now < STORM else ok(rows[1:])
        return ok(rows[:1], next_url="http://x/?cursor=2")

    client, _ = bench.client(reply)
    with pytest.raises(BadAnswer, match="announced"):
        client.tickers(DAY)
    bench.clock.now = STORM
    assert client.tickers(DAY)["ticker"].to_list() == ["A", "B"]


def test_pages_given_an_announced_page_without_rows_expected_believed_later(bench: Bench) -> None:
    """An empty list, unlike no list at all, may follow a page that was just full."""
    pages = {True: ok([]), False: ok([{"ticker": "A"}], next_url="http://x/?cursor=2")}
    client, server = bench.client(lambda asked: pages["cursor" in asked.query])
    assert client.tickers(DAY)["ticker"].to_list() == ["A"]
    assert len(server.asked) == 3 and bench.clock.now >= 60


def test_trades_given_nothing_after_rows_expected_no_end(bench: Bench) -> None:
    """The CSV is cut after a row, and the page that should confirm it holds nothing."""

    def reply(asked: Asked) -> Reply:
        bound = int(asked.query["timestamp.gte"])
        rows = [r for r in map(trade, (1, 2, 3)) if r["sip_timestamp"] >= bound]
        if asked.headers["Accept"] == "text/csv":
            return csv(TRADE_HEADER + "\n" + "".join(map(trade_line, rows[:2])))
        return ok(rows)

    client, _ = bench.client(
        lambda asked: (
            ok(None)
            if asked.headers["Accept"] != "text/csv" and bench.clock.now < 1e-9
            else reply(asked)
        )
    )
    assert client.trades("A", DAY)["sequence_number"].to_list() == [1, 2, 3]


def test_minutes_given_nothing_after_a_page_that_announced_more_expected_read_again(
    bench: Bench,
) -> None:
    def reply(asked: Asked) -> Reply:
        if asked.path.split("/")[8].startswith("2024-"):
            return minutes_page([minute_bar(0)], next_url="http://x/?cursor=2")
        is_storm = bench.clock.now < STORM
        return minutes_page([] if is_storm else [minute_bar(1)])

    client, _ = bench.client(reply)
    assert client.minute_bars("AAME", DAY, DAY).height == 2
    assert bench.clock.now >= 60


def test_empty_seconds_given_none_expected_no_wait() -> None:
    with Loopback(ok(MISSING)) as server:
        settings = PolygonSettings(empty_seconds=0)
        clock = Clock()
        with PolygonClient(server.url, KEY, settings, clock=clock, sleep=clock.sleep) as client:
            assert client.splits(2013).is_empty()
        assert clock.now < 1 and len(server.asked) == 2
