"""Pictures small enough for asset metadata: a ticker-session's path, strips and columns of counts.

Plain strings of SVG, because an event is written every few milliseconds and matplotlib would cost
more than the work it illustrates. Returned as Markdown images with a data URI of less than 1,000
characters: Dagster's pages show longer Markdown only on a click (dagster-webserver 1.13.27).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from urllib.parse import quote

import polars as pl

WIDTH, HEIGHT, PAD = 320, 64, 4
MOST_CHARACTERS = 999
COLOURS = {1: "#1f9d74", 0: "#8b98a7", -1: "#d64f5f"}
_PATH = "#5b7fa6"
_NAMES = {1: "take profit", 0: "timeout", -1: "stop loss"}
_COVERED = {
    "got": "#2f7fc1",
    "empty": COLOURS[0],
    "not_entitled": "#e08e2b",
    "failed": COLOURS[-1],
    "missing": "#c9a227",
}
_STRETCHES, _MOST_DOTS, _MOST_COLUMNS = 32, 28, 48
_FONT = "font-family='sans-serif' font-size='11'"
_ROW, _MOST_AREAS = 12, 12
_PLAIN = "/:=',;"  # stand in a URL as they are
Place = tuple[int, int]


def bars_sparkline(bars: pl.DataFrame, labels: pl.DataFrame | None = None) -> str:
    """The closes of a session's bars over time, dotted with the outcome decided at each bar.

    Takes any bars table, and triple_barrier_labels of the same bars.
    """
    closes = bars["close"].to_list()
    if not closes:
        return _markdown("no bars", _svg(16, _text(4, 12, "no bars")))
    times = bars["close_timestamp"].cast(pl.Int64).to_list()
    places = _places(times, closes)
    words = f"{len(closes)} bars, {closes[0]:.4g} to {closes[-1]:.4g} USD per share"
    return _markdown(words, _svg(HEIGHT, _line(places) + _dots(bars, labels, places)))


def equity_sparkline(days: pl.DataFrame) -> str:
    """The equity of an account by session, USD; takes backtest_days of one strategy."""
    equity = days.sort("date")["equity"].to_list()
    if not equity:
        return _markdown("no sessions", _svg(16, _text(4, 12, "no sessions")))
    words = f"{len(equity)} sessions, {equity[0]:,.0f} to {equity[-1]:,.0f} USD"
    return _markdown(words, _svg(HEIGHT, _line(_places(range(len(equity)), equity))))


def label_strip(counts: Mapping[int, int]) -> str:
    """A strip divided in proportion to the counts of labels +1, 0, -1, with their numbers."""
    parts = [(_NAMES[value], counts.get(value, 0), COLOURS[value]) for value in (1, 0, -1)]
    return _strip(parts, "no labels")


def coverage_strip(counts: Mapping[str, int]) -> str:
    """A strip of what became of a session's tickers, all vendor tables together."""
    parts = [(name.replace("_", " "), counts.get(name, 0), c) for name, c in _COVERED.items()]
    return _strip(parts, "nothing expected")


def areas_chart(areas: Sequence[tuple[str, float, float]]) -> str:
    """A row per named area under the ROC curve, with two standard errors to either side and a line
    at 0.5; from 0.3 to 0.7. The first are drawn, in the order given."""
    shown = areas[:_MOST_AREAS]
    if not shown:
        return _markdown("no areas", _svg(16, _text(4, 12, "no areas")))
    height, middle = _ROW * len(shown) + 2 * PAD, WIDTH // 2
    bars = dots = ""
    for number, (_, area, error) in enumerate(shown):
        y = PAD + _ROW * number + _ROW // 2
        left, x, right = (_across(value) for value in (area - 2 * error, area, area + 2 * error))
        bars += f"M{left},{y}H{right}"
        dots += f"M{x},{y}h0"
    body = f"<path d='M{middle},0V{height}' stroke='{COLOURS[0]}' stroke-dasharray='2'/>"
    body += f"<path d='{bars}' stroke='{_PATH}'/>"
    body += f"<path d='{dots}' stroke='{_PATH}' stroke-width='5' stroke-linecap='round'/>"
    words = ", ".join(f"{name} {area:.3f}" for name, area, _ in shown)
    return _markdown(f"AUC: {words}", _svg(height, body))


def _across(area: float) -> int:
    """Pixels from the left of an area under the curve."""
    return round(WIDTH * min(max((area - 0.3) / 0.4, 0.0), 1.0))


def share_bars(shares: Sequence[tuple[str, float]]) -> str:
    """A bar with its name per share, the greatest takes half of the width."""
    if not shares:
        return _markdown("no shares", _svg(16, _text(4, 12, "no shares")))
    most, strokes, names = max(share for _, share in shares) or 1.0, "", ""
    for number, (name, share) in enumerate(shares):
        y, width = _ROW * number + PAD, round(WIDTH / 2 * share / most)
        strokes += f"M0,{y + 5}h{width}"
        names += f"<text x='{width + PAD}' y='{y + 9}'>{name} {100 * share:.0f}</text>"
    body = f"<path d='{strokes}' stroke='{_PATH}' stroke-width='9'/>"
    body += f"<g {_FONT} fill='{COLOURS[0]}'>{names}</g>"
    return _markdown("shares in percent", _svg(_ROW * len(shares) + 2 * PAD, body))


