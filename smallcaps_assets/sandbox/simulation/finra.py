"""Short data: FINRA's daily files of short volume, and the vendor's tables made of them.

The files hold off-exchange volume of regular hours, in SIP spelling, with the record count as last
line. Short interest follows from the daily volumes, twice a month; a settlement date's rows are
there when FINRA would have published them, seven business days later.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

import numpy as np
import polars as pl

from smallcaps_assets.domain.market.calendar import sessions, shift_session
from smallcaps_assets.sandbox.market import Row
from smallcaps_assets.sandbox.randomness import mix, uniform, uniforms
from smallcaps_assets.sandbox.simulation.companies import TEST_TICKERS

STREAM_SHORT, STREAM_INTEREST, STREAM_VENUES = 401, 511, 512
PUBLISHED_AFTER = 7
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


def short_volume_rows(seed: int, day: date, finra: pl.DataFrame) -> list[Row]:
    """Rows of /stocks/v1/short-volume, by ticker, from FINRA's rows of the day."""
    rows = [_volume_row(seed, day, row) for row in finra.iter_rows(named=True)]
    return sorted(rows, key=lambda row: row["ticker"])


def _volume_row(seed: int, day: date, row: Row) -> Row:
    ticker = row["Symbol"].replace("/", ".")
    short, exempt, total = row["ShortVolume"], row["ShortExemptVolume"], row["TotalVolume"]
    u = uniform(seed, STREAM_VENUES, day.toordinal(), *ticker.encode())
    chicago = 0.02 if "B" in row["Market"] else 0.0
    shares = {"nasdaq_chicago": chicago, "nyse": 0.15 + 0.2 * u}
    venues: Row = {"adf_short_volume": 0, "adf_short_volume_exempt": 0}
    rest, rest_exempt = round(short), round(exempt)
    for venue, share in shares.items():
        volume, part = int(short * share), int(exempt * share)
        venues |= {f"{venue}_short_volume": volume, f"{venue}_short_volume_exempt": part}
        rest, rest_exempt = rest - volume, rest_exempt - part
    venues |= {
        "nasdaq_carteret_short_volume": rest,
        "nasdaq_carteret_short_volume_exempt": rest_exempt,
    }
    return venues | {
        "ticker": ticker,
        "date": day.isoformat(),
        "short_volume": short,
        "short_volume_ratio": round(100 * short / total, 2) if total else 0.0,
        "total_volume": total,
        "exempt_volume": exempt,
        "non_exempt_volume": round(short - exempt, 6),
    }


def settlement_dates(first: date, last: date) -> list[date]:
    """FINRA's settlement dates: the 15th and the month's last day, or the session before."""
    found = set()
    month = first.replace(day=1)
    while month <= last:
        following = (month + timedelta(31)).replace(day=1)
        for day in (month.replace(day=15), following - timedelta(1)):
            found.add(sessions(day - timedelta(7), day)[-1])
        month = following
    return sorted(day for day in found if first <= day <= last)


def short_interest_rows(
    seed: int, days: Sequence[date], volumes: pl.DataFrame, caps: dict[str, float]
) -> list[Row]:
    """Rows of /stocks/v1/short-interest, by settlement date and ticker.

    volumes: `date`, `ticker`, `volume` of all sessions. caps: the most shares that can be short.
    """
    rows: list[Row] = []
    previous = days[0] - timedelta(1)
    for day in settlement_dates(days[0], days[-1]):
        if shift_session(day, PUBLISHED_AFTER) > days[-1]:
            break
        span = volumes.filter(pl.col("date").is_between(previous, day, closed="right"))
        count = len(sessions(previous + timedelta(1), day))
        totals = span.group_by("ticker").agg(pl.col("volume").sum()).sort("ticker")
        for ticker, volume in totals.iter_rows():
            rows.append(_interest_row(seed, day, ticker, volume / count, caps.get(ticker)))
        previous = day
    return rows


def _interest_row(seed: int, day: date, ticker: str, mean: float, cap: float | None) -> Row:
    # A level of the ticker's own, and some change from one date to the next.
    level = uniform(seed, STREAM_INTEREST, mix(*ticker.encode()))
    change = uniform(seed, STREAM_INTEREST, mix(*ticker.encode()), day.toordinal())
    interest = mean * (0.4 + 5.5 * level * level) * (0.85 + 0.3 * change)
    interest = round(min(interest, cap if cap is not None else interest))
    average = max(round(mean), 1)
    return {
        "ticker": ticker,
        "settlement_date": day.isoformat(),
        "short_interest": interest,
        "avg_daily_volume": average,
        "days_to_cover": max(1.0, round(interest / average, 2)),
    }
