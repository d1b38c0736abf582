"""The lake in an object store: a real S3 API on loopback."""

from __future__ import annotations

import threading
import traceback
from dataclasses import replace
from pathlib import Path

import pytest

from smallcaps_assets.lake import DamagedFileError, Lake, LakeError, LakeIdentity, open_lake
from smallcaps_assets.lake import objects as objects_module
from smallcaps_assets.lake.decisions import decisions
from smallcaps_assets.lake.diff import compare
from smallcaps_assets.lake.file_identity import versions
from smallcaps_assets.lake.objects import Objects
from smallcaps_assets.lake.paths import open_root
from smallcaps_assets.lake.verify import check_partition, set_aside
from smallcaps_assets.settings import LakeSettings
from smallcaps_assets_tests.lake.frames import KEY, STAMP, bars
from smallcaps_assets_tests.object_store import SECRET, ObjectStore


@pytest.fixture
def lake(endpoint: str, tmp_path: Path) -> Lake:
    """A lake of its own in the bucket."""
    return Lake(f"s3://desk/{tmp_path.name}")


def test_object_store_holds_decisions(lake: Lake) -> None:
    assert decisions(lake).is_empty()
    lake.write_bytes("suspects.csv", b"ticker,date,verdict\nA,2024-12-13,real\n")
    assert decisions(lake)["verdict"].to_list() == ["real"]
    lake.write_bytes("suspects.csv", b"ticker,date,verdict\nA,2024-12-13,split\n")
    assert decisions(lake)["verdict"].to_list() == ["split"]


def test_object_store_holds_what_a_folder_holds_byte_for_byte(lake: Lake, tmp_path: Path) -> None:
    local = Lake(tmp_path / "lake")
    for where in (lake, local):
        assert where.keys("daily_bars") == [] and where.digest("daily_bars", KEY) == "absent"
        where.write("daily_bars", KEY, bars("B", "A"), STAMP)
    assert lake.read_bytes("daily_bars", KEY) == local.read_bytes("daily_bars", KEY)
    assert lake.keys("daily_bars") == [KEY] and lake.stamp("daily_bars", KEY) == STAMP
    assert lake.rows("daily_bars", KEY) == 2 and lake.modified("daily_bars", KEY) > 0
    assert lake.size("daily_bars", KEY) == local.size("daily_bars", KEY)
    assert lake.digest("daily_bars", KEY) == local.digest("daily_bars", KEY)
    assert lake.scan("daily_bars").collect().equals(local.read("daily_bars", KEY))
    assert list(compare(lake, local, ["daily_bars"])) == []
    assert lake.sweep() == 0


def test_ticker_of_lower_case_letters_is_found_again(lake: Lake) -> None:
    for ticker in ("BCpC", "BCPC"):
        lake.write_bytes(str(lake.path("ticker_history", ticker).relative_to(lake.root)), b"x")
    assert lake.keys("ticker_history") == ["BCPC", "BCpC"]


def test_damage_is_found_and_replaced_versions_come_back(lake: Lake) -> None:
    lake.write("daily_bars", KEY, bars("A"), STAMP)
    first = lake.read_bytes("daily_bars", KEY)
    lake.write("daily_bars", KEY, bars("A", "B"), STAMP)
    (version,) = versions(lake.root, lake.path("daily_bars", KEY))
    assert version.path.read_bytes() == first
    lake.path("daily_bars", KEY).write_bytes(first[:50] + b"!" + first[51:])
    assert check_partition(lake, "daily_bars", KEY)[0]
    with pytest.raises(DamagedFileError):
        lake.read("daily_bars", KEY)
    set_aside(lake, lake.path("daily_bars", KEY))
    assert lake.keys("daily_bars") == []


def test_readers_see_whole_objects_while_they_are_replaced(lake: Lake) -> None:
    lake.write("daily_bars", KEY, bars("A"), STAMP)
    seen = set()

    def write() -> None:
        for number in range(20):
            lake.write("daily_bars", KEY, bars(*[f"T{n}" for n in range(1 + number % 2)]), STAMP)

    writer = threading.Thread(target=write)
    writer.start()
    while writer.is_alive():
        seen.add(lake.read("daily_bars", KEY).height)
        seen.add(lake.scan("daily_bars").collect().height)
        assert lake.stamp("daily_bars", KEY) == STAMP and lake.rows("daily_bars", KEY) in (1, 2)
    assert seen == {1, 2}
    assert len(versions(lake.root, lake.path("daily_bars", KEY))) == 20


