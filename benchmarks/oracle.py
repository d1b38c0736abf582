"""How much of what the simulated market's oracle foretells does an honest model find?

    python benchmarks/oracle.py             # 4,000 ticker-sessions, standard error below 0.004
    python benchmarks/oracle.py --edge 0    # the same market without an edge
    python benchmarks/oracle.py --markets 3 # a quick look

Several markets with seeds of their own are run through the project's own functions, as in
placebo.py. Of the rows of the default view (decided after some rule had admitted their day) the
first of each quarter of an hour of a ticker-session is judged. The target is the sign of the mid's
return over the next 15 minutes, from the first clean mid after 250 ms to the last within them;
exact zeros are dropped and counted.

The model is a gradient-boosted tree ensemble (LightGBM) with the dataset's features and some of the
flow of quotes, which are taken from the simulator's quotes and prints up to the decision. It is
fitted on other markets than those it scores; scores are ranks within a fold. Beside it stands the
oracle, given everything public and given the hidden regime as well. Standard errors and the share's
interval take a ticker-session as one draw; those of the model are inflated as those of all
cross-fitted scores.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import lightgbm
import numpy as np
import placebo
import polars as pl

from smallcaps_assets.domain.evaluation import (
    CROSS_FIT_INFLATION,
    auc,
    clustered_standard_error,
    contiguous_folds,
    share_below,
    share_of_oracle,
)
from smallcaps_assets.sandbox.config import SandboxConfig
from smallcaps_assets.sandbox.simulation import conditions as c
from smallcaps_assets.sandbox.simulation import quotes as q
from smallcaps_assets.sandbox.simulation import tape as t
from smallcaps_assets.sandbox.simulation.market import SimulatedMarket
from smallcaps_assets.sandbox.simulation.oracle import foretold
from smallcaps_assets.schemas.tables import FEATURE_COLUMNS

FIRST_SEED = 501
MARKETS, FOLDS = 12, 5
SPANS = (1, 5, 15)
FLOW = (
    *(f"{name}_{span}m" for name in ("lean", "flow", "move") for span in SPANS),
    *("width", "from_slow", "from_vwap", "elapsed", "reopened"),
)
MODEL: dict[str, Any] = {
    "n_estimators": 250,
    "learning_rate": 0.03,
    "num_leaves": 15,
    "min_child_samples": 300,
    "colsample_bytree": 0.5,
    "subsample": 0.7,
    "subsample_freq": 1,
    "verbosity": -1,
    "seed": 1,
    "deterministic": True,
    "n_jobs": 1,
}


# One market --------------------------------------------------------------------------------------
def market_rows(edge: float, pump_days: int, seed: int) -> pl.DataFrame:
    """Judged rows of one market: features, flow, what the oracle tells, and the mid's return."""
    market = SimulatedMarket(SandboxConfig(seed=seed, edge=edge, pump_days=pump_days))
    rows = placebo.thinned(placebo.rows_of(market).filter("known_0"))
    parts = [with_flow(market, part) for _, part in rows.group_by("ticker", "date")]
    told = foretold(market, pl.concat(parts))
    return told.filter(pl.col("mid_return").is_not_nan())


