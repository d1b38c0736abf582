"""Ticks and minutes into time bars."""

from __future__ import annotations

import polars as pl
import pytest

from smallcaps_assets.domain.ticks.intervals import IntervalError, coarser_bars, time_bars
from smallcaps_assets_tests.domain.bars.test_build import minutes_frame
from smallcaps_assets_tests.domain.tick_frames import at, tape_of, trade


def test_time_bars_use_price_forming_prices_and_all_volume():
    rows = [
        trade("10:00:00", 10.0, 100.0),
        trade("10:00:01", 12.0, 50.0, [37]),
        trade("10:00:59", 10.5, 100.0),
        trade("10:02:00", 9.0, 5.0, [37]),
    ]
    bars = time_bars(tape_of(rows).ticks, "1m")
    assert bars["window_start"].to_physical().to_list() == [at("10:00:00"), at("10:02:00")]
    assert bars.select("open", "high", "low", "close", "volume", "transactions").rows() == [
        (10.0, 10.5, 10.0, 10.5, 250.0, 3),
        (None, None, None, None, 5.0, 1),
    ]
    assert bars["vwap"].to_list() == pytest.approx([(1000 + 600 + 1050) / 250, 9.0])


@pytest.mark.parametrize(("every", "start"), [("1s", "10:01:07"), ("4h", "08:00:00")])
def test_time_bars_are_aligned_to_new_york(every, start):
    bars = time_bars(tape_of([trade("10:01:07.25")]).ticks, every)
    assert bars["window_start"].to_physical().to_list() == [at(start)]


def test_coarser_bars_join_minutes_by_ticker():
    minutes = minutes_frame(
        [
            ("09:59:00", 1.0, 2.0, 0.5, 1.5, 10.0, 1.0),
            ("09:30:00", 3.0, 3.5, 2.5, 3.0, 30.0, 3.0),
            ("10:00:00", 1.0, 1.0, 1.0, 1.0, 5.0, None),
        ]
    )
    other = minutes.head(1).with_columns(ticker=pl.lit("BB"))
    bars = coarser_bars(pl.concat([other, minutes]), "1h")
    assert bars.select("ticker", "open", "high", "low", "close", "volume", "vwap").rows() == [
        ("AAME", 3.0, 3.5, 0.5, 1.5, 40.0, 2.5),
        ("AAME", 1.0, 1.0, 1.0, 1.0, 5.0, None),
        ("BB", 1.0, 2.0, 0.5, 1.5, 10.0, 1.0),
    ]


@pytest.mark.parametrize("every", ["", "1", "0m", "5 m", "1d"])
def test_interval_given_nonsense_names_good_ones(every):
    with pytest.raises(IntervalError, match="try 1s, 5m or 4h"):
        time_bars(tape_of([trade("10:00:00")]).ticks, every)


def test_coarser_bars_given_seconds_are_refused():
    with pytest.raises(IntervalError, match="finer"):
        coarser_bars(minutes_frame([]), "30s")
