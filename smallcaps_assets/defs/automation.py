"""Which schedules and sensors together keep a lake up to date.

All except those of feeds that the main job leaves out. Their states are kept by Dagster, see
`orchestration/automation.py`.
"""

from __future__ import annotations

import dagster as dg

from smallcaps_assets.defs import feed_schedules
from smallcaps_assets.orchestration.automation import Instigator
from smallcaps_assets.pipeline.market import market_of
from smallcaps_assets.schemas import TABLES
from smallcaps_assets.settings import Settings


def instigators(definitions: dg.Definitions) -> list[Instigator]:
    """The schedules, then the sensors, in the order of the work."""
    return [*(definitions.schedules or ()), *(definitions.sensors or ())]  # type: ignore[list-item]


def is_needed(settings: Settings, name: str) -> bool:
    """Whether a schedule or sensor makes tables of the main job for these settings."""
    left_out = {TABLES[table].op for table in market_of(settings).left_out}
    others = {feed_schedules.name_of(op) for op in left_out}
    return name not in others


def requests_runs(definition: Instigator) -> bool:
    """Whether it requests runs; `upkeep` only maintains the instance."""
    return bool(definition.has_jobs) if isinstance(definition, dg.SensorDefinition) else True
