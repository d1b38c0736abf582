"""How fast the desk's scanner is: updates of its state, and from a bar's close to a decision.

    python benchmarks/desk_speed.py --seconds 30      # 20,000 events a second, as they would come
    python benchmarks/desk_speed.py --seconds 30 --session   # and a whole session's in that time
    python benchmarks/desk_speed.py --events 1000000    # a session as fast as it goes

Prints and quotes of 300 made-up tickers, in one thread. An update is any event that decides
nothing; a decision is a bar that has closed, its features, those of its quotes, and what a strategy
of the backtest (momentum) wants of it. At a pace it is told how long each
took, and how long it took from the instant at which it was offered, waiting behind others included,
such as decisions of the same instant. As they would come, the events'
own clock goes as fast as the wall's, from 09:35 on; with a whole session in 30 seconds minutes end
two thousand times as often, and each is work for each ticker.
"""

from __future__ import annotations

import argparse
import resource
import time
from datetime import date

import numpy as np

from smallcaps_assets.desk.scanner import TickerScan
from smallcaps_assets.desk.trading import Chooser, Company
from smallcaps_assets.domain.bars.arrays import new_rows
from smallcaps_assets.domain.bars.features import SessionContext
from smallcaps_assets.domain.market.calendar import session_hours
from smallcaps_assets.settings import Settings

DAY = date(2024, 12, 18)
TICKERS, QUOTES = 300, 0.6
FIRST, LEAST, MOST = 5.0, 1.0, 15.0  # USD


def events(
    rng: np.random.Generator, prices: np.ndarray, count: int, begin: int, end: int
) -> list[tuple]:
    """Events between two times in order: ticker, time, whether it is a quote, price and size;
    `prices` go on."""
    times = np.sort(rng.integers(begin, end, count))
    tickers = (TICKERS * rng.random(count) ** 3).astype(int)
    moves = 0.0005 * rng.standard_normal(count)
    sizes = 100.0 * rng.integers(1, 9, count)
    is_quote = rng.random(count) < QUOTES
    found = []
    for k, time_, size, quoted, move in zip(
        tickers.tolist(), times.tolist(), sizes.tolist(), is_quote.tolist(), moves.tolist(),
        strict=True,
    ):  # fmt: skip
        prices[k] = min(max(prices[k] * (1 + move), LEAST), MOST)
        found.append((k, time_, quoted, round(float(prices[k]), 2), size))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=0, help="offered in time for so long")
    parser.add_argument("--session", action="store_true", help="a whole session at the pace")
    parser.add_argument("--rate", type=int, default=20_000, help="events a second")
    given = parser.parse_args()
    settings, hours, room = Settings(), session_hours(DAY), new_rows()
    (strategy,) = [one for one in settings.backtest.every if one.name == "momentum"]
    chooser = Chooser(strategy, 0, {f"T{k}": Company("volatile") for k in range(TICKERS)})
    scans = [
        TickerScan(SessionContext(f"T{k}", DAY, 5.0, 1e6), hours, settings, None, True, room)
        for k in range(TICKERS)
    ]
    count = int(given.rate * given.seconds) or given.events
    warm = 20_000  # compiled, and each kernel called
    begin, end = hours.premarket_open, hours.close
    if given.seconds and not given.session:
        begin = hours.open + 300 * 10**9
        end = begin + (count + warm) * 10**9 // given.rate
    prices = np.full(TICKERS, FIRST)
    offered = events(np.random.default_rng(1), prices, count + warm, begin, end)
    updates, decisions, came, began = [], [], [], time.perf_counter()
    for n, (k, at, is_quote, price, size) in enumerate(offered):
        if n == warm:
            began = time.perf_counter()
        start = time.perf_counter()
        if given.seconds and n >= warm:
            due = began + (n - warm) / given.rate
            while (start := time.perf_counter()) < due:
                pass
        found = []
        if is_quote:
            scans[k].quote(at, price - 0.01, size, price + 0.01, size)
        else:
            found = scans[k].trade(at, price, size, 12, (), 3)
        for decision in found:
            chooser(decision)
        end = time.perf_counter()
        if n >= warm:
            (decisions if found else updates).append(end - start)
            came.append(end - due if given.seconds else 0.0)
    total = time.perf_counter() - began
    print(f"{count:,} events of {TICKERS} tickers in {total:.1f} s, {count / total:,.0f} a second")
    for name, values, unit, scale in (
        ("update", updates, "us", 1e6),
        ("decision", decisions, "ms", 1e3),
        ("any, from its offer", came, "ms", 1e3),
    ):
        if any(values):
            shown = ", ".join(f"p{p} {np.percentile(values, p) * scale:.2f}" for p in (50, 99, 100))
            print(f"{name}: {len(values):,}; {unit}: {shown}")
    print(f"most memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
