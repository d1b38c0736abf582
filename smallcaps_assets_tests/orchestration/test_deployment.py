"""The files of deploy/: their settings, variables and commands exist."""

from __future__ import annotations

import re
import tomllib
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

import smallcaps_assets
from smallcaps_assets.cli import main
from smallcaps_assets.orchestration.instance import POD_OBJECTS, POD_SETTINGS
from smallcaps_assets.settings import (
    BROKER_VARIABLE,
    CONFIG_FILE,
    KEY_VARIABLE,
    POSTGRES_VARIABLE,
    STORE_KEY_VARIABLES,
    load_settings,
    read_config,
)

ROOT = Path(smallcaps_assets.__file__).parents[1]
DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"


def objects_in(file: Path) -> list[Any]:
    """The objects of a manifest."""
    return list(yaml.safe_load_all(file.read_text()))


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


def test_manifests_are_what_the_api_takes() -> None:
    pytest.importorskip("kubernetes", reason="install smallcaps-assets[kubernetes]")
    from smallcaps_assets_tests.kubernetes_models import problems

    found = [made for file in sorted(KUBERNETES.glob("*.yaml")) for made in objects_in(file)]
    assert len(found) == 8 and [told for made in found for told in problems(made)] == []
    server = next(made for made in found if made["kind"] == "Deployment")
    for name, value, told in [
        ("image_", "x", "image_: unknown field"),
        ("args", "ui", "args: 'ui' is no list"),
        ("tty", "yes", "tty: 'yes' is no bool"),
        ("ports", [{"containerPort": "3000"}], "containerPort: '3000' is no int"),
        ("name", None, "`name`"),
    ]:
        wrong = deepcopy(server)
        wrong["spec"]["template"]["spec"]["containers"][0][name] = value
        assert any(told in line for line in problems(wrong)), told
    assert problems({"kind": "Job", "apiVersion": "v1"}) == ["no kind Job in v1"]


def test_manifests_fit_each_other_the_image_and_the_launcher(tmp_path: Path) -> None:
    found = {
        made["kind"]: made
        for file in sorted(KUBERNETES.glob("*.yaml"))
        for made in objects_in(file)
    }
    file = tmp_path / CONFIG_FILE
    file.write_text(found["ConfigMap"]["data"][CONFIG_FILE])
    settings = load_settings(config_file=file)
    spec = found["Deployment"]["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert settings.run.launcher == "kubernetes" and settings.run.image == container["image"]
    assert spec["serviceAccountName"] == found["ServiceAccount"]["metadata"]["name"]
    names = {made["metadata"].get("namespace") for made in found.values()} - {None}
    assert names == {settings.run.namespace, found["Namespace"]["metadata"]["name"]}
    for kind in ("ConfigMap", "Secret"):
        assert found[kind]["metadata"]["name"] == POD_OBJECTS
    assert container["volumeMounts"][0]["mountPath"] == POD_SETTINGS
    workdir = re.search(r"^WORKDIR (\S+)$", (DEPLOY / "common" / "Dockerfile").read_text(), re.M)
    assert workdir is not None and f"{workdir[1]}/{CONFIG_FILE}" == POD_SETTINGS
    name, *options = container["args"]
    known = {option for parameter in main.commands[name].params for option in parameter.opts}
    assert {option for option in options if option.startswith("--")} <= known
    example = {POSTGRES_VARIABLE, *STORE_KEY_VARIABLES[:2]}
    assert set(found["Secret"]["stringData"]) == example
