"""Tests of folds, models and predictions in a lake: same bytes, out of date where they should."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from smallcaps_assets.domain.models import extra
from smallcaps_assets.pipeline import models as stages
from smallcaps_assets.pipeline.fold_digests import test_months as months_of
from smallcaps_assets.pipeline.model_lines import model_lines
from smallcaps_assets.pipeline.models import folds, walk_forward
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets.pipeline.scoring import day_scores
from smallcaps_assets.pipeline.workspace import Workspace
from smallcaps_assets.schemas import OPS
from smallcaps_assets_tests.domain.models.rows import INFORMED, dataset_rows
from smallcaps_assets_tests.pipeline.bench import workspace
from smallcaps_assets_tests.pipeline.small_dataset import put

pytest.importorskip("lightgbm")
pytest.importorskip("xgboost")
TABLES = list(OPS["walk_forward"].tables)
SETTINGS = {
    "targets": ["sign_15m", "meta"],
    "algorithms": ["lightgbm", "logistic"],
    **{"train_months": 1, "min_rows": 50, "rounds": 15, "patience": 5},
}
ROWS = dataset_rows(end=date(2024, 5, 31), tickers=3, events=4, strength=0.6)


def work_on(root: Path, rows: pl.DataFrame = ROWS, **more: object) -> Workspace:
    """A workspace on a lake of a dataset alone, with its folds."""
    days = {"start": "2024-01-02", "end": "2024-05-31"}
    work = workspace(root, sandbox=days, models={**SETTINGS, **more}, run={"processes": 1})
    put(work, "ml_dataset", "union", rows)
    (outcome,) = folds(work, ["folds"], [])
    assert outcome.error is None
    return work


def made(work: Workspace, *months: str) -> dict[tuple[str, str | None], Outcome]:
    """Outcomes of some months' tables, of all usable ones without a name."""
    keys = list(months) or months_of(work.lake)
    return {(o.table, o.key): o for o in walk_forward(work, TABLES, keys)}


