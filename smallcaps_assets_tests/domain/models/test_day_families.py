"""Tests of families of days: descriptors by hand, clusters that were planted, stability."""

from __future__ import annotations

import math
from datetime import date

import numpy as np
import polars as pl
import pytest

from smallcaps_assets.domain.market.calendar import session_hours, sessions
from smallcaps_assets.domain.models.day_families import (
    DESCRIPTORS,
    day_descriptors,
    day_families,
    kind_of,
    shares_by_year,
    stability,
)

DAY = date(2024, 12, 24)  # an early close, 13:00
HOURS = session_hours(DAY)
MINUTE = 60_000_000_000


def minutes(ticker: str, *rows: tuple[int, float, float, float, float, float]) -> pl.DataFrame:
    """Minutes of a ticker: minutes from the open, open, high, low, close, volume."""
    columns = ("open", "high", "low", "close", "volume")
    frame = pl.DataFrame([row[1:] for row in rows], schema=columns, orient="row")
    starts = pl.Series([HOURS.open + row[0] * MINUTE for row in rows])
    return frame.select(
        pl.lit(DAY).alias("date"),
        pl.lit(ticker).alias("ticker"),
        starts.cast(pl.Datetime("ns", "UTC")).alias("window_start"),
        *columns,
    )


def test_a_day_is_described_by_its_regular_hours() -> None:
    rows = pl.concat(
        [
            minutes(
                "A",
                (-30, 9.0, 9.0, 9.0, 9.0, 100.0),
                (0, 4.0, 5.0, 4.0, 5.0, 200.0),
                (105, 5.0, 8.0, 5.0, 8.0, 100.0),
                (209, 8.0, 8.0, 2.0, 4.0, 600.0),
                (210, 99.0, 99.0, 1.0, 50.0, 5000.0),  # after the early close
            ),
            minutes("B", (-5, 1.0, 1.0, 1.0, 1.0, 7.0)),  # no regular print: no row
        ]
    )
    metrics = pl.DataFrame({"date": [DAY], "ticker": ["A"], "gap": [0.3], "rvol30": [math.e]})
    (found,) = day_descriptors(rows, metrics, HOURS).to_dicts()
    assert (found["date"], found["ticker"]) == (DAY, "A")
    wanted = {
        "gap": 0.3,
        "log_relative_volume": 1.0,
        "day_return": 0.0,
        "rise": math.log(2),
        "fall": -math.log(2),
        "fade": -math.log(2),
        "close_position": 1 / 3,
        "high_at": 0.5,
        "low_at": 209 / 210,
        "first_hour_volume": 0.2,
        "premarket_volume": 0.1,
        "steadiness": 0.0,
    }
    assert list(wanted) == [*DESCRIPTORS]
    for name, value in wanted.items():
        assert found[name] == pytest.approx(value), name


def planted(years: int = 2, each: int = 40, seed: int = 1) -> tuple[pl.DataFrame, np.ndarray]:
    """Days of two kinds and some of none, and the kind of each."""
    random = np.random.default_rng(seed)
    days = [
        day
        for year in range(years)
        for day in sessions(date(2023 + year, 1, 3), date(2023 + year, 12, 20))[: 2 * each + 10]
    ]
    kinds = np.array(([0] * each + [1] * each + [-1] * 10) * years)
    centre = np.array([[3.0] * 6 + [0.0] * 6, [0.0] * 6 + [3.0] * 6, [0.0] * 12])
    spread = np.where(kinds == -1, 4.0, 0.3)[:, None]
    values = centre[kinds] + spread * random.standard_normal((len(days), 12))
    frame = pl.DataFrame({"date": days, "ticker": ["A"] * len(days)})
    return frame.with_columns(
        pl.Series(name, column) for name, column in zip(DESCRIPTORS, values.T, strict=True)
    ), kinds


def test_planted_families_are_found_and_are_the_same_every_year() -> None:
    pytest.importorskip("sklearn")
    days, kinds = planted()
    found = day_families(days, 0.1)
    assert found["date"].is_sorted()
    for kind in (0, 1):
        own = found.filter(pl.Series(kinds == kind))["family"]
        assert (own.value_counts(sort=True)["count"][0] / own.len()) > 0.9
    assert found["family"].n_unique() == 3
    assert found.filter(pl.col("family") == -1)["name"].unique().to_list() == ["none"]
    assert found.filter(pl.col("family") == -1)["strength"].max() == 0
    stable = stability(found, 0.1)
    assert stable["year"].to_list() == [2023, 2024]
    assert stable["agreement"].min() > 0.8  # type: ignore[operator]
    shares = shares_by_year(found)
    assert shares.group_by("year").agg(pl.col("share").sum())["share"].to_list() == [1.0, 1.0]
    again = day_families(days.sample(fraction=1, shuffle=True, seed=3), 0.1)
    assert again.equals(found)


def test_days_without_order_and_too_few_have_no_family() -> None:
    pytest.importorskip("sklearn")
    days, _ = planted(1, 4)
    few = day_families(days.head(6), 0.1)
    assert few["family"].to_list() == [-1] * 6
    assert stability(few, 0.1)["agreement"].to_list() == [None]
    assert day_families(days.clear(), 0.1).is_empty()


def test_an_unknown_descriptor_counts_as_the_median() -> None:
    pytest.importorskip("sklearn")
    days, _ = planted()
    holes = days.with_columns(gap=pl.lit(None, pl.Float64))
    assert day_families(holes, 0.1)["family"].n_unique() == 3


def test_kinds_are_named_by_their_medians() -> None:
    def kind(**medians: float) -> str:
        return kind_of({**dict.fromkeys(DESCRIPTORS, 0.0), **medians})

    assert kind(day_return=0.3, rise=0.4, high_at=0.1) == "pump"
    assert kind(day_return=0.3, rise=0.4, high_at=0.9) == "squeeze"
    assert kind(day_return=0.3, rise=0.4, steadiness=0.3) == "grind"
    assert kind(day_return=-0.1, rise=0.4, fade=-0.5) == "fader"
    assert kind(day_return=-0.1, rise=0.01, fade=-0.11) == "slide"
    assert kind(day_return=0.01, rise=0.02) == "flat"
