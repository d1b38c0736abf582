"""A whole session through the desk as fast as it goes, and what memory it takes hour by hour.

    python benchmarks/desk_session.py                                  # one million events
    python benchmarks/desk_session.py --sessions 2 --events 10000000   # 24 hours of the market

Made-up prints and quotes of 300 tickers, from 04:00 to 16:00, go through all of a paper session:
scanner, strategy (momentum), account, risk chain, journal, matching and positions. The memory told
is what this process holds, after each hour of the session; the events are made hour by hour and
their memory is part of it. Each session is a new one, as each day is for the desk.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from datetime import date
from itertools import pairwise
from pathlib import Path

import numpy as np
from desk_speed import FIRST, TICKERS, events

from smallcaps_assets.desk.session import Message, Session, Shown, Traded
from smallcaps_assets.desk.trading import Chooser, Company
from smallcaps_assets.domain.bars.features import SessionContext
from smallcaps_assets.domain.market.calendar import sessions
from smallcaps_assets.pipeline.paper import Known, paper_session
from smallcaps_assets.settings import Settings

HOUR = 3600 * 10**9
FIRST_DAY, LAST_DAY = date(2024, 12, 16), date(2024, 12, 31)
PART = 50_000  # events that are made at once


def new_session(day: date, folder: Path) -> Session:
    """A paper session of made-up tickers that are admitted from the start."""
    settings = Settings()
    names = [f"T{k}" for k in range(TICKERS)]
    contexts = {name: SessionContext(name, day, 5.0, 1e6) for name in names}
    companies = {name: Company("volatile") for name in names}
    known = Known(day, contexts, dict.fromkeys(names), companies)
    (strategy,) = [one for one in settings.backtest.every if one.name == "momentum"]
    chooser = Chooser(strategy, 0, companies)
    return paper_session(settings, known, chooser, folder, folder / "control")


def messages(
    rng: np.random.Generator, prices: np.ndarray, count: int, begin: int, end: int
) -> Iterator[list[Message]]:
    """Messages between two times in order, some at once; `prices` go on."""
    parts = max(count // PART, 1)
    edges = np.linspace(begin, end, parts + 1).astype(np.int64)
    for first, last in pairwise(edges):
        yield [
            Shown(f"T{k}", at, price - 0.01, size, price + 0.01, size)
            if is_quote
            else Traded(f"T{k}", at, price, size, 12, (), 3)
            for k, at, is_quote, price, size in events(rng, prices, count // parts, first, last)
        ]


def resident() -> float:
    """Memory that this process holds, in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--events", type=int, default=1_000_000, help="of a session")
    parser.add_argument("--sessions", type=int, default=1)
    given = parser.parse_args()
    rng, marks, total = np.random.default_rng(1), [], 0.0
    with tempfile.TemporaryDirectory() as folder:
        for day in sessions(FIRST_DAY, LAST_DAY)[: given.sessions]:
            session = new_session(day, Path(folder) / str(day))
            hours, prices = session.trader.hours, np.full(TICKERS, FIRST)
            whole = (hours.close - hours.premarket_open) // HOUR
            for hour in range(whole):
                begin, spent = hours.premarket_open + hour * HOUR, 0.0
                for some in messages(rng, prices, given.events // whole, begin, begin + HOUR):
                    start = time.perf_counter()
                    session.take(some)
                    spent += time.perf_counter() - start
                total += spent
                marks.append(resident())
                trades, refused = len(session.trader.trades), len(session.trader.refused)
                print(
                    f"{day} hour {hour + 1:2}: {spent:6.1f} s, {marks[-1]:6.0f} MB,"
                    f" {refused:,} signals, {trades:,} trades",
                    flush=True,
                )
            session.reach(hours.close)
            session.settle()
            session.trader.advance(hours.close)
            session.trader.runtime.journal.close()
    count = given.events * given.sessions
    print(f"{count:,} events in {total:.1f} s, {count / total:,.0f} a second")
    print(f"memory at the end {marks[-1] / marks[0]:.2f} times that after the first hour")


if __name__ == "__main__":
    main()
