"""Replaced raw files come back, contracts migrate, differences are told."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dataframely as dy
import polars as pl
import pytest

from smallcaps_assets.lake import Lake, LakeError, UnknownContractError
from smallcaps_assets.lake.diff import compare, compare_versions
from smallcaps_assets.lake.file_identity import (
    VERSIONS,
    Version,
    keep_version,
    version_of,
    versions,
)
from smallcaps_assets.lake.migrate import migrate, outdated_keys
from smallcaps_assets.lake.verify import check_partition
from smallcaps_assets.schemas import TABLES, ContractError
from smallcaps_assets.schemas.migrations import MIGRATIONS
from smallcaps_assets_tests.lake.frames import KEY, STAMP, bars


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path / "lake")
    lake.write("daily_bars", KEY, bars("A", "B"), STAMP)
    return lake


# Versions ----------------------------------------------------------------------------------------
def kept(lake: Lake) -> list[Version]:
    return versions(lake.root, lake.path("daily_bars", KEY))


def test_replaced_raw_file_is_kept_until_its_time_is_over(lake: Lake):
    first = lake.read_bytes("daily_bars", KEY)
    lake.write("daily_bars", KEY, bars("A", "B"), STAMP)
    assert kept(lake) == []
    lake.write("daily_bars", KEY, bars("A", "B", close=2.5), STAMP)
    (version,) = kept(lake)
    assert version.path.read_bytes() == first
    assert datetime.now(UTC) - version.replaced_at < timedelta(minutes=5)
    lake.sweep(keep_days=1)
    assert len(kept(lake)) == 1
    lake.sweep(keep_days=0)
    assert kept(lake) == []


def test_versions_keep_their_order_when_the_clock_is_set_back(lake: Lake):
    path, noon = lake.path("daily_bars", KEY), datetime(2026, 11, 20, 12, tzinfo=UTC)
    moments = [noon, noon - timedelta(hours=1), noon - timedelta(minutes=59)]
    for seal, moment in zip("abc", moments, strict=True):
        keep_version(lake.root, path, seal * 12, "new", clock=lambda moment=moment: moment)
    assert [version.name[-12] for version in kept(lake)] == ["a", "b", "c"]
    assert all(noon <= v.replaced_at < noon + timedelta(seconds=1) for v in kept(lake))


def test_replaced_version_can_be_put_back(lake: Lake):
    first = lake.read_bytes("daily_bars", KEY)
    lake.write("daily_bars", KEY, bars("A"), STAMP)
    path = lake.path("daily_bars", KEY)
    version = version_of(lake.root, path, kept(lake)[0].name[:9])
    lake.put("daily_bars", KEY, version.path.read_bytes())
    assert lake.read_bytes("daily_bars", KEY) == first
    told = [found.what for found in compare_versions(lake, "daily_bars", KEY)]
    assert "0 rows added, 1 removed" in told[0] and "1 rows added, 0 removed" in told[1]
    with pytest.raises(LakeError, match="0 versions begin with 'x'; there are: 2"):
        version_of(lake.root, path, "x")


def test_processed_files_are_not_kept(tmp_path: Path):
    lake, stamp = Lake(tmp_path), replace(STAMP, table="ticker_history")
    for config in ("a", "b"):
        frame = TABLES["ticker_history"].empty()
        lake.write("ticker_history", "A", frame, replace(stamp, config=config))
    assert not (lake.root / VERSIONS).exists()


# Differences -------------------------------------------------------------------------------------
def test_compare_tells_which_partitions_differ_and_how(lake: Lake, tmp_path: Path):
    other = Lake(tmp_path / "other")
    other.write("daily_bars", KEY, bars("A", "B"), STAMP)
    assert list(compare(lake, other, TABLES)) == []
    other.write("daily_bars", KEY, bars("B", "C", close=2.5), STAMP)
    (found,) = compare(lake, other, TABLES)
    assert str(found).startswith(f"daily_bars {KEY}: 1 rows added, 1 removed, 1 changed in close")
    other.write("daily_bars", KEY, bars("A", "B"), replace(STAMP, config="other"))
    assert [found.what for found in compare(lake, other, TABLES)] == [
        "the same rows, another config"
    ]
    Path(other.path("daily_bars", KEY)).unlink()
    assert [found.what for found in compare(lake, other, TABLES)] == ["only in the first lake"]
    assert [found.what for found in compare(other, lake, TABLES)] == ["only in the second lake"]


# Migrations --------------------------------------------------------------------------------------
@pytest.fixture
def second_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    """daily_bars, version 2: with a currency."""
    old = TABLES["daily_bars"]

    class DailyBarsWithCurrency(old.schema):  # type: ignore[name-defined]
        currency = dy.String(nullable=False)

    table = replace(old, version=2, schema=DailyBarsWithCurrency)
    monkeypatch.setitem(TABLES, "daily_bars", table)


def with_currency(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(currency=pl.lit("USD"))


def test_migrate_rewrites_the_rows_in_the_new_contract(
    lake: Lake, second_contract: None, monkeypatch: pytest.MonkeyPatch
):
    before = lake.read_bytes("daily_bars", KEY)
    assert outdated_keys(lake, "daily_bars") == [KEY]
    monkeypatch.setitem(MIGRATIONS, ("daily_bars", 1), with_currency)
    migrate(lake, "daily_bars", KEY)
    assert outdated_keys(lake, "daily_bars") == []
    rows = lake.read("daily_bars", KEY)
    assert rows["currency"].to_list() == ["USD", "USD"]
    assert rows["ticker"].to_list() == ["A", "B"]
    assert lake.stamp("daily_bars", KEY) == replace(STAMP, version=2)
    assert check_partition(lake, "daily_bars", KEY, is_deep=True)[0] == []
    assert kept(lake)[0].path.read_bytes() == before


def test_migrate_without_a_step_or_with_a_wrong_one_leaves_the_file(
    lake: Lake, second_contract: None, monkeypatch: pytest.MonkeyPatch
):
    before = lake.read_bytes("daily_bars", KEY)
    with pytest.raises(UnknownContractError, match=f"smallcaps backfill daily_bars --keys {KEY}"):
        migrate(lake, "daily_bars", KEY)
    monkeypatch.setitem(MIGRATIONS, ("daily_bars", 1), lambda rows: rows)
    with pytest.raises(ContractError, match="currency"):
        migrate(lake, "daily_bars", KEY)
    assert lake.read_bytes("daily_bars", KEY) == before


def test_migrate_of_filings_keeps_the_later_moment_and_the_text(tmp_path: Path):
    """Version 1 read every time as New York's and left evenings and 00:00:00 as they were."""
    moments = [("2024-07-01", "2024-07-01 11:00"), ("2024-07-02", "2024-07-01 23:00"),
               ("2024-07-03", "2024-07-03 04:00"), ("2024-07-05", None)]  # fmt: skip
    old = pl.DataFrame(
        {"filing_date": [day for day, _ in moments], "accepted_at": [at for _, at in moments]}
    ).with_columns(
        pl.col("filing_date").str.to_date(),
        pl.col("accepted_at").str.to_datetime("%Y-%m-%d %H:%M", time_unit="ns", time_zone="UTC"),
    )
    new = MIGRATIONS["filings", 1](old)
    assert new["accepted_raw"].to_list() == [
        *("2024-07-01T07:00:00.000Z", "2024-07-01T19:00:00.000Z", "2024-07-03T00:00:00.000Z", None)
    ]
    assert set(new["accepted_clock"]) == {"unknown"}
    assert new["accepted_at"].to_list() == [*old["accepted_at"][:2], None, None]
    assert new["known_at"].dt.to_string("%m-%d %H:%M").to_list() == [
        *("07-01 11:00", "07-02 10:00", "07-04 02:00", "07-06 02:00")
    ]
    assert new["known_at"].dtype == TABLES["filings"].columns["known_at"]


def test_migrate_of_a_later_version_is_refused(lake: Lake, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(TABLES, "daily_bars", replace(TABLES["daily_bars"], version=0))
    with pytest.raises(UnknownContractError, match="update the project"):
        migrate(lake, "daily_bars", KEY)
