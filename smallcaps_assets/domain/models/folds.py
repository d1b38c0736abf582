"""Walk-forward folds by test month: which rows train, validate and test, and what tells them apart.

A fold is of whole sessions: some months to train, the next to validate, then one month to test.
Rows that share an instant with a later block are purged, those of the sessions around a block are
embargoed; test rows are never dropped. Weights and models are made elsewhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
import polars as pl

from smallcaps_assets.domain.columns import session_dates
from smallcaps_assets.domain.market.calendar import sessions

_ONE_DAY = timedelta(1)
_LONGEST_CLOSURE = 14


class FoldError(ValueError):
    """Rows that can't be split into folds, or a fold that can't be used."""


class Lengths(NamedTuple):
    """Months to train and to validate; the month after them is tested."""

    train: int = 6
    validate: int = 1


class Block(NamedTuple):
    """First day, and the day after the last, of some whole months."""

    start: date
    end: date


@dataclass(frozen=True)
class Fold:
    """One test month: its blocks of days, and the numbers of the rows in them, ascending.

    `purged` and `embargoed` count training and validation rows that were left out; a row that
    would be both counts as purged.
    """

    month: str
    train: Block
    validate: Block
    test: Block
    train_rows: np.ndarray
    validate_rows: np.ndarray
    test_rows: np.ndarray
    purged: int
    embargoed: int

    @property
    def refusal(self) -> str:
        """Why no model can be made of it; empty when one can."""
        if not self.train_rows.size:
            return f"no rows to train on in {_span(self.train)}; fill that gap of months"
        if not self.validate_rows.size:
            return f"no rows to validate on in {_span(self.validate)}; fill that gap of months"
        return ""


# Months ------------------------------------------------------------------------------------------
def fitting_lengths(months: Sequence[int], asked: Lengths = Lengths()) -> Lengths:  # noqa: B008
    """Lengths that a range of months has room for: those asked for, or a shorter training.

    `months` are numbers as of `month_numbers`. Where not even one test month would be left, the
    training is shortened, in whole months, until two can be tested, or at least one. Raises
    FoldError when not even a month of each fits.
    """
    room = months[-1] - months[0] + 1 if len(months) else 0
    if room >= asked.train + asked.validate + 1:
        return asked
    if room < asked.validate + 2:
        raise FoldError(
            f"rows lie in {_named(months)}; a fold needs {asked.validate + 2} months: one to train,"
            f" {asked.validate} to validate, one to test; take more sessions"
        )
    return Lengths(max(1, room - asked.validate - 2), asked.validate)


def month_numbers(days: pl.Series) -> np.ndarray:
    """Number of the month of each day, so that those of consecutive months differ by one."""
    return (days.dt.year().cast(pl.Int64) * 12 + days.dt.month() - 1).to_numpy()


def month_key(number: int) -> str:
    """`YYYY-MM` of a month's number."""
    return f"{number // 12:04d}-{number % 12 + 1:02d}"


def _number(key: str) -> int:
    return int(key[:4]) * 12 + int(key[5:]) - 1


