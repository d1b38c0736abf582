"""Tests of the mid's return after each event."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from smallcaps_assets.domain.bars.quote_features import Quotes, no_quotes
from smallcaps_assets.domain.labels.forward_mids import forward_mids
from smallcaps_assets.settings import LabelSettings

SECOND, MINUTE = 10**9, 60 * 10**9
T0 = 1_717_421_400 * SECOND


def labels(*moments: int) -> pl.DataFrame:
    """Rows of labels at nanoseconds after T0."""
    times = pl.Series([T0 + moment for moment in moments]).cast(pl.Datetime("ns", "UTC"))
    rows = pl.DataFrame({"ticker": "A", "bar_id": range(len(moments)), "t0": times})
    return rows.with_columns(date=pl.col("t0").dt.date())


def quotes(*rows: tuple[int, float, float]) -> Quotes:
    """Quotes of 100 shares at nanoseconds after T0: time, bid, ask; 0 is no side."""
    times, bids, asks = (np.array(column) for column in zip(*rows, strict=True))
    sizes = np.full(times.size, 100.0)
    return Quotes(T0 + times.astype(np.int64), bids.astype(float), sizes, asks.astype(float), sizes)


def returns(rows: pl.DataFrame) -> list[tuple[float | None, float | None]]:
    return rows.select("forward_mid_return_5m", "forward_mid_return_15m").rows()


def test_the_mid_in_force_after_the_delay_and_the_last_by_the_end() -> None:
    found = quotes(
        (0, 9.9, 10.1), (SECOND, 10.9, 11.1), (2 * SECOND, 50, 51),
        (5 * MINUTE, 21.9, 22.1), (5 * MINUTE + 1, 40, 41), (15 * MINUTE, 43.9, 44.1),
    )  # fmt: skip
    assert returns(forward_mids(labels(0), found, LabelSettings())) == [
        (pytest.approx(1.0), pytest.approx(3.0))
    ]


def test_a_quote_that_is_not_clean_is_waited_for_and_passed_over() -> None:
    found = quotes(
        (0, 9.9, 10.1), (SECOND // 2, 12, 11), (3 * SECOND, 7.9, 8.1),
        (4 * MINUTE, 15.9, 16.1), (5 * MINUTE, 0, 16.1),
    )  # fmt: skip
    assert returns(forward_mids(labels(0), found, LabelSettings()))[0][0] == pytest.approx(1.0)


def test_a_clean_quote_that_comes_after_the_end_gives_nothing() -> None:
    found = quotes((0, 12, 11), (6 * MINUTE, 9.9, 10.1), (7 * MINUTE, 19.9, 20.1))
    assert returns(forward_mids(labels(0), found, LabelSettings())) == [(None, pytest.approx(1.0))]


def test_without_quotes_all_is_null() -> None:
    assert returns(forward_mids(labels(0, MINUTE), no_quotes(), LabelSettings())) == [
        (None, None), (None, None),
    ]  # fmt: skip


def test_quotes_after_the_end_change_nothing() -> None:
    rows = [(0, 9.9, 10.1), (4 * MINUTE, 11.9, 12.1)]
    later = [*rows, (15 * MINUTE + 1, 90.0, 91.0)]
    settings = LabelSettings()
    assert forward_mids(labels(0), quotes(*rows), settings).equals(
        forward_mids(labels(0), quotes(*later), settings)
    )
