"""The composition root: assets, resources and executor of one code location.

`dagster dev` loads `defs` without any environment variable; tests and the command line build their
own with `build_definitions`.
"""

from __future__ import annotations

import os
import warnings

import dagster as dg

from smallcaps_assets.defs import checks, feed_schedules, jobs, schedules, sensors
from smallcaps_assets.defs.common import Location
from smallcaps_assets.defs.ops import all_assets
from smallcaps_assets.orchestration.describe import with_descriptions
from smallcaps_assets.orchestration.location import handed_over, location_settings
from smallcaps_assets.orchestration.partitions import Partitions
from smallcaps_assets.orchestration.resources import resources_of
from smallcaps_assets.pipeline.outcome import Observer
from smallcaps_assets.settings import Settings

# Partition mappings and backfill policies are in beta in the pinned version; it works as measured.
warnings.filterwarnings("ignore", category=dg.BetaWarning)
warnings.filterwarnings("ignore", category=dg.PreviewWarning)


def build_definitions(settings: Settings, observer: Observer | None = None) -> dg.Definitions:
    """All definitions of a lake; `observer` is told of every partition as it is done."""
    location = Location(settings, Partitions.of_market(settings), observer)
    return dg.Definitions(
        assets=with_descriptions(all_assets(location), settings),
        asset_checks=[checks.table_checks(location)],
        jobs=[*jobs.JOBS.values(), jobs.CHECKS_JOB],
        schedules=[*schedules.all_schedules(location), *feed_schedules.all_schedules(location)],
        sensors=sensors.all_sensors(location),
        resources=resources_of(settings),
        executor=dg.in_process_executor,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """The definitions of the default lake, or of one that is served; built when Dagster asks."""
    return build_definitions(location_settings(os.environ, *handed_over(os.environ)))
