"""Options and arguments that several commands share; loads nothing but click."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

import click

from smallcaps_assets.cli import completion

Command = Callable[..., Any]


@dataclass(frozen=True)
class LakeOptions:
    """Which lake, market and settings a command is about, as its options say; None where not."""

    market: str | None = None
    lake: str | None = None
    overrides: tuple[str, ...] = ()
    config: str | None = None


_LAKE_OPTIONS = (
    click.option("--config", type=click.Path(), help="settings file instead of smallcaps.toml"),
    click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="SECTION.FIELD=VALUE",
        help="a setting, as bars.alpha=0.15; may be repeated",
    ),
    click.option("--lake", help="folder of the lake; default data"),
    click.option(
        "--market",
        help="simulated, placebo, recorded:DIR or polygon",
        shell_complete=completion.markets,
    ),
)


def lake_options(command: Command) -> Command:
    """The options that name a lake, a market and settings; a command takes them as one argument."""

    @wraps(command)
    def packed(
        market: str | None,
        lake: str | None,
        overrides: tuple[str, ...],
        config: str | None,
        **others: Any,
    ) -> Any:
        return command(options=LakeOptions(market, lake, overrides, config), **others)

    for option in _LAKE_OPTIONS:
        packed = option(packed)
    return packed


def tables_argument(complete: completion.Complete = completion.tables) -> Callable[..., Any]:
    """Any number of table names."""
    return click.argument("tables", nargs=-1, shell_complete=complete)


as_json = click.option("--json", "is_json", is_flag=True, help="print JSON for a script")
as_csv = click.option("--csv", "is_csv", is_flag=True, help="print CSV")
as_page = click.option("--html", metavar="FILE", help="write the report as a page, with plots")
as_queued = click.option(
    "--queue",
    "is_queued",
    is_flag=True,
    help="hand the runs to run.launcher by way of `smallcaps ui`, and follow them",
)
as_comparison = click.option(
    "--compare", nargs=2, metavar="A B", help="two periods, regimes or ranges START:END"
)
