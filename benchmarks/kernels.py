"""Speed of the kernels: nanoseconds per tick, label or draw, against the targets of the project.

    python benchmarks/kernels.py [ticks ...] [--no-peers]

Runs anywhere, on one core; the input is synthetic and always the same, checks of the arrays are in
the figures, compilation is not. Beside the dollar imbalance bars a C loop of the same recurrence is
compiled with `cc` and run on the same ticks; beside the whole way from Parquet to weights stands
the mere reading of the same columns, beside the quote features an as-of join of polars. A day of
a million quotes is timed in a process of its own; public libraries follow in `peers.py`.
"""

from __future__ import annotations

import os

# One core for all, unless the caller says otherwise; polars reads this at import.
os.environ.setdefault("POLARS_MAX_THREADS", "1")

import ctypes
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from smallcaps_assets import domain
from smallcaps_assets.domain.bars.features import FeaturePass, SessionContext, bar_features
from smallcaps_assets.domain.bars.quote_features import SIDES, QuotePass, Quotes, quote_arrays
from smallcaps_assets.domain.patterns.events import PatternPass
from smallcaps_assets.domain.ticks.quotes import is_firm
from smallcaps_assets.kernels.quotes import COLUMNS
from smallcaps_assets.schemas import TABLES
from smallcaps_assets.settings import PatternSettings, Settings

DAY = date(2021, 2, 5)
HOURS = domain.session_hours(DAY)
KIND = domain.BarKind.DOLLAR_IMBALANCE
TARGET, ALPHA, GAMMA, KAPPA = 50_000.0, 0.2, 0.125, 2.0
REPEATS = 7
WINDOW_TICKS = 250_000
SESSIONS = 8
DAY_QUOTES, DAY_TRADES = 1_000_000, 200_000
USED = [
    "ticker", "date", "sip_timestamp", "sequence_number", "price", "size", "conditions",
    "exchange", "trf_id", "id", "correction", "tape",
]  # fmt: skip


def best(call: Callable[[], Any], repeats: int = REPEATS) -> float:
    """Seconds of the fastest call; the first one, which may compile, is not counted."""
    call()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def report(name: str, seconds: float, units: int, unit: str, target: float | None = None) -> None:
    wanted = "" if target is None else f"   target {target:,g}"
    print(f"{name:<46}{seconds / units * 1e9:>12,.2f} ns per {unit}{wanted}", flush=True)


