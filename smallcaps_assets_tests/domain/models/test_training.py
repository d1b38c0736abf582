"""Tests of the models of a month: out of sample, deterministic, refused with a reason."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
import pytest

from smallcaps_assets.domain.models.events import FEATURES, TARGETS, bar_rows
from smallcaps_assets.domain.models.folds import Lengths, walk_forward_folds
from smallcaps_assets.domain.models.judgement import judged
from smallcaps_assets.domain.models.scoring import ModelError, predict, score_event, scorers
from smallcaps_assets.domain.models.training import Trained, train_target
from smallcaps_assets.settings import ModelSettings
from smallcaps_assets_tests.another_process import printed
from smallcaps_assets_tests.domain.models.rows import INFORMED, QUICK, dataset_rows

pytest.importorskip("lightgbm")
pytest.importorskip("xgboost")
SIGN = TARGETS["sign_15m"]


@pytest.fixture(scope="module")
def parts() -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Training, validation and test rows of March 2024."""
    return parts_of(bar_rows(dataset_rows(strength=0.5, tickers=6)))


def parts_of(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    (fold,) = walk_forward_folds(rows["t0"], rows["known_by"], Lengths(1, 1), month="2024-03")
    return rows[fold.train_rows], rows[fold.validate_rows], rows[fold.test_rows]


@pytest.fixture(scope="module")
def trained(parts: tuple[pl.DataFrame, ...]) -> Trained:
    """The models of the sign."""
    return train_target(SIGN, parts[0], parts[1], QUICK)


def frame_of(trained: Trained) -> pl.DataFrame:
    """Models as rows of a month."""
    return pl.DataFrame(trained.models, infer_schema_length=None).with_columns(
        month=pl.lit("2024-03"),
        refusal=pl.col("refusal") if "refusal" in trained.models[0] else pl.lit(None),
    )


@pytest.fixture(scope="module")
def scored(parts: tuple[pl.DataFrame, ...], trained: Trained) -> pl.DataFrame:
    """Predictions of the test rows."""
    return predict(parts[2], scorers(frame_of(trained)), ["sign_15m"])


def test_a_planted_feature_is_found_by_every_algorithm(
    parts: tuple[pl.DataFrame, ...], scored: pl.DataFrame
) -> None:
    told = parts[2].select(
        "ticker", "date", "event_id", outcome="sign_15m", outcome_return="sign_15m_return"
    )
    found = judged(scored.join(told, on=["ticker", "date", "event_id"]))
    assert found["algorithm"].to_list() == ["ensemble", "lightgbm", "logistic", "xgboost"]
    assert found["auc"].min() > 0.6  # type: ignore[operator]
    assert found["top_return"].min() > 0  # type: ignore[operator]


def test_without_a_planted_feature_nothing_is_found() -> None:
    train, validate, test = parts_of(bar_rows(dataset_rows(strength=0.0, tickers=6)))
    trained = train_target(SIGN, train, validate, QUICK)
    scored = predict(test, scorers(frame_of(trained)), ["sign_15m"])
    told = test.select(
        "ticker", "date", "event_id", outcome="sign_15m", outcome_return="sign_15m_return"
    )
    found = judged(scored.join(told, on=["ticker", "date", "event_id"]))
    assert ((found["auc"] - 0.5).abs() < 3 * found["auc_error"]).all()


def test_the_planted_feature_counts_most(trained: Trained) -> None:
    for told in trained.importances:
        for measure in ("shap", "mutual_information", "permutation"):
            assert told.sort(measure, descending=True)["feature"][0] == INFORMED[0], measure


def test_the_same_rows_give_the_same_models(
    parts: tuple[pl.DataFrame, ...], trained: Trained
) -> None:
    assert train_target(SIGN, parts[0], parts[1], QUICK).models == trained.models


def test_one_event_gets_the_bits_that_it_gets_among_others(
    parts: tuple[pl.DataFrame, ...], trained: Trained, scored: pl.DataFrame
) -> None:
    ready = scorers(frame_of(trained))
    with pytest.raises(ModelError, match="the event lacks date, and 100 more of the 102 values"):
        score_event({"ticker": "T0"}, ready)
    for place in (0, 17, parts[2].height - 1):
        alone = score_event(parts[2].row(place, named=True), ready)
        key = alone.select("ticker", "date", "event_id").row(0)
        among = scored.filter(pl.struct("ticker", "date", "event_id") == pl.struct(
            ticker=pl.lit(key[0]), date=pl.lit(key[1]), event_id=pl.lit(key[2], pl.Int32)
        ))  # fmt: skip
        assert alone.equals(among)


def test_predictions_of_a_fresh_process_are_the_same_bits(
    parts: tuple[pl.DataFrame, ...], trained: Trained, scored: pl.DataFrame, tmp_path
) -> None:
    parts[2].write_parquet(tmp_path / "rows.parquet")
    frame_of(trained).write_parquet(tmp_path / "models.parquet")
    printed(
        "import polars as pl\n"
        "from smallcaps_assets.domain.models.scoring import predict, scorers\n"
        f"models = pl.read_parquet({str(tmp_path / 'models.parquet')!r})\n"
        f"rows = pl.read_parquet({str(tmp_path / 'rows.parquet')!r})\n"
        f"predict(rows, scorers(models), ['sign_15m']).write_parquet({str(tmp_path / 'p')!r})\n"
    )
    assert pl.read_parquet(tmp_path / "p").equals(scored)


def test_a_model_that_was_changed_is_refused(trained: Trained) -> None:
    models = frame_of(trained).with_columns(
        quantiles=pl.col("quantiles").list.eval(pl.element() + 1)
    )
    with pytest.raises(ModelError, match="is not what it was sealed as"):
        scorers(models)


def test_ranks_and_deciles_are_those_of_the_validation_month(
    parts: tuple[pl.DataFrame, ...], trained: Trained
) -> None:
    ready = scorers(frame_of(trained))
    told = predict(parts[1], ready, ["sign_15m"]).filter(pl.col("algorithm") == "lightgbm")
    assert abs(told["rank"].mean() - 0.5) < 0.01  # type: ignore[operator]
    counts = told["decile"].value_counts()["count"]
    assert counts.len() == 10
    assert counts.max() < 0.2 * told.height  # type: ignore[operator]


# What can't be -----------------------------------------------------------------------------------
def refusals(trained: Trained) -> list[str]:
    return [row.get("refusal") or "" for row in trained.models]


def test_one_class_is_refused_in_one_line(parts: tuple[pl.DataFrame, ...]) -> None:
    ups = parts[0].with_columns(sign_15m=True)
    found = refusals(train_target(SIGN, ups, parts[1], QUICK))
    assert len(found) == 3
    assert all(line.startswith("one class only: ") and "training" in line for line in found)
    downs = parts[1].with_columns(sign_15m=False)
    assert "validation" in refusals(train_target(SIGN, parts[0], downs, QUICK))[0]


def test_too_few_rows_are_refused_with_their_number(parts: tuple[pl.DataFrame, ...]) -> None:
    settings = ModelSettings(targets=("sign_15m",))
    (line, *_) = refusals(train_target(SIGN, parts[0], parts[1], settings))
    assert line.startswith(f"{parts[0].height} rows to train on, 1,000 are needed")


def test_a_column_without_values_is_left_out_and_named(parts: tuple[pl.DataFrame, ...]) -> None:
    name = INFORMED[1]
    train = parts[0].with_columns(pl.lit(None, pl.Float64).alias(name))
    row = train_target(SIGN, train, parts[1], QUICK).models[0]
    assert f'"{name}": "null in 100% of the rows"' in row["features"]


def test_tuning_counts_its_trials_and_is_the_same_every_time(
    parts: tuple[pl.DataFrame, ...],
) -> None:
    pytest.importorskip("optuna")
    settings = QUICK.model_copy(update={"algorithms": ("logistic",), "trials": 5})
    one, two = (train_target(SIGN, parts[0], parts[1], settings).models for _ in range(2))
    assert one == two
    assert one[0]["trials"] == 5
    taken = train_target(SIGN, parts[0], parts[1], settings, {}).models
    assert taken[0]["trials"] == 0
    assert taken[0]["parameters"] == '{"ridge": 1.0}'


def test_features_are_those_of_the_catalogue_alone() -> None:
    rows = bar_rows(dataset_rows(end=date(2024, 1, 5), tickers=1, events=1))
    known = {"ticker", "date", "event_id", "identity", "t0", "price_at_t0"}
    outcomes = set(rows.columns) - known - set(FEATURES["bars"])
    assert outcomes == {
        "known_by",
        *(
            f"{n}{end}"
            for n in ("sign_5m", "sign_15m", "touch")
            for end in ("", "_return", "_known")
        ),
    }


def test_the_sign_is_that_of_the_mid_where_there_are_quotes() -> None:
    dataset = dataset_rows(end=date(2024, 1, 3), tickers=2, events=2).with_columns(
        forward_return_15m=pl.lit(0.01),
        forward_mid_return_15m=pl.when(pl.col("ticker") == "T0", pl.col("bar_id") == 0).then(-0.01),
    )
    rows = bar_rows(dataset).filter(pl.col("date") == date(2024, 1, 2))
    assert rows["sign_15m"].to_list() == [False, None, True, True]
    assert np.isclose(rows["sign_15m_return"][0], -0.01)
