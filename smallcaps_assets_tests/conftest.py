"""For all tests. Hypothesis has no deadline, since machines are shared, and tries the same 50
examples every time, so that a change is judged by what it changes. With the profile `explore` each
run tries 100 others, with `--hypothesis-profile=full` every property is tried on 2,000, with `fuzz`
on 100,000.
"""

from collections.abc import Iterator

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from dagster._core.storage.defs_state.base import DefsStateStorage
from hypothesis import settings

settings.register_profile("same", deadline=None, derandomize=True, max_examples=50)
settings.register_profile("explore", deadline=None)
settings.register_profile("full", deadline=None, max_examples=2000)
settings.register_profile("fuzz", deadline=None, max_examples=100_000, database=None)
settings.load_profile("same")


@pytest.fixture(scope="session", autouse=True)
def no_state_of_instances_past() -> Iterator[None]:
    """Definitions load without the stored state of components, of which there is none here: Dagster
    would ask the instance that is current for it, and where many come and go in one process, that
    can be one which is gone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DefsStateStorage, "get", staticmethod(lambda: None))
        yield


@pytest.fixture(scope="session", autouse=True)
def migrations_are_read_once() -> Iterator[None]:
    """For each new database, one a run, Dagster reads the scripts of all its migrations again, and
    compares nothing with them but the name of the last: a tenth of a second, a thousand times."""
    read, kept = ScriptDirectory.from_config, dict[str | None, ScriptDirectory]()

    def from_config(config: Config) -> ScriptDirectory:
        name = config.config_file_name
        if name not in kept:
            kept[name] = read(config)
        return kept[name]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScriptDirectory, "from_config", staticmethod(from_config))
        yield


@pytest.fixture(scope="session", autouse=True)
def folders_above_are_left_as_they_are(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test opens or closes a folder above its own, which may be somebody's private home."""
    parents = tmp_path_factory.getbasetemp().parents
    before = {parent: oct(parent.stat().st_mode) for parent in parents}
    yield
    assert {parent: oct(parent.stat().st_mode) for parent in parents} == before
