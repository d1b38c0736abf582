"""How often pattern events came off: hit rates and returns by pattern, rule or year.

A group's figures are of its events with a return; those without a price after t0 are counted.
"""

from __future__ import annotations

import polars as pl

GROUPS = ("pattern", "rule", "year")


def hit_rates(events: pl.DataFrame, by: str) -> pl.DataFrame:
    """Figures of events by pattern, rule or year, and side, in that order.

    `events` are rows of pattern_labels with `rules`, those that selected their day, with commas
    between: an event counts under each. `hits` is the share with side x return above 0, of
    `hits_after_cost` above the cost, `profit` and `stop` are the shares that touched that barrier
    first (the rest ran out of time), `mean_gain` is the mean of side x return, before cost, and
    `mean_cost` that of the round trip, fractions of the price.
    """
    gain = pl.col("side") * pl.col("label_return")
    groups = {
        "pattern": pl.col("pattern"),
        "rule": pl.col("rules"),
        "year": pl.col("date").dt.year(),
    }
    named = events.with_columns(
        groups[by].cast(pl.String).alias("group"), gain.alias("gain")
    ).filter(pl.col("group").is_not_null())
    if by == "rule":
        named = named.with_columns(pl.col("group").str.split(",")).explode("group")
    has_return = pl.col("gain").is_not_null()
    figures = {
        "events": pl.len().cast(pl.Int64),
        "without_return": (~has_return).sum().cast(pl.Int64),
        "hits": pl.col("meta_label").mean(),
        "hits_after_cost": pl.col("meta_label_after_cost").mean(),
        "profit": (pl.col("label") == 1).filter(has_return).mean(),
        "stop": (pl.col("label") == -1).filter(has_return).mean(),
        "mean_gain": pl.col("gain").mean(),
        "mean_cost": pl.col("round_trip_cost").filter(has_return).mean(),
    }
    return named.group_by("group", "side").agg(**figures).sort("group", "side")


def typical_events(events: pl.DataFrame) -> pl.DataFrame:
    """Of each pattern the event whose side x return is the median: no better than most.

    The lower of two; of equal ones the first by t0 and ticker.
    """
    gain = (pl.col("side") * pl.col("label_return")).alias("gain")
    known = events.with_columns(gain).drop_nulls("gain").sort("pattern", "gain", "t0", "ticker")
    place = pl.int_range(pl.len()).over("pattern")
    middle = ((pl.len() - 1) // 2).over("pattern")
    return known.filter(place == middle).drop("gain")
