"""For all tests. Hypothesis has no deadline, since machines are shared, and in CI the same examples
every time, so that a change is judged by what it changes. Without CI each run looks further, and
with `--hypothesis-profile=full` every property is tried on 2,000 examples, with `fuzz` on 100,000.
"""

import os
from collections.abc import Iterator

import pytest
from dagster._core.storage.defs_state.base import set_defs_state_storage
from hypothesis import settings

settings.register_profile("explore", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.register_profile("full", deadline=None, max_examples=2000)
settings.register_profile("fuzz", deadline=None, max_examples=100_000, database=None)
settings.load_profile("ci" if os.environ.get("CI") else "explore")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Iterator[object]:
    """Each test begins without an instance: one that was entered twice stays Dagster's current one
    after it is gone, and definitions of later tests can't be loaded."""
    with set_defs_state_storage(None):
        return (yield)
