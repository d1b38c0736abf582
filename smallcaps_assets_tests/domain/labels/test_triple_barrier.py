"""Triple-barrier and forward labels of a tape, and the fallback on bars."""

from __future__ import annotations

import re

import polars as pl
import pytest

from smallcaps_assets.domain.bars.arrays import BarKind
from smallcaps_assets.domain.bars.build import build_bars, volume_imbalance_bars
from smallcaps_assets.domain.guards import ArrayError
from smallcaps_assets.domain.labels.forward_returns import forward_return_arrays
from smallcaps_assets.domain.labels.paths import LabelError
from smallcaps_assets.domain.labels.triple_barrier import (
    triple_barrier_arrays,
    triple_barrier_labels,
)
from smallcaps_assets.domain.market.calendar import session_hours
from smallcaps_assets.domain.minute_fallback import (
    bars_from_minutes,
    minute_path,
    triple_barrier_on_bars,
)
from smallcaps_assets.schemas import TABLES
from smallcaps_assets.settings import Settings, TickSettings
from smallcaps_assets_tests.domain.bars.test_build import minutes_frame
from smallcaps_assets_tests.domain.tick_frames import (
    DAY,
    SECOND,
    at,
    halts_frame,
    tape_of,
    trade,
    walk,
)

LABELS = Settings().labels
BARS = Settings().bars
HOURS = session_hours(DAY)
START = at("10:00:00")
# Two trades make the bar: an up-tick of 100 shares against a threshold of 100.
TRIGGER = walk([9.99, 10.0])


def label_settings(**changes):
    return LABELS.model_copy(update=changes)


def labels_of(rows, settings=LABELS, halts=None, ticks=None):
    """Labels of trades after TRIGGER, whose bar closes at 10:00:01 with price 10."""
    ticks = ticks or Settings().ticks
    tape = tape_of(
        [*TRIGGER, *rows], settings=ticks, halts=halts_frame() if halts is None else halts
    )
    bars = volume_imbalance_bars(tape, BARS, 100)
    found = triple_barrier_labels(tape, bars, settings)
    return TABLES["triple_barrier_labels"].validate(found)


def first(rows, *names, **options):
    row = labels_of(rows, **options).row(0, named=True)
    picked = [row[name] for name in names]
    return picked[0] if len(names) == 1 else tuple(picked)


def instant_of(frame, name, row=0):
    return frame[name].to_physical()[row]


def test_take_profit_touch_gives_one_with_the_return_of_the_print():
    frame = labels_of([trade("10:05:00", 11.0), trade("10:06:00", 11.8, 1.0)])
    row = frame.row(0, named=True)
    assert (row["label"], row["touch_tick"], row["path_ticks"]) == (1, 3, 2)
    assert row["label_return"] == pytest.approx(0.18)
    assert instant_of(frame, "t1") == at("10:06:00")
    assert instant_of(frame, "t0") == at("10:00:01")
    assert instant_of(frame, "vertical_barrier") == at("10:15:01")
    assert (row["take_profit"], row["stop_loss"], row["price_at_t0"]) == (0.15, 0.10, 10.0)
    assert row["is_touch_confirmed"] is False


def test_odd_lot_beyond_the_barrier_touches_nothing():
    rows = [trade("10:05:00", 12.0, 5.0, [37]), trade("10:06:00", 10.1, 1.0)]
    assert first(rows, "label", "path_ticks") == (0, 1)


@pytest.mark.parametrize(
    ("later", "confirmed"),
    [
        ([("10:06:10", 8.9)], True),
        ([("10:06:10.001", 8.9)], False),
        ([("10:06:05", 9.5)], False),
    ],
)
def test_touch_is_confirmed_by_a_second_print_within_ten_seconds(later, confirmed):
    rows = [trade("10:06:00", 8.5, 1.0), *(trade(t, p, 1.0) for t, p in later)]
    assert first(rows, "label", "is_touch_confirmed") == (-1, confirmed)


@pytest.mark.parametrize(("when", "label"), [("10:15:01", 1), ("10:15:01.000000001", 0)])
def test_touch_at_exactly_the_vertical_barrier_counts(when, label):
    exact = at("10:15:01") if when == "10:15:01" else at("10:15:01") + 1
    assert first([trade(exact, 11.5, 1.0)], "label") == label


