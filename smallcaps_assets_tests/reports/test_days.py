"""Choice of the example days, and what of a tape a picture keeps."""

from __future__ import annotations

from datetime import UTC, date, datetime

import numpy as np
import polars as pl
import pytest

from smallcaps_assets.reports.days import (
    busiest_window,
    choose_days,
    dollars_per_minute,
    pick_events,
    price_path,
)
from smallcaps_assets.schemas import TABLES
from smallcaps_assets.schemas.table import INSTANT
from smallcaps_assets_tests.reports.report_frames import MINUTE, make_day, make_metrics

DAY, NEXT = date(2024, 11, 6), date(2024, 11, 7)


@pytest.fixture(scope="module")
def day():
    return make_day(trades=8_000)


def watch(*rows: tuple[str, date, str, float]) -> pl.DataFrame:
    known = datetime(2024, 11, 6, 20, tzinfo=UTC)
    return TABLES["watchlist"].validate(
        pl.DataFrame(
            [
                {
                    "date": d, "ticker": t, "rule": rule, "identity": t, "known_at": known,
                    "price": 3.0, "change": change, "relative_volume": 3.0, "dollar_volume": 6e6,
                }
                for t, d, rule, change in rows
            ],
            infer_schema_length=None,
        )
    )  # fmt: skip


def metric(ticker: str, day: date, high: float, close: float, change: float, dollars: float):
    return {
        "ticker": ticker, "date": day, "high": high, "close": close,
        "pct_change": change, "dollar_volume": dollars,
    }  # fmt: skip


def test_choose_days_given_pumps_and_faders_takes_the_largest_of_each():
    watchlist = watch(
        ("UP1", DAY, "info_rich", 0.4),
        ("UP2", DAY, "info_rich", 0.3),
        ("DOWN", DAY, "info_rich", -0.4),
        ("FAD1", DAY, "intraday_trigger", 0.2),
        ("FAD2", NEXT, "intraday_trigger", 0.2),
        ("UP1", DAY, "intraday_trigger", 0.2),
    )
    metrics = make_metrics(
        [
            metric("UP1", DAY, 9.0, 3.0, 0.4, 8e6),
            metric("UP2", DAY, 4.0, 3.9, 0.3, 9e6),
            metric("DOWN", DAY, 4.0, 2.0, -0.4, 99e6),
            metric("FAD1", DAY, 4.0, 3.6, 0.0, 9e6),
            metric("FAD2", NEXT, 4.0, 3.0, 0.0, 6e6),
        ]
    )
    assert choose_days(watchlist, metrics) == (("UP2", DAY), ("FAD2", NEXT))


def test_choose_days_given_ties_takes_earlier_date_then_first_ticker():
    rows = [("B", DAY), ("A", DAY), ("A", NEXT)]
    watchlist = watch(*((t, d, "info_rich", 0.4) for t, d in rows))
    metrics = make_metrics([metric(t, d, 4.0, 3.0, 0.4, 8e6) for t, d in rows])
    assert choose_days(watchlist, metrics) == (("A", DAY), None)
    assert choose_days(watchlist.reverse(), metrics.reverse()) == (("A", DAY), None)


def test_choose_days_given_downward_trigger_finds_no_fader():
    watchlist = watch(("A", DAY, "intraday_trigger", -0.2))
    metrics = make_metrics([metric("A", DAY, 4.0, 3.0, -0.1, 8e6)])
    assert choose_days(watchlist, metrics) == (None, None)


def test_choose_days_given_empty_frames_returns_none():
    empty = TABLES["watchlist"].empty(), TABLES["daily_metrics"].empty()
    assert choose_days(*empty) == (None, None)


def test_price_path_given_long_tape_keeps_extremes_and_order(day):
    path = price_path(day.ticks, day.hours.premarket_open, day.hours.close, buckets=50)
    forming = day.ticks.filter("is_price_forming")
    assert len(path) <= 4 * 51
    assert path["price"].min() == forming["price"].min()
    assert path["price"].max() == forming["price"].max()
    assert path["time"].is_sorted()
    assert path.row(0) == (forming["sip_timestamp"].cast(pl.Int64)[0], forming["price"][0])


def test_price_path_given_window_without_ticks_is_empty(day):
    assert price_path(day.ticks, 0, 10).is_empty()


def test_dollars_per_minute_given_day_sums_to_its_dollars(day):
    values = dollars_per_minute(day.ticks, day.hours)
    assert len(values) == 12 * 60
    assert values.sum() == pytest.approx((day.ticks["price"] * day.ticks["size"]).sum())


def test_halt_intervals_given_halt_without_end_lasts_to_the_close(day):
    start = day.hours.open + MINUTE
    halts = pl.DataFrame({"halt_start": [start], "halt_end": [None]}).cast(INSTANT)
    halted = make_day(trades=500)
    object.__setattr__(halted, "halts", halts)
    assert halted.halt_intervals == [(start, halted.hours.close)]
    object.__setattr__(halted, "halts", None)
    assert halted.halt_intervals == []


def test_pick_events_given_labels_takes_touches_first_and_none_overlap():
    events = pick_events(make_day("FADE", True, 8_000, seed=5).labels, 6)
    ends = np.array([(e["t0"], e["vertical_barrier"]) for e in events])
    assert 0 < len(events) <= 6
    assert (ends[1:, 0] >= ends[:-1, 1]).all()
    assert {1, -1} <= {e["label"] for e in events}


def test_pick_events_given_bounds_stays_inside(day):
    start, end = day.hours.open, day.hours.open + 60 * MINUTE
    events = pick_events(day.labels, 9, start, end)
    assert events and all(start <= e["t0"] and e["vertical_barrier"] <= end for e in events)


def test_busiest_window_given_labels_holds_more_touches_than_any_other(day):
    window = busiest_window(day.labels, 75 * MINUTE)
    assert window is not None
    touched = day.labels.filter(pl.col("label") != 0)["t0"].cast(pl.Int64).to_list()
    counts = [sum(t <= other <= t + 75 * MINUTE for other in touched) for t in touched]
    assert sum(window[0] <= t <= window[1] for t in touched) == max(counts)


def test_busiest_window_given_no_labels_is_none(day):
    assert busiest_window(day.labels.clear(), MINUTE) is None
