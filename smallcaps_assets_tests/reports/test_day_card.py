"""The card and the page of a day: what they say, and that they need nothing else."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from smallcaps_assets.reports.day_card import day_card, day_facts, day_page, price_facts
from smallcaps_assets.reports.day_plot import day_png
from smallcaps_assets.reports.days import DayView
from smallcaps_assets_tests.reports.report_frames import make_day


@pytest.fixture(scope="module")
def view() -> DayView:
    return make_day(trades=2_000)


def test_card_says_every_fact(view: DayView) -> None:
    shown = io.StringIO()
    Console(width=100, file=shown).print(day_card(replace(view, name="Acme [Inc]")))
    text = shown.getvalue()
    assert view.ticker in text and "Acme [Inc]" in text
    for name, value in (*price_facts(view), *day_facts(view)):
        assert name in text and value in text


def test_facts_of_a_day_without_trades_say_so(view: DayView) -> None:
    assert ("trades", "not stored") in day_facts(replace(view, has_trades=False))


def test_actions_are_named(view: DayView) -> None:
    acted = {**view.metrics, "split_factor": 20.0, "cash_dividend": 0.25}
    facts = dict(price_facts(replace(view, metrics=acted)))
    assert facts["actions"] == "split, prices x 20, dividend $0.2500"
    assert dict(price_facts(replace(view, metrics={})))["open"] == "–"


def test_page_is_self_contained_and_escaped(view: DayView) -> None:
    page = day_page(replace(view, name="<b>Acme</b>"))
    assert "&lt;b&gt;Acme" in page and page.count("<figure>") == 2
    assert not re.findall(r'(?:src|href|srcset)="(?!data:)', page)
    empty = replace(view, ticks=view.ticks.clear(), bars=view.bars.clear())
    assert "<figure>" not in day_page(replace(empty, labels=view.labels.clear()))


def test_picture_is_a_png(view: DayView) -> None:
    assert day_png(view).startswith(b"\x89PNG")
    assert day_png(view) == day_png(view)