def test_timeout_returns_the_last_price_and_is_known_at_the_barrier():
    frame = labels_of([trade("10:03:00", 10.2, 1.0), trade("10:30:00", 12.0, 1.0)])
    row = frame.row(0, named=True)
    assert (row["label"], row["touch_tick"], row["is_touch_confirmed"]) == (0, None, None)
    assert row["label_return"] == pytest.approx(0.02)
    assert instant_of(frame, "t1") == at("10:15:01")
    assert row["has_path"]


def test_no_path_gives_zero_flagged_without_a_return():
    names = ("label", "has_path", "label_return", "path_ticks")
    assert first([trade("10:30:00", 12.0, 1.0)], *names) == (0, False, None, 0)


def test_path_begins_strictly_after_the_bar_even_at_its_own_instant():
    rows = [trade(START + SECOND, 11.5, 1.0)]
    assert first(rows, "label", "touch_tick") == (1, 2)


def test_vertical_barrier_stops_at_the_close_and_closing_prints_are_no_path():
    rows = [
        *walk([10.01], "15:50:00"),
        trade("15:55:00", 10.1, 1.0),
        trade("16:00:01", 20.0, 1.0, [8]),
    ]
    frame = labels_of(rows)
    assert frame["is_session_cut"].to_list() == [False, True]
    assert instant_of(frame, "vertical_barrier", 1) == HOURS.close
    assert frame["label"].to_list() == [0, 0]
    assert frame["label_return"][1] == pytest.approx(10.1 / 10.01 - 1)
    assert frame["forward_return_15m"][1] is None
    assert frame["forward_return_5m"][1] == pytest.approx(10.1 / 10.01 - 1)


def test_bar_closed_at_or_after_the_session_end_makes_no_label():
    rows = [trade("16:00:00", 10.1), trade("16:00:05", 10.2, 1000.0, [8])]
    assert labels_of(rows)["bar_id"].to_list() == [0]


def test_after_hours_by_configuration_extends_the_path():
    ticks = TickSettings(after_hours=True)
    rows = [*walk([10.01], "15:55:00"), trade("16:05:00", 11.6, 1.0, [12])]
    frame = labels_of(rows, ticks=ticks)
    assert frame["label"].to_list() == [0, 1]
    assert not frame["is_session_cut"][1]


def test_remainders_make_no_label():
    frame = labels_of([trade("10:20:00", 10.0, 1.0)])
    assert frame["bar_id"].to_list() == [0]


def test_halt_over_the_vertical_barrier_settles_at_the_reopening_print():
    halt = halts_frame(("10:10:00", "10:20:00"))
    rows = [trade("10:09:00", 10.1, 1.0), trade("10:20:00", 7.0, 5.0, [37])]
    rows += [trade("10:20:03", 8.0, 1.0), trade("10:20:04", 9.0, 1.0)]
    frame = labels_of(rows, halts=halt)
    row = frame.row(0, named=True)
    assert (row["label"], row["is_halt_cut"], row["touch_tick"]) == (0, True, None)
    assert row["label_return"] == pytest.approx(-0.2)
    assert instant_of(frame, "t1") == at("10:20:03")


def test_halt_without_a_reopening_print_is_known_at_the_vertical_barrier():
    halt = halts_frame(("10:10:00", None))
    frame = labels_of([trade("10:09:00", 10.1, 1.0)], halts=halt)
    assert frame["is_halt_cut"].to_list() == [True]
    assert frame["label_return"][0] == pytest.approx(0.01)
    assert instant_of(frame, "t1") == at("10:15:01")


def test_halt_inside_the_window_is_no_cut_and_the_path_goes_on():
    halt = halts_frame(("10:05:00", "10:10:00"))
    frame = labels_of([trade("10:10:00", 11.6, 1.0)], halts=halt)
    assert (frame["label"][0], frame["is_halt_cut"][0]) == (1, False)


