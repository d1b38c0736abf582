"""Splitters against plain loops over pairs of rows, and inside scikit-learn."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score

from smallcaps_assets.domain.labels.cross_validation import (
    CombinatorialPurged,
    PurgedKFold,
    SplitError,
    UnseenTickers,
    WalkForward,
    purged_train,
)

GOLDEN = Path(__file__).parents[2] / "golden" / "features_cv.json"


@st.composite
def span_lists(draw, min_size=4):
    count = draw(st.integers(min_size, 30))
    numbers = st.lists(st.integers(0, 40), min_size=count, max_size=count)
    t0 = draw(numbers)
    lengths = draw(st.lists(st.integers(0, 6), min_size=count, max_size=count))
    return t0, [a + b for a, b in zip(t0, lengths, strict=True)]


def brute_purge(t0, t1, test, embargo, before=0):
    """Rows outside the test that overlap no test row and lie in no block's buffer."""
    order = sorted(range(len(t0)), key=lambda i: t0[i])
    blocks, previous = [], False
    for i in order:
        if i in test:
            blocks = [*blocks[:-1], [*blocks[-1], i]] if previous else [*blocks, [i]]
        previous = i in test
    kept = []
    for i in range(len(t0)):
        overlaps = any(t0[i] <= t1[j] and t1[i] >= t0[j] for j in test)
        ends = [max(t1[j] for j in block) for block in blocks if t0[block[0]] <= t0[i]]
        starts = [t0[block[0]] for block in blocks if t0[block[0]] > t0[i]]
        is_after = all(t0[i] > end + embargo for end in ends)
        is_before = all(t1[i] < start - before for start in starts)
        if i not in test and not overlaps and is_after and is_before:
            kept.append(i)
    return kept


def test_purge_and_embargo_golden():
    case = next(c for c in json.loads(GOLDEN.read_text()) if c["name"] == "purge_embargo")
    assert purged_train(**case["input"]).tolist() == case["expected"]


@given(span_lists(), st.data())
def test_purged_train_given_any_test_rows_equals_plain_loops(spans, data):
    test = data.draw(st.sets(st.integers(0, len(spans[0]) - 1)))
    embargo, before = data.draw(st.integers(0, 8)), data.draw(st.integers(0, 8))
    found = purged_train(*spans, sorted(test), embargo, before)
    assert found.tolist() == brute_purge(*spans, test, embargo, before)


def test_purged_train_given_a_long_first_block_remembers_its_end_over_later_blocks():
    t0, t1 = [0, 10, 20, 30, 105], [100, 11, 21, 31, 106]
    assert purged_train(t0, t1, [0, 2], embargo=3).tolist() == [4]
    assert purged_train(t0, t1, [0, 2], embargo=5).tolist() == []


NOON = int(datetime(2024, 3, 4, 17, tzinfo=UTC).timestamp()) * 10**9
HOUR = timedelta(hours=1)


@st.composite
def event_lists(draw):
    """t0 and t1 of events of two to seven days around a change of the clocks, in any order."""
    hours = st.tuples(st.integers(4, 10), st.integers(-8, 3))
    rows = draw(st.lists(hours, min_size=2, max_size=30))
    days = sorted({day for day, _ in rows})
    if len(days) < 2:
        rows += [(days[0] + 1, 0)]
    t0 = [NOON + (24 * (day - 4) + hour) * 3600 * 10**9 for day, hour in rows]
    lengths = draw(st.lists(st.integers(0, 40), min_size=len(t0), max_size=len(t0)))
    return t0, [start + n * 3600 * 10**9 for start, n in zip(t0, lengths, strict=True)]


