"""The console of the commands, and the progress bar of those that take long."""

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

_PIPE_WIDTH = 120


def wide_console() -> Console:
    """A console on standard output: the terminal's width, or enough for a table in a pipe."""
    console = Console()
    return console if console.is_terminal else Console(width=_PIPE_WIDTH)


class RateColumn(TextColumn):
    """What is done per second, lately."""

    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: Task) -> str:  # type: ignore[override]
        speed = task.finished_speed or task.speed
        return "" if speed is None else f"{speed:,.1f}/s"


def progress_bar(console: Console) -> Progress:
    """A bar with count, rate, time gone and time left; a task has a `note`."""
    return Progress(
        TextColumn("{task.description:<22}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        RateColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
    )