def test_entry_is_the_first_eligible_print_a_second_later():
    rows = [
        trade(START + 2 * SECOND - 1, 10.1, 1.0),
        trade(START + 2 * SECOND, 10.2, 1.0, [37]),
        trade(START + 2 * SECOND, 10.3, 1.0),
    ]
    frame = labels_of(rows)
    assert frame["entry_price"].to_list() == [10.3]
    assert instant_of(frame, "entry_timestamp") == START + 2 * SECOND
    assert labels_of(rows[:2])["entry_price"].to_list() == [None]


ENTRY = label_settings(**{"from": "entry"})


def test_return_from_entry_is_that_of_the_deciding_print_after_it():
    rows = [trade("10:00:03", 10.5, 1.0), trade("10:06:00", 11.8, 1.0)]
    row = labels_of(rows).row(0, named=True)
    assert (row["label"], row["base_price"], row["entry_price"]) == (1, 10.0, 10.5)
    assert row["label_return"] == pytest.approx(0.18)
    assert row["return_from_entry"] == pytest.approx(11.8 / 10.5 - 1)


def test_labels_from_entry_put_barriers_and_return_on_the_entry_price():
    rows = [
        trade("10:00:01.5", 11.6, 1.0),
        trade("10:00:03", 11.0, 1.0),
        trade("10:05:00", 11.8, 1.0),
        trade("10:06:00", 9.8, 1.0),
    ]
    frame = labels_of(rows, settings=ENTRY)
    row = frame.row(0, named=True)
    assert (row["label"], row["touch_tick"], row["path_ticks"]) == (-1, 5, 2)
    assert (row["price_at_t0"], row["base_price"], row["entry_price"]) == (10.0, 11.0, 11.0)
    assert row["label_return"] == row["return_from_entry"] == pytest.approx(9.8 / 11 - 1)
    assert instant_of(frame, "vertical_barrier") == at("10:15:01")
    assert row["forward_return_5m"] == pytest.approx(0.18)
    plain = labels_of(rows).row(0, named=True)
    assert (plain["label"], plain["touch_tick"], plain["return_from_entry"]) == (1, 2, None)


def test_labels_from_entry_begin_strictly_after_the_entry_print():
    instant = START + 2 * SECOND
    rows = [trade(instant, 10.0, 1.0), trade(instant, 11.6, 1.0)]
    assert first(rows, "label", "touch_tick", settings=ENTRY) == (1, 3)
    assert first(rows[1:], "label", "has_path", settings=ENTRY) == (0, False)


@pytest.mark.parametrize(
    ("rows", "entry"),
    [
        ([], None),
        ([("10:00:01.5", 12.0)], None),
        ([("10:20:00", 12.0), ("10:21:00", 9.0)], 12.0),
        ([("10:15:00", 10.2)], 10.2),
    ],
)
def test_labels_given_nothing_after_the_entry_in_time_are_kept_without_a_return(rows, entry):
    tape = [trade(when, price, 1.0) for when, price in rows]
    names = ("label", "has_path", "label_return", "return_from_entry", "base_price", "path_ticks")
    assert first(tape, *names, settings=ENTRY) == (0, False, None, None, entry, 0)
    row = labels_of(tape).row(0, named=True)
    assert (row["entry_price"], row["return_from_entry"]) == (entry, None)


def test_labels_from_entry_given_a_halt_settle_only_what_was_entered_before_it():
    halt = halts_frame(("10:10:00", "10:20:00"))
    after = [trade("10:20:03", 8.0, 1.0), trade("10:20:04", 9.0, 1.0)]
    frame = labels_of([trade("10:09:00", 12.0, 1.0), *after], settings=ENTRY, halts=halt)
    assert frame["label_return"].to_list() == [pytest.approx(8 / 12 - 1)]
    assert instant_of(frame, "t1") == at("10:20:03")
    late = labels_of(after, settings=ENTRY, halts=halt).row(0, named=True)
    assert (late["is_halt_cut"], late["has_path"], late["base_price"]) == (True, False, 8.0)


def test_labels_up_to_the_entry_know_nothing_of_what_follows():
    rows = [trade("10:00:03", 10.5, 1.0), trade("10:06:00", 12.8, 1.0)]
    names = ("base_price", "entry_price", "take_profit")
    assert first(rows[:1], *names, settings=ENTRY) == first(rows, *names, settings=ENTRY)


