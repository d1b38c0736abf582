"""Features of dollar imbalance bars: what was known at each bar's close, and nothing later.

Holds every column of the table `bar_features`. Each is computed from the tape up to and including
the bar's last tick, from earlier bars, and from a context known before 04:00 of the session. No
same-day daily figure is used: days are selected by those. Labels belong to `labels`.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import reduce
from typing import Any

import numpy as np
import polars as pl

from smallcaps_assets.domain.elementary import exp_of, log_of
from smallcaps_assets.domain.market.calendar import SessionHours
from smallcaps_assets.domain.market.metrics import SSR_DECLINE, at_most
from smallcaps_assets.kernels.features import COLUMNS, running_figures
from smallcaps_assets.schemas.tables import TABLES

ROUND_LOT = 100.0
MINUTE_NS = 60_000_000_000
LONG_BARS = 20
SHORT_BARS = 5
_CORWIN_SCHULTZ = 1 / (3 - 2 * math.sqrt(2))


class FeatureError(ValueError):
    """Ticks and bars that don't belong together."""


@dataclass(frozen=True)
class SessionContext:
    """What is known of a ticker before 04:00 of its session.

    previous_close is in USD on the session's share basis, mean volumes in shares,
    median_dollar_volume20 in USD; is_ssr_carried: the short-sale restriction of the day before
    still holds. None where unknown.
    """

    ticker: str
    date: date
    previous_close: float | None = None
    mean_volume30: float | None = None
    median_dollar_volume20: float | None = None
    is_ssr_carried: bool = False
    mean_volume20: float | None = None


def session_context(ticker: str, day: date, row: Mapping[str, Any] | None) -> SessionContext:
    """The context from the session's daily_metrics row, of which only these columns are early.

    `row` may be None: nothing is known then.
    """
    row = row or {}
    return SessionContext(
        ticker,
        day,
        row.get("previous_close"),
        row.get("mean_volume30"),
        row.get("median_dollar_volume20"),
        bool(row.get("is_ssr_carried")),
        row.get("mean_volume20"),
    )


def bar_features(
    ticks: pl.DataFrame,
    bars: pl.DataFrame,
    context: SessionContext,
    hours: SessionHours,
    halts: pl.DataFrame,
) -> pl.DataFrame:
    """The table `bar_features` of one ticker-session: a row per threshold-closed bar.

    `ticks` is the session's tape in order (domain.ticks), `bars` its dollar_imbalance_bars, whose
    partial bars at halts serve as path, `halts` has known_at, and halt_source where told. Raises
    FeatureError when a bar points beyond the tape.
    """
    path = bars.sort("bar_id")
    if path.is_empty():
        return TABLES["bar_features"].empty()
    _check_indices(ticks, path)
    parts = [path, _running(ticks, path), _past_prices(ticks, path), _halts_known(halts, path)]
    parts += [_clock(path, hours), _context_columns(context, path.height)]
    state = pl.concat(parts, how="horizontal")
    features = (
        state.with_columns(**_bar_shape())
        .with_columns(**_returns(), **_flow(), **_against_the_day_before())
        .with_columns(**_levels(), **_ranges(), **_spread_high_low())
        .with_columns(_roll_spread(path["close"].to_numpy()))
    )
    closed = features.filter(pl.col("reason") == "threshold")
    clean = closed.with_columns(pl.col(pl.Float64).fill_nan(None))
    return TABLES["bar_features"].validate(clean)


def _check_indices(ticks: pl.DataFrame, path: pl.DataFrame) -> None:
    last = path["last_tick"].to_numpy()
    if last[-1] >= ticks.height or (np.diff(last) <= 0).any():
        raise FeatureError(
            f"bars of {path['ticker'][0]} {path['date'][0]} end at tick {last.max()}, the tape has "
            f"{ticks.height} ticks; rebuild the bars from this tape"
        )


# From the tape -----------------------------------------------------------------------------------
def _running(ticks: pl.DataFrame, path: pl.DataFrame) -> pl.DataFrame:
    """Figures of the session so far at each bar's last tick, prefixed `so_far_`; NaN is null."""
    figures = running_figures(
        ticks["price"].cast(pl.Float64).to_numpy(),
        ticks["size"].cast(pl.Float64).to_numpy(),
        ticks["is_price_forming"].to_numpy(),
        ticks["is_off_exchange"].to_numpy(),
        (ticks["segment"] == "premarket").to_numpy(),
        (ticks["segment"] == "regular").to_numpy(),
        path["first_tick"].to_numpy(),
        path["last_tick"].to_numpy(),
        ROUND_LOT,
    )
    names = [f"so_far_{name}" for name in COLUMNS]
    return pl.DataFrame(figures, schema=names, orient="row").fill_nan(None)


