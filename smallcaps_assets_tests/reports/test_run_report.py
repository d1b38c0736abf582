"""The page: its parts, its empty states, hostile names, same bytes, and two screen widths."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from smallcaps_assets.reports.run_report import render
from smallcaps_assets.schemas import TABLES
from smallcaps_assets_tests.reports.page import HOSTILE, Page, look
from smallcaps_assets_tests.reports.report_frames import make_day, make_report


@pytest.fixture(scope="module")
def report():
    return make_report(pump=make_day(trades=8_000), fader=make_day("FADE", True, 8_000, seed=5))


@pytest.fixture(scope="module")
def html(report):
    return render(report)


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def test_render_given_full_run_shows_numbers_tables_and_days(page):
    for words in (
        "Market: simulated. Sessions 2024-10-01 to 2025-01-10.",
        "4.81 M trades",
        "20.0 k labelled events",
        "trades 112 4,812,345 96.0 MB 21.4 s 1",
        "total 434 6,067,268 134 MB 35.2 s 1",
        "A pump day: still high at the close: PUMP, 2024-11-06",
        "A fader: triggered in the session, gave it back: FADE, 2024-11-06",
        "eligible from 09:41:00 New York",
        "halts 1, 5 minutes",
        "the vendor answered 500 five times",
        "counts.rows 13902",
        "labels.take_profit 0.15",
    ):
        assert words in page.text
    assert not page.open


def test_render_given_dataset_states_the_bias_with_its_counts(page, report):
    known = int(report.dataset["is_selection_known"].sum())
    assert f"Of 20,000 rows on 800 ticker-days, {known:,} (" in page.text
    assert f"use the other {20_000 - known:,} to describe" in page.text


def test_render_given_dataset_shows_how_to_read_it(page, report):
    assert f'events = pl.read_parquet("{report.dataset_path}")' in page.text


def test_render_given_any_run_is_self_contained(page, html):
    sources = [a[name] for _, a in page.elements for name in ("src", "srcset", "href") if name in a]
    assert all(source.startswith(("data:", "#")) for source in sources)
    assert not page.of("script") and not page.of("iframe")
    assert "http://" not in html and "https://" not in html
    assert not re.search(r"@import|url\(", html)


def test_render_given_any_run_has_alternative_texts_and_live_anchors(page):
    images, ids = page.of("img"), {a["id"] for _, a in page.elements if "id" in a}
    assert len(images) == 9
    assert all(len(image["alt"]) > 20 for image in images)
    assert {a["href"].removeprefix("#") for a in page.of("a")} <= ids
    assert ("lang", "en") in page.of("html")[0].items()


def test_render_given_same_report_gives_same_bytes(report, html):
    assert render(report) == html


def test_render_given_hostile_names_escapes_them(report):
    pump = replace(report.pump, ticker=HOSTILE, name=HOSTILE, identity=HOSTILE, rules=HOSTILE)
    hostile = replace(
        report,
        title=HOSTILE,
        market=HOSTILE,
        pump=pump,
        fader=None,
        failures=[HOSTILE],
        meta={HOSTILE: HOSTILE},
        settings={HOSTILE: [HOSTILE]},
        summary=[(HOSTILE, 1, 1, 1, 1.0, 0)],
        dataset_path=HOSTILE,
    )
    html = render(hostile)
    assert "<script" not in html
    page = Page(html)
    assert page.text.count("<script>alert(1)</script>") >= 8
    assert any(image["alt"].startswith(HOSTILE) for image in page.of("img"))


def test_render_given_nothing_built_explains_each_gap():
    empty = make_report(
        summary=[], watchlist=None, metrics=None, dataset=None, meta={}, pump=None, fader=None,
        failures=[], settings={},
    )  # fmt: skip
    page = Page(render(empty))
    for words in (
        "No table was built.",
        "No ticker-day met a selection rule",
        "No dataset was built, so there are no labels to show.",
    ):
        assert words in page.text
    assert not page.of("img") and "Failures" not in page.text


def test_render_given_empty_frames_is_as_given_none():
    kept = {"pump": None, "fader": None}
    without = make_report(watchlist=None, metrics=None, dataset=None, **kept)
    empty = make_report(
        watchlist=TABLES["watchlist"].empty(),
        metrics=TABLES["daily_metrics"].empty(),
        dataset=TABLES["ml_dataset"].empty(),
        **kept,
    )
    assert render(empty) == render(without)


def test_render_given_day_without_ticks_or_metrics_says_so(report):
    pump = replace(
        report.pump, ticks=report.pump.ticks.clear(), metrics={}, halts=None, eligible_from=None
    )
    page = Page(render(replace(report, pump=pump, fader=None)))
    assert "No ticks are stored for this day." in page.text
    assert "halts none" in page.text and "previous close –" in page.text


def test_render_given_dataset_without_known_rows_still_renders(report):
    unknown = report.dataset.head(50).with_columns(is_selection_known=False)
    page = Page(render(replace(report, dataset=unknown, pump=None, fader=None)))
    assert "0 (0.0 %) were decided when" in page.text


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1280, "light"), (1280, "dark")])
def test_render_given_browser_width_fits_without_errors(browser, tmp_path, html, width, scheme):
    path = tmp_path / "report.html"
    path.write_text(html, encoding="utf-8")
    seen = look(browser, path, width, scheme)
    assert seen.title == "smallcaps run"
    assert seen.messages == [] and seen.outside == []
    assert seen.overflow <= 0
    assert seen.broken_images == 0
    assert seen.narrow_images == (9 if width == 390 else 0)
