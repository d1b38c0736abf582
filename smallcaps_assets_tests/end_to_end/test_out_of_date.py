"""What is out of date, before anything is made: `run --dry-run` and `status --stale`."""

from __future__ import annotations

import json
import re
from pathlib import Path

import dagster as dg
import polars as pl

from smallcaps_assets.defs.checks import UP_TO_DATE, look_at_outdated, withdraw_warnings
from smallcaps_assets.lake import Lake
from smallcaps_assets.orchestration.storage.check_results import check_results
from smallcaps_assets.pipeline.partition_keys import date_of
from smallcaps_assets.schemas import TABLES
from smallcaps_assets_tests.end_to_end.command import digests, run_small, smallcaps
from smallcaps_assets_tests.end_to_end.conftest import instance_of
from smallcaps_assets_tests.end_to_end.test_quality import run_table_checks, workspace_of

CHANGED = ("--set", "bars.alpha=0.3")


def stale(lake: Path, *options: str) -> dict[str, int]:
    done = smallcaps("status", "--stale", "--json", "--lake", lake, *options, cwd=lake.parent)
    assert (done.status, done.error) == (0, "")
    return {row["table"]: row["outdated"] for row in json.loads(done.out)}


def dry(lake: Path, *options: str) -> str:
    done = smallcaps("run", "--dry-run", "--lake", lake, *options, cwd=lake.parent)
    assert (done.status, done.error) == (0, "")
    return done.out


def rows_of(out: str) -> dict[str, tuple[int, int]]:
    """Missing and out of date by table."""
    found = re.findall(r"^ +[\w ]*?(\w+) +[\d,]+ +([\d,]+) +([\d,]+) *$", out, re.MULTILINE)
    return {table: (int(missing), int(old)) for table, missing, old in found}


def test_changed_setting_expected_counted_and_nothing_made(own_lake: Path, periods: Path) -> None:
    config = ("--config", str(periods))
    lake, before = Lake(own_lake), digests(own_lake)
    assert set(stale(own_lake, *config).values()) == {0}
    count = len(lake.keys("dollar_imbalance_bars"))
    counts = stale(own_lake, *config, *CHANGED)
    assert counts["dollar_imbalance_bars"] == count > 0
    assert counts["trades"] == counts["daily_bars"] == 0
    lake.path("watchlist", "2024-12-30").unlink()
    out = dry(own_lake, *config, *CHANGED)
    rows = rows_of(out)
    assert rows["dollar_imbalance_bars"] == (0, count)
    assert rows["watchlist"] == (1, 0)
    assert rows["trades"] == (0, 0)
    assert "nothing was made" in out
    assert digests(own_lake) == {
        name: found for name, found in before.items() if "watchlist/date=2024-12-30" not in name
    }


def warned(instance: dg.DagsterInstance) -> dict[str, str]:
    """Tables whose check warns that something is out of date, by its newest result."""
    found = check_results(instance).filter(pl.col("check") == UP_TO_DATE)
    assert set(found["table"]) == set(TABLES)
    return dict(found.filter(~pl.col("is_good")).select("table", "text").iter_rows())


def test_what_is_out_of_date_is_shown_by_checks_until_it_no_longer_is(own_lake: Path) -> None:
    lake = Lake(own_lake)
    count = len(lake.keys("dollar_imbalance_bars"))
    with instance_of(own_lake) as instance:
        assert warned(instance) == {}  # all have been looked at, by the run or at its end
        found = run_table_checks(own_lake, instance, "bars.alpha=0.3")
        bars = found["dollar_imbalance_bars", UP_TO_DATE]
        assert not bars["passed"] and found["trades", UP_TO_DATE]["passed"]
        assert f"{count} of {count} partitions out of date: " in bars["text"]
        assert lake.keys("dollar_imbalance_bars")[0] in bars["text"]

        withdraw_warnings(instance, workspace_of(own_lake))  # the setting is as it was
        assert warned(instance) == {}


def test_partition_whose_input_has_changed_is_out_of_date(own_lake: Path) -> None:
    lake = Lake(own_lake)
    key = max(lake.keys("sample_weights"), key=date_of)
    stamp, rows = lake.stamp("sample_weights", key), lake.read("sample_weights", key)
    assert stamp is not None
    lake.write("sample_weights", key, rows.slice(1), stamp)
    found = [look_at_outdated(workspace_of(own_lake), table) for table in TABLES]
    # What the changed file itself is made of is the same; the union's period is as it was.
    assert [finding.found for finding in found if not finding.is_good] == [
        "1 of 3 partitions out of date: after_christmas"
    ]


def test_dry_run_on_no_lake_expected_all_missing_and_no_folder(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    done = run_small(lake, "--dry-run")
    assert done.status == 0
    assert rows_of(done.out)["tickers"] == (15, 0)
    assert not lake.exists()