def _past_prices(ticks: pl.DataFrame, path: pl.DataFrame) -> pl.DataFrame:
    """Last price-forming price at least 1 and 5 minutes before each bar's close."""
    forming = ticks.filter(pl.col("is_price_forming"))
    times = forming["sip_timestamp"].dt.epoch("ns").to_numpy()
    prices = forming["price"].cast(pl.Float64).to_numpy()
    closes = path["close_timestamp"].dt.epoch("ns").to_numpy()
    columns = {}
    for minutes in (1, 5):
        place = np.searchsorted(times, closes - minutes * MINUTE_NS, side="right") - 1
        past = np.full(closes.size, np.nan)
        past[place >= 0] = prices[place[place >= 0]]
        columns[f"price_{minutes}m"] = past
    return pl.DataFrame(columns).fill_nan(None)


def _halts_known(halts: pl.DataFrame, path: pl.DataFrame) -> pl.DataFrame:
    known = np.sort(halts["known_at"].cast(pl.Datetime("ns", "UTC")).dt.epoch("ns").to_numpy())
    closes = path["close_timestamp"].dt.epoch("ns").to_numpy()
    counts = np.searchsorted(known, closes, side="right").astype(np.int64)
    ordered = halts.sort("known_at", maintain_order=True)
    unknown = pl.repeat(None, known.size, dtype=pl.String, eager=True)
    sources = [None, *ordered.get_column("halt_source", default=unknown)]
    newest = pl.Series("halt_source", [sources[count] for count in counts], dtype=pl.String)
    return pl.DataFrame({"halts_so_far": counts, "halt_source": newest})


def _clock(path: pl.DataFrame, hours: SessionHours) -> pl.DataFrame:
    closes = path["close_timestamp"].dt.epoch("ns").to_numpy()
    start = path["open_timestamp"].dt.epoch("ns")[0]
    return pl.DataFrame(
        {
            "duration_seconds": np.diff(closes, prepend=start) / 1e9,
            "minutes_from_open": (closes - hours.open) / MINUTE_NS,
            "is_premarket": closes < hours.open,
        }
    )


def _context_columns(context: SessionContext, bars: int) -> pl.DataFrame:
    """The context once per bar.

    Full columns, because polars divides a column by a literal through its reciprocal, but not a
    single row: the last bit of a feature would depend on how many bars follow.
    """
    figures = {
        "previous_close": context.previous_close or None,
        "mean_volume30": context.mean_volume30 or None,
        "is_ssr_carried": context.is_ssr_carried,
    }
    types = {
        "previous_close": pl.Float64,
        "mean_volume30": pl.Float64,
        "is_ssr_carried": pl.Boolean,
    }
    return pl.DataFrame({k: [v] * bars for k, v in figures.items()}, schema=types)


# From the bars -----------------------------------------------------------------------------------
def _bar_shape() -> dict[str, pl.Expr]:
    return {
        "known_at": pl.col("close_timestamp"),
        "bar_return": log_of(pl.col("close") / pl.col("close").shift(1)),
        "bar_range": pl.col("high") - pl.col("low"),
        "signed_volume": pl.col("buy_volume") - pl.col("sell_volume"),
    }


def _returns() -> dict[str, pl.Expr]:
    return {
        "return_5": log_of(pl.col("close") / pl.col("close").shift(SHORT_BARS)),
        "return_1m": log_of(pl.col("close") / pl.col("price_1m")),
        "return_5m": log_of(pl.col("close") / pl.col("price_5m")),
        "volatility": pl.col("bar_return").ewm_std(span=LONG_BARS, min_samples=2),
    }


