"""`smallcaps run` on a small simulated market: what is made, what is left alone, and when."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import time
from datetime import date
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from smallcaps_assets import __version__
from smallcaps_assets.lake import Lake
from smallcaps_assets.lake.market import read_identity
from smallcaps_assets.orchestration.instance import known_keys
from smallcaps_assets.pipeline.market import market_of
from smallcaps_assets.pipeline.partition_keys import date_of
from smallcaps_assets.schemas import FEATURE_COLUMNS, TABLES, Partitioning
from smallcaps_assets.settings import load_settings
from smallcaps_assets_tests.end_to_end.command import (
    PROGRAM,
    SMALL_MARKET,
    TIMEOUT,
    changed_tables,
    digests,
    environment,
    listing,
    partitions,
    run_again,
    run_small,
    settings,
    smallcaps,
)
from smallcaps_assets_tests.end_to_end.conftest import instance_of

MOVING = ("dagster/", "catalog.duckdb")  # of a copied lake: the catalog says where it lies
COMPLETE = "everything is complete; nothing to do"
SESSIONS = 15
FAULTS = (
    *("429", "429_empty", "500", "502", "503", "cut_gzip", "reset"),
    *("null_results", "missing_results", "duplicate_rows", "out_of_order", "foreign_next_url"),
)


def remembered(lake: Path) -> dict:
    """The settings that a lake remembers."""
    known = read_identity(lake)
    assert known is not None
    return known[1]


@pytest.fixture(scope="module")
def dataset(small_lake: Path) -> pl.DataFrame:
    return Lake(small_lake).read("ml_dataset", "union")


@pytest.fixture(scope="module")
def meta(small_lake: Path) -> dict:
    return json.loads((small_lake / "processed/ml_dataset/period=union/meta.json").read_text())


# What a finished job leaves ----------------------------------------------------------------------
def test_run_on_empty_lake_makes_every_table_and_partition(small_lake: Path) -> None:
    lake = Lake(small_lake)
    counts = {table: len(lake.keys(table)) for table in TABLES}
    assert len(counts) == 60
    optional = market_of(load_settings()).left_out
    by_session = {t for t in TABLES if TABLES[t].partitioning is Partitioning.SESSION} - optional
    chain = {t for t in TABLES if TABLES[t].partitioning is Partitioning.TICKER_SESSION}
    assert {counts[table] for table in by_session} == {SESSIONS}
    selected = lake.read("ticker_sessions").filter("is_qualified").height
    assert selected >= 4 and {counts[table] for table in chain} == {selected}
    assert lake.keys("ml_dataset") == ["after_christmas", "before_christmas", "union"]
    # The first half of December's fails is published on 3 January, after the market's end.
    # Three weeks have no month to test models on.
    tested = {t for t in TABLES if TABLES[t].group in ("models", "backtest")}
    tested -= {"folds", "day_families"}
    assert {t for t in TABLES if not counts[t]} == optional | tested | {"fails_to_deliver"}


def test_latest_materialization_is_of_the_newest_date(small_lake: Path) -> None:
    cuts = {table: TABLES[table].partitioning for table in TABLES}
    latest, newest = {}, {}
    with instance_of(small_lake) as instance:
        for table in (t for t in TABLES if cuts[t].is_dated and Lake(small_lake).keys(t)):
            event = instance.get_latest_materialization_event(dg.AssetKey(table))
            latest[table] = date_of(str(event and event.asset_materialization.partition))  # type: ignore[union-attr]
            newest[table] = max(map(date_of, Lake(small_lake).keys(table)))
    assert latest == newest and len(latest) > 20


def test_run_prints_summary_place_of_dataset_and_report(small_lake: Path) -> None:
    output = (small_lake.parent / "output.txt").read_text()
    made = [table for table in TABLES if Lake(small_lake).keys(table)]
    rows = {table: lake_rows(small_lake, table) for table in made}
    for table in made:
        printed = re.search(rf"^ +{table} +([\d,]+) +([\d,]+) ", output, re.MULTILINE)
        assert printed is not None, table
        assert int(printed[2].replace(",", "")) == rows[table], table
    assert f"dataset  {small_lake}/processed/ml_dataset/period=union/ml_dataset.parquet" in output
    assert f"report   {small_lake}/reports/run_report.html" in output
    assert "models   none: a fold needs a month to train, one to validate and one" in output


def lake_frame(root: Path, table: str) -> pl.DataFrame:
    return Lake(root).read_many(table, Lake(root).keys(table))


def lake_rows(root: Path, table: str) -> int:
    lake = Lake(root)
    return sum(lake.read(table, key).height for key in lake.keys(table))


def test_stored_partitions_pass_their_contracts_unchanged(small_lake: Path) -> None:
    lake = Lake(small_lake)
    for table, key in partitions(small_lake):
        frame = lake.read(table, key)
        assert TABLES[table].validate(frame).equals(frame), (table, key)


def test_dagster_knows_exactly_the_stored_partitions(small_lake: Path) -> None:
    lake = Lake(small_lake)
    with instance_of(small_lake) as instance:
        for table in TABLES:
            assert known_keys(instance, table) == set(lake.keys(table)), table


def test_report_is_one_self_contained_page_with_pictures(small_lake: Path) -> None:
    page = (small_lake / "reports/run_report.html").read_text()
    assert page.lower().startswith("<!doctype html>") and page.rstrip().endswith("</html>")
    linked = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert {link.partition(":")[0] for link in linked if not link.startswith("#")} == {"data"}
    assert len(re.findall(r'src="data:image', page)) >= 4
    known = lake_frame(small_lake, "pattern_events").filter("is_selection_known")
    patterns = page.partition('id="patterns"')[2].partition("</section>")[0]
    assert {name.replace("_", " ") for name in known["pattern"].unique()} <= {
        *re.findall(r"<td[^>]*>([^<]+)</td>", patterns)
    }


# The dataset -------------------------------------------------------------------------------------
def test_dataset_has_every_column_and_each_label_once(
    dataset: pl.DataFrame, small_lake: Path
) -> None:
    assert dataset.columns == list(TABLES["ml_dataset"].columns)
    assert set(FEATURE_COLUMNS) <= set(dataset.columns)
    assert set(dataset["label"].unique()) == {-1, 0, 1}
    assert dataset.height == lake_rows(small_lake, "sample_weights") > 300
    assert not dataset.select("ticker", "date", "bar_id").is_duplicated().any()


def test_dataset_features_are_known_at_the_decision(
    dataset: pl.DataFrame, small_lake: Path
) -> None:
    lake = Lake(small_lake)
    features = lake.read_many("bar_features", lake.keys("bar_features"))
    key = ["ticker", "date", "bar_id"]
    joined = dataset.join(features.select(*key, "known_at"), on=key, how="left")
    assert joined["known_at"].null_count() == 0
    assert joined.filter(pl.col("t0") < pl.col("known_at")).is_empty()
    assert joined.filter(pl.col("t1") < pl.col("t0")).is_empty()
    is_admitted = pl.col("t0") >= pl.col("eligible_from")
    assert joined.filter(pl.col("is_selection_known") != is_admitted.fill_null(False)).is_empty()


def test_dataset_uniqueness_lies_above_zero_and_up_to_one(dataset: pl.DataFrame) -> None:
    for column in ("uniqueness", "uniqueness_eligible"):
        values = dataset[column].drop_nulls()
        assert len(values) and values.min() > 0 and values.max() <= 1, column  # type: ignore[operator]


def test_union_holds_the_rows_of_the_periods(dataset: pl.DataFrame, small_lake: Path) -> None:
    lake = Lake(small_lake)
    parts = [lake.read("ml_dataset", name) for name in ("before_christmas", "after_christmas")]
    # Time decay runs over all rows of a file, so it is the one thing that a union changes.
    decay = ("time_decay", "time_decay_eligible")
    whole = pl.concat(parts).drop(decay).sort(TABLES["ml_dataset"].key)
    assert all(part.height for part in parts)
    assert dataset.drop(decay).equals(whole)
    assert dict(dataset.group_by("period", "regime").len().select("period", "regime").rows()) == {
        "before_christmas": "first",
        "after_christmas": "second",
    }


def test_meta_counts_what_the_dataset_holds(dataset: pl.DataFrame, meta: dict) -> None:
    assert meta["rows"] == dataset.height and meta["features"] == list(FEATURE_COLUMNS)
    for rule, counts in meta["rows_by_rule"].items():
        rows = dataset.filter(pl.col("rules").str.split(",").list.contains(rule))
        known = int(rows["is_selection_known"].sum())
        assert counts == {"known": known, "unknown": rows.height - known}, rule
    known_rows = dataset.filter("is_selection_known")
    for view, rows in (("all", dataset), ("selection_known", known_rows)):
        labels = {str(label): n for label, n in rows["label"].value_counts().rows()}
        assert meta["views"][view]["labels"] == labels
        shares = meta["views"][view]["label_shares"]
        assert shares == pytest.approx({k: n / rows.height for k, n in labels.items()})


def test_meta_names_its_making_and_its_bias(meta: dict, small_lake: Path, periods: Path) -> None:
    configured = load_settings(config_file=periods)
    assert meta["code_version"] == __version__
    assert meta["config_hash"] == configured.digest(TABLES["ml_dataset"].settings)
    first = {"start": "2024-12-01", "end": "2024-12-26", "regime": "first"}
    second = {"start": "2024-12-27", "end": "2024-12-31", "regime": "second"}
    assert meta["periods"] == {"before_christmas": first, "after_christmas": second}
    assert meta["selection_bias"].startswith("Days are selected by what happened on them.")
    folder = small_lake / "processed/ml_dataset/period=after_christmas"
    one = json.loads((folder / "meta.json").read_text())
    assert one["periods"] == {"after_christmas": second}
    assert one["ticker_sessions_without_weights"] == []


# A second job ------------------------------------------------------------------------------------
def test_second_run_finds_everything_complete_and_does_nothing(
    own_lake: Path, periods: Path
) -> None:
    before = {p: s for p, s in listing(own_lake).items() if not p.startswith(MOVING)}
    with instance_of(own_lake) as instance:
        runs = instance.get_runs_count()
    done = run_again(own_lake, "--config", periods)
    assert (done.status, done.error) == (0, "")
    assert COMPLETE in done.out
    after = {p: s for p, s in listing(own_lake).items() if not p.startswith(MOVING)}
    assert after == before
    with instance_of(own_lake) as instance:
        assert instance.get_runs_count() == runs


def test_settings_of_the_first_run_are_remembered(own_lake: Path) -> None:
    done = run_again(own_lake)
    assert done.status == 0 and COMPLETE in done.out


def test_status_of_a_finished_lake_misses_nothing(small_lake: Path) -> None:
    done = smallcaps("status", "--lake", small_lake, cwd=small_lake.parent)
    assert (done.status, done.error) == (0, "")
    unused = [table for table in TABLES if not Lake(small_lake).has(table)]
    assert " ".join(done.out.split()).count(f"not requested: {', '.join(unused)}") == 1
    counts = {t: len(Lake(small_lake).keys(t)) for t in TABLES if t not in unused}
    for table, count in counts.items():
        assert re.search(rf"^ +{table} +{count} +{count} +0 +0 ", done.out, re.MULTILINE), table


def test_partitions_unknown_to_dagster_are_reported_and_not_redone(own_lake: Path) -> None:
    before = digests(own_lake), {p: s for p, s in listing(own_lake).items() if "parquet" in p}
    shutil.rmtree(own_lake / "dagster")
    done = run_again(own_lake)
    assert (done.status, done.error) == (0, "")
    stored = partitions(own_lake)
    assert (
        f"{len(stored)} stored partitions were reported to Dagster and not made again" in done.out
    )
    assert COMPLETE in done.out
    assert before == (
        digests(own_lake),
        {p: s for p, s in listing(own_lake).items() if "parquet" in p},
    )
    with instance_of(own_lake) as instance:
        known = [(table, key) for table in TABLES for key in sorted(known_keys(instance, table))]
        assert sorted(known) == sorted(stored)
        keys = Lake(own_lake).read("ticker_sessions")["partition_key"]
        assert set(instance.get_dynamic_partitions("ticker_session")) == set(keys)


def test_force_makes_everything_again_with_the_same_bytes(own_lake: Path, periods: Path) -> None:
    before, seen = digests(own_lake), listing(own_lake)
    done = run_again(own_lake, "--force", "--from", "2024-12-30", "--config", periods)
    assert (done.status, done.error) == (0, "")
    assert digests(own_lake) == before
    after = listing(own_lake)
    assert changed_tables(seen, own_lake) == {Path(path).stem for path in before}
    left = [path for path in before if after[path] == seen[path]]
    days = [path.rpartition("date=")[2][:10] for path in left]
    assert left and all(
        day < "2024-12-30" or "period=before_christmas" in path
        for day, path in zip(days, left, strict=True)
    )


def test_removed_partition_is_the_only_one_made_again(own_lake: Path) -> None:
    lake, before = Lake(own_lake), digests(own_lake)
    path = Path(str(lake.path("sample_weights", lake.keys("sample_weights")[0])))
    path.unlink()
    seen = listing(own_lake)
    done = run_again(own_lake)
    assert (done.status, done.error) == (0, "")
    assert digests(own_lake) == before
    # The weights come back byte for byte, so the dataset made from them is still current.
    after = listing(own_lake)
    changed = [p for p in after if p.endswith(".parquet") and after[p] != seen.get(p)]
    assert changed == [path.relative_to(own_lake).as_posix()]


def test_changed_setting_remakes_the_tables_that_depend_on_it(own_lake: Path) -> None:
    seen = listing(own_lake)
    done = run_again(own_lake, "--set", "bars.alpha=0.3")
    assert (done.status, done.error) == (0, "")
    dependent = {t for t in TABLES if "bars" in TABLES[t].settings}
    assert {"dollar_imbalance_bars", "sample_weights"} <= dependent
    assert changed_tables(seen, own_lake) == dependent | {"ml_dataset", "folds"}


# Fresh lakes -------------------------------------------------------------------------------------
def test_market_that_is_moved_on_gets_its_next_session_and_keeps_the_others(own_lake: Path) -> None:
    lake, before = Lake(own_lake), digests(own_lake)
    moved = ("--set", "sandbox.end=2024-12-31", "--until", "sample_weights")
    assert run_again(own_lake, *moved).status == 0
    assert lake.keys("daily_metrics")[-1] == "2024-12-31"
    after = {path: digest for path, digest in digests(own_lake).items() if path in before}
    changed = {path.split("/")[1] for path in before if after.get(path) != before[path]}
    of_the_whole = {"splits", "dividends", "filings", "adjustment_factors", "ticker_sessions"}
    assert changed <= of_the_whole
    assert load_settings(remembered=remembered(own_lake)).sandbox.end == date(2024, 12, 31)


def test_lake_of_a_faulty_vendor_is_equal_byte_for_byte(
    small_lake: Path, incomplete_lake: Path, periods: Path
) -> None:
    """Something of every table is fetched."""
    faults = ";".join(f"{kind}@any~0.04" for kind in FAULTS)
    chosen = ("polygon.read_timeout=3", "polygon.empty_seconds=0", f"sandbox.faults={faults}")
    patience = [part for value in chosen for part in ("--set", value)]
    done = run_again(incomplete_lake, "--config", periods, *patience)
    assert (done.status, done.error) == (0, "")
    assert digests(incomplete_lake) == digests(small_lake)


def test_tickers_on_a_fresh_lake_restrict_the_market(small_lake: Path, tmp_path: Path) -> None:
    keys = Lake(small_lake).read("ticker_sessions").sort("partition_key")
    ticker, first = keys.row(0, named=True)["ticker"], keys["date"][0].isoformat()
    done = run_small(tmp_path / "lake", "--tickers", ticker, "--from", first)
    assert (done.status, done.error) == (0, "")
    lake = Lake(tmp_path / "lake")
    asked = keys.filter(pl.col("ticker") == ticker)["partition_key"].to_list()
    assert lake.keys("sample_weights") == asked
    assert lake.keys("ticker_history") == [ticker]
    for table in ("daily_bars", "minute_bars", "daily_metrics"):
        rows = lake.read_many(table, lake.keys(table))
        assert rows["ticker"].unique().to_list() == [ticker], table
    again = run_small(tmp_path / "lake", "--tickers", ticker, "--from", first)
    assert (again.status, COMPLETE in again.out) == (0, True)


def test_run_that_is_asked_to_end_says_how_to_go_on_and_dagster_shows_its_end(
    tmp_path: Path,
) -> None:
    child = start_job(tmp_path / "lake", settings(SMALL_MARKET))
    wait_until_stored(child, tmp_path / "lake", "raw/tickers")
    child.send_signal(signal.SIGTERM)
    # Lines before the last are those of libraries that the signal met inside a destructor.
    last = child.communicate(timeout=TIMEOUT)[1].splitlines()[-1]
    told = "smallcaps: interrupted; run the same command again to go on"
    assert (last, child.returncode) == (told, 143)
    with instance_of(tmp_path / "lake") as instance:
        assert all(run.is_finished for run in instance.get_runs())


def start_job(lake: Path, options: list[str]) -> subprocess.Popen[str]:
    """Start the main job in the background."""
    return subprocess.Popen(
        [*PROGRAM, "run", "--no-report", "--lake", str(lake), *options],
        cwd=lake.parent,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_until_stored(child: subprocess.Popen[str], lake: Path, folder: str) -> None:
    """Wait until a table has a partition."""
    deadline = time.monotonic() + TIMEOUT
    while not any((lake / folder).rglob("*.parquet")):
        assert child.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
