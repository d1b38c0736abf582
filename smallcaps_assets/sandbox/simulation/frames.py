"""From tape rows and bar rows (integer arrays) to the frames of market.py.

Units change here: 1e-4 dollars to dollars, 1e-6 shares to shares. Nothing is generated here.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from smallcaps_assets.sandbox.simulation import bars as b
from smallcaps_assets.sandbox.simulation import conditions as c
from smallcaps_assets.sandbox.simulation.conditions import CONDITION_TEXT

TRF_NASDAQ_CARTERET = 202
_CONDITIONS = pl.Series("conditions", [text or None for text in CONDITION_TEXT], dtype=pl.String)


def bar_frame(ticker: pl.Series | str, rows: np.ndarray, vwaps: np.ndarray) -> pl.DataFrame:
    """Frame of bar rows; `ticker` is one name for all rows or a column."""
    prices = rows / 10_000.0
    frame = pl.DataFrame(
        {
            "volume": rows[:, b.B_VOLUME] / 1_000_000.0,
            "open": prices[:, b.B_OPEN],
            "close": prices[:, b.B_CLOSE],
            "high": prices[:, b.B_HIGH],
            "low": prices[:, b.B_LOW],
            "window_start": np.ascontiguousarray(rows[:, b.B_START]),
            "transactions": np.ascontiguousarray(rows[:, b.B_COUNT]),
            "vwap": np.round(vwaps / 10_000.0, 4),
        }
    )
    name = pl.lit(ticker) if isinstance(ticker, str) else ticker
    return frame.select(name.alias("ticker"), pl.all())


def trade_frame(ticker: str, rows: np.ndarray, number: int, tape_letter: int) -> pl.DataFrame:
    """Frame of a ticker-session's tape rows. `number` makes trade ids differ between listings."""
    off_exchange = pl.col("exchange") == 4
    frame = pl.DataFrame(
        {
            "code": rows[c.CODE].astype(np.uint32),
            "correction": rows[c.CORRECTION],
            "exchange": rows[c.EXCHANGE],
            "participant_timestamp": rows[c.PARTICIPANT],
            "price": rows[c.PRICE] / 10_000.0,
            "sequence_number": rows[c.SEQUENCE],
            "sip_timestamp": rows[c.SIP],
            "size": rows[c.SIZE] / 1_000_000.0,
            "trf_timestamp": rows[c.TRF_TIME],
        }
    )
    first_id = 52_900_000_000_000 + (number % 1_000_000) * 1_000_000
    return frame.select(
        pl.lit(ticker).alias("ticker"),
        _CONDITIONS.gather(frame["code"]).alias("conditions"),
        "correction",
        "exchange",
        (pl.int_range(pl.len()) + first_id).cast(pl.String).alias("id"),
        "participant_timestamp",
        "price",
        "sequence_number",
        "sip_timestamp",
        "size",
        pl.lit(tape_letter, dtype=pl.Int64).alias("tape"),
        pl.when(off_exchange).then(TRF_NASDAQ_CARTERET).cast(pl.Int64).alias("trf_id"),
        pl.when(off_exchange).then("trf_timestamp").alias("trf_timestamp"),
    )