def check_blocks(t0, t1, splitter, tests, embargo, before):
    """Purged, of whole sessions in order, every row tested once, no fold empty."""
    days = pl.Series(t0).cast(pl.Datetime("ns", "UTC")).dt.convert_time_zone("America/New_York")
    sessions = days.dt.date().to_list()
    spans = [sorted({sessions[i] for i in test}) for test in tests]
    assert all(first[-1] < second[0] for first, second in pairwise(spans))
    assert sorted(np.concatenate(tests).tolist()) == list(range(len(t0)))
    for (train, _), test in zip(splitter.split(), tests, strict=True):
        assert train.tolist() == brute_purge(t0, t1, set(test.tolist()), embargo, before)


@given(event_lists(), st.integers(2, 7), st.integers(0, 30), st.integers(0, 30))
def test_purged_k_fold_tests_whole_sessions_once_with_a_buffer_on_both_sides(
    spans, folds, embargo, before
):
    t0, t1 = (pl.Series(part).cast(pl.Datetime("ns", "UTC")) for part in spans)
    days = t0.dt.convert_time_zone("America/New_York").dt.date().n_unique()
    folds = min(folds, days)
    splitter = PurgedKFold(t0, t1, folds, embargo * HOUR, before * HOUR)
    tests = [test for _, test in splitter.split()]
    assert len(tests) == splitter.get_n_splits() == folds
    hour = 3600 * 10**9
    check_blocks(*spans, splitter, tests, embargo * hour, before * hour)
    numbers = PurgedKFold(*spans, folds, embargo * hour, before * hour)
    assert [test.tolist() for _, test in numbers.split()] == [test.tolist() for test in tests]


def test_purged_k_fold_given_sessions_of_unlike_size_cuts_nearest_to_equal_rows():
    sessions = [1] * 2 + [2] * 5 + [3] * 1 + [4] * 4 + [5] * 3
    spans = np.arange(15)
    splitter = PurgedKFold(spans, spans, 3, 0, sessions=sessions)
    assert [test.size for _, test in splitter.split()] == [7, 5, 3]
    crowded = PurgedKFold(spans, spans, 3, 0, sessions=[1] * 13 + [2, 3])
    assert [test.size for _, test in crowded.split()] == [13, 1, 1]


@given(span_lists(), st.integers(2, 4), st.integers(0, 3), st.integers(0, 3))
def test_purged_k_fold_of_plain_numbers_keeps_rows_of_one_t0_together(
    spans, folds, embargo, before
):
    folds = min(folds, len(set(spans[0])))
    if folds < 2:
        return
    splitter = PurgedKFold(*spans, folds=folds, embargo=embargo, embargo_before=before)
    tests = []
    for train, test in splitter.split():
        assert train.tolist() == brute_purge(*spans, set(test.tolist()), embargo, before)
        tests.append(test)
    assert sorted(np.concatenate(tests).tolist()) == list(range(len(spans[0])))
    times = np.array(spans[0])
    for earlier, later in pairwise(tests):
        assert times[earlier].max() < times[later].min()


@given(span_lists(8), st.integers(3, 6), st.integers(1, 2))
def test_combinatorial_purged_tests_every_choice_and_its_paths_cover_all_rows(spans, groups, k):
    groups = min(groups, len(set(spans[0])))
    if groups <= k:
        return
    splitter = CombinatorialPurged(*spans, groups, k, embargo=1, embargo_before=2)
    splits = list(splitter.split())
    for train, test in splits:
        assert train.tolist() == brute_purge(*spans, set(test.tolist()), 1, 2)
        assert np.unique(splitter.group_of_row[test]).size == k
    used = set()
    for path in splitter.paths():
        rows = [
            splits[number][1][splitter.group_of_row[splits[number][1]] == group]
            for group, number in enumerate(path)
        ]
        assert sorted(np.concatenate(rows).tolist()) == list(range(len(spans[0])))
        used |= {(group, int(number)) for group, number in enumerate(path)}
    assert len(used) == splitter.get_n_splits() * k


def daily(days, start=datetime(2024, 1, 2, 15, tzinfo=UTC)):
    """One label a day, each known 15 minutes later."""
    t0 = pl.Series([start + timedelta(days=n) for n in range(days)]).cast(pl.Datetime("ns", "UTC"))
    return t0, t0 + timedelta(minutes=15)


