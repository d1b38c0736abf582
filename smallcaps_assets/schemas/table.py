"""What a table is: its columns, and its place in the lake and in the graph.

A table is declared once, as a dataframely schema inside a `Table`. The contract that a frame must
pass before it is stored, the column metadata shown in the UI, the data dictionary and the catalog
views all derive from that declaration. No table is declared here; see `tables.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from string import Formatter
from typing import Any, TypeVar

import dataframely as dy
import polars as pl

INSTANT = pl.Datetime("ns", "UTC")
NO_FEATURE, FAMILY, NULL_MEANS = "no_feature", "family", "null_means"
CATEGORY = "category"
"""Unit of a feature that is no number."""
_UNIQUE = "primary_key"


class ContractError(ValueError):
    """A frame breaks the contract of the table that it was to be stored as."""


class Partitioning(StrEnum):
    """The cut of ticker x date in which a table is delivered and stored."""

    NONE = "none"
    SESSION = "session"
    HALF_MONTH = "half_month"
    MONTH = "month"
    YEAR = "year"
    TICKER = "ticker"
    TICKER_SESSION = "ticker_session"
    PERIOD = "period"
    STRATEGY = "strategy"

    @property
    def is_dated(self) -> bool:
        """Whether a partition's key says which days it is of."""
        return self not in (
            Partitioning.NONE,
            Partitioning.TICKER,
            Partitioning.PERIOD,
            Partitioning.STRATEGY,
        )


def _marked(options: dict[str, Any], **marks: str) -> dict[str, Any]:
    """Options with metadata: a column that says what null means may be null."""
    told = {name: value for name, value in marks.items() if value}
    may_be = {"nullable": True} if NULL_MEANS in told else {}
    return {**options, **may_be, "metadata": told}


def text(meaning: str, family: str = "", null: str = "", **options: Any) -> dy.String:
    """A string column; a feature's has a family and is a category, see `number`."""
    unit = CATEGORY if family else ""
    marks = _marked(options, unit=unit, family=family, null_means=null)
    return dy.String(description=meaning, **marks)


def number(
    meaning: str, unit: str = "", family: str = "", null: str = "", **options: Any
) -> dy.Float64:
    """A float64 column with its unit; a feature's has a family, and says what `null` means."""
    marks = _marked(options, unit=unit, family=family, null_means=null)
    return dy.Float64(description=meaning, **marks)


def price(meaning: str, **options: Any) -> dy.Float64:
    """A positive price in US dollars per share."""
    return number(meaning, "USD per share", min_exclusive=0, **options)


def shares(meaning: str, **options: Any) -> dy.Float64:
    """A non-negative share count; the tape has fractions of a share."""
    return number(meaning, "shares", min=0, **options)


def integer(
    meaning: str, unit: str = "", family: str = "", null: str = "", **options: Any
) -> dy.Int64:
    """An int64 column with its unit; a feature's as of `number`."""
    marks = _marked(options, unit=unit, family=family, null_means=null)
    return dy.Int64(description=meaning, **marks)


def flag(meaning: str, family: str = "", null: str = "", **options: Any) -> dy.Bool:
    """A boolean column; its name begins with `is_` or `has_`. A feature's as of `number`."""
    return dy.Bool(description=meaning, **_marked(options, family=family, null_means=null))


def day(meaning: str, **options: Any) -> dy.Date:
    """A calendar date; sessions are New York dates."""
    return dy.Date(description=meaning, **options)


def instant(meaning: str, **options: Any) -> dy.Datetime:
    """A moment in UTC with nanosecond resolution."""
    return dy.Datetime(
        time_unit="ns",
        time_zone="UTC",
        description=meaning,
        metadata={"unit": "UTC nanoseconds"},
        **options,
    )


VENDOR, TICKS = "vendor", "ticks"
"""Pools of ops: those that share one key's rate, and those that decode and cut ticks."""

GROUPS = (
    *("reference", "market", "short_data", "events", "fundamentals", "metrics"),
    *("selection", "ticks", "bars", "labels", "dataset", "models", "backtest", "quality"),
)
"""What tables are shown together, in the order of the data flow."""

C = TypeVar("C", bound=dy.Column)


def no_feature(why: str, column: C) -> C:
    """A column that no model may be given: when its value was known, or what it is for."""
    return column.with_metadata({**(column.metadata or {}), NO_FEATURE: why})


@dataclass(frozen=True)
class Window:
    """Which partitions of an upstream table a session's partition is made from.

    Those of `before` sessions before it, and its own unless `has_own` is false; of a table by month
    the one that the session lies in. Where `through` names another upstream table, the partitions
    before the session are told apart by that table's, which are made from them.
    """

    upstream: str
    before: int = 0
    has_own: bool = True
    through: str = ""


@dataclass(frozen=True)
class Op:
    """What makes some tables, in this order; `keys_per_run` partitions go in a run, 0 for all."""

    name: str
    tables: tuple[str, ...]
    keys_per_run: int
    pool: str


