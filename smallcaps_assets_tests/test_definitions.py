"""The asset graph: every table is an asset, with edges, partitions and descriptions declared."""

import json
import re
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.snap import JobSnap
from dagster._core.snap.snap_to_yaml import default_values_yaml_from_type_snap

from smallcaps_assets.definitions import build_definitions
from smallcaps_assets.defs.feed_schedules import OPS_SCHEDULED
from smallcaps_assets.orchestration.launchers import job_name
from smallcaps_assets.schemas import GROUPS, TABLES, Partitioning
from smallcaps_assets.settings import Settings, load_settings
from smallcaps_assets_tests.golden.asset_graph import GRAPH_FILE, asset_graph
from smallcaps_assets_tests.golden.names import NAMES_FILE, names

DEFINITIONS = build_definitions(Settings())
NODES = {spec.key.to_user_string(): spec for spec in DEFINITIONS.resolve_all_asset_specs()}


def upstream(name: str) -> set[str]:
    """Names of the assets that an asset depends on."""
    return {dep.asset_key.to_user_string() for dep in NODES[name].deps}


def test_definitions_hold_exactly_the_declared_tables():
    assert NODES.keys() == TABLES.keys()


@pytest.mark.parametrize("name", TABLES)
def test_asset_is_described_from_its_table(name: str):
    spec, table = NODES[name], TABLES[name]
    told = spec.description or ""
    assert told.startswith(table.meaning) and f"docs/data_dictionary.md#{name}" in told
    assert not re.search(r"[*{}`_]{2}|[*`{}]", told), "plain text is shown as it is"
    assert ("Optional" in told) == table.is_optional
    assert spec.group_name == f"{GROUPS.index(table.group) + 1:02d}_{table.group}"
    assert spec.owners == ["team:data"]
    assert "parquet" in spec.kinds
    schema = spec.metadata["dagster/column_schema"]
    assert isinstance(schema, dg.TableSchema)
    assert [column.name for column in schema.columns] == list(table.columns)


def test_descriptions_carry_the_settings_in_force():
    settings = load_settings(["labels.take_profit=0.2", "selection.tick_rules=info_rich"])
    told = {
        spec.key.to_user_string(): spec.description or ""
        for spec in build_definitions(settings).resolve_all_asset_specs()
    }
    assert "+20%, −10%, 15 minutes" in told["triple_barrier_labels"]
    assert "The days that info_rich select" in told["ticker_sessions"]
    assert "|change| ≥ 15%, ≥ 5,000,000 USD traded" in told["watchlist"]


def test_groups_in_alphabetical_order_follow_the_data():
    places = [GROUPS.index(TABLES[name].group) for name in ("splits", "daily_bars", "watchlist")]
    assert places == sorted(places)
    assert {table.group for table in TABLES.values()} == set(GROUPS)


@pytest.mark.parametrize("name", TABLES)
def test_asset_depends_on_what_its_table_is_made_from(name: str):
    assert upstream(name) == set(TABLES[name].upstream)


@pytest.mark.parametrize("name", TABLES)
def test_asset_is_cut_as_declared(name: str):
    definition, cut = NODES[name].partitions_def, TABLES[name].partitioning
    names = {Partitioning.TICKER: "ticker", Partitioning.TICKER_SESSION: "ticker_session"}
    if cut is Partitioning.NONE:
        assert definition is None
    elif cut in names:
        assert isinstance(definition, dg.DynamicPartitionsDefinition)
        assert definition.name == names[cut]
    else:
        assert definition is not None


def test_daily_metrics_look_back_sixty_sessions():
    mapping = next(
        dep.partition_mapping
        for dep in NODES["daily_metrics"].deps
        if dep.asset_key == dg.AssetKey("session_summary")
    )
    assert isinstance(mapping, dg.TimeWindowPartitionMapping)
    assert (mapping.start_offset, mapping.end_offset) == (-60, 0)


