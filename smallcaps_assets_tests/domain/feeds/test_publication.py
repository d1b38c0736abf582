"""When periodical figures count as known: never before they were out."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from smallcaps_assets.domain.feeds.publication import (
    fails_known_at,
    filed_known_at,
    half_interest_known_at,
    half_month_end,
    half_month_of,
    interest_known_at,
)


@pytest.mark.parametrize(
    ("day", "start", "end"),
    [
        (date(2024, 2, 1), date(2024, 2, 1), date(2024, 2, 15)),
        (date(2024, 2, 15), date(2024, 2, 1), date(2024, 2, 15)),
        (date(2024, 2, 16), date(2024, 2, 16), date(2024, 2, 29)),
        (date(2024, 12, 31), date(2024, 12, 16), date(2024, 12, 31)),
    ],
)
def test_half_months(day: date, start: date, end: date) -> None:
    assert half_month_of(day) == start
    assert half_month_end(start) == end


def test_short_interest_is_known_seven_sessions_later_in_the_evening() -> None:
    # FINRA's calendar: settled 2024-11-15, published 2024-11-26; Thanksgiving delays the next.
    assert interest_known_at(date(2024, 11, 15)) == datetime(2024, 11, 27, 1, tzinfo=UTC)
    assert interest_known_at(date(2024, 11, 29)) == datetime(2024, 12, 11, 1, tzinfo=UTC)
    assert half_interest_known_at(date(2024, 11, 16)) == interest_known_at(date(2024, 11, 29))
    assert half_interest_known_at(date(2024, 6, 1)) == interest_known_at(date(2024, 6, 14))


def test_fails_are_known_days_after_the_month_or_its_middle() -> None:
    assert fails_known_at(date(2024, 11, 1)) == datetime(2024, 12, 4, 1, tzinfo=UTC)
    assert fails_known_at(date(2024, 11, 16)) == datetime(2024, 12, 19, 1, tzinfo=UTC)


def test_filings_without_acceptance_are_known_when_edgar_closes() -> None:
    assert filed_known_at(date(2024, 7, 1)) == datetime(2024, 7, 2, 2, tzinfo=UTC)
