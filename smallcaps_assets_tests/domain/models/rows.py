"""Rows of ml_dataset without a market: known features, a planted one, outcomes by a seed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from smallcaps_assets.domain.market.calendar import sessions
from smallcaps_assets.schemas.features import CATALOGUE
from smallcaps_assets.schemas.tables import TABLES
from smallcaps_assets.settings import ModelSettings

INFORMED = tuple(CATALOGUE)[:4]
"""Features with values of their own, the first of which is planted; the others are constant."""
QUICK = ModelSettings(
    train_months=1, min_rows=50, rounds=40, patience=10, targets=("sign_15m",)
)  # fmt: skip
_FILL: dict[Any, Any] = {
    pl.Float64: 1.0, pl.Int64: 1, pl.Int32: 1, pl.Int8: 1, pl.Boolean: True, pl.String: "x",
}  # fmt: skip


def dataset_rows(
    start: date = date(2024, 1, 2),
    end: date = date(2024, 4, 30),
    tickers: int = 4,
    events: int = 6,
    strength: float = 0.8,
    seed: int = 1,
    names: Sequence[str] = (),
) -> pl.DataFrame:
    """A valid ml_dataset: some events of each ticker on every session between two days.

    Tickers are T0, T1 and so on unless `names` has others. The first of INFORMED goes with the
    return of the next 15 minutes by the correlation `strength`.
    """
    random = np.random.default_rng(seed)
    days = sessions(start, end)
    keys = [
        {
            "ticker": names[ticker] if names else f"T{ticker}",
            "date": day,
            "bar_id": event,
            "t0": datetime(day.year, day.month, day.day, 15, 0, ticker, tzinfo=UTC)
            + timedelta(minutes=20 * event),
        }
        for day in days
        for ticker in range(tickers)
        for event in range(events)
    ]
    rows = pl.DataFrame(keys).with_columns(pl.col("t0").cast(pl.Datetime("ns", "UTC")))
    gain = random.standard_normal(rows.height)
    noise = random.standard_normal(rows.height)
    planted = strength * gain + np.sqrt(1 - strength**2) * noise
    told = {
        "identity": pl.col("ticker"),
        "t1": pl.col("t0") + timedelta(minutes=10),
        "label": pl.Series(np.sign(gain).astype(np.int8)),
        "label_return": pl.Series(gain / 100),
        "forward_return_5m": pl.Series(gain / 100),
        "forward_return_15m": pl.Series(gain / 100),
        "forward_mid_return_5m": pl.lit(None),
        "forward_mid_return_15m": pl.lit(None),
        "eligible_from": pl.col("t0"),
        "period": pl.lit("p"),
        INFORMED[0]: pl.Series(planted),
        **{name: pl.Series(random.standard_normal(rows.height)) for name in INFORMED[1:]},
    }
    filled = {
        name: pl.lit(_FILL[kind.base_type()]).cast(kind)
        for name, kind in TABLES["ml_dataset"].columns.items()
        if name not in told and name not in rows.columns and kind.base_type() in _FILL
    }
    others = {
        name: pl.lit(None)
        for name in TABLES["ml_dataset"].columns
        if name not in told and name not in rows.columns and name not in filled
    }
    return TABLES["ml_dataset"].conform(rows.with_columns(**filled, **others).with_columns(**told))
