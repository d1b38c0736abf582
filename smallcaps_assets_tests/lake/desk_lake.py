"""A lake of three sessions as a reader meets it: a rename, a reverse split, a reused symbol."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl

from smallcaps_assets.lake import Lake, LakeIdentity, Stamp, open_lake
from smallcaps_assets.schemas import TABLES

DAYS = (date(2024, 12, 12), date(2024, 12, 13), date(2024, 12, 16))
# OLD becomes NEW on the second day, and NEW is split 1:20 on the third; OLD is another's by then.
OWNERS = {
    DAYS[0]: {"BCpC": "figi B", "GEVO": "figi G", "OLD": "figi N"},
    DAYS[1]: {"BCpC": "figi B", "GEVO": "figi G", "NEW": "figi N"},
    DAYS[2]: {"BCpC": "figi B", "GEVO": "figi G", "NEW": "figi N", "OLD": "figi O"},
}


def desk_lake(root: Path | str) -> Lake:
    """The lake, made anew."""
    lake = open_lake(root, LakeIdentity("simulated", {}))
    for day, owners in OWNERS.items():
        key = day.isoformat()
        lake.write("tickers", key, _lists(day, owners), stamp("tickers"))
        lake.write("daily_bars", key, bars(day, *owners), stamp("daily_bars"))
        lake.write("minute_bars", key, _minutes(day, *owners), stamp("minute_bars"))
    lake.write("adjustment_factors", None, _factors(), stamp("adjustment_factors"))
    return lake


def stamp(table: str) -> Stamp:
    """A stamp of the present contract."""
    return Stamp(table, TABLES[table].version, "abc")


def bars(day: date, *tickers: str, close: float = 2.0) -> pl.DataFrame:
    """Daily bars of some tickers."""
    return pl.DataFrame({"date": day, "ticker": list(tickers)}).with_columns(
        open=1.5, high=3.0, low=1.0, close=close, volume=100.0, vwap=2.0, transactions=3
    )


def _lists(day: date, owners: dict[str, str]) -> pl.DataFrame:
    empty = ("name", "type", "primary_exchange", "cik", "composite_figi", "share_class_figi")
    return pl.DataFrame(
        {"date": day, "ticker": list(owners), "identity": list(owners.values())}
    ).with_columns(**dict.fromkeys(empty))


def _minutes(day: date, *tickers: str) -> pl.DataFrame:
    """Ninety minutes from 14:30 UTC on; the first has no vwap."""
    start = datetime(day.year, day.month, day.day, 14, 30, tzinfo=UTC)
    clock = pl.Series("window_start", [start + timedelta(minutes=n) for n in range(90)])
    grid = pl.DataFrame({"ticker": list(tickers)}).join(pl.DataFrame(clock), how="cross")
    price = 2.0 + pl.int_range(pl.len()) % 7 / 10
    return grid.with_columns(
        date=pl.lit(day), open=price, high=price + 1, low=price - 1, close=price + 0.5,
        volume=100.0 + pl.int_range(pl.len()), transactions=pl.lit(3),
        vwap=pl.when(pl.col("window_start") > start).then(price + 0.25),
    )  # fmt: skip


def _factors() -> pl.DataFrame:
    """The split, and a dividend of another company."""
    events = {
        "ticker": ["NEW", "GEVO"],
        "effective_date": [DAYS[2], DAYS[1]],
        "identity": ["figi N", "figi G"],
        "split_factor": [20.0, 1.0],
        "dividend_factor": [1.0, 0.9],
        "cash_amount": [0.0, 0.2],
        "previous_close": [None, 2.0],
    }
    return pl.DataFrame(events)
