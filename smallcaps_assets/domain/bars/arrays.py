"""Activity bars of plain arrays, with a state to resume from, and the tick rule.

The checks around the kernel. Bars of a ticker-session, ready for their table, are in `bars.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NoReturn

import numpy as np
import polars as pl
from numpy.typing import ArrayLike

from smallcaps_assets.domain.guards import (
    ArrayError,
    as_floats,
    as_times,
    boolean_array,
    float_array,
    price_array,
    read_only,
    same_length,
    sign_array,
    size_array,
    time_array,
)
from smallcaps_assets.kernels import bars as kernel
from smallcaps_assets.kernels.ticks import tick_signs
from smallcaps_assets.schemas.tables import BAR_REASONS
from smallcaps_assets.settings import BarSettings

DISAGREEMENT = "the kernel and the guards judge a value differently"
# Bars that one call of the kernel writes at most; a buffer for all would be as long as the ticks.
ROWS = 2 * kernel.MOST_ROWS


class BarKind(StrEnum):
    """The four activity bars; the values are the names of their tables."""

    DOLLAR = "dollar_bars"
    VOLUME = "volume_bars"
    DOLLAR_IMBALANCE = "dollar_imbalance_bars"
    VOLUME_IMBALANCE = "volume_imbalance_bars"

    @property
    def in_dollars(self) -> bool:
        """Whether the target is in dollars; else in shares."""
        return self in (BarKind.DOLLAR, BarKind.DOLLAR_IMBALANCE)

    @property
    def is_imbalance(self) -> bool:
        """Whether signed amounts are summed and the threshold adapts."""
        return self in (BarKind.DOLLAR_IMBALANCE, BarKind.VOLUME_IMBALANCE)


class BarError(ValueError):
    """Parameters that make no bars."""


@dataclass(frozen=True)
class BarState:
    """Where a pass over ticks stopped; a resumed pass gives the same bits as one pass.

    `floats` and `integers` are laid out by `kernels.bars`; `sign`, `previous_price` and
    `previous_session` belong to the tick rule.
    """

    floats: np.ndarray
    integers: np.ndarray
    sign: int = 0
    previous_price: float = float("nan")
    previous_session: int = 0

    @property
    def threshold(self) -> float:
        """The threshold that judges the open bar."""
        return float(self.floats[kernel.THRESHOLD])

    @property
    def expected_ticks(self) -> float | None:
        """E_T, None before the first bar."""
        return _or_none(self.floats[kernel.E_TICKS])

    @property
    def expected_imbalance(self) -> float | None:
        """E_I, None before the first bar."""
        return _or_none(self.floats[kernel.E_IMBALANCE])


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def new_state(target: float) -> BarState:
    """The state before the first tick: threshold = target, no sign, nothing expected."""
    floats = np.zeros(kernel.FLOAT_STATE)
    floats[[kernel.E_TICKS, kernel.E_IMBALANCE, kernel.LAST_FORMING]] = np.nan
    floats[[kernel.OPEN, kernel.CLOSE, kernel.FIRST_PRICE]] = np.nan
    floats[kernel.HIGH], floats[kernel.LOW] = -np.inf, np.inf
    floats[kernel.THRESHOLD] = target
    return BarState(floats, np.zeros(kernel.INT_STATE, np.int64))


def bars_from_arrays(
    timestamps: ArrayLike,
    prices: ArrayLike,
    sizes: ArrayLike,
    kind: BarKind,
    target: float,
    *,
    session: ArrayLike | None = None,
    block: ArrayLike | None = None,
    price_forming: ArrayLike | None = None,
    auction: ArrayLike | None = None,
    signs: ArrayLike | None = None,
    alpha: float = 0.2,
    gamma: float = 0.125,
    kappa: float = 2.0,
    state: BarState | None = None,
    final: bool = True,
) -> tuple[pl.DataFrame, BarState]:
    """Bars of plain arrays, and the state to go on from (AFML 2.3.1 and 2.3.2, damped).

    `timestamps` are ascending integers, `session` and `block` integers at whose changes bars break
    (reason session or halt), `signs` the tick rule if already known. `final` emits the open bar as
    the remainder of its session. Columns: first_tick, last_tick (counted from the first array ever
    passed), open_timestamp, close_timestamp, session, reason, open, high, low, close, vwap, volume,
    dollar_volume, ticks, buy_volume, sell_volume, unsigned_volume, and for imbalance bars theta,
    threshold, expected_ticks, expected_imbalance, is_clamped. Raises ArrayError and BarError.
    """
    kind = BarKind(kind)
    check_parameters(target, alpha, gamma, kappa)
    arrays = {
        "timestamps": as_times("timestamps", timestamps),
        "prices": as_floats("prices", prices),
        "sizes": as_floats("sizes", sizes),
    }
    count = arrays["prices"].size
    arrays["forming"] = boolean_array("price_forming", price_forming, count, True)
    if signs is not None:
        arrays["signs"] = sign_array("signs", signs)
    if auction is not None:
        arrays["auctions"] = boolean_array("auction", auction, count, False)
    same_length(arrays)
    runs = {"block": _runs("block", block, count), "session": _runs("session", session, count)}
    before = _start(state or new_state(target), arrays["timestamps"], runs)
    arrays |= _edges(runs, count, before)
    arrays["starts"] = _new_sessions(runs["session"], before.previous_session)
    if signs is None and count:
        before = replace(before, previous_session=int(runs["session"].values[-1]))
    return _cut(arrays, kind, (target, alpha, gamma, kappa), before, final)


class BarPass:
    """A pass over a session's ticks that cuts its imbalance bars, resumed as they come.

    However the ticks are cut into calls, the bars are the same bits as of `bars_from_arrays`.
    """

    def __init__(
        self, target: float, settings: BarSettings, out: kernel.Rows | None = None
    ) -> None:
        check_parameters(target, settings.alpha, settings.gamma, settings.kappa)
        self.rule = kernel.Rule(
            True, True, float(target), settings.alpha, settings.gamma, settings.kappa
        )
        self.state, self.out = new_state(target), out or new_rows()

    def follow(
        self, ticks: tuple[np.ndarray, ...], auctions: np.ndarray, blocks: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Bars that end with or before some more ticks: floats and integers as of `kernels.bars`.

        `ticks` are times, prices, sizes and which form prices, at most `kernels.ticks.CHUNK` of
        them; a bar ends where the block changes. Raises ArrayError.
        """
        state = self.state
        if not state.integers[kernel.SEEN]:
            state.integers[kernel.BLOCK] = blocks[0]
        before = np.append(state.integers[kernel.BLOCK], blocks[:-1])
        edges = np.flatnonzero(blocks != before)
        given = [read_only(array) for array in (*ticks, auctions, edges, blocks[edges])]
        rows, end, sign, price = kernel.cut_ticks(
            kernel.Ticks(*given[:4]), kernel.Signing(_NO_SIGNS, given[4], _NO_PLACES),
            state.sign, state.previous_price,
            kernel.Edges(given[5], given[6], _zeros(edges.size)), self.rule,
            kernel.State(state.floats, state.integers), 0, self.out,
        )  # fmt: skip
        if end < 0:
            _raise_of(dict(zip(("timestamps", "prices", "sizes"), ticks, strict=False)))
        self.state = replace(state, sign=int(sign), previous_price=float(price))
        return self.out.floats[:rows].copy(), self.out.integers[:rows].copy()


