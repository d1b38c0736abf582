"""Weights of a training fold, recomputed on its rows."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
import pytest

from smallcaps_assets.domain.labels.cross_validation import PurgedKFold
from smallcaps_assets.domain.labels.folds import fold_weights, weighted_folds
from smallcaps_assets.domain.labels.weights import WeightError, time_decay
from smallcaps_assets_tests.domain.labels import brute_weights as brute

DAYS = [date(2024, 3, 4), date(2024, 3, 5)]


@pytest.fixture
def tables():
    """Rows, spans and bars of three ticker-sessions, in shuffled order."""
    rng = np.random.default_rng(4)
    rows, bars = [], []
    for n, (ticker, day) in enumerate([("A", DAYS[0]), ("A", DAYS[1]), ("B", DAYS[0])]):
        count = 20 + n
        closes = 5 * np.exp(0.01 * rng.standard_normal(count).cumsum())
        bars += [
            {"ticker": ticker, "date": day, "bar_id": i, "close": float(closes[i])}
            for i in range(count)
        ]
        for start in sorted(rng.choice(count - 6, 10, replace=False)):
            rows.append(
                {
                    "ticker": ticker,
                    "date": day,
                    "bar_id": int(start),
                    "t0": 1000 * n + int(start),
                    "t1": 1000 * n + int(start) + 3,
                    "label": int(rng.integers(-1, 2)),
                    "span_start": int(start),
                    "span_end": int(start + rng.integers(1, 6)),
                }
            )
    rng.shuffle(rows)
    return pl.DataFrame(rows), pl.DataFrame(bars).sample(fraction=1.0, shuffle=True, seed=1)


def brute_factors(rows, bars):
    """Uniqueness and attribution by ticker-session, in the order of the rows."""
    unique, attributed = {}, {}
    for key, part in rows.group_by("ticker", "date"):
        closes = bars.filter((pl.col("ticker") == key[0]) & (pl.col("date") == key[1]))
        spans = part.select("span_start", "span_end").rows()
        found = brute.weigh(spans, closes.sort("bar_id")["close"].to_list())
        for bar, u, r in zip(part["bar_id"], *found, strict=True):
            unique[(*key, bar)], attributed[(*key, bar)] = u, r
    keys = rows.select("ticker", "date", "bar_id").rows()
    return [unique[k] for k in keys], [attributed[k] for k in keys]


def test_fold_weights_given_some_rows_know_only_those(tables):
    rows, bars = tables
    part = rows.head(17)
    found = fold_weights(part, rows, 0.5, bars)
    unique, attributed = brute_factors(part, bars)
    assert found["uniqueness"].to_list() == pytest.approx(unique)
    assert found["return_attribution"].to_list() == pytest.approx(attributed)
    order = sorted(range(17), key=lambda i: part.row(i, named=True)["t0"])
    decay = time_decay(np.array(unique)[order], 0.5)
    assert found["time_decay"].gather(order).to_list() == pytest.approx(decay.tolist())
    product = np.array(attributed) * found["time_decay"].to_numpy()
    shares = found["weight"].to_numpy() / product
    for label in part["label"].unique():
        members = (part["label"] == label).to_numpy()
        assert np.ptp(shares[members]) == pytest.approx(0, abs=1e-9 * shares.max())
        total = found["weight"].to_numpy()[members].sum()
        assert total == pytest.approx(17 / part["label"].n_unique())


def test_fold_weights_without_bars_weigh_by_uniqueness(tables):
    rows, bars = tables
    found = fold_weights(rows, rows)
    assert found["uniqueness"].to_list() == pytest.approx(brute_factors(rows, bars)[0])
    assert found["return_attribution"].null_count() == rows.height
    assert found["time_decay"].unique().to_list() == [1.0]
    assert found["weight"].sum() == pytest.approx(rows.height)


def test_weighted_folds_weigh_the_purged_training_rows(tables):
    rows, _ = tables
    splitter = PurgedKFold(rows["t0"], rows["t1"], folds=3, embargo=2)
    for fold in weighted_folds(splitter, rows, rows):
        assert fold.weights.equals(fold_weights(rows[fold.train], rows))
        assert not set(fold.train) & set(fold.test)


def test_fold_weights_of_no_rows_are_none(tables):
    rows, bars = tables
    assert fold_weights(rows.clear(), rows, 1.0, bars).is_empty()
    assert fold_weights(rows.clear(), rows).is_empty()


def test_fold_weights_given_missing_spans_or_bars_name_the_row(tables):
    rows, bars = tables
    with pytest.raises(WeightError, match=r"1 rows, the first [AB]_2024-03-0\d bar \d+"):
        fold_weights(rows, rows.tail(-1))
    with pytest.raises(WeightError, match="pass all bars"):
        fold_weights(rows, rows, 1.0, bars.filter(pl.col("bar_id") < 5))
