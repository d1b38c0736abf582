"""The market a lake holds: what the client talks to, and which sessions exist.

For the embedded markets a local server is started inside this process, on a port of its own. The
client gets a base URL and a key and can't tell the difference.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from smallcaps_assets.domain.market.calendar import LAST_DAY, NEW_YORK, sessions
from smallcaps_assets.lake import LakeIdentity
from smallcaps_assets.pipeline.shared import shared
from smallcaps_assets.schemas import TABLES
from smallcaps_assets.settings import KEY_VARIABLE, Settings, SettingsError, api_key

_LATEST_PUBLICATION = timedelta(days=60)
"""Figures of a session come out that much later at most; the calendar has to reach so far."""
SEC_TABLES = ("filings", "fails_to_deliver")
VENDOR_HISTORY_START = date(2003, 9, 10)
BESIDE_PRICES = ("short_data", "events", "fundamentals")
"""Groups of the feeds."""
_SANDBOX_IDENTITY = ("seed", "tickers", "start", "season", "pump_days", "trades_scale")


@dataclass(frozen=True)
class Endpoints:
    """Base URLs and key of one market."""

    rest: str
    flatfiles: str
    finra: str
    key: str
    finra_api: str
    sec: str
    sec_data: str
    halts: str

    def __repr__(self) -> str:
        return f"Endpoints({self.rest}, {self.flatfiles}, {self.finra}, key=***)"


def market_identity(settings: Settings) -> LakeIdentity:
    """What makes two lakes the same market; where a simulated one ends is no part of it."""
    name = settings.market.name
    if name == "polygon":
        return LakeIdentity(name, {})
    if name == "recorded":
        return LakeIdentity(name, {"dir": str(recorded_dir(settings))})
    values = settings.sandbox.model_dump(mode="json")
    given = {field: values[field] for field in _SANDBOX_IDENTITY if values[field] is not None}
    return LakeIdentity(name, given, _formerly(given))


def _formerly(given: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    """The parameters of version 0.1.0, whose markets were planned up to their end: one season."""
    kept = {name: value for name, value in given.items() if name != "season"}
    days = sessions(date.fromisoformat(given["start"]), LAST_DAY)[: given["season"] + 1]
    if len(days) <= given["season"]:
        return ()
    last, following = (day.toordinal() for day in days[-2:])
    return tuple(kept | {"end": str(date.fromordinal(day))} for day in range(last, following))


def recorded_dir(settings: Settings) -> Path:
    """The folder of a recorded market. Raises SettingsError when there is none."""
    path = Path(settings.market.recorded_dir).expanduser()
    if not settings.market.recorded_dir or not path.is_dir():
        raise SettingsError(
            f"recorded market folder {str(path)!r} does not exist; give it as recorded:DIR"
        )
    return path.resolve()


def market_range(settings: Settings) -> tuple[date, date]:
    """First and last session of the market."""
    if settings.market.name == "polygon":
        days = sessions(VENDOR_HISTORY_START, LAST_DAY - _LATEST_PUBLICATION)
    elif settings.market.name == "recorded":
        days = _recorded_sessions(recorded_dir(settings))
    else:
        days = sessions(settings.sandbox.start, settings.sandbox.end)
    if not days:
        raise SettingsError("the market has no session; choose a later sandbox.end")
    return days[0], days[-1]


def last_day(settings: Settings) -> date:
    """The newest day of which the market's sources can know something."""
    today = datetime.now(NEW_YORK).date()
    if settings.market.name in ("polygon", "recorded"):
        return today
    return market_range(settings)[1]


def absent_tables(settings: Settings) -> tuple[str, ...]:
    """Tables of which the market has no source: a recording has prices alone."""
    if settings.market.name != "recorded":
        return ()
    return tuple(name for name, table in TABLES.items() if table.group in BESIDE_PRICES)


def left_out(settings: Settings) -> set[str]:
    """Tables that the main job does not make: the optional ones, those of which the market has no
    source, and the SEC's where it can't be told who asks."""
    optional = {name for name, table in TABLES.items() if table.is_optional}
    is_named = settings.sec.contact or settings.market.name != "polygon"
    return optional | {*absent_tables(settings), *(() if is_named else SEC_TABLES)}


def has_daily_bars(settings: Settings, keys: Sequence[str]) -> list[str]:
    """Those of some session keys for which the market has daily bars; recordings have gaps."""
    if settings.market.name != "recorded":
        return list(keys)
    held = {day.isoformat() for day in _recorded_sessions(recorded_dir(settings))}
    return [key for key in keys if key in held]


def recorded_ticks(settings: Settings) -> tuple[date, date] | None:
    """First and last session of a recorded market that have trades; None if none has."""
    days = _recorded_days(recorded_dir(settings), "trades_v1")
    return (days[0], days[-1]) if days else None


def endpoints(settings: Settings, environment: Mapping[str, str] | None = None) -> Endpoints:
    """Where the market of these settings is served; starts the embedded one if need be."""
    if settings.market.name == "polygon":
        return _vendor(settings, os.environ if environment is None else environment)
    sandbox = _started(settings.market.name, _sandbox_options(settings))
    others = sandbox.regulators_url
    return Endpoints(
        *(sandbox.url, sandbox.flatfiles_url, sandbox.finra_url, "sandbox"),
        *(others, others, others, others),
    )


def _vendor(settings: Settings, environment: Mapping[str, str]) -> Endpoints:
    key = api_key(environment)
    if key is None:
        raise SettingsError(
            f"market polygon needs a key: set {KEY_VARIABLE}, or choose --market simulated"
        )
    polygon, finra, sec = settings.polygon, settings.finra, settings.sec
    return Endpoints(
        *(polygon.url, polygon.flatfiles_url, finra.url, key.get_secret_value()),
        *(finra.api_url, sec.url, sec.data_url, settings.halts.url),
    )


def _sandbox_options(settings: Settings) -> tuple[tuple[str, Any], ...]:
    values: dict[str, Any] = dict(settings.sandbox)
    if settings.market.name == "recorded":
        values["recorded_dir"] = recorded_dir(settings)
    return tuple(sorted(values.items()))


def embedded_market(settings: Settings, port: int = 0) -> Any:
    """A server of the embedded market of its own, not yet started; port 0 finds a free one."""
    return _sandbox(settings.market.name, _sandbox_options(settings), port)


@shared
def _started(kind: str, options: tuple[tuple[str, Any], ...]) -> Any:
    return _sandbox(kind, options, 0).start()


def _sandbox(kind: str, options: tuple[tuple[str, Any], ...], port: int) -> Any:
    from smallcaps_assets.sandbox import Sandbox, SandboxConfig

    return Sandbox(SandboxConfig(kind=kind, port=port, **dict(options)))  # type: ignore[arg-type]


def _recorded_sessions(folder: Path) -> list[date]:
    days = _recorded_days(folder, "day_aggs_v1")
    if not days:
        raise SettingsError(
            f"recorded market {folder} has no us_stocks_sip/day_aggs_v1 files; name its top folder"
        )
    return days


def _recorded_days(folder: Path, data_set: str) -> list[date]:
    """Days that have a file of a data set; a file of another name is none of ours."""
    names = (path.name for path in folder.glob(f"us_stocks_sip/{data_set}/*/*/*.csv.gz"))
    found = (re.fullmatch(r"(\d{4}-\d{2}-\d{2})\.csv\.gz", name) for name in names)
    return sorted(date.fromisoformat(match[1]) for match in found if match)
