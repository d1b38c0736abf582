"""Which tickers of a market-wide partition are in it.

A run may be limited to some tickers, and single tickers may fail while the others arrive; the file
says so in its footer as `all`, `all but A,B` or `A,B`. Which tickers there are is not known here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

_ALL, _BUT = "all", "all but "


@dataclass(frozen=True)
class Scope:
    """All tickers but some, or only some."""

    is_all: bool = True
    tickers: frozenset[str] = frozenset()

    @staticmethod
    def only(tickers: Iterable[str]) -> Scope:
        """Only these tickers; all when none are named."""
        named = frozenset(tickers)
        return Scope(not named, named)

    @staticmethod
    def nothing() -> Scope:
        """No ticker at all."""
        return Scope(is_all=False)

    @staticmethod
    def parse(text: str) -> Scope:
        """The scope that `str` wrote."""
        if text == _ALL:
            return Scope()
        names = text.removeprefix(_BUT)
        return Scope(names != text, frozenset(filter(None, names.split(","))))

    def __str__(self) -> str:
        names = ",".join(sorted(self.tickers))
        if not self.is_all:
            return names
        return _BUT + names if names else _ALL

    def __contains__(self, ticker: str) -> bool:
        return (ticker in self.tickers) != self.is_all

    def selects(self, column: str) -> pl.Expr:
        """Whether a row's ticker is in this scope."""
        is_named = pl.col(column).is_in(sorted(self.tickers))
        return ~is_named if self.is_all else is_named

    def covers(self, other: Scope) -> bool:
        """Whether every ticker of `other` is in this scope."""
        if not other.is_all:
            return all(ticker in self for ticker in other.tickers)
        return self.is_all and self.tickers <= other.tickers

    def without(self, tickers: Iterable[str]) -> Scope:
        """This scope less some tickers."""
        named = frozenset(tickers)
        return Scope(self.is_all, self.tickers | named if self.is_all else self.tickers - named)

    def union(self, other: Scope) -> Scope:
        """The tickers of either scope."""
        if self.is_all and other.is_all:
            return Scope(True, self.tickers & other.tickers)
        if self.is_all:
            return Scope(True, self.tickers - other.tickers)
        return other.union(self) if other.is_all else Scope(False, self.tickers | other.tickers)
