"""Tests of walk-forward folds: which rows they hold, and what tells them apart."""

from __future__ import annotations

from datetime import UTC, date, datetime

import numpy as np
import polars as pl
import pytest

from smallcaps_assets.domain.market.calendar import NEW_YORK
from smallcaps_assets.domain.models.events import bar_rows
from smallcaps_assets.domain.models.fold_table import fold_table
from smallcaps_assets.domain.models.folds import (
    FoldError,
    Lengths,
    check_split,
    day_digests,
    fitting_lengths,
    walk_forward_folds,
)
from smallcaps_assets.settings import ModelSettings
from smallcaps_assets_tests.domain.models.rows import dataset_rows

ONE = Lengths(1, 1)


def instants(*texts: str) -> pl.Series:
    """New York wall-clock times."""
    times = [datetime.fromisoformat(text).replace(tzinfo=NEW_YORK) for text in texts]
    return pl.Series([time.astimezone(UTC) for time in times]).cast(pl.Datetime("ns", "UTC"))


def test_a_row_whose_span_reaches_into_the_validation_is_purged() -> None:
    days = [f"2024-{month:02}-{day}T15:45" for month in range(1, 9) for day in ("03", "28")]
    t0 = instants(*days, "2024-06-28T15:50")
    t1 = instants(*(day.replace("15:45", "16:00") for day in days), "2024-07-03T16:00")
    (fold,) = walk_forward_folds(t0, t1, Lengths(6, 1), 1, "days")
    assert fold.month == "2024-08"
    assert fold.train == (date(2024, 1, 1), date(2024, 7, 1))
    assert fold.test == (date(2024, 8, 1), date(2024, 9, 1))
    assert fold.train_rows.tolist() == list(range(12))
    assert fold.validate_rows.tolist() == [12, 13]
    assert fold.test_rows.tolist() == [14, 15]
    assert (fold.purged, fold.embargoed) == (1, 0)


def test_a_span_that_ends_with_the_first_instant_of_the_block_is_purged() -> None:
    t0 = instants("2024-01-30T10:00", "2024-01-30T10:00", "2024-02-01T09:45", "2024-03-01T10:00")
    t1 = instants("2024-02-01T09:45", "2024-02-01T09:44", "2024-02-01T10:00", "2024-03-01T10:15")
    (fold,) = walk_forward_folds(t0, t1, ONE, embargo=0)
    assert fold.train_rows.tolist() == [1]
    assert fold.purged == 1


def test_the_session_before_a_monday_is_embargoed_by_sessions_and_not_by_days() -> None:
    # 1 April 2024 is a Monday, 29 March Good Friday: the session before is Thursday 28 March.
    t0 = instants("2024-03-27T10:00", "2024-03-28T10:00", "2024-04-01T10:00", "2024-05-02T10:00")
    (by_sessions,) = walk_forward_folds(t0, t0, ONE, 1)
    (by_days,) = walk_forward_folds(t0, t0, ONE, 1, "days")
    assert by_sessions.train_rows.tolist() == [0]
    assert by_sessions.embargoed == 1
    assert by_days.train_rows.tolist() == [0, 1]


def test_validation_rows_are_embargoed_before_the_test_block_and_test_rows_never() -> None:
    t0 = instants("2024-01-10T10:00", "2024-02-28T10:00", "2024-02-29T10:00", "2024-03-01T10:00")
    (fold,) = walk_forward_folds(t0, t0, ONE, 1)
    assert fold.validate_rows.tolist() == [1]
    assert fold.test_rows.tolist() == [3]


def test_a_gap_of_months_refuses_the_folds_that_need_them_and_no_other() -> None:
    months = ("2024-01", "2024-02", "2024-03", "2024-05", "2024-06", "2024-07")
    t0 = instants(*(f"{month}-10T10:00" for month in months))
    folds = {fold.month: fold.refusal for fold in walk_forward_folds(t0, t0, ONE)}
    assert list(folds) == ["2024-03", "2024-05", "2024-06", "2024-07"]
    assert folds["2024-05"] == (
        "no rows to validate on in 2024-04-01 to 2024-04-30; fill that gap of months"
    )
    assert folds["2024-06"].startswith("no rows to train on in 2024-04-01")
    assert folds["2024-03"] == folds["2024-07"] == ""


