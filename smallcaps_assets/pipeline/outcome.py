"""What a builder returns, and what became of the partition."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from smallcaps_assets.domain.quality.checks import Finding
from smallcaps_assets.lake import Scope, Written
from smallcaps_assets.sources.errors import NotOffered, SourceError
from smallcaps_assets.sources.http.page_cache import CachedPages


@dataclass(frozen=True)
class BuildResult:
    """A partition's rows before they are stored, and what to tell of them.

    `asked` is what the source was asked for, the run's scope if none; `missing` has the tickers
    that it could not give, of `expected` in a whole partition; `doubted` is what it gave nothing of
    although there should be something, by default all of a frame without rows that should have
    some; `over` is the seal of the stored partition that the rows were made from, empty for none:
    they are made again if another one is there by now; `source` names the flat file and ETag that
    the rows came from; `cached` are the pages that can go when the rows are stored, or can't be;
    `meta` is what the meta.json beside them says.
    """

    frame: pl.DataFrame
    metadata: dict[str, Any] = field(default_factory=dict)
    asked: Scope | None = None
    expected: int = 0
    missing: Mapping[str, SourceError] = field(default_factory=dict)
    doubted: Scope | None = None
    over: str | None = None
    source: str = ""
    cached: CachedPages | None = None
    meta: dict[str, Any] | None = None

    def forget_pages(self) -> None:
        """Drop the pages that the rows came from."""
        if self.cached is not None:
            self.cached.drop()


@dataclass(frozen=True)
class Outcome:
    """What became of one partition of one table: stored, found complete, or failed.

    Stored and failed at once when single tickers are missing from it; `is_unchanged` when an empty
    answer was read again, is as empty as before, and nothing was made.
    """

    table: str
    key: str | None
    seconds: float = 0.0
    written: Written | None = None
    preview: pl.DataFrame | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    error: Exception | None = None
    is_reused: bool = False
    is_unchanged: bool = False
    findings: tuple[Finding, ...] = ()

    @property
    def is_failed(self) -> bool:
        """Whether it went wrong; what a vendor does not offer has not."""
        return self.error is not None and not isinstance(self.error, NotOffered)


class FailedElsewhereError(RuntimeError):
    """What another process says of a partition that failed there; `kind` is its error's type."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


Observer = Callable[[Outcome], None]
Outcomes = Generator[Outcome, None, None]
