"""Plots: the numbers behind them, their words, their bytes."""

from __future__ import annotations

import base64
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime
from xml.etree import ElementTree

import matplotlib
import polars as pl
import pytest

from smallcaps_assets.reports import plots
from smallcaps_assets.reports.day_plot import halt_minutes
from smallcaps_assets.schemas import TABLES
from smallcaps_assets_tests.reports.report_frames import (
    DAY,
    MINUTE,
    make_dataset,
    make_day,
    make_selected_metrics,
    make_watchlist,
)

PREFIX = "data:image/svg+xml;base64,"


@pytest.fixture(scope="module")
def day():
    return make_day(trades=8_000)


@pytest.fixture(scope="module")
def dataset():
    return make_dataset(3_000)


def svg(uri: str) -> str:
    assert uri.startswith(PREFIX)
    return base64.b64decode(uri.removeprefix(PREFIX)).decode()


def texts(uri: str) -> set[str]:
    root = ElementTree.fromstring(svg(uri))
    return {"".join(e.itertext()).strip() for e in root.iter() if e.tag.endswith("}text")}


@pytest.mark.parametrize(
    ("last", "bucket"),
    [
        (date(2024, 1, 31), "session"),
        (date(2025, 6, 1), "week"),
        (date(2030, 1, 1), "month"),
    ],
)
def test_bucket_of_given_span_keeps_bars_wide(last, bucket):
    assert plots.bucket_of(date(2024, 1, 2), last) == bucket


@pytest.mark.parametrize("every", ["session", "week", "month"])
def test_days_by_bucket_given_overlapping_rules_counts_each_day_once(every):
    watchlist = make_watchlist()
    counts = plots.days_by_bucket(watchlist, every)
    info_rich = watchlist.filter(pl.col("rule") == "info_rich")
    assert counts["days"].sum() == watchlist.select("ticker", "date").n_unique()
    assert counts.filter(pl.col("rule") == "info_rich")["days"].sum() == len(info_rich)


def test_selected_days_plot_given_watchlist_names_rules_and_units():
    plot = plots.selected_days_plot(make_watchlist())
    assert plot is not None
    wanted = {"info_rich", "intraday_trigger, not info_rich", "ticker-days per session"}
    assert wanted <= texts(plot.uri) and wanted <= texts(plot.narrow_uri)
    assert plot.alt == "Selected ticker-days per session by rule, 2024-10-01 to 2025-01-10."


def heights(plot: plots.Plot | None, rule: str) -> list[float]:
    """Pixels of a rule's bars."""
    assert plot is not None
    colour = plots.RULE_COLOURS[rule]
    paths = [e.get("d", "") for e in svg_paths(plot.uri) if colour in (e.get("style") or "")]
    points = [[float(n) for n in re.findall(r"[-\d.]+", path)][1::2] for path in paths]
    return [max(y) - min(y) for y in points]


def svg_paths(uri: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(svg(uri)).iter("{http://www.w3.org/2000/svg}path"))


def test_selected_days_plot_given_many_follow_ups_draws_the_others_as_high_as_without():
    days = [date(2024, 12, 9), date(2024, 12, 10)]
    few = [(f"A{n}", day, "info_rich") for n in range(2) for day in days]
    many = [(f"B{n}", day, "follow_up") for n in range(200) for day in days]
    schema = ["ticker", "date", "rule"]
    watchlist = pl.DataFrame(few + many, schema=schema, orient="row")
    plot = plots.selected_days_plot(watchlist)
    assert max(heights(plot, "info_rich")) > 100
    assert max(heights(plot, "follow_up")) < max(heights(plot, "info_rich"))
    assert plot and plot.alt.endswith("Below: the 400 of follow_up alone.")
    for rule in ("info_rich", "follow_up"):
        alone = plots.selected_days_plot(watchlist.filter(pl.col("rule") == rule))
        assert max(heights(alone, rule)) > 100 and "Below" not in alone.alt


def test_dollar_volume_plot_given_no_metrics_of_the_days_is_none():
    watchlist = make_watchlist()
    assert plots.dollar_volume_plot(watchlist, TABLES["daily_metrics"].empty()) is None
    plot = plots.dollar_volume_plot(watchlist, make_selected_metrics(watchlist))
    assert plot is not None and "M USD per session" in texts(plot.uri)


