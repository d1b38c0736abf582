"""What is out of date, before anything is made: `run --dry-run` and `status --stale`."""

from __future__ import annotations

import json
import re
from pathlib import Path

from smallcaps_assets.lake import Lake
from smallcaps_assets_tests.end_to_end.command import digests, run_small, smallcaps

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


def test_dry_run_on_no_lake_expected_all_missing_and_no_folder(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    done = run_small(lake, "--dry-run")
    assert done.status == 0
    assert rows_of(done.out)["tickers"] == (15, 0)
    assert not lake.exists()
