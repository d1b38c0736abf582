"""Parameter sweeps: how bars of one tape come out under many targets, alphas, gammas and kappas.

One pass makes a prefix of signed amounts; each further setting only looks for where its bars close.
The bars themselves are made in `bar_arrays.py`, and judged in `diagnostics.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import ArrayLike

from smallcaps_assets.domain.bars.arrays import (
    BarError,
    BarKind,
    check_parameters,
    tick_rule,
)
from smallcaps_assets.domain.guards import (
    price_array,
    read_only,
    same_length,
    sign_array,
    size_array,
    time_array,
)
from smallcaps_assets.domain.ticks.tape import TickTape
from smallcaps_assets.kernels import sweep as kernel

# Amounts are held in millionths of a dollar or share, the finest that the vendor's sizes have.
UNITS = 1e6
LARGEST_SUM = 2.0**62


class BarSetting(NamedTuple):
    """One way to cut bars; without imbalance only the target matters."""

    target: float
    alpha: float = 0.2
    gamma: float = 0.125
    kappa: float = 2.0


def setting_grid(
    targets: Iterable[float],
    alphas: Iterable[float] = (0.2,),
    gammas: Iterable[float] = (0.125,),
    kappas: Iterable[float] = (2.0,),
) -> list[BarSetting]:
    """Every combination of the parameters, targets outermost."""
    return [BarSetting(*values) for values in product(targets, alphas, gammas, kappas)]


@dataclass(frozen=True)
class SweepTape:
    """The prefix of one tape, ready for any number of settings; safe to use from many threads.

    `times` are the ticks' instants, `prefix` int64[ticks + 1] in millionths, `edges` the ticks at
    which another block or session begins.
    """

    kind: BarKind
    times: np.ndarray
    prefix: np.ndarray
    lows: np.ndarray
    highs: np.ndarray
    edges: np.ndarray

    def closing_ticks(self, setting: BarSetting) -> tuple[np.ndarray, np.ndarray]:
        """Index of the tick that closes each full bar, and whether its threshold was clamped.

        Sums are exact here and in order there: `bars_from_arrays` closes the same bars, unless one
        meets its threshold to within the rounding of its sums. Raises BarError.
        """
        check_parameters(*setting)
        closes = np.empty(self.times.size, np.int64)
        clamped = np.empty(self.times.size, np.bool_)
        target, alpha, gamma, kappa = (float(value) for value in setting)
        count = kernel.closing_ticks(
            read_only(self.prefix), read_only(self.lows), read_only(self.highs),
            read_only(self.edges), self.kind.is_imbalance, UNITS,
            target, alpha, gamma, kappa, closes, clamped,
        )  # fmt: skip
        return closes[:count].copy(), clamped[:count].copy()

    def sweep(self, settings: Iterable[BarSetting]) -> pl.DataFrame:
        """One row per setting: how many full bars it makes, how far apart, how often clamped.

        Columns: target, alpha, gamma, kappa, bars, clamped_share (null without bars),
        median_ticks, median_spacing_seconds (between closes; null with fewer than two bars).
        """
        columns: dict[str, list[float | None]] = {name: [] for name in SWEEP_COLUMNS}
        for setting in settings:
            closes, clamped = self.closing_ticks(setting)
            gaps = np.diff(closes)
            spacing = np.diff(self.times[closes]) / 1e9
            row = (
                *setting,
                closes.size,
                float(clamped.mean()) if closes.size else None,
                float(np.median(gaps)) if gaps.size else None,
                float(np.median(spacing)) if gaps.size else None,
            )
            for name, value in zip(SWEEP_COLUMNS, row, strict=True):
                columns[name].append(value)
        return pl.DataFrame(columns, schema=SWEEP_COLUMNS)


SWEEP_COLUMNS = {
    "target": pl.Float64,
    "alpha": pl.Float64,
    "gamma": pl.Float64,
    "kappa": pl.Float64,
    "bars": pl.Int64,
    "clamped_share": pl.Float64,
    "median_ticks": pl.Float64,
    "median_spacing_seconds": pl.Float64,
}


def sweep_tape(tape: TickTape, kind: BarKind | str) -> SweepTape:
    """The prefix of a ticker-session's tape; auctions add nothing to an imbalance."""
    block = tape.ticks["block"].to_numpy()
    return sweep_arrays(
        tape.times,
        tape.ticks["price"].to_numpy(),
        tape.ticks["size"].to_numpy(),
        kind,
        signs=tape.ticks["sign"].to_numpy(),
        edges=np.flatnonzero(block[1:] != block[:-1]) + 1,
    )


def sweep_arrays(
    timestamps: ArrayLike,
    prices: ArrayLike,
    sizes: ArrayLike,
    kind: BarKind | str,
    *,
    signs: ArrayLike | None = None,
    edges: ArrayLike = (),
) -> SweepTape:
    """The prefix of plain arrays, as `bars_from_arrays` takes them.

    `edges` are the ticks at which another session or block begins, ascending. Raises ArrayError;
    BarError when the amounts are too large to be summed in millionths.
    """
    kind = BarKind(kind)
    arrays = {
        "timestamps": time_array("timestamps", timestamps),
        "prices": price_array("prices", prices),
        "sizes": size_array("sizes", sizes),
    }
    arrays["signs"] = tick_rule(prices) if signs is None else sign_array("signs", signs)
    count = same_length(arrays)
    total = float(np.dot(arrays["prices"] if kind.in_dollars else np.ones(count), arrays["sizes"]))
    if total * UNITS > LARGEST_SUM:
        raise BarError(f"amounts add up to {total:.3g}, at most 4.6e12 can be swept; cut the tape")
    prefix = np.empty(count + 1, np.int64)
    kernel.signed_prefix(
        read_only(arrays["prices"]), read_only(arrays["sizes"]), read_only(arrays["signs"]),
        kind.in_dollars, kind.is_imbalance, UNITS, prefix,
    )  # fmt: skip
    lows = np.empty(count // kernel.BLOCK + 1, np.int64)
    highs = np.empty(lows.size, np.int64)
    kernel.prefix_extremes(prefix, lows, highs)
    places = time_array("edges", np.asarray(edges, np.int64))
    return SweepTape(kind, arrays["timestamps"], prefix, lows, highs, places)
