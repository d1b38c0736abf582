"""Numbers and instants as text: exact answers."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from smallcaps_assets.reports import human


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, "0"), (950, "950"), (12_345, "12.3 k"), (999_700, "1.00 M"), (4_560_000_000, "4.56 G")],
)
def test_compact_given_number_keeps_three_figures(value, expected):
    assert human.compact(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [(0, "0 B"), (512_000, "512 kB"), (1_234_567_890_123, "1.23 TB")]
)
def test_size_given_bytes_uses_decimal_units(value, expected):
    assert human.size(value) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.421, "0.42 s"), (12.34, "12.3 s"), (99.7, "1 min 40 s"), (7_621, "2 h 07 min")],
)
def test_duration_given_seconds_uses_fitting_units(seconds, expected):
    assert human.duration(seconds) == expected


def test_every_format_given_nothing_shows_a_dash():
    formats = (human.count, human.compact, human.size, human.duration, human.dollars, human.price)
    assert {show(None) for show in (*formats, human.percent, human.multiple)} == {human.MISSING}
    assert human.percent(float("nan")) == human.MISSING


def test_price_and_percent_given_values_show_units():
    assert human.price(0.5123) == "$0.5123"
    assert human.price(1234.5) == "$1,234.50"
    assert human.percent(0.1534, signed=True) == "+15.3 %"
    assert human.dollars(77_300_000) == "$77.3 M"
    assert human.dollars(1_950_000_000) == "$1.95 B"


def test_nanoseconds_given_datetime_is_exact():
    moment = datetime(2024, 11, 6, 14, 41, 0, 123_456, tzinfo=UTC)
    assert human.nanoseconds(moment) == 1_730_904_060_123_456_000
    assert human.nanoseconds(5) == 5


def test_new_york_clock_given_winter_and_summer_follows_daylight_saving():
    assert human.new_york_clock(datetime(2024, 11, 6, 14, 41, tzinfo=UTC)) == "09:41"
    assert human.new_york_clock(datetime(2024, 7, 1, 13, 41, 5, tzinfo=UTC), True) == "09:41:05"


@pytest.mark.parametrize(
    ("value", "expected"), [(0, "0"), (3, "3"), (0.074, "0.07"), (1234.5, "1,234.5"), (None, "–")]
)
def test_decimal_given_number_keeps_two_places_at_most(value, expected):
    assert human.decimal(value) == expected
