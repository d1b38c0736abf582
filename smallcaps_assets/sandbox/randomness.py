"""Seeded random numbers that are the same on every machine and in every process.

Holds the counter-based generator (SplitMix64), its numpy twin for whole arrays, and the quantile
tables and arithmetic that turn uniforms into other distributions. Only additions,
multiplications and table look-ups are used inside kernels: libm differs between machines in the
last bit, and one bit would change a tape. What the numbers mean belongs to tape.py and plan.py.
"""

from __future__ import annotations

import numpy as np

from smallcaps_assets.kernels.compiled import inlined

_GOLDEN = 0x9E3779B97F4A7C15
_MIX1 = 0xBF58476D1CE4E5B9
_MIX2 = 0x94D049BB133111EB
_MASK = 0xFFFFFFFFFFFFFFFF

GOLDEN, MIX1, MIX2 = np.uint64(_GOLDEN), np.uint64(_MIX1), np.uint64(_MIX2)
R30, R27, R31, R11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
TO_UNIT = 1.0 / 9007199254740992.0
LOW16 = np.uint64(0xFFFF)
R16, R32, R48 = np.uint64(16), np.uint64(32), np.uint64(48)


def mix(*parts: int) -> int:
    """One 64-bit number out of several integers; the key of an independent stream."""
    state = 0
    for part in parts:
        state = (state + (part & _MASK) + _GOLDEN) & _MASK
        state = ((state ^ (state >> 30)) * _MIX1) & _MASK
        state = ((state ^ (state >> 27)) * _MIX2) & _MASK
        state ^= state >> 31
    return state


def mix_array(key: int | np.ndarray, counters: np.ndarray) -> np.ndarray:
    """`mix` of the parts of a key with each of the counters, as uint64; keys broadcast."""
    with np.errstate(over="ignore"):
        state = np.uint64(key) + counters.astype(np.uint64) + GOLDEN
        state = (state ^ (state >> R30)) * MIX1
        state = (state ^ (state >> R27)) * MIX2
        return state ^ (state >> R31)


def uniforms(key: int | np.ndarray, counters: np.ndarray) -> np.ndarray:
    """Uniforms in [0, 1), one per counter."""
    return (mix_array(key, counters) >> R11).astype(np.float64) * TO_UNIT


def uniform(*parts: int) -> float:
    """One uniform in [0, 1) for this combination of integers."""
    return (mix(*parts) >> 11) * TO_UNIT


def record(fields: list[tuple[str, type]]) -> np.dtype:
    """A record whose fields are attributes, in kernels and in Python. `random` is its generator."""
    return np.dtype((np.record, np.dtype(fields, align=True)))


@inlined
def next_bits(d):
    """The next 64 random bits; `d` is a record with the field `random`."""
    d.random = d.random + GOLDEN
    z = d.random
    z = (z ^ (z >> R30)) * MIX1
    z = (z ^ (z >> R27)) * MIX2
    return z ^ (z >> R31)


@inlined
def next_uniform(d):
    """The next uniform in [0, 1)."""
    return (next_bits(d) >> R11) * TO_UNIT


@inlined
def next_normal(d):
    """Mean 0, variance 1: the sum of four 16-bit uniforms out of one draw."""
    z = next_bits(d)
    total = float(z & LOW16) + float((z >> R16) & LOW16)
    total += float((z >> R32) & LOW16) + float(z >> R48)
    return (total / 65535.0 - 2.0) * 1.7320508075688772


@inlined
def portable_exp(x: float) -> float:
    """exp(x) to about x*x/8192 relative, by multiplications only."""
    y = 1.0 + x / 4096.0
    for _ in range(12):
        y = y * y
    return y


def _quantiles(count: int) -> np.ndarray:
    return (np.arange(count) + 0.5) / count


def exponential_table(count: int = 4096) -> np.ndarray:
    """Quantiles of the unit exponential, rounded so that every libm gives the same table."""
    return np.round(-np.log1p(-_quantiles(count)), 9)


def log_uniform_table(low: float, high: float, count: int = 1024) -> np.ndarray:
    """Quantiles of a log-uniform variable on [low, high], as whole numbers."""
    return np.round(low * (high / low) ** _quantiles(count)).astype(np.int64)


def pareto_table(low: float, alpha: float, cap: float, count: int = 4096) -> np.ndarray:
    """Quantiles of a capped Pareto variable, as whole numbers."""
    raw = low * (1.0 - _quantiles(count)) ** (-1.0 / alpha)
    return np.round(np.minimum(raw, cap)).astype(np.int64)