def test_day_plot_given_day_labels_axes_with_units_and_new_york_time(day):
    plot = plots.day_plot(day)
    wanted = {"price (USD per share)", "New York time", "09:00", "15:00", "eligible from 09:41"}
    assert wanted <= texts(plot.uri)
    assert {"halt", "premarket", "take profit (+1)", "change on previous close (%)"} <= texts(
        plot.uri
    )
    assert plot.alt.startswith(f"PUMP on {DAY}: price of the trades")


def test_day_plot_given_bare_day_still_draws(day):
    bare = replace(day, halts=None, metrics={}, eligible_from=None, labels=day.labels.clear())
    found = texts(plots.day_plot(bare).uri)
    assert "halt" not in found and "change on previous close (%)" not in found
    assert plots.events_plot(bare) is None


def test_day_plot_given_eligible_from_as_nanoseconds_is_the_same(day):
    moment = datetime(2024, 11, 6, 14, 41, tzinfo=UTC)
    as_ns = replace(day, eligible_from=int(moment.timestamp()) * 1_000_000_000)
    assert plots.day_plot(as_ns) == plots.day_plot(replace(day, eligible_from=moment))


def test_events_plot_given_labels_near_the_close_draws_them(day):
    late = day.labels.filter(pl.col("t0").cast(pl.Int64) > day.hours.close - 20 * MINUTE)
    plot = plots.events_plot(replace(day, labels=late))
    assert plot is not None and "New York time" in texts(plot.uri)


def test_events_plot_given_barriers_longer_than_its_window_draws_one(day):
    far = pl.lit(day.hours.close).cast(day.labels.schema["t0"])
    plot = plots.events_plot(replace(day, labels=day.labels.with_columns(vertical_barrier=far)))
    assert plot is not None and plot.alt.partition(": ")[2].startswith("1 labelled events")


def test_label_shares_given_dataset_counts_both_views(dataset):
    shares = plots.label_shares(dataset)
    known = dataset.filter("is_selection_known")
    assert sum(shares["all rows"].values()) == len(dataset)
    assert shares["known rows"][1] == len(known.filter(pl.col("label") == 1))


def test_labels_by_time_given_utc_instants_bins_new_york_minutes(dataset):
    mix = plots.labels_by_time(dataset)
    assert mix["rows"].sum() == len(dataset)
    assert mix["hour"].min() >= 4 and mix["hour"].max() < 16
    one = dataset.head(1).with_columns(t0=pl.lit(datetime(2024, 11, 6, 14, 41, tzinfo=UTC)))
    assert plots.labels_by_time(one)["hour"].to_list() == [9.5]


def test_weights_plot_given_no_known_rows_says_none(dataset):
    unknown = dataset.with_columns(uniqueness_eligible=pl.lit(None, pl.Float64))
    plot = plots.weights_plot(unknown)
    assert plot is not None and "none" in texts(plot.uri)


@pytest.mark.parametrize("draw", [plots.label_plot, plots.label_clock_plot, plots.weights_plot])
def test_dataset_plots_given_rows_draw_and_given_none_return_none(draw, dataset):
    assert draw(dataset) == draw(dataset)
    assert draw(dataset.head(1)) is not None
    assert draw(dataset.clear()) is None


def test_selected_days_plot_given_empty_watchlist_is_none():
    assert plots.selected_days_plot(TABLES["watchlist"].empty()) is None


def test_plots_given_threads_give_the_same_bytes_and_leave_settings_alone(day):
    before = dict(matplotlib.rcParams)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(plots.day_plot, [day, day])
    assert first == second == plots.day_plot(day)
    assert dict(matplotlib.rcParams) == before


def test_plots_given_theme_carry_both_and_no_reference_outside(day):
    image = svg(plots.day_plot(day).uri)
    assert "prefers-color-scheme:dark" in image and "var(--ink)" in image
    assert "<!--" not in image and "metadata" not in image
    links = image.replace("http://www.w3.org/", "")
    assert "http" not in links


def test_halt_minutes_given_overlap_counts_once():
    halts = [(0, 5 * MINUTE), (3 * MINUTE, 8 * MINUTE), (20 * MINUTE, 21 * MINUTE)]
    assert halt_minutes(halts) == 9
    assert halt_minutes([]) == 0
