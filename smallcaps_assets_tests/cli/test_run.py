"""What a main job counts: each partition once, as it ended."""

from __future__ import annotations

import io

from rich.console import Console

from smallcaps_assets.cli.run import name_failures, summary_rows
from smallcaps_assets.jobs.run import Report
from smallcaps_assets.lake import Written
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets.sources.errors import SourceUnavailable

KEY = "2024-12-12"


def stored(seconds: float = 1.0, rows: int = 10, *, is_reused: bool = False) -> Outcome:
    written = Written("daily_bars", KEY, rows, 100, "x")
    return Outcome("daily_bars", KEY, seconds, written, is_reused=is_reused)


def failed(text: str, seconds: float = 1.0) -> Outcome:
    return Outcome("daily_bars", KEY, seconds, error=SourceUnavailable(text))


def report_of(*outcomes: Outcome) -> Report:
    report = Report()
    for outcome in outcomes:
        report.observe(outcome)
    return report


def told(report: Report) -> tuple[int, str]:
    console = Console(file=io.StringIO(), width=200)
    return name_failures(console, report), console.file.getvalue()  # type: ignore[attr-defined]


def test_partition_that_failed_and_was_made_at_the_next_try_is_no_failure() -> None:
    report = report_of(failed("late"), failed("later"), stored())
    assert summary_rows(report) == [("daily_bars", 1, 10, 100, 3.0, 0)]
    assert (len(report.done), len(report.failed)) == (1, 0)
    assert told(report) == (0, "")


def test_partition_that_was_made_twice_is_one() -> None:
    report = report_of(stored(rows=9), stored(rows=10), stored(0.5, is_reused=True))
    assert summary_rows(report) == [("daily_bars", 1, 10, 100, 2.5, 0)]


def test_partition_that_failed_at_every_try_is_one_failure() -> None:
    report = report_of(failed("late"), failed("later"))
    assert summary_rows(report) == [("daily_bars", 0, 0, 0, 2.0, 1)]
    status, text = told(report)
    assert status == 1 and "1 partitions failed; the others" in text
    assert "later" in text and "late;" not in text


def test_failures_since_a_moment_are_those_that_still_stand() -> None:
    report = report_of(failed("late"))
    before = report.failed
    assert report.failed_since(before) == []
    report.observe(failed("later"))
    assert report.failed_since(before) == report.failed != []
    report.observe(stored())
    assert report.failed_since(before) == []
