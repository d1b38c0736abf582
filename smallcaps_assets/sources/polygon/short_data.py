"""Polygon's short interest and short volume, both reported by FINRA.

When they were known is not in them: short interest is published seven business days after its
settlement date, short volume in the evening of its day. FINRA's own files are in `finra.py`.
"""

from __future__ import annotations

from typing import Any

import polars as pl

from smallcaps_assets.sources.polygon.lists import ListEndpoint

_INTEREST: dict[str, Any] = {
    "settlement_date": pl.Date,
    "ticker": pl.String,
    "short_interest": pl.Float64,
    "avg_daily_volume": pl.Float64,
    "days_to_cover": pl.Float64,
}
_VOLUME: dict[str, Any] = {
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
SHORT_INTEREST = ListEndpoint(
    "/stocks/v1/short-interest",
    _INTEREST,
    ("settlement_date", "ticker"),
    "settlement_date",
    50_000,
)
SHORT_VOLUME = ListEndpoint("/stocks/v1/short-volume", _VOLUME, ("date", "ticker"), "date", 50_000)
