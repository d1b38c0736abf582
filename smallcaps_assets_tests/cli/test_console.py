"""The progress line of the commands that take long."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from smallcaps_assets.cli.console import progress_bar
from smallcaps_assets.sources.http.notices import waiting, waits


def test_progress_given_a_long_wait_expected_host_and_reason_instead_of_the_note() -> None:
    console = Console(file=StringIO(), width=160, color_system=None)
    progress = progress_bar(console, waits)
    progress.add_task("sessions", total=3, note="splits 2013")

    def shown() -> str:
        with console.capture() as captured:
            console.print(progress.get_renderable())
        return captured.get()

    assert "splits 2013" in shown()
    with waiting("files.example.org") as tell:
        tell("it refuses the connection", 60)
        assert "s for files.example.org: it refuses the connection" in shown()
    assert "splits 2013" in shown()
