"""From a command's options to settings, an open lake and a checked request.

Whatever can be wrong with a request is found here, before anything is written.
"""

from __future__ import annotations

import errno
import os
import sys
from datetime import date
from pathlib import Path
from typing import Any

import click

from smallcaps_assets.cli.options import LakeOptions
from smallcaps_assets.domain.market.calendar import (
    CalendarError,
    sessions,
)
from smallcaps_assets.lake import Lake, LakeError, open_lake
from smallcaps_assets.lake.market import check_identity
from smallcaps_assets.lake.reading import existing_lake
from smallcaps_assets.orchestration.location import location_settings, remembered_settings
from smallcaps_assets.pipeline.market import market_of
from smallcaps_assets.schemas import TABLES
from smallcaps_assets.settings import Settings, SettingsError

MARKETS = ("simulated", "placebo", "recorded", "polygon")
_LONGEST_LIST = 16_000_000  # bytes of a file of names; a key for every partition at full size


_REFUSALS = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.EMFILE,
    errno.ENFILE,
    errno.EIO,
)
_REFUSED_TEXTS = (
    "disk is full",
    "unable to open database",
    "readonly database",
    "disk I/O",
    *(os.strerror(number) for number in _REFUSALS),
)
_DAMAGED_TEXTS = (
    "malformed",
    "not a database",
    "no such table",
    "no such column",
    "dagster instance migrate",  # a table is missing
)


_LATE_ERRORS = {
    "smallcaps_assets.domain.execution.signals": "StrategyError",
    "smallcaps_assets.desk.das.broker": "PermissionRefusedError",
    "smallcaps_assets.desk.drop_copy": "DropCopyError",
    "smallcaps_assets.desk.journal": "JournalError",
    "smallcaps_assets.domain.models.extra": "ExtraError",
    "smallcaps_assets.domain.models.scoring": "ModelError",
    "smallcaps_assets.sandbox": "SandboxError",
    "smallcaps_assets.sources.errors": "SourceError",
}


class UserError(ValueError):
    """Something in the request that the user can fix."""


def line_of(error: Exception) -> str | None:
    """An error as one line for the user; None for a defect."""
    if isinstance(error, _user_errors()):
        return " ".join(str(error).split())
    reason = reason_of(error)
    return reason and f"{reason}; what is stored is intact: fix it and run again"


def _user_errors() -> tuple[type[Exception], ...]:
    """Errors that the user can fix and that need no traceback, of the modules loaded so far."""
    found: list[type[Exception]] = [UserError, SettingsError, LakeError, CalendarError]
    for module, name in _LATE_ERRORS.items():
        found += _loaded(module, name)
    return tuple(found)


def _loaded(module: str, name: str) -> tuple[type[Exception], ...]:
    """A class of a module; nothing while the module is not loaded, as it can't have raised."""
    return (getattr(sys.modules[module], name),) if module in sys.modules else ()


def reason_of(error: BaseException | None) -> str | None:
    """What the machine refused, if that caused the error; None for a defect."""
    while error is not None:
        text = " ".join(str(error).split())
        if isinstance(error, OSError) and error.errno in _REFUSALS:
            return text
        is_run = type(error).__name__ == "RunError"
        kinds = (
            *_loaded("sqlite3", "DatabaseError"),
            *_loaded("dagster._core.errors", "DagsterError"),
        )
        if (is_run or isinstance(error, kinds)) and any(known in text for known in _DAMAGED_TEXTS):
            return _damaged_history(text)
        if isinstance(error, _loaded("sqlite3", "OperationalError")):
            return f"Dagster's database: {text} (is the disk full, or the folder read-only?)"
        if isinstance(error, _loaded("psycopg2", "OperationalError")):
            return f"Dagster's database: {text} (is the server up, and its address right?)"
        if is_run and any(known in text for known in _REFUSED_TEXTS):
            return text
        error = error.__cause__ or error.__context__
    return None


def _damaged_history(text: str) -> str:
    """The remedy for a damaged Dagster database, which the lake itself does not need."""
    folder = os.environ.get("DAGSTER_HOME", "LAKE/dagster")
    return (
        f"Dagster's history is damaged ({text}); move the folder {folder} away:"
        " `smallcaps run` reports every stored partition to a new history, and makes none again"
    )


def settings_of(options: LakeOptions, is_new_run: bool = False) -> Settings:
    """Settings of a command, from its options and the other sources."""
    settings = location_settings(os.environ, overrides_of(options), options.config, is_new_run)
    if not settings.lake.root:
        raise UserError("the lake's folder is empty; name one with --lake")
    return settings


def overrides_of(options: LakeOptions) -> list[str]:
    """A command's options as `section.field=value`."""
    root = [] if options.lake is None else [f"lake.root={options.lake}"]
    return [*options.overrides, *_market_overrides(options.market), *root]


def _market_overrides(market: str | None) -> list[str]:
    if market is None:
        return []
    name, _, folder = market.partition(":")
    if name not in MARKETS:
        raise UserError(
            f"unknown market {market!r}; choose simulated, placebo, recorded:DIR, polygon"
        )
    if (name == "recorded") != bool(folder):
        raise UserError(f"market {market!r}: a folder goes with recorded, as recorded:DIR, only")
    return [f"market.name={name}", *([f"market.recorded_dir={folder}"] if folder else [])]


