"""What tells strategies apart: how their orders are filled, and the whole of what they do."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from smallcaps_assets.domain.execution.signals import sample_of
from smallcaps_assets.settings import BacktestSettings, Strategy, TradingRules

_OF_FILLS = (
    *("entry", "entry_seconds", "entry_slack", "take_profit", "stop_loss", "timeout_seconds"),
    *("entry_quote_age", "exit_quote_age"),
)
"""Rules that fills follow from, beside the latency."""
_DIGITS = 12


@dataclass(frozen=True)
class Execution:
    """Rules that candidates are filled by, for the samples and sides that some strategies want."""

    name: str
    rules: TradingRules
    latencies_ms: tuple[int, ...]
    samples: tuple[str, ...]
    sides: tuple[int, ...]


def strategy_digest(settings: BacktestSettings, strategy: Strategy) -> str:
    """sha256 of all that a strategy's trades follow from but its name and the market."""
    told = strategy.model_dump(mode="json", exclude={"name", "rules"})
    told |= {"rules": settings.rules_of(strategy).model_dump(mode="json")}
    names = ("equity", "seed", "locate_shares", "capacity", "most_value", "spread_model")
    told |= {name: getattr(settings, name) for name in names}
    return _sha256(told)


def execution_of(rules: TradingRules) -> str:
    """The name of the orders of some rules: equal ones are filled once."""
    return _sha256({name: getattr(rules, name) for name in _OF_FILLS})[:_DIGITS]


def executions(settings: BacktestSettings, strategies: Sequence[Strategy]) -> list[Execution]:
    """What candidates are to be filled by for some strategies, in the order of their names."""
    found: dict[str, list[Strategy]] = {}
    for strategy in strategies:
        found.setdefault(execution_of(settings.rules_of(strategy)), []).append(strategy)
    return [_execution(name, settings, found[name]) for name in sorted(found)]


def _execution(name: str, settings: BacktestSettings, wanted: list[Strategy]) -> Execution:
    rules = [settings.rules_of(strategy) for strategy in wanted]
    latencies = {*(r.latency_ms for r in rules), *settings.latencies_ms}
    samples = {sample_of(strategy) for strategy in wanted}
    shorts = not all(r.long_only for r in rules)
    return Execution(
        name, rules[0], tuple(sorted(latencies)), tuple(sorted(samples)),
        (-1, 1) if shorts else (1,),
    )  # fmt: skip


def executions_digest(settings: BacktestSettings, strategies: Sequence[Strategy]) -> str:
    """sha256 of all that candidates follow from but the market."""
    names = ("capacity", "most_value", "spread_model", "tier_1")
    told: dict[str, Any] = {name: getattr(settings, name) for name in names}
    for execution in executions(settings, strategies):
        rules = {name: getattr(execution.rules, name) for name in _OF_FILLS}
        told[execution.name] = [
            rules, execution.latencies_ms, execution.samples, execution.sides,
        ]  # fmt: skip
    return _sha256(told)


def _sha256(told: Any) -> str:
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