_NO_SIGNS, _NO_PLACES = (read_only(np.empty(0, kind)) for kind in (np.int8, np.int64))


def _zeros(count: int) -> np.ndarray:
    return read_only(np.zeros(count, np.int64)) if count else _NO_PLACES


def new_rows() -> kernel.Rows:
    """Room for the bars of one call of the kernel; passes of one thread may share it."""
    return kernel.Rows(
        np.empty((ROWS, kernel.FLOAT_COLUMNS)), np.empty((ROWS, kernel.INT_COLUMNS), np.int64)
    )


def check_parameters(target: float, alpha: float, gamma: float, kappa: float) -> None:
    """Raise BarError, naming what is wrong, unless these parameters make bars."""
    for name, value, is_valid, expected in (
        ("target", target, target > 0 and np.isfinite(target), "a positive number"),
        ("alpha", alpha, 0 < alpha <= 1, "0 < alpha <= 1"),
        ("gamma", gamma, 0 <= gamma <= 1, "0 <= gamma <= 1"),
        ("kappa", kappa, kappa >= 1, "kappa >= 1"),
    ):
        if not is_valid:
            raise BarError(f"{name} is {value}, expected {expected}; see the bars section")


@dataclass(frozen=True)
class _Runs:
    """Runs of equal numbers in an array: where each begins, and its number."""

    starts: np.ndarray
    values: np.ndarray

    def at(self, ticks: np.ndarray) -> np.ndarray:
        """The number at each of these ticks."""
        return self.values[np.searchsorted(self.starts, ticks, "right") - 1]


