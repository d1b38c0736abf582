"""Partitions of ticker x date: the exact keys, and blocks of a definition's own order."""

from datetime import date
from itertools import pairwise

import dagster as dg
from hypothesis import given
from hypothesis import strategies as st

from smallcaps_assets.domain.market.calendar import sessions
from smallcaps_assets.orchestration.partitions import Partitions, contiguous_blocks
from smallcaps_assets.pipeline.partition_keys import month_keys, year_keys
from smallcaps_assets.schemas import TABLES
from smallcaps_assets.settings import Period, Settings

PERIODS = Settings().dataset.periods
CUTS = Partitions(date(2024, 10, 1), date(2025, 1, 10), PERIODS)


def test_sessions_are_the_exchange_s_sessions_over_fourteen_years():
    start, end = date(2012, 1, 3), date(2025, 12, 31)
    keys = Partitions(start, end, PERIODS).sessions.get_partition_keys()
    assert keys == [day.isoformat() for day in sessions(start, end)]


def test_sessions_leave_out_holidays_and_a_day_of_mourning():
    keys = CUTS.sessions.get_partition_keys()
    assert len(keys) == 70
    assert not {"2024-11-28", "2024-12-25", "2025-01-01", "2025-01-09", "2024-10-05"} & set(keys)
    assert {"2024-11-29", "2024-12-24"} <= set(keys)


def test_months_and_years_include_the_current_ones():
    assert CUTS.months.get_partition_keys() == ["2024-10", "2024-11", "2024-12", "2025-01"]
    assert CUTS.years[0].get_partition_keys() == ["2024", "2025"]
    assert CUTS.years[2].get_partition_keys() == ["2022", "2023", "2024", "2025"]


def test_periods_end_with_their_union():
    assert CUTS.period_names.get_partition_keys()[-1] == "union"


def test_datasets_of_a_date_range_are_its_periods_and_their_union():
    periods = (Period(name="a", start=date(2024, 1, 1), end=date(2024, 6, 30)),)
    partitions = Partitions(
        CUTS.start, CUTS.end, (*periods, Period(name="b", start=date(2024, 12, 1)))
    )
    assert partitions.datasets(date(2024, 6, 28), date(2024, 7, 1)) == ["a", "union"]
    assert partitions.datasets(date(2024, 7, 1), date(2031, 1, 2)) == ["b", "union"]
    assert partitions.datasets(date(2024, 7, 1), date(2024, 11, 29)) == []


def test_of_every_table_has_a_definition_of_its_cut():
    for table in TABLES.values():
        definition = CUTS.of(table)
        assert (definition is None) == (table.partitioning == "none")


def test_daily_metrics_window_covers_sixty_one_sessions_across_holidays():
    mapping = dg.TimeWindowPartitionMapping(start_offset=-60)
    subset = CUTS.sessions.empty_subset().with_partition_keys(["2025-01-08"])
    found = mapping.get_upstream_mapped_partitions_result_for_partitions(
        subset, CUTS.sessions, CUTS.sessions
    )
    keys = sorted(found.partitions_subset.get_partition_keys())
    assert len(keys) == 61
    assert keys == [day.isoformat() for day in sessions(date(2024, 10, 1), date(2025, 1, 8))][-61:]


def test_month_and_year_keys_touch_both_ends():
    assert month_keys(date(2024, 11, 30), date(2025, 2, 1)) == [
        "2024-11",
        "2024-12",
        "2025-01",
        "2025-02",
    ]
    assert year_keys(date(2024, 12, 31), date(2025, 1, 1)) == ["2024", "2025"]


def test_contiguous_blocks_follow_the_definition_s_order_not_the_dates():
    order = ["A_2024-01-02", "B_2024-01-03", "C_2024-01-04", "D_2024-01-02"]
    wanted = ["A_2024-01-02", "D_2024-01-02", "C_2024-01-04"]
    assert contiguous_blocks(wanted, order) == [
        ("A_2024-01-02", "A_2024-01-02"),
        ("C_2024-01-04", "D_2024-01-02"),
    ]


@given(st.sets(st.integers(0, 30)))
def test_contiguous_blocks_cover_exactly_what_is_wanted(wanted: set[int]):
    order = [f"k{n}" for n in range(31)]
    blocks = contiguous_blocks([f"k{n}" for n in wanted], order)
    covered = [n for a, b in blocks for n in range(int(a[1:]), int(b[1:]) + 1)]
    assert covered == sorted(wanted)
    gaps = [int(b[0][1:]) - int(a[1][1:]) for a, b in pairwise(blocks)]
    assert all(gap > 1 for gap in gaps)
