"""Firm quotes, and the unit of their sizes."""

from __future__ import annotations

import polars as pl
import pytest

from smallcaps_assets.domain.ticks.quotes import is_firm, size_unit


def test_quotes_are_firm_unless_a_condition_says_otherwise():
    conditions = pl.Series([[], [1], [20], [1, 19]], dtype=pl.List(pl.Int16))
    assert is_firm(conditions).to_list() == [True, True, False, False]
    assert is_firm(conditions[:2]).to_list() == [True, True]
    assert is_firm(conditions[:0]).to_list() == []


@pytest.mark.parametrize(
    ("sizes", "is_in_shares", "unit"),
    [
        ([1, 20, 300], False, 100),
        ([1, 20, 300], True, 1),
        ([100, 0, 300], False, 100),
        ([100, 0, 300] * 60, False, 1),
        ([*[100, 300] * 60, 250], False, 100),
        ([], False, 100),
        ([0, None], True, 1),
    ],
    ids=["lots", "shares", "few", "round", "almost", "none", "nothing"],
)
def test_unit_is_by_the_day_unless_all_sizes_are_round(sizes, is_in_shares, unit):
    assert size_unit(pl.Series(sizes, dtype=pl.Float64), is_in_shares) == unit