def test_forward_labels_take_the_last_print_in_time_with_its_age():
    rows = [trade("10:04:01", 11.5, 1.0), trade("10:05:02", 8.0, 1.0), trade("10:15:01", 9.0, 1.0)]
    row = labels_of(rows).row(0, named=True)
    assert row["forward_return_5m"] == pytest.approx(0.15)
    assert (row["forward_label_5m"], row["forward_staleness_5m"]) == (1, 60.0)
    assert row["forward_return_15m"] == pytest.approx(-0.10)
    assert (row["forward_label_15m"], row["forward_staleness_15m"]) == (-1, 0.0)


def test_forward_return_given_no_later_print_is_stale_by_the_horizon():
    row = labels_of([]).row(0, named=True)
    assert (row["forward_return_5m"], row["forward_staleness_5m"]) == (0.0, 300.0)
    assert row["forward_label_5m"] == 0


def test_volatility_barriers_use_returns_up_to_the_bar_only():
    prices = [10.0, 10.01, 10.03, 10.02, 10.06, 10.01, 10.05, 10.04, 10.1, 10.0]
    settings, fixed = (
        label_settings(volatility_multiple=2.0),
        BARS.model_copy(update={"gamma": 0.0}),
    )
    whole, part = (
        triple_barrier_labels(tape, volume_imbalance_bars(tape, fixed, 100), settings)
        for tape in (tape_of(walk(prices)), tape_of(walk(prices[:7])))
    )
    assert whole["take_profit"].n_unique() > 2
    assert whole["bar_id"][0] == 2
    assert whole["take_profit"][: part.height].to_list() == part["take_profit"].to_list()
    assert whole["take_profit"].to_list() == whole["stop_loss"].to_list()


def test_no_bars_give_no_labels():
    tape = tape_of([])
    bars = build_bars(tape, BarKind.DOLLAR_IMBALANCE, BARS)
    found = triple_barrier_labels(tape, bars, LABELS)
    assert TABLES["triple_barrier_labels"].validate(found).is_empty()


def test_bars_of_another_session_or_a_part_are_refused():
    tape = tape_of(walk([10.0, 10.1, 10.2, 10.3]))
    bars = volume_imbalance_bars(tape, BARS, 100)
    with pytest.raises(LabelError, match="filter them first"):
        triple_barrier_labels(tape, bars.with_columns(ticker=pl.lit("BB")), LABELS)
    with pytest.raises(LabelError, match="order of bar_id"):
        triple_barrier_labels(tape, bars.tail(1), LABELS)
    with pytest.raises(LabelError, match="order of bar_id"):
        triple_barrier_on_bars(pl.concat([bars, bars]), HOURS.close, LABELS)


def test_arrays_given_an_event_outside_are_refused():
    with pytest.raises(LabelError, match="indices below 1"):
        triple_barrier_arrays([1], [1.0], [1], 5, 0.1, 0.1, 5)


TICKS = [0, 1, 2, 3], [10.0, 10.4, 9.8, 10.0]


def test_arrays_given_a_barrier_per_event_equal_the_events_one_by_one():
    takes, stops, timeouts, ends = [0.03, 0.05], [0.05, 0.01], [9, 2], [3, 9]
    frame = triple_barrier_arrays(*TICKS, [0, 1], ends, takes, stops, timeouts)
    forward = forward_return_arrays(*TICKS, [0, 1], ends, [1, 2], takes, stops)
    for n, (take, stop, timeout, end) in enumerate(zip(takes, stops, timeouts, ends, strict=True)):
        one = triple_barrier_arrays(*TICKS, [n], end, take, stop, timeout)
        assert frame[n].rows() == one.rows()
        one = forward_return_arrays(*TICKS, [n], end, n + 1, take, stop)
        assert forward[n].rows() == one.rows()
    assert frame["label"].to_list() == [1, -1]
    one_for_all = triple_barrier_arrays(*TICKS, [0, 1], [9], [0.03], [0.05], [9.0])
    assert one_for_all.equals(triple_barrier_arrays(*TICKS, [0, 1], 9, 0.03, 0.05, 9))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"take_profit": []}, "take_profit has shape (0,), expected one value or 2"),
        ({"stop_loss": [0.1, 0.1, 0.1]}, "stop_loss has shape (3,)"),
        ({"timeout": [[1, 2]]}, "timeout has shape (1, 2)"),
        ({"session_end": [9, 9, 9]}, "session_end has shape (3,)"),
        ({"take_profit": [0.1, -0.1]}, "take_profit[1] is -0.1, expected a fraction above 0"),
        ({"stop_loss": float("nan")}, "stop_loss[0] is nan"),
        ({"take_profit": 0}, "take_profit[0] is 0.0"),
        ({"timeout": 1.5}, "timeout[0] is 1.5, expected a whole number"),
    ],
)
def test_arrays_given_barriers_of_another_number_or_nonsense_are_refused(changes, message):
    given = {"session_end": 9, "take_profit": 0.1, "stop_loss": 0.1, "timeout": 2} | changes
    with pytest.raises(ArrayError, match=re.escape(message)):
        triple_barrier_arrays(*TICKS, [0, 1], **given)
    given["horizon"] = given.pop("timeout")
    with pytest.raises(ArrayError, match=re.escape(message.replace("timeout", "horizon"))):
        forward_return_arrays(*TICKS, [0, 1], **given)


