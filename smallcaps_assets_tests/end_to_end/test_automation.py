"""The daily schedule and the sensors on a small lake: what is requested, once, and why."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import polars as pl
import pytest
from dagster._core.test_utils import create_run_for_test

from smallcaps_assets.definitions import build_definitions
from smallcaps_assets.defs.corrections import FROM_MINUTES
from smallcaps_assets.defs.jobs import DERIVED
from smallcaps_assets.defs.schedules import MARKET_TABLES, SELECTION_TABLES
from smallcaps_assets.lake import Lake
from smallcaps_assets.orchestration.heartbeats import process_tag
from smallcaps_assets.orchestration.launchers import REASON_TAG
from smallcaps_assets.orchestration.location import location_settings
from smallcaps_assets.schemas import MADE_OF_TICKS, OPS, TABLES, TICK_CHAIN
from smallcaps_assets_tests.end_to_end.conftest import instance_of
from smallcaps_assets_tests.pipeline.model_lake import MONTH, model_lake

DERIVED_KEYS = [dg.AssetKey(table) for table in DERIVED]
NEW_YORK = ZoneInfo("America/New_York")


@dataclass
class Daemon:
    """Evaluates schedule and sensors as the daemon does: keeps cursors, starts a run key once."""

    root: Path
    instance: dg.DagsterInstance
    given: tuple[str, ...] = ()
    cursors: dict[str, str | None] = field(default_factory=dict)
    keys: set[str] = field(default_factory=set)
    told: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        settings = location_settings({}, [f"lake.root={self.root}", *self.given])
        self.definitions = build_definitions(settings)
        self.lake = Lake(self.root)

    def sensor(self, name: str, is_cursor_kept: bool = True) -> list[dg.RunRequest]:
        """New requests of one evaluation; a daemon that dies before it stores the cursor is asked
        for with `is_cursor_kept=False`."""
        found = self.definitions.resolve_sensor_def(name)
        with dg.build_sensor_context(
            instance=self.instance,
            cursor=self.cursors.get(name),
            resources=self.definitions.resources,
            definitions=self.definitions,
        ) as context:
            data = found.evaluate_tick(context)
        if is_cursor_kept:
            self.cursors[name] = data.cursor
        self.told[name] = data.skip_message or ""
        return self._new(data.run_requests or [])

    def schedule(self, now: str, name: str = "daily") -> tuple[list[dg.RunRequest], str | None]:
        """New requests of a schedule at a time in New York, and why there are none."""
        found = self.definitions.resolve_schedule_def(name)
        with dg.build_schedule_context(
            instance=self.instance,
            scheduled_execution_time=datetime.fromisoformat(now).replace(tzinfo=NEW_YORK),
            resources=self.definitions.resources,
            repository_def=self.definitions.get_repository_def(),
        ) as context:
            data = found.evaluate_tick(context)
        return self._new(data.run_requests or []), data.skip_message

    def run(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        """What the run queue would do with a request."""
        return self.definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=self.instance,
            asset_selection=list(request.asset_selection or DERIVED_KEYS),
            run_config=request.run_config,
            tags=request.tags,
            raise_on_error=False,
        )

    def _new(self, requests: Any) -> list[dg.RunRequest]:
        fresh = [r for r in requests if r.run_key is None or r.run_key not in self.keys]
        self.keys.update(r.run_key for r in fresh if r.run_key)
        return fresh


@pytest.fixture
def daemon(own_lake: Path) -> Iterator[Daemon]:
    with instance_of(own_lake) as instance:
        yield Daemon(own_lake, instance)


def tables(request: dg.RunRequest) -> tuple[str, ...]:
    return tuple(key.to_user_string() for key in request.asset_selection or DERIVED_KEYS)


def keys_of(request: dg.RunRequest) -> list[str]:
    """Partition keys of a request by list or of one partition; the ends of a range."""
    ops = request.run_config.get("ops", {})
    listed = [key for op in ops.values() for key in op["config"].get("keys", [])]
    return listed or sorted(v for t, v in request.tags.items() if "partition" in t)


def every_key(daemon: Daemon, request: dg.RunRequest) -> set[str]:
    """Partition keys of a request, those of a range in the order of its definition."""
    keys = keys_of(request)
    orders = map(daemon.instance.get_dynamic_partitions, ("ticker_session", "ticker"))
    order = next((order for order in orders if keys and keys[0] in order), [])
    if not any("range" in tag for tag in request.tags):
        return {*keys}
    first, last = sorted(order.index(key) for key in keys)
    return {*order[first : last + 1]}


def forget(lake: Lake, table: str, key: str) -> None:
    shutil.rmtree(Path(str(lake.path(table, key))).parent)


def started(daemon: Daemon, request: dg.RunRequest) -> None:
    """A run of a request that has begun, as the daemon would have launched it."""
    create_run_for_test(
        daemon.instance,
        "session_tables_job",
        run_config=request.run_config,
        tags=request.tags,
        status=dg.DagsterRunStatus.STARTED,
    )


def ended(daemon: Daemon) -> None:
    """Every run that has begun fails."""
    for run in daemon.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
        daemon.instance.report_run_failed(run)


# The daily schedule ------------------------------------------------------------------------------
def test_daily_given_a_whole_lake_skips(daemon: Daemon) -> None:
    requests, why = daemon.schedule("2025-01-02T20:15")
    assert requests == []
    assert why == (
        "sessions 2024-12-09 to 2024-12-30 checked: all session tables are stored,"
        " so are their halts and ticks"
    )


def test_daily_says_which_halts_and_ticks_are_missing(daemon: Daemon) -> None:
    rows = daemon.lake.read("ticker_sessions").filter("is_qualified").sort("date")
    forget(daemon.lake, "halts", "2024-12-27")
    forget(daemon.lake, "sample_weights", rows["partition_key"][0])
    requests, why = daemon.schedule("2025-01-02T20:15")
    assert requests == [] and why is not None
    assert "missing: halts of 1 sessions, 2024-12-27" in why
    assert f"ticks of 1 ticker-sessions, {rows['partition_key'][0]}" in why


def test_daily_makes_a_missed_session_in_two_stages_and_asks_once(daemon: Daemon) -> None:
    day = "2024-12-30"
    before = {t: daemon.lake.digest(t, day) for t in (*MARKET_TABLES, *SELECTION_TABLES)}
    for table in before:
        forget(daemon.lake, table, day)
    assert daemon.schedule("2024-12-30T18:10")[0] == []  # the session has not ended for its sources

    first, _ = daemon.schedule("2024-12-30T18:15")
    first += daemon.schedule("2024-12-30T18:15", "daily_actions")[0]
    assert [(tables(r), keys_of(r)) for r in first] == [
        (MARKET_TABLES, [day]),
        (("splits", "dividends"), ["2024"]),
    ]
    assert daemon.schedule("2024-12-30T18:45")[0] == []  # the same requests, known already
    assert all(daemon.run(request).success for request in first)

    second, _ = daemon.schedule("2024-12-31T11:15")
    assert [(tables(r), keys_of(r)) for r in second] == [(SELECTION_TABLES, [day])]
    assert daemon.run(second[0]).success
    assert {t: daemon.lake.digest(t, day) for t in before} == before
    assert "daily schedule: selection 2024-12-30" in second[0].tags[REASON_TAG]


def test_daily_catches_up_missed_sessions_in_one_run(daemon: Daemon) -> None:
    for day in ("2024-12-27", "2024-12-30"):
        forget(daemon.lake, "watchlist", day)
    (request,), _ = daemon.schedule("2025-01-03T09:15")
    assert tables(request) == SELECTION_TABLES
    assert keys_of(request) == ["2024-12-27", "2024-12-30"]


def test_daily_catches_up_in_blocks_oldest_first_past_what_fails(daemon: Daemon) -> None:
    days = daemon.lake.keys("watchlist")[-4:]
    for day in days:
        forget(daemon.lake, "watchlist", day)
    daemon.given = ("run.catch_up_sessions=2",)
    daemon.__post_init__()
    for number in range(3):
        (request,), _ = daemon.schedule("2025-01-03T09:15")
        assert (keys_of(request), request.run_key) == (
            days[:2],
            f"selection {days[0]} to {days[1]} #{number}.0",
        )
        assert f"2 sessions are left, {days[2]} to {days[3]}" in request.tags[REASON_TAG]
        started(daemon, request)
        requests, why = daemon.schedule("2025-01-03T09:45")
        assert requests == [] and f"selection of {days[0]} to {days[1]} is under way" in str(why)
        ended(daemon)
    (request,), _ = daemon.schedule("2025-01-03T10:15")  # those two are left to the coverage
    assert keys_of(request) == days[2:]


def test_coverage_is_made_once_a_session_is_whole_and_again_when_it_changes(daemon: Daemon) -> None:
    assert daemon.schedule("2025-01-02T20:15", "daily_coverage")[0] == []
    day = "2024-12-27"
    forget(daemon.lake, "coverage", day)
    (request,), _ = daemon.schedule("2025-01-02T20:45", "daily_coverage")
    assert (tables(request), keys_of(request)) == (("coverage",), [day])
    assert daemon.run(request).success
    assert daemon.schedule("2025-01-02T21:15", "daily_coverage")[0] == []

    rows = daemon.lake.read("ticker_sessions").filter("is_qualified").sort("date")
    forget(daemon.lake, "trades", rows["partition_key"][0])
    (request,), _ = daemon.schedule("2025-01-02T21:45", "daily_coverage")
    assert keys_of(request) == [rows["date"][0].isoformat()]


# The sensors -------------------------------------------------------------------------------------
def test_sensors_given_a_finished_lake_request_nothing_but_the_dataset(daemon: Daemon) -> None:
    for name in ("registry", "ticks", "corrections"):
        assert daemon.sensor(name) == []
    for name in ("registry", "ticks", "corrections"):
        assert daemon.sensor(name) == []


def test_changed_watchlist_leads_to_registry_then_ticks_then_dataset(daemon: Daemon) -> None:
    lake, instance = daemon.lake, daemon.instance
    for name in ("registry", "ticks", "dataset"):
        daemon.sensor(name)
    # The newest session's ticker-sessions and the watchlist rows that they come from are gone.
    rows = lake.read("ticker_sessions").sort("date")
    key, day = rows["partition_key"][-1], rows["date"][-1].isoformat()
    for table in TICK_CHAIN:
        forget(lake, table, key)
    stamp = lake.stamp("watchlist", day)
    assert stamp is not None
    frame = lake.read("watchlist", day).with_columns(pl.col("price") + 0.01)
    lake.write("watchlist", day, frame, stamp)
    instance.report_runless_asset_event(dg.AssetMaterialization("watchlist", partition=day))

    (request,) = daemon.sensor("registry", is_cursor_kept=False)
    assert daemon.sensor("registry") == []  # asked again after the restart, started once
    assert tables(request) == ("ticker_sessions", "adjustment_factors")
    assert daemon.run(request).success

    daemon.given = ("run.tick_sessions=15",)
    daemon.__post_init__()
    (request,) = daemon.sensor("ticks")
    assert tables(request) == TICK_CHAIN
    assert keys_of(request) == [key]
    assert daemon.run(request).success
    assert daemon.sensor("ticks") == []

    frame = lake.read("sample_weights", key).with_columns(pl.col("uniqueness") / 2)
    stamp = lake.stamp("sample_weights", key)
    assert stamp is not None
    lake.write("sample_weights", key, frame, stamp)
    instance.report_runless_asset_event(dg.AssetMaterialization("sample_weights", partition=key))
    (request,) = daemon.sensor("dataset")
    assert keys_of(request)[-1] == "union"
    assert daemon.sensor("dataset") == []


def test_dataset_that_holds_the_weights_is_not_asked_for(daemon: Daemon) -> None:
    assert daemon.sensor("dataset") == []
    assert "hold the new weights" in daemon.told["dataset"]


def test_models_follow_a_changed_dataset_by_way_of_its_folds(tmp_path: Path) -> None:
    pytest.importorskip("lightgbm")
    model_lake(tmp_path / "lake")
    made = dg.AssetMaterialization("ml_dataset", partition="union")
    with instance_of(tmp_path / "lake") as instance:
        daemon = Daemon(tmp_path / "lake", instance)
        instance.report_runless_asset_event(made)
        assert daemon.sensor("models") == []
        assert daemon.told["models"] == "the models of all test months hold their folds"

        rows, stamp = (
            read("ml_dataset", "union") for read in (daemon.lake.read, daemon.lake.stamp)
        )
        assert stamp is not None
        changed = rows.with_columns(pl.col("label_return") / 2)
        daemon.lake.write("ml_dataset", "union", changed, stamp)
        instance.report_runless_asset_event(made)
        (request,) = daemon.sensor("models")
        assert request.job_name == "folds_job"
        assert daemon.sensor("models") == []

        job = daemon.definitions.resolve_job_def("folds_job")
        assert job.execute_in_process(instance=instance).success
        (request,) = daemon.sensor("models")
        assert tables(request) == OPS["walk_forward"].tables
        assert keys_of(request) == [MONTH]
        assert daemon.sensor("models") == []


def test_missed_ticks_come_oldest_first_in_blocks(daemon: Daemon) -> None:
    rows = daemon.lake.read("ticker_sessions").filter("is_qualified").sort("date")
    days = rows["date"].unique().sort().cast(pl.String).to_list()[1:]
    assert len(days) > 1
    by_day = {d: {k for k in rows["partition_key"] if k.endswith(d)} for d in days}
    for key in set().union(*by_day.values()):
        forget(daemon.lake, "sample_weights", key)
    daemon.given = ("run.tick_sessions=1", "run.catch_up_sessions=1")
    daemon.__post_init__()
    for number, day in enumerate(days):
        requests = daemon.sensor("ticks")
        assert {key for r in requests for key in every_key(daemon, r)} == by_day[day]
        left = sum(map(len, by_day.values())) - sum(len(by_day[d]) for d in days[: number + 1])
        assert (f"{left} are left" in requests[0].tags[REASON_TAG]) == (left > 0)
        for request in requests:
            started(daemon, request)
    assert daemon.sensor("ticks") == []


def test_histories_are_renewed_of_tickers_that_have_traded_once_a_day(daemon: Daemon) -> None:
    lake = daemon.lake
    assert daemon.sensor("ticker_history") == []
    day = lake.keys("daily_metrics")[-1]
    stamp, rows = lake.stamp("daily_metrics", day), lake.read("daily_metrics", day)
    assert stamp is not None
    for factor in (2, 3):
        lake.write("daily_metrics", day, rows.with_columns(pl.col("rvol30") * factor), stamp)
        event = dg.AssetMaterialization("daily_metrics", partition=day)
        daemon.instance.report_runless_asset_event(event)
        daemon.cursors["ticker_history"] = (daemon.cursors["ticker_history"] or "").replace(
            f'"{day}"', '"2024-12-27"'
        )
        requests = daemon.sensor("ticker_history")
        if factor == 2:
            (request,) = requests
            assert every_key(daemon, request) == set(rows["ticker"])
    assert requests == []
    assert "requested 0 hours ago" in daemon.told["ticker_history"]


def test_historical_ticks_wait_for_an_explicit_word(daemon: Daemon) -> None:
    rows = daemon.lake.read("ticker_sessions").filter("is_qualified").sort("date")
    oldest = rows["partition_key"][0]
    forget(daemon.lake, "sample_weights", oldest)
    daemon.given = ("run.tick_sessions=1",)
    daemon.__post_init__()
    assert all(oldest not in keys_of(r) for r in daemon.sensor("ticks"))

    file = daemon.root.parent / "asked.toml"
    file.write_text(
        '[[dataset.periods]]\nname = "all"\nstart = 2024-01-01\nend = 2025-12-31\nticks = true\n'
    )
    settings = location_settings({}, [f"lake.root={daemon.root}"], str(file))
    daemon.definitions = build_definitions(settings)
    assert [keys_of(r) for r in daemon.sensor("ticks")] == [[oldest]]


def test_corrected_split_touches_its_window_and_one_history(daemon: Daemon) -> None:
    lake = daemon.lake
    assert daemon.sensor("corrections") == []
    ticker = daemon.instance.get_dynamic_partitions("ticker")[0]
    day = lake.keys("daily_metrics")[-3]
    splits, stamp = lake.read("splits", "2024"), lake.stamp("splits", "2024")
    assert stamp is not None
    row = pl.DataFrame(
        {
            "year": [2024],
            "ticker": [ticker],
            "execution_date": [day],
            "split_from": [20.0],
            "split_to": [1.0],
        }
    ).with_columns(pl.col("execution_date").str.to_date())
    lake.write("splits", "2024", pl.concat([splits, TABLES["splits"].conform(row)]), stamp)
    daemon.instance.report_runless_asset_event(dg.AssetMaterialization("splits", partition="2024"))

    requests = daemon.sensor("corrections")
    made = {tables(r)[0]: keys_of(r) for r in requests}
    assert made == {
        "daily_metrics": [day, lake.keys("daily_metrics")[-1]],
        "adjustment_factors": [],
        "ticker_history": [ticker],
    }
    assert {r.tags[REASON_TAG] for r in requests} == {
        f"sensor corrections: splits of {ticker} on {day}"
    }
    assert daemon.sensor("corrections") == []


def test_replaced_flat_file_touches_the_sessions_whose_windows_hold_it(daemon: Daemon) -> None:
    lake = daemon.lake
    assert daemon.sensor("corrections") == []
    day = lake.keys("minute_bars")[-3]
    stamp = lake.stamp("minute_bars", day)
    assert stamp is not None and stamp.source.startswith("flatfile ")
    source = stamp.source.rpartition(" ")[0] + " another-etag"
    lake.write("minute_bars", day, lake.read("minute_bars", day), replace(stamp, source=source))
    requests = daemon.sensor("corrections", is_cursor_kept=False)
    assert daemon.sensor("corrections") == []  # asked again after the restart, started once
    assert [(tables(r), keys_of(r)) for r in requests] == [
        (FROM_MINUTES, [day, lake.keys("minute_bars")[-1]])
    ]
    reason = f"sensor corrections: the minute flat file of {day} was replaced"
    assert requests[0].tags[REASON_TAG] == reason
    assert daemon.run(requests[0]).success
    assert lake.stamp("minute_bars", day) == stamp


def test_corrected_short_volume_touches_its_session(daemon: Daemon) -> None:
    lake = daemon.lake
    day = lake.keys("short_volume")[-2]
    stamp = lake.stamp("short_volume", day)
    assert stamp is not None and stamp.source.startswith("CNMS ")
    lake.write("short_volume", day, lake.read("short_volume", day), replace(stamp, source="CNMS 0"))
    (request,) = daemon.sensor("corrections")
    assert (tables(request), keys_of(request)) == (("short_volume",), [day])
    assert "FINRA has corrected" in request.tags[REASON_TAG]
    assert daemon.run(request).success
    assert lake.stamp("short_volume", day) == stamp


def read_halts_again(daemon: Daemon, day: str, rows: pl.DataFrame, source: str) -> None:
    """As the evening's schedule would store them."""
    stamp = daemon.lake.stamp("halts", day)
    assert stamp is not None
    daemon.lake.write("halts", day, rows, replace(stamp, source=source))
    daemon.instance.report_runless_asset_event(dg.AssetMaterialization("halts", partition=day))


