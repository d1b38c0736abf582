"""Checks of arrays before they enter a kernel, with messages that say what to do.

Only checks that several modules share; rules of one table are in its schema.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from smallcaps_assets.kernels.checks import (
    LOWEST,
    SMALLEST,
    first_bad_span,
    first_descent,
    first_outside,
)


class ArrayError(ValueError):
    """An array that a kernel can't take."""


def read_only(array: np.ndarray) -> np.ndarray:
    """A read-only view: numba compiles once more for writable arrays, and polars gives none."""
    if not array.flags.writeable:
        return array
    view = array.view()
    view.flags.writeable = False
    return view


def grown(array: np.ndarray, count: int) -> np.ndarray:
    """The array, or one at least twice as long that begins with it, if it has fewer than `count`.

    What was added is not set.
    """
    if array.size >= count:
        return array
    longer = np.empty(max(count, 2 * array.size), array.dtype)
    longer[: array.size] = array
    return longer


def float_array(name: str, values: ArrayLike) -> np.ndarray:
    """A contiguous float64 array of one dimension without NaN or infinity."""
    return _checked(name, values, LOWEST, "a finite number; drop or mend the row")


def price_array(name: str, values: ArrayLike) -> np.ndarray:
    """`float_array` of positive values."""
    return _checked(name, values, SMALLEST, "> 0; drop such trades first")


def size_array(name: str, values: ArrayLike) -> np.ndarray:
    """`float_array` of values that are not negative."""
    return _checked(name, values, 0.0, ">= 0; drop such trades first")


def as_floats(name: str, values: ArrayLike) -> np.ndarray:
    """A contiguous float64 array of one dimension; its values are not looked at."""
    array = np.ascontiguousarray(values, np.float64)
    if array.ndim != 1:
        raise ArrayError(f"{name} has {array.ndim} dimensions, expected 1; flatten it first")
    return array


def _checked(name: str, values: ArrayLike, low: float, expected: str) -> np.ndarray:
    array = as_floats(name, values)
    place = first_outside(read_only(array), low)
    if place >= 0:
        if not np.isfinite(array[place]):
            expected = "a finite number; drop or mend the row"
        raise ArrayError(f"{name}[{place}] is {array[place]}, expected {expected}")
    return array


def as_times(name: str, values: ArrayLike) -> np.ndarray:
    """A contiguous int64 array; its values are not looked at."""
    array = np.ascontiguousarray(values)
    if array.size and not np.issubdtype(array.dtype, np.integer):
        raise ArrayError(f"{name} is {array.dtype}, expected integers; cast instants to int64")
    return array.astype(np.int64, copy=False)


def time_array(name: str, values: ArrayLike) -> np.ndarray:
    """`as_times` in ascending order; equal neighbours are fine."""
    array = as_times(name, values)
    place = first_descent(read_only(array))
    if place >= 0:
        raise ArrayError(
            f"{name}[{place}] = {array[place]} is before {name}[{place - 1}] = {array[place - 1]};"
            " sort by time and sequence number first (the vendor's default order is descending)"
        )
    return array


def boolean_array(name: str, values: ArrayLike | None, count: int, default: bool) -> np.ndarray:
    """A contiguous boolean array; without values, `count` times the default."""
    if values is None:
        return np.full(count, default)
    array = np.ascontiguousarray(values)
    if array.dtype != np.bool_ and array.size:
        raise ArrayError(f"{name} is {array.dtype}, expected booleans; compare or cast it first")
    return array.astype(np.bool_, copy=False)


def sign_array(name: str, values: ArrayLike) -> np.ndarray:
    """A contiguous int8 array of -1, 0 and 1."""
    array = np.ascontiguousarray(values)
    if array.size and not (array.min() >= -1 and array.max() <= 1):
        raise ArrayError(
            f"{name} reach from {array.min()} to {array.max()}, expected -1, 0 and 1; take np.sign"
        )
    return array.astype(np.int8, copy=False)


def same_length(arrays: dict[str, np.ndarray]) -> int:
    """The common length. Raises ArrayError naming the odd one."""
    names: Sequence[str] = list(arrays)
    first = arrays[names[0]].shape[0]
    for name in names[1:]:
        if arrays[name].shape[0] != first:
            raise ArrayError(
                f"{name} has {arrays[name].shape[0]} values, {names[0]} has {first}; "
                "pass arrays of one table"
            )
    return first


def session_runs(names: ArrayLike) -> np.ndarray:
    """Number of the session of each row, from 0, of the sessions' names row by row.

    Raises ArrayError when a name comes back after another one.
    """
    array = np.asarray(names)
    if not array.size:
        return np.empty(0, np.int64)
    is_new = np.append(True, array[1:] != array[:-1])
    first = np.flatnonzero(is_new)
    known, places = np.unique(array[first], return_index=True)
    if known.size < first.size:
        again = first[np.setdiff1d(np.arange(first.size), places)[0]]
        raise ArrayError(
            f"session {array[again]} comes back at row {again}; sort by session, then by time"
        )
    return np.cumsum(is_new) - 1


def per_event(name: str, values: ArrayLike, count: int) -> np.ndarray:
    """One value for all events, or one for each, as an array of so many. Raises ArrayError."""
    array = np.asarray(values)
    if array.size == 1 and array.ndim <= 1:
        return np.full(count, array.reshape(-1)[0])
    if array.shape != (count,):
        raise ArrayError(
            f"{name} has shape {array.shape}, expected one value or {count}, one for each event"
        )
    return array


def fractions_per_event(name: str, values: ArrayLike, count: int) -> np.ndarray:
    """`per_event` of positive fractions, such as the distances of barriers."""
    return _checked(name, per_event(name, values, count), SMALLEST, "a fraction above 0")


def times_per_event(name: str, values: ArrayLike, count: int) -> np.ndarray:
    """`per_event` of instants or lengths of time, int64; a float must be a whole number."""
    array = per_event(name, values, count)
    whole = np.asarray(array, np.float64) % 1 == 0
    if not whole.all():
        place = int(np.argmin(whole))
        raise ArrayError(f"{name}[{place}] is {array[place]}, expected a whole number")
    return array.astype(np.int64)


def span_arrays(bars: int, starts: ArrayLike, ends: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Label spans (i0, i1] as int64 arrays with 0 <= i0 < i1 < bars."""
    first, last = as_spans(starts, ends)
    place = first_bad_span(bars, read_only(first), read_only(last))
    if place >= 0:
        raise bad_span(bars, first, last, place)
    return first, last


def as_spans(starts: ArrayLike, ends: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Label spans as int64 arrays of one length; their values are not looked at."""
    first, last = np.ascontiguousarray(starts, np.int64), np.ascontiguousarray(ends, np.int64)
    same_length({"starts": first, "ends": last})
    return first, last


def bad_span(bars: int, starts: np.ndarray, ends: np.ndarray, place: int) -> ArrayError:
    """The error of a span that labels of so many bars can't have."""
    return ArrayError(
        f"span {place} is ({starts[place]}, {ends[place]}], expected 0 <= start < end < {bars}; "
        "drop labels without a span first"
    )
