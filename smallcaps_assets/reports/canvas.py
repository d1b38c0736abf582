"""The look of every plot, and its encoding as an image that needs no file.

Figures are made with matplotlib's object interface, so no global figure exists; the few settings
that matplotlib only reads globally are held under a lock while a figure is drawn. The SVG follows
the reader's light or dark theme: neutral colours are written as variables.
"""

from __future__ import annotations

import base64
import io
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MultipleLocator

# Neutral colours: light theme, dark theme. Each light value must be used for nothing else.
INK, MUTED, GRID, SHADE, PAPER = "#1c2733", "#64717f", "#dfe5eb", "#eef2f6", "#fefefe"
_THEMES = {
    "ink": (INK, "#e6ebf0"),
    "muted": (MUTED, "#9aa7b4"),
    "grid": (GRID, "#2f3a46"),
    "shade": (SHADE, "#222c37"),
    "paper": (PAPER, "#18212b"),
}
BLUE, AMBER, GREEN, RED, GREY = "#2f7fc1", "#e08e2b", "#1f9d74", "#d64f5f", "#8b98a7"
SPAN_COLOURS = (BLUE, AMBER)
RULE_COLOURS = {
    "info_rich": BLUE,
    "intraday_trigger": AMBER,
    "premarket_gap": "#7aa64b",
    "follow_up": "#9b86c9",
}


@dataclass(frozen=True)
class Outcome:
    """How a label is named and drawn; shape tells it apart without colour."""

    name: str
    colour: str
    marker: str


OUTCOMES = {
    1: Outcome("take profit (+1)", GREEN, "^"),
    0: Outcome("timeout (0)", GREY, "o"),
    -1: Outcome("stop loss (-1)", RED, "v"),
}

_LOCK = threading.Lock()
_SETTINGS: dict[Any, Any] = {
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans", "Verdana"],  # the second has the first's widths
    "font.size": 9.5,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "text.color": INK,
    "text.parse_math": False,  # a dollar sign is a dollar sign
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "xtick.major.pad": 5.5,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "legend.handlelength": 1.2,
    "legend.columnspacing": 1.2,
    "svg.fonttype": "none",
    "svg.hashsalt": "smallcaps",
    "path.simplify_threshold": 0.4,
}
_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}


@dataclass(frozen=True)
class Size:
    """Width and height of a figure in inches."""

    width: float
    height: float


@dataclass(frozen=True)
class Plot:
    """An image for wide screens, one for phones (the same if it needs no other), and its words.

    `link` is where a click on it leads, `caption` stands below it.
    """

    uri: str
    narrow_uri: str
    alt: str
    link: str = ""
    caption: str = ""


Draw = Callable[[Figure, bool], None]


def draw_plot(draw: Draw, alt: str, wide: Size, narrow: Size | None = None) -> Plot:
    """Draw a figure in one or two sizes; `draw` gets whether the figure is the narrow one."""
    uri = _draw(draw, wide, is_narrow=False)
    return Plot(uri, uri if narrow is None else _draw(draw, narrow, is_narrow=True), alt)


def draw_png(draw: Draw, size: Size, dots_per_inch: int = 150) -> bytes:
    """A figure as a PNG file, in the light theme."""
    buffer = io.BytesIO()
    with _LOCK, matplotlib.rc_context(_SETTINGS):
        figure = Figure(figsize=(size.width, size.height))
        draw(figure, False)
        figure.savefig(buffer, format="png", dpi=dots_per_inch, facecolor=PAPER)
    return buffer.getvalue()


def panel(figure: Figure, left: float, bottom: float, right: float, top: float) -> Axes:
    """Axes at margins given in inches from the figure's edges.

    Fixed margins are both faster and steadier than a layout engine.
    """
    width, height = figure.get_size_inches()
    axes = figure.add_axes(
        (left / width, bottom / height, 1 - (left + right) / width, 1 - (bottom + top) / height)
    )
    axes.set_axisbelow(True)
    axes.grid(axis="y")
    axes.tick_params(length=0)
    return axes


def legend_above(axes: Axes, **options: Any) -> None:
    """A legend between the title, which needs a pad of 22 for a line of it, and the axes."""
    place = {"loc": "lower left", "ncols": 4, "bbox_to_anchor": (-0.01, 1), "borderaxespad": 0.2}
    axes.legend(**{**place, **options})


def name_spans(axes: Axes, title: str, names: Sequence[str]) -> None:
    """A title; for two spans also which colour is which, one line each as dates are long."""
    axes.set_title(title, pad=6 if len(names) == 1 else 36)
    if len(names) > 1:
        pairs = zip(SPAN_COLOURS, names, strict=True)
        handles = [Patch(facecolor=colour, label=name) for colour, name in pairs]
        legend_above(axes, handles=handles, ncols=1, labelspacing=0.25)


def span_top(names: Sequence[str]) -> float:
    """The margin above axes that are named by `name_spans`, in inches."""
    return 0.4 if len(names) == 1 else 0.88


def clock_axis(axes: Axes, every_hours: float) -> None:
    """Label an x axis in hours after New York midnight as clock times."""
    axes.xaxis.set_major_locator(MultipleLocator(every_hours))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: clock_text(x)))


def clock_text(hours: float) -> str:
    """Hours after midnight as HH:MM."""
    minutes = round(hours * 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def data_uri(media_type: str, content: bytes) -> str:
    """A base64 data URI."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"


def _draw(draw: Draw, size: Size, is_narrow: bool) -> str:
    buffer = io.StringIO()
    with _LOCK, matplotlib.rc_context(_SETTINGS):
        figure = Figure(figsize=(size.width, size.height))
        draw(figure, is_narrow)
        figure.savefig(buffer, format="svg", metadata=_METADATA)
    return data_uri("image/svg+xml", _themed(buffer.getvalue()).encode())


def _themed(svg: str) -> str:
    """The SVG element alone, neutral colours as variables with a value per theme."""
    body = re.sub(r"<!--.*?-->\s*|<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    body = body[body.index("<svg") :]
    for name, (light, _) in _THEMES.items():
        body = body.replace(light, f"var(--{name})")
    light = ";".join(f"--{name}:{values[0]}" for name, values in _THEMES.items())
    dark = ";".join(f"--{name}:{values[1]}" for name, values in _THEMES.items())
    style = f"<style>:root{{{light}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}</style>"
    head = body.index(">") + 1
    return body[:head] + style + body[head:]
