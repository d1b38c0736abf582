"""Dagster's SQLite storage with kept connections: what it holds, lets go, and finds again."""

from collections.abc import Iterator
from pathlib import Path
from queue import Queue

import dagster as dg
import pytest
from sqlalchemy import text

from smallcaps_assets.orchestration.storage.sqlite import EventLog

CONFIG = """
storage:
  custom:
    module: smallcaps_assets.orchestration.storage.sqlite
    class: SqliteStorage
    config:
      base_dir: {0}
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The folder of an instance."""
    (tmp_path / "dagster.yaml").write_text(CONFIG.format(tmp_path))
    return tmp_path


@pytest.fixture
def instance(home: Path) -> Iterator[dg.DagsterInstance]:
    """An instance on it."""
    with dg.DagsterInstance.from_config(str(home)) as found:
        yield found


def event_log(instance: dg.DagsterInstance) -> EventLog:
    storage = instance.event_log_storage
    assert isinstance(storage, EventLog)
    return storage


def report(instance: dg.DagsterInstance, key: str) -> None:
    instance.report_runless_asset_event(dg.AssetMaterialization("table", partition=key))


def test_commits_append_without_waiting_for_the_disk(instance: dg.DagsterInstance):
    with event_log(instance).index_connection() as connection:
        assert connection.execute(text("PRAGMA synchronous")).scalar_one() == 1
        assert connection.execute(text("PRAGMA journal_mode")).scalar_one() == "wal"


def test_watcher_of_a_run_hears_of_events_that_another_process_writes(
    instance: dg.DagsterInstance, home: Path
):
    heard: Queue[str] = Queue()
    run = instance.create_run_for_job(dg.GraphDefinition("nothing").to_job())
    storage = event_log(instance)

    def hear(entry: dg.EventLogEntry, _: str) -> None:
        heard.put(entry.message)

    storage.watch(run.run_id, None, hear)
    with dg.DagsterInstance.from_config(str(home)) as other:
        other.report_engine_event("one", run)
        assert "one" in heard.get(timeout=30)
        other.report_engine_event("two", run)
        assert "two" in heard.get(timeout=30)
    storage.end_watch(run.run_id, hear)


def test_connection_of_a_file_is_kept(instance: dg.DagsterInstance):
    seen = set()
    for _ in range(3):
        with event_log(instance).index_connection() as connection:
            seen.add(id(connection.connection.dbapi_connection))
    assert len(seen) == 1


def test_connections_of_many_runs_are_bounded(instance: dg.DagsterInstance):
    log = event_log(instance)
    for number in range(20):
        with log.run_connection(f"run{number}") as connection:
            connection.execute(text("select 1"))
    assert len(log._engines) == 16
    assert list(log._engines)[-1] == "run19"


def test_failed_transaction_leaves_nothing_behind(instance: dg.DagsterInstance):
    report(instance, "good")
    with pytest.raises(ZeroDivisionError), event_log(instance).index_connection() as connection:
        connection.execute(text("delete from event_logs"))
        raise ZeroDivisionError
    assert instance.get_materialized_partitions(dg.AssetKey("table")) == {"good"}


def test_second_process_sees_what_the_first_has_committed(home: Path, instance: dg.DagsterInstance):
    with dg.DagsterInstance.from_config(str(home)) as other:
        report(instance, "first")
        assert other.get_materialized_partitions(dg.AssetKey("table")) == {"first"}
        report(other, "second")
    assert instance.get_materialized_partitions(dg.AssetKey("table")) == {"first", "second"}


def test_empty_file_is_a_new_history(instance: dg.DagsterInstance, home: Path):
    report(instance, "first")
    instance.dispose()
    index = home / "history" / "runs" / "index.db"
    for file in (index, *index.parent.glob("index.db-*")):
        file.unlink()
    index.touch()
    with dg.DagsterInstance.from_config(str(home)) as again:
        assert again.get_dynamic_partitions("none") == []
        assert again.get_materialized_partitions(dg.AssetKey("table")) == set()
