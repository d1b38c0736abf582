"""Partition keys and places: exact paths, and nothing that leaves the lake's folder."""

import random
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallcaps_assets.lake import Lake
from smallcaps_assets.lake.paths import (
    PartitionKeyError,
    encode,
    key_of_folder,
    partition_folder,
    split_ticker_session,
)
from smallcaps_assets.schemas import TABLES


@pytest.mark.parametrize(
    ("table", "key", "folder"),
    [
        ("daily_bars", "2024-05-03", "raw/daily_bars/date=2024-05-03"),
        ("trades", "AAME_2021-02-05", "raw/trades/ticker=AAME/date=2021-02-05"),
        ("trades", "BRK.B_2021-02-05", "raw/trades/ticker=BRK.B/date=2021-02-05"),
        ("trades", "BCpC_2021-02-05", "raw/trades/ticker=BC%70C/date=2021-02-05"),
        ("splits", "2024", "raw/splits/year=2024"),
        ("ticker_details", "2024-05", "raw/ticker_details/month=2024-05"),
        ("ticker_history", "GEVO", "processed/ticker_history/ticker=GEVO"),
        ("ml_dataset", "v1_2020_2025", "processed/ml_dataset/period=v1_2020_2025"),
        ("adjustment_factors", None, "processed/adjustment_factors"),
    ],
)
def test_partition_folder_of_a_key_is_its_hive_path(table: str, key: str | None, folder: str):
    assert partition_folder(TABLES[table], key) == folder
    below = folder.split("/", 2)[2] if key else ""
    assert key_of_folder(TABLES[table], below) == (key or "")


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ("daily_bars", None),
        ("daily_bars", "2024-13-01"),
        ("daily_bars", "../2024-01-01"),
        ("trades", "AAME|2021-02-05"),
        ("trades", "../../x_2021-02-05"),
        ("trades", "/etc/passwd_2021-02-05"),
        ("trades", "A\x00_2021-02-05"),
        ("trades", "_2021-02-05"),
        ("ticker_history", ".."),
        ("ticker_history", ""),
        ("ml_dataset", "../v1"),
        ("splits", "24"),
        ("splits", "\u0662\u0660\u0662\u0664"),
        ("daily_bars", "2024-01-\u0660\u0661"),
    ],
)
def test_partition_folder_of_a_bad_key_is_refused(table: str, key: str | None):
    with pytest.raises(PartitionKeyError):
        partition_folder(TABLES[table], key)


def test_encode_keeps_case_apart_on_any_file_system():
    assert encode("BCpC").upper() != encode("BCPC").upper()


def test_split_ticker_session_gives_ticker_and_session():
    ticker, day = split_ticker_session("BC.WS_2021-02-05")
    assert (ticker, day.isoformat()) == ("BC.WS", "2021-02-05")


def test_ten_thousand_hostile_keys_stay_inside_the_lake(tmp_path: Path):
    parts = [
        "..",
        "/",
        "\\",
        "\0",
        "%2e",
        "~",
        "CON",
        "A",
        "a",
        "_",
        "2024-05-03",
        "=",
        "\n",
        "é",
        " ",
    ]
    rng, lake, accepted = random.Random(3), Lake(tmp_path), 0
    for _ in range(10_000):
        text = "".join(rng.choice(parts) for _ in range(rng.randint(1, 6)))
        for name in ("trades", "ticker_history", "ml_dataset", "daily_bars", "splits"):
            try:
                path = lake.path(name, text)
            except PartitionKeyError:
                continue
            accepted += 1
            assert (
                Path(path).resolve().is_relative_to(tmp_path.resolve() / TABLES[name].layer / name)
            )
    assert accepted > 100


@given(st.text(max_size=40))
def test_partition_folder_of_any_text_stays_inside_or_is_refused(text: str):
    for table in ("trades", "ticker_history", "ml_dataset", "daily_bars"):
        for key in (text, f"{text}_2021-02-05"):
            try:
                folder = PurePosixPath(partition_folder(TABLES[table], key))
            except PartitionKeyError:
                continue
            assert not folder.is_absolute()
            assert ".." not in folder.parts
            assert "\x00" not in str(folder)
