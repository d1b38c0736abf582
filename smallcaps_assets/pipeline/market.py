"""The market a lake holds: what the client talks to, and which sessions exist.

An embedded market is served by the process that started this one for its children, or else inside
this process, on a port of its own. The client gets a base URL and a key and can't tell the
difference.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from smallcaps_assets.domain.market.calendar import (
    LAST_DAY,
    NEW_YORK,
    nearest_sessions,
    sessions,
    shift_session,
)
from smallcaps_assets.lake import LakeIdentity
from smallcaps_assets.lake.market import read_identity
from smallcaps_assets.pipeline.shared import shared
from smallcaps_assets.schemas import METRICS_WINDOW, OPS, TABLES
from smallcaps_assets.settings import KEY_VARIABLE, Settings, SettingsError, api_key

_LATEST_PUBLICATION = timedelta(days=60)
"""Figures of a session come out that much later at most; the calendar has to reach so far."""
SEC_TABLES = ("filings", "fails_to_deliver")
_SERVED_VARIABLE = "_SMALLCAPS_SERVED"
VENDOR_HISTORY_START = date(2003, 9, 10)
BESIDE_PRICES = ("short_data", "events", "fundamentals")
"""Groups of the feeds."""
_SANDBOX_IDENTITY = ("seed", "tickers", "start", "season", "pump_days", "trades_scale", "edge")
MARKET_GENERATION = 2
"""Grows when the same settings make another simulated market; lakes of an earlier one are kept
apart from it."""


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


class Market:
    """Where the data of some settings comes from; `market_of` chooses one of the three kinds."""

    is_embedded = True
    """Whether it is served by this process, and not by the vendor and the regulators."""
    is_complete = True
    """Whether every session has all files; recordings have gaps."""
    absent_tables: tuple[str, ...] = ()
    """Tables of which the market has no source."""
    free_tables: tuple[str, ...] = ()
    """Optional tables that the main job fetches all the same, since they cost nothing here."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.name = settings.market.name

    @property
    def identity(self) -> LakeIdentity:
        """What makes two lakes the same market."""
        raise NotImplementedError

    def _sessions(self) -> list[date]:
        raise NotImplementedError

    @property
    def span(self) -> tuple[date, date]:
        """First and last session."""
        days = self._sessions()
        if not days:
            raise SettingsError("the market has no session; choose a later sandbox.end")
        return days[0], days[-1]

    @property
    def span_so_far(self) -> tuple[date, date]:
        """First and last session that a request can name today."""
        return self.span

    @property
    def usual_span(self) -> tuple[date, date]:
        """First and last session of a request that names none."""
        return self.span

    @property
    def last_day(self) -> date:
        """The newest day of which the market's sources can know something."""
        return datetime.now(NEW_YORK).date()

    @property
    def left_out(self) -> set[str]:
        """Tables that the main job does not make: the optional ones, and those without a source."""
        optional = {name for name, table in TABLES.items() if table.is_optional}
        fetched = {*self.free_tables, *(("quotes",) if self.has_quotes else ())}
        return (optional - fetched) | {*self.absent_tables}

    @property
    def has_quotes(self) -> bool:
        """Whether quotes are fetched with the trades: by the settings, else in a simulated one."""
        enabled = self.settings.quotes.enabled
        return self.name == "simulated" if enabled is None else enabled

    def with_daily_bars(self, keys: Sequence[str]) -> list[str]:
        """Those of some session keys for which the market has daily bars."""
        return list(keys)

    def check(self, start: date, end: date) -> None:
        """Refuse, before anything is written, a market that can't be served from start to end.

        An embedded one is started, which refuses impossible settings; those of a lake were started
        before.
        """
        if self.settings.sandbox.faults or read_identity(self.settings.lake.root) is None:
            self.endpoints()

    def endpoints(self, environment: Mapping[str, str] | None = None) -> Endpoints:
        """Where the market is served; starts an embedded one if need be."""
        environment = os.environ if environment is None else environment
        shared_urls = json.loads(environment.get(_SERVED_VARIABLE, "{}"))
        url = shared_urls.get(self._place) or self.started_server().url
        return Endpoints(url, url, url, "sandbox", url, url, url, url)

    @contextmanager
    def served(self) -> Iterator[dict[str, str]]:
        """Serve an embedded market, made once for this process and its children.

        Yields the environment by which children with the same settings find it.
        """
        with self.server() as sandbox:
            yield {_SERVED_VARIABLE: json.dumps({self._place: sandbox.url})}

    @property
    def _place(self) -> str:
        """A text that is equal for equal embedded markets, their end and faults included."""
        return f"{self.name} {self._options()}"

    def server(self, port: int = 0) -> Any:
        """A server of the embedded market of its own, not yet started; port 0 finds a free one."""
        return _sandbox(self.name, self._options(), port)

    def started_server(self) -> Any:
        """The server of the embedded market that this process shares."""
        return _started(self.name, self._options())

    def _options(self) -> tuple[tuple[str, Any], ...]:
        return tuple(sorted({**dict(self.settings.sandbox), **self._own_options()}.items()))

    def _own_options(self) -> dict[str, Any]:
        return {}


