"""Tests of folds, models and predictions in a lake: same bytes, out of date where they should."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from smallcaps_assets.domain.models import extra
from smallcaps_assets.pipeline import models as stages
from smallcaps_assets.pipeline.findings import find
from smallcaps_assets.pipeline.fold_digests import test_months as months_of
from smallcaps_assets.pipeline.model_lines import model_lines
from smallcaps_assets.pipeline.models import folds, walk_forward
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets.pipeline.scoring import day_scores
from smallcaps_assets.pipeline.workspace import Workspace
from smallcaps_assets.schemas import OPS, TABLES
from smallcaps_assets_tests.domain.models.rows import INFORMED, dataset_rows
from smallcaps_assets_tests.pipeline.bench import workspace
from smallcaps_assets_tests.pipeline.small_dataset import put

pytest.importorskip("lightgbm")
pytest.importorskip("xgboost")
MONTHLY = list(OPS["walk_forward"].tables)
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
    return {(o.table, o.key): o for o in walk_forward(work, MONTHLY, keys)}


def content(work: Workspace) -> dict[tuple[str, str], bytes]:
    """Bytes of all files of the models."""
    return {
        (table, key): Path(str(work.lake.path(table, key))).read_bytes()
        for table in MONTHLY
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
    assert all(work.is_complete(table, m) for table in MONTHLY for m in months_of(work.lake))


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


QUICK = {"algorithms": ["logistic"], "targets": ["sign_15m"]}


def in_month(month: int) -> pl.Expr:
    return pl.col("date").dt.month() == month


def test_too_few_rows_in_a_month_leave_the_others_alone(tmp_path: Path) -> None:
    work = work_on(
        tmp_path, ROWS.filter(~in_month(2) | (pl.col("date") < date(2024, 2, 6))), **QUICK
    )
    assert not any(o.is_failed for o in made(work).values())
    refusals = [work.lake.read("models", m)["refusal"].to_list() for m in months_of(work.lake)]
    assert refusals[0] == refusals[2] == [None]
    assert refusals[1] == [
        "36 rows to train on, 50 are needed; take more sessions, or lower models.min_rows"
    ]


def test_a_column_without_values_in_a_month_is_left_out_there_alone(tmp_path: Path) -> None:
    name = INFORMED[1]
    empty = pl.when(~in_month(2)).then(pl.col(name)).alias(name)
    work = work_on(tmp_path, ROWS.with_columns(empty), **QUICK)
    assert not any(o.is_failed for o in made(work).values())
    features = [work.lake.read("models", m)["features"].item() for m in months_of(work.lake)]
    assert [f'"{name}": "null in 100% of the rows"' in text for text in features] == [
        *(False, True, False)
    ]
    assert work.lake.read("predictions", "2024-04").height == ROWS.filter(in_month(4)).height


def test_an_unseen_category_is_scored_as_none_and_told(tmp_path: Path) -> None:
    sector = pl.when(pl.col("ticker") == "T1").then(pl.lit("Mining")).otherwise(pl.lit("Drugs"))
    is_new = in_month(5) & (pl.col("ticker") == "T0")
    named = pl.when(is_new).then(pl.lit("Space")).otherwise(sector).alias("sector")
    work = work_on(tmp_path, ROWS.with_columns(named), **QUICK)
    outcomes = made(work)
    assert not any(o.is_failed for o in outcomes.values())
    told = work.lake.read("predictions", "2024-05")
    assert (told["has_unseen_category"] == (told["ticker"] == "T0")).all()
    assert not work.lake.read("predictions", "2024-04")["has_unseen_category"].any()
    events = ROWS.filter(is_new).height
    assert list(model_lines(work.lake))[1:] == [
        f"2024-05: {events} events have a category that its models were not trained on and are"
        " scored as of none; train on more months"
    ]
    (_, _, finding) = find(work, "predictions", "2024-05", told)
    assert (finding.name, finding.is_good, finding.is_error) == ("categories seen", False, False)
    assert finding.found.startswith(f"{events} events have a category")
    (_, _, good) = find(work, "predictions", "2024-04", work.lake.read("predictions", "2024-04"))
    assert good.is_good


def test_a_dataset_older_than_the_features_is_refused_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = work_on(tmp_path, **QUICK)
    made(work)
    before = content(work)
    table = TABLES["ml_dataset"]
    with monkeypatch.context() as patch:
        patch.setitem(TABLES, "ml_dataset", replace(table, version=table.version - 1))
        put(work, "ml_dataset", "union", ROWS)
    (outcome,) = folds(work, ["folds"], [])
    failed = [outcome, *made(work, "2024-03").values()]
    assert len(failed) == 2
    for one in failed:
        text = str(one.error)
        assert "of the contract ml_dataset" in text and text.endswith("run `smallcaps migrate`")
        assert "\n" not in text
    assert content(work) == before


def test_there_are_models_of_a_month_before_its_first_row(whole: Workspace, tmp_path: Path) -> None:
    early = work_on(tmp_path, ROWS.filter(pl.col("date") < date(2024, 5, 1)))
    assert months_of(early.lake) == ["2024-03", "2024-04", "2024-05"]
    assert not any(o.is_failed for o in made(early, "2024-05").values())
    assert early.lake.read("predictions", "2024-05").is_empty()
    sealed = [work.lake.read("models", "2024-05")["sha256"] for work in (early, whole)]
    assert sealed[0].equals(sealed[1])


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


def test_a_model_of_sequences_is_one_more_algorithm(tmp_path: Path) -> None:
    settings = {**QUICK, "algorithms": ["convolution", "logistic"]}
    work = work_on(tmp_path, **settings)
    assert not any(o.is_failed for o in made(work, "2024-03").values())
    models = work.lake.read("models", "2024-03")
    assert models["algorithm"].to_list() == ["convolution", "ensemble", "logistic"]
    assert models["features"][0] == '{"categories": {}, "dropped": {}, "features": ["sequence"]}'
    explained = work.lake.read("model_importance", "2024-03")["algorithm"].unique()
    assert explained.to_list() == ["logistic"]
    day = date(2024, 3, 12)
    alone = day_scores(work.lake, "T1", day).drop("price_at_t0")
    month = work.lake.read("predictions", "2024-03").filter(ticker="T1", date=day)
    assert alone.equals(month.select(alone.columns).sort("t0", "target", "algorithm"))


def test_bars_before_the_day_was_admitted_count_where_sequences_are_taken(tmp_path: Path) -> None:
    is_early = (pl.col("date") == date(2024, 2, 6)) & (pl.col("bar_id") == 0)
    late = pl.when(is_early).then(pl.col("t0").dt.offset_by("1s")).otherwise("eligible_from")
    early = ROWS.filter(pl.col("date") < date(2024, 4, 1))
    rows = early.with_columns(is_selection_known=~is_early, eligible_from=late)
    changed = rows.with_columns(
        pl.when(is_early).then(9.0).otherwise(pl.col("bar_return")).alias("bar_return")
    )
    for algorithm, months in (("convolution", ["2024-03", "2024-04"]), ("logistic", [])):
        digests = [
            work_on(tmp_path / f"{algorithm}{n}", some, algorithms=[algorithm]).lake.read("folds")
            for n, some in enumerate((rows, changed))
        ]
        differ = digests[0].filter(digests[0]["digest"] != digests[1]["digest"])
        assert differ["month"].to_list() == months


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
        "left out: models, model_importance, predictions, day_families, since no_such_package is"
        ' not installed; get them with `pip install -c constraints.txt -e ".[models]"`'
    ]
    (outcome,) = stages.walk_forward(whole, MONTHLY, ["2024-03"])
    assert str(outcome.error).startswith("models need no_such_package; install them with `pip")
    with pytest.raises(extra.ExtraError, match="models need no_such_package, which is not"):
        extra.require("no_such_package")


def test_a_missing_openmp_library_is_named_with_its_package(
    whole: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(name: str) -> None:
        raise OSError("libgomp.so.1: cannot open shared object file: No such file or directory")

    before = content(whole)
    monkeypatch.setattr(extra, "import_module", fails)
    (outcome,) = made(whole, "2024-03").values()
    assert outcome.is_failed and "`apt-get install libgomp1`" in str(outcome.error)
    assert content(whole) == before
    with pytest.raises(extra.ExtraError, match=r"lightgbm needs .* `apt-get install libgomp1`"):
        extra.require("lightgbm")
