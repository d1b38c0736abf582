"""Which work may run side by side: pools, whose limits our code sets when an instance is opened.

`vendor`: lists, bars and actions. One run, because all its threads share one key's rate.
`ticks`: the tick chain. One run, whose worker processes fill the cores; more runs have workers and
memory of their own each.

Limits count runs in the queue; a run started by `smallcaps run` in its own process is not held up.
"""

from __future__ import annotations

import dagster as dg

from smallcaps_assets.schemas import TICKS, VENDOR
from smallcaps_assets.settings import RunSettings


def apply_pools(instance: dg.DagsterInstance, settings: RunSettings) -> None:
    """Set the limits; repeatable, and what was set by hand in the UI is set back."""
    limits = {VENDOR: settings.vendor_runs, TICKS: settings.tick_runs}
    storage = instance.event_log_storage
    known = {pool.name: pool.limit for pool in storage.get_pool_limits()}
    for name, limit in limits.items():
        if known.get(name) != limit:
            storage.set_concurrency_slots(name, limit)
