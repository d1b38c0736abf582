"""Sample weights of overlapping labels: uniqueness, attribution, decay, sequential bootstrap.

Factors are stored raw; scaling and class weights belong to the training fold, after purging, and
are offered here as functions. Labels are made in `labels.py`.
"""

from __future__ import annotations

from datetime import datetime

import numpy as np
import polars as pl
from numpy.typing import ArrayLike

from smallcaps_assets.domain.columns import frame_of, integers, kept, session_dates
from smallcaps_assets.domain.guards import (
    ArrayError,
    as_floats,
    as_spans,
    bad_span,
    price_array,
    read_only,
    same_length,
    session_runs,
    size_array,
    span_arrays,
    time_array,
)
from smallcaps_assets.kernels import weights as kernel
from smallcaps_assets.kernels.elementary import logs
from smallcaps_assets.schemas import TABLES
from smallcaps_assets.schemas.table import INSTANT

TABLE = "sample_weights"


class WeightError(ValueError):
    """Labels or parameters that can't be weighted."""


def label_spans(
    close_times: ArrayLike,
    starts: ArrayLike,
    end_times: ArrayLike,
    session: ArrayLike | None = None,
) -> np.ndarray:
    """Ends i1 of the spans (i0, i1].

    `close_times` are the bars' ascending closes, `starts` the labels' bars i0, `end_times` their
    t1, `session` the session of each bar, which closes of several New York days need. i1 is the
    first later bar of the session that closes at or after t1, else its last bar: i0 itself when no
    bar follows. Raises ArrayError.
    """
    closes = time_array("close_times", close_times)
    first = np.ascontiguousarray(starts, np.int64)
    ends = np.ascontiguousarray(end_times, np.int64)
    same_length({"starts": first, "end_times": ends})
    if first.size and not 0 <= first.min() <= first.max() < closes.size:
        raise ArrayError(
            f"starts reach from {first.min()} to {first.max()}, expected bars 0 to "
            f"{closes.size - 1}; pass the labels of these bars"
        )
    last = _last_bars(closes, session)
    found = kernel.label_spans(read_only(closes), read_only(first), read_only(ends))
    return np.minimum(found, last[first])


def _last_bars(closes: np.ndarray, session: ArrayLike | None) -> np.ndarray:
    """The last bar of the session of each bar."""
    if session is None:
        days = session_dates(closes[[0, -1]]) if closes.size else None
        if days is not None and days[0] != days[1]:
            raise ArrayError(
                f"close_times reach from {days[0]} to {days[1]}, expected one session; pass the "
                "session of each bar, since a label ends with its own"
            )
        return np.full(closes.size, closes.size - 1)
    runs = session_runs(session)
    same_length({"close_times": closes, "session": runs})
    return np.searchsorted(runs, runs, "right") - 1


def concurrency(bars: int, starts: ArrayLike, ends: ArrayLike) -> np.ndarray:
    """Labels that span each bar's return, int64 of length `bars` (AFML 4.3)."""
    return _counts(bars, *as_spans(starts, ends))


def average_uniqueness(bars: int, starts: ArrayLike, ends: ArrayLike) -> np.ndarray:
    """Mean of 1 / concurrency over each span, in (0, 1] (AFML 4.4)."""
    first, last = as_spans(starts, ends)
    return _uniqueness(_changes(bars, first, last), first, last)


def return_attribution(closes: ArrayLike, starts: ArrayLike, ends: ArrayLike) -> np.ndarray:
    """|sum of log returns / concurrency| over each span, raw (AFML 4.6).

    The return into the entry bar is not in the span, unlike in the book's snippet.
    """
    prices = as_floats("closes", closes)
    first, last = as_spans(starts, ends)
    return _attribution(prices, _changes(prices.size, first, last), first, last)