def session_range(settings: Settings, start: str | None, end: str | None) -> tuple[date, date]:
    """First and last session of a request, within its dates and the market's.

    Raises UserError for an invalid date, and when no session lies between the two.
    """
    market = market_of(settings)
    (first, last), usual = market.span_so_far, market.usual_span
    begin = settings.market.start or usual[0] if start is None else _date(start, "--from")
    finish = settings.market.end or usual[1] if end is None else _date(end, "--to")
    if start and end and begin > finish:
        raise UserError(f"--from {begin} is after --to {finish}; swap them")
    found = sessions(max(begin, first), min(finish, last))
    if not found:
        asked = " ".join(
            f"{option} {given}"
            for option, given in (("--from", start), ("--to", end))
            if given is not None
        )
        raise UserError(f"{asked}: no session; the market's are {first} to {last}")
    return found[0], found[-1]


def range_text(asked: tuple[str | None, str | None], found: tuple[date, date]) -> str:
    """A request's sessions in words, with the dates given where they differ."""
    text = f"sessions {found[0]} to {found[1]}"
    dates = [given or str(day) for given, day in zip(asked, found, strict=True)]
    is_clipped = dates != [str(day) for day in found]
    return text + (f" (the sessions within {dates[0]} to {dates[1]})" if is_clipped else "")


def _date(text: str, option: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UserError(f"{option} {text!r} is not a date; write it as YYYY-MM-DD") from None


def check_port(port: int, least: int) -> None:
    """Refuse an invalid port number. Raises UserError."""
    if not least <= port <= 65_535:
        raise UserError(f"--port {port} is not a port; choose one from {least} to 65535")


def check_speed(speed: float) -> None:
    """Refuse a negative pace of a session. Raises UserError."""
    if speed < 0:
        raise UserError(f"--speed {speed} is negative; give a factor, or 0 for as fast as it goes")


def stored_lake(settings: Settings) -> Lake:
    """The lake of a command that reads. Raises LakeError without one, or for another market."""
    lake = existing_lake(settings.lake.root)
    check_identity(settings.lake.root, market_of(settings).identity, reads_only=True)
    return lake


def known_tables(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names, unchanged. Raises UserError for one that is not a table."""
    for name in names:
        if name not in TABLES:
            raise UserError(f"unknown table {name!r}; choose from {', '.join(TABLES)}")
    return names


def check_lake(settings: Settings) -> None:
    """Refuse a lake of another market before anything is written or contacted."""
    check_identity(settings.lake.root, market_of(settings).identity)


def check_launcher(settings: Settings) -> None:
    """Refuse a launcher that can't work, before anything is written. Raises SettingsError."""
    if settings.run.launcher != "in_process":
        from smallcaps_assets.orchestration.fleet import check_fleet

        check_fleet(settings)


def check_market(settings: Settings, tickers: list[str], start: date, end: date) -> None:
    """Check that the market can be read, that the key is good and that the tickers exist."""
    market = market_of(settings)
    market.check(start, end)
    if market.is_embedded and not tickers:
        return
    from smallcaps_assets.pipeline.clients import polygon_client

    client = polygon_client(settings)
    _check_key(client)
    unknown = [ticker for ticker in tickers if client.find_ticker(ticker).is_empty()]
    if unknown:
        raise UserError(
            f"unknown ticker {unknown[0]!r}; check the spelling, case matters (BCpC is not BCPC)"
        )


def _check_key(client: Any) -> None:
    """Make the cheapest request; if a vendor lacks it, its lists show whether the key is good."""
    from smallcaps_assets.sources.errors import BadAnswer, NotEntitled, NotFound, RefusedRequest

    try:
        client.market_status()
    except (BadAnswer, NotEntitled, NotFound, RefusedRequest) as refusal:
        line = f"warning: the vendor has no market status, so the key is not checked yet: {refusal}"
        click.echo(" ".join(line.split()), err=True)


def ticker_list(text: str | None) -> list[str]:
    """The tickers of an option, sorted; none when it is not given."""
    return sorted(names_of(text, "--tickers", "ticker"))


def names_of(text: str | None, option: str, kind: str) -> tuple[str, ...]:
    """The names in an option: comma-separated, or @FILE with some per line and # comments.

    In their order, each once; none when the option is not given. Raises UserError for a file that
    can't be read, and where there is no name.
    """
    if text is None:
        return ()
    listed = _lines_of_file(text, option) if text.startswith("@") else [text]
    parts = [part.strip() for line in listed for part in line.split(",")]
    found = tuple(dict.fromkeys(filter(None, parts)))
    if not found:
        raise UserError(f"{option} {text!r} names no {kind}; name some or leave the option out")
    return found


def _lines_of_file(text: str, option: str) -> list[str]:
    """The lines of the file that an option names, without their comments."""
    try:
        with Path(text[1:]).open("rb") as file:
            content = file.read(_LONGEST_LIST + 1)
    except OSError as error:
        raise UserError(f"{option} {text}: {error.strerror}; name a readable file") from None
    if len(content) > _LONGEST_LIST:
        raise UserError(f"{option} {text}: it is longer than {_LONGEST_LIST:,} bytes; split it")
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        lines = ["\0"]
    if any("\0" in line for line in lines):
        raise UserError(f"{option} {text}: not a text file; name a readable one")
    return [line.partition("#")[0] for line in lines]


def ready_lake(settings: Settings) -> Lake:
    """The lake, created or opened, with these settings remembered.

    Raises SettingsError when memory does not allow the worker processes that are asked for.
    """
    from smallcaps_assets.pipeline.processes import allowed

    allowed(settings.run)
    return open_lake(
        settings.lake.root, market_of(settings).identity, remembered_settings(settings)
    )
