"""A market of one ticker and three minutes, for tests of the live feed and its REST twin."""

from __future__ import annotations

import gzip
from datetime import date
from pathlib import Path

import polars as pl

from smallcaps_assets.domain.market.calendar import session_hours
from smallcaps_assets.sandbox.market import (
    BAR_SCHEMA,
    QUOTE_SCHEMA,
    TRADE_SCHEMA,
    FeedHalt,
    MarketFacts,
)
from smallcaps_assets.sandbox.recorded import RecordedMarket

DAY, TICKER = date(2024, 12, 13), "ABCD"
OPEN = session_hours(DAY).open
SECOND = 1_000_000_000
TRADES = 180


class _Facts(MarketFacts):
    def quotes(self, ticker: str, day: date) -> pl.DataFrame:
        """A quote half a second before each trade."""
        rows = [{"ticker": TICKER, "ask_exchange": 11, "ask_price": 4.01 + i % 7 / 100,
                 "ask_size": 100.0, "bid_exchange": 12, "bid_price": 4.0 + i % 7 / 100,
                 "bid_size": 200.0, "conditions": "1", "indicators": "604", "tape": 3,
                 "sequence_number": 5000 + 3 * i, "trf_timestamp": 0,
                 "sip_timestamp": OPEN + i * SECOND - SECOND // 2,
                 "participant_timestamp": OPEN + i * SECOND - SECOND // 2}
                for i in range(1, TRADES)]  # fmt: skip
        return pl.DataFrame(rows, schema=QUOTE_SCHEMA).filter((day == DAY) & (ticker == TICKER))

    def halts(self, day: date) -> list[FeedHalt]:
        """One halt for news, which the feed tells in three rows."""
        start, end = OPEN + 200 * SECOND, OPEN + 500 * SECOND
        known = (("T1", 0), ("T2", 0), ("T3", end))
        return [FeedHalt(TICKER, "Abcd Inc", "Q", start, at, why) for why, at in known]


class TinyMarket(RecordedMarket):
    """One print a second; every tenth is an odd lot, the 100th was cancelled later."""

    def __init__(self, folder: Path) -> None:
        head = ",".join(name for name in BAR_SCHEMA if name != "vwap")
        path = folder / "us_stocks_sip/day_aggs_v1/2024/12/2024-12-13.csv.gz"
        path.parent.mkdir(parents=True)
        path.write_bytes(gzip.compress(f"{head}\n{TICKER},1,4,4,4,4,{OPEN},1\n".encode()))
        super().__init__(folder)
        self.facts, self.sessions = _Facts(), [DAY]

    def trades(self, ticker: str, day: date) -> pl.DataFrame:
        rows = [{"ticker": TICKER, "conditions": "37" if i % 10 == 0 else "", "exchange": 4,
                 "correction": 8 if i == 100 else 0, "id": str(i),
                 "participant_timestamp": OPEN + i * SECOND, "price": 4.0 + i % 7 / 100,
                 "sequence_number": 1000 + 2 * i, "sip_timestamp": OPEN + i * SECOND,
                 "size": 10.0 if i % 10 == 0 else 100.0, "tape": 3, "trf_id": 202,
                 "trf_timestamp": OPEN + i * SECOND} for i in range(TRADES)]  # fmt: skip
        rows.insert(101, rows[100] | {"correction": 10})
        return pl.DataFrame(rows, schema=TRADE_SCHEMA).filter((day == DAY) & (ticker == TICKER))
