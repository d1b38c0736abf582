"""How fast a lake of full size is read: one ticker's history, one session's minutes, SQL.

    python benchmarks/reading.py [--sessions 5541] [--tickers 12000] [--folder DIR]

Makes session files of the lake's own form (2.5 GB for all of them; kept if a folder is named) and
prints seconds beside those of a plain polars scan of the same files, measured in one run. The least
of three rounds counts; the first one of each finds the files in the page cache, as the maker left
them.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl

from smallcaps_assets import lake
from smallcaps_assets.domain.market.calendar import sessions
from smallcaps_assets.lake import Lake, LakeIdentity, Stamp, open_lake

FIRST, LAST = date(2004, 1, 2), date(2026, 1, 9)
UNIVERSE = 6_405
MINUTES = 97  # of a small cap in a session, on average
ROUNDS = 3


def main() -> None:
    """Make the files if they are not there, then measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessions", type=int, default=5541)
    parser.add_argument("--tickers", type=int, default=12_000)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = options.folder or Path(folder) / "lake"
        days = sessions(FIRST, LAST)[-options.sessions :]
        store = open_lake(root, LakeIdentity("simulated", {}))
        make(store, days, options.tickers)
        measure(store, days)


def make(store: Lake, days: list[date], count: int) -> None:
    """Lists and daily bars of every session, minutes of the last, one split."""
    rng = np.random.default_rng(7)
    names = symbols(rng, count)
    for day in days:
        key = day.isoformat()
        if not store.exists("daily_bars", key):
            store.write("tickers", key, lists(day, names), Stamp("tickers", 1, "benchmark"))
            store.write(
                "daily_bars", key, bars(rng, day, names), Stamp("daily_bars", 1, "benchmark")
            )
    minutes = minute_bars(rng, days[-1], names[:UNIVERSE])
    store.write("minute_bars", days[-1].isoformat(), minutes, Stamp("minute_bars", 1, "benchmark"))
    split = pl.DataFrame(
        {
            "ticker": "GEVO",
            "effective_date": days[len(days) // 2],
            "identity": "figi GEVO",
            "split_factor": 20.0,
            "dividend_factor": 1.0,
            "cash_amount": 0.0,
            "previous_close": None,
        }
    )
    store.write("adjustment_factors", None, split, Stamp("adjustment_factors", 1, "benchmark"))


def symbols(rng: np.random.Generator, count: int) -> list[str]:
    """Distinct symbols of four letters, GEVO among them."""
    letters = rng.choice(26**4, count, replace=False)
    made = {"".join(chr(65 + n // 26**k % 26) for k in range(4)) for n in letters}
    return sorted([*sorted(made - {"GEVO"})[: count - 1], "GEVO"])


def lists(day: date, names: list[str]) -> pl.DataFrame:
    """Everything listed on a session."""
    name = pl.col("ticker")
    fixed = {"type": "CS", "primary_exchange": "XNAS", "cik": None, "composite_figi": None}
    return pl.DataFrame({"ticker": names}).with_columns(
        pl.lit(day).alias("date"),
        (name + " Incorporated").alias("name"),
        ("figi " + name).alias("identity"),
        share_class_figi=None,
        **{column: pl.lit(value) for column, value in fixed.items()},
    )


def prices(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Prices, volumes and trades as tapes have them."""
    close = np.round(np.exp(rng.normal(2, 1, count)), 2) + 0.05
    return {
        "open": np.round(close * 0.99, 2),
        "high": np.round(close * 1.03, 2),
        "low": np.round(close * 0.97, 2),
        "close": close,
        "volume": np.round(np.exp(rng.normal(12, 2, count))),
        "vwap": np.round(close * 1.001, 4),
        "transactions": rng.integers(1, 9_999, count),
    }


def bars(rng: np.random.Generator, day: date, names: list[str]) -> pl.DataFrame:
    """Daily bars of a session."""
    return pl.DataFrame({"date": day, "ticker": names, **prices(rng, len(names))})


def minute_bars(rng: np.random.Generator, day: date, names: list[str]) -> pl.DataFrame:
    """Minute bars of a session: 620 thousand rows."""
    start = pl.datetime(day.year, day.month, day.day, 14, 30, time_zone="UTC", time_unit="ns")
    minute = pl.duration(minutes=pl.int_range(MINUTES)).alias("minute")
    grid = pl.DataFrame({"ticker": names}).join(pl.select(start + minute), how="cross")
    columns = grid.rename({grid.columns[1]: "window_start"}).to_dict(as_series=True)
    return pl.DataFrame({"date": day, **columns, **prices(rng, len(names) * MINUTES)})


def measure(store: Lake, days: list[date]) -> None:
    """The figures, each beside the plain scan of the same files."""
    daily, root, last = store.root / "raw/daily_bars/*/*.parquet", str(store.root), days[-1]
    plain = seconds(
        lambda: (
            pl.scan_parquet(str(daily), hive_partitioning=False)
            .filter(pl.col("ticker") == "GEVO")
            .collect()
        ),
        len(days),
    )
    print(f"{'one ticker, ' + str(len(days)) + ' sessions':44}{'seconds':>8}  to plain")
    show("plain polars scan of the glob", plain, plain)
    for adjusted in (False, True):
        took = seconds(
            lambda is_it=adjusted: lake.scan(
                "daily_bars", tickers=["GEVO"], adjusted=is_it, root=root
            ).collect(),
            len(days),
        )
        show(f"lake.scan, {'adjusted' if adjusted else 'as traded'}", took, plain)
    print(f"\n{'one session of minutes, all tickers':44}{'seconds':>8}  to plain")
    path = store.path("minute_bars", last.isoformat())
    rows = store.rows("minute_bars", last.isoformat())
    plain = seconds(lambda: pl.scan_parquet(str(path), hive_partitioning=False).collect(), rows)
    show("plain polars scan of the file", plain, plain)
    took = seconds(
        lambda: lake.scan("minute_bars", start=last, end=last, root=root).collect(), rows
    )
    show("lake.scan", took, plain)


def seconds(read: Callable[[], pl.DataFrame], rows: int) -> float:
    """The least time of some rounds; the rows are counted, so that nothing else is measured."""
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        found = read()
        times.append(time.perf_counter() - began)
        assert len(found) == rows, f"{len(found)} rows instead of {rows}"
    return min(times)


def show(what: str, took: float, plain: float) -> None:
    """One line of the table."""
    print(f"{what:44}{took:8.2f}  {took / plain:6.2f}")


if __name__ == "__main__":
    main()
