"""Figures of trades: expectancy, profit factor, hit rate, tail; apart by pattern, hour, price.

Trades of one ticker-session may depend on each other in any way: it is a cluster, in errors and in
the draws of intervals.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import ArrayLike

from smallcaps_assets.domain.columns import floats, group_numbers
from smallcaps_assets.domain.evaluation import clustered_mean
from smallcaps_assets.domain.evidence.figures import Figure, absent, with_intervals
from smallcaps_assets.domain.market.calendar import NEW_YORK

TAIL = 0.05
CLUSTER = "ticker", "date"
GROUPS = ("pattern", "hour", "price", "halt", "rule", "exit", "side")
_NO_TRADE = "no trade was taken"
_ONE_CLUSTER = "one ticker-session: no error"
_PRICES = [1.0, 2.0, 5.0, 10.0, 20.0]
_PRICE_NAMES = ["below 1 USD", "1 to 2", "2 to 5", "5 to 10", "10 to 20", "20 and more"]
_MINUTES = 15


def taken(trades: pl.DataFrame) -> pl.DataFrame:
    """The trades that were entered; the others were refused, or found no shares."""
    return trades.filter(pl.col("shares") > 0, pl.col("net_profit").is_not_null())


def thinned(rows: pl.DataFrame, *apart: str) -> pl.DataFrame:
    """The first row by t0 of each quarter of an hour of each ticker, and of further columns.

    Busy moments make more rows: thinned, every quarter of an hour weighs the same.
    """
    quarter = pl.col("t0").dt.truncate(f"{_MINUTES}m").alias("quarter")
    by_time = rows.with_columns(quarter).sort("t0", maintain_order=True)
    key = ["ticker", "quarter", *apart]
    return by_time.unique(key, keep="first", maintain_order=True).drop("quarter")


# Figures -----------------------------------------------------------------------------------------
def trade_figures(trades: pl.DataFrame) -> dict[str, Figure]:
    """Figures of the net profit of trades that were taken, by name."""
    return profit_figures(*profits_of(trades))


def profits_of(trades: pl.DataFrame, column: str = "net_profit") -> tuple[np.ndarray, np.ndarray]:
    """Profit of each trade, and the number of its ticker-session."""
    return floats(trades[column]), group_numbers(trades, *CLUSTER)


def profit_figures(profits: ArrayLike, clusters: ArrayLike) -> dict[str, Figure]:
    """Figures of profits, float64[trades] in USD; `clusters` names the cluster of each.

    expectancy: the mean. profit_factor: gains over losses. hit_rate: share above 0; a profit of 0
    is no hit. quantile_5: the -5 % quantile, between two trades linear. expected_shortfall: mean
    of the trades at or below it (Acerbi and Tasche 2002).
    """
    values = np.asarray(profits, np.float64)
    members = np.unique(np.asarray(clusters), return_inverse=True)[1]
    if not values.size:
        names = ("expectancy", "profit_factor", "hit_rate", "quantile_5", "expected_shortfall")
        return dict.fromkeys(names, absent(_NO_TRADE))
    return {
        "expectancy": _mean(values, members),
        "profit_factor": _profit_factor(values),
        "hit_rate": _mean((values > 0).astype(np.float64), members),
        "quantile_5": Figure(quantile := float(np.quantile(values, TAIL))),
        "expected_shortfall": Figure(float(values[values <= quantile].mean())),
    }


def _mean(values: np.ndarray, members: np.ndarray) -> Figure:
    mean, error = clustered_mean(values, members)
    return Figure(mean, error, reason=_ONE_CLUSTER if error is None else None)


def _profit_factor(values: np.ndarray) -> Figure:
    losses = -values[values < 0].sum()
    if losses <= 0:
        return absent("no trade lost: gains over losses have no bound")
    return Figure(float(values[values > 0].sum() / losses))


# Intervals ---------------------------------------------------------------------------------------
def profit_intervals(
    figures: Mapping[str, Figure], profits: ArrayLike, clusters: ArrayLike
) -> dict[str, Figure]:
    """The figures of `profit_figures` with intervals over draws of whole clusters."""
    values = np.asarray(profits, np.float64)
    members = np.unique(np.asarray(clusters), return_inverse=True)[1]
    if not values.size:
        return dict(figures)
    order = np.argsort(values, kind="stable")
    ranked, owners = values[order], members[order]
    parts = np.ones_like(values), values > 0, np.maximum(values, 0), np.maximum(-values, 0)
    sizes, hits, gains, losses = (np.bincount(members, part) for part in parts)

    def drawn(counts: np.ndarray) -> dict[str, np.ndarray]:
        size, hit, gain, loss = (counts @ part for part in (sizes, hits, gains, losses))
        times = counts[:, owners]
        bounds = _weighted_quantiles(ranked, times)
        below = times * (ranked <= bounds[:, None])
        return {
            "expectancy": (gain - loss) / size,
            "hit_rate": hit / size,
            "profit_factor": np.divide(gain, loss, out=np.full(loss.size, np.nan), where=loss > 0),
            "quantile_5": bounds,
            "expected_shortfall": below @ ranked / np.maximum(below.sum(axis=1), 1),
        }

    return with_intervals(figures, drawn, sizes.size)


def _weighted_quantiles(ranked: np.ndarray, times: np.ndarray) -> np.ndarray:
    """The linear TAIL quantile of ascending values repeated `times`[draws, values]."""
    ends = times.cumsum(axis=1)
    place = TAIL * (ends[:, -1] - 1)
    whole = np.floor(place)
    low, high = ((ends <= (whole + step)[:, None]).sum(axis=1) for step in (0, 1))
    last = ranked.size - 1
    lower, upper = ranked[np.minimum(low, last)], ranked[np.minimum(high, last)]
    return np.where(place > whole, lower + (place - whole) * (upper - lower), lower)


# Groups ------------------------------------------------------------------------------------------
def by_group(trades: pl.DataFrame, group: str) -> pl.DataFrame:
    """Figures of trades that were taken, apart by one of GROUPS, in its order.

    Columns: group, trades, hit_rate and its error, profit_factor, expectancy and its error, gross
    and net profit, all USD. What can't be had is null.
    """
    names = _group_names(trades, group)
    net, clusters = profits_of(trades)
    gross = floats(trades["gross_profit"])
    order = _PRICE_NAMES if group == "price" else sorted(set(names))
    rows = [
        _group_row(name, net[chosen], gross[chosen], clusters[chosen])
        for name in order
        if (chosen := names == name).any()
    ]
    return pl.DataFrame(rows, schema=_GROUP_COLUMNS)


def _group_names(trades: pl.DataFrame, group: str) -> np.ndarray:
    """The part that each trade belongs to."""
    if group == "price":
        places = np.searchsorted(_PRICES, floats(trades["entry_price"]), "right")
        return np.array(_PRICE_NAMES, object)[places]
    local = pl.col("t0").dt.convert_time_zone(NEW_YORK.key)
    named = {
        "pattern": pl.col("pattern").fill_null("none"),
        "hour": local.dt.strftime("%H:00"),
        "halt": pl.when("has_halt").then(pl.lit("halted while open")).otherwise(pl.lit("no halt")),
        "rule": pl.col("rule").fill_null("none"),
        "exit": pl.col("exit_reason").fill_null("none"),
        "side": pl.when(pl.col("side") > 0).then(pl.lit("long")).otherwise(pl.lit("short")),
    }[group]
    return np.array(trades.select(named.cast(pl.String)).to_series().to_list(), object)


def _group_row(
    name: str, net: np.ndarray, gross: np.ndarray, clusters: np.ndarray
) -> dict[str, Any]:
    found = profit_figures(net, clusters)
    return {
        "group": name,
        "trades": net.size,
        "hit_rate": found["hit_rate"].value,
        "hit_rate_error": found["hit_rate"].error,
        "profit_factor": found["profit_factor"].value,
        "expectancy": found["expectancy"].value,
        "expectancy_error": found["expectancy"].error,
        "gross_profit": float(gross.sum()),
        "net_profit": float(net.sum()),
    }


_GROUP_COLUMNS: Mapping[str, type[pl.DataType]] = {
    "group": pl.String,
    "trades": pl.Int64,
    **dict.fromkeys(
        (
            *("hit_rate", "hit_rate_error", "profit_factor", "expectancy", "expectancy_error"),
            *("gross_profit", "net_profit"),
        ),
        pl.Float64,
    ),
}
