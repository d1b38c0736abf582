"""Columns made to arrays and back."""

from __future__ import annotations

from datetime import UTC, date, datetime

import numpy as np
import polars as pl

from smallcaps_assets.domain.columns import (
    floats,
    frame_of,
    in_one_piece,
    integers,
    kept,
    where_known,
)
from smallcaps_assets.schemas.table import INSTANT

MOMENT = datetime(2024, 1, 2, 14, 30, tzinfo=UTC)
NANOSECONDS = 1_704_205_800_000_000_000


def test_integers_of_instants_are_utc_nanoseconds_with_and_without_null():
    for missing in ([], [None]):
        found = integers(pl.Series([MOMENT, *missing], dtype=INSTANT), -7)
        assert found.tolist() == [NANOSECONDS, *[-7 for _ in missing]]
        assert found.dtype == np.int64
    assert integers(pl.Series([], dtype=INSTANT)).size == 0
    assert integers(pl.Series([1, None], dtype=pl.Int8), 3, pl.Int16).tolist() == [1, 3]
    cut = pl.Series([MOMENT] * 5, dtype=INSTANT)[1:3].append(pl.Series([MOMENT], dtype=INSTANT))
    assert integers(cut).tolist() == [NANOSECONDS] * 3


def test_floats_given_null_have_nan():
    assert np.isnan(floats(pl.Series([1.0, None]))).tolist() == [False, True]
    assert floats(pl.Series([1, 2], dtype=pl.Int8)).tolist() == [1.0, 2.0]


def test_where_known_keeps_nan_that_is_a_value():
    found = where_known(np.array([True, False, True]), np.array([np.nan, 2.0, 3.0]), pl.Float64())
    assert found.null_count() == 1
    assert found.is_nan().to_list() == [True, None, False]


def test_kept_given_any_mask_is_the_filter():
    frame = pl.DataFrame({"a": [1, 2]})
    for mask in ([True, True], [True, False], [False, False]):
        assert kept(frame, np.array(mask)).equals(frame.filter(mask))


def test_frame_of_orders_casts_repeats_and_leaves_null():
    wanted = {"t": INSTANT, "d": pl.Date(), "n": pl.Int8(), "s": pl.String(), "none": pl.Int64()}
    columns = {"n": pl.Series([1, None]), "s": "x", "t": np.array([NANOSECONDS] * 2), "extra": 1}
    found = frame_of(columns | {"d": date(2024, 1, 2)}, wanted)
    assert dict(found.schema) == wanted
    assert found.rows() == [
        (MOMENT, date(2024, 1, 2), 1, "x", None),
        (MOMENT, date(2024, 1, 2), None, "x", None),
    ]
    assert frame_of({"n": np.empty(0)}, wanted).shape == (0, 5)


def test_in_one_piece_gives_the_same_rows():
    part = pl.DataFrame({"n": [1, None], "s": ["x", None], "l": [[1], []], "t": [MOMENT, None]})
    whole = pl.concat([part, part, part[:0]], rechunk=False)
    found = in_one_piece(whole)
    assert found.equals(whole)
    assert [found[n].n_chunks() for n in ("n", "t")] == [1, 1]
    assert in_one_piece(part[:0]).schema == part.schema
