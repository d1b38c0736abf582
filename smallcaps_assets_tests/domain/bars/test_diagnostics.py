"""Figures of a ticker-session, and which of them warn."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest

from smallcaps_assets.domain.bars.build import build_bars, dollar_bars, volume_imbalance_bars
from smallcaps_assets.domain.bars.diagnostics import (
    against_poisson,
    bar_diagnostics,
    diagnostics_frame,
    excluded_volume,
    fano_factor,
    session_diagnostics,
    warnings_about,
)
from smallcaps_assets_tests.domain.bars.test_build import bar_settings, random_tape
from smallcaps_assets_tests.domain.tick_frames import (
    DAY,
    SECOND,
    SETTINGS,
    at,
    halts_frame,
    tape_of,
    trade,
    walk,
)


def test_diagnostics_given_a_quiet_rich_day_flags_spacing_and_scarcity():
    rows = [trade(at("10:00:00") + n * 400 * SECOND, 10.0, 300_000.0) for n in range(3)]
    found = bar_diagnostics(dollar_bars(tape_of(rows, halts=halts_frame()), 1_000_000))
    assert (found.bars, found.dollar_volume) == (3, 9_000_000.0)
    assert (found.median_spacing_seconds, found.is_slow, found.is_scarce) == (400.0, True, True)
    assert not found.is_often_clamped


def test_diagnostics_given_a_clamped_day_flags_it():
    prices = [10.0, *(10 + n / 100 for n in range(1, 60))]
    bars = volume_imbalance_bars(tape_of(walk(prices)), bar_settings(gamma=1.0, kappa=1.0), 250)
    found = bar_diagnostics(bars)
    assert found.clamped_share > 0.9
    assert found.is_often_clamped


def test_diagnostics_given_no_bars_flag_nothing():
    found = bar_diagnostics(dollar_bars(tape_of([]), 1000))
    assert (found.bars, found.is_slow, found.is_scarce) == (0, False, False)


def test_session_diagnostics_count_what_is_left_out_and_unsigned():
    rows = [
        trade("10:00:00", 10.0, 50.0),
        trade("10:00:01", 10.0, 30.0),
        trade("10:00:02", 10.1, 20.0),
        trade("10:00:03", 10.1, 900.0, [9]),
        trade("10:00:04", 10.1, 75.0, [2]),
        trade("10:00:05", 10.1, 25.0, [7]),
    ]
    tape = tape_of(rows, halts=halts_frame())
    found = session_diagnostics(tape, dollar_bars(tape, 1e9))
    assert (found.ticker, found.date, found.bars) == ("AAME", DAY, 0)
    assert found.excluded_share == pytest.approx(100 / 1100)
    assert found.unsigned_share == pytest.approx(80 / 100)
    assert found.odd_lots_reported
    left_out = excluded_volume(tape)
    assert left_out.select("reason", "trades", "volume").rows() == [
        ("average price trade", 1, 75.0),
        ("cash sale", 1, 25.0),
    ]
    assert left_out["share"].to_list() == pytest.approx([75 / 1100, 25 / 1100])


def test_session_diagnostics_of_an_empty_tape_warn_of_nothing():
    tape = tape_of([])
    found = session_diagnostics(tape, dollar_bars(tape, 1000))
    assert (found.bars, found.fano_factor, found.excluded_share) == (0, None, 0.0)
    assert warnings_about(found) == []
    assert excluded_volume(tape).is_empty()


def test_fano_factor_is_zero_for_even_bars_and_large_for_a_burst():
    even = tape_of([trade(at("10:00:00") + n * 300 * SECOND) for n in range(11)])
    assert fano_factor(even.times, dollar_bars(even, 1000)) == 0.0
    rows = [*walk([10.0] * 20), trade("10:50:00")]
    burst = tape_of(rows, halts=halts_frame())
    assert fano_factor(burst.times, dollar_bars(burst, 1000)) == pytest.approx(18.0)
    assert fano_factor(burst.times[:20], dollar_bars(burst, 1000)) is None


def test_bars_per_day_stand_beside_their_poisson_reference():
    counts = pl.DataFrame(
        {"ticker": ["A", "A", "A", "B", "C"], "date": [1, 2, 3, 1, 1], "bars": [16, 25, 7, 9, 0]}
    )
    found = against_poisson(counts)
    assert found["expected_bars"].to_list() == [16.0] * 3 + [9.0, 0.0]
    assert found["poisson_deviations"].to_list() == [0.0, 2.25, -2.25, 0.0, None]
    assert found["dispersion"].to_list() == pytest.approx([81 / 16] * 3 + [None, None])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"clamped_share": 0.21}, "21% of the bars have a clamped threshold"),
        ({"median_spacing_seconds": 301.0}, "over 301 s apart"),
        ({"bars": 29, "dollar_volume": 5e6 + 1}, "29 bars on 5,000,001 dollars"),
        ({"excluded_share": 0.21}, "21% of the volume is left out"),
        ({"unsigned_share": 0.06}, "6% of the volume has no sign"),
    ],
)
def test_warnings_name_the_ticker_session_the_figure_and_the_remedy(change, message):
    tape = random_tape()
    sound = session_diagnostics(tape, build_bars(tape, "dollar_bars", SETTINGS.bars, 5_000))
    limits = {
        "clamped_share": 0.2,
        "median_spacing_seconds": 300.0,
        "bars": 30,
        "dollar_volume": 5e6 + 1,
        "excluded_share": 0.2,
        "unsigned_share": 0.05,
    }
    at_limits = replace(sound, **limits)
    assert warnings_about(sound) == warnings_about(at_limits) == []
    (found,) = warnings_about(replace(at_limits, **change))
    assert found.startswith("AAME 2021-02-05: ")
    assert message in found
    assert ";" in found


def test_diagnostics_frame_has_a_row_per_ticker_session():
    tape = random_tape()
    found = session_diagnostics(tape, dollar_bars(tape, 5_000))
    frame = diagnostics_frame([found, replace(found, fano_factor=None)])
    assert frame.height == 2
    assert frame["bars"].to_list() == [found.bars] * 2
