"""Activity bars of plain arrays, with a state to resume from, and the tick rule.

The checks around the kernel. Bars of a ticker-session, ready for their table, are in `bars.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import ArrayLike

from smallcaps_assets.domain.guards import (
    ArrayError,
    float_array,
    price_array,
    read_only,
    same_length,
    size_array,
    time_array,
)
from smallcaps_assets.kernels import bars as kernel
from smallcaps_assets.kernels.ticks import tick_signs
from smallcaps_assets.schemas.tables import BAR_REASONS


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
    _check_parameters(target, alpha, gamma, kappa)
    arrays = {
        "timestamps": time_array("timestamps", timestamps),
        "prices": price_array("prices", prices),
        "sizes": size_array("sizes", sizes),
    }
    count = arrays["prices"].size
    arrays |= {
        "forming": _masked("price_forming", price_forming, count, True),
        "blocks": _masked("block", block, count, 0),
        "sessions": _masked("session", session, count, 0),
        "auction": _masked("auction", auction, count, False),
    }
    same_length(arrays)
    before = _start(state or new_state(target), arrays, state is None)
    if signs is None:
        after, arrays["signs"] = _tick_rule(before, arrays)
    else:
        after, arrays["signs"] = before, np.ascontiguousarray(signs, np.int8)
        same_length(arrays)
    if auction is not None:
        arrays["signs"] = arrays["signs"] * ~arrays["auction"]
    return _cut(arrays, kind, (target, alpha, gamma, kappa), after, final)


def _check_parameters(target: float, alpha: float, gamma: float, kappa: float) -> None:
    for name, value, is_valid, expected in (
        ("target", target, target > 0 and np.isfinite(target), "a positive number"),
        ("alpha", alpha, 0 < alpha <= 1, "0 < alpha <= 1"),
        ("gamma", gamma, 0 <= gamma <= 1, "0 <= gamma <= 1"),
        ("kappa", kappa, kappa >= 1, "kappa >= 1"),
    ):
        if not is_valid:
            raise BarError(f"{name} is {value}, expected {expected}; see the bars section")


def _masked(name: str, values: ArrayLike | None, count: int, default: Any) -> np.ndarray:
    dtype = np.bool_ if isinstance(default, bool) else np.int64
    if values is None:
        return np.ones(count, dtype) if default else np.zeros(count, dtype)
    array = np.ascontiguousarray(values)
    if dtype is np.bool_ and array.dtype != np.bool_ and array.size:
        raise ArrayError(f"{name} is {array.dtype}, expected booleans; compare or cast it first")
    return array.astype(dtype, copy=False)


def _start(state: BarState, arrays: dict[str, np.ndarray], is_new: bool) -> BarState:
    """A private copy of a state; a new one begins in the first tick's session and block."""
    floats, integers = state.floats.copy(), state.integers.copy()
    last = integers[kernel.LAST_TIME]
    if arrays["timestamps"].size and integers[kernel.SEEN]:
        if arrays["timestamps"][0] < last:
            raise ArrayError(
                f"timestamps[0] = {arrays['timestamps'][0]} is before the state's last {last}; "
                "resume with the ticks that follow"
            )
    elif arrays["timestamps"].size:
        integers[kernel.BLOCK] = arrays["blocks"][0]
        integers[kernel.SESSION] = arrays["sessions"][0]
    return BarState(floats, integers, state.sign, state.previous_price, state.previous_session)


def _tick_rule(state: BarState, arrays: dict[str, np.ndarray]) -> tuple[BarState, np.ndarray]:
    signs, sign, price, session = tick_signs(
        read_only(arrays["prices"]),
        read_only(arrays["sessions"]),
        state.sign,
        state.previous_price,
        state.previous_session,
    )
    return BarState(state.floats, state.integers, int(sign), float(price), int(session)), signs


def _cut(
    arrays: dict[str, np.ndarray],
    kind: BarKind,
    parameters: tuple[float, float, float, float],
    state: BarState,
    final: bool,
) -> tuple[pl.DataFrame, BarState]:
    target, alpha, gamma, kappa = (float(p) for p in parameters)
    # Every bar takes a tick, but for one open bar of the state; untouched pages cost nothing.
    capacity = arrays["prices"].size + 2
    out_f = np.empty((capacity, kernel.FLOAT_COLUMNS))
    out_n = np.empty((capacity, kernel.INT_COLUMNS), np.int64)
    given = {name: read_only(array) for name, array in arrays.items()}
    rows = kernel.cut_bars(
        given["timestamps"], given["prices"], given["sizes"], given["signs"],
        given["forming"], given["blocks"], given["sessions"],
        kind.in_dollars, kind.is_imbalance, target, alpha, gamma, kappa,
        state.floats, state.integers, out_f, out_n,
    )  # fmt: skip
    if final:
        rows += kernel.cut_rest(
            kernel.BY_SESSION, target, kappa, state.floats, state.integers, out_f, out_n, rows
        )
    return _bar_frame(out_f[:rows], out_n[:rows], kind), state


def _bar_frame(floats: np.ndarray, integers: np.ndarray, kind: BarKind) -> pl.DataFrame:
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
            "reason": np.array(BAR_REASONS, dtype=object)[n["REASON"]],
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
        },
        schema_overrides={"reason": pl.String},
    ).with_columns(vwap=pl.col("dollar_volume") / pl.col("volume"))
    if not kind.is_imbalance:
        return frame
    return frame.with_columns(
        theta=f["THETA"],
        threshold=f["THRESHOLD"],
        expected_ticks=pl.Series(f["E_TICKS"]).fill_nan(None),
        expected_imbalance=pl.Series(f["E_IMBALANCE"]).fill_nan(None),
        is_clamped=n["CLAMPED"] != 0,
    )


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
    checked = float_array("prices", prices)
    sessions = _masked("session", session, checked.size, 0)
    same_length({"prices": checked, "session": sessions})
    return tick_signs(
        read_only(checked), read_only(sessions), sign, previous_price, previous_session
    )[0]
