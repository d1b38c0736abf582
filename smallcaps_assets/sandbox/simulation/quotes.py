"""The quotes around a ticker-session's trades: the best bid and offer at which they print.

A quote comes shortly before a trade whose price is new, and before some others; a trade prints at
the bid, at the offer or between them. Trades that need not respect quotes (averages, derivative
prices, late reports) make none. What the trades are is decided in tape.py.
"""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl

from smallcaps_assets.sandbox.market import QUOTE_SCHEMA
from smallcaps_assets.sandbox.randomness import mix, uniforms

STREAM_QUOTES = 501
# Sizes in shares from here on, in round lots before: the vendor changed, and does not say when.
SHARES_FROM = date(2025, 11, 3)
ROUND_LOT = 100
REFRESHED = 0.3  # share of trades at an old price that a new quote precedes
_UNQUOTED = ("2", "2,12", "10", "32")
_VENUES = np.array([12, 11, 8, 19, 7, 18, 15, 21, 20, 2, 10], dtype=np.int64)


def quote_frame(seed: int, number: int, day: date, trades: pl.DataFrame) -> pl.DataFrame:
    """QUOTE_SCHEMA of a ticker-session from its trades; `number` is that of the listing."""
    quoted = trades.filter(
        ~pl.col("conditions").is_in(_UNQUOTED).fill_null(False) & (pl.col("correction") == 0)
    )
    key = mix(seed, STREAM_QUOTES, number, day.toordinal())
    counters = quoted["sequence_number"].to_numpy().astype(np.uint64)
    draws = [uniforms(mix(key, k), counters) for k in range(4)]
    price = np.rint(quoted["price"].to_numpy() * 10_000).astype(np.int64)
    is_new = np.ones(len(price), dtype=bool)
    is_new[1:] = price[1:] != price[:-1]
    chosen = is_new | (draws[0] < REFRESHED)
    u = [draw[chosen] for draw in draws]
    bid, ask = _sides(price[chosen], u[1], u[2])
    sip = _before(quoted["sip_timestamp"].to_numpy()[chosen], u[3])
    return _frame(quoted["ticker"].filter(pl.Series(chosen)), sip, bid, ask, u, day, quoted)


def _sides(price: np.ndarray, side: np.ndarray, width: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bid and ask in 1e-4 dollars, whole cents above a dollar, the bid always the lower."""
    unit = np.where(price >= 10_000, 100, 1)
    low = price // unit * unit
    high = -(-price // unit) * unit
    gap = (1 + (3 * width * width).astype(np.int64)) * unit
    bid = np.where(side < 0.45, np.minimum(low, high - gap), low)
    ask = np.where(side < 0.45, high, np.maximum(high, low + gap))
    is_between = side > 0.9
    return np.where(is_between, low - unit, bid), np.where(is_between, high + unit, ask)


def _before(sip: np.ndarray, draw: np.ndarray) -> np.ndarray:
    """Instants up to 0.2 ms before the trades, but never before the trade before."""
    stamps = sip - 1 - (draw * 200_000).astype(np.int64)
    stamps[1:] = np.maximum(stamps[1:], sip[:-1])
    return stamps


def _sizes(draw: np.ndarray, day: date) -> np.ndarray:
    lots = 1 + (19 * draw * draw * draw).astype(np.int64)
    return (lots * (ROUND_LOT if day >= SHARES_FROM else 1)).astype(np.float64)


def _frame(
    ticker: pl.Series,
    sip: np.ndarray,
    bid: np.ndarray,
    ask: np.ndarray,
    u: list[np.ndarray],
    day: date,
    trades: pl.DataFrame,
) -> pl.DataFrame:
    count = len(sip)
    # The day's first quote is one-sided: somebody offers before anybody bids.
    has_bid = pl.Series(np.arange(count) > 0)
    steps = 1 + (31 * u[3]).astype(np.int64)
    frame = pl.DataFrame(
        {
            "ticker": ticker,
            "ask_exchange": _VENUES[(u[1] * len(_VENUES)).astype(np.int64)],
            "ask_price": ask / 10_000.0,
            "ask_size": _sizes(u[2], day),
            "bid_exchange": _VENUES[(u[2] * len(_VENUES)).astype(np.int64)],
            "bid_price": bid / 10_000.0,
            "bid_size": _sizes(u[3], day),
            "conditions": pl.repeat("1", count, dtype=pl.String, eager=True),
            "indicators": pl.Series(["604" if x > 0.98 else None for x in u[1]], dtype=pl.String),
            "participant_timestamp": sip - 120_000 - (u[2] * 400_000).astype(np.int64),
            "sequence_number": 2_000 + np.cumsum(steps),
            "sip_timestamp": sip,
            "tape": pl.repeat(trades["tape"][0] if count else 3, count, dtype=pl.Int64, eager=True),
        }
    )
    bids = [pl.when(has_bid).then(c).alias(c) for c in ("bid_exchange", "bid_price", "bid_size")]
    nothing = pl.lit(None, pl.Int64).alias("trf_timestamp")
    return frame.with_columns(*bids, nothing).select(
        pl.col(name).cast(dtype) for name, dtype in QUOTE_SCHEMA.items()
    )