def test_object_is_read_by_one_request_and_its_footer_once_for_each_tag(
    lake: Lake, store: ObjectStore
) -> None:
    lake.write("daily_bars", KEY, bars("A"), STAMP)
    path = lake.path("daily_bars", KEY).path
    store.calls.clear()
    lake.read("daily_bars", KEY)
    assert store.calls == {"GET": 1}
    objects = Objects(lake.root.fs)
    footer, tag = objects.footer(path) or (b"", "")
    assert objects.footer(path, tag) == (footer, tag)
    assert store.calls == {"GET": 2}
    assert objects.footer(path) == (footer, tag)  # asked whether it has changed
    lake.write("daily_bars", KEY, bars("A", "B"), STAMP)
    changed = objects.footer(path)
    assert changed is not None and changed[1] != tag and changed[0] != footer


def test_footer_longer_than_the_end_that_is_asked_for_first(lake: Lake) -> None:
    stamp = replace(STAMP, scope=f"all but {','.join(f'T{n:05}' for n in range(20_000))}")
    lake.write("daily_bars", KEY, bars("A"), stamp)
    assert lake.stamp("daily_bars", KEY) == stamp and lake.rows("daily_bars", KEY) == 1


@pytest.mark.parametrize("data", [b"", b"x", b"PAR1"])
def test_object_that_is_no_table_has_no_stamp(lake: Lake, data: bytes) -> None:
    lake.write_bytes(lake.place("daily_bars", KEY), data)
    assert lake.stamp("daily_bars", KEY) is None
    assert lake.digest("daily_bars", KEY) != "absent"


def test_store_that_is_out_for_some_seconds_loses_nothing(lake: Lake, store: ObjectStore) -> None:
    lake.write("daily_bars", KEY, bars("A"), STAMP)
    store.is_out = True
    timer = threading.Timer(1.5, lambda: setattr(store, "is_out", False))
    timer.start()
    lake.write("daily_bars", KEY, bars("A", "B"), STAMP)
    assert not store.is_out
    timer.join()
    assert lake.read("daily_bars", KEY).height == 2
    assert len(versions(lake.root, lake.path("daily_bars", KEY))) == 1


def test_write_whose_answer_was_lost_is_no_conflict_with_itself(
    lake: Lake, store: ObjectStore
) -> None:
    lake.write("daily_bars", KEY, bars("A"), STAMP)
    store.loses_answers = 1
    lake.write("daily_bars", KEY, bars("A", "B"), STAMP, over=lake.seal("daily_bars", KEY))
    assert store.loses_answers == 0
    assert lake.read("daily_bars", KEY).height == 2


def test_store_that_never_answered_is_told_after_seconds(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(objects_module.time, "sleep", sleep)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    root = open_root("s3://desk/nowhere")
    root.fs.clear_instance_cache()
    fresh = Objects(open_root("s3://desk/nowhere").fs, lambda: now[0])
    with pytest.raises(OSError, match="127.0.0.1:9") as failed:
        fresh.entry("desk/nowhere/lake.json")
    assert now[0] <= objects_module.FIRST_PATIENCE and SECRET not in str(failed.value)
    root.fs.clear_instance_cache()


@pytest.mark.parametrize("root", ["gs://bucket/lake", "memory://lake"])
def test_other_stores_are_refused_with_the_way_to_reach_them(root: str) -> None:
    with pytest.raises(LakeError, match="AWS_ENDPOINT_URL"):
        Lake(root)


def test_failing_store_tells_no_secret(endpoint: str) -> None:
    lake = Lake("s3://no-such-bucket/lake")
    with pytest.raises(OSError) as failed:
        lake.write("daily_bars", KEY, bars("A"), STAMP)
    told = "".join(traceback.format_exception(failed.value))
    assert "no-such-bucket" in told or "bucket" in told.lower()
    assert SECRET not in told


def test_lake_remembers_its_market_and_no_secret(lake: Lake, endpoint: str) -> None:
    identity = LakeIdentity("simulated", {"seed": 7})
    open_lake(str(lake.root), identity, {"bars": {"alpha": 0.3}})
    open_lake(str(lake.root), identity)
    assert SECRET not in (lake.root / "lake.json").read_text()
    assert SECRET not in repr(lake.root)


def test_local_home_of_a_remote_lake_is_one_folder_wherever_it_is_opened(tmp_path: Path) -> None:
    assert LakeSettings(root="data").local == "data"
    remote = LakeSettings(root="s3://desk/lake").local
    assert Path(remote).is_absolute() and Path(remote).name == "s3_desk_lake"
    assert LakeSettings(root="s3://desk/lake", home=str(tmp_path)).local == str(tmp_path)
