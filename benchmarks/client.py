"""The vendor's client against a server on loopback, beside the vendor's own client.

    python benchmarks/client.py [part ...]     # parts: pages pace share latency memory; about 4 min

pages    CPU of this process from the network to an Arrow table, per 50,000-row page, this client
         and the vendor's (`massive`, among the development dependencies) on the same bytes
pace     1,200 requests by 16 threads against a hidden limit of 100 a second that falls to 25 for
         six seconds: time over the least possible, share of 429s, requests lost
share    two processes on one key: what each gets of the whole
latency  requests a second with 50 ms latency, of the 95 allowed
memory   peak resident memory of a day of 1,000,000 trades, and of a month of minutes of 6,405
         tickers, each in a process of its own
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from statistics import median

import pyarrow as pa
from massive import RESTClient
from vendor_server import DAY, MONTH, Offer, served

from smallcaps_assets.domain.market.calendar import sessions
from smallcaps_assets.settings import PolygonSettings
from smallcaps_assets.sources import PolygonClient, SourceError
from smallcaps_assets.sources.http.page_cache import PageCache
from smallcaps_assets.sources.polygon.minutes import MonthsOfMinutes

KEY = "benchmark-key-of-no-worth"
REPEATS = 7
REQUESTS, THREADS = 1_200, 16
LIMIT, FALLEN, FROM, TO = 100.0, 25.0, 3.0, 9.0
SHARED_SECONDS = 20.0
TICKERS, MINUTES_A_MONTH = 6_405, 2_030
MEGABYTE = 1 << 20 if sys.platform == "darwin" else 1 << 10
_TRADES = [
    "sip_timestamp",
    "sequence_number",
    "exchange",
    "trf_id",
    "id",
    "participant_timestamp",
    "price",
    "size",
    "conditions",
    "correction",
    "tape",
    "trf_timestamp",
]
_BARS = ["timestamp", "open", "high", "low", "close", "volume", "vwap", "transactions"]
_FORK = multiprocessing.get_context("fork")


def make_client(url: str, **settings: object) -> PolygonClient:
    """This project's client."""
    return PolygonClient(url, KEY, PolygonSettings.model_validate(settings))


def cpu(call: Callable[[], object]) -> float:
    """Milliseconds of CPU of this process, all threads, best of several."""
    used = []
    for _ in range(REPEATS):
        start = time.process_time()
        call()
        used.append(time.process_time() - start)
    return min(used) * 1_000


def pages() -> None:
    """CPU per page, side by side."""
    first, last = MONTH[0], date(2021, 6, 30)
    with served(Offer(last=last)) as (url, _):
        ours, theirs = make_client(url), RESTClient(api_key=KEY, base=url)

        def their_trades() -> list:
            return list(theirs.list_trades("AAA", timestamp=str(DAY), order="asc", limit=50_000))

        def their_bars() -> list:
            return theirs.get_aggs("AAA", 1, "minute", first, last, adjusted=False, limit=50_000)

        cases = (
            ("trades", lambda: ours.trades("AAA", DAY), their_trades, _TRADES),
            ("bars", lambda: ours.minute_bars("AAA", first, last), their_bars, _BARS),
        )
        for name, mine, other, columns in cases:
            rows = mine().height
            a = cpu(lambda mine=mine: mine().to_arrow())
            b = cpu(lambda other=other, columns=columns: _arrow(other(), columns))
            c = cpu(other)
            print(
                f"pages    {rows:,} {name}: {a:.0f} ms, vendor's client {b:.0f} ms to Arrow: "
                f"1/{b / a:.1f}; {c:.0f} ms to its objects alone: 1/{c / a:.1f}"
            )


def _arrow(rows: list, columns: list[str]) -> pa.Table:
    return pa.table({name: [getattr(row, name) for row in rows] for name in columns})


def pace() -> None:
    """The time that a falling limit costs."""

    def limit(t: float) -> float:
        return FALLEN if FROM <= t < TO else LIMIT

    before = FROM * LIMIT + (TO - FROM) * FALLEN
    ideal = TO + (REQUESTS - before) / LIMIT
    ratios, shares, lost = [], [], 0
    for _ in range(3):
        with served(Offer(trades=10, limit=limit)) as (url, counts):
            client = make_client(url, workers=THREADS)
            start = time.monotonic()
            lost += _ask(client, REQUESTS)
            ratios.append((time.monotonic() - start) / ideal)
            accepted, refused = counts()
            shares.append(refused / (accepted + refused))
    print(
        f"pace     {REQUESTS:,} requests: {median(ratios):.2f} x the ideal {ideal:.1f} s"
        f" (worst {max(ratios):.2f}), {median(shares):.1%} refused (worst {max(shares):.1%}),"
        f" {lost} lost in three runs"
    )


