"""Hit rates of pattern events, and the typical one of each pattern."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest

from smallcaps_assets.domain.patterns.hit_rates import GROUPS, hit_rates, typical_events

SCHEMA = {
    "ticker": pl.String,
    "date": pl.Date,
    "t0": pl.Int64,
    "pattern": pl.String,
    "side": pl.Int8,
    "label": pl.Int8,
    "label_return": pl.Float64,
    "meta_label": pl.Int8,
    "meta_label_after_cost": pl.Int8,
    "round_trip_cost": pl.Float64,
    "rules": pl.String,
}
ROWS = [
    ("A", date(2024, 5, 3), 1, "gap_and_go", 1, 1, 0.2, 1, 1, 0.01, "follow_up,info_rich"),
    ("A", date(2024, 5, 3), 2, "gap_and_go", 1, -1, -0.1, 0, 0, 0.02, "follow_up,info_rich"),
    ("B", date(2025, 5, 2), 3, "gap_and_go", 1, 0, 0.01, 1, 0, 0.03, "info_rich"),
    ("B", date(2025, 5, 2), 4, "gap_and_go", 1, 0, None, None, None, 0.5, "info_rich"),
    ("B", date(2025, 5, 2), 5, "vwap_reject", -1, 1, -0.2, 1, 1, 0.01, "info_rich"),
]
EVENTS = pl.DataFrame(ROWS, SCHEMA, orient="row")


def by(group: str) -> dict[tuple[str, int], dict]:
    rows = hit_rates(EVENTS, group).to_dicts()
    return {(row.pop("group"), row.pop("side")): row for row in rows}


def test_hit_rates_by_pattern_are_of_events_with_a_return():
    found = by("pattern")
    assert found["gap_and_go", 1] == {
        "events": 4,
        "without_return": 1,
        "hits": pytest.approx(2 / 3),
        "hits_after_cost": pytest.approx(1 / 3),
        "profit": pytest.approx(1 / 3),
        "stop": pytest.approx(1 / 3),
        "mean_gain": pytest.approx(0.11 / 3),
        "mean_cost": pytest.approx(0.02),
    }
    assert found["vwap_reject", -1]["mean_gain"] == pytest.approx(0.2)


def test_hit_rates_count_an_event_under_each_rule_and_in_its_year():
    rules, years = by("rule"), by("year")
    assert {key: row["events"] for key, row in rules.items()} == {
        ("follow_up", 1): 2,
        ("info_rich", 1): 4,
        ("info_rich", -1): 1,
    }
    assert years["2024", 1]["hits"] == 0.5 and years["2025", 1]["events"] == 2


def test_no_events_have_no_rates():
    for group in GROUPS:
        assert hit_rates(EVENTS.clear(), group).is_empty()
    assert typical_events(EVENTS.clear()).is_empty()


def test_typical_event_has_the_median_gain_of_its_pattern():
    assert typical_events(EVENTS)["t0"].to_list() == [3, 5]
