"""The oracle: what it states is what happens, and without an edge it states nothing."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
import pytest

from smallcaps_assets.domain.evaluation import auc
from smallcaps_assets.sandbox import SandboxConfig, SimulatedMarket
from smallcaps_assets.sandbox.simulation import tape as t
from smallcaps_assets.sandbox.simulation.oracle import foretold, oracle
from smallcaps_assets.sandbox.simulation.plan import Kind

SPAN = {"tickers": 60, "start": date(2024, 10, 1), "end": date(2024, 11, 15), "pump_days": 80}


def _told(edge: float) -> pl.DataFrame:
    market = SimulatedMarket(SandboxConfig(season=34, edge=edge, **SPAN))
    by_number = {listing.number: listing for listing in market.listings}
    rows = []
    for (number, s), kind in market.wild_days.items():
        if kind is Kind.NEWS:  # whose shocks nobody can foretell
            continue
        listing, day = by_number[number], market.sessions[s]
        hours = market.hours(day)
        at = np.arange(hours[1] + 20 * t.MINUTE, hours[2] - 16 * t.MINUTE, 15 * t.MINUTE)
        ticker = listing.ticker_on(day) or ""
        rows.append(pl.DataFrame({"ticker": ticker, "date": day, "t0": at}))
    frame = pl.concat(rows).with_columns(pl.col("t0").cast(pl.Datetime("ns", "UTC")))
    told = foretold(market, frame)
    return told.filter(pl.col("mid_return").is_finite() & (pl.col("mid_return") != 0))


@pytest.fixture(scope="module")
def easy() -> pl.DataFrame:
    return _told(3.0)


def test_probabilities_are_those_of_what_happens(easy: pl.DataFrame) -> None:
    up = (easy["mid_return"] > 0).to_numpy()
    p = easy["p_up"].to_numpy()
    for low, high in ((0.0, 0.4), (0.4, 0.6), (0.6, 1.0)):
        part = (p >= low) & (p < high)
        error = np.sqrt(0.25 / part.sum())
        assert part.sum() > 50
        assert up[part].mean() == pytest.approx(p[part].mean(), abs=3.5 * error)


def _slope(stated: np.ndarray, realised: np.ndarray, clusters: np.ndarray) -> tuple[float, float]:
    """Slope of realised on stated means through the origin, and its clustered standard error."""
    squares = (stated * stated).sum()
    slope = (stated * realised).sum() / squares
    moved = np.bincount(clusters, stated * (realised - slope * stated))
    return float(slope), float(np.sqrt((moved**2).sum()) / squares)


def test_means_are_those_of_what_happens(easy: pl.DataFrame) -> None:
    """Realised means lie on the stated ones; overstated by a third they would not."""
    stated, realised = (easy[name].to_numpy() for name in ("mean", "mid_return"))
    clusters = easy.select(pl.struct("ticker", "date").rank("dense")).to_series().to_numpy()
    # In deviations, so that calm and wild hours weigh the same.
    deviation = easy["deviation"].to_numpy()
    stated, realised = stated / deviation, realised / deviation
    slope, error = _slope(stated, realised, clusters)
    assert error < 0.1
    assert abs(slope - 1) < 2.5 * error
    slope, error = _slope(stated * 4 / 3, realised, clusters)
    assert abs(slope - 1) > 2.5 * error


def test_more_edge_is_easier_and_the_hidden_state_helps_little(easy: pl.DataFrame) -> None:
    up = (easy["mid_return"] > 0).to_numpy()
    public, hidden = (auc(easy[name].to_numpy(), up) for name in ("p_up", "hidden_p_up"))
    assert public > 0.62
    assert abs(hidden - public) < 0.03


def test_without_an_edge_nothing_is_foretold() -> None:
    told = _told(0.0)
    assert (told["mean"] == 0).all() and (told["p_up"] == 0.5).all()


def test_oracle_knows_nothing_later() -> None:
    """What it says of an instant does not change with the horizon's end or later instants asked."""
    market = SimulatedMarket(SandboxConfig(season=34, **SPAN))
    (number, s), *_ = market.wild_days
    listing, day = market.listings[number], market.sessions[s]
    ticker, hours = listing.ticker_on(day) or "", market.hours(day)
    at = hours[1] + np.array([30, 60]) * t.MINUTE
    both, first = oracle(market, ticker, day, at), oracle(market, ticker, day, at[:1])
    assert both.head(1).equals(first)
    with pytest.raises(ValueError, match="not traded"):
        oracle(market, "NOPE", day, at)