def _first_day(number: int) -> date:
    return date(number // 12, number % 12 + 1, 1)


def _named(months: Sequence[int]) -> str:
    if not len(months):
        return "no month"
    return f"{month_key(months[0])} to {month_key(months[-1])}"


def _span(block: Block) -> str:
    return f"{block.start} to {block.end - _ONE_DAY}"


# Rows --------------------------------------------------------------------------------------------
def walk_forward_folds(
    t0: pl.Series,
    t1: pl.Series,
    lengths: Lengths = Lengths(),  # noqa: B008
    embargo: int = 1,
    unit: Literal["sessions", "days"] = "sessions",
    month: str | None = None,
    until: date | None = None,
) -> list[Fold]:
    """A fold for every test month from the first that `lengths` leave room for, or of one month.

    `t0` and `t1` are instants (UTC) between which a row's target is decided. The day of a row is
    the New York date of t0. Training rows are purged where [t0, t1] overlaps the hull of the
    validation or of the test rows, both ends included, validation rows where it overlaps that of
    the test rows; `embargo` sessions, or calendar days, before and after each block are left out.
    A month of which a block is empty has a fold with a `refusal`; the month after the last row has
    one too if it is named, or has begun by `until`, so that there are models before its first row.
    Raises FoldError.
    """
    if t0.len() != t1.len() or t0.null_count() or t1.null_count():
        raise FoldError(f"{t0.len()} t0 and {t1.len()} t1, expected one each, without nulls")
    starts, ends = (
        series.cast(pl.Datetime("ns", "UTC")).to_physical().to_numpy() for series in (t0, t1)
    )
    if not starts.size:
        return []
    first_days, last_days = session_dates(starts), session_dates(ends)
    if first_days is None or last_days is None:
        raise FoldError(f"t0 begins with {starts.min()}, expected UTC nanoseconds; pass instants")
    rows = _Rows(starts, ends, first_days, last_days)
    months = month_numbers(rows.first_days)
    held = np.unique(months)
    first = int(held[0]) + lengths.train + lengths.validate
    named = _number(month) if month is not None else None
    last = named if named is not None else _number(until.isoformat()[:7]) if until else 0
    ready = [*held.tolist(), *([int(held[-1]) + 1] if last > held[-1] else [])]
    numbers = [n for n in ready if n == named or (named is None and n >= first)]
    return [_fold(rows, months, n, lengths, embargo, unit) for n in numbers]


@dataclass(frozen=True)
class _Rows:
    t0: np.ndarray
    t1: np.ndarray
    first_days: pl.Series
    last_days: pl.Series

    def overlapping(self, block: np.ndarray) -> np.ndarray:
        """Whether a row shares an instant with the hull of the rows of a block."""
        if not block.any():
            return np.zeros(block.size, bool)
        return (self.t1 >= self.t0[block].min()) & (self.t0 <= self.t1[block].max())

    def near(self, block: Block, embargo: int, unit: str) -> np.ndarray:
        """Whether a row has an instant in the days or sessions just before or after a block."""
        if not embargo:
            return np.zeros(self.t0.size, bool)
        first, last = _embargoed_days(block, embargo, unit)
        before = (self.last_days >= first) & (self.first_days < block.start)
        after = (self.first_days <= last) & (self.last_days >= block.end)
        return (before | after).to_numpy()


def _embargoed_days(block: Block, embargo: int, unit: str) -> tuple[date, date]:
    """First and last day of a block with what is embargoed around it."""
    last = block.end - _ONE_DAY
    if unit == "days":
        return block.start - embargo * _ONE_DAY, last + embargo * _ONE_DAY
    reach = (2 * embargo + _LONGEST_CLOSURE) * _ONE_DAY
    earlier = sessions(block.start - reach, block.start - _ONE_DAY)
    later = sessions(block.end, block.end + reach)
    return earlier[-embargo], later[embargo - 1]


def _fold(
    rows: _Rows, months: np.ndarray, month: int, lengths: Lengths, embargo: int, unit: str
) -> Fold:
    edges = [month - lengths.validate - lengths.train, month - lengths.validate, month, month + 1]
    train, validate, test = (Block(_first_day(a), _first_day(b)) for a, b in pairwise(edges))
    is_train, is_valid, is_test = ((months >= a) & (months < b) for a, b in pairwise(edges))
    overlaps_test = rows.overlapping(is_test)
    near_test = rows.near(test, embargo, unit)
    purged = (is_train & (overlaps_test | rows.overlapping(is_valid))) | (is_valid & overlaps_test)
    close = (is_train & (near_test | rows.near(validate, embargo, unit))) | (is_valid & near_test)
    left_out = purged | close
    return Fold(
        month_key(month),
        *(train, validate, test),
        *(np.flatnonzero(part) for part in (is_train & ~left_out, is_valid & ~left_out, is_test)),
        purged=int(purged.sum()),
        embargoed=int((close & ~purged).sum()),
    )


# Leaks -------------------------------------------------------------------------------------------
def check_split(
    train: pl.DataFrame, test: pl.DataFrame, names: tuple[str, str] = ("training", "test")
) -> None:
    """Refuse a split of which a training row could know the outcome of a test row.

    Frames of date, t0 and `known_by`. Raises FoldError when a session lies on both sides, as after
    rows were shuffled over days, or when a training row begins or is decided after a test row has
    begun.
    """
    one, other = names
    if test.is_empty():
        return
    shared = sorted(set(train["date"].unique()) & set(test["date"].unique()))
    if shared:
        raise FoldError(
            f"{len(shared)} sessions, the first {shared[0]}, have rows in the {one} and in the"
            f" {other} set; split by whole sessions"
        )
    first = test["t0"].min()
    late = train.filter((pl.col("known_by") >= first) | (pl.col("t0") >= first)).height
    if late:
        raise FoldError(
            f"{late} rows of the {one} set are decided after the first row of the {other} set has"
            " begun; purge them"
        )


# Digests -----------------------------------------------------------------------------------------
def day_digests(rows: pl.DataFrame) -> dict[date, str]:
    """A digest of every value of the rows of each date; rows are in order of date."""
    texts = [column.fill_null("\x00").to_list() for column in rows if column.dtype == pl.String]
    wide = [column for column in rows if isinstance(column.dtype, pl.Array)]
    plain = [c for c in rows if c.dtype != pl.String and not isinstance(c.dtype, pl.Array)]
    values = np.column_stack([_as_words(column) for column in plain])
    nulls = np.column_stack([column.is_null().to_numpy() for column in plain])
    days = rows["date"].rle().struct.unnest()
    ends = days["len"].cast(pl.Int64).cum_sum().to_list()
    found = {}
    for day, start, end in zip(days["value"], [0, *ends], ends, strict=False):
        words = "\x1f".join(text for column in texts for text in column[start:end])
        digest = hashlib.sha256(words.encode())
        digest.update(values[start:end].tobytes() + np.packbits(nulls[start:end]).tobytes())
        for column in wide:
            digest.update(column[start:end].drop_nulls().to_numpy().tobytes())
        found[day] = digest.hexdigest()
    return found


def _as_words(column: pl.Series) -> np.ndarray:
    """Values as 64-bit words, null as 0."""
    physical = column.to_physical()
    kind = pl.Float64 if physical.dtype.is_float() else pl.Int64
    return physical.cast(kind).fill_null(0).to_numpy().view(np.uint64)


def fold_digest(fold: Fold, days: Mapping[date, str], settled: str) -> str:
    """A digest of all that the models and predictions of a fold are made of.

    `days` are the `day_digests` of its rows, `settled` names what else a row's part follows from.
    """
    blocks = (fold.train, fold.validate, fold.test)
    held = [days[day] for day in sorted(days) if fold.train.start <= day < fold.test.end]
    told = [settled, *(f"{block.start} {block.end}" for block in blocks), *held]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()


def keys_digest(fold: Fold, keys: pl.Series) -> str:
    """A digest of the sorted keys of each part, by the texts that name the rows."""
    digest = hashlib.sha256()
    for rows in (fold.train_rows, fold.validate_rows, fold.test_rows):
        digest.update("\n".join(keys.gather(rows).sort().to_list()).encode() + b"\n\n")
    return digest.hexdigest()
