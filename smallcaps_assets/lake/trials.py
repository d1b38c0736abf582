"""The ledger of trials: a small file below `trials/` for each finished backtest of a strategy.

A file is named by the sha256 of its content, is written once and never changed or removed: a
strategy that was tried and dropped still counts. What a trial is: `domain/evidence/trials.py`.
"""

from __future__ import annotations

import json

from smallcaps_assets.domain.evidence.trials import Trial, ledger_digest
from smallcaps_assets.lake.errors import LakeError
from smallcaps_assets.lake.store import Lake

FOLDER = "trials"


class LedgerError(LakeError):
    """A ledger of which an entry was changed."""


def record_trial(lake: Lake, trial: Trial) -> None:
    """Add a trial; one that is there already changes nothing."""
    place = f"{FOLDER}/{trial.digest}.json"
    if not (lake.root / place).exists():
        lake.write_bytes(place, trial.text().encode())


def trials(lake: Lake) -> list[Trial]:
    """All trials, in an order of their own. Raises LedgerError for an entry that was changed."""
    folder = lake.root / FOLDER
    paths = sorted(folder.glob("*.json")) if folder.exists() else []
    return sorted(_trial(lake.whole(path), str(path), path.stem) for path in paths)


def trials_digest(lake: Lake) -> str:
    """Changes with every trial that is added."""
    return ledger_digest(trials(lake))


def _trial(data: bytes, place: str, name: str) -> Trial:
    try:
        trial = Trial(**json.loads(data))
        found = trial.digest
    except (ValueError, TypeError):
        found = "unreadable"
    if found != name:
        raise LedgerError(
            f"{place} is not what was recorded ({found}); put it back from a copy of the"
            " lake: the number of trials is what the deflated Sharpe ratio rests on"
        )
    return trial
