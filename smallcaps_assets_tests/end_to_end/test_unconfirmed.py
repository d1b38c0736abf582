"""A list that is truly empty: shown, read again on another day, and nothing made of it."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import dagster as dg

from smallcaps_assets.lake import Empties, Lake
from smallcaps_assets.lake.empties import FILE, today_in_new_york
from smallcaps_assets_tests.end_to_end.command import (
    changed_tables,
    listing,
    run_again,
    smallcaps,
)
from smallcaps_assets_tests.end_to_end.conftest import instance_of


def told(lake: Path, *command: str) -> str:
    done = smallcaps(*command, "--lake", lake, cwd=lake.parent)
    assert done.status == 0, done.error
    return done.out


def made(lake: Path, table: str) -> int:
    with instance_of(lake) as instance:
        return len(instance.fetch_materializations(dg.AssetKey(table), limit=100).records)


def test_run_given_an_empty_of_another_day_expected_read_again_and_nothing_made(
    own_lake: Path,
) -> None:
    (empty, *_) = Empties(Lake(own_lake)).all()
    line = f"empty {empty.table} {empty.key}: unconfirmed"
    assert line in told(own_lake, "status") and line in told(own_lake, "coverage")
    file, yesterday = own_lake / FILE, today_in_new_york() - timedelta(1)
    text = file.read_text().replace(str(empty.last), str(yesterday))
    file.write_text(text)
    before, events = listing(own_lake), made(own_lake, empty.table)

    done = run_again(own_lake)
    assert (done.status, done.error) == (0, "")
    assert "empty answers were read again" in done.out and "everything is complete" in done.out
    assert changed_tables(before, own_lake) == set() and made(own_lake, empty.table) == events
    assert f"{empty.table} {empty.key}: confirmed" in told(own_lake, "status")
    rows = {row["table"]: row for row in json.loads(told(own_lake, "status", "--json"))}
    assert (rows[empty.table]["empty"], rows[empty.table]["unconfirmed"]) == (1, 0)
    (found,) = json.loads(told(own_lake, "quality", "--json"))["found"]
    assert found["empties"][0]["is_confirmed"] is True
    assert "read again" not in run_again(own_lake).out
