"""Bars of a tape: contract, halts, remainders, auctions, masks, targets, minutes, diagnostics."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from smallcaps_assets.domain.bars.arrays import BarError, BarKind, bars_from_arrays
from smallcaps_assets.domain.bars.build import (
    activity_target,
    build_bars,
    dollar_bars,
    dollar_imbalance_bars,
    volume_activity_target,
    volume_bars,
    volume_imbalance_bars,
)
from smallcaps_assets.domain.guards import ArrayError
from smallcaps_assets.domain.market.calendar import session_hours
from smallcaps_assets.domain.minute_fallback import bars_from_minutes
from smallcaps_assets.schemas import TABLES
from smallcaps_assets.settings import Settings
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

HOURS = session_hours(DAY)


def bar_settings(**changes):
    return Settings().bars.model_copy(update=changes)


def random_tape(seed=1, count=400):
    rng = np.random.default_rng(seed)
    prices = np.round(5 + 0.01 * rng.integers(-1, 2, count).cumsum(), 2)
    codes = [[], [37], [14], [17]]
    first = at("09:35:00")
    rows = [
        trade(first + n * SECOND, p, float(rng.integers(1, 900)), codes[rng.integers(4)])
        for n, p in enumerate(prices)
    ]
    return tape_of(rows)


@pytest.mark.parametrize("kind", list(BarKind))
@pytest.mark.parametrize("count", [0, 1, 400])
def test_bars_given_any_number_of_ticks_fulfil_their_contract(kind, count):
    tape = random_tape(count=count)
    target = 20_000 if kind.in_dollars else 4_000
    bars = build_bars(tape, kind, SETTINGS.bars, target)
    assert TABLES[kind].validate(bars).equals(bars)
    assert bars["volume"].sum() == pytest.approx(tape.ticks["size"].sum())
    assert bars["ticks"].sum() == tape.ticks.height
    assert (bars["reason"] == "threshold").sum() > 5 or count < 2


def test_named_functions_equal_build_bars():
    tape, settings = random_tape(), bar_settings(dollar_imbalance_target=9_000)
    pairs = [
        (dollar_bars(tape, 7_000), BarKind.DOLLAR, 7_000),
        (volume_bars(tape, 900), "volume_bars", 900),
        (dollar_imbalance_bars(tape, settings), BarKind.DOLLAR_IMBALANCE, 9_000),
        (volume_imbalance_bars(tape, settings, 800), BarKind.VOLUME_IMBALANCE, 800),
    ]
    for found, kind, target in pairs:
        assert found.equals(build_bars(tape, kind, settings, target))


def test_remainder_is_known_at_the_session_end_and_full_bars_at_their_close():
    bars = dollar_bars(tape_of(walk([10.0] * 3)), 2_000)
    assert bars["reason"].to_list() == ["threshold", "session"]
    known = bars["known_at"].to_physical().to_list()
    assert known == [at("10:00:01"), HOURS.close]


def test_remainder_given_closing_prints_is_known_with_the_last_of_them():
    bars = dollar_bars(tape_of([trade("15:59:00"), trade("16:00:09", conditions=[8])]), 1e9)
    assert bars["known_at"].to_physical().to_list() == [at("16:00:09")]
    assert bars["unsigned_volume"].to_list() == [200.0]


def test_halt_cuts_the_bar_and_makes_the_remainder_known_when_the_halt_is():
    rows = [*walk([10.0] * 2), trade("10:06:00"), trade("10:06:01")]
    tape = tape_of(rows, halts=halts_frame(("10:01:00", "10:05:00"), ("15:00:00", None)))
    bars = dollar_bars(tape, 1e9)
    assert bars["reason"].to_list() == ["halt", "halt"]
    assert bars["ticks"].to_list() == [2, 2]
    assert bars["known_at"].to_physical().to_list() == [at("10:01:00"), at("15:00:00")]


def test_halt_without_trades_between_two_cuts_once():
    feed = halts_frame(("10:01:00", "10:05:00"), ("10:05:30", "10:10:00"))
    bars = dollar_bars(tape_of([*walk([10.0] * 2), trade("10:11:00")], halts=feed), 1e9)
    assert bars["reason"].to_list() == ["halt", "session"]
    assert bars["known_at"].to_physical()[0] == at("10:01:00")


def test_remainder_never_updates_the_average():
    # Up 1 share at a time to 100; then the halt cuts 60; the next bar still faces its threshold.
    rows = walk([10.0, *(10.0 + n / 100 for n in range(1, 4))], size=50.0)
    rows += [trade("10:06:00", 10.04, 60.0), trade("10:20:00", 10.05, 60.0)]
    feed = halts_frame(("10:05:00", "10:05:30"), ("10:10:00", "10:15:00"))
    tape = tape_of(rows, halts=feed)
    bars = volume_imbalance_bars(tape, bar_settings(gamma=1.0, kappa=4.0), 100)
    assert bars["reason"].to_list() == ["threshold", "halt", "halt", "session"]
    assert bars["threshold"].n_unique() == 1
    assert bars["expected_ticks"].to_list() == [None, 3.0, 3.0, 3.0]


def test_auction_has_price_and_volume_but_adds_nothing_to_theta():
    rows = [*walk([10.0, 10.1]), trade("10:00:05", 12.0, 1e6, [28]), trade("10:00:06", 12.1, 1.0)]
    tape = tape_of(rows, halts=halts_frame())
    bar = volume_imbalance_bars(tape, SETTINGS.bars, 1e9).row(0, named=True)
    assert (bar["theta"], bar["high"], bar["volume"]) == (101.0, 12.1, 1_000_201.0)
    assert bar["unsigned_volume"] == 1_000_100.0


def test_bar_of_odd_lots_keeps_the_last_price_else_the_first_trade():
    rows = [
        trade("10:00:00", 10.0, 100.0, [37]),
        trade("10:00:01", 10.5, 100.0),
        trade("10:00:02", 11.0, 50.0, [37]),
        trade("10:00:03", 12.0, 50.0, [37]),
    ]
    bars = volume_bars(tape_of(rows), 100)
    assert bars.select("open", "high", "low", "close").rows() == [
        (10.0,) * 4, (10.5,) * 4, (10.5,) * 4,
    ]  # fmt: skip


def test_clamped_bar_is_one_whose_adapted_threshold_sits_at_a_limit():
    prices = [10.0, *(10 + n / 100 for n in range(1, 60))]
    bars = volume_imbalance_bars(tape_of(walk(prices)), bar_settings(gamma=1.0, kappa=1.5), 250)
    assert bars["is_clamped"][0] is False
    limits = bars.filter(pl.col("is_clamped"))["threshold"].unique().to_list()
    assert set(limits) <= {250 * 1.5, 250 / 1.5}
    assert len(limits) == 1


def test_zero_gamma_is_a_fixed_threshold():
    bars = build_bars(random_tape(), BarKind.DOLLAR_IMBALANCE, bar_settings(gamma=0.0), 5_000)
    assert bars["threshold"].unique().to_list() == [5_000.0]


def test_bars_given_chunked_tape_and_rebuilt_are_the_same_bytes():
    first, second = (dollar_imbalance_bars(random_tape(), SETTINGS.bars, 9_000) for _ in range(2))
    assert first.equals(second)


def test_activity_target_scales_clips_and_falls_back():
    fixed, scaled = SETTINGS.bars, bar_settings(activity_scale=0.001)
    assert activity_target(9e9, fixed) == fixed.dollar_imbalance_target
    assert activity_target(40e6, scaled) == 40_000
    assert activity_target(1.0, scaled) == scaled.min_activity_target
    assert activity_target(1e12, scaled) == scaled.max_activity_target
    assert activity_target(None, scaled) == scaled.dollar_imbalance_target
    assert volume_activity_target(2e6, scaled) == 10_000
    assert volume_activity_target(2e6, fixed) == fixed.volume_target


def minutes_frame(rows):
    """Minute bars from (clock, open, high, low, close, volume, vwap)."""
    columns = TABLES["minute_bars"].columns
    full = [
        {
            "date": DAY,
            "ticker": "AAME",
            "window_start": at(clock),
            "open": o, "high": h, "low": low, "close": c, "volume": v, "vwap": vwap,
            "transactions": 1,
        }
        for clock, o, h, low, c, v, vwap in rows
    ]  # fmt: skip
    raw = {n: pl.Int64() if isinstance(t, pl.Datetime) else t for n, t in columns.items()}
    return pl.DataFrame(full, schema=raw).select(pl.col(n).cast(t) for n, t in columns.items())


def test_bars_from_minutes_sign_by_close_and_carry_the_minutes_prices():
    minutes = minutes_frame(
        [
            ("03:59:00", 9.0, 9.0, 9.0, 9.0, 100.0, 9.0),
            ("09:29:00", 10.0, 10.0, 10.0, 10.0, 100.0, 10.0),
            ("09:30:00", 10.0, 10.6, 9.8, 10.5, 100.0, None),
            ("09:32:00", 10.5, 10.9, 10.4, 10.5, 100.0, 10.45),
            ("15:59:00", 10.4, 10.4, 10.1, 10.2, 100.0, 10.2),
            ("16:00:00", 10.4, 10.4, 10.1, 10.2, 100.0, 10.2),
        ]
    )
    bars = bars_from_minutes(minutes, HOURS, BarKind.VOLUME_IMBALANCE, SETTINGS.bars, 200)
    assert TABLES["volume_imbalance_bars"].validate(bars).equals(bars)
    assert bars["source"].unique().to_list() == ["minutes"]
    assert bars["ticks"].to_list() == [3, 1]
    first = bars.row(0, named=True)
    assert (first["theta"], first["unsigned_volume"], first["buy_volume"]) == (200.0, 100.0, 200.0)
    prices = [first[n] for n in ("open", "high", "low", "close")]
    assert prices == [10.0, 10.9, 9.8, 10.5]
    assert first["dollar_volume"] == pytest.approx(100 * (10.0 + (10.6 + 9.8 + 10.5) / 3 + 10.6))
    times = bars.select(pl.col("open_timestamp", "close_timestamp", "known_at").to_physical())
    assert times.row(0) == (at("09:29:00"), at("09:33:00"), at("09:33:00"))
    assert times.row(1) == (at("15:59:00"), HOURS.close, HOURS.close)
    assert bars["segment"].to_list() == ["regular", "regular"]


@pytest.mark.parametrize("kind", list(BarKind))
def test_bars_from_no_minutes_are_none(kind):
    assert bars_from_minutes(minutes_frame([]), HOURS, kind, SETTINGS.bars).is_empty()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([2, 1], [1.0, 1.0], [1.0, 1.0]), "sort by time"),
        (([1], [float("nan")], [1.0]), "prices.0. is nan"),
        (([1], [0.0], [1.0]), "expected > 0"),
        (([1], [1.0], [-1.0]), "expected >= 0"),
        (([1, 2], [1.0], [1.0]), "prices has 1 values, timestamps has 2"),
        (([1.5], [1.0], [1.0]), "cast instants to int64"),
    ],
)
def test_arrays_that_make_no_bars_are_refused_in_words(arguments, message):
    with pytest.raises(ArrayError, match=message):
        bars_from_arrays(*arguments, BarKind.DOLLAR, 10.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": 0.0}, "target is 0.0"),
        ({"kappa": 0.5}, "kappa >= 1"),
        ({"gamma": 1.5}, "gamma"),
        ({"alpha": 0.0}, "alpha"),
    ],
)
def test_parameters_that_make_no_bars_are_refused(change, message):
    with pytest.raises(BarError, match=message):
        bars_from_arrays([1], [1.0], [1.0], BarKind.DOLLAR, **({"target": 5.0} | change))


def test_resuming_with_earlier_ticks_is_refused():
    _, state = bars_from_arrays([5], [1.0], [1.0], BarKind.DOLLAR, 10.0, final=False)
    with pytest.raises(ArrayError, match="before the state's last 5"):
        bars_from_arrays([4], [1.0], [1.0], BarKind.DOLLAR, 10.0, state=state)


def test_empty_arrays_give_no_bars():
    frame, state = bars_from_arrays([], [], [], BarKind.DOLLAR_IMBALANCE, 10.0)
    assert frame.is_empty()
    assert state.threshold == 10.0
    assert state.expected_ticks is None
