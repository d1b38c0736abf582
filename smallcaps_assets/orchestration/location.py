"""Which settings a code location or a command works with.

Sources, later ones winning: defaults, what the lake remembers, `smallcaps.toml`, the environment,
and what a command was given. The market is the one named; else, for a new run, the key's; else the
lake's own; else the simulated one.

A command that serves a lake gives the code location in its child processes what it was itself
given, so that both come to the same settings, also when the location is loaded again later.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from smallcaps_assets.domain.market.calendar import sessions
from smallcaps_assets.lake.market import LakeIdentity, read_identity
from smallcaps_assets.pipeline.market import market_of
from smallcaps_assets.settings import (
    CONFIG_FILE,
    FLATFILE_KEY_VARIABLES,
    KEY_VARIABLE,
    STORE_KEY_VARIABLES,
    LakeSettings,
    Settings,
    SettingsError,
    api_key,
    explicit,
    load_settings,
    secret_of,
)

# A range is a run's own, faults are a test's, and secrets are in no setting at all.
_FORGOTTEN = {"market": ("start", "end"), "sandbox": ("faults",)}
_OF_THE_MACHINE = ("lake", "run")
_GIVEN_VARIABLE = "_SMALLCAPS_GIVEN"


def location_settings(
    environment: Mapping[str, str],
    given: Sequence[str] = (),
    config: str | None = None,
    is_new_run: bool = False,
) -> Settings:
    """Settings of a lake. `given` are `section.field=value`, `config` another settings file.

    Raises SettingsError for a wrong name or value and for an impossible key, LakeError for an
    unreadable lake.json.
    """
    file = Path(config) if config else Path(CONFIG_FILE)
    sources: dict[str, Any] = {"environment": environment}
    if config or file.exists():
        sources["config_file"] = file
    first = load_settings(given, **sources)
    if "://" in first.lake.root:
        _check_secrets(environment, STORE_KEY_VARIABLES)
    known = read_identity(first.lake.root)
    remembered = _remembered(*known) if known else None
    is_named = "name" in first.market.model_fields_set
    if not is_named and api_key(environment) and (is_new_run or known is None):
        given = [*given, "market.name=polygon"]
    settings = load_settings(given, remembered=remembered, **sources)
    if not market_of(settings).is_embedded:
        _check_secrets(environment, (KEY_VARIABLE, *FLATFILE_KEY_VARIABLES))
    if remembered is not None:
        _check_end(settings, remembered)
    return settings


def _remembered(identity: LakeIdentity, settings: dict[str, Any]) -> dict[str, Any]:
    """What a lake remembers. The market of one of version 0.1.0 was planned as a single season."""
    parameters = identity.parameters
    if "start" not in parameters or "season" in parameters:
        return settings
    days = sessions(*(date.fromisoformat(parameters[name]) for name in ("start", "end")))
    return settings | {"sandbox": {"season": len(days), **settings.get("sandbox", {})}}


def _check_end(settings: Settings, remembered: Mapping[str, Any]) -> None:
    """Refuse an end of the simulated market before the one that its lake has reached."""
    dates = {k: v for k, v in remembered.get("sandbox", {}).items() if k in ("start", "end")}
    reached, asked = load_settings(remembered={"sandbox": dates}).sandbox, settings.sandbox
    if asked.start == reached.start and asked.end < reached.end:
        raise SettingsError(
            f"sandbox.end={asked.end} is before {reached.end}, which the market of lake"
            f" {settings.lake.root} has reached; leave it out, or name another lake with --lake"
        )


def hand_over(given: Sequence[str], config: str | None, lake: LakeSettings) -> dict[str, str]:
    """The environment that gives a code location of a child process what a command was given."""
    place = lake.absolute
    places = [f"lake.root={place.root}", f"lake.home={place.home}"]
    values = {"given": [*given, *places], "config": config and str(Path(config).resolve())}
    return {_GIVEN_VARIABLE: json.dumps(values)}


def handed_over(environment: Mapping[str, str]) -> tuple[Sequence[str], str | None]:
    """What the command that started this process was given: settings, and a settings file."""
    values = json.loads(environment.get(_GIVEN_VARIABLE, "{}"))
    return values.get("given", []), values.get("config")


def _check_secrets(environment: Mapping[str, str], names: Sequence[str]) -> None:
    """Refuse invalid keys before they are sent: errors of libraries quote what they refuse."""
    for name in names:
        secret_of(environment, name)


def remembered_settings(settings: Settings) -> dict[str, Any]:
    """What a lake should remember of these settings, so that the web server sees the same."""
    sections = [name for name in type(settings).model_fields if name not in _OF_THE_MACHINE]
    values = explicit(settings, sections)
    for section, fields in _FORGOTTEN.items():
        for field in fields:
            values.get(section, {}).pop(field, None)
    values.setdefault("market", {})["name"] = settings.market.name
    return {name: fields for name, fields in values.items() if fields}