def test_settings_reach_the_resources():
    settings = Settings.model_validate({"lake": {"root": "elsewhere"}, "bars": {"alpha": 0.3}})
    resources = build_definitions(settings).resources or {}
    placed = settings.model_copy(update={"lake": settings.lake.absolute})
    assert resources["lake"].settings == placed
    assert resources["polygon"].settings == placed


def test_every_job_schedule_and_sensor_loads_as_the_web_server_loads_them():
    repository = DEFINITIONS.get_repository_def()
    repository.load_all_definitions()
    assert {s.name for s in repository.schedule_defs} == {
        *("daily", "daily_actions", "monthly_details", "daily_coverage", "daily_checks"),
        *(f"daily_{op}" for op in OPS_SCHEDULED),
    }
    assert {s.name for s in repository.sensor_defs} == {
        "registry",
        "ticks",
        "dataset",
        "models",
        "ticker_history",
        "corrections",
        "upkeep",
    }
    automation = (*repository.schedule_defs, *repository.sensor_defs)
    assert {d.name for d in automation if d.default_status.value != "STOPPED"} == {"upkeep"}
    assert all(job.name.endswith("_job") for job in repository.get_all_jobs()[1:])


WAITS_FOR = {
    "daily": ("daily_actions", "monthly_details"),
    "daily_actions": ("daily",),
    "monthly_details": ("daily",),
    "daily_coverage": ("daily", "ticks", "daily_halts"),
    "daily_halts": ("daily", "corrections"),
    "daily_filings": ("monthly_details", "corrections"),
    "daily_statements": ("corrections",),
    "daily_ticker_events": ("registry", "corrections"),
    "registry": ("daily", "ticks", "ticker_history"),
    "ticks": ("registry", "dataset"),
    "dataset": ("ticks",),
    "models": ("dataset",),
    "ticker_history": ("daily", "registry"),
}


def test_automation_is_described_with_what_it_waits_for():
    """In plain text; a name stands by itself, so that a reader finds it on the page."""
    every = [*(DEFINITIONS.schedules or ()), *(DEFINITIONS.sensors or ())]
    told = {item.name: item.description or "" for item in every}  # type: ignore[union-attr]
    assert len(told) == 5 + len(OPS_SCHEDULED) + 7
    for name, text in told.items():
        assert 80 < len(text) < 450 and text.endswith(".") and not re.search(r"[*`{}]", text), name
    for name, others in WAITS_FOR.items():
        assert not [other for other in others if not re.search(rf"\b{other}\b", told[name])], name


@pytest.mark.parametrize("op", ["session_tables", "tick_chain", "ml_dataset", "halts"])
def test_launchpad_begins_with_keys_and_tickers_filled_in(op: str):
    """The text that the web server opens a launchpad with."""
    job = JobSnap.from_job_def(DEFINITIONS.resolve_job_def(job_name(op)))
    schema = job.config_schema_snapshot
    root = schema.get_config_snap(job.mode_def_snaps[0].root_config_key or "")
    told = default_values_yaml_from_type_snap(schema, root)
    assert told.startswith(f"ops:\n  {op}:\n    config:\n      keys: []\n      tickers: []\n")


def test_examples_of_run_configuration_are_valid():
    page = (Path(__file__).parents[1] / "docs/operations.md").read_text()
    examples = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.+?)```", page, re.DOTALL)]
    assert len(examples) == 3
    for example in examples:
        [op] = example["ops"]
        dg.validate_run_config(DEFINITIONS.resolve_job_def(job_name(op)), example)


def test_graph_is_the_one_that_was_looked_at():
    """Update the file on purpose: `python -m smallcaps_assets_tests.golden.asset_graph`."""
    assert asset_graph() == GRAPH_FILE.read_text(encoding="utf-8")


def test_names_are_those_under_which_dagster_keeps_what_it_knows():
    """Update on purpose, by golden/names.py: states, cursors and events of old names are lost."""
    assert names() == json.loads(NAMES_FILE.read_text(encoding="utf-8"))