def test_late_halts_touch_the_ticker_sessions_whose_tape_they_cut(daemon: Daemon) -> None:
    lake = daemon.lake
    assert daemon.sensor("corrections") == []
    rows = lake.read("ticker_sessions").filter("is_qualified").sort("date", "ticker")
    day = rows["date"].mode().sort()[-1]
    keys = rows.filter(pl.col("date") == day)["partition_key"].to_list()
    assert len(keys) > 1
    (key, *others), tables_of_bars = keys, MADE_OF_TICKS
    feed, before = lake.read("halts", str(day)), {k: lake.digest("dollar_bars", k) for k in keys}
    stamp = lake.stamp("halts", str(day))
    assert stamp is not None
    start = lake.read("trades", key)["sip_timestamp"].quantile(0.5, "nearest")
    halt = pl.DataFrame({"date": [day], "ticker": [key.rpartition("_")[0]], "halt_start": [start]})
    late = TABLES["halts"].conform(
        halt.with_columns(
            pl.lit("T1").alias("reason_code"),
            pl.col("ticker").alias("symbol"),
            (pl.col("halt_start") + pl.duration(minutes=20)).alias("halt_end"),
            pl.lit("feed").alias("halt_source"),
            pl.col("halt_start").alias("known_at"),
            *(pl.lit(None).alias(name) for name in ("name", "market", "pause_threshold_price")),
            pl.lit(None).alias("quotes_resumed"),
        )
    )
    read_halts_again(daemon, str(day), pl.concat([feed, late]), stamp.source)

    requests = daemon.sensor("corrections", is_cursor_kept=False)
    assert daemon.sensor("corrections") == []  # asked again after the restart, started once
    made = {tables(r): keys_of(r) for r in requests}
    assert made.pop(tables_of_bars) == [key]
    both = ["before_christmas", "after_christmas", "union"]  # halts count for 45 days
    assert made == {("ml_dataset",): both if str(day) <= "2024-12-26" else both[1:]}
    reasons = {tables(r): r.tags[REASON_TAG] for r in requests}
    assert reasons[tables_of_bars] == f"sensor corrections: the feed has other halts of {key}"
    assert reasons["ml_dataset",] == f"sensor corrections: read since: halts of {day}"
    (request,) = [r for r in requests if tables(r) == tables_of_bars]
    assert daemon.run(request).success
    assert lake.digest("dollar_bars", key) != before[key]
    assert "feed" in set(lake.read("bar_features", key)["halt_source"])
    assert all(lake.digest("dollar_bars", k) == before[k] for k in others)
    assert daemon.sensor("corrections") == []

    # A feed that comes after the ticks speaks for all the session's tapes.
    read_halts_again(daemon, str(day), feed.clear(), "")
    assert {k for r in daemon.sensor("corrections") if "dollar_bars" in tables(r)
            for k in every_key(daemon, r)} == set(keys)  # fmt: skip


