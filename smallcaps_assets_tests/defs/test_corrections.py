"""What the sensor requests when source data changes, on a workspace without the daemon."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from smallcaps_assets.defs.corrections import decision_changes
from smallcaps_assets.orchestration.cursor import Cursor
from smallcaps_assets.orchestration.launchers import REASON_TAG
from smallcaps_assets.schemas import TABLES
from smallcaps_assets_tests.pipeline.bench import workspace


def test_changed_decisions_touch_their_sessions_and_those_after(tmp_path: Path) -> None:
    work, cursor = workspace(tmp_path), Cursor(None)
    keys = work.span.session_keys(work.span.start, work.span.end)
    for key in keys:
        rows = TABLES["daily_metrics"].empty()
        work.lake.write("daily_metrics", key, rows, work.stamp("daily_metrics", key))

    def asked() -> list[dg.RunRequest]:
        with dg.DagsterInstance.ephemeral() as instance:
            return list(decision_changes(work, instance, cursor, None))

    assert asked() == []
    (tmp_path / "suspects.csv").write_text(f"ticker,date,verdict\nPUX,{keys[-2]},real\n")
    (request,) = asked()
    assert [key.to_user_string() for key in request.asset_selection or ()] == [
        "daily_metrics",
        "watchlist",
        "runners",
        "volatile",
    ]
    assert all(key in str(request.tags) + str(request.partition_key) for key in keys[-2:])
    reason = f"sensor corrections: suspects.csv has changed for PUX on {keys[-2]}"
    assert request.tags[REASON_TAG] == reason
    assert asked() == []
    (tmp_path / "suspects.csv").unlink()
    assert [r.tags[REASON_TAG] for r in asked()] == [reason]
