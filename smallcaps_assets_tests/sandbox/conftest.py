"""Fixtures of the sandbox's tests: one default market, one small server, a tiny recording."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
import requests

from smallcaps_assets.sandbox import Sandbox, SandboxConfig, SimulatedMarket
from smallcaps_assets.sandbox.simulation import tape as t

# Whole markets take minutes without compiled kernels; test_tape.py compares both ways on one day.
if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
    collect_ignore_glob = ["test_*.py"]

AGGREGATE_HEAD = "ticker,volume,open,close,high,low,window_start,transactions\n"
TRADE_HEAD = (
    "ticker,conditions,correction,exchange,id,participant_timestamp,price,sequence_number,"
    "sip_timestamp,size,tape,trf_id,trf_timestamp\n"
)
OPEN_NS = 1_381_152_600_000_000_000  # 2013-10-07 09:30 New York


def halts_of(market: SimulatedMarket, ticker: str, day: date) -> list[tuple[int, int]]:
    """Begin and end, in UTC ns, of the halts of a ticker-session."""
    listing = market.listing_of(ticker, day)
    assert listing is not None
    rows = market.events(listing, day)
    halts = rows[rows[:, t.E_KIND] <= t.LONG_HALT]
    return [(int(row[t.E_BEGIN]), int(row[t.E_END])) for row in halts]


class Client:
    """A plain HTTP client with the right key."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.session = requests.Session()
        self.session.headers["Authorization"] = "Bearer sandbox"

    def get(self, path: str, **params: str | int) -> requests.Response:
        return self.session.get(self.sandbox.url + path, params=params, timeout=20)

    def json(self, path: str, **params: str | int) -> dict:
        answer = self.get(path, **params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def csv(self, path: str, **params: str | int) -> str:
        url = self.sandbox.url + path
        answer = self.session.get(url, params=params, headers={"Accept": "text/csv"}, timeout=20)
        assert answer.headers["content-type"].startswith("text/csv")
        return answer.text

    def pages(self, path: str, **params: str | int) -> list[dict]:
        """All pages, following next_url on our own host."""
        found = [self.json(path, **params)]
        while "next_url" in found[-1]:
            url = found[-1]["next_url"].replace("https://api.massive.com", "")
            assert "sandbox" not in url
            found.append(self.json(url))
        return found


@pytest.fixture(scope="session")
def market() -> SimulatedMarket:
    """The market of the default configuration."""
    return SimulatedMarket(SandboxConfig())


@pytest.fixture(scope="session")
def server(market: SimulatedMarket) -> Iterator[Sandbox]:
    with Sandbox(market.config, market) as sandbox:
        yield sandbox


@pytest.fixture
def client(server: Sandbox) -> Iterator[Client]:
    server.clear_faults()
    server.requests.clear()
    yield Client(server)
    server.clear_faults()


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Two sessions of day bars, one of them with minutes and trades."""
    sip = tmp_path / "us_stocks_sip"
    for day, midnight in (("07", 1381118400), ("08", 1381204800)):
        rows = f"AAPL,300,10,11,12,9,{midnight}000000000,\nIBM,50,5,5,5,5,{midnight}000000000,\n"
        _write(sip / f"day_aggs_v1/2013/10/2013-10-{day}.csv.gz", AGGREGATE_HEAD + rows)
    minutes = f"AAPL,300,10,11,12,9,{OPEN_NS},\n"
    _write(sip / "minute_aggs_v1/2013/10/2013-10-07.csv.gz", AGGREGATE_HEAD + minutes)
    trades = (
        f'AAPL,"14,41",0,11,1,{OPEN_NS},10,1,{OPEN_NS},100,1,0,0\n'
        f"AAPL,,0,4,2,{OPEN_NS},11,2,{OPEN_NS + 1},200,1,202,{OPEN_NS}\n"
    )
    _write(sip / "trades_v1/2013/10/2013-10-07.csv.gz", TRADE_HEAD + trades)
    reference = tmp_path / "reference"
    reference.mkdir()
    tickers = [{"ticker": "AAPL", "name": "Apple Inc.", "active": True, "market": "stocks"}]
    (reference / "tickers.json").write_text(json.dumps(tickers))
    split = {"ticker": "AAPL", "execution_date": "2013-10-08", "split_from": 1, "split_to": 2}
    (reference / "splits.json").write_text(json.dumps([split]))
    return tmp_path