def test_late_filings_touch_the_periods_of_the_dataset(daemon: Daemon) -> None:
    lake, month = daemon.lake, "2024-12"
    assert daemon.sensor("corrections") == []
    event = dg.AssetMaterialization("filings", partition=month)
    daemon.instance.report_runless_asset_event(event)
    assert daemon.sensor("corrections") == []  # read again, and the same
    stamp, rows = lake.stamp("filings", month), lake.read("filings", month)
    assert stamp is not None
    for count in (-1, -2):
        lake.write("filings", month, rows.head(count), stamp)
        daemon.instance.report_runless_asset_event(event)
        if count == -2:
            assert daemon.sensor("corrections") == []  # within the quiet interval
            daemon.given = ("run.quiet_minutes=0",)
            daemon.__post_init__()
        (request,) = daemon.sensor("corrections")
        assert tables(request) == ("ml_dataset",)
        assert keys_of(request) == ["before_christmas", "after_christmas", "union"]
        assert request.tags[REASON_TAG] == f"sensor corrections: read since: filings of {month}"
    assert daemon.run(request).success
    assert daemon.sensor("corrections") == []


def test_upkeep_needs_no_switch_and_puts_the_instance_in_order(daemon: Daemon) -> None:
    old = Path(daemon.instance.root_directory) / "storage" / "gone" / "compute_logs"
    old.mkdir(parents=True)
    os.utime(old, (0, 0))
    daemon.instance.event_log_storage.set_concurrency_slots("ticks", 9)
    found = daemon.definitions.resolve_sensor_def("upkeep")
    assert found.default_status == dg.DefaultSensorStatus.RUNNING
    assert daemon.sensor("upkeep") == []
    assert not old.exists()
    limits = {p.name: p.limit for p in daemon.instance.event_log_storage.get_pool_limits()}
    assert limits["ticks"] == 1


