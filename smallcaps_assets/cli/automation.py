"""`smallcaps automation`: switch schedules and sensors on or off together, and show their state."""

from __future__ import annotations

from datetime import datetime

import click
import polars as pl

from smallcaps_assets.cli.options import LakeOptions
from smallcaps_assets.cli.output import show_rows
from smallcaps_assets.cli.setup import check_lake, ready_lake, settings_of, stored_lake
from smallcaps_assets.definitions import build_definitions
from smallcaps_assets.defs.automation import instigators, is_needed, requests_runs
from smallcaps_assets.domain.market.calendar import NEW_YORK
from smallcaps_assets.orchestration.automation import Look, is_daemon_alive, look_of, switch
from smallcaps_assets.orchestration.instance import instance_to_read, open_instance
from smallcaps_assets.settings import Settings

_NO_DAEMON = "no daemon is running on this lake: start one with `smallcaps ui`"


def run_automation(options: LakeOptions, action: str, is_json: bool) -> int:
    """The command; returns its exit status."""
    settings = settings_of(options)
    if action == "status":
        stored_lake(settings)
        _show(settings, is_json)
    else:
        check_lake(settings)
        _switch(settings, action == "on")
    return 0


def _switch(settings: Settings, is_on: bool) -> None:
    """Switch on what makes the main job's tables, or switch off whatever requests runs."""
    ready_lake(settings)
    requesting = [x for x in instigators(build_definitions(settings)) if requests_runs(x)]
    wanted = [x for x in requesting if not is_on or is_needed(settings, x.name)]
    with open_instance(settings.lake.local) as instance:
        changed = [x.name for x in wanted if switch(instance, x, is_on)]
        is_alive = is_daemon_alive(instance)
    state = "on" if is_on else "off"
    click.echo(f"switched {state}: {', '.join(changed)}" if changed else f"already {state}")
    others = [x.name for x in requesting if x not in wanted]
    if others:
        click.echo(f"unchanged, as `smallcaps run` leaves their tables out: {', '.join(others)}")
    if is_on and not is_alive:
        click.echo(_NO_DAEMON)


def _show(settings: Settings, is_json: bool) -> None:
    definitions = build_definitions(settings)
    with instance_to_read(settings.lake.local) as instance:
        looks = [look_of(instance, x) for x in instigators(definitions)]
        is_alive = is_daemon_alive(instance)
    rows = pl.DataFrame([_row(look) for look in looks])
    show_rows(rows, "schedules and sensors, New York time", is_json)
    if not is_alive and not is_json:
        click.echo(_NO_DAEMON)


def _row(look: Look) -> dict[str, str | None]:
    at = None if look.at is None else f"{datetime.fromtimestamp(look.at, NEW_YORK):%Y-%m-%d %H:%M}"
    waiting = "has not looked yet" if look.is_on else None
    return {
        "name": look.name,
        "kind": look.kind,
        "state": "on" if look.is_on else "off",
        "last_look": at,
        "told": look.told or waiting,
    }
