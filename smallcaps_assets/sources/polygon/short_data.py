"""Polygon's short interest and short volume, both reported by FINRA.

When they were known is not in them: short interest is published seven business days after its
settlement date, short volume in the evening of its day. FINRA's own files are in `finra.py`.
"""

from __future__ import annotations

from datetime import date
from typing import Any

import polars as pl

from smallcaps_assets.sources.http.transport import Transport
from smallcaps_assets.sources.polygon.lists import ListEndpoint

SHORT_INTEREST: dict[str, Any] = {
    "settlement_date": pl.Date,
    "ticker": pl.String,
    "short_interest": pl.Float64,
    "avg_daily_volume": pl.Float64,
    "days_to_cover": pl.Float64,
}
SHORT_VOLUME: dict[str, Any] = {
    "date": pl.Date,
    "ticker": pl.String,
    "short_volume": pl.Float64,
    "short_volume_ratio": pl.Float64,
    "total_volume": pl.Float64,
    "exempt_volume": pl.Float64,
    "non_exempt_volume": pl.Float64,
    "adf_short_volume": pl.Float64,
    "adf_short_volume_exempt": pl.Float64,
    "nasdaq_carteret_short_volume": pl.Float64,
    "nasdaq_carteret_short_volume_exempt": pl.Float64,
    "nasdaq_chicago_short_volume": pl.Float64,
    "nasdaq_chicago_short_volume_exempt": pl.Float64,
    "nyse_short_volume": pl.Float64,
    "nyse_short_volume_exempt": pl.Float64,
}
_INTEREST = ListEndpoint(
    "/stocks/v1/short-interest",
    SHORT_INTEREST,
    ("settlement_date", "ticker"),
    "settlement_date",
    50_000,
)
_VOLUME = ListEndpoint("/stocks/v1/short-volume", SHORT_VOLUME, ("date", "ticker"), "date", 50_000)


class ShortData:
    """The short endpoints over one transport."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def interest(self, start: date, end: date, ticker: str | None = None) -> pl.DataFrame:
        """SHORT_INTEREST of one ticker, or all, settled from `start` to `end`, in shares."""
        return _INTEREST.ask(self._transport, ticker, (start, end))

    def volume(self, start: date, end: date, ticker: str | None = None) -> pl.DataFrame:
        """SHORT_VOLUME of one ticker, or all, from `start` to `end`.

        Shares reported off exchange (TRF and ADF), not those of the exchanges;
        `short_volume_ratio` in percent.
        """
        return _VOLUME.ask(self._transport, ticker, (start, end))
