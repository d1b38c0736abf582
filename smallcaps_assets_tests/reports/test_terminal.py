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


def test_status_table_given_rows_shows_what_is_missing_and_failed():
    rows = [
        ("trades", "ticker_session", 10_000, 9_998, 2, 1, 3, 1_000, "2021-02-05", 3, 2),
        ("splits", "year", 2, 2, 0, 0, 0, 10, "", 0, 0),
    ]
    found = cells(status_table(rows))
    assert found[2] == ["trades", "10,000", "9,998", "2", "1", "3", "2", "1.00 kB", "2021-02-05"]
    assert found[3] == ["splits", "2", "2", "0", "0", "0", "0", "10 B", "–"]


def test_status_table_names_tables_that_nothing_is_expected_of_below():
    rows = [
        ("splits", "year", 2, 2, 0, 0, 0, 10, "", 0, 0),
        ("news", "session", 0, 0, 0, 0, 0, 0, "", 0, 0),
        ("income_statements", "year", 0, 0, 0, 0, 0, 0, "", 0, 0),
    ]
    found = cells(status_table(rows))
    assert [row[0] for row in found[2:]] == ["splits", "not requested: news, income_statements"]


def test_status_table_given_markup_in_a_name_prints_it_as_it_is():
    found = cells(status_table([("[red]x[/red]", "session", 1, 1, 0, 0, 0, 1, "[bold]", 0, 0)]))
    assert found[2][0] == "[red]x[/red]" and found[2][-1] == "[bold]"
