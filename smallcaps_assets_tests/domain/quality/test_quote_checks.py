"""Findings on a session's quotes."""

from __future__ import annotations

import pytest

from smallcaps_assets.domain.quality.quote_checks import quote_quality

GOOD = {
    "quotes": 5000,
    "missing_share": 0.0,
    "one_sided_share": 0.01,
    "locked_share": 0.2,
    "crossed_share": 0.001,
    "inside_share": 0.97,
    "longest_silence_seconds": 600.0,
}


def test_quotes_as_usual_are_good():
    found = quote_quality(GOOD)
    assert all(finding.is_good for finding in found) and len(found) == 3
    assert "97.0% of price-forming prints" in found[1].found


@pytest.mark.parametrize(
    ("change", "bad"),
    [
        ({"crossed_share": 0.02}, 0),
        ({"one_sided_share": 0.06}, 0),
        ({"missing_share": 0.06}, 0),
        ({"inside_share": 0.949}, 1),
        ({"longest_silence_seconds": 3601.0}, 2),
    ],
    ids=str,
)
def test_unusual_quotes_are_warned_of(change, bad):
    found = quote_quality(GOOD | change)
    assert [k for k, finding in enumerate(found) if not finding.is_good] == [bad]
    assert not any(finding.is_error for finding in found) and found[bad].remedy


def test_session_without_quotes_is_no_finding():
    (only,) = quote_quality(GOOD | {"quotes": 0})
    assert only.is_good and only.found == "no quotes are stored"


def test_prints_that_met_no_quote_are_not_judged():
    assert quote_quality(GOOD | {"inside_share": None})[1].is_good
