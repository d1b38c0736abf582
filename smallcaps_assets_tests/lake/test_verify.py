"""Damage is found, whatever byte it is in; good files pass."""

import random
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from smallcaps_assets.lake import DamagedFileError, Lake, LakeIdentity, Stamp, open_lake, verify
from smallcaps_assets.lake.file_identity import BLANK, NAME, is_intact, seal, seal_of
from smallcaps_assets.lake.market import read_identity
from smallcaps_assets.lake.meta import write_meta
from smallcaps_assets.lake.verify import (
    check_partition,
    is_ordered,
    set_aside,
)
from smallcaps_assets.schemas import TABLES
from smallcaps_assets_tests.lake.frames import KEY, STAMP, bars


@pytest.fixture(params=[verify.SMALL, 0], ids=["read at once", "read by columns"])
def lake(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Lake:
    monkeypatch.setattr(verify, "SMALL", request.param)
    lake = Lake(tmp_path)
    lake.write("daily_bars", KEY, bars("A", "B"), STAMP)
    return lake


def is_damaged(lake: Lake) -> bool:
    """Whether lake.json is refused."""
    try:
        return read_identity(str(lake.root)) is None
    except DamagedFileError:
        return True


def problems(lake: Lake, key: str = KEY, is_deep: bool = False) -> list[str]:
    return [found.problem for found in check_partition(lake, "daily_bars", key, is_deep)[0]]


def test_good_file_passes(lake: Lake):
    assert problems(lake) == [] and problems(lake, is_deep=True) == []
    assert check_partition(lake, "daily_bars", KEY)[1] == lake.size("daily_bars", KEY)


def described(lake: Lake, table: str, key: str, stamp: Stamp) -> None:
    """An empty partition, with its meta.json if it wants one."""
    written = lake.write(table, key, TABLES[table].empty(), stamp)
    if TABLES[table].has_meta:
        write_meta(lake, table, key, {"rows": 0}, written.seal)


def flips(path: Path) -> Iterator[int]:
    """Places of a file, one after the other; a bit of the byte there, each time the next of the
    eight, is another as long as it is theirs."""
    whole = path.read_bytes()
    with path.open("rb+") as file:
        for place, byte in enumerate(whole):
            for value in (byte ^ 1 << place % 8, byte):
                file.seek(place)
                file.write(bytes([value]))
                file.flush()
                if value != byte:
                    yield place
    assert path.read_bytes() == whole


@pytest.mark.parametrize("table", ["daily_bars", "splits", "ml_dataset"])
def test_every_flipped_byte_of_a_table_is_found(lake: Lake, table: str):
    key = {"daily_bars": KEY, "splits": "2024", "ml_dataset": "union"}[table]
    if table != "daily_bars":
        stamp = Stamp(table, TABLES[table].version, "abc")
        described(lake, table, key, stamp)
    path = Path(lake.path(table, key))
    unseen = [at for at in flips(path) if not check_partition(lake, table, key)[0]]
    assert unseen == [] and check_partition(lake, table, key)[0] == []


def test_every_flipped_byte_of_a_small_file_is_found(lake: Lake):
    open_lake(lake.root, LakeIdentity("simulated", {"seed": 7}))
    folder = lake.path("daily_bars", KEY).parent.relative_to(lake.root)
    lake.write_json(f"{folder}/meta.json", {"rows": 2, "day": date(2024, 5, 3)})
    meta, identity = Path(lake.root / folder / "meta.json"), Path(lake.root / "lake.json")
    assert [at for at in flips(meta) if not problems(lake)] == []
    assert [at for at in flips(identity) if not is_damaged(lake)] == []
    assert problems(lake) == [] and not is_damaged(lake)


def test_damaged_file_is_refused_by_readers(lake: Lake):
    path = Path(lake.path("daily_bars", KEY))
    whole = path.read_bytes()
    path.write_bytes(whole[:100] + b"!" + whole[101:])
    assert problems(lake) == ["the bytes are not those that were written (checksum)"]
    with pytest.raises(DamagedFileError, match=r"daily_bars.parquet is damaged.*verify --repair"):
        lake.read("daily_bars", KEY)


@pytest.mark.parametrize("length", [0, 4, 11, 12, 100, -8, -1])
def test_cut_file_is_found(lake: Lake, length: int):
    path = Path(lake.path("daily_bars", KEY))
    path.write_bytes(path.read_bytes()[:length])
    assert problems(lake)
    with pytest.raises(DamagedFileError):
        lake.read("daily_bars", KEY)


def test_good_file_in_a_wrong_place_is_found(lake: Lake):
    other = Path(lake.path("daily_bars", "2024-05-06"))
    other.parent.mkdir(parents=True)
    other.write_bytes(lake.read_bytes("daily_bars", KEY))
    assert problems(lake, "2024-05-06") == ["2 rows have another date than 2024-05-06"]


def resealed(lake: Lake, frame: pl.DataFrame, stamp: Stamp = STAMP) -> None:
    """A file with a good seal that a defect might write."""
    path = Path(lake.path("daily_bars", KEY))
    frame.write_parquet(path, metadata={**stamp.as_metadata(), NAME: BLANK})
    path.write_bytes(seal(path.read_bytes()))


def test_sealed_nonsense_is_found(lake: Lake):
    good = lake.read("daily_bars", KEY)
    resealed(lake, good)
    assert problems(lake) == []
    resealed(lake, good.reverse())
    assert problems(lake) == ["the rows do not ascend by date, ticker, each once"]
    resealed(lake, pl.concat([good, good.tail(1)]))
    assert "each once" in problems(lake)[0]
    resealed(lake, good.drop("close"))
    assert problems(lake) == ["its columns are not those of the contract"]
    resealed(lake, good, Stamp("splits", 1, "abc"))
    assert problems(lake) == ["holds the table splits"]
    resealed(lake, good, Stamp("daily_bars", 7, "abc"))
    assert "update the project" in problems(lake)[0]
    resealed(lake, good.with_columns(close=-1.0))
    assert problems(lake) == [] and "contract broken" in problems(lake, is_deep=True)[0]


def test_damaged_meta_is_found(lake: Lake):
    folder = lake.path("daily_bars", KEY).parent.relative_to(lake.root)
    lake.write_json(f"{folder}/meta.json", {"rows": 2, "day": date(2024, 5, 3)})
    assert problems(lake) == []
    path = lake.root / folder / "meta.json"
    path.write_bytes(path.read_bytes().replace(b"2024", b"2025"))
    assert problems(lake) == ["its meta.json is damaged: the bytes are not those that were written"]


def test_set_aside_leaves_the_partition_absent_and_the_bytes_kept(lake: Lake):
    whole = lake.read_bytes("daily_bars", KEY)
    place = set_aside(lake, lake.path("daily_bars", KEY))
    assert lake.keys("daily_bars") == [] and (lake.root / place).read_bytes() == whole
    assert problems(lake) == ["is not stored"]


def test_is_ordered_agrees_with_sorting():
    rng = random.Random(1)
    for _ in range(300):
        rows = [(rng.choice([None, "a", "b"]), rng.choice([None, 1, 2])) for _ in range(4)]
        frame = pl.DataFrame(rows, schema={"x": pl.String, "y": pl.Int64}, orient="row")
        ascends = frame.sort("x", "y").equals(frame) and not frame.is_duplicated().any()
        assert is_ordered(iter(frame.get_columns()), frame.height) == ascends, rows
    assert is_ordered([], 1) and not is_ordered([], 2)


def test_seal_needs_a_blank_and_is_told():
    data = b'{"smallcaps_seal": "' + BLANK.encode() + b'"}'
    assert is_intact(seal(data)) and len(seal_of(seal(data))) == 64
    assert seal_of(b"nothing") == "" and not is_intact(b"nothing")
    with pytest.raises(ValueError, match="no blank"):
        seal(seal(data))


def test_sealed_tables_of_all_kinds_pass(tmp_path: Path):
    lake = Lake(tmp_path)
    for name, table in TABLES.items():
        key = {
            "session": KEY,
            "month": "2024-05",
            "half_month": "2024-05-01",
            "year": "2024",
            "ticker": "A",
            "period": "p",
        }
        chosen = key.get(str(table.partitioning), "A_2024-05-03")
        described(lake, name, chosen, Stamp(name, table.version, "abc"))
        (stored,) = lake.keys(name)
        assert check_partition(lake, name, stored)[0] == []
