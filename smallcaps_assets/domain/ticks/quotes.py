"""Which quotes count, and in which unit their sizes are.

Ids of conditions are those of quotes: the vendor uses the same numbers for trades with other
meanings (see `conditions.py`).
"""

from __future__ import annotations

import polars as pl

NOT_FIRM = (15, 18, 19, 20)
"""Closed, indication of a trading range, market maker closed, non-firm."""
ROUND_LOT = 100
LEAST_SIZES = 100


def is_firm(conditions: pl.Series) -> pl.Series:
    """Whether each quote, by its list of conditions, obliges who made it."""
    if not conditions.explode().is_in(list(NOT_FIRM)).any():
        return pl.repeat(True, conditions.len(), dtype=pl.Boolean, eager=True)
    return conditions.list.set_intersection(list(NOT_FIRM)).list.len() == 0


def size_unit(sizes: pl.Series, is_in_shares: bool) -> int:
    """The shares in one unit of a day's sizes: 100 for round lots, else 1.

    `is_in_shares` is what the day says. A hundred sizes or more that are all round in hundreds are
    shares, whatever the day: counts of lots are not.
    """
    known = sizes.filter(sizes > 0)
    is_round = known.len() >= LEAST_SIZES and (known % ROUND_LOT == 0).all()
    return 1 if is_in_shares or is_round else ROUND_LOT