def minute(clock, bar_open, high, low, close):
    return (clock, bar_open, high, low, close, 100.0, close)


def fallback(*later, use_path=True, settings=LABELS):
    rows = [minute("10:00:00", 9.9, 10.0, 9.9, 9.9), minute("10:01:00", 9.9, 10.0, 9.9, 10.0)]
    minutes = minutes_frame([*rows, *(minute(*row) for row in later)])
    bars = bars_from_minutes(minutes, HOURS, BarKind.VOLUME_IMBALANCE, BARS, 100)
    path = minute_path(minutes, HOURS) if use_path else None
    found = triple_barrier_on_bars(bars, HOURS.close, settings, path)
    return TABLES["triple_barrier_labels"].validate(found)


@pytest.mark.parametrize("use_path", [True, False])
def test_bars_fallback_stops_out_when_both_barriers_are_in_one_bar(use_path):
    frame = fallback(("10:05:00", 10.0, 11.6, 8.9, 10.1), use_path=use_path)
    row = frame.row(0, named=True)
    assert (row["label"], row["is_ambiguous"]) == (-1, True)
    assert row["label_return"] == pytest.approx(-0.10)
    assert instant_of(frame, "t1") == at("10:06:00")
    assert (row["path_ticks"], row["touch_tick"], row["entry_price"]) == (1, None, 10.1)
    assert row["return_from_entry"] is None


def test_bars_fallback_takes_an_open_beyond_the_barrier_first():
    frame = fallback(("10:05:00", 12.0, 12.0, 8.0, 9.0))
    row = frame.row(0, named=True)
    assert (row["label"], row["is_ambiguous"]) == (1, False)
    assert row["label_return"] == pytest.approx(0.2)


def test_bars_fallback_enters_at_the_first_close_a_second_later():
    later = [("10:02:00", 10.0, 10.1, 9.9, 10.1), ("10:05:00", 10.2, 11.7, 10.0, 11.0)]
    row = fallback(*later).row(0, named=True)
    assert (row["label"], row["base_price"], row["entry_price"]) == (1, 10.0, 10.1)
    assert row["return_from_entry"] == pytest.approx(11.5 / 10.1 - 1)
    frame = fallback(*later, settings=ENTRY)
    row = frame.row(0, named=True)
    assert (row["label"], row["base_price"], row["path_ticks"]) == (1, 10.1, 1)
    assert row["label_return"] == row["return_from_entry"] == pytest.approx(0.15)
    assert instant_of(frame, "entry_timestamp") == at("10:03:00")
    alone = fallback(settings=ENTRY).row(0, named=True)
    assert (alone["has_path"], alone["base_price"], alone["label_return"]) == (False, None, None)


def test_bars_fallback_times_out_at_the_last_close():
    frame = fallback(("10:05:00", 10.0, 10.3, 9.9, 10.2), ("10:30:00", 12.0, 12.0, 12.0, 12.0))
    row = frame.row(0, named=True)
    assert (row["label"], row["has_path"]) == (0, True)
    assert row["label_return"] == pytest.approx(0.02)
    assert instant_of(frame, "t1") == at("10:17:00")