def content(work: Workspace) -> dict[tuple[str, str], bytes]:
    """Bytes of all files of the models."""
    return {
        (table, key): Path(str(work.lake.path(table, key))).read_bytes()
        for table in TABLES
        for key in work.lake.keys(table)
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A lake with all its months. Not to be changed."""
    work = work_on(tmp_path_factory.mktemp("models"))
    assert [o.error for o in made(work).values()] == [None] * 9
    return work


def test_every_test_month_is_scored_by_its_own_models_and_no_other(whole: Workspace) -> None:
    assert months_of(whole.lake) == ["2024-03", "2024-04", "2024-05"]
    for month in months_of(whole.lake):
        found, models = (whole.lake.read(name, month) for name in ("predictions", "models"))
        assert set(found["model"]) == set(models["sha256"].drop_nulls())
        assert found["date"].dt.strftime("%Y-%m").unique().to_list() == [month]
        expected = ROWS.filter(pl.col("date").dt.strftime("%Y-%m") == month).height
        assert found.filter(pl.col("algorithm") == "ensemble").height == expected


def test_made_again_the_files_have_the_same_bytes(whole: Workspace, tmp_path: Path) -> None:
    again = work_on(tmp_path)
    made(again)
    assert content(again) == content(whole)


def test_what_follows_the_test_month_changes_none_of_its_bytes(
    whole: Workspace, tmp_path: Path
) -> None:
    early = work_on(tmp_path, ROWS.filter(pl.col("date") < date(2024, 5, 1)))
    made(early, "2024-03", "2024-04")
    cut = {place: data for place, data in content(whole).items() if place[1] < "2024-05"}
    assert content(early) == cut


def test_scores_before_an_instant_are_those_of_a_lake_that_ends_with_it(
    whole: Workspace, tmp_path: Path
) -> None:
    instant = ROWS.filter(pl.col("date") == date(2024, 4, 16))["t0"].sort()[6]
    known = ROWS.filter(pl.col("t0") <= instant)
    outcomes = ("label", "label_return", "forward_return_15m", "forward_return_5m")
    unknown = known.with_columns(
        pl.when(pl.col("date") < date(2024, 4, 16)).then(pl.col(name)).otherwise(
            pl.lit(0 if name == "label" else 0.0).cast(known.schema[name])
        )
        for name in outcomes
    )  # fmt: skip
    cut = work_on(tmp_path, unknown)
    made(cut, "2024-04")
    told = ["target", "algorithm", "ticker", "date", "event_id", "score", "probability", "rank"]
    whole_month = whole.lake.read("predictions", "2024-04").filter(pl.col("t0") <= instant)
    assert cut.lake.read("predictions", "2024-04").select(told).equals(whole_month.select(told))


def test_a_changed_day_puts_just_the_months_out_of_date_whose_fold_it_is_in(
    tmp_path: Path,
) -> None:
    work = work_on(tmp_path)
    made(work)
    is_day = pl.col("date") == date(2024, 2, 6)
    changed = ROWS.with_columns(
        pl.when(is_day).then(0.1).otherwise(pl.col(INFORMED[1])).alias(INFORMED[1])
    )
    put(work, "ml_dataset", "union", changed)
    assert not work.is_complete("folds", None)
    list(folds(work, ["folds"], []))
    stale = [m for m in months_of(work.lake) if not work.is_complete("models", m)]
    assert stale == ["2024-03", "2024-04"]
    outcomes = made(replace(work, skip_complete=True))
    assert {key for (_, key), o in outcomes.items() if not o.is_reused} == {"2024-03", "2024-04"}
    assert all(work.is_complete(table, m) for table in TABLES for m in months_of(work.lake))


def test_one_class_in_a_month_leaves_the_other_months_alone(tmp_path: Path) -> None:
    is_month = pl.col("date").dt.month() == 3
    ups = ROWS.with_columns(
        pl.when(is_month).then(0.01).otherwise(pl.col("forward_return_15m")).alias(
            "forward_return_15m"
        )
    )  # fmt: skip
    work = work_on(tmp_path, ups)
    outcomes = made(work)
    assert not any(o.is_failed for o in outcomes.values())
    refusals = {
        m: work.lake.read("models", m)["refusal"].drop_nulls() for m in months_of(work.lake)
    }
    assert refusals["2024-03"].is_empty()
    assert refusals["2024-04"][0].startswith("one class only: 228 of 228 validation rows")
    assert (
        refusals["2024-05"][0].startswith("one class only: ")
        and "training" in refusals["2024-05"][0]
    )
    assert work.lake.read("predictions", "2024-04").is_empty()
    lines = list(model_lines(work.lake))
    assert lines[1].startswith("no model 2024-04 sign_15m (lightgbm, logistic): one class only")


def test_a_gap_of_months_is_told_and_the_others_are_made(tmp_path: Path) -> None:
    work = work_on(tmp_path, ROWS.filter(pl.col("date").dt.month() != 2))
    assert months_of(work.lake) == ["2024-05"]
    made(work)
    refused = made(work, "2024-04", "2024-09")
    assert [str(o.error) for o in refused.values()] == [
        "2024-04 has no usable fold; no rows to train on in 2024-02-01 to 2024-02-29; fill that gap"
        " of months",
        "2024-09 has no usable fold; choose from 2024-05",
    ]
    lines = list(model_lines(work.lake))
    assert lines[0].startswith("models   test months 2024-05, trained on so few")
    assert any("no model 2024-03 bars: no rows to validate on in 2024-02-01" in x for x in lines)


def test_a_short_lake_has_no_folds_and_says_why(tmp_path: Path) -> None:
    work = work_on(tmp_path, ROWS.filter(pl.col("date") < date(2024, 2, 10)))
    assert work.lake.read("folds").is_empty()
    (line,) = model_lines(work.lake)
    assert line.startswith("models   none: a fold needs")


def test_events_scored_one_by_one_are_those_of_the_month(whole: Workspace) -> None:
    day = date(2024, 4, 9)
    alone = day_scores(whole.lake, "T1", day).drop("price_at_t0")
    month = whole.lake.read("predictions", "2024-04").filter(
        pl.col("ticker") == "T1", pl.col("date") == day
    )
    keys = ["t0", "target", "algorithm"]
    assert alone.height == 12
    assert alone.equals(month.select(alone.columns).sort(keys))


def test_tuned_parameters_come_from_the_first_month_of_the_year(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    settings = {"trials": 3, "algorithms": ["logistic"], "targets": ["sign_15m"]}
    work = work_on(tmp_path, **settings)
    made(work)
    rows = pl.concat(work.lake.read("models", m) for m in months_of(work.lake))
    assert rows["trials"].to_list() == [3, 0, 0]
    assert rows["tuned_in"].to_list() == ["2024-03"] * 3
    assert rows["parameters"].n_unique() == 1
    # A month alone tunes for the first of its year, and comes to the same.
    alone = work_on(tmp_path / "alone", **settings)
    assert not any(o.is_failed for o in made(alone, "2024-05").values())
    assert alone.lake.read("models", "2024-05").equals(work.lake.read("models", "2024-05"))


def test_without_the_extra_there_is_one_line_with_the_command(
    whole: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extra, "PACKAGES", ("lightgbm", "no_such_package"))
    assert list(model_lines(whole.lake)) == [
        "left out: models, model_importance, predictions, since no_such_package is not installed;"
        ' get them with `pip install -c constraints.txt -e ".[models]"`'
    ]
    (outcome,) = stages.walk_forward(whole, TABLES, ["2024-03"])
    assert str(outcome.error).startswith("models need no_such_package; install them with `pip")
    with pytest.raises(extra.ExtraError, match="models need no_such_package, which is not"):
        extra.require("no_such_package")


def test_a_missing_openmp_library_is_named_with_its_package(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(name: str) -> None:
        raise OSError("libgomp.so.1: cannot open shared object file: No such file or directory")

    monkeypatch.setattr(extra, "import_module", fails)
    with pytest.raises(extra.ExtraError, match=r"lightgbm needs .* `apt-get install libgomp1`"):
        extra.require("lightgbm")