class Simulated(Market):
    """Made from a seed; also the placebo, in which nothing can be predicted."""

    free_tables = ("news", "ticker_events", *OPS["statements"].tables)

    @property
    def identity(self) -> LakeIdentity:
        """Where a simulated market ends is no part of it."""
        values = self.settings.sandbox.model_dump(mode="json")
        given = {field: values[field] for field in _SANDBOX_IDENTITY if values[field] is not None}
        return LakeIdentity(self.name, {"generation": MARKET_GENERATION, **given})

    def _sessions(self) -> list[date]:
        return sessions(self.settings.sandbox.start, self.settings.sandbox.end)

    @property
    def last_day(self) -> date:
        """Its sources know nothing after the last session."""
        return self.span[1]


class Recorded(Market):
    """A folder of the vendor's flat files: prices alone, with gaps."""

    is_complete = False
    absent_tables = (*(n for n, t in TABLES.items() if t.group in BESIDE_PRICES), "quotes")

    @property
    def folder(self) -> Path:
        """The folder. Raises SettingsError when there is none."""
        path = Path(self.settings.market.recorded_dir).expanduser()
        if not self.settings.market.recorded_dir or not path.is_dir():
            raise SettingsError(
                f"recorded market folder {str(path)!r} does not exist; give it as recorded:DIR"
            )
        return path.resolve()

    @property
    def identity(self) -> LakeIdentity:
        """The folder."""
        return LakeIdentity(self.name, {"dir": str(self.folder)})

    def _sessions(self) -> list[date]:
        folder = self.folder
        days = _recorded_days(folder, "day_aggs_v1")
        if not days:
            raise SettingsError(
                f"recorded market {folder} has no us_stocks_sip/day_aggs_v1 files;"
                " name its top folder"
            )
        return days

    @property
    def usual_span(self) -> tuple[date, date]:
        """The sessions that have trades; all of them if none has."""
        days = _recorded_days(self.folder, "trades_v1")
        return (days[0], days[-1]) if days else self.span

    def with_daily_bars(self, keys: Sequence[str]) -> list[str]:
        """Those that have a file."""
        recorded = {day.isoformat() for day in self._sessions()}
        return [key for key in keys if key in recorded]

    def check(self, start: date, end: date) -> None:
        """Read every file of the range, and the daily bars that its metrics look back on."""
        from smallcaps_assets.sandbox import RecordedMarket

        market = RecordedMarket(self.folder)
        market.check(start, end)
        first = max(self.span[0], shift_session(start, -METRICS_WINDOW))
        earlier = [day.isoformat() for day in sessions(first, start)]
        for key in self.with_daily_bars(earlier):
            market.check(date.fromisoformat(key), date.fromisoformat(key), ["day_aggs_v1"])
        super().check(start, end)

    def _own_options(self) -> dict[str, Any]:
        return {"recorded_dir": self.folder}


class Vendor(Market):
    """Polygon, and the regulators themselves."""

    is_embedded = False

    @property
    def identity(self) -> LakeIdentity:
        """There is one such market."""
        return LakeIdentity(self.name, {})

    def _sessions(self) -> list[date]:
        return sessions(VENDOR_HISTORY_START, LAST_DAY - _LATEST_PUBLICATION)

    @property
    def span_so_far(self) -> tuple[date, date]:
        """Up to the newest session."""
        first, last = self.span
        return first, min(last, nearest_sessions(date.today())[0])

    @property
    def usual_span(self) -> tuple[date, date]:
        """The newest session."""
        newest = self.span_so_far[1]
        return newest, newest

    @property
    def left_out(self) -> set[str]:
        """Also the SEC's tables, where the SEC can't be told who asks."""
        return super().left_out | {*(() if self.settings.sec.contact else SEC_TABLES)}

    def check(self, start: date, end: date) -> None:
        """Nothing: only a request can tell whether the vendor answers."""

    @contextmanager
    def served(self) -> Iterator[dict[str, str]]:
        """Nothing: the vendor serves."""
        yield {}

    def endpoints(self, environment: Mapping[str, str] | None = None) -> Endpoints:
        """The hosts of the settings. Raises SettingsError without a key in the environment."""
        key = api_key(os.environ if environment is None else environment)
        if key is None:
            raise SettingsError(
                f"market polygon needs a key: set {KEY_VARIABLE}, or choose --market simulated"
            )
        polygon, finra, sec = self.settings.polygon, self.settings.finra, self.settings.sec
        return Endpoints(
            *(polygon.url, polygon.flatfiles_url, finra.url, key.get_secret_value()),
            *(finra.api_url, sec.url, sec.data_url, self.settings.halts.url),
        )


_KINDS: dict[str, type[Market]] = {
    "simulated": Simulated,
    "placebo": Simulated,
    "recorded": Recorded,
    "polygon": Vendor,
}


def market_of(settings: Settings) -> Market:
    """The market of some settings."""
    return _KINDS[settings.market.name](settings)


@shared
def _started(kind: str, options: tuple[tuple[str, Any], ...]) -> Any:
    return _sandbox(kind, options, 0).start()


def _sandbox(kind: str, options: tuple[tuple[str, Any], ...], port: int) -> Any:
    from smallcaps_assets.sandbox import Sandbox, SandboxConfig

    return Sandbox(SandboxConfig(kind=kind, port=port, **dict(options)))  # type: ignore[arg-type]


def _recorded_days(folder: Path, data_set: str) -> list[date]:
    """Days that have a file of a data set; a file of another name is none of ours."""
    names = (path.name for path in folder.glob(f"us_stocks_sip/{data_set}/*/*/*.csv.gz"))
    found = (re.fullmatch(r"(\d{4}-\d{2}-\d{2})\.csv\.gz", name) for name in names)
    return sorted(date.fromisoformat(match[1]) for match in found if match)
