"""From a set of keys to runs: exactly those keys, in few runs, each short enough."""

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallcaps_assets.orchestration.launchers import (
    REASON_TAG,
    SHORTEST_RANGE,
    Launch,
    plan,
    planned,
    run_request,
)
from smallcaps_assets.settings import RunSettings

ORDER = [f"k{n:04d}" for n in range(1500)]


def test_plan_one_block_is_a_range_split_at_the_most_keys_a_run():
    launches = plan(ORDER[10:1210], ORDER)
    assert [len(launch.keys) for launch in launches] == [500, 500, 200]
    assert all(launch.is_range for launch in launches)
    assert launches[0].tags == {
        "dagster/asset_partition_range_start": "k0010",
        "dagster/asset_partition_range_end": "k0509",
    }
    assert launches[0].config == {}


def test_plan_scattered_keys_go_together_by_list():
    (launch,) = plan(ORDER[::3], ORDER)
    assert not launch.is_range
    assert launch.tags == {"dagster/partition": "k0000"}
    assert launch.config == {"keys": ORDER[::3]}


def test_plan_long_blocks_go_as_ranges_and_the_rest_by_list():
    long = ORDER[100 : 100 + SHORTEST_RANGE]
    launches = plan([*long, "k0001", "k0003"], ORDER)
    assert launches == [Launch(("k0001", "k0003"), is_range=False), Launch(tuple(long))]


def test_plan_one_key_is_a_partition_and_none_is_nothing():
    assert plan(["k0007"], ORDER)[0].tags == {"dagster/partition": "k0007"}
    assert plan([], ORDER) == []


def test_plan_unknown_key_is_refused():
    with pytest.raises(KeyError):
        plan(["nowhere"], ORDER)


@given(st.sets(st.sampled_from(ORDER[:200])), st.integers(1, 60))
def test_plan_makes_exactly_what_is_asked_in_ranges_that_hold_nothing_else(wanted, most):
    launches = plan(wanted, ORDER, most)
    assert sorted(key for launch in launches for key in launch.keys) == sorted(wanted)
    for launch in launches:
        assert 1 <= len(launch.keys) <= most
        if launch.is_range:
            first, last = ORDER.index(launch.keys[0]), ORDER.index(launch.keys[-1])
            assert list(launch.keys) == ORDER[first : last + 1]


def test_run_request_carries_assets_keys_and_reason():
    scattered = Launch(("a", "b"), is_range=False)
    request = run_request("tick_chain", ["trades"], scattered, "split of GEVO", "key1")
    assert request.asset_selection == [dg.AssetKey("trades")]
    assert request.run_config == {"ops": {"tick_chain": {"config": {"keys": ["a", "b"]}}}}
    assert request.tags[REASON_TAG] == "split of GEVO"
    assert request.run_key == "key1"


@pytest.mark.parametrize(
    ("set_to", "most", "expected"),
    [(None, None, 500), (None, 1000, 1000), (40, None, 40), (700, None, 700), (40, 1000, 40),
     (700, 60, 60)],
)  # fmt: skip
def test_runs_are_as_long_as_the_settings_and_the_caller_allow(set_to, most, expected):
    """All schedules, sensors and commands plan so, and none can forget the setting."""
    launches = planned(RunSettings(keys_per_run=set_to), ORDER, ORDER, most)
    assert max(len(launch.keys) for launch in launches) == min(expected, len(ORDER))
