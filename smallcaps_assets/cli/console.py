"""The console of the commands: the terminal's width, or enough for a table in a pipe."""

from rich.console import Console

_PIPE_WIDTH = 120


def wide_console() -> Console:
    """A console on standard output."""
    console = Console()
    return console if console.is_terminal else Console(width=_PIPE_WIDTH)
