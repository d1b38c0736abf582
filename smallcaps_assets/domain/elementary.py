"""Logarithm and exponential of arrays and columns with the same bits on every processor.

What is stored takes them from here, and not from numpy or polars; see `kernels/elementary.py`.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import polars as pl


def log(values: np.ndarray) -> np.ndarray:
    """Natural logarithms of a float array, in its shape; -inf of 0 and NaN below."""
    return _of_array("logs", np.ravel(values)).reshape(values.shape)


def log_of(values: pl.Expr) -> pl.Expr:
    """The natural logarithm of a column, null where that is."""
    return _mapped("logs", values)


def exp_of(values: pl.Expr) -> pl.Expr:
    """The exponential of a column, null where that is."""
    return _mapped("exps", values)


def _mapped(kernel: str, values: pl.Expr) -> pl.Expr:
    mapped = partial(_of_series, kernel)
    return values.map_batches(mapped, return_dtype=pl.Float64, is_elementwise=True)


def _of_series(kernel: str, values: pl.Series) -> pl.Series:
    found = _of_array(kernel, values.to_numpy())
    known = values.is_not_null()
    return pl.Series(values.name, found).zip_with(known, values.clear(values.len()))


def _of_array(kernel: str, values: np.ndarray) -> np.ndarray:
    # Here, because commands that store nothing need no compiler.
    from smallcaps_assets.domain.guards import read_only
    from smallcaps_assets.kernels import elementary

    found = np.empty(values.size)
    getattr(elementary, kernel)(read_only(values), found)
    return found
