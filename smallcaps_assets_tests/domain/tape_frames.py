"""Hand-made tapes and the bars cut from them, for the tests of features and dataset.

Bars are cut at given ticks, by plain Python, so that no kernel is needed. No test belongs here.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from smallcaps_assets.domain.market.calendar import SessionHours, session_hours
from smallcaps_assets.schemas.table import INSTANT
from smallcaps_assets.schemas.tables import TABLES
from smallcaps_assets_tests.domain.market_frames import DAY

HOURS = session_hours(DAY)
TICK_SCHEMA = {
    "sip_timestamp": INSTANT,
    "price": pl.Float64,
    "size": pl.Float64,
    "is_price_forming": pl.Boolean,
    "is_auction": pl.Boolean,
    "is_off_exchange": pl.Boolean,
    "segment": pl.String,
    "block": pl.Int32,
    "sign": pl.Int8,
}


def at(seconds: float) -> datetime:
    """The instant `seconds` after 09:30."""
    return datetime.fromtimestamp(HOURS.open / 1e9, UTC) + timedelta(seconds=seconds)


def tick(seconds: float, price: float, size: float = 100.0, **values: Any) -> dict[str, Any]:
    return {
        "sip_timestamp": at(seconds),
        "price": float(price),
        "size": float(size),
        "is_price_forming": True,
        "is_auction": False,
        "is_off_exchange": False,
        "segment": "premarket" if seconds < 0 else "regular",
        "block": 0,
        "sign": 1,
        **values,
    }


def tape(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=TICK_SCHEMA)


def halts(*known: float) -> pl.DataFrame:
    """A halts frame known so many seconds after 09:30."""
    return pl.DataFrame({"known_at": [at(s) for s in known]}, schema={"known_at": INSTANT})


def cut(
    ticks: pl.DataFrame,
    lasts: list[int],
    reasons: dict[int, str] | None = None,
    hours: SessionHours = HOURS,
) -> pl.DataFrame:
    """Bars that end at the ticks `lasts`; `reasons` by bar_id, threshold unless given."""
    rows, first, price = [], 0, ticks["price"][0]
    for bar_id, last in enumerate(lasts):
        part = ticks[first : last + 1]
        forming = part.filter("is_price_forming")["price"].to_list() or [price]
        price = forming[-1]
        rows.append(_bar(part, forming, bar_id, first, last, (reasons or {}).get(bar_id)))
        first = last + 1
    return pl.DataFrame(rows, schema=TABLES["dollar_imbalance_bars"].columns).with_columns(
        date=pl.lit(hours.date)
    )


def _bar(
    part: pl.DataFrame, forming: list[float], bar_id: int, first: int, last: int, reason: str | None
) -> dict[str, Any]:
    volume = part["size"].sum()
    dollars = (part["price"] * part["size"]).sum()
    buys = part.filter(pl.col("sign") > 0)["size"].sum()
    sells = part.filter(pl.col("sign") < 0)["size"].sum()
    return {
        **dict.fromkeys(TABLES["dollar_imbalance_bars"].columns),
        "ticker": "A",
        "date": DAY,
        "bar_id": bar_id,
        "source": "trades",
        "first_tick": first,
        "last_tick": last,
        "open_timestamp": part["sip_timestamp"][0],
        "close_timestamp": part["sip_timestamp"][-1],
        "known_at": part["sip_timestamp"][-1],
        "segment": part["segment"][-1],
        "reason": reason or "threshold",
        "open": forming[0],
        "high": max(forming),
        "low": min(forming),
        "close": forming[-1],
        "vwap": dollars / volume,
        "volume": volume,
        "dollar_volume": dollars,
        "ticks": part.height,
        "buy_volume": buys,
        "sell_volume": sells,
        "unsigned_volume": volume - buys - sells,
        "theta": (part["price"] * part["size"] * part["sign"]).sum(),
        "threshold": 50_000.0,
        "is_clamped": False,
    }
