"""The numbers of `smallcaps status`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from smallcaps_assets.lake import open_lake
from smallcaps_assets.orchestration.instance import open_instance, report_stored
from smallcaps_assets.orchestration.reconcile import report_lost
from smallcaps_assets.pipeline.market import market_of
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets.pipeline.workspace import written
from smallcaps_assets.settings import load_settings
from smallcaps_assets_tests.end_to_end.command import environment, smallcaps
from smallcaps_assets_tests.lake.desk_lake import DAYS, bars, stamp


def test_stored_partition_whose_last_attempt_failed_is_counted_as_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the run that failed and `backfill --failed` count it."""
    monkeypatch.setattr("os.environ", environment())
    lake = open_lake(tmp_path / "lake", market_of(load_settings()).identity, {})
    keys = [day.isoformat() for day in DAYS]
    for day, key in zip(DAYS, keys, strict=True):
        lake.write("daily_bars", key, bars(day, "A"), stamp("daily_bars"))
    with open_instance(tmp_path / "lake") as instance:
        for key in keys:
            known = Outcome("daily_bars", key, 0.0, written(lake, "daily_bars", key, 1))
            report_stored(instance, known)
        report_lost(instance, [("daily_bars", keys[0])], "the vendor was out of reach")
    told = json.loads(smallcaps("status", "--json", "--lake", "lake", cwd=tmp_path).out)
    (row,) = [row for row in told if row["table"] == "daily_bars"]
    assert (row["present"], row["failed"]) == (3, 1)
