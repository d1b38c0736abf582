"""Columns of frames as arrays for the kernels, and arrays as the columns of a table.

A query costs as much as 10,000 ticks do in a kernel, and a ticker-session needs dozens of columns:
here each is taken and made by itself, without one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from smallcaps_assets.schemas.table import INSTANT

# 9 September 2001, before the first tape: smaller integers count something else.
FIRST_NANOSECOND = 10**18


def integers(
    values: pl.Series, missing: int = 0, dtype: type[pl.DataType] = pl.Int64
) -> np.ndarray:
    """An array of integers, instants as UTC nanoseconds. Null is `missing`."""
    if values.dtype == INSTANT and not values.null_count():
        return values.to_numpy().view(np.int64)  # no copy
    numbers = values.cast(dtype)
    return (numbers.fill_null(missing) if numbers.null_count() else numbers).to_numpy()


def session_dates(times: np.ndarray) -> pl.Series | None:
    """New York dates of UTC nanoseconds; None where a number is too small to be one."""
    if not times.size or times.min() < FIRST_NANOSECOND:
        return None
    return pl.Series(times).cast(INSTANT).dt.convert_time_zone("America/New_York").dt.date()


def floats(values: pl.Series) -> np.ndarray:
    """A float64 array; null is NaN."""
    return values.cast(pl.Float64).to_numpy()


def group_numbers(rows: pl.DataFrame, *names: str) -> np.ndarray:
    """A number for each row, the same for rows that agree in the columns `names`."""
    return rows.select(pl.struct(names).rank("dense")).to_series().to_numpy()


def holds_only(values: pl.Series, value: Any) -> bool:
    """Whether every row has this value, and none is null."""
    return not values.null_count() and (values == value).all()


def in_one_piece(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with numbers and instants in one piece each, of which an array is no copy."""
    return pl.DataFrame(
        [
            column if column.dtype.is_nested() or column.dtype == pl.String else column.rechunk()
            for column in frame
        ]
    )


def where_known(mask: np.ndarray, values: np.ndarray, dtype: pl.DataType) -> pl.Series:
    """Values where the mask holds, null elsewhere."""
    known = pl.Series(values).cast(dtype)
    return known.zip_with(pl.Series(mask), pl.Series([None], dtype=dtype))


def kept(frame: pl.DataFrame, mask: np.ndarray) -> pl.DataFrame:
    """The rows of the mask."""
    return frame if mask.all() else frame.filter(pl.Series(mask))


def frame_of(columns: Mapping[str, Any], wanted: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """A frame of the wanted columns, in their order and types.

    Arrays and series have one value per row, anything else is the value of every row; a wanted
    column that is not given is null.
    """
    heights = [len(c) for c in columns.values() if isinstance(c, pl.Series | np.ndarray)]
    return pl.DataFrame(
        [_column(name, columns.get(name), dtype, heights[0]) for name, dtype in wanted.items()]
    )


def _column(name: str, values: Any, dtype: pl.DataType, height: int) -> pl.Series:
    if isinstance(values, np.ndarray):
        values = pl.Series(values)
    if isinstance(values, pl.Series):
        return values.cast(dtype).alias(name)
    return pl.Series(name, [values], dtype).new_from_index(0, height)
