"""What is remembered of partitions that came out empty, day by day."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from smallcaps_assets.lake import Empties, Lake, Scope, Stamp
from smallcaps_assets.lake.empties import FILE
from smallcaps_assets.lake.file_identity import is_intact
from smallcaps_assets.schemas import TABLES

MONDAY, TUESDAY, WEDNESDAY = date(2026, 11, 2), date(2026, 11, 3), date(2026, 11, 4)
NOTHING = Scope.nothing()


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A lake with an empty year of splits, and one of a table that may well be empty."""
    lake = Lake(tmp_path)
    for table, key in (("splits", "2013"), ("halts", "2024-10-04")):
        stamp = Stamp(table, TABLES[table].version, "config")
        lake.write(table, key, TABLES[table].empty(), stamp)
    return lake


def on(lake: Lake, day: date) -> Empties:
    return Empties(lake, lambda: day)


def test_empty_given_no_entry_expected_due_until_read_on_two_days(lake: Lake) -> None:
    assert on(lake, MONDAY).due("splits", "2013") == Scope()
    assert "never read again" in on(lake, MONDAY).all()[0].describe()
    for _ in range(2):
        on(lake, MONDAY).note("splits", "2013", Scope(), Scope())
        assert on(lake, MONDAY).due("splits", "2013") == NOTHING
    assert on(lake, TUESDAY).due("splits", "2013") == Scope()
    on(lake, TUESDAY).note("splits", "2013", Scope(), Scope())
    (found,) = on(lake, WEDNESDAY).all()
    assert found.is_confirmed and (found.first, found.last) == (MONDAY, TUESDAY)
    assert on(lake, WEDNESDAY).due("splits", "2013") == NOTHING


def test_empties_given_notes_expected_a_sealed_file_beside_the_lakes_own(lake: Lake) -> None:
    on(lake, MONDAY).note("splits", "2013", Scope(), Scope())
    data = (Path(str(lake.root)) / FILE).read_bytes()
    row = {"table": "splits", "key": "2013", "tickers": []}
    assert is_intact(data)
    assert json.loads(data)["empties"] == [row | {"first": str(MONDAY), "last": str(MONDAY)}]


def test_empties_given_a_damaged_file_expected_all_read_again(lake: Lake) -> None:
    for day in (MONDAY, TUESDAY):
        on(lake, day).note("splits", "2013", Scope(), Scope())
    (Path(str(lake.root)) / FILE).write_text('{"empties": [{"table": 5}]')
    assert on(lake, TUESDAY).due("splits", "2013") == Scope()


def test_note_given_rows_after_all_expected_forgotten(lake: Lake) -> None:
    on(lake, MONDAY).note("splits", "2012", Scope(), Scope())
    on(lake, TUESDAY).note("splits", "2012", Scope(), NOTHING)
    assert on(lake, TUESDAY).find("splits", "2012") is None


def test_note_given_single_tickers_expected_only_those_due(lake: Lake) -> None:
    place = ("minute_bars", "2024-10-04")
    on(lake, MONDAY).note(*place, Scope.only("AB"), Scope.only("A"))
    on(lake, MONDAY).note(*place, Scope.only("CD"), Scope.only("D"))
    assert on(lake, TUESDAY).due(*place) == Scope.only("AD")
    on(lake, TUESDAY).note(*place, Scope.only("AD"), Scope.only("D"))
    assert on(lake, WEDNESDAY).due(*place) == NOTHING
    on(lake, WEDNESDAY).note(*place, Scope.only("F"), Scope.only("F"))
    assert on(lake, date(2026, 11, 5)).due(*place) == Scope.only("DF")


def test_note_given_two_objects_of_a_lake_expected_each_sees_the_others(lake: Lake) -> None:
    one, other = on(lake, MONDAY), on(lake, MONDAY)
    one.note("splits", "2013", Scope(), Scope())
    other.note("dividends", "2013", Scope(), Scope())
    assert one.due("dividends", "2013") == other.due("splits", "2013") == NOTHING
    assert len(json.loads((Path(str(lake.root)) / FILE).read_text())["empties"]) == 2


@pytest.mark.parametrize("table", [name for name, table in TABLES.items() if table.expects_rows])
def test_is_empty_given_any_table_expected_seen_in_its_small_file(
    tmp_path: Path, table: str
) -> None:
    keys = {"session": "2024-10-04", "month": "2024-10", "year": "2024", "none": None}
    key = keys.get(str(TABLES[table].partitioning), "A_2024-10-04")
    lake = Lake(tmp_path)
    assert not lake.is_empty(table, key)
    stamp = Stamp(table, TABLES[table].version, "config")
    assert lake.write(table, key, TABLES[table].empty(), stamp).bytes < 1 << 15
    assert lake.is_empty(table, key)
