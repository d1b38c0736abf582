"""The density and the quality report of a finished lake, and of one in which things are missing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import dagster as dg
import numpy as np
import polars as pl
import pytest

from smallcaps_assets.lake import (
    Failure,
    Failures,
    Lake,
    RequestError,
    features,
    scan,
    sequences,
)
from smallcaps_assets.schemas.features import FeatureChoiceError
from smallcaps_assets_tests.end_to_end.command import Finished, listing, smallcaps
from smallcaps_assets_tests.end_to_end.conftest import instance_of

PERIODS = ("before_christmas", "after_christmas")


def report(lake: Path, command: str, *options: str, status: int = 0) -> Finished:
    done = smallcaps(command, "--lake", lake, *options, cwd=lake.parent, COLUMNS="200")
    assert done.status == status, done
    return done


def refusal(lake: Path, *options: str) -> str:
    done = report(lake, *options, status=2)
    assert done.out == "" and done.error.count("\n") == 1
    return done.error


# Patterns ----------------------------------------------------------------------------------------
def test_patterns_are_counted_in_the_lake_and_shown_on_a_page(small_lake: Path, tmp_path: Path):
    page = tmp_path / "patterns.html"
    found = json.loads(report(small_lake, "patterns", "--all", "--json").out)
    events = scan("pattern_events", root=small_lake).collect()
    assert sum(row["events"] for row in found["by_pattern"]) == events.height > 0
    assert sum(row["events"] for row in found["by_year"]) == events.height
    known = json.loads(report(small_lake, "patterns", "--json").out)["by_pattern"]
    assert sum(row["events"] for row in known) == events["is_selection_known"].sum()
    done = report(small_lake, "patterns", "--html", str(page))
    assert "By rule" in done.out and f"page  {page}" in done.out
    assert "A typical event of each pattern" in page.read_text()


def test_features_are_read_by_family_and_nothing_else(small_lake: Path):
    found = features(["flow"], ["gap", "spread_last"], root=small_lake).collect()
    assert found.columns[:4] == ["ticker", "date", "bar_id", "t0"] and "gap" in found.columns
    assert found["spread_last"].null_count() < found.height > 0
    with pytest.raises(FeatureChoiceError, match="label is not a feature: known at t1"):
        features(columns=["label"], root=small_lake)


def test_sequences_end_with_the_features_of_their_event(small_lake: Path):
    events = features(columns=["spread_last", "gap"], root=small_lake).collect()
    found = sequences(["gap", "spread_last"], root=small_lake)
    assert (found.shape, found.dtype) == ((events.height, 64, 2), np.float32)
    last = events.select(pl.col("gap", "spread_last").cast(pl.Float32)).to_numpy()
    assert np.array_equal(found[:, -1], last, equal_nan=True)
    assert sequences(length=3, root=small_lake).shape == (events.height, 3, 8)
    with pytest.raises(FeatureChoiceError, match="label is not a feature"):
        sequences(["label"], root=small_lake)
    with pytest.raises(RequestError, match="sector is a category"):
        sequences(["sector"], root=small_lake)


# Density -----------------------------------------------------------------------------------------
def test_density_of_two_periods_is_counted_in_the_lake(small_lake: Path, tmp_path: Path) -> None:
    page = tmp_path / "density.html"
    options = ("--compare", *PERIODS, "--html", str(page))
    found = json.loads(report(small_lake, "density", *options, "--json").out)
    assert [span["name"] for span in found["spans"]] == [*PERIODS]
    measures = found["measures"]
    assert measures["sessions"] == [13, 2]
    watchlist = scan("watchlist", end="2024-12-26", root=small_lake).collect()
    days = watchlist.select("date", "ticker").n_unique()
    assert measures["selected ticker-days"][0] == days
    dollars = scan("daily_metrics", start="2024-12-27", root=small_lake).collect()["dollar_volume"]
    assert measures["dollars traded per session"][1] == pytest.approx(dollars.sum() / 2)
    text = page.read_text()
    assert text.endswith("</html>") and "Side by side" in text
    shown = report(small_lake, "density", "--compare", *PERIODS).out
    assert "selected ticker-days" in shown and "×" in shown


def test_density_page_stands_beside_the_usual_tables(small_lake: Path, tmp_path: Path) -> None:
    before = listing(small_lake)
    done = report(small_lake, "density", "--html", str(tmp_path / "d.html"))
    assert "what their ticks would cost" in done.out and "page  " in done.out
    assert (tmp_path / "d.html").stat().st_size > 100_000
    assert listing(small_lake).keys() == before.keys()


def test_reports_refuse_in_one_line_what_means_nothing(small_lake: Path, tmp_path: Path) -> None:
    assert "is not a period; choose from before_christmas" in refusal(
        small_lake, "density", "--compare", "x", "y"
    )
    assert "swap them" in refusal(
        small_lake, "quality", "--compare", PERIODS[0], "2024-12-20:2024-12-10"
    )
    assert "no session is stored; the lake holds" in refusal(
        small_lake, "quality", "--compare", PERIODS[0], "2020-01-01:2020-02-01"
    )
    assert "end its name in .html" in refusal(small_lake, "density", "--html", "x.pdf")
    folder = tmp_path / "taken.html"
    folder.mkdir()
    assert "name another file with --html" in refusal(small_lake, "density", "--html", str(folder))
    assert list(tmp_path.iterdir()) == [folder]


# Quality -----------------------------------------------------------------------------------------
def test_quality_of_a_finished_lake(small_lake: Path, tmp_path: Path) -> None:
    page = tmp_path / "quality.html"
    options = ("--html", str(page), "--json", "--tapes", "2")
    found = json.loads(report(small_lake, "quality", *options).out)
    measures = {name: values[0] for name, values in found["measures"].items()}
    assert (measures["missing partitions"], measures["failed partitions"]) == (0, 0)
    assert measures["checks that found a defect"] == 0
    tables = Lake(small_lake)
    registry = tables.read("ticker_sessions")
    assert measures["ticker-sessions with bars"] == registry["is_qualified"].sum()
    summary = scan("session_summary", root=small_lake).collect()
    shares = summary["minute_volume"].sum() / summary["volume"].sum()
    assert measures["minutes in the daily volume"] == pytest.approx(shares)
    labels = scan("ml_dataset_union", root=small_lake).collect()["label"]
    assert measures["labels: timeout (0)"] == pytest.approx((labels == 0).mean())
    (lists,) = found["found"]
    assert {row["reason"] for row in lists["excluded_volume"]} > {"after the session"}
    assert "evenly spread: 2 of" in page.read_text()


def test_quality_tells_gaps_failures_and_defects(own_lake: Path) -> None:
    shutil.rmtree(own_lake / "raw/short_volume/date=2024-12-18")
    shutil.rmtree(own_lake / "raw/short_volume/date=2024-12-19")
    failure = Failure("ServerError", "short_volume 2024-12-18: 503 five times; ask again later")
    Failures(Lake(own_lake)).record("short_volume", "2024-12-18", failure)
    with instance_of(own_lake) as instance:
        instance.report_runless_asset_event(
            dg.AssetCheckEvaluation(
                asset_key=dg.AssetKey("daily_bars"),
                check_name="quality",
                passed=False,
                severity=dg.AssetCheckSeverity.ERROR,
                description="price ranges: 1 row outside; materialize it again",
                partition="2024-12-30",
                metadata={},
            )
        )
    told = report(own_lake, "quality", "--tapes", "0").out
    assert "missing short_volume 2024-12-18 to 2024-12-19 (2)" in told
    assert f"failed short_volume 2024-12-18 {failure.reason}" in told
    assert "defect daily_bars 2024-12-30 price ranges: 1 row outside" in told
    compared = json.loads(
        report(own_lake, "quality", "--compare", *PERIODS, "--tapes", "0", "--json").out
    )
    assert compared["measures"]["missing partitions"] == [2, 0]
    assert compared["measures"]["checks that found a defect"] == [0, 1]
    assert [len(one["failures"]) for one in compared["found"]] == [1, 0]


# Metadata ----------------------------------------------------------------------------------------
def test_assets_tell_their_density_and_coverage(small_lake: Path) -> None:
    with instance_of(small_lake) as instance:

        def metadata(asset: str) -> dict:
            event = instance.get_latest_materialization_event(dg.AssetKey(asset))
            assert event is not None and event.asset_materialization is not None
            return {k: v.value for k, v in event.asset_materialization.metadata.items()}

        registry, metrics = metadata("ticker_sessions"), metadata("daily_metrics")
        assert registry["density"].startswith("![Qualified ticker-sessions in 15 sessions](data:")
        assert r"| 2024-01-01 | info\_rich |" in registry["selected days by year"]
        assert metrics["dollar volume"] > 0 and metrics["changes of 15% or more"] >= 0
        assert metadata("coverage")["coverage"].startswith("![")
        assert "after the session" in metadata("dollar_imbalance_bars")["volume left out"]
        assert "volume left out" not in metadata("dollar_bars")


# Families ----------------------------------------------------------------------------------------
def test_families_are_of_the_days_whose_ticks_are_wanted(small_lake: Path, tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    found = json.loads(report(small_lake, "families", "--json").out)
    days = scan("day_families", root=small_lake).collect()
    wanted = scan("ticker_sessions", root=small_lake).filter("is_qualified").collect()
    assert set(days["ticker"] + days["date"].cast(str)) == set(
        wanted["ticker"] + wanted["date"].cast(str)
    )
    assert sum(row["len"] for row in found["families"]) == days.height > 0
    assert [row["year"] for row in found["stability"]] == [2024]
    day = scan("daily_metrics", root=small_lake).collect().join(days, on=["date", "ticker"])
    assert day["gap"].equals(day["gap_right"], null_equal=True)
    page = tmp_path / "families.html"
    assert f"page  {page}" in report(small_lake, "families", "--html", str(page)).out
    assert "Over the years" in page.read_text()