def _changes(bars: int, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Changes of the concurrency from bar to bar. Raises ArrayError naming a bad span."""
    changes = np.zeros(bars + 1, np.int32)
    place = kernel.count_changes(bars, read_only(starts), read_only(ends), changes)
    if place >= 0:
        raise bad_span(bars, starts, ends, place)
    return changes[:bars]


def _counts(bars: int, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    return np.cumsum(_changes(bars, starts, ends), dtype=np.int64)


def _uniqueness(changes: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    prefix, means = np.empty(changes.size + 1), np.empty(starts.size)
    kernel.prefix_of_shares(changes, True, prefix)
    kernel.average_uniqueness(prefix, read_only(starts), read_only(ends), means)
    return means


def _attribution(
    closes: np.ndarray, changes: np.ndarray, starts: np.ndarray, ends: np.ndarray
) -> np.ndarray:
    prefix, sums = np.empty(closes.size + 1), np.empty(starts.size)
    logs(read_only(closes), prefix[1:])
    if not np.isfinite(kernel.prefix_of_shares(changes, False, prefix)):
        price_array("closes", closes)
    kernel.return_attribution(prefix, read_only(starts), read_only(ends), sums)
    return sums


def time_decay(uniqueness: ArrayLike, oldest: float) -> np.ndarray:
    """Factors in [0, 1] on cumulative uniqueness, in the order given (AFML 4.7).

    The newest (last) is 1; `oldest` in [0, 1] is the factor before the first, a negative one the
    share of cumulative uniqueness that gets 0. Raises WeightError outside (-1, 1].
    """
    if not -1 < oldest <= 1:
        raise WeightError(f"time decay is {oldest}, expected -1 < c <= 1; 1 is no decay")
    return kernel.time_decay(read_only(size_array("uniqueness", uniqueness)), float(oldest))


def normalise(weights: ArrayLike) -> np.ndarray:
    """Weights scaled to sum to their number; all ones when they sum to 0."""
    values = size_array("weights", weights)
    total = values.sum()
    return values * (values.size / total) if total > 0 else np.ones(values.size)


def class_weights(labels: ArrayLike, weights: ArrayLike) -> np.ndarray:
    """Weights scaled so that each class has the same total and the overall total stays."""
    classes, members = np.unique(np.asarray(labels), return_inverse=True)
    values = size_array("weights", weights)
    same_length({"labels": members, "weights": values})
    totals = np.bincount(members, values, classes.size)
    if classes.size and (totals <= 0).any():
        empty = classes[int(np.argmin(totals))]
        raise WeightError(f"class {empty} has no weight; drop it or weight its rows above 0")
    return values * (values.sum() / classes.size / totals)[members] if classes.size else values


def sequential_bootstrap_probabilities(
    bars: int, starts: ArrayLike, ends: ArrayLike, drawn: ArrayLike
) -> np.ndarray:
    """Chances of each label in the next draw, given those drawn so far (AFML 4.5)."""
    first, last = span_arrays(bars, starts, ends)
    taken = np.ascontiguousarray(drawn, np.int64)
    counts = _counts(bars, first[taken], last[taken])
    means = kernel.bootstrap_means(read_only(counts), read_only(first), read_only(last))
    return means / means.sum()


def sequential_bootstrap(
    bars: int,
    starts: ArrayLike,
    ends: ArrayLike,
    generator: np.random.Generator,
    draws: int | None = None,
) -> np.ndarray:
    """Indices of labels drawn with the sequential bootstrap (AFML 4.5); as many as labels."""
    first, last = span_arrays(bars, starts, ends)
    if first.size == 0:
        return np.empty(0, np.int64)
    uniforms = generator.random(first.size if draws is None else draws)
    order = np.argsort(first, kind="stable")
    drawn = kernel.sequential_draws(
        bars, read_only(first[order]), read_only(last[order]), read_only(uniforms)
    )
    return order[drawn]


def sample_weights(
    labels: pl.DataFrame, bars: pl.DataFrame, eligible_from: datetime | int | None
) -> pl.DataFrame:
    """Weight factors of one ticker-session's labels, every column of the weights' table.

    `bars` are all bars of the session, in order. Labels without a span or a path are dropped before
    concurrency. `eligible_from` (UTC; nanoseconds if an integer) is when some rule had admitted the
    day; None: never. Raises WeightError unless these are the labels and bars of one session.
    """
    _check_session(labels, bars)
    closes = integers(bars["close_timestamp"])
    rows = kept(labels, labels["has_path"].to_numpy())
    rows = rows if rows["bar_id"].is_sorted() else rows.sort("bar_id")
    if rows.height and int(rows["bar_id"][-1]) >= bars.height:
        raise WeightError(
            f"label of bar {rows['bar_id'][-1]}, {bars.height} bars given; pass the whole session"
        )
    starts = integers(rows["bar_id"])
    ends = label_spans(closes, starts, integers(rows["t1"]))
    has_span = ends > starts
    rows, starts, ends = kept(rows, has_span), starts[has_span], ends[has_span]
    known = _is_known(rows, eligible_from)
    prices = bars["close"].to_numpy()
    unique, attribution = _factors(prices, starts, ends)
    unique_known, attribution_known = _factors(prices, starts[known], ends[known])
    columns = {
        "ticker": rows["ticker"],
        "date": rows["date"],
        "bar_id": rows["bar_id"],
        "span_start": starts,
        "span_end": ends,
        "is_selection_known": known,
        "uniqueness": unique,
        "uniqueness_eligible": _spread(known, unique_known),
        "return_attribution": attribution,
        "return_attribution_eligible": _spread(known, attribution_known),
    }
    return frame_of(columns, TABLES[TABLE].columns)


def _check_session(labels: pl.DataFrame, bars: pl.DataFrame) -> None:
    if not np.array_equal(integers(bars["bar_id"], -1), np.arange(bars.height)):
        raise WeightError(
            "bars are not one whole session in order of bar_id; pass them all, sorted"
        )
    for name in ("ticker", "date"):
        found = (labels[name].unique().to_list(), bars[name].unique().to_list())
        if bars.height and not set(found[0]) <= set(found[1]):
            raise WeightError(f"labels are of {found[0]}, bars of {found[1]}; pass one session's")


def _is_known(labels: pl.DataFrame, eligible_from: datetime | int | None) -> np.ndarray:
    if eligible_from is None:
        return np.zeros(labels.height, bool)
    moment = integers(pl.Series([eligible_from]).cast(INSTANT))[0]
    return integers(labels["t0"]) >= moment


def _factors(
    closes: np.ndarray, starts: np.ndarray, ends: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    changes = _changes(closes.size, starts, ends)
    return _uniqueness(changes, starts, ends), _attribution(closes, changes, starts, ends)


def _spread(mask: np.ndarray, values: np.ndarray) -> pl.Series:
    """Values at the places of the mask, null elsewhere."""
    full = np.full(mask.size, np.nan)
    full[mask] = values
    return pl.Series(full, nan_to_null=True)
