"""Checks of a ticker-session's quotes, from its row of `quote_quality`.

What is measured is in `domain/bars/quote_features.py`; none of these makes a partition bad, since
nothing is made of a quote that is crossed or has one side.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from smallcaps_assets.domain.quality.checks import Finding

MOST_OF_TIME = {"missing_share": 0.05, "one_sided_share": 0.05, "crossed_share": 0.01}
LEAST_INSIDE = 0.95
LONGEST_SILENCE = 3600.0


def quote_quality(row: Mapping[str, Any]) -> list[Finding]:
    """What a session's quotes are like; a single finding where there are none."""
    if not row["quotes"]:
        return [_told("quotes", True, "no quotes are stored", {})]
    return [_sides(row), _prints(row), _silence(row)]


def _sides(row: Mapping[str, Any]) -> Finding:
    shares = {name: row[name] for name in (*MOST_OF_TIME, "locked_share")}
    told = ", ".join(f"{name.removesuffix('_share')} {share:.2%}" for name, share in shares.items())
    is_good = all(row[name] <= most for name, most in MOST_OF_TIME.items())
    return _told("quotes have two sides", is_good, f"of regular hours: {told}", shares)


def _prints(row: Mapping[str, Any]) -> Finding:
    share = row["inside_share"]
    if share is None:
        return _told("prints lie within quotes", True, "no print met a clean quote", {})
    text = f"{share:.1%} of price-forming prints are within the quote, expected {LEAST_INSIDE:.0%}"
    return _told("prints lie within quotes", share >= LEAST_INSIDE, text, {"inside_share": share})


def _silence(row: Mapping[str, Any]) -> Finding:
    seconds = row["longest_silence_seconds"]
    text = f"longest silence {seconds / 60:,.1f} minutes of {row['quotes']:,} quotes"
    return _told("quotes keep coming", seconds <= LONGEST_SILENCE, text, {"seconds": seconds})


def _told(name: str, is_good: bool, found: str, figures: dict[str, float]) -> Finding:
    remedy = "" if is_good else "use the features of quotes of this day with care"
    return Finding(name, is_good, found, remedy, is_error=False, figures=figures)
