"""Splits of labelled events that keep what a test set knows out of its training set.

Purged k-fold, combinatorial purged, walk-forward and unseen-ticker splitters with the protocol of
scikit-learn (`split`, `get_n_splits`), so that `cross_val_score(model, X, y, cv=splitter)` works;
scikit-learn itself is not needed. A splitter is made from the spans [t0, t1] of the rows, in any
order; X must have the same rows. Blocks of time are made of whole sessions, so that no day of a
market lies on both sides of a cut. Weights of a fold are in `folds.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import combinations, pairwise, product
from math import comb
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import ArrayLike

from smallcaps_assets.domain.columns import session_dates
from smallcaps_assets.domain.guards import ArrayError, session_runs
from smallcaps_assets.schemas.table import INSTANT

ONE_DAY = timedelta(days=1)
NO_TIME = timedelta(0)
MICROSECOND = timedelta(microseconds=1)
MARKET_ZONE = "America/New_York"
Length = timedelta | int


class SplitError(ValueError):
    """Rows or parameters that can't be split."""


# Purging -----------------------------------------------------------------------------------------
def purged_train(
    t0: ArrayLike,
    t1: ArrayLike,
    test: ArrayLike,
    embargo: Length = ONE_DAY,
    embargo_before: Length = NO_TIME,
) -> np.ndarray:
    """Row numbers that may train a model tested on the rows `test`, ascending (AFML 7.4).

    Left out are the test rows, rows whose [t0, t1] shares an instant with that of a test row, rows
    that begin within `embargo` after a contiguous block of test rows has ended, and rows that end
    within `embargo_before` before one begins. Spans are instants, or integers of any unit that both
    embargoes have as well. Raises SplitError.
    """
    spans = Spans(t0, t1, embargo, embargo_before)
    is_test = np.zeros(spans.t0.size, bool)
    is_test[np.asarray(test, np.int64)] = True
    return np.flatnonzero(~is_test & ~spans.leaks_from(is_test))


class Spans:
    """When the label of each row begins and is known, and the buffers around a test block."""

    def __init__(
        self, t0: ArrayLike, t1: ArrayLike, embargo: Length, embargo_before: Length
    ) -> None:
        self.t0, self.t1 = _instants("t0", t0), _instants("t1", t1)
        if self.t0.shape != self.t1.shape:
            raise SplitError(f"{self.t0.size} t0 and {self.t1.size} t1; pass columns of one table")
        backward = np.flatnonzero(self.t1 < self.t0)
        if backward.size:
            raise SplitError(f"row {backward[0]} has t1 before t0; drop labels without a span")
        self.after = _length("embargo", embargo)
        self.before = _length("embargo_before", embargo_before)
        self.order = np.argsort(self.t0, kind="stable")

    def leaks_from(self, is_test: np.ndarray) -> np.ndarray:
        """Whether a row overlaps a test row or lies in the buffers around a block of them.

        A block is a run of test rows in order of t0. Rows outside it begin before or after all of
        it, so that they overlap one of its rows just when they overlap [first t0, last t1].
        """
        if not is_test.any():
            return np.zeros(is_test.size, bool)
        ordered = is_test[self.order]
        edges = np.flatnonzero(ordered & ~np.append(False, ordered[:-1]))
        known = np.where(is_test, self.t1, np.iinfo(np.int64).min)[self.order]
        starts = self.t0[self.order][edges]
        ends = np.maximum.accumulate(np.maximum.reduceat(known, edges))
        begun = np.searchsorted(starts, self.t0, "right")
        is_late = (begun > 0) & (self.t0 - self.after <= ends[np.maximum(begun - 1, 0)])
        following = np.append(starts, np.iinfo(np.int64).max)[begun]
        return is_late | (following - self.before <= self.t1)

    def blocks(self, count: int, sessions: ArrayLike | None) -> np.ndarray:
        """Number 0 .. count - 1 of the block of whole sessions that each row lies in.

        Blocks follow each other in time, hold one session or more each, and are cut where the rows
        before are nearest to an equal share.
        """
        runs = self._sessions(sessions)
        held = np.bincount(runs)
        if not 2 <= count <= held.size:
            raise SplitError(
                f"{count} blocks of {held.size} sessions; choose from 2 to the number of sessions"
            )
        before, steps = np.append(0, held.cumsum()), np.arange(count - 1)
        wanted = (steps + 1) * runs.size / count
        cuts = np.searchsorted(before, wanted)
        cuts -= wanted - before[cuts - 1] < before[cuts] - wanted
        cuts = np.maximum.accumulate(np.maximum(cuts - steps, 1)) + steps
        cuts = np.minimum(cuts, held.size - count + 1 + steps)
        numbers = np.empty(self.t0.size, np.int64)
        numbers[self.order] = np.searchsorted(cuts, runs, "right")
        return numbers

    def _sessions(self, names: ArrayLike | None) -> np.ndarray:
        """Number of the session of each row, in order of t0."""
        days = session_dates(self.t0) if names is None else None
        default = self.t0 if days is None else days.to_physical()
        given = np.asarray(default if names is None else names)
        if given.shape != self.t0.shape:
            raise SplitError(f"{given.size} sessions for {self.t0.size} rows; name one per row")
        try:
            return session_runs(given[self.order])
        except ArrayError as error:
            raise SplitError(f"in order of t0, {error}") from None


