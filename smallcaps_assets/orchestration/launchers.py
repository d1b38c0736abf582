"""How a set of partitions becomes runs: as few as possible, and none that makes other partitions.

A run costs more than a second before any work, so keys go many to a run. A range run covers a
stretch of the definition's current order, so blocks are computed from that order and never from
first and last; what is scattered goes by a list of keys in the run's configuration.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from smallcaps_assets.orchestration.partitions import contiguous_blocks
from smallcaps_assets.settings import RunSettings

KEYS_PER_RUN = 500
SHORTEST_RANGE = 20
"""Blocks below this go by list: a hundred short ranges would be a hundred runs."""
RUNS_LOOKED_AT = 300
REASON_TAG = "smallcaps/reason"
OP_TAG = "smallcaps/op"
_UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
_RUN_KEY = "dagster/run_key"
_PARTITION = "dagster/partition"
_RANGE = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")


@dataclass(frozen=True)
class Launch:
    """The partitions of one run, in the definition's order, and whether they go as a range."""

    keys: tuple[str, ...]
    is_range: bool = True

    @property
    def tags(self) -> dict[str, str]:
        """The run's partition tags.

        A list goes under its first key: Dagster refuses a run without a partition whose assets have
        partitioned inputs. The keys of the configuration are what is made.
        """
        if not self.is_range or len(self.keys) == 1:
            return {_PARTITION: self.keys[0]}
        return dict(zip(_RANGE, (self.keys[0], self.keys[-1]), strict=True))

    @property
    def config(self) -> dict[str, Any]:
        """What of the op's configuration names the partitions."""
        return {} if self.is_range else {"keys": list(self.keys)}


def plan(keys: Iterable[str], order: Sequence[str], most: int | None = None) -> list[Launch]:
    """Runs of at most `most` keys, by default `KEYS_PER_RUN`, for exactly these keys.

    Long blocks go as ranges, a lone short one too; several short ones go together as lists.
    Raises KeyError for a key that is not in the order.
    """
    most = most or KEYS_PER_RUN
    place = {key: number for number, key in enumerate(order)}
    blocks = [
        tuple(order[place[first] : place[last] + 1])
        for first, last in contiguous_blocks(set(keys), order)
    ]
    shortest = 1 if len(blocks) == 1 else SHORTEST_RANGE
    ranges = [part for block in blocks if len(block) >= shortest for part in _parts(block, most)]
    scattered = [key for block in blocks if len(block) < shortest for key in block]
    lists = [Launch(part, is_range=len(part) == 1) for part in _parts(scattered, most)]
    return sorted([*map(Launch, ranges), *lists], key=lambda launch: place[launch.keys[0]])


def planned(
    run: RunSettings, keys: Iterable[str], order: Sequence[str], most: int | None = None
) -> list[Launch]:
    """As `plan`, by the settings; of at most `most` keys whatever they say."""
    given = [limit for limit in (run.keys_per_run, most) if limit is not None]
    return plan(keys, order, min(given, default=None))


def digest_of(keys: Iterable[str]) -> str:
    """A short name of these keys, for a run key."""
    return hashlib.sha256("\n".join(keys).encode()).hexdigest()[:16]


def job_name(op: str) -> str:
    """The job that runs one op."""
    return f"{op}_job"


def run_request(
    op: str,
    tables: Iterable[str],
    launch: Launch,
    reason: str,
    run_key: str | None = None,
    config: Mapping[str, Any] | None = None,
) -> dg.RunRequest:
    """A sensor's or schedule's request of one run, with the reason in its tags."""
    values = {**(config or {}), **launch.config}
    return dg.RunRequest(
        run_key=run_key,
        job_name=job_name(op),
        asset_selection=[dg.AssetKey(table) for table in tables],
        run_config={"ops": {op: {"config": values}}} if values else {},
        tags={REASON_TAG: reason, OP_TAG: op, **launch.tags},
    )


def _parts(keys: Sequence[str], most: int) -> list[tuple[str, ...]]:
    return [tuple(keys[place : place + most]) for place in range(0, len(keys), most)]


def attempts(instance: dg.DagsterInstance, reason: str) -> int | None:
    """How often runs were requested for a reason; None while one of them is not finished."""
    runs = instance.get_runs(dg.RunsFilter(tags={REASON_TAG: reason}))
    return None if any(not run.is_finished for run in runs) else len(runs)


def tries(
    instance: dg.DagsterInstance, op: str, reason: str, order: Sequence[str]
) -> tuple[Counter[str], set[str]]:
    """How often each key was requested by runs of an op for a reason, and which are in progress.

    The newest `RUNS_LOOKED_AT` runs of the op are counted.
    """
    place = {key: number for number, key in enumerate(order)}
    counts: Counter[str] = Counter()
    busy: set[str] = set()
    runs = instance.get_runs(dg.RunsFilter(tags={OP_TAG: op}), limit=RUNS_LOOKED_AT)
    for run in runs:
        if run.tags.get(REASON_TAG, "").startswith(reason):
            keys = set(run_keys(run, op, order, place))
            counts.update(keys)
            busy |= set() if run.is_finished else keys
    return counts, busy


def not_under_way(
    instance: dg.DagsterInstance, requests: Iterable[dg.RunRequest]
) -> list[dg.RunRequest]:
    """Requests under whose run key no run is queued or running.

    Of a sensor Dagster starts every run key once. Of a schedule it compares them within one tick.
    """
    on = {run.tags.get(_RUN_KEY) for run in instance.get_runs(dg.RunsFilter(statuses=_UNFINISHED))}
    return [request for request in requests if request.run_key not in on - {None}]


def keys_in_flight(instance: dg.DagsterInstance, op: str, order: Sequence[str]) -> set[str]:
    """Keys of the runs of an op, by list or by range, that are queued or running."""
    place = {key: number for number, key in enumerate(order)}
    runs = instance.get_runs(dg.RunsFilter(statuses=_UNFINISHED, tags={OP_TAG: op}))
    return {key for run in runs for key in run_keys(run, op, order, place)}


def run_keys(
    run: dg.DagsterRun, op: str, order: Sequence[str], place: Mapping[str, int]
) -> Sequence[str]:
    """Keys of one run, by list or by range; `place` gives the places in the order."""
    ops: Any = run.run_config.get("ops", {})
    listed = ops.get(op, {}).get("config", {}).get("keys", ())
    names = _RANGE if _RANGE[0] in run.tags else (_PARTITION, _PARTITION)
    first, last = (run.tags.get(name, "") for name in names)
    if listed or first not in place or last not in place:
        return listed
    return order[place[first] : place[last] + 1]


def first_key(run: dg.DagsterRun) -> str:
    """The first partition of a run; empty for a run of none."""
    return run.tags.get(_RANGE[0]) or run.tags.get(_PARTITION, "")
