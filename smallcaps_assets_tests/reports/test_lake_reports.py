"""The density and the quality page: figures, comparison, empty lakes, hostile names, two widths."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date

import polars as pl
import pytest

from smallcaps_assets.domain.selection.density import change_tails
from smallcaps_assets.reports.density_measures import density_measures
from smallcaps_assets.reports.density_page import density_page
from smallcaps_assets.reports.density_plots import tails_plot
from smallcaps_assets.reports.quality_measures import quality_measures
from smallcaps_assets.reports.quality_page import quality_page
from smallcaps_assets.reports.sections import Grid, measures_grid, terminal_table
from smallcaps_assets.reports.spans import Measure, Span, plain_measures
from smallcaps_assets_tests.reports.lake_figures import (
    FIRST,
    SECOND,
    make_density,
    make_quality,
    no_density,
    no_quality,
)
from smallcaps_assets_tests.reports.page import HOSTILE, Page, look


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    """One page of each report, and one of each that compares two spans."""
    density = [make_density(FIRST, 1), make_density(SECOND, 2)]
    quality = [make_quality(FIRST, 1), make_quality(SECOND, 2)]
    return {
        "density": density_page(density[:1], "simulated"),
        "density of two": density_page(density, "simulated"),
        "quality": quality_page(quality[:1], "simulated"),
        "quality of two": quality_page(quality, "simulated"),
    }


# Comparison --------------------------------------------------------------------------------------
def test_change_given_shares_is_a_difference_else_a_ratio():
    assert Measure("x", (0.25, 0.2), is_share=True).change == "-5.00 points"
    assert Measure("x", (50, 61)).change == "× 1.22"
    assert Measure("x", (0, 61)).change == Measure("x", (None, 1)).change == "–"
    assert Measure("x", (float("nan"), 1)).change == "–"


def test_measures_given_two_spans_stand_beside_each_other():
    grid = measures_grid([Measure("sessions", (34, 36))], [FIRST, SECOND], "in short")
    assert grid.columns == ["measure", "first", "second", "change"]
    assert grid.rows == [["sessions", "34", "36", "× 1.06"]]
    assert [column.header for column in terminal_table(grid).columns] == grid.columns
    alone = measures_grid([Measure("sessions", (34,))], [FIRST])
    assert (alone.columns, alone.rows) == (["measure", "first"], [["sessions", "34"]])
    plain = plain_measures([Measure("sessions", (34, 36))], [FIRST, SECOND])
    assert plain["measures"] == {"sessions": [34, 36]}


def test_span_text_names_dates_once():
    assert FIRST.text == "first, 2024-10-01 to 2024-11-15"
    dates = "2024-10-01 to 2024-11-15"
    assert Span(dates, FIRST.start, FIRST.end).text == dates


def test_density_measures_count_each_ticker_day_once_and_each_rule_apart():
    figures = make_density(FIRST)
    found = {m.name: m.values[0] for m in density_measures([figures])}
    days = figures.watchlist.select("ticker", "date").n_unique()
    rich = figures.watchlist.filter(pl.col("rule") == "info_rich").height
    assert found["selected ticker-days"] == days
    assert found["info_rich days per session"] == rich / found["sessions"]
    assert found["time on a paid plan"] == pytest.approx(3.6)


def test_quality_measures_tell_defects_from_what_to_look_at():
    found = {m.name: m.values[0] for m in quality_measures([make_quality(FIRST)])}
    assert found["vendor tickers answered for"] == 0.9
    assert (found["missing partitions"], found["failed partitions"]) == (2, 1)
    assert (found["empty partitions"], found["of them unconfirmed"]) == (1, 1)
    assert found["checks that found a defect"] == found["checks with something to look at"] == 1
    assert found["minutes in the daily volume"] == pytest.approx(0.99)
    assert found["volume left out of the sampled tapes"] == pytest.approx(0.05)


def test_tails_are_drawn_from_three_years_on():
    days = [date(year, 6, 3) for year in (2022, 2023, 2024)]
    tails = change_tails(pl.DataFrame({"date": days, "pct_change": [0.1, 0.2, -0.1]}), "1y")
    assert tails_plot([make_density(FIRST, tails=tails)]) is not None
    assert tails_plot([make_density(FIRST, tails=tails.head(2))]) is None


# Pages -------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "images", "words"),
    [
        ("density", 5, ["By month", "Most info-rich days of the year", "Around halts"]),
        ("density of two", 8, ["Side by side", "Selected days", "By year: second"]),
        ("quality", 7, ["2024-10-08 to 2024-10-09 (2)", "2 of 88 failed", "40 of 47"]),
        ("quality of two", 9, ["Side by side", "Left out: second", "RVSP +883.0 %"]),
    ],
)
def test_page_is_whole_and_self_contained(pages, name, images, words):
    html, page = pages[name], Page(pages[name])
    assert not page.open and all(word in page.text for word in words)
    assert len(page.of("img")) == images
    assert all(len(image["alt"]) > 20 for image in page.of("img"))
    sources = [a[key] for _, a in page.elements for key in ("src", "srcset", "href") if key in a]
    assert all(source.startswith(("data:", "#")) for source in sources)
    ids = {a["id"] for _, a in page.elements if "id" in a}
    assert {a["href"].removeprefix("#") for a in page.of("a")} <= ids
    assert not page.of("script") and not re.search(r"https?://|@import|url\(", html)


def test_page_given_same_figures_has_the_same_bytes(pages):
    assert quality_page([make_quality(FIRST, 1)], "simulated") == pages["quality"]


def test_page_given_an_empty_lake_explains_each_gap():
    density, quality = (
        Page(density_page([no_density(FIRST)], "simulated")),
        Page(quality_page([no_quality(FIRST)], "simulated")),
    )
    assert not density.of("img") and "No day was info-rich." in density.text
    assert not quality.of("img") and "No tape is stored." in quality.text


def test_page_given_hostile_names_escapes_them():
    quality = make_quality(FIRST)
    hostile = replace(
        quality,
        span=replace(FIRST, name=HOSTILE),
        failures=quality.failures.with_columns(reason=pl.lit(HOSTILE)),
        checks=quality.checks.with_columns(text=pl.lit(HOSTILE)),
        suspects=quality.suspects.with_columns(ticker=pl.lit(HOSTILE)),
    )
    html = quality_page([hostile], HOSTILE)
    assert "<script" not in html
    assert Page(html).text.count("<script>alert(1)</script>") >= 6


def test_grid_in_the_terminal_shows_markup_as_it_is():
    table = terminal_table(Grid(["[red]x"], [["[bold]y"]]))
    assert list(table.columns[0].cells) == ["\\[bold]y"]


@pytest.mark.parametrize("name", ["density of two", "quality of two"])
@pytest.mark.parametrize("width", [390, 1280])
def test_page_given_browser_width_fits_without_errors(browser, tmp_path, pages, name, width):
    path = tmp_path / "page.html"
    path.write_text(pages[name], encoding="utf-8")
    seen = look(browser, path, width, "light")
    assert (seen.messages, seen.outside, seen.broken_images) == ([], [], 0)
    assert seen.overflow <= 0
    assert bool(seen.narrow_images) == (width == 390)
