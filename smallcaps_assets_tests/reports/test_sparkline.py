"""Sparklines: size, words, dots, and that they cost next to nothing."""

from __future__ import annotations

import base64
import time
from xml.etree import ElementTree

import polars as pl
import pytest

from smallcaps_assets.reports.sparkline import bars_sparkline, label_strip
from smallcaps_assets_tests.reports.report_frames import make_bars, make_day


@pytest.fixture(scope="module")
def day():
    return make_day(trades=8_000)


def svg(markdown: str) -> ElementTree.Element:
    content = markdown.partition("base64,")[2].removesuffix(")")
    return ElementTree.fromstring(base64.b64decode(content))


def tags(root: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return [element for element in root.iter() if element.tag.endswith("}" + name)]


def test_bars_sparkline_given_bars_draws_path_and_dots(day):
    image = bars_sparkline(day.bars, day.labels)
    root = svg(image)
    outcomes = day.labels["label"].n_unique()
    assert (
        image.startswith("![150 bars, ") and " USD per share](data:image/svg+xml;base64," in image
    )
    assert len(tags(root, "polyline")[0].attrib["points"].split()) == 150
    assert len(tags(root, "path")) == outcomes


def test_bars_sparkline_given_many_bars_stays_small_and_fast(day):
    bars = make_bars("PUMP", day.ticks, day.hours, count=3_000)
    labels = bars.select("bar_id", label=(pl.col("bar_id") % 3 - 1).cast(pl.Int8))
    bars_sparkline(bars, labels)
    start = time.process_time()
    image = bars_sparkline(bars, labels)
    assert time.process_time() - start < 0.05  # 2 ms on an idle core
    assert len(image) < 6_000


def test_bars_sparkline_given_same_bars_gives_same_bytes(day):
    assert bars_sparkline(day.bars, day.labels) == bars_sparkline(day.bars, day.labels)


def test_bars_sparkline_given_one_flat_bar_or_none_still_draws(day):
    assert tags(svg(bars_sparkline(day.bars.head(1))), "polyline")
    assert bars_sparkline(day.bars.clear()).startswith("![no bars](")


def test_bars_sparkline_given_labels_of_unknown_bars_leaves_them_out(day):
    assert not tags(svg(bars_sparkline(day.bars.head(3), day.labels.tail(3))), "path")


def test_label_strip_given_counts_divides_in_proportion():
    image = label_strip({1: 1, 0: 2, -1: 1})
    widths = [float(rect.attrib["width"]) for rect in tags(svg(image), "rect")]
    assert widths == [80, 160, 80]
    assert image.startswith("![1 take profit, 2 timeout, 1 stop loss](")


def test_label_strip_given_missing_or_no_counts():
    assert label_strip({0: 5}).startswith("![5 timeout](")
    assert label_strip({}).startswith("![no labels](")
