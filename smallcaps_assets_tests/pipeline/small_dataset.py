"""A lake of some ticker-sessions from their trades' sums to their weights, without any market."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from smallcaps_assets.lake import Stamp
from smallcaps_assets.pipeline.workspace import Workspace
from smallcaps_assets.schemas import TABLES
from smallcaps_assets_tests.domain.market_frames import DAY, frame
from smallcaps_assets_tests.domain.test_dataset import (
    event,
    features,
    labels,
    quotes,
    registry,
    weights,
)
from smallcaps_assets_tests.pipeline.bench import workspace

EARLIER = date(2024, 5, 2)
EVENTS = [
    event("A", 0, "09:40", 1),
    event("A", 1, "10:00", -1),
    event("B", 0, "10:10", 0),
    event("A", 0, "10:30", 1, day=EARLIER),
]
KEYS = (f"A_{EARLIER}", f"A_{DAY}", f"B_{DAY}")
ONE = ({"name": "p", "start": str(DAY)},)
SHARES, PRICE = 1_000_000.0, 5.0


def work_on(root: Path, periods: Any = ONE) -> Workspace:
    """A workspace over a lake with these periods."""
    days = {"start": "2024-04-22", "end": "2024-05-10"}
    return workspace(root, sandbox=days, dataset={"periods": periods})


def fill(work: Workspace, events: list[dict] = EVENTS, shares: dict[str, float] | None = None):
    """Store the ticker-sessions of some events; `shares` traded by key replace a whole day's."""
    traded = dict.fromkeys(KEYS, SHARES) | (shares or {})
    put(work, "ticker_sessions", None, registry(EVENTS))
    for day in (EARLIER, DAY):
        put(work, "session_summary", day.isoformat(), summary(day))
    for key in KEYS:
        ticker, _, day = key.rpartition("_")
        own = [e for e in events if (e["ticker"], str(e["date"])) == (ticker, day)]
        put(work, "trades", key, trades(ticker, date.fromisoformat(day), traded[key]))
        put(work, "bar_features", key, features(own))
        put(work, "quote_features", key, quotes(own))
        put(work, "triple_barrier_labels", key, whole_labels(own))
        put(work, "sample_weights", key, weights(own))


def put(work: Workspace, table: str, key: str | None, rows: pl.DataFrame) -> None:
    """Store a partition as this workspace would stamp it."""
    made = Stamp(table, TABLES[table].version, work.settings.digest(TABLES[table].settings))
    work.lake.write(table, key, rows, made)


def whole_labels(events: list[dict]) -> pl.DataFrame:
    """Labels with the columns that the dataset doesn't take."""
    barriers = {"take_profit": 0.15, "stop_loss": 0.1, "path_ticks": 1}
    flags = {"has_path": True, "is_ambiguous": False}
    fixed = (pl.lit(value).alias(name) for name, value in {**barriers, **flags}.items())
    return labels(events).with_columns(pl.col("t1").alias("vertical_barrier"), *fixed)


def summary(day: date) -> pl.DataFrame:
    """The day's figures of both tickers; there are no minutes."""
    rows = [{"ticker": ticker, "identity": f"FIGI-{ticker}"} for ticker in ("A", "B")]
    prices = dict.fromkeys(("high", "low", "close"), PRICE)
    sources = {"close_source": "daily", "volume_source": "daily"}
    dollars = {"dollar_volume": SHARES * PRICE, "dollar_volume_source": "daily_vwap"}
    return frame("session_summary", rows, date=day, volume=SHARES, **prices, **sources, **dollars)


def trades(ticker: str, day: date, shares: float) -> pl.DataFrame:
    """One trade of so many shares; none of none."""
    moment = {"sip_timestamp": event(ticker, 0, "09:35", day=day)["t0"], "sequence_number": 1}
    rows = [{"ticker": ticker, "date": day, "id": "1", "size": shares, **moment}] if shares else []
    fixed = {"exchange": 4, "trf_id": 0, "correction": 0, "tape": 3, "conditions": []}
    return frame("trades", rows, price=PRICE, **fixed)
