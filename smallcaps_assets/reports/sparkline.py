"""Pictures small enough for asset metadata: a ticker-session's path, a strip of label counts.

Plain strings of SVG, because an event is written every few milliseconds and matplotlib would cost
more than the work it illustrates. Returned as Markdown images with a data URI.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence

import polars as pl

WIDTH, HEIGHT, PAD = 320, 64, 4
COLOURS = {1: "#1f9d74", 0: "#8b98a7", -1: "#d64f5f"}
_PATH = "#5b7fa6"
_NAMES = {1: "take profit", 0: "timeout", -1: "stop loss"}
_MOST_POINTS, _MOST_DOTS = 160, 90


def bars_sparkline(bars: pl.DataFrame, labels: pl.DataFrame | None = None) -> str:
    """The closes of a session's bars over time, dotted with the outcome decided at each bar.

    Takes any bars table, and triple_barrier_labels of the same bars.
    """
    closes = bars["close"].to_list()
    if not closes:
        return _markdown("no bars", _svg(WIDTH, 16, _text(4, 12, "no bars")))
    times = bars["close_timestamp"].cast(pl.Int64).to_list()
    places = _places(times, closes)
    body = _line(places) + _dots(bars, labels, places)
    words = f"{len(closes)} bars, {closes[0]:.4g} to {closes[-1]:.4g} USD per share"
    return _markdown(words, _svg(WIDTH, HEIGHT, body))


def label_strip(counts: Mapping[int, int]) -> str:
    """A strip divided in proportion to the counts of labels +1, 0, -1, with their numbers."""
    order = [value for value in (1, 0, -1) if counts.get(value, 0) > 0]
    total = sum(counts[value] for value in order)
    if not total:
        return _markdown("no labels", _svg(WIDTH, 16, _text(4, 12, "no labels")))
    body, x = "", 0.0
    for value in order:
        width = WIDTH * counts[value] / total
        body += f'<rect x="{x:.1f}" width="{width:.1f}" height="14" fill="{COLOURS[value]}"/>'
        x += width
    words = ", ".join(f"{counts[v]:,} {_NAMES[v]}" for v in order)
    return _markdown(words, _svg(WIDTH, 30, body + _text(0, 26, words)))


def _places(times: Sequence[int], closes: Sequence[float]) -> list[tuple[float, float]]:
    first, low = times[0], min(closes)
    across = (WIDTH - 2 * PAD) / max(1, times[-1] - first)
    up = (HEIGHT - 2 * PAD) / ((max(closes) - low) or 1)
    return [
        (round(PAD + (t - first) * across, 1), round(HEIGHT - PAD - (p - low) * up, 1))
        for t, p in zip(times, closes, strict=True)
    ]


def _thin(count: int, most: int) -> list[int]:
    """At most `most` row numbers, evenly spread, the last among them."""
    if count <= most:
        return list(range(count))
    return [round(n * (count - 1) / (most - 1)) for n in range(most)]


def _line(places: Sequence[tuple[float, float]]) -> str:
    points = " ".join(
        f"{x:g},{y:g}" for x, y in (places[n] for n in _thin(len(places), _MOST_POINTS))
    )
    return f'<polyline points="{points}" fill="none" stroke="{_PATH}" stroke-width="1.3"/>'


def _dots(
    bars: pl.DataFrame, labels: pl.DataFrame | None, places: Sequence[tuple[float, float]]
) -> str:
    """One path per outcome: zero-length strokes with round caps are dots."""
    if labels is None or labels.is_empty():
        return ""
    at = dict(zip(bars["bar_id"].to_list(), places, strict=True))
    ids, values = labels["bar_id"].to_list(), labels["label"].to_list()
    shown = [(ids[n], values[n]) for n in _thin(len(ids), _MOST_DOTS)]
    paths = ""
    for value in (0, -1, 1):  # the touches on top
        moves = "".join(f"M{at[i][0]:g} {at[i][1]:g}h0" for i, v in shown if v == value and i in at)
        if moves:
            paths += f'<path d="{moves}" stroke="{COLOURS[value]}"/>'
    return f'<g stroke-width="4" stroke-linecap="round">{paths}</g>'


def _text(x: int, y: int, words: str) -> str:
    style = 'font-family="sans-serif" font-size="11"'
    return f'<text x="{x}" y="{y}" {style} fill="{COLOURS[0]}">{words}</text>'


def _svg(width: int, height: int, body: str) -> str:
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{body}</svg>'


def _markdown(words: str, svg: str) -> str:
    return f"![{words}](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode('ascii')})"


__all__ = ["bars_sparkline", "label_strip"]
