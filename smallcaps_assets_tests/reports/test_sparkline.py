"""Sparklines: size, words, dots, and that they cost next to nothing."""

from __future__ import annotations

import time
from urllib.parse import unquote
from xml.etree import ElementTree

import polars as pl
import pytest

from smallcaps_assets.reports.sparkline import (
    MOST_CHARACTERS,
    areas_chart,
    bars_sparkline,
    columns_of,
    coverage_strip,
    label_strip,
    share_bars,
)
from smallcaps_assets_tests.reports.report_frames import make_bars, make_day


@pytest.fixture(scope="module")
def day():
    return make_day(trades=8_000)


def svg(markdown: str) -> ElementTree.Element:
    content = markdown.partition("data:image/svg+xml,")[2].removesuffix(")")
    return ElementTree.fromstring(unquote(content))


def tags(root: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return [element for element in root.iter() if element.tag.endswith("}" + name)]


def lines(root: ElementTree.Element) -> list[ElementTree.Element]:
    return [path for path in tags(root, "path") if path.get("fill") == "none"]


def dots(root: ElementTree.Element) -> list[ElementTree.Element]:
    return [path for path in tags(root, "path") if path.get("fill") != "none"]


def test_bars_sparkline_given_bars_draws_path_and_dots_of_touches(day):
    image = bars_sparkline(day.bars, day.labels)
    root = svg(image)
    touches = day.labels.filter(pl.col("label") != 0)["label"].n_unique()
    assert image.startswith("![150 bars, ") and " USD per share](data:image/svg+xml," in image
    assert len(lines(root)) == 1
    assert len(dots(root)) == touches


def test_bars_sparkline_given_a_spike_of_one_bar_draws_it(day):
    spiked = day.bars.with_columns(
        close=pl.when(pl.col("bar_id") == day.bars["bar_id"][70]).then(1_000.0).otherwise("close")
    )
    (line,) = lines(svg(bars_sparkline(spiked)))
    steps = line.attrib["d"].split("l")[1:]
    assert min(int(step.split(",")[1]) for step in steps) < -50


def test_bars_sparkline_given_many_wild_bars_is_shown_inline_and_fast(day):
    bars = make_bars("PUMP", day.ticks, day.hours, count=3_000)
    bars = bars.with_columns(
        close=pl.when(pl.col("bar_id") % 2 == 0).then(0.0001).otherwise(99_999.5)
    )
    labels = bars.select("bar_id", label=(pl.col("bar_id") % 3 - 1).cast(pl.Int8))
    bars_sparkline(bars, labels)
    start = time.process_time()
    image = bars_sparkline(bars, labels)
    assert time.process_time() - start < 0.05  # 4 ms on an idle core
    assert len(image) <= MOST_CHARACTERS


def test_bars_sparkline_given_same_bars_gives_same_bytes(day):
    assert bars_sparkline(day.bars, day.labels) == bars_sparkline(day.bars, day.labels)


def test_bars_sparkline_given_one_flat_bar_or_none_still_draws(day):
    assert lines(svg(bars_sparkline(day.bars.head(1))))
    assert bars_sparkline(day.bars.clear()).startswith("![no bars](")


def test_bars_sparkline_given_labels_of_unknown_bars_leaves_them_out(day):
    assert not dots(svg(bars_sparkline(day.bars.head(3), day.labels.tail(3))))


def test_label_strip_given_counts_divides_in_proportion():
    image = label_strip({1: 1, 0: 2, -1: 1})
    widths = [float(rect.attrib["width"]) for rect in tags(svg(image), "rect")]
    assert widths == [80, 160, 80]
    assert image.startswith("![1 take profit, 2 timeout, 1 stop loss](")


def test_label_strip_given_missing_or_no_counts():
    assert label_strip({0: 5}).startswith("![5 timeout](")
    assert label_strip({}).startswith("![no labels](")


def test_columns_given_counts_of_a_life_fit_inline_and_add_up_groups():
    image = columns_of([n % 7 for n in range(5541)], "Qualified ticker-sessions")
    (path,) = tags(svg(image), "path")
    assert image.startswith("![Qualified") and len(image) <= MOST_CHARACTERS
    assert path.attrib["d"].count("M") == 48
    few = tags(svg(columns_of([0, 2, 4], "x")), "path")[0].attrib["d"]
    assert few == "M160,60v-28M264,60v-56"
    assert "none" in columns_of([], "x") and "none" in columns_of([0, 0], "x")


def test_coverage_strip_shows_what_became_of_the_tickers():
    counts = {"got": 80, "empty": 15, "not_entitled": 0, "failed": 2, "missing": 3}
    image = coverage_strip(counts)
    assert image.startswith("![80 got, 15 empty, 2 failed, 3 missing]")
    widths = [float(rect.attrib["width"]) for rect in tags(svg(image), "rect")]
    assert widths == [256.0, 48.0, 6.4, 9.6] and len(image) <= MOST_CHARACTERS
    assert "nothing expected" in coverage_strip({})


def test_areas_chart_given_areas_draws_each_with_its_error_and_stays_small():
    image = areas_chart([("sign_15m lightgbm", 0.5, 0.05), ("sign_5m xgboost", 0.9, 0.01)])
    middle, bars, dots = tags(svg(image), "path")
    assert middle.attrib["d"] == "M160,0V32"
    assert bars.attrib["d"] == "M80,10H240M320,22H320"  # beyond 0.7: at the edge
    assert dots.attrib["d"] == "M160,10h0M320,22h0"
    assert image.startswith("![AUC: sign_15m lightgbm 0.500, sign_5m xgboost 0.900](data:")
    many = [(f"sign_15m convolution{n}", 0.51234, 0.0123) for n in range(30)]
    assert len(areas_chart(many)) <= MOST_CHARACTERS
    assert tags(svg(areas_chart([])), "path") == []


def test_share_bars_given_shares_draws_the_greatest_over_half_of_the_width():
    root = svg(share_bars([("gap", 0.4), ("spread_last", 0.1)]))
    assert [path.attrib["d"] for path in tags(root, "path")] == ["M0,9h160M0,21h40"]
    assert [text.text for text in tags(root, "text")] == ["gap 40", "spread_last 10"]
    five = [("quote_imbalance_time_weighted", 0.2)] * 5
    assert len(share_bars(five)) <= MOST_CHARACTERS
