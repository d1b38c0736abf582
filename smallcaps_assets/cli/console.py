"""The commands' console, and the progress bar of long ones."""

from collections.abc import Callable

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

_PIPE_WIDTH = 120


def wide_console() -> Console:
    """A console on standard output: the terminal's width, or enough for a table in a pipe."""
    console = Console()
    return console if console.is_terminal else Console(width=_PIPE_WIDTH)


class RateColumn(TextColumn):
    """The current rate, per second."""

    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: Task) -> str:  # type: ignore[override]
        speed = task.finished_speed or task.speed
        return "" if speed is None else f"{speed:,.1f}/s"


class NoteColumn(TextColumn):
    """A task's note, or what it is waiting for."""

    def __init__(self, waits: Callable[[], str]) -> None:
        super().__init__("")
        self._waits = waits

    def render(self, task: Task) -> Text:
        waited = "" if task.finished else self._waits()
        return Text(waited, style="yellow") if waited else Text(task.fields["note"])


def progress_bar(console: Console, waits: Callable[[], str] = lambda: "") -> Progress:
    """A bar with count, rate, elapsed and remaining time; a task has a `note`.

    What `waits` returns, if anything, replaces the notes.
    """
    return Progress(
        TextColumn("{task.description:<22}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        RateColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        NoteColumn(waits),
        console=console,
    )
