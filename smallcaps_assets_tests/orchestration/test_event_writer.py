"""The thread that tells Dagster of partitions: soon, in order, and all of it however a run ends."""

import threading
from collections.abc import Iterator

import dagster as dg
import pytest

from smallcaps_assets.orchestration.event_writer import EventWriter
from smallcaps_assets.orchestration.instance import open_instance

TABLE = dg.AssetKey("trades")
KEYS = [f"k{n}" for n in range(450)]


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", "")
        with open_instance(tmp_path_factory.mktemp("lake")) as found:
            yield found


@pytest.fixture
def instance(opened: dg.DagsterInstance) -> dg.DagsterInstance:
    opened.event_log_storage.wipe()
    return opened


def made(instance: dg.DagsterInstance, key: str) -> None:
    instance.report_runless_asset_event(dg.AssetMaterialization(TABLE, partition=key))


def told(instance: dg.DagsterInstance) -> list[str | None]:
    """Partitions that Dagster knows, in the order in which it was told."""
    records = instance.fetch_materializations(TABLE, limit=1000, ascending=True).records
    return [record.partition_key for record in records]


def test_what_is_finished_is_told_while_the_next_is_worked_on(instance: dg.DagsterInstance):
    is_told = threading.Event()
    with EventWriter(instance) as writer:
        writer.add(lambda: made(instance, "k0"))
        writer.add(is_told.set)
        assert is_told.wait(30)  # the block goes on: no end has made it write


def test_everything_is_told_once_and_in_order(instance: dg.DagsterInstance):
    with EventWriter(instance) as writer:
        for key in KEYS:
            writer.add(lambda key=key: made(instance, key))
    assert told(instance) == KEYS


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_is_finished_is_told_when_the_run_ends_with_an_error(
    instance: dg.DagsterInstance, error: type[BaseException]
):
    with pytest.raises(error), EventWriter(instance) as writer:
        for key in KEYS[:3]:
            writer.add(lambda key=key: made(instance, key))
        raise error
    assert told(instance) == KEYS[:3]


def test_error_of_writing_ends_the_run(instance: dg.DagsterInstance):
    def broken() -> None:
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space left"), EventWriter(instance) as writer:
        writer.add(broken)
        while True:
            writer.add(lambda: made(instance, "k1"))
    assert told(instance) == []
    with pytest.raises(OSError, match="no space left"), EventWriter(instance) as writer:
        writer.add(broken)
    assert "events" not in [thread.name for thread in threading.enumerate()]
