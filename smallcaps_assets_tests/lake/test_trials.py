"""The ledger of trials: entries are added, never changed, and a change is noticed."""

from __future__ import annotations

from pathlib import Path

import pytest

from smallcaps_assets.domain.evidence.trials import Trial
from smallcaps_assets.lake import Lake
from smallcaps_assets.lake.trials import LedgerError, record_trial, trials, trials_digest

FIRST = Trial("aa", "model", "2024-09-03", "2024-09-18", 12, 0.25)
SECOND = Trial("bb", "always_long", "2024-09-03", "2024-09-18", 12, None)


def test_ledger_keeps_every_trial_once(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    empty = trials_digest(lake)
    assert trials(lake) == []
    for trial in (SECOND, FIRST, SECOND):
        record_trial(lake, trial)
    assert trials(lake) == [FIRST, SECOND]
    assert trials_digest(lake) != empty
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "trials").iterdir()}
    record_trial(lake, FIRST)
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "trials").iterdir()}


@pytest.mark.parametrize("content", ["{}", "no JSON", None])
def test_changed_entry_is_refused_by_name(tmp_path: Path, content: str | None) -> None:
    lake = Lake(tmp_path)
    record_trial(lake, FIRST)
    place = tmp_path / "trials" / f"{FIRST.digest}.json"
    place.write_text(place.read_text().replace("0.25", "2.5") if content is None else content)
    with pytest.raises(LedgerError, match=f"{FIRST.digest}.json is not what was recorded"):
        trials(lake)
