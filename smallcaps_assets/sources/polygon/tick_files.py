"""Ticks of one ticker from a day's flat file, which is read once for all that are wanted."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import date

import polars as pl

from smallcaps_assets.sources.http.page_cache import CachedPages, PageCache
from smallcaps_assets.sources.polygon.flatfiles import FlatFiles, FlatFrame


class TickFiles:
    """Days of trades or quotes, in the page cache by ticker. Safe to use from many threads."""

    def __init__(self, files: FlatFiles, page_cache: PageCache) -> None:
        self._files, self._page_cache = files, page_cache
        self._locks: dict[tuple[str, date], threading.Lock] = {}
        self._lock = threading.Lock()

    def ticks(
        self, table: str, ticker: str, day: date, wanted: Sequence[str], is_patient: bool
    ) -> tuple[FlatFrame, CachedPages | None]:
        """Trades or quotes of one of the tickers that are wanted of a day, and the pages that hold
        them.

        What is wanted alone is not put into the cache.
        """
        if len(wanted) == 1:
            return self._files.ticks(table, day, wanted, is_patient), None
        pages = self._page_cache.pages(f"{table} file", day.isoformat())
        with self._lock:
            day_lock = self._locks.setdefault((table, day), threading.Lock())
        with day_lock:
            cached = pages.frames(ticker)
            if not cached:
                read = self._files.ticks(table, day, wanted, is_patient)
                pages.add(f"{read.key} {read.etag}", _by_ticker(read.frame, wanted))
                cached = pages.frames(ticker)
        pages.close()
        ((file, frame),) = cached.items()
        key, _, etag = file.partition(" ")
        return FlatFrame(frame, key, etag), CachedPages(pages, ticker)


def _by_ticker(frame: pl.DataFrame, tickers: Sequence[str]) -> dict[str, pl.DataFrame]:
    parts = {key[0]: part for key, part in frame.partition_by("ticker", as_dict=True).items()}
    return {ticker: parts.get(ticker, frame.clear()) for ticker in tickers}
