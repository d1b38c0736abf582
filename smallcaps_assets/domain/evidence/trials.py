"""What has been tried: a trial is a strategy, as declared, with a finished backtest.

Every trial counts, also one whose strategy was dropped since: the more were tried, the better the
best of them looks by luck alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import date

import polars as pl

from smallcaps_assets.domain.evidence.account import moments


@dataclass(frozen=True, order=True)
class Trial:
    """A finished backtest of a declared strategy; `sharpe` of its sessions, None where it has none.

    `strategy` is the digest of the whole declaration.
    """

    strategy: str
    name: str
    first: str
    last: str
    sessions: int
    sharpe: float | None

    def text(self) -> str:
        """One line of JSON, the same for the same trial."""
        return json.dumps(asdict(self), sort_keys=True)

    @property
    def digest(self) -> str:
        """sha256 of the line."""
        return hashlib.sha256(self.text().encode()).hexdigest()


def trial_of(strategy: str, days: pl.DataFrame) -> Trial:
    """The trial of a strategy's digest and the rows of backtest_days that it gave."""
    found = moments(days["net_profit"].to_numpy())
    first, last = days["date"].min(), days["date"].max()
    assert isinstance(first, date) and isinstance(last, date)
    return Trial(
        strategy,
        days["strategy"][0],
        first.isoformat(),
        last.isoformat(),
        days.height,
        None if found is None else found.sharpe,
    )


def trial_count(trials: Iterable[Trial]) -> int:
    """How many distinct strategies were tried."""
    return len({trial.strategy for trial in trials})


def trial_sharpes(trials: Sequence[Trial]) -> list[float]:
    """Sharpe ratio of each strategy that has one, of its longest backtest."""
    longest: dict[str, Trial] = {}
    for trial in sorted(trials, key=lambda one: (one.sessions, one.last, one.text())):
        longest[trial.strategy] = trial
    found = (longest[name].sharpe for name in sorted(longest))
    return [sharpe for sharpe in found if sharpe is not None]


def ledger_digest(trials: Iterable[Trial]) -> str:
    """sha256 of the sorted trials; an input of the report."""
    lines = sorted({trial.digest for trial in trials})
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
