"""FINRA's daily short volume files: rows out of a session's bars, and the file's text.

Off-exchange volume of regular hours, in SIP spelling, with the record count as last line.
"""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl

from smallcaps_assets.sandbox.randomness import mix, uniforms
from smallcaps_assets.sandbox.simulation.companies import TEST_TICKERS

STREAM_SHORT = 401
HEADER = "Date|Symbol|ShortVolume|ShortExemptVolume|TotalVolume|Market"
FRACTIONAL_FROM = date(2026, 2, 23)
FACILITIES = {"FNSQ": "Q", "FNQC": "B", "FNYX": "N", "FNRA": "D", "FORF": "O"}
_SHARES = {"FNSQ": 0.7, "FNQC": 0.05, "FNYX": 0.25}
ACCESS_DENIED = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
)


def sip_symbol(ticker: str) -> str:
    """The vendor's `BRK.A` as the SIP writes it, `BRK/A`; preferred series keep their `p`."""
    return ticker.replace(".", "/")


def short_volume_frame(seed: int, day: date, bars: pl.DataFrame) -> pl.DataFrame:
    """FINRA's rows from daily bars that carry `off_exchange` shares, `change`, `is_restricted`.

    Shorts sell into a rise, and sell less where rule 201 makes them wait for an uptick.
    """
    rows = bars.filter((pl.col("off_exchange") >= 1) & ~pl.col("ticker").is_in(TEST_TICKERS))
    names = rows["ticker"].to_list()
    key = mix(seed, STREAM_SHORT, day.toordinal())
    draws = uniforms(key, np.array([mix(*name.encode()) for name in names], dtype=np.uint64))
    places = 6 if day >= FRACTIONAL_FROM else 0
    total = np.round(rows["off_exchange"].to_numpy(), places)
    rise = np.clip(rows["change"].to_numpy(), 0.0, 1.0)
    share = (0.22 + 0.45 * draws + 0.15 * rise) * np.where(rows["is_restricted"], 0.65, 1.0)
    short = np.round(total * share, places)
    frame = pl.DataFrame(
        {
            "Symbol": [sip_symbol(name) for name in names],
            "ShortVolume": short,
            "ShortExemptVolume": np.round(short * 0.02 * draws, places),
            "TotalVolume": total,
            "Market": np.where(draws < 0.8, "B,Q,N", "Q,N"),
        },
        schema_overrides={"Symbol": pl.String, "Market": pl.String},
    )
    stamp = pl.lit(day.strftime("%Y%m%d")).alias("Date")
    return frame.select(stamp, pl.all()).sort("Symbol")


def facility_frame(frame: pl.DataFrame, facility: str) -> pl.DataFrame:
    """A facility's part of the day's rows; the ADF and the ORF have none."""
    letter, share = FACILITIES[facility], _SHARES.get(facility, 0.0)
    volumes = pl.col("ShortVolume", "ShortExemptVolume", "TotalVolume")
    own = frame.filter(pl.col("Market").str.contains(letter, literal=True))
    parts = own.with_columns((volumes * share).floor(), pl.lit(letter).alias("Market"))
    return parts.filter(pl.col("TotalVolume") >= 1)


def file_text(frame: pl.DataFrame, day: date) -> str:
    """The daily file: header, rows, bare record count."""
    volumes = pl.col("ShortVolume", "ShortExemptVolume", "TotalVolume")
    if day >= FRACTIONAL_FROM:
        body = frame.write_csv(separator="|", include_header=False, float_precision=6)
    else:
        whole = frame.with_columns(volumes.cast(pl.Int64))
        body = whole.write_csv(separator="|", include_header=False)
    return f"{HEADER}\n{body}{frame.height}\n"