def months_of(t0, rows):
    return sorted(set(t0.dt.strftime("%Y-%m").gather(rows).to_list()))


def test_walk_forward_rolls_by_a_month_and_never_looks_ahead():
    t0, t1 = daily(300)
    splitter = WalkForward(t0, t1)
    windows = [[months_of(t0, part) for part in window] for window in splitter.windows()]
    assert windows[0] == [[f"2024-0{m}" for m in range(1, 7)], ["2024-07"], ["2024-08"]]
    assert windows[-1][1:] == [["2024-09"], ["2024-10"]]
    assert len(windows) == splitter.get_n_splits() == 3
    for (train, test), (same_train, _, same_test) in zip(
        splitter.split(), splitter.windows(), strict=True
    ):
        assert train.tolist() == same_train.tolist()
        assert test.tolist() == same_test.tolist()
        assert t1[train].max() < t0[test].min()


def test_walk_forward_purges_labels_that_reach_into_the_next_part():
    t0, t1 = daily(300)
    last = t0.dt.strftime("%Y-%m").to_list().index("2024-07") - 1
    train, validate, _ = next(WalkForward(t0, t1.shift(-2).fill_null(t1[-1])).windows())
    assert last not in train
    assert last + 1 in validate


def test_walk_forward_waits_before_each_part_as_asked():
    t0, t1 = daily(300)
    plain = next(WalkForward(t0, t1).windows())
    train, validate, test = next(WalkForward(t0, t1, embargo_before=timedelta(days=5)).windows())
    assert plain[0][:-5].tolist() == train.tolist()
    assert plain[1][:-5].tolist() == validate.tolist()
    assert plain[2].tolist() == test.tolist()


@pytest.mark.parametrize(
    ("days", "lengths", "fits"),
    [
        (100, (6, 1, 1), (2, 1, 1)),
        (100, (2, 3, 3), (2, 1, 1)),
        (130, (9, 2, 3), (3, 1, 1)),
        (40, (6, 1, 1), (1, 0, 1)),
        (60, (3, 0, 2), (2, 0, 1)),
    ],
)
def test_walk_forward_given_a_short_lake_says_what_would_fit(days, lengths, fits):
    names = ("train_months", "validate_months", "test_months")
    advice = ", ".join(f"{name}={n}" for name, n in zip(names, fits, strict=True))
    with pytest.raises(SplitError) as error:
        WalkForward(*daily(days), *lengths)
    last = daily(days)[0][-1].strftime("%Y-%m")
    assert f"from 2024-01 to {last}; " in str(error.value)
    assert f"{advice} would fit" in str(error.value)
    assert WalkForward(*daily(days), *fits).get_n_splits() > 0


def test_walk_forward_given_one_month_or_gaps_says_so():
    with pytest.raises(SplitError, match="no months fit; take PurgedKFold"):
        WalkForward(*daily(20))
    t0, t1 = daily(300)
    sparse = t0.dt.month().is_in([1, 2, 4, 7, 8])
    with pytest.raises(SplitError, match="5 months .*train_months=1, validate_months=0, test_mon"):
        WalkForward(t0.filter(sparse), t1.filter(sparse), 1, 1, 1)


def test_walk_forward_months_are_new_yorks():
    late = datetime(2024, 2, 1, 1, tzinfo=UTC)
    t0 = pl.Series([late, *(late + timedelta(days=n) for n in range(1, 60))])
    splitter = WalkForward(t0, t0, train_months=1, validate_months=0, test_months=1)
    train, test = next(splitter.split())
    assert train.tolist() == [0]
    assert test.size == 29


