"""Activity bars: dollar, volume, dollar-imbalance and volume-imbalance bars.

Cutting the ticks of a session (or plain arrays, with a state to resume from), the fallback from
minute bars, targets scaled by activity, and diagnostics. Time bars are in `time_bars.py`; labels
and weights are made elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import ArrayLike

from smallcaps_assets.domain.calendar import SessionHours
from smallcaps_assets.domain.guards import (
    ArrayError,
    float_array,
    price_array,
    read_only,
    same_length,
    size_array,
    time_array,
)
from smallcaps_assets.domain.ticks import TickTape
from smallcaps_assets.kernels import bars as kernel
from smallcaps_assets.kernels.ticks import tick_signs
from smallcaps_assets.schemas import TABLES
from smallcaps_assets.schemas.table import INSTANT
from smallcaps_assets.schemas.tables import BAR_REASONS
from smallcaps_assets.settings import BarSettings, Settings

MINUTE = 60_000_000_000
VOLUME_SHARE = 0.005
MAX_CLAMPED = 0.20
MAX_SPACING_SECONDS = 300.0
MIN_BARS, BUSY_DOLLARS = 30, 5_000_000.0


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
        return np.full(count, default, dtype)
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


def default_target(kind: BarKind, settings: BarSettings) -> float:
    """The fixed target of a kind of bar, in dollars or shares."""
    return {
        BarKind.DOLLAR: settings.dollar_target,
        BarKind.VOLUME: settings.volume_target,
        BarKind.DOLLAR_IMBALANCE: settings.dollar_imbalance_target,
        BarKind.VOLUME_IMBALANCE: settings.volume_imbalance_target,
    }[kind]


def activity_target(median_dollar_volume: float | None, settings: BarSettings) -> float:
    """First threshold of dollar-imbalance bars in USD, scaled by activity if so configured.

    activity_scale x the trailing median dollar volume, which must be known before the open, clipped
    to the configured range; the fixed target where the scale is 0 or the median unknown.
    """
    if not settings.activity_scale or not median_dollar_volume:
        return settings.dollar_imbalance_target
    scaled = settings.activity_scale * median_dollar_volume
    return min(max(scaled, settings.min_activity_target), settings.max_activity_target)


def volume_activity_target(mean_volume: float | None, settings: BarSettings) -> float:
    """Target of volume bars in shares: 0.5 % of the trailing mean daily volume if scaled."""
    if not settings.activity_scale or not mean_volume:
        return settings.volume_target
    return max(VOLUME_SHARE * mean_volume, 1.0)


def build_bars(
    tape: TickTape, kind: BarKind | str, settings: BarSettings, target: float | None = None
) -> pl.DataFrame:
    """Bars of one ticker-session, every column of the kind's table; starts fresh.

    `target` overrides the configured one. Ticks are indexed by their row in `tape.ticks`.
    """
    kind = BarKind(kind)
    ticks = tape.ticks
    frame, _ = bars_from_arrays(
        tape.times,
        ticks["price"].to_numpy(),
        ticks["size"].to_numpy(),
        kind,
        default_target(kind, settings) if target is None else target,
        block=ticks["block"].to_numpy(),
        price_forming=ticks["is_price_forming"].to_numpy(),
        signs=ticks["sign"].to_numpy(),
        alpha=settings.alpha,
        gamma=settings.gamma,
        kappa=settings.kappa,
    )
    frame = _end_in_halt(frame, tape.halts)
    known = _known_at(frame, tape.halts, tape.session_end)
    segment = ticks["segment"].gather(frame["last_tick"])
    return _conform(frame, kind, tape.ticker, tape.date, "trades", known, segment)


def dollar_bars(tape: TickTape, target: float) -> pl.DataFrame:
    """Bars of at least `target` dollars (AFML 2.3.1.4)."""
    return build_bars(tape, BarKind.DOLLAR, Settings().bars, target)


def volume_bars(tape: TickTape, target: float) -> pl.DataFrame:
    """Bars of at least `target` shares (AFML 2.3.1.3)."""
    return build_bars(tape, BarKind.VOLUME, Settings().bars, target)


def dollar_imbalance_bars(
    tape: TickTape, settings: BarSettings, target: float | None = None
) -> pl.DataFrame:
    """Bars that close when |signed dollars| reach the adaptive threshold (AFML 2.3.2.1)."""
    return build_bars(tape, BarKind.DOLLAR_IMBALANCE, settings, target)


def volume_imbalance_bars(
    tape: TickTape, settings: BarSettings, target: float | None = None
) -> pl.DataFrame:
    """Bars that close when |signed shares| reach the adaptive threshold (AFML 2.3.2.1)."""
    return build_bars(tape, BarKind.VOLUME_IMBALANCE, settings, target)


def _end_in_halt(frame: pl.DataFrame, halts: pl.DataFrame) -> pl.DataFrame:
    """The last remainder is cut by a halt, not by the session, if no trading followed it."""
    open_halts = halts.filter(pl.col("halt_end").is_null())
    if frame.is_empty() or open_halts.is_empty():
        return frame
    is_last = pl.int_range(pl.len()) == pl.len() - 1
    is_rest = is_last & (pl.col("reason") == "session")
    return frame.with_columns(
        reason=pl.when(is_rest).then(pl.lit("halt")).otherwise(pl.col("reason"))
    )


def _known_at(frame: pl.DataFrame, halts: pl.DataFrame, session_end: int) -> np.ndarray:
    """When each bar was known: its close, or for a remainder the end of session or the halt."""
    close = frame["close_timestamp"].to_numpy()
    reason = frame["reason"].to_numpy()
    known = np.where(reason == "session", np.maximum(close, session_end), close)
    ends = halts["halt_end"].to_physical().fill_null(np.iinfo(np.int64).max).to_numpy()
    halts_known = halts["known_at"].to_physical().to_numpy()
    for row in np.flatnonzero(reason == "halt"):
        # A remainder belongs to the first halt that ends after its last tick.
        following = np.flatnonzero(ends > close[row])
        known[row] = max(close[row], halts_known[following].min())
    return known


def _conform(
    frame: pl.DataFrame,
    kind: BarKind,
    ticker: str,
    day: Any,
    source: str,
    known: np.ndarray,
    segment: pl.Series,
) -> pl.DataFrame:
    columns = TABLES[kind].columns
    return frame.with_columns(
        pl.col("open_timestamp", "close_timestamp").cast(INSTANT),
        pl.Series("known_at", known, dtype=pl.Int64).cast(INSTANT),
        segment.alias("segment"),
        ticker=pl.lit(ticker),
        date=pl.lit(day, dtype=pl.Date),
        source=pl.lit(source),
        bar_id=pl.int_range(pl.len(), dtype=pl.Int32),
    ).select(pl.col(name).cast(dtype) for name, dtype in columns.items())


def bars_from_minutes(
    minutes: pl.DataFrame,
    hours: SessionHours,
    kind: BarKind | str,
    settings: BarSettings,
    target: float | None = None,
) -> pl.DataFrame:
    """The same bars where there are no trades: each minute bar is one tick.

    `minutes` are the rows of minute_bars of one ticker-session, in any order; those from 04:00 to
    the scheduled close count. A minute is known at its end, its amount is volume x vwap (typical
    price without one), its sign that of close against the previous close. `source` is minutes.
    """
    kind = BarKind(kind)
    start = pl.col("window_start").cast(INSTANT).to_physical()
    rows = minutes.filter((start >= hours.premarket_open) & (start < hours.close)).sort(start)
    rows = rows.filter(pl.col("volume") > 0)
    prices = rows["vwap"].fill_null(rows.select(_typical()).to_series())
    starts = rows["window_start"].cast(INSTANT).to_physical().to_numpy()
    closes = price_array("close", rows["close"].to_numpy())
    signs, *_ = tick_signs(
        read_only(closes), read_only(np.zeros(closes.size, np.int64)), 0, np.nan, 0
    )
    frame, _ = bars_from_arrays(
        starts + MINUTE,
        prices.to_numpy(),
        rows["volume"].to_numpy(),
        kind,
        default_target(kind, settings) if target is None else target,
        signs=signs,
        alpha=settings.alpha,
        gamma=settings.gamma,
        kappa=settings.kappa,
    )
    frame = _minute_prices(frame, rows, starts)
    is_early = frame["close_timestamp"].to_numpy() <= hours.open
    segment = pl.Series(np.where(is_early, "premarket", "regular"), dtype=pl.String)
    known = np.where(
        frame["reason"].to_numpy() == "session", hours.close, frame["close_timestamp"].to_numpy()
    )
    ticker = minutes["ticker"][0] if minutes.height else ""
    return _conform(frame, kind, ticker, hours.date, "minutes", known, segment)


def _typical() -> pl.Expr:
    return (pl.col("high") + pl.col("low") + pl.col("close")) / 3


def _minute_prices(frame: pl.DataFrame, rows: pl.DataFrame, starts: np.ndarray) -> pl.DataFrame:
    """Prices of the bars from those of their minutes; they open when the first minute starts."""
    if frame.is_empty():
        return frame
    first, last = frame["first_tick"].to_numpy(), frame["last_tick"].to_numpy()
    return frame.with_columns(
        open_timestamp=starts[first],
        open=rows["open"].to_numpy()[first],
        high=np.maximum.reduceat(rows["high"].to_numpy(), first),
        low=np.minimum.reduceat(rows["low"].to_numpy(), first),
        close=rows["close"].to_numpy()[last],
    )


@dataclass(frozen=True)
class BarDiagnostics:
    """Whether a target suits a ticker-session; shares are fractions, spacing in seconds."""

    bars: int
    dollar_volume: float
    clamped_share: float
    median_spacing_seconds: float
    is_often_clamped: bool
    is_slow: bool
    is_scarce: bool


def bar_diagnostics(bars: pl.DataFrame) -> BarDiagnostics:
    """Checks of one ticker-session's bars: clamped over 20 %, over 300 s apart, too few."""
    full = bars.filter(pl.col("reason") == "threshold")
    dollars = float(bars["dollar_volume"].sum())
    clamped = 0.0
    if "is_clamped" in full.columns and full.height:
        clamped = float(full["is_clamped"].to_numpy().mean())
    spacing = full["close_timestamp"].to_physical().diff().drop_nulls().to_numpy()
    median = float(np.median(spacing)) / 1e9 if spacing.size else 0.0
    return BarDiagnostics(
        bars=full.height,
        dollar_volume=dollars,
        clamped_share=clamped,
        median_spacing_seconds=median,
        is_often_clamped=clamped > MAX_CLAMPED,
        is_slow=median > MAX_SPACING_SECONDS,
        is_scarce=full.height < MIN_BARS and dollars > BUSY_DOLLARS,
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