def _runs(name: str, numbers: ArrayLike | None, count: int) -> _Runs:
    """Runs of an array of integers, one run of zeros without it."""
    if numbers is None or not count:
        return _Runs(np.zeros(min(count, 1), np.int64), np.zeros(min(count, 1), np.int64))
    array = np.ascontiguousarray(numbers)
    if not np.issubdtype(array.dtype, np.integer):
        raise ArrayError(f"{name} is {array.dtype}, expected integers; number them first")
    if array.shape != (count,):
        raise ArrayError(
            f"{name} has {array.size} values, timestamps has {count}; pass arrays of one table"
        )
    starts = np.append(0, np.flatnonzero(array[1:] != array[:-1]) + 1)
    return _Runs(starts, array[starts].astype(np.int64))


def _edges(runs: dict[str, _Runs], count: int, state: BarState) -> dict[str, np.ndarray]:
    """Ticks at which another block or session than before begins, and their numbers."""
    ticks = np.union1d(runs["block"].starts, runs["session"].starts).astype(np.int64)
    blocks, sessions = runs["block"].at(ticks), runs["session"].at(ticks)
    if count:
        open_bar = state.integers[[kernel.BLOCK, kernel.SESSION]]
        if (blocks[0], sessions[0]) == tuple(open_bar):
            ticks, blocks, sessions = ticks[1:], blocks[1:], sessions[1:]
    return {"edges": ticks, "edge_blocks": blocks, "edge_sessions": sessions}


def _start(state: BarState, timestamps: np.ndarray, runs: dict[str, _Runs]) -> BarState:
    """A private copy of a state; a new one begins in the first tick's session and block."""
    floats, integers = state.floats.copy(), state.integers.copy()
    last = integers[kernel.LAST_TIME]
    if timestamps.size and integers[kernel.SEEN]:
        if timestamps[0] < last:
            raise ArrayError(
                f"timestamps[0] = {timestamps[0]} is before the state's last {last}; "
                "resume with the ticks that follow"
            )
    elif timestamps.size:
        integers[kernel.BLOCK] = runs["block"].values[0]
        integers[kernel.SESSION] = runs["session"].values[0]
    return BarState(floats, integers, state.sign, state.previous_price, state.previous_session)


def _new_sessions(sessions: _Runs, previous: int) -> np.ndarray:
    """Ticks that begin another session: the tick rule compares them with nothing."""
    is_resumed = sessions.starts.size and sessions.values[0] == previous
    return sessions.starts[1:] if is_resumed else sessions.starts


def _cut(
    arrays: dict[str, np.ndarray],
    kind: BarKind,
    parameters: tuple[float, float, float, float],
    state: BarState,
    final: bool,
) -> tuple[pl.DataFrame, BarState]:
    rule = kernel.Rule(kind.in_dollars, kind.is_imbalance, *map(float, parameters))
    out = new_rows()
    optional = {"signs": np.empty(0, np.int8), "auctions": np.empty(0, np.bool_)}
    given = {name: read_only(array) for name, array in (optional | arrays).items()}
    count, start, pieces = given["prices"].size, -1, []
    sign, price = state.sign, state.previous_price
    ticks = kernel.Ticks(*(given[n] for n in ("timestamps", "prices", "sizes", "forming")))
    signing = kernel.Signing(given["signs"], given["auctions"], given["starts"])
    edges = kernel.Edges(given["edges"], given["edge_blocks"], given["edge_sessions"])
    changed = kernel.State(state.floats, state.integers)
    while start < count:
        rows, start, sign, price = kernel.cut_ticks(
            ticks, signing, sign, price, edges, rule, changed, max(start, 0), out
        )
        if start < 0:
            _raise_of(arrays)
        if final and start == count:
            rows += kernel.cut_rest(changed, rule, kernel.BY_SESSION, out, rows)
        pieces.append((out.floats[:rows].copy(), out.integers[:rows].copy()))
    floats, integers = (np.concatenate(parts) for parts in zip(*pieces, strict=True))
    state = replace(state, sign=int(sign), previous_price=float(price))
    return _bar_frame(floats, integers, kind), state


