"""Trades of every size as the plain twin fills them, on random tapes full of coincidences.

`pytest -n 0 --hypothesis-profile=full smallcaps_assets_tests/kernels/test_fill_kernels.py` tries
10,000 tapes: 5 of each example.
"""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from smallcaps_assets.domain.execution.fills import (
    KINDS,
    OUTCOMES,
    REASONS,
    CandidateFills,
    FillTape,
    candidate_fills,
    fill_tape,
    first_shares,
)
from smallcaps_assets.kernels import fills as kernel
from smallcaps_assets.settings import TradingRules
from smallcaps_assets_tests.kernels import brute_fills as brute

STEP = 50_000_000
SECOND = 1_000_000_000
TAPES = 5


def random_tape(rng: np.random.Generator) -> brute.Tape:
    """A minute or two on a coarse clock and a coarse grid of prices."""
    start, tick = 4 * 10**17, 0.01
    level = rng.choice([0.6, 1.0, 3.0])
    count = int(rng.integers(0, 200))
    times = start + np.sort(rng.integers(0, 2400, count)) * STEP
    walk = level + tick * np.cumsum(rng.integers(-1, 2, count))
    quotes = []
    for time, mid in zip(times.tolist(), walk.tolist(), strict=True):
        width = tick * int(rng.integers(0, 4)) if rng.random() < 0.97 else -tick
        bid, ask = round(mid, 2), round(mid + width, 2)
        sizes = rng.choice([0, 100, 100, 200, 300, 250.5], 2, p=[0.02, 0.3, 0.28, 0.2, 0.1, 0.1])
        bid = bid if rng.random() > 0.03 else 0.0
        quotes.append((time, bid, float(sizes[0]), ask, float(sizes[1])))
    count = int(rng.integers(0, 80))
    times = start + np.sort(rng.integers(0, 2400, count)) * STEP
    prints = [
        (
            time,
            round(level + tick * int(rng.integers(-6, 7)), 2),
            float(rng.choice([1, 50, 100, 400, 0.5])),
            str(rng.choice(["price", "price", "price", "flow", "auction"])),
        )
        for time in times.tolist()
    ]
    halts, at = [], start
    for _ in range(int(rng.integers(0, 3))):
        first = at + int(rng.integers(0, 1200)) * STEP
        at = first + int(rng.integers(1, 400)) * STEP
        halts.append((first, at))
        at += STEP
    bands = []
    for time in sorted(rng.integers(0, 2400, int(rng.integers(0, 3))).tolist()):
        width = tick * int(rng.integers(1, 6))
        bands.append((start + time * STEP, round(level - width, 2), round(level + width, 2)))
    return brute.Tape(quotes, prints, halts, bands)


def arrays(rows: list, count: int) -> list[np.ndarray]:
    made = [np.array([row[k] for row in rows], float) for k in range(count)]
    return [np.array([row[0] for row in rows], np.int64), *made[1:]]


def tape_of(found: brute.Tape) -> FillTape:
    kinds = np.array([KINDS[row[3]] for row in found.prints], np.int8)
    halts = [np.array([h[k] for h in found.halts], np.int64) for k in range(2)]
    return fill_tape(
        arrays(found.quotes, 5), (*arrays(found.prints, 3), kinds), halts, arrays(found.bands, 3)
    )


def fills_of(found: CandidateFills, shares: int) -> tuple[list, list]:
    """Entry and exit of one candidate in a size, as the twin tells them."""
    rows, limits = found.entries, found.ranges["size"]
    taken = first_shares(rows["shares"].tolist(), shares)
    entry = [
        (t, n, p)
        for t, n, p in zip(rows["time"].tolist(), taken, rows["price"].tolist(), strict=False)
    ]
    place = int(np.searchsorted(limits, shares))
    first = int(found.ranges["fills"][:place].sum())
    held = found.exits[first : first + int(found.ranges["fills"][place])]
    sold = first_shares(held["shares"].tolist(), shares)
    exit = [
        (t, n, p, REASONS[r])
        for t, n, p, r in zip(
            held["time"].tolist(), sold, held["price"].tolist(), held["reason"].tolist(),
            strict=False,
        )
    ]  # fmt: skip
    return entry, exit


def check(seed: int) -> str | None:
    rng = np.random.default_rng(seed)
    told = random_tape(rng)
    start = 4 * 10**17
    t0 = start + int(rng.integers(0, 1500)) * STEP
    side = int(rng.choice([1, -1]))
    rules = TradingRules(
        entry=str(rng.choice(["marketable", "passive"])),  # type: ignore[arg-type]
        latency_ms=int(rng.choice([0, 50, 250, 1000])),
        entry_seconds=float(rng.choice([1, 1, 10])),
        entry_slack=float(rng.choice([0, 0.01, 0.05])),
        take_profit=float(rng.choice([0.005, 0.01, 0.03])),
        stop_loss=float(rng.choice([0.005, 0.01, 0.03])),
        timeout_seconds=float(rng.choice([5, 20, 60])),
        entry_quote_age=float(rng.choice([2, 5, 60])),
        exit_quote_age=float(rng.choice([5, 60])),
    )
    close = start + 300 * SECOND + int(rng.integers(200, 2000)) * STEP
    restricted = int(rng.choice([0, start + 1000 * STEP, kernel.NEVER]))
    capacity, most = float(rng.choice([0.05, 0.5, 2.0])), float(rng.choice([300, 1e6]))
    given = {
        "latency": rules.latency_ms * 1_000_000,
        "entry_window": int(rules.entry_seconds * SECOND),
        "timeout": int(rules.timeout_seconds * SECOND),
        "last_exit": close - 300 * SECOND,
        "entry_age": int(rules.entry_quote_age * SECOND),
        "exit_age": int(rules.exit_quote_age * SECOND),
        "is_passive": rules.entry == "passive",
        "restricted_from": restricted,
        "slack": rules.entry_slack,
        "take_profit": rules.take_profit,
        "stop_loss": rules.stop_loss,
        "capacity": capacity,
        "most_value": most,
    }
    found = candidate_fills(
        tape_of(told), np.array([t0]), np.array([side]), rules, close, capacity, most,
        restricted_from=restricted,
    )  # fmt: skip
    outcome, entry = brute.enter(told, given, t0, side)
    own = OUTCOMES[found.candidates["outcome"][0]]
    assert ("no_fill" if own == "band" else own) == outcome, seed
    whole = sum(fill[1] for fill in entry)
    assert found.candidates["most_shares"][0] == whole, seed
    for shares in sorted({1, whole // 3, whole // 2 + 1, whole - 1, whole} - {0, -1}):
        if shares > whole:
            continue
        part = brute.cut(entry, shares)
        expected = part, brute.close(told, given, t0, side, part)
        assert fills_of(found, shares) == expected, (seed, shares)
    return outcome


@given(st.integers(0, 2**32 - 1))
def test_a_trade_of_any_size_is_filled_as_by_the_twin(seed):
    for k in range(TAPES):
        check(seed + k)


def test_random_tapes_reach_every_outcome():
    found = {check(seed) for seed in range(300)}
    assert found == {*OUTCOMES} - {"band"}
