"""Captured output of runs: kept for the page of a run, without processes that outlive it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import yaml

from smallcaps_assets.orchestration.instance import instance_home, open_instance


def children() -> set[str]:
    """The commands of this process's children."""
    asked = ["ps", "--ppid", str(os.getpid()), "-o", "args="]
    told = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.splitlines()
    return {line for line in told if not line.startswith("ps ")}


FOUND: list[set[str]] = []


@dg.op
def talk() -> None:
    sys.stdout.write("a word of the step\n")
    FOUND.append(children())


@dg.job(executor_def=dg.in_process_executor)
def talking() -> None:
    talk()


def run(instance: dg.DagsterInstance) -> tuple[set[str], bytes | None]:
    """The children that a run has while it works, and what was captured of its output."""
    result = talking.execute_in_process(instance=instance)
    [event] = [e for e in result.all_events if e.event_type_value == "LOGS_CAPTURED"]
    logs = instance.compute_log_manager
    key = logs.build_log_key_for_run(result.run_id, event.logs_captured_data.file_key)
    assert logs.is_capture_complete(key)
    return FOUND.pop(), logs.get_log_data(key).stdout


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = instance_home(tmp_path_factory.mktemp("lake"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(folder))
        yield folder


def test_run_of_the_web_server_captures_its_output_and_starts_no_process(
    home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = children()
    with dg.DagsterInstance.from_config(str(home)) as instance:
        found, told = run(instance)
    assert found == before
    assert told == b"a word of the step\n"
    assert capfd.readouterr().out.count("a word of the step\n") == 1


def test_run_of_a_command_leaves_its_output_where_it_goes_and_starts_no_process(
    home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = children()
    with open_instance(home.parent) as instance:
        found, told = run(instance)
    assert (found, told) == (before, None)
    assert capfd.readouterr().out.count("a word of the step\n") == 1


def test_configuration_of_an_earlier_version_gets_what_it_lacks(home: Path) -> None:
    file = home / "dagster.yaml"
    made = yaml.safe_load(file.read_text())
    earlier = {name: made[name] for name in made if name != "compute_logs"}
    earlier["run_monitoring"] = {"enabled": False}
    file.write_text(yaml.safe_dump(earlier))
    instance_home(home.parent)
    assert yaml.safe_load(file.read_text()) == {**made, "run_monitoring": {"enabled": False}}
