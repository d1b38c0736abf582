"""The files of deploy/: their settings, variables and commands exist."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml

import smallcaps_assets
from smallcaps_assets.cli import main
from smallcaps_assets.settings import (
    BROKER_VARIABLE,
    KEY_VARIABLE,
    POSTGRES_VARIABLE,
    STORE_KEY_VARIABLES,
    load_settings,
    read_config,
)

ROOT = Path(smallcaps_assets.__file__).parents[1]
DEPLOY = ROOT / "deploy"


def test_settings_of_the_fleet_are_valid_and_ask_for_celery() -> None:
    found = load_settings(config_file=DEPLOY / "common" / "smallcaps.toml")
    assert found.run.launcher == "celery" and found.lake.root.startswith("s3://")
    assert read_config(DEPLOY / "common" / "smallcaps.toml")["run"]["tick_runs"] == 3


def test_every_variable_is_one_that_is_read() -> None:
    text = (DEPLOY / "common" / "environment.example").read_text()
    named = set(re.findall(r"^#? ?([A-Z_]+)=", text, re.MULTILINE))
    known = {POSTGRES_VARIABLE, BROKER_VARIABLE, KEY_VARIABLE, *STORE_KEY_VARIABLES}
    assert named - {"AWS_ENDPOINT_URL"} <= known and {POSTGRES_VARIABLE, BROKER_VARIABLE} <= named


def test_services_run_commands_that_exist_with_their_options() -> None:
    services = yaml.safe_load((DEPLOY / "celery" / "compose.yaml").read_text())["services"]
    for service in services.values():
        name, *options = service["command"]
        command = main.commands[name]
        known = {option for parameter in command.params for option in parameter.opts}
        assert {option for option in options if option.startswith("--")} <= known


def test_image_has_the_extras_that_the_package_offers() -> None:
    offered = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    text = (DEPLOY / "common" / "Dockerfile").read_text()
    extras = re.search(r'"\.\[([a-z0-9,]+)\]"', text)
    assert extras is not None
    assert set(extras.group(1).split(",")) <= set(offered["optional-dependencies"])
    for source in re.findall(r"^COPY (.+) \S+$", text, re.MULTILINE):
        assert all((ROOT / name).exists() for name in source.split()), source
