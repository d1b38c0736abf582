"""What the reports of a lake share: the requested spans, their stored rows, and the page's file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import polars as pl

from smallcaps_assets.cli.setup import UserError
from smallcaps_assets.lake import Lake, RequestError
from smallcaps_assets.lake.scanning import scan_keys
from smallcaps_assets.lake.selection import as_day, stored_keys
from smallcaps_assets.reports.spans import Span
from smallcaps_assets.schemas import TABLES, Partitioning
from smallcaps_assets.settings import Settings

Advance = Callable[[int], None]


def chosen_spans(
    settings: Settings, lake: Lake, table: str, compare: tuple[str, str] | None
) -> list[Span]:
    """The two spans to compare, or the one of all stored sessions of a table.

    Raises RequestError when nothing is stored in a span, UserError for a text that is not a span.
    """
    stored = stored_keys(lake, table)
    if not compare:
        first, last = date.fromisoformat(stored[0]), date.fromisoformat(stored[-1])
        return [Span(f"{first} to {last}", first, last)]
    spans = [span_of(settings, text, date.fromisoformat(stored[-1])) for text in compare]
    for span in spans:
        if not dated_keys(lake, table, span):
            raise RequestError(
                f"{span.text}: no session is stored; the lake holds {stored[0]} to {stored[-1]}"
            )
    return spans


def span_of(settings: Settings, text: str, newest: date) -> Span:
    """A period by its name or its regime, or START:END; an open-ended one goes up to `newest`."""
    periods = settings.dataset.periods
    named = [p for p in periods if p.name == text] or [p for p in periods if p.regime == text]
    if len(named) > 1:
        names = ", ".join(p.name for p in named)
        raise UserError(f"--compare {text!r} is the regime of {names}; name one of them")
    if named:
        return Span(text, named[0].start, named[0].end or max(named[0].start, newest))
    start, colon, end = text.partition(":")
    if not colon:
        known = ", ".join(p.name for p in periods)
        raise UserError(
            f"--compare {text!r} is not a period; choose from {known}, or give START:END"
        )
    first, last = as_day(start, "--compare"), as_day(end, "--compare")
    assert first is not None and last is not None
    if first > last:
        raise UserError(f"--compare {text}: {first} is after {last}; swap them")
    return Span(f"{first} to {last}", first, last)


def dated_keys(lake: Lake, table: str, span: Span) -> list[str]:
    """Keys of the stored partitions of a span; all keys of tables not partitioned by date."""
    return [key for key in lake.keys(table) if is_in_span(table, key, span)]


def is_in_span(table: str, key: str | None, span: Span) -> bool:
    """Whether a partition may have rows of a span."""
    cut = TABLES[table].partitioning
    if not cut.is_dated or not key:
        return True
    day = key.rpartition("_")[2]
    first = span.start.replace(day=1) if cut is Partitioning.HALF_MONTH else span.start
    return first.isoformat()[: len(day)] <= day <= span.end.isoformat()[: len(day)]


def parts(lake: Lake, table: str, keys: list[str], columns: list[str]) -> Iterator[pl.DataFrame]:
    """Some columns of some partitions, in frames of bounded size; at least an empty one."""
    yield TABLES[table].empty().select(columns)
    yield from scan_keys(lake, table, keys, None, columns)


def rows(lake: Lake, table: str, keys: list[str], columns: list[str]) -> pl.DataFrame:
    """Some columns of some partitions."""
    return pl.concat(parts(lake, table, keys, columns))


def check_page(file: str | None) -> None:
    """Refuse a page's name before the work begins."""
    if file is not None and Path(file).suffix != ".html":
        raise UserError(f"{file}: the page is HTML; end its name in .html")
    if file is not None and Path(file).is_dir():
        raise UserError(f"{file} is a folder; name another file with --html")
