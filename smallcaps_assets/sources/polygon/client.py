"""The Polygon (now Massive) REST API as this project uses it: one class, frames out.

Every method returns a polars frame in the columns of a raw table, or in those that its module
declares, complete and validated, or raises a `SourceError`: NotEntitled when the plan lacks it,
BadAnswer when the vendor keeps contradicting the request. Pace, retries and secrets are in
`transport.py`; the endpoints are in `reference.py`, `ticker_events.py`, `bars.py`, `trades.py`,
`quotes.py`, `snapshots.py`, `news.py`, `fundamentals.py` and `short_data.py`.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import SecretStr

from smallcaps_assets.settings import PolygonSettings, secret_problem
from smallcaps_assets.sources.errors import SourceError, Unauthorized
from smallcaps_assets.sources.http import decode
from smallcaps_assets.sources.http.page_cache import Pages
from smallcaps_assets.sources.http.throttle import FREE_PLAN, Shared, Throttle, Window
from smallcaps_assets.sources.http.transport import Request, Transport
from smallcaps_assets.sources.polygon import fundamentals, news, short_data, ticker_events
from smallcaps_assets.sources.polygon.bars import Bars
from smallcaps_assets.sources.polygon.conditions import trade_conditions
from smallcaps_assets.sources.polygon.quotes import QuotePages
from smallcaps_assets.sources.polygon.reference import Reference
from smallcaps_assets.sources.polygon.snapshots import Direction, Snapshots
from smallcaps_assets.sources.polygon.trades import TradePages


class PolygonClient:
    """All that is asked of the vendor over REST. Safe to use from many threads; closes itself.

    `state_path` keeps the learned pace, and the calls of the free plan's window, across processes
    of a machine; `shared` keeps them for several machines.
    """

    def __init__(
        self,
        url: str,
        key: SecretStr | str | None,
        settings: PolygonSettings | None = None,
        throttle: Throttle | None = None,
        *,
        state_path: Path | None = None,
        shared: Shared | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] | None = None,
        rng: random.Random | None = None,
    ) -> None:
        secret = key.get_secret_value() if isinstance(key, SecretStr) else (key or "")
        if not secret.strip():
            raise Unauthorized("no key was given", remedy="set POLYGON_API_KEY")
        if problem := secret_problem(secret):
            raise Unauthorized(f"what was given {problem}", remedy="copy the key again")
        self.settings = settings or PolygonSettings.model_validate({})
        self.throttle = throttle or make_throttle(self.settings, clock, sleep, shared)
        if state_path is not None and shared is None:
            self.throttle.remember_in(state_path)
        self._transport = Transport(
            url,
            secret,
            self.throttle,
            workers=self.settings.workers,
            connect_timeout=self.settings.connect_timeout,
            read_timeout=self.settings.read_timeout,
            retry_budget=self.settings.retry_budget,
            empty_seconds=self.settings.empty_seconds,
            clock=clock,
            rng=rng,
        )
        self._reference = Reference(self._transport, self.settings.workers)
        self._bars = Bars(self._transport)
        self._trades = TradePages(self._transport)
        self._quotes = QuotePages(self._transport, self.settings.quote_shares_since)
        self._snapshots = Snapshots(self._transport)
        self._close_lock = threading.Lock()

    def __enter__(self) -> PolygonClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"PolygonClient({self._transport!r})"

    def close(self) -> None:
        """Remember the pace and close the connections."""
        with self._close_lock:
            self.throttle.persist()
            self._transport.close()

    def market_status(self) -> dict[str, Any]:
        """The vendor's word on the market now; the cheapest way to learn if the key is good."""
        request = Request("/v1/marketstatus/now")
        return self._transport.fetch(request, lambda answer: decode.parse(answer, dict[str, Any]))

    def tickers(self, day: date) -> pl.DataFrame:
        """Tickers: all stocks listed on `day`, of all types. See `Reference.tickers`."""
        return self._reference.tickers(day)

    def conditions(self) -> pl.DataFrame:
        """The vendor's trade conditions and update rules. See `conditions.trade_conditions`."""
        return trade_conditions(self._transport)

    def find_ticker(self, ticker: str) -> pl.DataFrame:
        """The vendor's rows for an exact ticker, active and delisted; empty when unknown."""
        return self._reference.find_ticker(ticker)

    def delisted_dates(self) -> pl.DataFrame:
        """Ticker, composite_figi, cik, delisted_date of everything no longer listed."""
        return self._reference.delisted_dates()

    def ticker_details(self, ticker: str, as_of: date) -> pl.DataFrame | None:
        """One row of TickerDetails as of a day; None when not listed then."""
        return self._reference.details(ticker, as_of)

    def ticker_details_of_month(
        self, month: date, tickers: Sequence[str], kept: Pages | None = None
    ) -> tuple[pl.DataFrame, dict[str, SourceError]]:
        """TickerDetails that serve a month. See `Reference.details_of_month`."""
        return self._reference.details_of_month(month, tickers, kept)

    def splits(self, year: int) -> pl.DataFrame:
        """Splits executed in a year."""
        return self._reference.splits(year)

    def dividends(self, year: int) -> pl.DataFrame:
        """Dividends going ex in a year."""
        return self._reference.dividends(year)

    def daily_bars(self, day: date) -> pl.DataFrame:
        """DailyBars of all tickers, unadjusted."""
        return self._bars.daily(day)

    def minute_bars(self, ticker: str, start: date, end: date) -> pl.DataFrame:
        """MinuteBars of one ticker, both dates included, unadjusted."""
        return self._bars.minutes(ticker, start, end)

    def trades(
        self, ticker: str, day: date, kept: Pages | None = None, is_traded: bool = False
    ) -> pl.DataFrame:
        """Trades of one ticker on one New York day. See `TradePages.trades`."""
        return self._trades.trades(ticker, day, kept, is_traded)

    def pause_for_nothing(self, what: str) -> None:
        """Let the time pass after which something that came empty is asked for again."""
        self._transport.pause_for_nothing(what)

    def quotes(
        self, ticker: str, day: date, kept: Pages | None = None, is_traded: bool = False
    ) -> pl.DataFrame:
        """Quotes of one ticker on one New York day: every change of the best bid and offer, sizes
        in shares. See `QuotePages.quotes`."""
        return self._quotes.quotes(ticker, day, kept, is_traded)

    def trades_between(self, ticker: str, start: int, end: int) -> pl.DataFrame:
        """Trades as the vendor has them from `start` to before `end`, UTC ns."""
        return self._trades.between(ticker, start, end)

    def quotes_between(self, ticker: str, start: int, end: int) -> pl.DataFrame:
        """Quotes as the vendor has them from `start` to before `end`, UTC ns; raw sizes."""
        return self._quotes.between(ticker, start, end)

    def snapshots(self) -> pl.DataFrame:
        """SNAPSHOTS (`snapshots.py`) of all tickers now: day, minute, last quote, last trade."""
        return self._snapshots.all()

    def snapshot(self, ticker: str) -> pl.DataFrame | None:
        """One row of SNAPSHOTS; None when the vendor has none of the ticker."""
        return self._snapshots.one(ticker)

    def movers(self, direction: Direction) -> pl.DataFrame:
        """SNAPSHOTS of the twenty greatest `gainers` or `losers` now, the greatest first."""
        return self._snapshots.movers(direction)

    def unified_snapshots(self, tickers: Sequence[str]) -> pl.DataFrame:
        """UNIFIED_SNAPSHOTS (`snapshots.py`) of some tickers now, unknown ones with an `error`."""
        return self._snapshots.unified(tickers)

    def news(self, start: date, end: date, ticker: str | None = None) -> pl.DataFrame:
        """NEWS (`news.py`) published from `start` to `end`, New York days, both included."""
        return news.news(self._transport, start, end, ticker)

    def ticker_events(self, identifier: str) -> pl.DataFrame:
        """TICKER_EVENTS (`ticker_events.py`), newest first; empty when unknown.

        `identifier` is a composite FIGI, a CUSIP, or a ticker, which means its present user.
        """
        return ticker_events.ticker_events(self._transport, identifier)

    def financials(self, ticker: str, start: date, end: date) -> pl.DataFrame:
        """FINANCIALS (`fundamentals.py`) filed from `start` to `end`, one row per item.

        From the older, nested endpoint, in `unit`; what newer plans get is in the statements.
        """
        return fundamentals.financials(self._transport, ticker, start, end)

    def balance_sheets(self, start: date, end: date, ticker: str | None = None) -> pl.DataFrame:
        """BALANCE_SHEETS (`fundamentals.py`) filed from `start` to `end`, of all or one ticker."""
        return fundamentals.BALANCE_SHEETS.ask(self._transport, ticker, (start, end))

    def income_statements(self, start: date, end: date, ticker: str | None = None) -> pl.DataFrame:
        """INCOME_STATEMENTS (`fundamentals.py`) filed from `start` to `end`."""
        return fundamentals.INCOME_STATEMENTS.ask(self._transport, ticker, (start, end))

    def cash_flow_statements(
        self, start: date, end: date, ticker: str | None = None
    ) -> pl.DataFrame:
        """CASH_FLOW_STATEMENTS (`fundamentals.py`) filed from `start` to `end`."""
        return fundamentals.CASH_FLOW_STATEMENTS.ask(self._transport, ticker, (start, end))

    def ratios(self, ticker: str | None = None) -> pl.DataFrame:
        """RATIOS (`fundamentals.py`) of the latest day, of all or one ticker; without history."""
        return fundamentals.RATIOS.ask(self._transport, ticker)

    def free_float(self, ticker: str | None = None) -> pl.DataFrame:
        """FLOAT (`fundamentals.py`) as known now, in shares and percent; without history."""
        return fundamentals.FLOAT.ask(self._transport, ticker)

    def short_interest(self, start: date, end: date, ticker: str | None = None) -> pl.DataFrame:
        """SHORT_INTEREST (`short_data.py`) settled from `start` to `end`, in shares.

        Published seven business days after the settlement date, which the rows do not say.
        """
        return short_data.SHORT_INTEREST.ask(self._transport, ticker, (start, end))

    def short_volume(self, start: date, end: date, ticker: str | None = None) -> pl.DataFrame:
        """SHORT_VOLUME (`short_data.py`) from `start` to `end`: off-exchange shares, ratio in %."""
        return short_data.SHORT_VOLUME.ask(self._transport, ticker, (start, end))

    def counters(self) -> Mapping[str, int | float]:
        """Requests, 429s, retries, bytes received and the present pace, since construction."""
        sent = self.throttle.counters()
        return {
            "requests": sent.requests,
            "rate_limited": sent.rate_limited,
            "retries": self._transport.retries,
            "bytes_received": self._transport.bytes_received,
            "rate": round(sent.rate, 2),
        }


def make_throttle(
    settings: PolygonSettings,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] | None = None,
    shared: Shared | None = None,
) -> Throttle:
    """The pace that the plan allows to all machines together, or this machine's part of it."""
    hosts = 1 if shared is not None else settings.hosts
    window = FREE_PLAN if settings.plan == "free" else None
    if window is not None:
        window = Window(window.calls // hosts, window.seconds)
    return Throttle(settings.requests_per_second / hosts, window, clock, sleep, shared=shared)
