"""Coverage counts: every expected ticker is in exactly one part."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallcaps_assets.domain.quality.checks import vendor_coverage
from smallcaps_assets.domain.quality.coverage import Reading, coverage
from smallcaps_assets.schemas import TABLES

DAY = date(2024, 5, 3)
some = st.frozensets(st.sampled_from("ABCDEF"))


def test_coverage_given_each_fate_expected_one_count_each() -> None:
    failures = {"D": ("NotEntitled", "upgrade"), "E": ("BadAnswer", "BadAnswer: cut")}
    reading = Reading("minute_bars", "ABCDEF", got="A", asked="AB", failures=failures)
    (row,) = coverage(DAY, [reading]).to_dicts()
    assert row == {
        "date": DAY,
        "table": "minute_bars",
        "expected": 6,
        "got": 1,
        "empty": 1,
        "not_entitled": 1,
        "failed": 1,
        "missing": 2,
        "reason": "D: upgrade",
    }


def test_coverage_given_tickers_that_were_not_expected_expected_not_counted() -> None:
    (row,) = coverage(DAY, [Reading("daily_bars", "A", got="AXY", asked="AXY")]).to_dicts()
    assert (row["expected"], row["got"], row["empty"]) == (1, 1, 0)


@pytest.mark.parametrize(("failed", "is_good"), [(2, True), (3, False)])
def test_vendor_coverage_given_failed_tickers_expected_a_warning_above_two_percent(
    failed: int, is_good: bool
) -> None:
    tickers = [f"T{n}" for n in range(100)]
    failures = dict.fromkeys(tickers[:failed], ("BadAnswer", "BadAnswer: cut"))
    reading = Reading("minute_bars", tickers, tickers[failed:], tickers[failed:], failures)
    finding = vendor_coverage(coverage(DAY, [reading]))
    assert finding.is_good == is_good
    assert f"minute_bars {100 - failed} of 100" in finding.found


@given(some, some, some, some)
def test_coverage_given_anything_expected_parts_add_up(
    expected: frozenset[str], got: frozenset[str], asked: frozenset[str], bad: frozenset[str]
) -> None:
    reading = Reading("t", expected, got, asked, dict.fromkeys(bad, ("BadAnswer", "no")))
    TABLES["coverage"].validate(coverage(DAY, [reading]))
