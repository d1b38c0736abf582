"""The table of pattern events: its columns, what was known at t0, and strange sessions."""

from __future__ import annotations

import pytest
from polars.testing import assert_frame_equal
from pydantic import ValidationError

from smallcaps_assets.domain.bars.features import SessionContext
from smallcaps_assets.domain.patterns.events import halt_arrays, pattern_events
from smallcaps_assets.schemas import TABLES
from smallcaps_assets.settings import PatternSettings
from smallcaps_assets_tests.domain.tick_frames import (
    DAY,
    EARLY_DAY,
    SECOND,
    at,
    halts_frame,
    tape_of,
    trade,
)

CONTEXT = SessionContext("AAME", DAY, previous_close=5.0, mean_volume30=10_000.0)
SETTINGS = PatternSettings()
RISE = [
    trade("09:29:00", 5.5, 300),
    trade("09:30:00", 5.6, 200),
    trade("09:33:00", 5.4, 100),
    trade("09:35:00", 5.61, 50, [37]),
    trade("09:36:00", 5.62, 100),
    trade("09:50:00", 4.5, 100),
    trade("09:50:01", 4.49, 100),
]


def events_of(rows, context=CONTEXT, halts=None, day=DAY, **options):
    return pattern_events(tape_of(rows, day, halts=halts), context, SETTINGS, **options)


def test_pattern_events_tell_what_was_so_far():
    found = events_of(RISE, halts=halts_frame(("09:31:00", "09:32:00")))
    assert dict(found.schema) == TABLES["pattern_events"].columns
    assert found["event_id"].to_list() == list(range(found.height))
    # The odd lot before it is volume, but no price.
    row = found.filter(pattern="opening_range_breakout", range_minutes=5, side=1).row(0, named=True)
    assert row["t0"].timestamp() * 1e9 == pytest.approx(at("09:36:00"), abs=1e3)
    assert (row["trigger_tick"], row["level"], row["price"]) == (4, 5.6, 5.62)
    assert row["gap"] == pytest.approx(5.6 / 5 - 1)
    assert row["relative_volume"] == pytest.approx(750 / 10_000)
    assert (row["minutes_from_open"], row["halts_so_far"], row["is_ssr"]) == (6.0, 1, False)
    assert (row["eligible_from"], row["is_selection_known"]) == (None, False)


def test_pattern_events_restriction_and_selection_hold_from_their_moment():
    eligible = at("09:40:00")
    found = events_of(RISE, eligible_from=eligible)
    late = found["minutes_from_open"] >= 10
    assert found["is_selection_known"].to_list() == late.to_list()
    assert found["is_ssr"].to_list() == late.to_list()  # 4.50 is 0.9 x 5
    carried = SessionContext("AAME", DAY, previous_close=50.0, is_ssr_carried=True)
    assert events_of(RISE, carried)["is_ssr"].all()


def test_pattern_events_given_unknown_context_leave_it_null():
    found = events_of(RISE, SessionContext("AAME", DAY))
    assert found.height and "gap_and_go" not in found["pattern"]
    assert found["gap"].null_count() == found["relative_volume"].null_count() == found.height
    assert not found["is_ssr"].any()


def test_pattern_events_have_a_gap_and_a_restriction_from_the_open_print_on():
    halts = halts_frame(("08:00:00", "08:10:00"), ("09:29:00", "09:30:00"))
    rows = [trade("07:59:00", 5.0), trade("08:10:00", 4.0), trade("09:30:00", 4.5)]
    found = events_of(rows, halts=halts)
    assert found["pattern"].to_list() == ["halt_resumption"] * 2
    assert found["gap"].to_list() == [None, pytest.approx(-0.1)]
    assert found["is_ssr"].to_list() == [False, True]
    assert found["minutes_from_open"].to_list() == [-80, 0]


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [trade("09:30:00", 5.0)],
        [trade("16:00:00", 5.0), trade("16:00:05", 9.0, 100, [8])],
        [trade(f"10:{n:02}:30", 5.0) for n in range(60)],
        [trade("04:00:00", 5.0, 50, [37]), trade("15:59:59", 5.0, 50, [37])],
    ],
    ids=["nothing", "one print", "after the close", "one print a minute", "odd lots only"],
)
def test_pattern_events_of_a_quiet_tape_are_none(rows):
    assert dict(events_of(rows).schema) == TABLES["pattern_events"].columns
    assert events_of(rows).is_empty()


def test_pattern_events_end_before_an_early_close():
    rows = [trade("12:00:00", 5.0), trade("12:59:59", 5.1), trade("13:00:00", 5.2, 100, [8])]
    found = events_of(rows, SessionContext("AAME", EARLY_DAY), day=EARLY_DAY)
    assert found["price"].to_list() == [5.1]
    assert found["pattern"].to_list() == ["high_of_day_breakout"]


def test_pattern_events_given_a_halt_over_the_open_resume_with_it():
    halts = halts_frame(("09:25:00", "09:40:00"))
    rows = [trade("09:20:00", 5.0), trade("09:40:00", 5.5), trade("09:41:00", 5.6)]
    found = events_of(rows, halts=halts)
    assert found.select("pattern", "side", "level").row(0) == ("halt_resumption", 1, 5.0)


def test_pattern_events_known_by_the_clock_wait_for_it():
    rows = [trade(at("10:00:05") + n * 60 * SECOND, p) for n, p in enumerate([6.0] + [5.0] * 5)]
    rows.append(trade("10:06:05", 6.0, 100))
    context = SessionContext("AAME", DAY)
    assert events_of(rows, context, until=at("10:06:59.9")).is_empty()
    found = events_of(rows, context, until=at("10:07:00"))
    assert found["pattern"].to_list() == ["vwap_reclaim"]
    assert_frame_equal(found, events_of(rows, context))


def test_halt_arrays_joins_what_overlaps_and_keeps_what_touches():
    halts = halts_frame(
        ("10:10:00", "10:20:00"), ("10:00:00", "10:05:00"), ("10:02:00", "10:10:00"),
        ("10:15:00", None),
    )  # fmt: skip
    starts, ends = halt_arrays(halts)
    assert starts.tolist() == [at("10:00:00"), at("10:10:00")]
    assert ends.tolist()[0] == at("10:10:00")
    assert ends.tolist()[1] > at("16:00:00")
    empty = halt_arrays(halts[:0])
    assert [a.size for a in empty] == [0, 0]


def test_pattern_settings_refuse_no_and_too_many_ranges():
    for lengths in ((), tuple(range(1, 10))):
        with pytest.raises(ValidationError, match="opening_range_minutes"):
            PatternSettings(opening_range_minutes=lengths)