def test_unseen_tickers_share_no_company_and_no_instant():
    rng = np.random.default_rng(1)
    t0 = rng.integers(0, 5000, 200)
    t1 = t0 + rng.integers(0, 9, 200)
    names = rng.choice(list("abcdefgh"), 200)
    splitter = UnseenTickers(t0, t1, names, folds=3)
    sizes = []
    for train, test in splitter.split(np.zeros((200, 2))):
        assert not set(names[train]) & set(names[test])
        assert train.tolist() == [
            i
            for i in brute_purge(t0.tolist(), t1.tolist(), set(test.tolist()), 0)
            if names[i] not in set(names[test])
        ]
        sizes.append(test.size)
    assert sum(sizes) == 200
    assert max(sizes) - min(sizes) < 40


@pytest.mark.parametrize("unit", ["ns", "us"])
def test_instants_given_as_series_or_numpy_split_alike(unit):
    t0, t1 = daily(40)
    expected = [train.tolist() for train, _ in PurgedKFold(t0, t1).split()]
    arrays = [s.dt.replace_time_zone(None).dt.cast_time_unit(unit).to_numpy() for s in (t0, t1)]
    assert [train.tolist() for train, _ in PurgedKFold(*arrays).split()] == expected
    assert [len(e) for e in expected] == [31, 31, 31, 31, 32]


def test_splitters_work_in_scikit_learn():
    rng = np.random.default_rng(3)
    features = rng.standard_normal((240, 2))
    target = features[:, 0] > 0
    t0, t1 = daily(240)
    splitters = [
        PurgedKFold(t0, t1),
        CombinatorialPurged(t0, t1),
        WalkForward(t0, t1),
        UnseenTickers(t0, t1, rng.choice(list("abcdef"), 240)),
    ]
    for splitter in splitters:
        scores = cross_val_score(LogisticRegression(), features, target, cv=splitter)
        assert scores.size == splitter.get_n_splits()
        assert scores.min() > 0.8


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PurgedKFold([1, 2], [1]), "columns of one table"),
        (lambda: PurgedKFold([1, 2], [2, 1]), "row 1 has t1 before t0"),
        (lambda: PurgedKFold([1.5], [2.0]), "expected instants or integers"),
        (lambda: PurgedKFold([1, 2], [1, 2], folds=3), "3 blocks of 2 sessions"),
        (lambda: PurgedKFold(*daily(4), folds=5), "choose from 2 to the number of sessions"),
        (lambda: PurgedKFold([1, 2], [1, 2], 2, sessions=[1]), "1 sessions for 2 rows"),
        (
            lambda: PurgedKFold([1, 2, 3], [1, 2, 3], 2, sessions=[1, 2, 1]),
            "session 1 comes back at row 2",
        ),
        (lambda: PurgedKFold([1, 2], [1, 2], 2, -1), "embargo is -1"),
        (lambda: PurgedKFold([1, 2], [1, 2], 2, 0, -HOUR), "embargo_before is -1 day"),
        (lambda: PurgedKFold(pl.Series([1, None]), [1, 2]), "t0 has 1 nulls"),
        (lambda: PurgedKFold(np.array(["NaT"] * 2, "M8[ns]"), [1, 2]), "t0 has 2 NaT"),
        (lambda: CombinatorialPurged([1, 2, 3], [1, 2, 3], 3, 3), "fewer than all"),
        (lambda: WalkForward(*daily(100)), "rows lie in 4 months .* a window needs 8"),
        (lambda: WalkForward(*daily(100), train_months=0), "1 or more"),
        (lambda: UnseenTickers([1, 2], [1, 2], ["a"]), "1 identities for 2 rows"),
        (lambda: UnseenTickers([1, 2], [1, 2], ["a", "a"]), "of 1 companies"),
    ],
)
def test_splitters_given_nonsense_teach(make, message):
    with pytest.raises(SplitError, match=message):
        make()


def test_splitter_given_other_rows_is_refused():
    with pytest.raises(SplitError, match="X has 3 rows, the splitter was made from 4"):
        next(PurgedKFold(range(4), range(4), 2).split([0, 0, 0]))
