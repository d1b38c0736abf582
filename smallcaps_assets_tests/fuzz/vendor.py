"""Decoders of what the market data vendor sends: JSON and CSV pages, flat files, errors, gzip."""

from __future__ import annotations

import gzip
from datetime import date, timedelta
from typing import Any

from smallcaps_assets.sources.http.transport import (
    Answer,
    Request,
    decompress,
    error_of,
    error_text,
)
from smallcaps_assets.sources.polygon.bars import Bars
from smallcaps_assets.sources.polygon.conditions import trade_conditions
from smallcaps_assets.sources.polygon.flatfiles import FlatFiles
from smallcaps_assets.sources.polygon.fundamentals import BALANCE_SHEETS, financials
from smallcaps_assets.sources.polygon.news import news
from smallcaps_assets.sources.polygon.quotes import QuotePages
from smallcaps_assets.sources.polygon.reference import Reference
from smallcaps_assets.sources.polygon.short_data import SHORT_INTEREST
from smallcaps_assets.sources.polygon.snapshots import Snapshots
from smallcaps_assets.sources.polygon.ticker_events import ticker_events
from smallcaps_assets.sources.polygon.trades import TradePages
from smallcaps_assets_tests.fuzz.decoder import Decoder, OneFile, page, transport
from smallcaps_assets_tests.sources.polygon import (
    test_fundamentals,
    test_news,
    test_quotes,
    test_short_data,
    test_snapshots,
    test_ticker_events,
)
from smallcaps_assets_tests.sources.rows import (
    DAY,
    OPEN_NS,
    daily_bar,
    minute_bar,
    trade,
    trades_csv,
)

YEAR = date(2024, 1, 1), date(2024, 12, 31)
BARS_CSV = (
    b"ticker,volume,open,close,high,low,window_start,transactions\n"
    b"AAME,1200.5,2,2.4,2.5,1.9,%d,31\nBCpC,10,3,3,3,3,%d,1\n"
) % (OPEN_NS, OPEN_NS + 60_000_000_000)
TRADES_CSV = (
    b"ticker,conditions,correction,exchange,id,participant_timestamp,price,sequence_number,"
    b'sip_timestamp,size,tape,trf_id,trf_timestamp\nAAME,"12,37",0,4,1,%d,2.5,1,%d,100,3,202,0\n'
) % (OPEN_NS - 1, OPEN_NS)
TICKERS = [{"ticker": "AAME", "type": "CS", "primary_exchange": "XNAS", "active": True}]
SPLITS = [{"ticker": "AAME", "execution_date": "2024-05-03", "split_from": 20, "split_to": 1}]
DIVIDENDS = [{"ticker": "AAME", "ex_dividend_date": "2024-05-03", "cash_amount": 0.1, "id": "E1"}]
DETAILS = {"ticker": "AAME", "list_date": "2001-02-03"}
CONDITIONS = [
    {"id": 37, "name": "Odd Lot", "update_rules": {"consolidated": {"updates_volume": True}}}
]


def _flat(body: bytes) -> FlatFiles:
    return FlatFiles(OneFile(body), retry_budget=0)  # type: ignore[arg-type]


def _errors(body: bytes) -> None:
    error_text(body)
    for status in (301, 400, 403, 404, 429, 503):
        assert error_of(Answer(Request("/v3/x"), status, body, {})) is not None


def _reference(body: bytes) -> Reference:
    return Reference(transport(body), 1)


def _zipped(body: bytes) -> Any:
    return gzip.compress(body, 1, mtime=0)


DECODERS: dict[str, Decoder] = {
    "json_trades": Decoder(
        [page([trade(1), trade(2)]), page([trade(1)], next_url="https://x/v3/trades?cursor=a")],
        lambda body: TradePages(transport(body)).trades("AAME", DAY),
    ),
    "csv_trades": Decoder(
        [trades_csv([1, 2, 3]).body],
        lambda body: TradePages(transport(body, page([trade(3)]))).trades("AAME", DAY),
    ),
    "json_daily_bars": Decoder(
        [page([daily_bar(), daily_bar("BCpC")], adjusted=False, resultsCount=2)],
        lambda body: Bars(transport(body)).daily(DAY),
    ),
    "json_minute_bars": Decoder(
        [page([minute_bar(0), minute_bar(5)], ticker="AAME", adjusted=False)],
        lambda body: Bars(transport(body)).minutes("AAME", DAY, DAY + timedelta(days=3)),
    ),
    "flat_file_bars": Decoder([BARS_CSV], lambda body: _flat(_zipped(body)).minute_bars(DAY)),
    "flat_file_trades": Decoder(
        [TRADES_CSV], lambda body: _flat(_zipped(body)).ticks("trades", DAY, ["AAME"])
    ),
    "flat_file_gzip": Decoder([_zipped(BARS_CSV)], lambda body: _flat(body).daily_bars(DAY)),
    "gzip": Decoder(
        [_zipped(b"row\n" * 20), _zipped(b"a") + _zipped(b"b")],
        lambda body: decompress(body, "gzip"),
        (ValueError,),
    ),
    "error_bodies": Decoder(
        [b'{"status": "ERROR", "request_id": "a1", "error": "no"}', b"<html>502</html>"],
        _errors,
        (),
    ),
    "json_tickers": Decoder([page(TICKERS)], lambda body: _reference(body).tickers(DAY)),
    "json_splits": Decoder([page(SPLITS)], lambda body: _reference(body).splits(DAY.year)),
    "json_dividends": Decoder(
        [page(DIVIDENDS)], lambda body: _reference(body).dividends(DAY.year)
    ),
    "json_details": Decoder([page(DETAILS)], lambda body: _reference(body).details("AAME", DAY)),
    "json_conditions": Decoder(
        [page(CONDITIONS)], lambda body: trade_conditions(transport(body))
    ),
    "json_ticker_events": Decoder(
        [test_ticker_events.history().body],
        lambda body: ticker_events(transport(body), "META"),
    ),
    "json_quotes": Decoder(
        [page([test_quotes.quote(1), test_quotes.quote(2)])],
        lambda body: QuotePages(transport(body), DAY).quotes("AAME", DAY),
    ),
    "csv_quotes": Decoder(
        [test_quotes.table([test_quotes.quote(1), test_quotes.quote(2)]).body],
        lambda body: QuotePages(
            transport(body, page([test_quotes.quote(2)])), DAY
        ).quotes("AAME", DAY),
    ),
    "json_news": Decoder(
        [page([test_news.article(1), test_news.article(2)])],
        lambda body: news(transport(body), DAY, DAY, "A"),
    ),
    "json_snapshots": Decoder(
        [test_snapshots.many([test_snapshots.snapshot()], count=1).body],
        lambda body: Snapshots(transport(body)).all(),
    ),
    "json_short_interest": Decoder(
        [page([test_short_data.interest("AA"), test_short_data.interest("AB")])],
        lambda body: SHORT_INTEREST.ask(transport(body), None, YEAR),
    ),
    "json_statements": Decoder(
        [page([test_fundamentals.filed(total_assets=3e9)])],
        lambda body: BALANCE_SHEETS.ask(transport(body), "A", YEAR),
    ),
    "json_financials": Decoder(
        [page([test_fundamentals.nested()])],
        lambda body: financials(transport(body), "A", *YEAR),
    ),
}  # fmt: skip
