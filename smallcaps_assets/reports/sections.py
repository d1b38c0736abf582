"""A page of sections with tables and plots, and tables of one or two spans side by side.

What every report of a lake is built from, and its HTML; which figures are shown is decided by the
reports themselves. The same measures go into the terminal.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich import box
from rich.markup import escape
from rich.table import Table as RichTable

from smallcaps_assets.reports.canvas import Plot
from smallcaps_assets.reports.pages import template
from smallcaps_assets.reports.spans import Figures, Measure, Span


@dataclass(frozen=True)
class Grid:
    """A table of texts. Columns in `words` hold text that may break, those in `names` such that may
    not; the others hold numbers."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    note: str = ""
    words: Sequence[str] = ()
    names: Sequence[str] = ()
    is_folded: bool = False


@dataclass(frozen=True)
class Section:
    """A heading, what to read from it, and its plots and tables; `empty` is said if it has none.

    `plots` take the whole width, `small` stand in pairs, and so do the grids of one row.
    """

    id: str
    heading: str
    words: str = ""
    plots: Sequence[Plot | None] = ()
    small: Sequence[Plot | None] = ()
    grids: Sequence[Sequence[Grid]] = ()
    empty: str = "Nothing is stored."

    @property
    def has_content(self) -> bool:
        """Whether there is a plot, or a table with rows."""
        return any((*self.plots, *self.small, *(grid.rows for row in self.grids for grid in row)))


@dataclass(frozen=True)
class Page:
    """A page; cards are (number, what it counts)."""

    title: str
    words: str
    cards: Sequence[tuple[str, str]]
    sections: Sequence[Section]
    is_comparison: bool = False


def titled(text: str, one: Figures, figures: Sequence[Figures]) -> str:
    """A title that names the span where there are two."""
    return f"{text}: {one.span.name}" if len(figures) > 1 else text


def both(texts: Iterable[str]) -> str:
    """The figure of a card, for two spans of both."""
    return " / ".join(texts)


def render_page(
    title: str,
    market: str,
    figures: Sequence[Figures],
    cards: Sequence[tuple[str, str]],
    sections: Sequence[Section],
) -> str:
    """The HTML of a report on one or two spans of a market, which asks nothing of the network. The
    same figures give the same bytes."""
    words = f"Market: {market}. " + "; ".join(one.span.text for one in figures) + "."
    page = Page(title, words, cards, sections, len(figures) > 1)
    return template("page.html").render(page=page)


def measures_grid(measures: Sequence[Measure], spans: Sequence[Span], title: str = "") -> Grid:
    """A row per measure, a column per span, and for two spans how the second compares."""
    versus = ["change"] if len(spans) > 1 else []
    rows = [
        [m.name, *(m.show(value) for value in m.values), *([m.change] if versus else [])]
        for m in measures
    ]
    columns = ["measure", *(span.name for span in spans), *versus]
    return Grid(columns, rows, title, words=["measure"])


def terminal_table(grid: Grid) -> RichTable:
    """The grid for the terminal."""
    table = RichTable(title=escape(grid.title) or None, box=box.SIMPLE_HEAD, title_justify="left")
    for number, name in enumerate(grid.columns):
        is_left = number == 0 or name in (*grid.words, *grid.names)
        table.add_column(escape(name), justify="left" if is_left else "right")
    for row in grid.rows:
        table.add_row(*map(escape, row))
    return table