def _flow() -> dict[str, pl.Expr]:
    seconds = pl.col("duration_seconds")
    return {
        "imbalance_ratio": pl.col("signed_volume") / pl.col("volume"),
        "imbalance_ratio_5": _last_five("signed_volume") / _last_five("volume"),
        "theta_ratio": pl.col("theta") / pl.col("threshold"),
        "ticks_per_second": pl.when(seconds > 0).then(pl.col("ticks") / seconds),
        "mean_trade_size": pl.col("volume") / pl.col("ticks"),
        "odd_lot_share": pl.col("so_far_odd_lots") / pl.col("ticks"),
        "off_exchange_share": (pl.col("so_far_off_exchange_volume") / pl.col("volume")).clip(0, 1),
    }


def _last_five(name: str) -> pl.Expr:
    """Sum over the last 5 bars, added up anew so that it can't drift with what came before."""
    return _sum(pl.col(name).shift(n) for n in range(SHORT_BARS))


def _sum(terms: Iterable[pl.Expr]) -> pl.Expr:
    """The sum in the order of the terms; null where one is.

    pl.sum_horizontal and pl.mean_horizontal add in an order that differs with the number of
    threads, and so the last bit of what they give.
    """
    return reduce(operator.add, terms)


def _against_the_day_before() -> dict[str, pl.Expr]:
    """Features that compare with the context; null where it lacks the figure."""
    previous = pl.col("previous_close")
    fell = at_most(pl.col("so_far_regular_low"), (1 - SSR_DECLINE) * previous).fill_null(False)
    return {
        "running_return": pl.col("close") / previous - 1,
        "gap": pl.col("so_far_first_regular_price") / previous - 1,
        "relative_volume": pl.col("so_far_volume") / pl.col("mean_volume30"),
        "is_ssr": fell | pl.col("is_ssr_carried"),
    }


def _levels() -> dict[str, pl.Expr]:
    close = pl.col("close")
    vwap = pl.col("so_far_dollars") / pl.col("so_far_volume")
    return {
        "dollars_so_far": pl.col("so_far_dollars"),
        "distance_to_vwap": close / vwap - 1,
        "distance_to_premarket_high": close / pl.col("so_far_premarket_high") - 1,
        "return_from_open": close / pl.col("so_far_first_regular_price") - 1,
    }


def _ranges() -> dict[str, pl.Expr]:
    mean_before = _sum(pl.col("bar_range").shift(n) for n in range(1, LONG_BARS + 1)) / LONG_BARS
    day_range = pl.col("so_far_day_high") - pl.col("so_far_day_low")
    return {
        "range_expansion": pl.when(mean_before > 0).then(pl.col("bar_range") / mean_before),
        "day_range_position": pl.when(day_range > 0).then(
            (pl.col("close") - pl.col("so_far_day_low")) / day_range
        ),
        "is_high_of_day_break": (
            pl.col("so_far_day_high") > pl.col("so_far_high_before")
        ).fill_null(False),
    }


def _spread_high_low() -> dict[str, pl.Expr]:
    """Corwin and Schultz (2012), of the last two bars; a negative estimate is 0."""
    log_range = _square(log_of(pl.col("high") / pl.col("low")))
    high = pl.max_horizontal(pl.col("high"), pl.col("high").shift(1))
    low = pl.min_horizontal(pl.col("low"), pl.col("low").shift(1))
    beta = log_range + log_range.shift(1)
    gamma = _square(log_of(high / low))
    alpha = beta.sqrt() * ((math.sqrt(2) - 1) * _CORWIN_SCHULTZ) - (gamma * _CORWIN_SCHULTZ).sqrt()
    growth = exp_of(alpha)
    return {"spread_high_low": (2 * (growth - 1) / (1 + growth)).clip(lower_bound=0)}


def _square(values: pl.Expr) -> pl.Expr:
    return values * values


def _roll_spread(closes: np.ndarray) -> pl.Series:
    """Roll (1984): 2 sqrt(-cov of successive changes) over 20 closes / close; 0 if cov > 0."""
    spread = np.full(closes.size, np.nan)
    if closes.size >= LONG_BARS:
        changes = np.lib.stride_tricks.sliding_window_view(np.diff(closes), LONG_BARS - 1)
        now, before = changes[:, 1:], changes[:, :-1]
        deviation = (now - now.mean(axis=1, keepdims=True)) * (
            before - before.mean(axis=1, keepdims=True)
        )
        covariance = deviation.sum(axis=1) / (LONG_BARS - 3)
        spread[LONG_BARS - 1 :] = 2 * np.sqrt(np.maximum(-covariance, 0)) / closes[LONG_BARS - 1 :]
    return pl.Series("spread_roll", spread).fill_nan(None)