def with_flow(market: SimulatedMarket, rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of one ticker-session with the columns FLOW, as known at their `t0`."""
    ticker, day = rows["ticker"][0], rows["date"][0]
    quotes, hours = market.quote_rows(ticker, day), market.hours(day)
    listing = market.listing_of(ticker, day)
    assert listing is not None
    clean = (quotes[q.Q_BID] > 0) & (quotes[q.Q_ASK] >= quotes[q.Q_BID])
    at, bid, ask, bids, asks = quotes[:5, clean].astype(np.float64)
    tape, pauses = market.tape(listing, day), market.events(listing, day)
    instants = rows["t0"].dt.epoch("ns").to_numpy().astype(np.float64)
    found = flow(at, bid, ask, bids, asks, instants)
    regular = tape[:, (tape[c.SIP] >= hours[1]) & (tape[c.SIP] < hours[2])]
    mean = np.cumsum(regular[c.PRICE]) / np.arange(1, regular.shape[1] + 1)
    seen = np.searchsorted(regular[c.SIP], instants, side="right")
    vwap = np.where(seen > 0, np.append(mean, np.nan)[seen - 1], np.nan)
    found["from_vwap"] = found.pop("mid") / vwap - 1.0
    found["elapsed"] = (instants - hours[1]) / (hours[2] - hours[1])
    found["reopened"] = reopened(pauses, instants)
    return rows.with_columns(pl.Series(name, found[name]) for name in FLOW)


def flow(
    at: np.ndarray,
    bid: np.ndarray,
    ask: np.ndarray,
    bids: np.ndarray,
    asks: np.ndarray,
    instants: np.ndarray,
) -> dict[str, np.ndarray]:
    """By name: imbalance of sizes, order-flow imbalance and moves of the mid, over some minutes."""
    mid = (bid + ask) / 2
    lean = np.cumsum((bids - asks) / (bids + asks))
    events = np.zeros(len(at))
    events[1:] = (bid[1:] >= bid[:-1]) * bids[1:] - (bid[1:] <= bid[:-1]) * bids[:-1]
    events[1:] += (ask[1:] >= ask[:-1]) * asks[:-1] - (ask[1:] <= ask[:-1]) * asks[1:]
    net, size = np.cumsum(events), np.cumsum(bids + asks)
    now = np.searchsorted(at, instants, side="right") - 1
    grid = instants[:, None] - t.MINUTE * np.arange(61)
    path = mid[np.maximum(np.searchsorted(at, grid, side="right") - 1, 0)]
    moves = np.log(path[:, :-1] / path[:, 1:])
    deviation = np.sqrt((moves[:, :15] ** 2).mean(axis=1)) + 1e-6
    found = {"mid": mid[now], "width": deviation}
    for span in SPANS:
        old = np.maximum(np.searchsorted(at, instants - span * t.MINUTE, side="right") - 1, 0)
        count = np.maximum(now - old, 1)
        found[f"lean_{span}m"] = (lean[now] - lean[old]) / count
        found[f"flow_{span}m"] = (
            (net[now] - net[old]) / np.maximum(size[now] - size[old], 1) * count
        )
        found[f"move_{span}m"] = moves[:, :span].sum(axis=1) / (deviation * np.sqrt(span))
    weights = (1 - 1 / 22) ** np.arange(61)
    found["from_slow"] = (path[:, 0] / (path @ weights / weights.sum()) - 1.0) / deviation
    return found


def reopened(events: np.ndarray, instants: np.ndarray) -> np.ndarray:
    """Sign of the last re-opening's or shock's change, fading by 7 % a minute."""
    found = np.zeros(len(instants))
    for kind, _, end, before, after, _ in events.tolist():
        if kind in (t.PAUSE, t.NEWS_HALT, t.SHOCK) and after > 0:
            later = instants >= end
            found[later] = np.sign(after - before) * 0.93 ** ((instants[later] - end) / t.MINUTE)
    return found


# Scores ------------------------------------------------------------------------------------------
def model_scores(rows: pl.DataFrame, is_up: np.ndarray) -> np.ndarray:
    """Ranks within folds of whole sessions, each by a model fitted on the others."""
    order = rows.select(pl.struct("market", "date").rank("dense")).to_series().to_numpy()
    names = [*FEATURE_COLUMNS, *FLOW]
    features = rows.select(pl.col(names).cast(pl.Float64).fill_null(np.nan)).to_numpy()
    folds, scores = contiguous_folds(order, FOLDS), np.empty(len(is_up))
    for fold in range(FOLDS):
        test = folds == fold
        model = lightgbm.LGBMClassifier(**MODEL).fit(features[~test], is_up[~test])
        told = np.asarray(model.predict_proba(features[test]))[:, 1]
        scores[test] = share_below(np.sort(told), told)
    return scores


def judged(rows: pl.DataFrame) -> dict[str, float | int | bool | None]:
    """Areas of oracle and model with their standard errors, and the model's share."""
    moved = rows.filter(pl.col("mid_return") != 0)
    is_up = (moved["mid_return"] > 0).to_numpy()
    clusters = placebo.cluster_names(moved)
    public, hidden = (moved[name].to_numpy() for name in ("p_up", "hidden_p_up"))
    model = model_scores(moved, is_up)
    share = share_of_oracle(model, public, is_up, clusters)
    stated, real, width = (moved[name].to_numpy() for name in ("mean", "mid_return", "deviation"))
    stated, real = stated / width, real / width
    side = np.sign(moved["mean"].to_numpy())
    return {
        "rows": moved.height,
        "zeros": rows.height - moved.height,
        "ticker_sessions": int(np.unique(clusters).size),
        "share_up": float(is_up.mean()),
        "oracle": auc(public, is_up),
        "oracle_error": clustered_standard_error(public, is_up, clusters),
        "hidden": auc(hidden, is_up),
        "model": auc(model, is_up),
        "model_error": CROSS_FIT_INFLATION * clustered_standard_error(model, is_up, clusters),
        "share": share.share,
        "share_low": share.low,
        "share_high": share.high,
        "is_leak": share.is_leak,
        "slope": float((stated * real).sum() / max((stated * stated).sum(), 1e-12)),
        "expected_bp": float(1e4 * moved["mean"].abs().mean()),  # pyright: ignore
        "realised_bp": float(1e4 * (side * moved["mid_return"].to_numpy()).mean()),
    }


# Command -----------------------------------------------------------------------------------------
def simulate(edge: float, pump_days: int, markets: int, first: int, workers: int) -> pl.DataFrame:
    """Rows of all markets, one market per process at a time."""
    os.environ["POLARS_MAX_THREADS"] = "1"  # read by the new processes; they are the parallelism
    seeds = range(first, first + markets)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        made = pool.map(market_rows, [edge] * markets, [pump_days] * markets, seeds)
        return pl.concat(made)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--edge", type=float, default=1.0, help="scale of the planted effects")
    parser.add_argument("--markets", type=int, default=MARKETS, help="how many markets")
    parser.add_argument("--seed", type=int, default=FIRST_SEED, help="seed of the first market")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON only")
    return parser.parse_args()


def main() -> None:
    options, began = arguments(), time.perf_counter()
    size = placebo.FULL.pump_days
    rows = simulate(options.edge, size, options.markets, options.seed, options.workers)
    found = judged(rows)
    if options.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"{name:16} {value:.4f}" if isinstance(value, float) else f"{name:16} {value}")
    print(f"edge {options.edge:g}, {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
