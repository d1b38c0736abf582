"""A recorded market in a folder: one session of real IBM trades, and daily bars before it."""

from __future__ import annotations

import gzip
import json
from datetime import date
from pathlib import Path

import polars as pl

from smallcaps_assets.domain.market.calendar import NEW_YORK, sessions, shift_session

DAY = date(2013, 10, 7)
EARLIER_SESSIONS = 12
GOLDEN = Path(__file__).parents[1] / "golden" / "recorded" / "ibm_2013-10-07_trades.parquet"
# What opens the selection to a quiet large company, and barriers that it touches.
OPENED = {
    "selection.min_relative_volume": "0",
    "selection.min_change": "0",
    "selection.max_price": "1000",
    "selection.min_dollar_volume": "0",
    "labels.take_profit": "0.003",
    "labels.stop_loss": "0.002",
}
_BARS = [
    pl.col("size").sum().alias("volume"),
    pl.col("price").first().alias("open"),
    pl.col("price").last().alias("close"),
    pl.col("price").max().alias("high"),
    pl.col("price").min().alias("low"),
]
_AGGREGATE = ["ticker", "volume", "open", "close", "high", "low", "window_start", "transactions"]


def place(folder: Path, data_set: str, day: date) -> Path:
    """Where a flat file lies."""
    name = f"{day.year}/{day.month:02d}/{day}.csv.gz"
    return folder / "us_stocks_sip" / data_set / name


def write_recording(folder: Path) -> Path:
    """The whole market; returns its folder."""
    trades = ibm_trades()
    _write(place(folder, "trades_v1", DAY), trades)
    _write(place(folder, "minute_aggs_v1", DAY), _minutes(trades))
    for day in sessions(shift_session(DAY, -EARLIER_SESSIONS), DAY):
        _write(place(folder, "day_aggs_v1", day), _day(trades, day))
    company = {"ticker": "IBM", "name": "International Business Machines", "type": "CS"}
    listing = {"primary_exchange": "XNYS", "market": "stocks", "locale": "us", "active": True}
    reference = folder / "reference"
    reference.mkdir()
    (reference / "tickers.json").write_text(json.dumps([company | listing]))
    for name in ("splits", "dividends"):
        (reference / f"{name}.json").write_text("[]")
    return folder


def ibm_trades() -> pl.DataFrame:
    """The recorded trades in the columns of a flat file."""
    stored = pl.read_parquet(GOLDEN).with_row_index("row", offset=1)
    when = pl.col("sip_milliseconds").cast(pl.Int64) * 1_000_000
    return stored.select(
        ticker=pl.lit("IBM"),
        conditions="conditions",
        correction=pl.lit(0),
        exchange="exchange",
        id="row",
        participant_timestamp=when,
        price="price",
        sequence_number="row",
        sip_timestamp=when,
        size="size",
        tape="tape",
        trf_id=pl.lit(0),
        trf_timestamp=pl.lit(0),
    )


def _minutes(trades: pl.DataFrame) -> pl.DataFrame:
    minute = pl.col("sip_timestamp") // 60_000_000_000 * 60_000_000_000
    bars = trades.group_by(minute.alias("window_start"), maintain_order=True).agg(_BARS)
    return _aggregate(bars)


def _day(trades: pl.DataFrame, day: date) -> pl.DataFrame:
    midnight = pl.lit(day).cast(pl.Datetime("ns")).dt.replace_time_zone(str(NEW_YORK))
    bar = trades.select(*_BARS, window_start=midnight.cast(pl.Int64))
    return _aggregate(bar)


def _aggregate(bars: pl.DataFrame) -> pl.DataFrame:
    absent = pl.lit(None, pl.Int64).alias("transactions")
    return bars.with_columns(pl.lit("IBM").alias("ticker"), absent).select(_AGGREGATE)


def _write(path: Path, frame: pl.DataFrame) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(frame.write_csv().encode(), mtime=0))