def test_a_month_that_has_begun_has_a_fold_before_its_first_row() -> None:
    t0 = instants("2024-01-10T10:00", "2024-02-12T10:00", "2024-02-29T10:00")
    (fold,) = walk_forward_folds(t0, t0, ONE, until=date(2024, 3, 1))
    assert (fold.month, fold.refusal) == ("2024-03", "")
    assert fold.validate_rows.tolist() == [1]  # the last session is embargoed
    assert fold.test_rows.size == 0
    assert walk_forward_folds(t0, t0, ONE, until=date(2024, 2, 29)) == []
    (named,) = walk_forward_folds(t0, t0, ONE, month="2024-03")
    assert named.train_rows.tolist() == fold.train_rows.tolist()
    (later,) = walk_forward_folds(t0, t0, ONE, until=date(2024, 9, 1))
    assert later.month == "2024-03"


@pytest.mark.parametrize(
    ("room", "wanted"),
    [(3, (1, 1)), (4, (1, 1)), (5, (2, 1)), (7, (4, 1)), (8, (6, 1)), (72, (6, 1))],
)
def test_the_training_shortens_in_whole_months_until_two_can_be_tested(
    room: int, wanted: tuple[int, int]
) -> None:
    assert fitting_lengths(range(room)) == wanted


def test_two_months_are_too_few() -> None:
    with pytest.raises(FoldError, match=r"2024-01 to 2024-02; a fold needs 3 months"):
        fitting_lengths([2024 * 12, 2024 * 12 + 1])


def test_one_month_alone_has_the_fold_that_it_has_among_all() -> None:
    rows = bar_rows(dataset_rows(tickers=1, events=2))
    whole = walk_forward_folds(rows["t0"], rows["known_by"], ONE)
    for fold in whole:
        part = rows.filter(
            pl.col("date").is_between(fold.train.start, fold.test.end, closed="left")
        )
        (own,) = walk_forward_folds(part["t0"], part["known_by"], ONE, month=fold.month)
        assert part[own.train_rows].equals(rows[fold.train_rows])
        assert part[own.validate_rows].equals(rows[fold.validate_rows])
        assert part[own.test_rows].equals(rows[fold.test_rows])


def test_rows_shuffled_over_days_are_refused() -> None:
    rows = bar_rows(dataset_rows(tickers=2, events=3))
    order = np.random.default_rng(0).permutation(rows.height)
    half = rows.height // 2
    with pytest.raises(
        FoldError, match="sessions, the first 2024-01-02, have rows in the training"
    ):
        check_split(rows[order[:half]], rows[order[half:]])


def test_a_row_that_is_decided_after_the_test_has_begun_is_refused() -> None:
    rows = bar_rows(dataset_rows(tickers=1, events=2))
    early, late = (
        rows.filter(pl.col("date") < date(2024, 2, 1)),
        rows.filter(pl.col("date") >= date(2024, 2, 1)),
    )
    check_split(early, late)
    with pytest.raises(FoldError, match="purge them"):
        check_split(early.with_columns(known_by=late["known_by"].max()), late)


# Digests -----------------------------------------------------------------------------------------
def table_of(dataset: pl.DataFrame) -> pl.DataFrame:
    """The fold table of the sample of bars."""
    rows = bar_rows(dataset)
    return fold_table("bars", rows, day_digests(rows), ModelSettings(train_months=1))


def test_a_changed_value_changes_the_digests_of_just_the_months_that_hold_its_day() -> None:
    dataset = dataset_rows(end=date(2024, 6, 28), tickers=1, events=2)
    is_day = (pl.col("date") == date(2024, 2, 6)) & (pl.col("bar_id") == 0)
    changed = dataset.with_columns(
        running_return=pl.when(is_day).then(0.5).otherwise(pl.col("running_return"))
    )
    before, after = table_of(dataset), table_of(changed)
    is_other = before["digest"] != after["digest"]
    assert before["month"].filter(is_other).to_list() == ["2024-03", "2024-04"]
    assert before["keys_digest"].equals(after["keys_digest"])


def test_a_fold_row_counts_its_rows_and_their_uniqueness() -> None:
    table = table_of(dataset_rows(tickers=1, events=2))
    row = table.row(0, named=True)
    assert (row["month"], row["train_rows"]) == ("2024-03", 40)  # 21 sessions, the last embargoed
    assert 0 < row["train_effective"] <= row["train_rows"]
    assert table["test_effective"].min() > 0  # type: ignore[operator]
