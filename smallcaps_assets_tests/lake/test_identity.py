"""One lake, one market."""

import json
from pathlib import Path

import pytest

from smallcaps_assets.lake import LakeError, LakeIdentity, open_lake
from smallcaps_assets.lake.identity import read_identity

SIMULATED = LakeIdentity("simulated", {"seed": 7})


def test_open_lake_new_folder_remembers_market_and_settings(tmp_path: Path):
    open_lake(tmp_path / "lake", SIMULATED, {"bars": {"alpha": 0.3}})
    assert read_identity(tmp_path / "lake") == (SIMULATED, {"bars": {"alpha": 0.3}})


def test_open_lake_without_settings_keeps_the_remembered_ones(tmp_path: Path):
    open_lake(tmp_path, SIMULATED, {"bars": {"alpha": 0.3}})
    open_lake(tmp_path, SIMULATED)
    found = read_identity(tmp_path)
    assert found is not None
    assert found[1] == {"bars": {"alpha": 0.3}}


@pytest.mark.parametrize(
    "other", [LakeIdentity("polygon", {}), LakeIdentity("simulated", {"seed": 8})]
)
def test_open_lake_of_another_market_is_refused_naming_both(tmp_path: Path, other: LakeIdentity):
    open_lake(tmp_path, SIMULATED)
    before = (tmp_path / "lake.json").read_bytes()
    with pytest.raises(LakeError) as error:
        open_lake(tmp_path, other)
    assert SIMULATED.describe() in str(error.value)
    assert other.describe() in str(error.value)
    assert "--lake" in str(error.value)
    assert (tmp_path / "lake.json").read_bytes() == before


def test_open_lake_where_a_file_stands_is_refused(tmp_path: Path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(LakeError, match="can't be written"):
        open_lake(tmp_path / "file" / "lake", SIMULATED)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1}', "\x00", "[" * 99_999])
def test_open_lake_broken_file_is_refused(tmp_path: Path, text: str):
    (tmp_path / "lake.json").write_text(text)
    with pytest.raises(LakeError, match=r"lake\.json"):
        open_lake(tmp_path, SIMULATED)


def test_open_lake_of_a_newer_format_is_refused(tmp_path: Path):
    values = {"format": 99, "market": "simulated", "parameters": {}, "settings": {}}
    (tmp_path / "lake.json").write_text(json.dumps(values))
    with pytest.raises(LakeError, match="format 99"):
        open_lake(tmp_path, SIMULATED)
