"""Small tapes for tests of ticks, bars, labels and weights."""

from __future__ import annotations

from datetime import date, time
from pathlib import Path

import polars as pl

from smallcaps_assets.domain.market.calendar import new_york_ns, session_hours
from smallcaps_assets.domain.ticks.tape import prepare_ticks
from smallcaps_assets.schemas import TABLES
from smallcaps_assets.settings import Settings

DAY = date(2021, 2, 5)
EARLY_DAY = date(2020, 11, 27)
SECOND = 1_000_000_000
SETTINGS = Settings()
# What each condition id means, told apart from the shipped table: `sip` is the code of the CTA and
# UTP specifications, `updates` whether it moves high and low, open and close, volume there.
CONDITIONS = pl.read_csv(Path(__file__).parents[1] / "golden" / "trade_conditions.csv")


def at(clock: str, day: date = DAY) -> int:
    """UTC nanoseconds of a New York time such as 09:30:00 or 09:30:00.5."""
    whole, _, fraction = clock.partition(".")
    return new_york_ns(day, time.fromisoformat(whole)) + int(float("0." + (fraction or "0")) * 1e9)


def trade(when, price=10.0, size=100.0, conditions=(), **columns):
    """One trade as a dictionary; `when` is a clock or nanoseconds."""
    return {"when": when, "price": price, "size": size, "conditions": list(conditions)} | columns


def trades(rows, day: date = DAY, ticker: str = "AAME") -> pl.DataFrame:
    """A trades frame; sequence numbers and ids count up in the order given."""
    full = [
        {
            "ticker": ticker,
            "date": day,
            "sip_timestamp": at(r["when"], day) if isinstance(r["when"], str) else r["when"],
            "sequence_number": n,
            "exchange": 12,
            "trf_id": 0,
            "id": str(n),
            "participant_timestamp": None,
            "correction": 0,
            "tape": 3,
            "trf_timestamp": None,
        }
        | r
        for n, r in enumerate(rows)
    ]
    raw = {
        name: pl.Int64() if isinstance(dtype, pl.Datetime) else dtype
        for name, dtype in TABLES["trades"].columns.items()
    }
    frame = pl.DataFrame([{n: row[n] for n in raw} for row in full], schema=raw)
    return frame.select(pl.col(n).cast(t) for n, t in TABLES["trades"].columns.items())


def tape_of(rows, day: date = DAY, settings=SETTINGS.ticks, halts=None):
    """The tape of some trades."""
    return prepare_ticks(trades(rows, day), session_hours(day), settings, halts, "AAME")


def walk(prices, start="10:00:00", step=SECOND, size=100.0, day: date = DAY):
    """Trades at equal steps."""
    first = at(start, day)
    return [trade(first + n * step, price, size) for n, price in enumerate(prices)]


def halts_frame(*intervals, day: date = DAY) -> pl.DataFrame:
    """A halts feed from (start, end) clocks; end None: not resumed."""
    rows = [(at(a, day), None if b is None else at(b, day)) for a, b in intervals]
    frame = pl.DataFrame(rows, {"halt_start": pl.Int64, "halt_end": pl.Int64}, orient="row")
    return frame.cast(pl.Datetime("ns", "UTC"))
