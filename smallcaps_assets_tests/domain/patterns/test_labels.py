"""Labels of pattern events: both sides, the raw label, meta-labels, and a plain twin."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smallcaps_assets.domain.bars.features import SessionContext
from smallcaps_assets.domain.labels.paths import LabelError
from smallcaps_assets.domain.patterns.events import pattern_events
from smallcaps_assets.domain.patterns.labels import pattern_labels
from smallcaps_assets.schemas import TABLES
from smallcaps_assets.settings import LabelSettings, PatternSettings
from smallcaps_assets_tests.domain.tick_frames import DAY, SECOND, at, halts_frame, tape_of, trade
from smallcaps_assets_tests.kernels import brute_force

LABELS, EVENTS = LabelSettings(), TABLES["pattern_events"].columns
START = at("10:00:00")


def event(side, tick=0, t0=START, price=10.0):
    """An event as a frame of one row."""
    row = {"ticker": "AAME", "date": DAY, "event_id": 0, "pattern": "vwap_reclaim", "side": side}
    row |= {"t0": t0, "trigger_tick": tick, "price": price}
    full = [row.get(name) for name in EVENTS]
    raw = {n: pl.Int64 if n == "t0" else t for n, t in EVENTS.items()}
    return pl.DataFrame([full], raw, orient="row").cast(EVENTS)


def label_of(side, later, cost=None, labels=LABELS, halts=None):
    """The label of an event at 10.00 of prints (seconds later, price)."""
    rows = [trade(START, 10.0), *(trade(START + int(s * SECOND), p) for s, p in later)]
    tape = tape_of(rows, halts=halts_frame() if halts is None else halts)
    costs = None if cost is None else np.array([cost])
    found = pattern_labels(tape, event(side), labels, costs)
    assert dict(found.schema) == TABLES["pattern_labels"].columns
    return found.row(0, named=True)


@pytest.mark.parametrize(
    ("side", "price", "label", "raw"),
    [
        (1, 11.5, 1, 1),
        (1, 11.49, 0, 0),
        (1, 9.0, -1, -1),
        (-1, 8.5, 1, -1),
        (-1, 8.51, 0, -1),
        (-1, 11.0, -1, 0),
        (-1, 11.5, -1, 1),
        (-1, 10.99, 0, 0),
    ],
)
def test_pattern_labels_are_mirrored_for_a_short(side, price, label, raw):
    row = label_of(side, [(60, price)])
    assert (row["label"], row["raw_label"]) == (label, raw)
    assert row["label_return"] == pytest.approx(price / 10 - 1)
    assert row["meta_label"] == (side * (price - 10) > 0)


def test_pattern_labels_of_a_short_keep_the_raw_exit_apart():
    row = label_of(-1, [(60, 9.0), (120, 8.5), (180, 8.4)])
    assert (row["label"], row["raw_label"]) == (1, -1)
    assert [round(row[n].timestamp() - START / 1e9) for n in ("t1", "raw_t1")] == [120, 60]
    assert (row["label_return"], row["raw_return"]) == (pytest.approx(-0.15), pytest.approx(-0.1))
    assert row["entry_price"] == 9.0


def test_pattern_meta_label_counts_the_cost():
    for cost, after in ((0.005, 1), (0.02, 0), (None, None), (math.nan, None)):
        row = label_of(1, [(60, 10.1)], cost)
        assert (row["meta_label"], row["meta_label_after_cost"]) == (1, after)
    assert label_of(1, [(60, 10.0)])["meta_label"] == 0
    row = label_of(-1, [(60, 9.9)], 0.005)
    assert (row["meta_label"], row["meta_label_after_cost"]) == (1, 1)
    assert row["round_trip_cost"] == 0.005


def test_pattern_labels_given_no_print_have_no_meta_label():
    row = label_of(1, [(1000, 12.0)], 0.01)
    assert (row["label"], row["has_path"], row["label_return"]) == (0, False, None)
    assert (row["meta_label"], row["meta_label_after_cost"]) == (None, None)


def test_pattern_labels_over_a_halt_are_settled_after_it():
    halts = halts_frame(("10:10:00", "10:20:00"))
    row = label_of(-1, [(60, 9.9), (1200, 9.0), (1201, 8.0)], halts=halts)
    assert (row["label"], row["is_halt_cut"]) == (0, True)
    assert row["label_return"] == pytest.approx(-0.1)


def test_pattern_labels_from_the_entry_are_relative_to_it():
    row = label_of(-1, [(1, 12.0), (60, 10.2)], labels=LabelSettings(**{"from": "entry"}))
    assert (row["base_price"], row["label"]) == (12.0, 1)
    assert row["label_return"] == pytest.approx(10.2 / 12 - 1)


def test_pattern_labels_given_events_of_another_tape_raise():
    with pytest.raises(LabelError, match="begin at tick 5, the tape has 1"):
        pattern_labels(tape_of([trade(START)]), event(1, tick=5), LABELS)


def test_pattern_labels_given_no_events_are_empty():
    tape = tape_of([trade(START)])
    none = pattern_events(tape, SessionContext("AAME", DAY), PatternSettings())
    assert dict(pattern_labels(tape, none, LABELS).schema) == TABLES["pattern_labels"].columns


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(st.integers(0, 400), st.sampled_from((8.5, 9.0, 10.0, 11.0, 11.5))), max_size=8
    ),
    st.sampled_from((1, -1)),
)
def test_pattern_labels_equal_their_twin(rows, side):
    later, clock = [], 0
    for gap, price in rows:
        clock += gap
        later.append((clock, price))
    row = label_of(side, later)
    # Turned about the base, a short's path is a long's.
    times, prices = [0, *(s for s, _ in later)], [10.0, *(p for _, p in later)]
    turned = [10 + side * (p - 10) for p in prices]
    path = [times, turned, [True] * len(times)]
    label, t1, gain, touch, looked = brute_force.triple_barrier(*path, 0, 0.15, 0.10, 900)
    assert (row["label"], row["touch_tick"], row["path_ticks"]) == (label, touch, looked)
    assert row["t1"].timestamp() - START / 1e9 == pytest.approx(t1)
    assert row["label_return"] == (None if gain is None else pytest.approx(side * gain))
    assert row["meta_label"] == (None if gain is None else gain > 1e-12)
