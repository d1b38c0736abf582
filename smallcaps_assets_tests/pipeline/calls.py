"""What the tests of worker processes have them do."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import polars as pl

from smallcaps_assets.sources.errors import RateLimited


class PairError(Exception):
    """An error whose constructor takes what it does not keep."""

    def __init__(self, one: str, other: str) -> None:
        super().__init__(f"{one} and {other}")
        self.held = lambda: one  # can't be pickled


def process(_: object = None) -> int:
    return os.getpid()


def doubled(frame: pl.DataFrame) -> pl.DataFrame:
    return frame * 2


def end_badly(how: str) -> int:
    """Be killed, or raise an error of some kind."""
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "disk":
        raise OSError(28, "No space left on device", "/lake/trades.parquet")
    if how == "source":
        raise RateLimited("too many", status=429, path="/v3/trades")
    if how == "pair":
        raise PairError("one", "other")
    return os.getpid()


def wait_for_ever(told: Path) -> None:
    told.write_text(str(os.getpid()))
    time.sleep(600)
