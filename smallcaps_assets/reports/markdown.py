"""Frames as Markdown tables, for the metadata of assets."""

from __future__ import annotations

import re

import polars as pl

_MOST_CHARACTERS = 60
_MARKUP = re.compile(r"[\\`*_\[\]<>|~&]")


class Markdown(str):
    """Text that is to be shown as Markdown; any other text is shown as it is."""


def preview(frame: pl.DataFrame | None, rows: int = 3, columns: int = 8) -> Markdown:
    """The first rows as a Markdown table."""
    if frame is None or frame.is_empty():
        return Markdown("*no rows*")
    shown = frame[:rows, :columns]
    lines = ["| " + " | ".join(shown.columns) + " |", "|" + " --- |" * shown.width]
    lines += ["| " + " | ".join(_cell(value) for value in row) + " |" for row in shown.iter_rows()]
    more = frame.width - columns
    return Markdown("\n".join(lines) + (f"\n\nand {more} more columns" if more > 0 else ""))


def _cell(value: object) -> str:
    """A value as text, escaped: vendors' texts may contain Markdown and HTML."""
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return _MARKUP.sub(r"\\\g<0>", " ".join(text.split())[:_MOST_CHARACTERS])
