"""The data dictionary: every table and column in Markdown, from the declarations alone.

python -m smallcaps_assets.schemas.dictionary > docs/data_dictionary.md
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator

import polars as pl

from smallcaps_assets.schemas.features import CATALOGUE, FAMILIES
from smallcaps_assets.schemas.table import Partitioning, Table
from smallcaps_assets.schemas.tables import TABLES

_INTRODUCTION = """\
# Data dictionary

Every table of the lake, in the order of the data flow. This page is made from the declarations in
`smallcaps_assets/schemas`, by `python -m smallcaps_assets.schemas.dictionary`.

Prices are US dollars per share and unadjusted unless a table says otherwise, volumes are shares,
instants are UTC nanoseconds, a `date` is a New York session. Rows lie in the order of their key.
*Known* is the moment from which a row may be used. Thresholds are named by their settings. The
[formulas](formulas.md), the [sources](sources.md) and the [place of each file](../data/README.md)
have pages of their own.
"""
_SETTING = re.compile(r"\{([\w.]+)[^}]*\}")
_FOLDERS = {
    Partitioning.NONE: "",
    Partitioning.SESSION: "date=YYYY-MM-DD/",
    Partitioning.HALF_MONTH: "half_month=YYYY-MM-01 or -16/",
    Partitioning.MONTH: "month=YYYY-MM/",
    Partitioning.YEAR: "year=YYYY/",
    Partitioning.TICKER: "ticker=TICKER/",
    Partitioning.TICKER_SESSION: "ticker=TICKER/date=YYYY-MM-DD/",
    Partitioning.PERIOD: "period=NAME/",
    Partitioning.STRATEGY: "strategy=NAME/",
}


def data_dictionary() -> str:
    """The whole page."""
    sections = map(_section, TABLES.values())
    return "\n".join([_INTRODUCTION, *_contents(), "", *sections, *_catalogue()])


def _contents() -> Iterator[str]:
    yield "| table | layer | partition | what it holds |"
    yield "|---|---|---|---|"
    for table in TABLES.values():
        cut = table.partitioning.replace("_", "-")
        yield f"| [{table.name}](#{table.name}) | {table.layer} | {cut} | {table.meaning} |"


def _catalogue() -> Iterator[str]:
    """Every feature by family."""
    yield "## Features\n"
    given = "What `features` of `smallcaps_assets.lake` gives"
    yield f"{given}; no other column of the dataset may be given to a model.\n"
    yield "| family | feature | formula | unit | known | null |"
    yield "|---|---|---|---|---|---|"
    for family in FAMILIES:
        for feature in (f for f in CATALOGUE.values() if f.family == family):
            formula = feature.formula.replace("|", "\\|")
            told = (formula, feature.unit, feature.known, feature.null or "never")
            yield f"| {family} | `{feature.name}` | {' | '.join(told)} |"


def _section(table: Table) -> str:
    lines = [
        f"## {table.name}",
        "",
        f"{table.meaning} {_by_setting(table.detail)}".strip(),
        "",
        *(f"* {name}: {value}" for name, value in _facts(table)),
        "",
        "| column | type | unit | null | meaning |",
        "|---|---|---|---|---|",
        *_rows(table),
    ]
    return "\n".join(lines) + "\n"


def _by_setting(detail: str) -> str:
    """Rules with the names of the settings that give their values."""
    return _SETTING.sub(r"`\1`", detail)


def _facts(table: Table) -> Iterator[tuple[str, str]]:
    place = f"{table.layer}/{table.name}/{_FOLDERS[table.partitioning]}{table.name}.parquet"
    yield "place", f"`{place}`"
    yield "key and order of the rows", f"`{', '.join(table.key)}`"
    if table.source:
        yield "source", table.source
    if table.upstream:
        yield "made from", ", ".join(f"[{name}](#{name})" for name in table.upstream)
    yield "known", table.known or "`known_at`"
    if table.settings:
        yield "settings that change its rows", ", ".join(f"`{name}`" for name in table.settings)
    if table.is_optional:
        yield "optional", "`smallcaps run` leaves it out"
    yield "version of the contract", str(table.version)


def _rows(table: Table) -> Iterator[str]:
    declared = table.schema.columns()
    for name, dtype in table.columns.items():
        column = declared[name]
        unit = (column.metadata or {}).get("unit", "")
        null = "yes" if column.nullable else ""
        meaning = table.says(name).replace("|", "\\|")
        yield f"| `{name}` | {_type(dtype)} | {unit} | {null} | {meaning} |"


def _type(dtype: pl.DataType) -> str:
    if isinstance(dtype, pl.List):
        return f"list of {_type(dtype.inner)}"  # pyright: ignore[reportArgumentType]
    return "instant" if isinstance(dtype, pl.Datetime) else str(dtype).lower()


if __name__ == "__main__":
    sys.stdout.write(data_dictionary())
