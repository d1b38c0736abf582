"""hftbacktest over a tape of `fills.py`: seconds of its fastest replay, on standard output.

    PYTHON fills_peer.py tape.npz orders repeats

Run by `fills.py` in an environment of its own; nothing of the project is imported. Quotes become
changes of the best levels, prints trades; orders are marketable limits, spread over the day.
"""

from __future__ import annotations

import sys
import time

import numpy as np
from hftbacktest import (
    BUY_EVENT,
    DEPTH_EVENT,
    EXCH_EVENT,
    GTC,
    LIMIT,
    LOCAL_EVENT,
    SELL_EVENT,
    TRADE_EVENT,
    BacktestAsset,
    HashMapMarketDepthBacktest,
)
from hftbacktest.types import event_dtype
from numba import njit

LATENCY = 250_000_000


def events_of(tape) -> np.ndarray:
    """Events as hftbacktest has them, in order: a level goes to 0 when the best one moves."""
    times, bids, bid_sizes, asks, ask_sizes = (tape[f"q{k}"] for k in range(5))
    rows = []
    both = EXCH_EVENT | LOCAL_EVENT
    for flag, prices, sizes in ((BUY_EVENT, bids, bid_sizes), (SELL_EVENT, asks, ask_sizes)):
        moved = np.flatnonzero(np.diff(prices) != 0) + 1
        gone = np.zeros(moved.size, event_dtype)
        gone["ev"] = DEPTH_EVENT | flag | both
        gone["exch_ts"] = gone["local_ts"] = times[moved]
        gone["px"], gone["qty"] = prices[moved - 1], 0.0
        shown = np.zeros(times.size, event_dtype)
        shown["ev"] = DEPTH_EVENT | flag | both
        shown["exch_ts"] = shown["local_ts"] = times
        shown["px"], shown["qty"] = prices, sizes
        rows += [gone, shown]
    moments, prices, sizes, _ = (tape[f"p{k}"] for k in range(4))
    traded = np.zeros(moments.size, event_dtype)
    traded["ev"] = TRADE_EVENT | BUY_EVENT | both
    traded["exch_ts"] = traded["local_ts"] = moments
    traded["px"], traded["qty"] = prices, sizes
    every = np.concatenate([*rows, traded])
    return every[np.argsort(every["exch_ts"], kind="stable")]


@njit
def replay(hbt, orders, step):
    for k in range(orders):
        if hbt.elapse(step) != 0:
            return
        depth = hbt.depth(0)
        hbt.submit_buy_order(0, k + 1, depth.best_ask, 100.0, GTC, LIMIT, False)
        hbt.clear_inactive_orders(0)
    while hbt.elapse(step) == 0:
        pass


def main() -> None:
    tape, orders, repeats = np.load(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    events = events_of(tape)
    step = int((events["exch_ts"][-1] - events["exch_ts"][0]) / (orders + 1))
    seconds = []
    for _ in range(repeats + 1):
        asset = (
            BacktestAsset()
            .data([events])
            .linear_asset(1.0)
            .constant_order_latency(LATENCY, LATENCY)
            .risk_adverse_queue_model()
            .partial_fill_exchange()
            .trading_value_fee_model(0.0, 0.0)
            .tick_size(0.01)
            .lot_size(1.0)
        )
        hbt = HashMapMarketDepthBacktest([asset])
        start = time.perf_counter()
        replay(hbt, orders, step)
        seconds.append(time.perf_counter() - start)
        hbt.close()
    print(min(seconds[1:]))


if __name__ == "__main__":
    main()