def _instants(name: str, values: ArrayLike) -> np.ndarray:
    """Instants as UTC nanoseconds; integers as they are."""
    if isinstance(values, pl.Series):
        if values.null_count():
            raise SplitError(f"{name} has {values.null_count()} nulls; drop those rows first")
        values = (values.cast(INSTANT) if values.dtype.is_temporal() else values).to_physical()
    array = np.asarray(values)
    if np.issubdtype(array.dtype, np.datetime64):
        if np.isnat(array).any():
            raise SplitError(f"{name} has {np.isnat(array).sum()} NaT; drop those rows first")
        array = array.astype("datetime64[ns]").astype(np.int64)
    if array.ndim != 1 or (array.size and not np.issubdtype(array.dtype, np.integer)):
        raise SplitError(f"{name} is {array.dtype}, expected instants or integers, one per row")
    return array.astype(np.int64)


def _length(name: str, value: Length) -> int:
    """Nanoseconds, or an integer of the spans' own unit."""
    length = value // MICROSECOND * 1000 if isinstance(value, timedelta) else value
    if length < 0:
        raise SplitError(f"{name} is {value}, expected none or a length of time")
    return length


# Splitters ---------------------------------------------------------------------------------------
class Splitter:
    """The protocol of scikit-learn over purged test sets; buffers as in `purged_train`."""

    def __init__(
        self,
        t0: ArrayLike,
        t1: ArrayLike,
        embargo: Length = ONE_DAY,
        embargo_before: Length = NO_TIME,
    ) -> None:
        self.spans = Spans(t0, t1, embargo, embargo_before)

    def split(
        self,
        X: Any = None,  # noqa: N803
        y: Any = None,
        groups: Any = None,
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Row numbers of the training and of the test set, ascending, split by split."""
        self._check_rows(X)
        for may_train, is_test in self._masks():
            keep = may_train & ~self.spans.leaks_from(is_test)
            yield np.flatnonzero(keep), np.flatnonzero(is_test)

    def get_n_splits(
        self,
        X: Any = None,  # noqa: N803
        y: Any = None,
        groups: Any = None,
    ) -> int:
        """Number of splits."""
        return sum(1 for _ in self._masks())

    def _masks(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Rows that could train and rows to test, before purging."""
        raise NotImplementedError

    def _check_rows(self, table: Any) -> None:
        if table is None:
            return
        rows = table.shape[0] if hasattr(table, "shape") else len(table)
        if rows != self.spans.t0.size:
            raise SplitError(
                f"X has {rows} rows, the splitter was made from {self.spans.t0.size}; make it "
                "from the t0 and t1 of exactly these rows"
            )


class PurgedKFold(Splitter):
    """k test blocks of whole sessions, contiguous in time, each trained on the rest (AFML 7.4).

    Unlike scikit-learn's, training rows are purged and embargoed around each block. Blocks hold
    about equally many rows. `sessions` names the session of each row; without, it is the New York
    date of t0 (instants, or their UTC nanoseconds), or t0 itself where that is another number.
    """

    def __init__(
        self,
        t0: ArrayLike,
        t1: ArrayLike,
        folds: int = 5,
        embargo: Length = ONE_DAY,
        embargo_before: Length = NO_TIME,
        sessions: ArrayLike | None = None,
    ) -> None:
        super().__init__(t0, t1, embargo, embargo_before)
        self._numbers = self.spans.blocks(folds, sessions)
        self.folds = folds

    def _masks(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for fold in range(self.folds):
            is_test = self._numbers == fold
            yield ~is_test, is_test


class CombinatorialPurged(Splitter):
    """Every choice of `test_groups` out of `groups` contiguous blocks as a test set (AFML 12.4).

    Neighbouring test blocks count as one. `paths` puts the tests together to whole histories.
    Blocks and `sessions` are those of `PurgedKFold`.
    """

    def __init__(
        self,
        t0: ArrayLike,
        t1: ArrayLike,
        groups: int = 6,
        test_groups: int = 2,
        embargo: Length = ONE_DAY,
        embargo_before: Length = NO_TIME,
        sessions: ArrayLike | None = None,
    ) -> None:
        super().__init__(t0, t1, embargo, embargo_before)
        if not 1 <= test_groups < groups:
            raise SplitError(
                f"{test_groups} test groups of {groups}; choose at least 1 and fewer than all"
            )
        self.group_of_row = self.spans.blocks(groups, sessions)
        self.groups, self.test_groups = groups, test_groups

    def _masks(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for chosen in combinations(range(self.groups), self.test_groups):
            is_test = np.isin(self.group_of_row, chosen)
            yield ~is_test, is_test

    def paths(self) -> np.ndarray:
        """Split that tests each group on each path, int64[paths, groups].

        Row p of the result names one split per group; predictions of those splits on those groups
        make one history of all rows, and no test of a group is used twice.
        """
        paths = comb(self.groups - 1, self.test_groups - 1)
        table = np.empty((paths, self.groups), np.int64)
        seen = np.zeros(self.groups, np.int64)
        for number, chosen in enumerate(combinations(range(self.groups), self.test_groups)):
            for group in chosen:
                table[seen[group], group] = number
                seen[group] += 1
        return table


class WalkForward(Splitter):
    """Train on months, validate on the next, test on the one after; rolled month by month.

    Months are those of t0 in New York. `split` gives training and test rows and leaves the
    validation months out; `windows` gives all three. Windows without rows in one part are left out.
    """

    def __init__(
        self,
        t0: ArrayLike,
        t1: ArrayLike,
        train_months: int = 6,
        validate_months: int = 1,
        test_months: int = 1,
        embargo: Length = ONE_DAY,
        embargo_before: Length = NO_TIME,
    ) -> None:
        super().__init__(t0, t1, embargo, embargo_before)
        if train_months < 1 or validate_months < 0 or test_months < 1:
            raise SplitError("months to train and to test must be 1 or more, to validate 0 or more")
        self._lengths = (train_months, validate_months, test_months)
        local = pl.Series(self.spans.t0).cast(INSTANT).dt.convert_time_zone(MARKET_ZONE)
        self._months = (local.dt.year() * 12 + local.dt.month()).to_numpy()
        held = np.unique(self._months)
        if not _has_window(held, self._lengths):
            raise SplitError(
                f"{_described(held)}; a window needs {sum(self._lengths)} in a row, with rows in "
                f"each part; {_advice(held, self._lengths)}"
            )

    def windows(self, table: Any = None) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Row numbers to train, to validate and to test, purged of what comes after them."""
        self._check_rows(table)
        for is_train, is_valid, is_test in _windows(self._months, self._lengths):
            trains = is_train & ~self.spans.leaks_from(is_valid | is_test)
            validates = is_valid & ~self.spans.leaks_from(is_test)
            yield np.flatnonzero(trains), np.flatnonzero(validates), np.flatnonzero(is_test)

    def _masks(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for train, valid, test in _windows(self._months, self._lengths):
            yield train & ~self.spans.leaks_from(valid), test


_Lengths = tuple[int, int, int]


def _windows(
    months: np.ndarray, lengths: _Lengths
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Which rows, given their months, each window trains, validates and tests on."""
    if not months.size:
        return
    for first in range(months.min(), months.max() + 1):
        edges = first + np.cumsum([0, *lengths])
        train, valid, test = ((months >= start) & (months < end) for start, end in pairwise(edges))
        if train.any() and test.any() and (valid.any() or not lengths[1]):
            yield train, valid, test


def _has_window(held: np.ndarray, lengths: _Lengths) -> bool:
    return any(True for _ in _windows(held, lengths))


def _described(held: np.ndarray) -> str:
    if not held.size:
        return "there are no rows"
    first, last = (f"{(month - 1) // 12}-{(month - 1) % 12 + 1:02}" for month in held[[0, -1]])
    return f"rows lie in {held.size} months from {first} to {last}"


def _advice(held: np.ndarray, asked: _Lengths) -> str:
    """The longest parts, none longer than asked for, that rows of these months have room for."""
    room = int(held[-1] - held[0]) + 1 if held.size else 0
    train, validate, test = asked
    choices = product(range(1, train + 1), range(validate + 1), range(1, test + 1))
    fitting = [c for c in choices if sum(c) <= room and _has_window(held, c)]
    if not fitting:
        return "no months fit; take PurgedKFold, or more data"
    # A validation that was asked for goes last; the training set gets what there is.
    train, validate, test = max(fitting, key=lambda c: (c[1] > 0, sum(c), c))
    return (
        f"train_months={train}, validate_months={validate}, test_months={test} would fit, "
        "or take more data"
    )


class UnseenTickers(Splitter):
    """Test on companies that the model has never seen, in folds of about equally many rows.

    `identities` name the company of each row; a ticker string may be two companies. Rows that
    overlap a test row in time are purged as well, since markets move together. Test rows of all
    companies lie everywhere in time, so that an embargo would leave little to train on: none here
    unless asked for.
    """

    def __init__(
        self,
        t0: ArrayLike,
        t1: ArrayLike,
        identities: ArrayLike,
        folds: int = 5,
        embargo: Length = NO_TIME,
        embargo_before: Length = NO_TIME,
    ) -> None:
        super().__init__(t0, t1, embargo, embargo_before)
        names, members, counts = np.unique(
            np.asarray(identities), return_inverse=True, return_counts=True
        )
        if members.size != self.spans.t0.size:
            raise SplitError(f"{members.size} identities for {self.spans.t0.size} rows")
        if not 2 <= folds <= names.size:
            raise SplitError(f"{folds} folds of {names.size} companies; choose from 2 to as many")
        self._numbers, self.folds = _balanced(counts, folds)[members], folds

    def _masks(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for fold in range(self.folds):
            is_test = self._numbers == fold
            yield ~is_test, is_test


def _balanced(counts: np.ndarray, folds: int) -> np.ndarray:
    """Fold of each company: the largest first, each into the fold with the fewest rows so far."""
    numbers, rows = np.empty(counts.size, np.int64), np.zeros(folds, np.int64)
    for company in np.argsort(-counts, kind="stable"):
        numbers[company] = np.argmin(rows)
        rows[numbers[company]] += counts[company]
    return numbers