def test_run_that_nobody_has_tagged_is_known_by_the_process_that_runs_it(daemon: Daemon) -> None:
    day = daemon.lake.keys("runners")[-1]
    tags = {"dagster/partition": day}
    request = dg.RunRequest(asset_selection=[dg.AssetKey("runners")], tags=tags)
    made = daemon.instance.get_run_by_id(daemon.run(request).run_id)
    assert made is not None and made.tags.items() >= process_tag().items()


def test_changed_condition_table_touches_ticker_sessions_since_it_is_valid(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    from smallcaps_assets.defs import corrections

    daemon.sensor("corrections")
    now = corrections.conditions()
    changed = now.head(1).with_columns(valid_from=pl.lit("2024-12-24").str.to_date())
    monkeypatch.setattr(corrections, "conditions", lambda: pl.concat([now, changed]))
    requests = daemon.sensor("corrections")
    keys = {key for request in requests for key in keys_of(request)}
    order = daemon.instance.get_dynamic_partitions("ticker_session")
    assert keys and keys <= {key for key in order if key.rpartition("_")[2] >= "2024-12-24"}
    assert {tables(request) for request in requests} == {MADE_OF_TICKS}
    assert daemon.sensor("corrections") == []


def test_facts_that_are_under_way_are_not_asked_for_again(daemon: Daemon) -> None:
    forget(daemon.lake, "news", "2024-12")
    [first], _ = daemon.schedule("2024-12-27T20:30", "daily_news")

    @dg.job
    def nothing() -> None: ...

    tags = {**first.tags, "dagster/run_key": first.run_key or ""}  # as the daemon starts it
    begun = dg.DagsterRunStatus.STARTED
    run = daemon.instance.create_run_for_job(nothing, tags=tags, status=begun)
    daemon.keys.clear()
    found, told = daemon.schedule("2024-12-30T20:30", "daily_news")
    looked_at = "sessions 2024-12-09 to 2024-12-30 checked: "
    assert (found, told) == ([], looked_at + "every published partition of news is being made")
    daemon.instance.report_run_failed(run)
    [again], _ = daemon.schedule("2024-12-30T20:30", "daily_news")
    assert keys_of(again) == keys_of(first) == ["2024-12"]
