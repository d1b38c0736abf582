"""Terminal tables: exact text at a fixed width."""

from __future__ import annotations

from rich.console import Console

from smallcaps_assets.reports.terminal import status_table, summary_table


def lines(table) -> list[list[str]]:
    console = Console(width=120, color_system=None)
    with console.capture() as capture:
        console.print(table)
    return [line.split("  ") for line in capture.get().splitlines() if line.strip()]


def cells(table) -> list[list[str]]:
    return [[cell.strip() for cell in line if cell.strip()] for line in lines(table)]


def test_summary_table_given_rows_shows_human_sizes_and_totals():
    rows = [
        ("trades", 112, 4_812_345, 96_000_000, 21.4, 1),
        ("watchlist", 70, 240, 12_000, None, 0),
    ]
    found = cells(summary_table(rows))
    assert found[0] == ["table", "partitions", "rows", "size", "time", "failed"]
    assert found[2] == ["trades", "112", "4,812,345", "96.0 MB", "21.4 s", "1"]
    assert found[3] == ["watchlist", "70", "240", "12.0 kB", "–", "0"]
    assert found[-1] == ["total", "182", "4,812,585", "96.0 MB", "21.4 s", "1"]


def test_summary_table_given_nothing_has_no_total():
    assert len(cells(summary_table([]))) <= 2


def test_status_table_given_rows_never_rounds_up_to_complete():
    rows = [
        ("trades", "ticker_session", 9_999, 10_000, 1_000, "AAME_2021-02-05"),
        ("daily_bars", "session", 70, 70, 1_000, "2025-01-10"),
        ("watchlist", "session", 0, 70, 0, ""),
        ("splits", "year", 2, None, 10, "2025"),
    ]
    found = cells(status_table(rows))
    assert found[2] == [
        "trades", "ticker-session", "9,999", "10,000", "99.9 %", "1.00 kB", "AAME_2021-02-05",
    ]  # fmt: skip
    assert found[3][4] == "100 %"
    assert found[4] == ["watchlist", "session", "0", "70", "0.0 %", "0 B", "–"]
    assert found[5][3:5] == ["–", "–"]


def test_status_table_given_markup_in_a_name_prints_it_as_it_is():
    found = cells(status_table([("[red]x[/red]", "session", 1, 1, 1, "[bold]")]))
    assert found[2][0] == "[red]x[/red]" and found[2][-1] == "[bold]"