@dataclass(frozen=True)
class Table:
    """One table of the lake.

    `upstream` names the tables it is made from, `settings` the sections of the configuration that
    change its rows, `version` the contract version that is written into every file. The main job
    leaves out what `is_optional`. Rows are stored in the order of the primary key. `detail` has
    rules and caveats, with settings in braces that `described` replaces. `source` says who delivers
    a table, which is a raw one then (immutable vendor facts), `known` from when a row may be used
    where no column `known_at` says it. A partition that `has_meta` is described by a meta.json
    beside its file; one that `expects_rows` and comes out empty is read again on another day before
    that is believed. A table by year may begin `years_before` the market's first, for what is
    compared with a year ago. `op` makes it, alone unless it is named; `keys_per_run` and `pool`
    are the op's.

    A partition is made from that of the same key of each upstream table that is cut alike, from
    what `windows` says, and from all partitions of the others.
    """

    name: str
    partitioning: Partitioning
    schema: type[dy.Schema]
    meaning: str
    group: str
    detail: str = ""
    source: str = ""
    known: str = ""
    upstream: tuple[str, ...] = ()
    windows: tuple[Window, ...] = ()
    op: str = ""
    keys_per_run: int = 0
    pool: str = ""
    settings: tuple[str, ...] = ()
    version: int = 1
    is_optional: bool = False
    has_meta: bool = False
    expects_rows: bool = False
    years_before: int = 0
    row_group_rows: int = 65_536
    key: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", tuple(self.schema.primary_key()))
        object.__setattr__(self, "op", self.op or self.name)

    @property
    def layer(self) -> str:
        """`raw` for what a source delivers, else `processed`."""
        return "raw" if self.source else "processed"

    def window(self, upstream: str) -> Window | None:
        """The window of an upstream table; None for one that has none."""
        return next((window for window in self.windows if window.upstream == upstream), None)

    @property
    def columns(self) -> dict[str, pl.DataType]:
        """Column names and polars types, in stored order."""
        return dict(_types(self.schema))

    def described(self, sections: Mapping[str, Any]) -> str:
        """Meaning, rules and caveats in plain text, with the values that the settings give.

        `sections` has the sections of the settings by name; a list of values is named one by one.
        """
        return f"{self.meaning} {_Words().vformat(self.detail, (), sections)}".strip()

    @property
    def no_features(self) -> dict[str, str]:
        """The columns that are marked as no features, and why."""
        declared = self.schema.columns().items()
        marks = {name: (column.metadata or {}).get(NO_FEATURE) for name, column in declared}
        return {name: why for name, why in marks.items() if why}

    def says(self, name: str) -> str:
        """What a column means, what its null does, and why it is no feature where marked so."""
        column, why = self.schema.columns()[name], self.no_features.get(name)
        null = (column.metadata or {}).get(NULL_MEANS)
        meaning = (column.description or "") + (f"; null: {null}" if null else "")
        return f"{meaning}; not a feature: {why}" if why else meaning

    def empty(self) -> pl.DataFrame:
        """A frame of this table without rows."""
        return pl.DataFrame(schema=self.columns)

    def conform(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The columns of the contract, in its order and types, sorted by the primary key.

        Raises ContractError when a column is missing or a value can't be cast.
        """
        return self._ordered(frame)[0]

    def _ordered(self, frame: pl.DataFrame) -> tuple[pl.DataFrame, bool]:
        """`conform`, and whether each key is above the one before, so that none comes twice."""
        columns = self.columns
        missing = [name for name in columns if name not in frame.columns]
        if missing:
            raise ContractError(f"{self.name}: column {missing[0]!r} is missing; add it before")
        try:
            is_typed = dict(frame.schema) == columns and frame.columns == list(columns)
            typed = (
                frame if is_typed else frame.select(pl.col(n).cast(t) for n, t in columns.items())
            )
        except pl.exceptions.PolarsError as error:
            raise ContractError(f"{self.name}: {str(error).splitlines()[0]}") from error
        if _is_ascending(typed, self.key):
            return typed, True
        ordered = typed.sort(self.key, maintain_order=True)
        return ordered, _is_ascending(ordered, self.key)

    def validate(self, frame: pl.DataFrame) -> pl.DataFrame:
        """`conform`, then every rule of the contract.

        Raises ContractError naming each broken rule, the number of rows that break it and the
        first such row.
        """
        typed, is_unique = self._ordered(frame)
        kept = typed.select(_rules(self.schema))
        if typed.is_empty() or (is_unique and False not in kept.row(0)):
            return typed
        good, failure = self.schema.filter(typed)
        if len(good) == len(typed):
            return typed
        broken = ", ".join(f"{rule} ({rows} rows)" for rule, rows in failure.counts().items())
        first = failure.invalid().row(0, named=True)
        raise ContractError(f"{self.name}: contract broken: {broken}; first such row: {first}")


@lru_cache(maxsize=256)
def _types(schema: type[dy.Schema]) -> Mapping[str, pl.DataType]:
    return {name: _dtype(column) for name, column in schema.columns().items()}


@lru_cache(maxsize=256)
def _rules(schema: type[dy.Schema]) -> tuple[pl.Expr, ...]:
    """Whether all rows keep a rule, for each but the uniqueness of the key.

    Evaluated as they are these take a fifth of the time of a filter, which also tells the rows.
    """
    rules = schema._validation_rules(with_cast=False).items()
    return tuple(rule.expr.all().alias(name) for name, rule in rules if name != _UNIQUE)


def _is_ascending(frame: pl.DataFrame, key: Sequence[str]) -> bool:
    """Whether each row's key is above that of the row before; of no key always."""
    if not key or frame.height < 2:
        return True
    is_above = pl.Series([False])
    for name in reversed(key):
        before, value = frame[name][:-1], frame[name][1:]
        is_above = (value > before) | ((value == before) & is_above)
    return is_above.fill_null(False).all()


class _Words(Formatter):
    """Formats a tuple as its items with commas between, and seconds as `minutes`."""

    def format_field(self, value: Any, format_spec: str) -> Any:
        if isinstance(value, tuple):
            return ", ".join(map(str, value)) or "none"
        if format_spec == "minutes":
            return f"{value / 60:g} minutes"
        return super().format_field(value, format_spec)


def _dtype(column: Any) -> pl.DataType:
    if isinstance(column, dy.List):
        return pl.List(_dtype(column.inner))
    return column.dtype
