"""An object store for the lake's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from smallcaps_assets_tests.object_store import ObjectStore, object_store


@pytest.fixture(scope="module")
def store() -> Iterator[ObjectStore]:
    """An S3 API with one bucket."""
    with object_store() as running:
        yield running


@pytest.fixture(scope="module")
def endpoint(store: ObjectStore) -> str:
    """The address of the S3 API."""
    return store.url
