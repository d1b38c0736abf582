"""One lake, one market."""

import shutil
from pathlib import Path

import pytest

from smallcaps_assets.lake import DamagedFileError, Lake, LakeError, LakeIdentity, open_lake
from smallcaps_assets.lake.market import COPY, read_identity

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
    Lake(tmp_path).write_json("lake.json", values)
    with pytest.raises(LakeError, match="format 99"):
        open_lake(tmp_path, SIMULATED)


@pytest.mark.parametrize(
    ("before", "after"),
    [('"seed": 7', '"seed": 8'), ('"alpha": 0.3', '"alpha": 0.4'), ('"format": 1', '"format": 2')],
)
def test_changed_file_is_damage_and_not_another_market(tmp_path: Path, before: str, after: str):
    file = tmp_path / "lake.json"
    open_lake(tmp_path, SIMULATED, {"bars": {"alpha": 0.3}})
    whole = file.read_text()
    file.write_text(whole.replace(before, after))
    for identity in (SIMULATED, LakeIdentity("polygon", {})):
        with pytest.raises(DamagedFileError) as error:
            open_lake(tmp_path, identity)
        assert f"{file} is damaged" in str(error.value)
        assert f"put its copy {tmp_path / COPY} in its place" in str(error.value)
    shutil.copy(tmp_path / COPY, file)
    assert file.read_text() == whole
    open_lake(tmp_path, SIMULATED)


def test_changed_file_without_a_sound_copy_is_to_be_restored_from_elsewhere(tmp_path: Path):
    open_lake(tmp_path, SIMULATED)
    for place in ("lake.json", COPY):
        path = tmp_path / place
        path.write_text(path.read_text().replace("7", "8", 1))
    with pytest.raises(DamagedFileError, match="restore it from a backup, or move it away and run"):
        read_identity(tmp_path)


def test_copy_follows_the_settings_and_is_made_for_older_lakes(tmp_path: Path):
    open_lake(tmp_path, SIMULATED)
    (tmp_path / COPY).unlink()
    open_lake(tmp_path, SIMULATED)
    assert (tmp_path / COPY).read_bytes() == (tmp_path / "lake.json").read_bytes()
    open_lake(tmp_path, SIMULATED, {"bars": {"alpha": 0.3}})
    assert (tmp_path / COPY).read_bytes() == (tmp_path / "lake.json").read_bytes()