def columns_of(counts: Sequence[int], words: str) -> str:
    """A column per count, from the left in time; many are added up in groups of equal length."""
    size = -(-len(counts) // _MOST_COLUMNS) or 1
    sums = [sum(counts[start : start + size]) for start in range(0, len(counts), size)]
    if not any(sums):
        return _markdown(words, _svg(16, _text(4, 12, "none")))
    step, up = (WIDTH - 2 * PAD) / len(sums), (HEIGHT - 2 * PAD) / max(sums)
    places = [(round(PAD + (n + 0.5) * step), round(up * count)) for n, count in enumerate(sums)]
    strokes = "".join(f"M{x},{HEIGHT - PAD}v-{height}" for x, height in places if height)
    width = max(1, round(0.8 * step))
    path = f"<path d='{strokes}' stroke='{_PATH}' stroke-width='{width}'/>"
    return _markdown(words, _svg(HEIGHT, path))


def _strip(parts: Sequence[tuple[str, int, str]], nothing: str) -> str:
    """Rectangles in proportion to counts, each part with its name, count and colour."""
    total = sum(count for _, count, _ in parts)
    if not total:
        return _markdown(nothing, _svg(16, _text(4, 12, nothing)))
    body, x = "", 0.0
    for _, count, colour in (part for part in parts if part[1]):
        width = WIDTH * count / total
        body += f"<rect x='{x:.1f}' width='{width:.1f}' height='14' fill='{colour}'/>"
        x += width
    words = ", ".join(f"{count:,} {name}" for name, count, _ in parts if count)
    return _markdown(words, _svg(30, body + _text(0, 26, words)))


def _places(times: Sequence[int], closes: Sequence[float]) -> list[Place]:
    """Whole pixels."""
    first, low = times[0], min(closes)
    across = (WIDTH - 2 * PAD) / max(1, times[-1] - first)
    up = (HEIGHT - 2 * PAD) / ((max(closes) - low) or 1)
    return [
        (round(PAD + (t - first) * across), round(HEIGHT - PAD - (p - low) * up))
        for t, p in zip(times, closes, strict=True)
    ]


def _thin(count: int, most: int) -> list[int]:
    """At most `most` row numbers, evenly spread, the last among them."""
    if count <= most:
        return list(range(count))
    return [round(n * (count - 1) / (most - 1)) for n in range(most)]


def _extremes(places: Sequence[Place]) -> list[Place]:
    """First, last, and the highest and lowest point of each stretch of time: no spike is lost."""
    stretches: dict[int, list[int]] = {}
    for number, (x, _) in enumerate(places):
        stretches.setdefault(x * _STRETCHES // WIDTH, []).append(number)
    kept = {0, len(places) - 1}
    for numbers in stretches.values():
        kept |= {min(numbers, key=lambda n: places[n][1]), max(numbers, key=lambda n: places[n][1])}
    return [places[number] for number in sorted(kept)]


def _line(places: Sequence[Place]) -> str:
    kept = _extremes(places)
    (x, y), steps = kept[0], pairwise(kept)
    moves = "".join(f"l{b[0] - a[0]},{b[1] - a[1]}" for a, b in steps)
    return f"<path d='M{x},{y}{moves}' fill='none' stroke='{_PATH}'/>"


def _dots(bars: pl.DataFrame, labels: pl.DataFrame | None, places: Sequence[Place]) -> str:
    """One path per outcome: zero-length strokes with round caps are dots; touches come first."""
    if labels is None or labels.is_empty():
        return ""
    at = dict(zip(bars["bar_id"].to_list(), places, strict=True))
    ids, values = labels["bar_id"].to_list(), labels["label"].to_list()
    paths = ""
    for value in (-1, 1):
        known = [at[i] for i, v in zip(ids, values, strict=True) if v == value and i in at]
        shown = [known[n] for n in _thin(len(known), _MOST_DOTS // 2)]
        if shown:
            paths += f"<path d='{_strokes(shown)}' stroke='{COLOURS[value]}'/>"
    return f"<g stroke-width='4' stroke-linecap='round'>{paths}</g>" if paths else ""


def _strokes(places: Iterable[Place]) -> str:
    return "".join(f"M{x},{y}h0" for x, y in dict.fromkeys(places))


def _text(x: int, y: int, words: str) -> str:
    return f"<text x='{x}' y='{y}' {_FONT} fill='{COLOURS[0]}'>{words}</text>"


def _svg(height: int, body: str) -> str:
    head = "<svg xmlns='http://www.w3.org/2000/svg'"
    return f"{head} width='{WIDTH}' height='{height}'>{body}</svg>"


def _markdown(words: str, svg: str) -> str:
    """The image; only what Markdown or a URL would misread is escaped, to keep it short."""
    return f"![{words}](data:image/svg+xml,{quote(svg, safe=_PLAIN)})"


__all__ = [
    "MOST_CHARACTERS",
    "areas_chart",
    "bars_sparkline",
    "columns_of",
    "coverage_strip",
    "equity_sparkline",
    "label_strip",
    "share_bars",
]