def synthetic_ticks(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times (ns), prices and sizes of a session; 58 % of the prices are unchanged."""
    rng = np.random.default_rng(7)
    times = np.sort(rng.integers(HOURS.open, HOURS.close, count))
    steps = rng.choice([-1, 0, 1], count, p=[0.21, 0.58, 0.21])
    prices = np.round(5.0 + 0.01 * np.abs(steps.cumsum() % 400 - 200), 2)
    return times, prices, rng.choice([1.0, 20.0, 100.0, 100.0, 500.0], count)


# Ticks and bars ----------------------------------------------------------------------------------
def bench_ticks(count: int) -> None:
    """Tick rule and bars on plain arrays."""
    times, prices, sizes = synthetic_ticks(count)
    report("tick rule", best(lambda: domain.tick_rule(prices)), count, "tick", 0.6)
    for kind, target in zip(domain.BarKind, (500_000, 100_000, TARGET, 10_000), strict=True):
        seconds = best(lambda k=kind, t=target: domain.bars_from_arrays(times, prices, sizes, k, t))
        report(f"{kind}, in all", seconds, count, "tick", 4 if kind == KIND else None)
        if kind == KIND:
            bench_c(times, prices, sizes, seconds)
    bench_sweep(times, prices, sizes)


def bench_c(times: np.ndarray, prices: np.ndarray, sizes: np.ndarray, ours: float) -> None:
    """The bare recurrence in C on the same ticks; it must close the same bars."""
    if shutil.which("cc") is None:
        print("  no C compiler here: cc was not found")
        return
    source = Path(__file__).with_name("dib.c")
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "dib.so"
        flags = ["-O3", "-march=native", "-shared", "-fPIC", "-o", str(library)]
        subprocess.run(["cc", *flags, str(source), "-lm"], check=True)
        loop = ctypes.CDLL(str(library)).dib
    loop.restype = ctypes.c_int64
    closes = np.empty(prices.size, np.int64)
    pointers = [a.ctypes.data_as(ctypes.c_void_p) for a in (prices, sizes)]
    numbers = [ctypes.c_double(x) for x in (TARGET, ALPHA, GAMMA, KAPPA)]
    arguments = *pointers, ctypes.c_int64(prices.size), *numbers
    into = closes.ctypes.data_as(ctypes.c_void_p)
    seconds = best(lambda: loop(*arguments, into))
    found = closes[: loop(*arguments, into)]
    frame, _ = domain.bars_from_arrays(times, prices, sizes, KIND, TARGET, final=False)
    agree = "the same bars" if found.tolist() == frame["last_tick"].to_list() else "OTHER BARS"
    report(f"  a C loop of the recurrence, {agree}", seconds, prices.size, "tick")
    print(f"  ours take {ours / seconds:.2f} times as long, target 3")


def bench_sweep(times: np.ndarray, prices: np.ndarray, sizes: np.ndarray) -> None:
    """One prefix, then settings around the default ones."""
    make = lambda: domain.sweep_arrays(times, prices, sizes, KIND)  # noqa: E731
    report("prefix of a sweep, once", best(make), prices.size, "tick")
    tape = make()
    grid = domain.setting_grid([25_000, 50_000, 100_000], [0.15, 0.3], [0.0, 0.125], [2.0, 4.0])
    seconds = best(lambda: tape.sweep(grid)) / len(grid)
    report(f"sweep, {len(grid)} settings", seconds, prices.size, "tick and setting", 1)


# Labels and weights ------------------------------------------------------------------------------
def bench_labels(count: int) -> None:
    """Triple barrier on an ordinary tape, and through windows of 250,000 ticks without a touch."""
    times, prices, _ = synthetic_ticks(count)
    events, timeout = np.arange(0, count, 20), 900 * 10**9
    ends = HOURS.close, 0.15, 0.10, timeout
    seconds = best(lambda: domain.triple_barrier_arrays(times, prices, events, *ends))
    report("triple barrier on ticks", seconds, events.size, "label", 1000)
    long = 2 * WINDOW_TICKS
    quiet = np.arange(long), np.full(long, 5.0), np.arange(0, WINDOW_TICKS, 50)
    seconds = best(lambda: domain.triple_barrier_arrays(*quiet, long, 0.15, 0.10, WINDOW_TICKS))
    report("triple barrier, 250,000 ticks in the window", seconds, quiet[2].size, "label", 5000)


def bench_weights(labels: int = 1_000_000, draws: int = 65_000) -> None:
    """Weights of labels that span up to 30 bars."""
    rng = np.random.default_rng(3)
    starts = np.sort(rng.integers(0, labels, labels))
    ends = starts + rng.integers(1, 31, labels)
    bars = labels + 31
    closes = 5 * np.exp(0.001 * rng.standard_normal(bars).cumsum())
    unique = domain.average_uniqueness(bars, starts, ends)
    for name, call in {
        "average uniqueness": lambda: domain.average_uniqueness(bars, starts, ends),
        "return attribution": lambda: domain.return_attribution(closes, starts, ends),
        "time decay": lambda: domain.time_decay(unique, 0.5),
    }.items():
        report(name, best(call), labels, "label", 5)
    first = np.sort(rng.integers(0, draws, draws))
    spans = draws + 31, first, first + rng.integers(1, 31, draws)
    seconds = best(lambda: domain.sequential_bootstrap(*spans, np.random.default_rng(1)))
    report(f"sequential bootstrap, {draws:,} labels", seconds, draws, "draw", 1000)


# Quotes, patterns and features --------------------------------------------------------------------
def synthetic_quotes(count: int) -> Quotes:
    """Quotes of the same session, a cent or two wide; some are locked."""
    rng = np.random.default_rng(11)
    times, prices, _ = synthetic_ticks(count)
    sizes = rng.integers(1, 20, (2, count)) * 100.0
    bids, asks = (np.round(prices + 0.01 * rng.integers(low, low + 2, count), 2) for low in (-1, 0))
    return Quotes(times + 1, bids, sizes[0], asks, sizes[1])


def bench_passes(count: int) -> None:
    """Passes over a session: quotes with their prints, features of bars, patterns."""
    times, prices, sizes = synthetic_ticks(count)
    forming, auction = sizes >= 100, np.zeros(count, bool)
    nothing = np.empty(0, np.int64)
    context = SessionContext("SYNT", DAY, 4.0, 1e6)
    lasts = np.arange(399, count, 400)
    bars = np.random.default_rng(5).random((lasts.size, 9)) + 1
    bars[:, 1] += bars[:, 2]
    prints, quotes = (times, prices, sizes, forming), synthetic_quotes(count)
    for name, call, target in (
        ("patterns, all seven", lambda: find_patterns(prints, nothing), 10),
        (
            "features of trades",
            lambda: FeaturePass(context, HOURS).follow((*prints, ~auction, auction), lasts, bars),
            None,
        ),
    ):
        report(name, best(call), count, "tick", target)
    seconds = best(lambda: QuotePass(HOURS).follow(quotes, (*prints, auction), lasts))
    report("quote features", seconds, 2 * count, "quote or print", 15)
    bench_asof(quotes, prints, lasts, seconds)


def find_patterns(prints: tuple[np.ndarray, ...], nothing: np.ndarray) -> int:
    """The number of events of a session without halts."""
    return PatternPass(HOURS, 4.0, PatternSettings()).follow(prints, (nothing, nothing)).size


def bench_asof(
    quotes: Quotes, prints: tuple[np.ndarray, ...], lasts: np.ndarray, ours: float
) -> None:
    """The signed volume of each bar alone, by an as-of join in polars; it must be the same."""
    times, prices, sizes, _ = prints
    names = ("bid", "bid_size", "ask", "ask_size")
    book = pl.DataFrame({"time": quotes.times, **dict(zip(names, quotes.arrays[1:], strict=True))})
    trades = pl.DataFrame({"time": times, "price": prices, "size": sizes}).with_row_index("tick")
    whole = QuotePass(HOURS).follow(quotes, (*prints, np.zeros(times.size, bool)), lasts)

    def delta() -> np.ndarray:
        mid, price = (pl.col("bid") + pl.col("ask")) / 2, pl.col("price")
        move = price.diff().sign()
        tick = pl.when(move != 0).then(move).forward_fill().fill_null(0)
        distance = price - mid
        side = pl.when(distance.abs() > 1e-9 * mid).then(distance.sign()).otherwise(tick)
        joined = trades.join_asof(book, on="time", allow_exact_matches=False)
        signed = joined.select(bar=pl.col("tick") // 400, signed=side * pl.col("size"))
        return signed.group_by("bar", maintain_order=True).agg(pl.sum("signed"))["signed"]

    seconds = best(delta)
    place = COLUMNS.index("lee_ready_delta")
    same = np.allclose(delta().to_numpy()[: lasts.size], np.nan_to_num(whole[:, place]))
    agree = "the same" if same else "ANOTHER"
    report(f"  polars join_asof, {agree} delta alone", seconds, 2 * times.size, "quote or print")
    print(f"  it takes {seconds / ours:.1f} times as long as all quote features, target 8")


# The whole way -----------------------------------------------------------------------------------
def trades_frame(count: int) -> pl.DataFrame:
    """The synthetic ticks as rows of the trades table, with conditions."""
    times, prices, sizes = synthetic_ticks(count)
    codes = pl.Series([[], [14, 41], [37], [14, 37, 41]], dtype=pl.List(pl.Int16))
    frame = pl.DataFrame({"sip_timestamp": times, "price": prices, "size": sizes})
    frame = frame.with_columns(
        conditions=codes.gather(np.random.default_rng(2).integers(0, 4, count)),
        ticker=pl.lit("SYNT"),
        date=pl.lit(DAY),
        sequence_number=pl.int_range(pl.len()),
        id=pl.int_range(pl.len()).cast(pl.String),
        exchange=12,
        trf_id=0,
        participant_timestamp=pl.lit(None),
        trf_timestamp=pl.lit(None),
        correction=0,
        tape=3,
    )
    return TABLES["trades"].conform(frame)


def whole_way(trades: pl.DataFrame, settings: Settings) -> pl.DataFrame:
    """Trades to ticks, dollar imbalance bars, labels and weights, as the assets make them."""
    tape = domain.prepare_ticks(trades, HOURS, settings.ticks)
    bars = domain.build_bars(tape, KIND, settings.bars)
    labels = domain.triple_barrier_labels(tape, bars, settings.labels)
    return domain.sample_weights(labels, bars, HOURS.open)


def bench_whole_way(count: int) -> None:
    """From a Parquet file of one ticker-session to its weights, beside reading the file."""
    settings = Settings()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trades.parquet"
        trades_frame(count).write_parquet(path, compression="zstd")
        read = best(lambda: pl.read_parquet(path, columns=USED))
        whole = best(lambda: whole_way(pl.read_parquet(path, columns=USED), settings))
    report("reading the columns with polars", read, count, "tick")
    report("Parquet to weights", whole, count, "tick")
    print(f"  the whole way takes {whole / read:.2f} times as long as reading, target 2")


def quotes_frame(count: int) -> pl.DataFrame:
    """The synthetic quotes as rows of the quotes table."""
    quotes = synthetic_quotes(count)
    sides = dict(zip(SIDES, quotes.arrays[1:], strict=True))
    frame = pl.DataFrame({"sip_timestamp": quotes.times, **sides}).with_columns(
        ticker=pl.lit("SYNT"),
        date=pl.lit(DAY),
        sequence_number=pl.int_range(pl.len()),
        bid_exchange=12,
        ask_exchange=11,
        size_unit=1,
        conditions=pl.lit([1], pl.List(pl.Int16)),
        indicators=pl.lit([], pl.List(pl.Int16)),
        participant_timestamp=pl.lit(None),
        trf_timestamp=pl.lit(None),
        tape=3,
    )
    return TABLES["quotes"].conform(frame)


def features_of(folder: Path) -> pl.DataFrame:
    """Features of the trades and quotes of one ticker-session, as the assets make them."""
    settings, context = Settings(), SessionContext("SYNT", DAY, 4.0, 1e6)
    trades = pl.read_parquet(folder / "trades.parquet")
    quotes = pl.read_parquet(folder / "quotes.parquet")
    tape = domain.prepare_ticks(trades, HOURS, settings.ticks)
    bars = domain.build_bars(tape, KIND, settings.bars)
    firm = quotes.with_columns(is_firm=is_firm(quotes["conditions"]))
    of_quotes, _ = domain.quote_features(tape, bars, quote_arrays(firm, HOURS, tape.session_end))
    made = bar_features(tape.ticks, bars, context, HOURS, tape.halts, None)
    return made.join(of_quotes, on=["ticker", "date", "bar_id"])


def measure_day(folder: Path) -> None:
    """Print the seconds of a busy day, and the most memory that the process has held."""
    seconds = best(lambda: features_of(folder), 3)
    gigabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    events = f"{DAY_QUOTES:,} quotes, {DAY_TRADES:,} trades"
    print(f"Parquet to features, {events:<25}{seconds:>12,.2f} s   target 3")
    print(f"  the process holds {gigabytes:.2f} GB at most, target 1", flush=True)


def bench_day() -> None:
    """A busy day from its Parquet files to features, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        trades_frame(DAY_TRADES).write_parquet(Path(folder) / "trades.parquet")
        quotes_frame(DAY_QUOTES).write_parquet(Path(folder) / "quotes.parquet")
        subprocess.run([sys.executable, __file__, "--day", folder], check=True)


def bench_cores() -> None:
    """Many ticker-sessions: kernels in threads, the way from trades to weights in processes."""
    if (os.cpu_count() or 1) < 2:
        print("two cores can't be compared here")
        return
    arrays = [synthetic_ticks(500_000)] * SESSIONS
    rates = [_rate_of_threads(arrays, threads) for threads in (1, 2)]
    _report_cores("500,000 ticks, arrays to bars", "threads", rates)
    for ticks, count in ((100_000, 800), (1_000_000, 120)):
        rates = [_rate_of_processes([ticks] * count, processes) for processes in (1, 2)]
        _report_cores(f"{ticks:,} ticks, trades to weights", "processes", rates)


def _report_cores(name: str, workers: str, rates: list[float]) -> None:
    print(f"{name:<46}{rates[1] / rates[0]:>12,.2f} x in two {workers}   target 1.8", flush=True)


def _rate_of_threads(items: list[Any], threads: int) -> float:
    """Ticker-sessions a second."""
    call = lambda ticks: domain.bars_from_arrays(*ticks, KIND, TARGET)  # noqa: E731
    with ThreadPoolExecutor(threads) as pool:
        return len(items) / best(lambda: list(pool.map(call, items)))


def _rate_of_processes(items: list[int], processes: int) -> float:
    """Ticker-sessions a second, once every process has begun."""
    results = domain.map_sessions(session_to_weights, items, processes)
    begun: set[int] = set()
    while len(begun) < processes:
        begun.add(next(results))
    start = time.perf_counter()
    return sum(1 for _ in results) / (time.perf_counter() - start)


@lru_cache
def _session(ticks: int) -> pl.DataFrame:
    return trades_frame(ticks)


def session_to_weights(ticks: int) -> int:
    """The whole way of a ticker-session, whose trades are made once in each process; its id."""
    whole_way(_session(ticks), Settings())
    return os.getpid()


def bench_warm_up() -> None:
    """Seconds until every kernel is there: compiled in a fresh cache, and loaded from it."""
    script = (
        "import time; from smallcaps_assets.domain import compile_kernels; "
        "start = time.perf_counter(); compile_kernels(); print(time.perf_counter() - start)"
    )
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | {"NUMBA_CACHE_DIR": cache}
        for name in ("compiled", "loaded from disk"):
            found = subprocess.run(
                [sys.executable, "-c", script],
                env=environment, check=True, capture_output=True, text=True,
            )  # fmt: skip
            print(f"all kernels {name:<34}{float(found.stdout):>12,.2f} s")


def main() -> None:
    if "--day" in sys.argv:
        measure_day(Path(sys.argv[-1]))
        return
    counts = [int(a) for a in sys.argv[1:] if not a.startswith("--")] or [1_000_000, 10_000_000]
    bench_warm_up()
    for count in counts:
        print(f"\n{count:,} ticks")
        bench_ticks(count)
        bench_labels(count)
        bench_passes(count)
        bench_whole_way(count)
    print()
    bench_day()
    bench_weights()
    bench_cores()
    if "--no-peers" not in sys.argv:
        sys.path.append(str(Path(__file__).parents[1]))  # for the definitions in the tests
        from peers import compare_with_peers

        compare_with_peers()


if __name__ == "__main__":
    main()
