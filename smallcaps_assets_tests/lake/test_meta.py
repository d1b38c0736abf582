"""meta.json counts only for the file that it names."""

from __future__ import annotations

from pathlib import Path

import pytest

from smallcaps_assets.lake import Lake, Stamp
from smallcaps_assets.lake.meta import is_described, meta_path, read_meta, write_meta
from smallcaps_assets.lake.verify import check_partition
from smallcaps_assets.schemas import TABLES

NAME, KEY = "ml_dataset", "p"


def stored(lake: Lake, config: str = "a") -> str:
    """An empty dataset; returns its seal, which is another for each config."""
    table = TABLES[NAME]
    return lake.write(NAME, KEY, table.empty(), Stamp(NAME, table.version, config)).seal


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


def test_meta_of_the_stored_file_is_read_and_names_its_seal(lake: Lake) -> None:
    seal = stored(lake)
    write_meta(lake, NAME, KEY, {"rows": 0}, seal)
    found = read_meta(lake, NAME, KEY)
    assert found is not None and found["rows"] == 0
    assert found["describes"] == {"file": "ml_dataset.parquet", "seal": seal}
    assert is_described(lake, NAME, KEY) and check_partition(lake, NAME, KEY)[0] == []


def test_meta_of_another_file_counts_as_absent(lake: Lake) -> None:
    write_meta(lake, NAME, KEY, {"rows": 0}, stored(lake, "a"))
    stored(lake, "b")
    assert read_meta(lake, NAME, KEY) is None and not is_described(lake, NAME, KEY)
    (found,) = check_partition(lake, NAME, KEY)[0]
    assert found.is_of_meta and "tells of another file; the next run writes it" in found.problem


def test_meta_that_is_absent_or_older_than_its_checksum_counts_as_absent(lake: Lake) -> None:
    stored(lake)
    assert read_meta(lake, NAME, KEY) is None
    assert "its meta.json is absent" in check_partition(lake, NAME, KEY)[0][0].problem
    place = meta_path(lake, NAME, KEY).relative_to(lake.root)
    lake.write_json(str(place), {"rows": 0})
    assert read_meta(lake, NAME, KEY) is None and not is_described(lake, NAME, KEY)


def test_meta_that_is_damaged_counts_as_absent(lake: Lake) -> None:
    write_meta(lake, NAME, KEY, {"rows": 0}, stored(lake))
    path = Path(str(meta_path(lake, NAME, KEY)))
    path.write_bytes(path.read_bytes().replace(b'"rows": 0', b'"rows": 1'))
    assert read_meta(lake, NAME, KEY) is None
    assert "damaged" in check_partition(lake, NAME, KEY)[0][0].problem


def test_table_without_a_meta_is_described_without_one(lake: Lake) -> None:
    assert is_described(lake, "splits", "2024")
