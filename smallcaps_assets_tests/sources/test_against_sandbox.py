"""The client against the embedded market: the same frames whatever the market's faults."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date

import polars as pl
import pytest

from smallcaps_assets.domain.market.calendar import sessions
from smallcaps_assets.sandbox import Sandbox, SandboxConfig, SimulatedMarket
from smallcaps_assets.settings import PolygonSettings
from smallcaps_assets.sources import FinraClient, PolygonClient, make_flat_files
from smallcaps_assets_tests.sources.conftest import ShortJitter

DAY = date(2024, 10, 15)
START, END = date(2024, 10, 1), date(2024, 10, 31)
KINDS = (
    "429=0.05",
    "429_empty",
    "500",
    "502",
    "503",
    "cut_gzip",
    "reset",
    "null_results",
    "missing_results",
    "duplicate_rows",
    "out_of_order",
    "wrong_ticker",
    "cursor_loop",
    "foreign_next_url",
)
Read = Callable[[PolygonClient, str], pl.DataFrame]
READS: dict[str, Read] = {
    "tickers": lambda client, ticker: client.tickers(DAY),
    "ticker_details": lambda client, ticker: client.ticker_details_of_month(DAY, [ticker])[0],
    "splits": lambda client, ticker: client.splits(2024),
    "dividends": lambda client, ticker: client.dividends(2024),
    "grouped": lambda client, ticker: client.daily_bars(DAY),
    "bars": lambda client, ticker: client.minute_bars(ticker, DAY, DAY),
    "trades": lambda client, ticker: client.trades(ticker, DAY),
    "quotes": lambda client, ticker: client.quotes(ticker, DAY),
    "snapshots": lambda client, ticker: client.unified_snapshots([ticker, "BCpC", "NOPE"]),
    "news": lambda client, ticker: client.news(START, END),
    "ticker_events": lambda client, ticker: client.ticker_events("NXVL"),
    "financials": lambda client, ticker: client.financials("BCPC", date(2023, 1, 1), END),
    "float": lambda client, ticker: client.free_float(),
    "short_interest": lambda client, ticker: client.short_interest(START, END),
    "short_volume_table": lambda client, ticker: client.short_volume(START, END, ticker),
}


# These endpoints echo no ticker that could be checked.
UNDETECTABLE = {("wrong_ticker", "splits"), ("wrong_ticker", "dividends")}


def config(*faults: str) -> SandboxConfig:
    season = len(sessions(START, END))
    return SandboxConfig(tickers=40, start=START, end=END, season=season, faults=faults)


def client_of(sandbox: Sandbox) -> PolygonClient:
    settings = PolygonSettings.model_validate({"retry_budget": 5, "empty_seconds": 0})
    return PolygonClient(sandbox.url, "sandbox", settings, rng=ShortJitter())


@pytest.fixture(scope="module")
def market() -> SimulatedMarket:
    """What all servers serve, each with faults of its own; simulated before a client waits."""
    found = SimulatedMarket(config())
    found.daily_bars(DAY)
    return found


@pytest.fixture(scope="module")
def clean(market: SimulatedMarket) -> Iterator[tuple[str, dict[str, pl.DataFrame]]]:
    with Sandbox(config(), market) as sandbox, client_of(sandbox) as client:
        bars = client.daily_bars(DAY)
        busiest = bars.sort("transactions", "ticker", descending=True)["ticker"][0]
        frames = {name: read(client, busiest) for name, read in READS.items()}
        assert not [name for name, frame in frames.items() if frame.is_empty()]
        yield busiest, frames


@pytest.mark.parametrize("kind", KINDS)
def test_client_given_fault_once_per_endpoint_expected_the_same_frames(
    market: SimulatedMarket, clean: tuple[str, dict[str, pl.DataFrame]], kind: str
) -> None:
    ticker, frames = clean
    faults = [f"{kind}@{name}*1" for name in READS if (kind, name) not in UNDETECTABLE]
    with Sandbox(config(*faults), market) as sandbox, client_of(sandbox) as client:
        for name, read in READS.items():
            assert read(client, ticker).equals(frames[name]), name


def test_sources_given_one_session_expected_rest_and_files_to_agree(
    market: SimulatedMarket, clean: tuple[str, dict[str, pl.DataFrame]]
) -> None:
    ticker, frames = clean
    with Sandbox(config(), market) as sandbox:
        url = {"flatfiles_url": sandbox.url}
        files = make_flat_files(PolygonSettings.model_validate(url))
        minutes = files.minute_bars(DAY, [ticker]).frame
        assert minutes.drop("vwap").equals(frames["bars"].drop("vwap"))
        assert files.ticks("trades", DAY, [ticker]).frame.equals(frames["trades"])
        assert files.daily_bars(DAY).frame["ticker"].equals(frames["grouped"]["ticker"])
        with FinraClient(url=sandbox.url) as finra:
            assert finra.short_volume(DAY).frame.height > 0
