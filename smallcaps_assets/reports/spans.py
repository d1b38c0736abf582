"""The spans of sessions that a report is about, and the figures by which two are compared."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol

from smallcaps_assets.reports import human

Show = Callable[[float | None], str]


@dataclass(frozen=True)
class Span:
    """Sessions from `start` to `end`, both inclusive, under a name: a period, a regime, a range."""

    name: str
    start: date
    end: date

    @property
    def text(self) -> str:
        """Name and dates; the dates alone where they are the name."""
        dates = f"{self.start} to {self.end}"
        return dates if self.name in ("", dates) else f"{self.name}, {dates}"


class Figures(Protocol):
    """What a report says of one span."""

    @property
    def span(self) -> Span: ...


def span_names(figures: Sequence[Figures]) -> list[str]:
    """How the spans are named in a plot."""
    return [one.span.name for one in figures]


@dataclass(frozen=True)
class Measure:
    """One figure of each span. A share is compared by its difference, any other by its ratio."""

    name: str
    values: tuple[float | None, ...]
    show: Show = human.count
    is_share: bool = False

    @property
    def change(self) -> str:
        """The second value against the first."""
        first, second = self.values[0], self.values[-1]
        if first is None or second is None or not math.isfinite(first) or not math.isfinite(second):
            return human.MISSING
        if self.is_share:
            return f"{100 * (second - first):+.2f} points"
        return f"× {second / first:,.3g}" if first else human.MISSING


def plain_measures(measures: Sequence[Measure], spans: Sequence[Span]) -> dict[str, object]:
    """Spans and measures as a script reads them: values as they are, one per span."""
    return {
        "spans": [{"name": s.name, "start": s.start, "end": s.end} for s in spans],
        "measures": {m.name: list(m.values) for m in measures},
    }
