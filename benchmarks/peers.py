"""The kernels beside public libraries: how much faster, and who agrees with the definition.

Each library is installed into its own virtual environment below a cache folder, runs on the same
arrays in the same run, and is compared with the brute-force definition of the tests, as ours are.
Called by `kernels.py`; what each library is given is in `peer_worker.py`.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from smallcaps_assets import domain
from smallcaps_assets_tests.kernels import brute_force

# What to install; mlfinpy imports scikit-learn without asking for it.
LIBRARIES = {
    "mlfinpy": ("mlfinpy==0.1.2", "scikit-learn==1.5.2"),
    "RiskLabAI": ("RiskLabAI==2.0.1",),
    "finmlkit": ("finmlkit==0.1.11",),
}
# This library scales the weights to sum to their number: compared by their shares.
SCALES = "RiskLabAI"
CACHE = Path(tempfile.gettempdir()) / "smallcaps_assets_peers"
TICKS, TARGET, EVERY, TIMEOUT = 20_000, 25_000.0, 40, 900
SECOND = 1_000_000_000
TOLERANCE = 1e-9


def compare_with_peers() -> None:
    """Print a line per kernel and library."""
    inputs = make_inputs()
    ours = {name: measured(call) for name, call in our_kernels(inputs).items()}
    truth = definitions(inputs)
    units = {name: len(values) for name, values in truth.items()}
    units |= {"dollar bars": TICKS, "dollar imbalance bars": TICKS, "sequential bootstrap": 300}
    print(f"\nbeside public libraries, {TICKS:,} ticks, {len(inputs['events'])} labels")
    print(f"{'kernel':<24}{'library':<12}{'ns each':>12}{'ratio':>10}   results unlike definition")
    for name, (seconds, results) in ours.items():
        show(name, "ours", seconds / units[name], 1.0, unlike(name, results, truth))
    for library, requirements in LIBRARIES.items():
        answers = run_library(library, requirements, inputs)
        for name, answer in answers.items():
            if "failure" in answer:
                print(f"{name:<24}{library:<12} failed: {answer['failure']}")
                continue
            ratio = answer["seconds"] / ours[name][0]
            results = answer["results"]
            if name == "return attribution" and library == SCALES:
                results = (np.array(results) * (sum(truth[name]) / sum(results))).tolist()
            wrong = unlike(name, results, truth)
            show(name, library, answer["seconds"] / units[name], ratio, wrong)


def show(name: str, library: str, seconds: float, ratio: float, wrong: str) -> None:
    print(f"{name:<24}{library:<12}{seconds * 1e9:>12,.1f}{ratio:>10,.0f}   {wrong}")


# The same input for all --------------------------------------------------------------------------
def make_inputs() -> dict[str, np.ndarray]:
    """Volatile ticks one second apart on a grid of cents, events on them, and label spans."""
    rng = np.random.default_rng(11)
    start = 1_612_535_400 * SECOND
    level, levels = 0.0, []
    for step in 0.006 * rng.standard_normal(TICKS):
        level = 0.999 * level + step
        levels.append(level)
    prices = np.round(3.3 * np.exp(levels), 2)
    events = np.arange(0, TICKS - 2 * TIMEOUT, EVERY)
    times = start + np.arange(TICKS) * SECOND
    span_starts = np.arange(0, TICKS - 100, EVERY)
    inputs = {
        "times": times,
        "prices": prices,
        "sizes": rng.choice([1.0, 20.0, 100.0, 100.0, 500.0], TICKS),
        "target": np.array(TARGET),
        "events": events,
        "vertical": times[events] + TIMEOUT * SECOND,
        "span_starts": span_starts,
        "span_ends": span_starts + rng.integers(1, 90, span_starts.size),
    }
    spans = inputs["span_starts"], inputs["span_ends"]
    return inputs | {"uniqueness": domain.average_uniqueness(TICKS, *spans)}


def our_kernels(given: dict[str, np.ndarray]) -> dict[str, Callable[[], Any]]:
    ticks = given["times"], given["prices"], given["sizes"]
    spans = given["span_starts"], given["span_ends"]
    few = slice(0, 300)
    some = int(spans[1][few].max()) + 1, spans[0][few], spans[1][few]
    end = int(given["times"][-1])

    def bars(kind: str, target: float) -> list[int]:
        frame, _ = domain.bars_from_arrays(*ticks, kind, target, final=False)
        return frame["last_tick"].to_list()

    def labels() -> list[int]:
        frame = domain.triple_barrier_arrays(
            *ticks[:2], given["events"], end, 0.15, 0.10, TIMEOUT * SECOND
        )
        return frame["touch_tick"].fill_null(-1).to_list()

    return {
        "tick rule": lambda: domain.tick_rule(ticks[1]),
        "dollar bars": lambda: bars("dollar_bars", TARGET),
        "dollar imbalance bars": lambda: bars("dollar_imbalance_bars", TARGET),
        "triple barrier": labels,
        "average uniqueness": lambda: domain.average_uniqueness(TICKS, *spans),
        "return attribution": lambda: domain.return_attribution(ticks[1], *spans),
        "time decay": lambda: domain.time_decay(given["uniqueness"], 0.5),
        "sequential bootstrap": lambda: domain.sequential_bootstrap(
            *some, np.random.default_rng(1)
        ),
    }


def measured(call: Callable[[], Any]) -> tuple[float, list[Any]]:
    """Seconds of the fastest of several calls, and the results."""
    results, seconds = call(), []
    for _ in range(9):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return min(seconds), list(results)


def definitions(given: dict[str, np.ndarray]) -> dict[str, list[Any]]:
    """What the brute-force twins of the tests say."""
    plain = {name: array.tolist() for name, array in given.items()}
    whole = [0] * TICKS
    ticks = {
        "times": plain["times"], "prices": plain["prices"], "sizes": plain["sizes"],
        "sessions": whole, "blocks": whole, "forming": [True] * TICKS, "auction": [False] * TICKS,
    }  # fmt: skip
    spans = plain["span_starts"], plain["span_ends"]
    return {
        "tick rule": brute_force.tick_rule(ticks["prices"], whole),
        "dollar bars": brute_bars(ticks, "dollar_bars", 1.0),
        "dollar imbalance bars": brute_bars(ticks, "dollar_imbalance_bars", 2.0),
        "triple barrier": [brute_touch(plain, event) for event in plain["events"]],
        "average uniqueness": brute_uniqueness(*spans),
        "return attribution": brute_attribution(plain["prices"], *spans),
        "time decay": brute_force.time_decay(plain["uniqueness"], 0.5),
    }


def brute_bars(ticks: dict[str, list], kind: str, kappa: float) -> list[int]:
    """Last ticks of the full bars, by adding every bar up from its first tick."""
    found = brute_force.bars(ticks, kind, TARGET, 0.2, 0.125, kappa, final=False)
    return [bar["last_tick"] for bar in found]


def brute_touch(plain: dict[str, list], event: int) -> int:
    """The touching tick of one event, from a plain scan of its window."""
    stop = event + TIMEOUT + 1
    window = plain["times"][event:stop], plain["prices"][event:stop]
    vertical = plain["times"][event] + TIMEOUT * SECOND
    touch = brute_force.triple_barrier(*window, [True] * TICKS, 0, 0.15, 0.10, vertical)[3]
    return -1 if touch is None else event + touch


def brute_uniqueness(starts: list[int], ends: list[int]) -> list[float]:
    counts = brute_counts(starts, ends)
    return [
        sum(1 / counts[t] for t in range(a + 1, b + 1)) / (b - a)
        for a, b in zip(starts, ends, strict=True)
    ]


def brute_attribution(closes: list[float], starts: list[int], ends: list[int]) -> list[float]:
    counts = brute_counts(starts, ends)
    returns = np.diff(np.log(closes), prepend=np.log(closes[0]))
    return [
        abs(sum(returns[t] / counts[t] for t in range(a + 1, b + 1)))
        for a, b in zip(starts, ends, strict=True)
    ]


def brute_counts(starts: list[int], ends: list[int]) -> list[int]:
    counts = [0] * TICKS
    for a, b in zip(starts, ends, strict=True):
        for t in range(a + 1, b + 1):
            counts[t] += 1
    return counts


def unlike(name: str, results: Any, truth: dict[str, list[Any]]) -> str:
    """How many results differ from the definition; bars count those that are not among its bars."""
    if name not in truth or not isinstance(results, list):
        return "no common definition"
    wanted = truth[name]
    if "bars" in name:
        wrong = len(set(results) ^ set(wanted))
        return f"{wrong:,} bars differ of {len(wanted):,} ({len(results):,} made)"
    found, expected = np.array(results, float), np.array(wanted, float)
    if found.size != expected.size:
        return f"{found.size:,} results instead of {expected.size:,}"
    wrong = int((~np.isclose(found, expected, rtol=TOLERANCE, atol=1e-12)).sum())
    return f"{wrong:,} of {expected.size:,}"


# Environments ------------------------------------------------------------------------------------
def run_library(
    library: str, requirements: tuple[str, ...], inputs: dict[str, np.ndarray]
) -> dict[str, Any]:
    """The answers of one library, empty where it can't be installed or run; says so."""
    CACHE.mkdir(exist_ok=True)
    python = CACHE / "-".join(requirements) / "bin" / "python"
    try:
        if not python.exists():
            venv.create(python.parents[1], with_pip=True)
            pip = [str(python), "-m", "pip", "install", "-q", *requirements]
            subprocess.run(pip, check=True, capture_output=True, text=True)
        with tempfile.TemporaryDirectory() as folder:
            given, answers = Path(folder) / "inputs.npz", Path(folder) / "answers.json"
            np.savez(given, **inputs)
            worker = [str(python), str(Path(__file__).with_name("peer_worker.py"))]
            command = [*worker, library, str(given), str(answers)]
            subprocess.run(command, check=True, capture_output=True, text=True)
            return json.loads(answers.read_text())
    except subprocess.CalledProcessError as failure:
        last = (failure.stderr or "").strip().splitlines()[-1:]
        print(f"{library} can't be installed or run here: {' '.join(last)}")
        return {}
