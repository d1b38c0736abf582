"""The composition root: assets, resources and executor of one code location.

`dagster dev` loads `defs` without any environment variable; tests and the command line build their
own with `build_definitions`.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import dagster as dg

from smallcaps_assets.defs import dataset, reference, sessions, ticks
from smallcaps_assets.defs.common import Location
from smallcaps_assets.lake.identity import read_identity
from smallcaps_assets.orchestration.market import market_range
from smallcaps_assets.orchestration.partitions import Cuts
from smallcaps_assets.orchestration.resources import resources_of
from smallcaps_assets.orchestration.workspace import Observer
from smallcaps_assets.settings import CONFIG_FILE, Settings, load_settings

# Partition mappings and backfill policies are in beta in the pinned version; it works as measured.
warnings.filterwarnings("ignore", category=dg.BetaWarning)
warnings.filterwarnings("ignore", category=dg.PreviewWarning)


def build_definitions(settings: Settings, observer: Observer | None = None) -> dg.Definitions:
    """All definitions of a lake; `observer` is told of every partition as it is done."""
    start, end = market_range(settings)
    location = Location(settings, Cuts(start, end, settings.dataset.periods), observer)
    return dg.Definitions(
        assets=[
            reference.corporate_actions(location),
            reference.details(location),
            reference.factors(location),
            sessions.session_tables(location),
            sessions.registry(location),
            ticks.tick_chain(location),
            dataset.dataset(location),
            dataset.history(location),
        ],
        resources=resources_of(settings),
        executor=dg.in_process_executor,
    )


def location_settings() -> Settings:
    """Settings of the code location: smallcaps.toml, the environment, what the lake remembers."""
    file = Path(CONFIG_FILE)
    config = file if file.exists() else None
    first = load_settings(environment=os.environ, config_file=config)
    known = read_identity(first.lake.root)
    remembered = known[1] if known else None
    return load_settings(environment=os.environ, config_file=config, remembered=remembered)


defs = build_definitions(location_settings())
