"""The shipped condition table."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest

from smallcaps_assets.domain.ticks.conditions import (
    CLASSES,
    VENDOR_COLUMNS,
    Flag,
    condition_differences,
    condition_table,
    conditions,
)
from smallcaps_assets_tests.domain.tick_frames import CONDITIONS


def test_conditions_have_known_classes_and_one_row_per_validity():
    table = conditions()
    assert set(table["class"]) <= set(CLASSES)
    assert table.select("id", "tape", "valid_from").is_unique().all()
    assert table.null_count().sum_horizontal().to_list() == [0]


def test_conditions_are_those_of_the_golden_table():
    assert conditions()["id"].sort().to_list() == CONDITIONS["id"].to_list()


@pytest.mark.parametrize("case", CONDITIONS.to_dicts(), ids=lambda case: str(case["id"]))
def test_condition_has_the_class_and_meaning_of_the_golden_table(case):
    row = conditions().row(by_predicate=pl.col("id") == case["id"], named=True)
    assert row["class"] == case["class"]
    assert case["words"] in row["name"].lower()
    flags = condition_table(date(2024, 5, 3)).flags[:, case["id"]].tolist()
    assert flags == [CLASSES[case["class"]]] * 4


@pytest.mark.parametrize("case", CONDITIONS.drop_nulls("updates").to_dicts(), ids=str)
def test_golden_class_follows_the_update_rules_of_the_consolidated_tape(case):
    sets_prices = case["class"] in ("price_forming", "opening", "reopening", "closing", "cross")
    assert (sets_prices or case["class"] == "neutral") == (case["updates"] == "YYY")


def test_table_given_an_id_without_a_row_is_unknown_on_every_tape():
    table = condition_table(date(2021, 2, 5))
    assert (table.flags[:, 61] == Flag.UNKNOWN).all()
    assert (table.flags[:, 37] == Flag.FLOW_ONLY).all()


def test_table_given_a_day_before_validity_keeps_the_first_meaning():
    assert (condition_table(date(2013, 10, 7)).flags[:, 37] == Flag.FLOW_ONLY).all()


def test_table_given_rows_by_tape_and_day_takes_the_latest_valid_one(monkeypatch):
    rows = pl.DataFrame(
        {
            "id": [3, 3, 3],
            "tape": ["all", "C", "C"],
            "valid_from": [date(2003, 1, 1), date(2010, 1, 1), date(2015, 1, 1)],
            "class": ["price_forming", "excluded", "flow_only"],
            "source": ["vendor"] * 3,
            "name": ["a", "b", "c"],
        }
    )
    monkeypatch.setattr("smallcaps_assets.domain.ticks.conditions.conditions", lambda: rows)
    find = condition_table.__wrapped__
    found = [find(date(year, 6, 1)).flags[:, 3].tolist() for year in (2005, 2012, 2020)]
    assert found == [[1, 1, 1, 1], [1, 1, 1, 4], [1, 1, 1, 2]]


def vendor(*changes):
    """The vendor's list as the shipped table knows it, with some rows (id, name, rules) changed."""
    forming = ~conditions()["class"].is_in(["excluded", "flow_only", "form_t"])
    ours = zip(conditions()["id"], conditions()["name"], forming, strict=True)
    rows = {code: (code, name, is_forming, is_forming, True) for code, name, is_forming in ours}
    rows |= {change[0]: change for change in changes}
    return pl.DataFrame(list(rows.values()), schema=VENDOR_COLUMNS, orient="row")


def test_differences_given_the_same_list_are_none():
    assert condition_differences(vendor()).is_empty()
    spelled = (33, "Sold (Out Of Sequence)", None, None, None)
    assert condition_differences(
        vendor(spelled, (8, "Closing Prints", True, True, True))
    ).is_empty()


def test_differences_show_new_gone_renamed_and_changed_conditions():
    new, renamed = (94, "Drone Trade", True, True, True), (1, "Takeover", True, True, True)
    stricter, looser = (14, "Intermarket Sweep", True, False, True), (37, "Odd Lot Trade", 1, 1, 1)
    own_rule = (10, "Derivatively Priced", True, True, True)
    listed = vendor(new, renamed, stricter, looser, own_rule).filter(pl.col("id") != 0)
    assert condition_differences(listed).rows() == [
        (0, "not at the vendor", "regular sale", None),
        (1, "name", "acquisition", "Takeover"),
        (14, "update rules", "price_forming", "updates high_low, volume"),
        (37, "update rules", "flow_only", "updates high_low, open_close, volume"),
        (94, "not shipped", None, "Drone Trade"),
    ]