def _raise_of(arrays: dict[str, np.ndarray]) -> NoReturn:
    """Raise ArrayError naming the value that the kernel found to be no good."""
    time_array("timestamps", arrays["timestamps"])
    price_array("prices", arrays["prices"])
    size_array("sizes", arrays["sizes"])
    raise AssertionError(DISAGREEMENT)


def _bar_frame(floats: np.ndarray, integers: np.ndarray, kind: BarKind) -> pl.DataFrame:
    floats, integers = np.asfortranarray(floats), np.asfortranarray(integers)
    f = {name: floats[:, getattr(kernel, name)] for name in (
        "OPEN", "HIGH", "LOW", "CLOSE", "VOLUME", "DOLLARS", "BUY", "SELL", "UNSIGNED", "THETA",
        "THRESHOLD", "E_TICKS", "E_IMBALANCE",
    )}  # fmt: skip
    n = {name: integers[:, getattr(kernel, f"C_{name}")] for name in (
        "FIRST", "LAST", "OPEN_TIME", "CLOSE_TIME", "TICKS", "REASON", "CLAMPED", "SESSION"
    )}  # fmt: skip
    frame = pl.DataFrame(
        {
            "first_tick": n["FIRST"],
            "last_tick": n["LAST"],
            "open_timestamp": n["OPEN_TIME"],
            "close_timestamp": n["CLOSE_TIME"],
            "session": n["SESSION"],
            "reason": pl.Series(BAR_REASONS, dtype=pl.String).gather(n["REASON"]),
            "open": f["OPEN"],
            "high": f["HIGH"],
            "low": f["LOW"],
            "close": f["CLOSE"],
            "volume": f["VOLUME"],
            "dollar_volume": f["DOLLARS"],
            "ticks": n["TICKS"],
            "buy_volume": f["BUY"],
            "sell_volume": f["SELL"],
            "unsigned_volume": f["UNSIGNED"],
            "vwap": _ratio(f["DOLLARS"], f["VOLUME"]),
        }
    )
    if not kind.is_imbalance:
        return frame
    return frame.hstack(
        [
            pl.Series("theta", f["THETA"]),
            pl.Series("threshold", f["THRESHOLD"]),
            pl.Series("expected_ticks", f["E_TICKS"], nan_to_null=True),
            pl.Series("expected_imbalance", f["E_IMBALANCE"], nan_to_null=True),
            pl.Series("is_clamped", n["CLAMPED"] != 0),
        ]
    )


def _ratio(dollars: np.ndarray, volume: np.ndarray) -> np.ndarray:
    """Dollars per share, NaN for a bar of trades without size."""
    return np.divide(dollars, volume, out=np.full(volume.size, np.nan), where=volume > 0)


def tick_rule(
    prices: ArrayLike,
    session: ArrayLike | None = None,
    sign: int = 0,
    previous_price: float = float("nan"),
    previous_session: int = 0,
) -> np.ndarray:
    """Signs of trades by the tick rule (AFML 2.3.2.1), int8 of the same length.

    `sign`, `previous_price` and `previous_session` resume an earlier pass. Raises ArrayError.
    """
    array = as_floats("prices", prices)
    starts = _new_sessions(_runs("session", session, array.size), previous_session)
    signs = np.empty(array.size, np.int8)
    if not tick_signs(read_only(array), read_only(starts), sign, previous_price, signs):
        float_array("prices", array)
        raise AssertionError(DISAGREEMENT)
    return signs