def _ask(client: PolygonClient, count: int) -> int:
    """Ask as often, return how many failed."""

    def one(_: int) -> bool:
        try:
            client.market_status()
        except SourceError:
            return True
        return False

    with ThreadPoolExecutor(THREADS) as pool:
        return sum(pool.map(one, range(count)))


def share() -> None:
    """Two processes that know nothing of each other."""
    with served(Offer(trades=10, limit=lambda t: LIMIT)) as (url, counts):
        sent = [_FORK.Value("q", 0) for _ in range(2)]
        processes = [_FORK.Process(target=_keep_asking, args=(url, own)) for own in sent]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        accepted, refused = counts()
    total = sum(own.value for own in sent)
    parts = " and ".join(f"{own.value / total:.0%}" for own in sent)
    print(
        f"share    two processes, {SHARED_SECONDS:.0f} s: {parts} of {total:,};"
        f" together {accepted / SHARED_SECONDS:.0f}/s of {LIMIT:.0f},"
        f" {refused / (accepted + refused):.1%} refused"
    )


def _keep_asking(url: str, sent: multiprocessing.Value) -> None:
    client, end = make_client(url, workers=THREADS), time.monotonic() + SHARED_SECONDS

    def until_the_end(_: int) -> None:
        while time.monotonic() < end:
            client.market_status()
            with sent.get_lock():
                sent.value += 1

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(until_the_end, range(THREADS)))


def latency() -> None:
    """How much of the allowed rate is used when each answer takes 50 ms."""
    with served(Offer(trades=10, latency=0.05)) as (url, _):
        client = make_client(url)
        start = time.monotonic()
        _ask(client, REQUESTS)
        rate = REQUESTS / (time.monotonic() - start)
    allowed = client.settings.requests_per_second
    print(f"latency  50 ms: {rate:.1f} requests a second, {rate / allowed:.0%} of {allowed:.0f}")


def memory() -> None:
    """Peaks of the two largest downloads."""
    for name, task in (("1,000,000 trades", _million_trades), ("a month of minutes", _month)):
        peak, seconds, base = _in_child(task)
        print(f"memory   {name}: peak {peak:.0f} MB ({base:.0f} MB before), {seconds:.0f} s")


def _in_child(task: Callable[[], None]) -> tuple[float, float, float]:
    """Peak of the child in MB, seconds, and what it held before the task."""
    queue = multiprocessing.get_context("spawn").Queue()
    process = multiprocessing.get_context("spawn").Process(target=_measure, args=(task, queue))
    process.start()
    found = queue.get()
    process.join()
    return found


def _measure(task: Callable[[], None], queue: multiprocessing.Queue) -> None:
    base, start = _peak(), time.monotonic()
    task()
    queue.put((_peak(), time.monotonic() - start, base))


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MEGABYTE


def _million_trades() -> None:
    with served(Offer(trades=1_000_000)) as (url, _), tempfile.TemporaryDirectory() as folder:
        kept = PageCache(Path(folder)).pages("trades", "AAA", str(DAY))
        assert make_client(url).trades("AAA", DAY, kept).height == 1_000_000


def _month() -> None:
    days, tickers = sessions(*MONTH), [f"T{n:04}" for n in range(TICKERS)]
    with (
        served(Offer(bars=MINUTES_A_MONTH)) as (url, _),
        tempfile.TemporaryDirectory() as folder,
    ):
        client, page_cache = make_client(url), PageCache(Path(folder))
        wanted = dict.fromkeys(days, tickers)
        minutes = MonthsOfMinutes(client, page_cache, lambda day: wanted)
        rows = sum(minutes.session(day, tickers).frame.height for day in days)
        minutes.close()
        assert rows == TICKERS * MINUTES_A_MONTH, rows


PARTS = {part.__name__: part for part in (pages, pace, share, latency, memory)}


def main() -> None:
    """Run the parts asked for, all of them by default."""
    unknown = set(sys.argv[1:]) - PARTS.keys()
    if unknown:
        raise SystemExit(f"unknown part {sorted(unknown)[0]!r}; choose from {', '.join(PARTS)}")
    for name in sys.argv[1:] or PARTS:
        PARTS[name]()


if __name__ == "__main__":
    main()
