"""The page on families of days: paths from the open, a picture per family."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
import pytest

from smallcaps_assets.domain.market.calendar import session_hours
from smallcaps_assets.domain.models.day_families import DESCRIPTORS, shares_by_year
from smallcaps_assets.reports.family_page import family_page, paths_of
from smallcaps_assets_tests.reports.page import Page

DAY = date(2024, 12, 16)
MINUTE = 60_000_000_000


def minutes(ticker: str, *rows: tuple[int, float, float]) -> pl.DataFrame:
    """Minutes from the open with their open and close."""
    starts = pl.Series([session_hours(DAY).open + row[0] * MINUTE for row in rows])
    return pl.DataFrame(
        {
            "ticker": [ticker] * len(rows),
            "date": [DAY] * len(rows),
            "window_start": starts.cast(pl.Datetime("ns", "UTC")),
            "open": [row[1] for row in rows],
            "close": [row[2] for row in rows],
        }
    )


def test_paths_begin_with_the_first_print_and_hold_the_last_close() -> None:
    rows = pl.concat(
        [
            minutes("A", (-5, 9.0, 9.0), (7, 4.0, 5.0), (389, 5.0, 8.0), (390, 1.0, 1.0)),
            minutes("B", (-5, 9.0, 9.0)),
        ]
    )
    found = paths_of([rows])
    assert list(found) == [("A", DAY)]
    path = found["A", DAY]
    assert path.shape == (78,)
    assert np.isnan(path[0])  # at 09:35 there was no print yet; the minute from 09:37 ends at 09:38
    assert path[1] == path[76] == pytest.approx(0.25)
    assert path[77] == pytest.approx(1.0)


def test_page_has_a_picture_of_each_family_and_none_of_none() -> None:
    days = pl.DataFrame(
        {
            "date": [DAY] * 3,
            "ticker": ["A", "B", "C"],
            "family": pl.Series([0, 1, -1], dtype=pl.Int32),
            "name": ["pump", "fader", "none"],
        }
    ).with_columns(pl.lit(0.1).alias(name) for name in DESCRIPTORS)
    stable = pl.DataFrame(
        {"year": [2024], "days": [3], "unclustered": [1 / 3], "agreement": [None]},
        schema_overrides={"agreement": pl.Float64},
    )
    prices = [minutes("A", (0, 4.0, 5.0), (300, 5.0, 6.0)), minutes("B", (0, 4.0, 3.0))]
    page = Page(family_page(days, shares_by_year(days), stable, iter(prices), "simulated"))
    assert not page.open
    pictures = [image["alt"] for image in page.of("img")]
    assert pictures == [
        "pump: the median path of 1 days, and the middle half of them.",
        "fader: the median path of 1 days, and the middle half of them.",
    ]
    assert "never a feature" in page.text
