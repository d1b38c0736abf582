"""Where halts come from, and how they cut the tape."""

from __future__ import annotations

from datetime import date

import pytest

from smallcaps_assets.domain.ticks.halts import HaltError
from smallcaps_assets_tests.domain.tick_frames import (
    SECOND,
    SETTINGS,
    at,
    halts_frame,
    tape_of,
    trade,
    walk,
)

PANIC = date(2020, 3, 18)


def intervals(tape):
    physical = [tape.halts[n].to_physical().to_list() for n in tape.halts.columns[:3]]
    return list(zip(*physical, tape.halts["halt_source"].to_list(), strict=True))


def busy(start, prints=60, day=date(2021, 2, 5)):
    return walk([10.0] * prints, start, 4 * SECOND, day=day)


def test_silence_given_a_busy_time_before_is_a_halt_known_290_seconds_in():
    rows = [*busy("10:00:00"), trade("10:09:00")]
    last = at("10:03:56")
    tape = tape_of(rows)
    assert intervals(tape) == [(last, at("10:09:00"), last + 290 * SECOND, "inferred")]
    assert tape.ticks["block"].to_list() == [0] * 60 + [1]


@pytest.mark.parametrize("silence", [289.0, 290.0])
def test_silence_of_less_than_290_seconds_is_none(silence):
    rows = busy("10:00:00")
    rows.append(trade(at("10:03:56") + int(silence * SECOND)))
    assert tape_of(rows).halts.height == (1 if silence >= 290 else 0)


def test_silence_given_too_few_prints_before_is_none():
    assert tape_of([*busy("10:00:00", 59), trade("10:09:00")]).halts.is_empty()


def test_silence_until_the_close_is_a_halt_without_an_end_and_closing_prints_stay_in_its_block():
    tape = tape_of([*busy("15:50:00"), trade("16:00:02", conditions=[8])])
    last = at("15:53:56")
    assert intervals(tape) == [(last, None, last + 290 * SECOND, "inferred")]
    assert tape.ticks["block"].max() == 0


def test_silence_that_only_the_close_could_prove_is_none():
    assert tape_of([*busy("15:52:00"), trade("16:04:00", conditions=[8])]).halts.is_empty()


def test_reopening_prints_end_a_halt_once_per_burst():
    rows = [
        *walk([10.0] * 3, "10:00:00"),
        trade("10:05:03", conditions=[18]),
        trade("10:05:04", conditions=[28]),
        trade("10:06:00"),
    ]
    tape = tape_of(rows)
    reopened = at("10:05:03")
    assert intervals(tape) == [(at("10:00:02"), reopened, reopened, "reopening")]
    assert tape.ticks["block"].to_list() == [0, 0, 0, 1, 1, 1]


def test_reopening_print_after_a_proven_silence_keeps_the_earlier_knowledge():
    rows = [*busy("10:00:00"), trade("10:09:00", conditions=[28])]
    last = at("10:03:56")
    known = last + 290 * SECOND
    assert intervals(tape_of(rows)) == [(last, at("10:09:00"), known, "reopening")]


def test_feed_given_speaks_for_the_day():
    rows = [*busy("10:00:00"), trade("10:09:00"), trade("11:00:00", conditions=[28])]
    tape = tape_of(rows, halts=halts_frame(("10:30:00", "10:35:00")))
    assert intervals(tape) == [(at("10:30:00"), at("10:35:00"), at("10:30:00"), "feed")]
    assert tape.ticks["block"].to_list() == [0] * 61 + [1]
    assert tape_of(rows, halts=halts_frame()).halts.is_empty()


def test_market_wide_halt_of_march_2020_is_known_without_a_feed():
    rows = [trade("12:50:00"), trade("13:12:00")]
    tape = tape_of(rows, PANIC)
    start = at("12:56:17", PANIC)
    assert intervals(tape) == [(start, at("13:11:17", PANIC), start, "market_wide")]
    assert tape.ticks["block"].to_list() == [0, 1]


def test_market_wide_halt_given_the_feed_as_well_is_counted_once():
    feed = halts_frame(("12:56:17", "13:11:17"), day=PANIC)
    tape = tape_of([trade("12:50:00", size=1.0)], PANIC, halts=feed)
    assert tape.halts["halt_source"].to_list() == ["feed"]


def test_weaker_source_given_an_overlap_gives_way():
    rows = [*busy("12:50:00", day=PANIC), trade("13:11:30", conditions=[28])]
    assert tape_of(rows, PANIC).halts["halt_source"].to_list() == ["market_wide"]


def test_feed_given_an_end_before_its_start_is_refused():
    with pytest.raises(HaltError, match="ends before it, 2021-02-05 15:30:00"):
        tape_of([trade("10:00:00")], halts=halts_frame(("10:30:00", "10:25:00")))


def test_feed_given_no_columns_names_the_missing_one():
    with pytest.raises(HaltError, match="halt_end"):
        tape_of([trade("10:00:00")], halts=halts_frame(("10:00:00", None)).drop("halt_end"))


def test_feed_given_an_end_after_the_session_has_no_end_in_it():
    rows = [*busy("15:50:00"), trade("16:00:02", conditions=[8])]
    tape = tape_of(rows, halts=halts_frame(("15:53:57", "16:20:00")))
    start = at("15:53:57")
    assert intervals(tape) == [(start, None, start, "feed")]
    assert tape.ticks["block"].max() == 0


@pytest.mark.parametrize(
    ("sources", "found"),
    [
        (("feed", "market_wide", "reopening", "inferred"), ["inferred", "reopening"]),
        (("feed", "market_wide", "reopening"), ["reopening"]),
        (("feed", "inferred"), ["inferred"]),
        (("feed", "market_wide"), []),
        ((), []),
    ],
)
def test_tape_without_a_feed_infers_only_by_the_sources_allowed(sources, found):
    rows = [
        *busy("10:00:00"),
        *(trade("10:09:00"), trade("10:59:00"), trade("11:00:00", conditions=[28])),
    ]
    settings = SETTINGS.ticks.model_copy(update={"halt_sources": sources})
    assert tape_of(rows, settings=settings).halts["halt_source"].to_list() == found


def test_feed_and_market_wide_halts_can_be_left_out_by_name():
    feed = halts_frame(("12:00:00", "12:05:00"), day=PANIC)
    for source in ("feed", "market_wide"):
        settings = SETTINGS.ticks.model_copy(update={"halt_sources": (source,)})
        tape = tape_of([trade("11:00:00")], PANIC, settings, feed)
        assert tape.halts["halt_source"].to_list() == [source]


def test_feed_that_is_left_out_leaves_the_day_to_the_tape():
    rows = [*busy("10:00:00"), trade("10:09:00")]
    settings = SETTINGS.ticks.model_copy(update={"halt_sources": ("inferred",)})
    tape = tape_of(rows, settings=settings, halts=halts_frame(("10:30:00", "10:35:00")))
    assert tape.halts["halt_source"].to_list() == ["inferred"]
