"""Rows of feeds as tables: the moment from which a figure without history may be used."""

from __future__ import annotations

from datetime import UTC, date, datetime

import polars as pl

from smallcaps_assets.domain.feeds.tables import free_float
from smallcaps_assets.schemas import TABLES

EFFECTIVE = date(2024, 12, 2)


def figures(shares: float) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "ticker": ["A"],
            "effective_date": [EFFECTIVE],
            "free_float": [shares],
            "free_float_percent": [50.0],
        }
    )


def midnight(day: int) -> datetime:
    """Midnight in New York with which a day of December begins."""
    return datetime(2024, 12, day, 5, tzinfo=UTC)


def test_float_is_known_from_its_first_reading_and_never_before():
    nothing = TABLES["free_float"].empty()
    on_time = free_float(figures(5.0), nothing, EFFECTIVE)
    assert on_time["known_at"].to_list() == [midnight(4)]
    late = free_float(figures(5.0), nothing, date(2024, 12, 20))
    assert late["known_at"].to_list() == [midnight(21)]


def test_float_read_again_keeps_its_moment_and_a_changed_one_gets_a_new():
    first = free_float(figures(5.0), TABLES["free_float"].empty(), EFFECTIVE)
    again = free_float(figures(5.0), first, date(2024, 12, 20))
    assert again.equals(first)
    changed = free_float(figures(6.0), first, date(2024, 12, 20))
    assert changed.select("free_float", "known_at").rows() == [(6.0, midnight(21))]
