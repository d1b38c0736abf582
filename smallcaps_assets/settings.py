"""Every setting of the project: sections, fields, units, defaults and valid ranges.

Settings come, later ones winning, from the defaults below, from what the lake remembers, from
`smallcaps.toml`, from `SMALLCAPS_SECTION_FIELD` variables and from `--set section.field=value`.
A wrong name or value is refused with the list of valid ones. Secrets are never written anywhere.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    create_model,
    field_validator,
    model_validator,
)

ENV_PREFIX = "SMALLCAPS_"
KEY_VARIABLE = "POLYGON_API_KEY"
FLATFILE_KEY_VARIABLES = ("POLYGON_S3_ACCESS_KEY", "POLYGON_S3_SECRET_KEY")
DAS_PASSWORD_VARIABLE = "DAS_PASSWORD"
STORE_KEY_VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
POSTGRES_VARIABLE = "DAGSTER_POSTGRES_URL"
BROKER_VARIABLE = "CELERY_BROKER_URL"
FREE_CALLS = 5
"""Calls in any 61 s on the vendor's free plan."""
CONFIG_FILE = "smallcaps.toml"
UNION = "union"
"""Partition key of all periods in one; no period may have its name."""
PERIOD_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_\-]{0,63}")
THE_LAKE = "the lake"
_LONGEST_VALUE = 120
_KINDS = {" ": "blank", "\t": "tab", "\r": "line break", "\n": "line break"}
_IN_A_URL = re.compile(r"(?<=//)[^@\s]*(?=@)|(?<=\?)[^'\"\s]+")


# Fields younger than lakes that hold: at their default they are no part of a digest.
_YOUNGER = {
    "labels": {"from": "bar_close"},
    "selection": {
        "volatile": 500,
        "volatile_sessions": 252,
        "volatile_only": [],
        "volume_at_time": False,
    },
    "dataset": {"news_sentiment": False},
}


class SettingsError(ValueError):
    """A setting with an unknown name or an invalid value."""


class Section(BaseModel, extra="forbid", frozen=True, allow_inf_nan=False):
    """A group of settings: no unknown fields, finite numbers, values that can't be changed."""


def _names(value: Any) -> Any:
    """Names with commas between, or a JSON list of them, as a tuple."""
    if not isinstance(value, str):
        return value
    if not value.lstrip().startswith("["):
        return tuple(name.strip() for name in value.split(",") if name.strip())
    try:
        return tuple(json.loads(value))
    except (ValueError, RecursionError):
        raise ValueError('give names with commas between, or a JSON list as ["A", "B"]') from None


def _json_list(example: str) -> BeforeValidator:
    """Reads a list that is given as JSON, in a variable or with --set."""

    def read(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            raise ValueError(f"give a JSON list, such as {example}") from None

    return BeforeValidator(read)


def _one_of(kind: str, valid: Sequence[str]) -> AfterValidator:
    """Refuses names that are not valid ones."""

    def check(names: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in names if name not in valid]
        if unknown:
            raise ValueError(f"unknown {kind} {unknown[0]!r}; choose from {', '.join(valid)}")
        return names

    return AfterValidator(check)


FACILITIES = ("FNSQ", "FNQC", "FNYX", "FNRA", "FORF")
SECURITY_TYPES = (
    *("CS", "ADRC", "ADRP", "ADRR", "ADRW", "UNIT", "RIGHT", "PFD", "FUND", "SP", "WARRANT"),
    *("INDEX", "ETF", "ETN", "ETS", "ETV", "OS", "GDR", "NYRS", "AGEN", "EQLK", "BOND", "BASKET"),
    *("LT", "OTHER"),
)
EXCHANGES = ("XNAS", "XNYS", "XASE", "ARCX", "BATS", "IEXG", "LTSE")
SELECTION_RULES = ("info_rich", "intraday_trigger", "premarket_gap", "follow_up")
HALT_SOURCES = ("feed", "market_wide", "reopening", "inferred")
Names = Annotated[tuple[str, ...], BeforeValidator(_names)]


class MarketSettings(Section, frozen=True):
    name: Literal["simulated", "placebo", "recorded", "polygon"] = Field(
        default="simulated", description="where the data comes from"
    )
    recorded_dir: str = Field(default="", description="folder of flat files of the recorded market")
    start: date | None = Field(
        default=None, description="first session; the market's first if not given"
    )
    end: date | None = Field(
        default=None, description="last session; the market's last if not given"
    )


_SANDBOX_SPAN = timedelta(days=101)


class SandboxSettings(Section, frozen=True):
    seed: int = Field(default=7, ge=0, description="seed of the simulated market")
    tickers: int = Field(
        default=120, ge=20, le=20_000, description="tickers of the simulated market"
    )
    start: date = Field(default=date(2024, 10, 1), description="first simulated session")
    end: date = Field(
        default=date(2025, 1, 10), description="last simulated session; may be moved on"
    )
    season: int = Field(default=70, ge=3, description="sessions that are planned together")
    pump_days: int | None = Field(
        default=None, ge=0, description="wild days a season; scaled with the market if none"
    )
    trades_scale: float = Field(
        default=1.0, gt=0, le=100, description="factor on the number of trades"
    )
    edge: float = Field(
        default=1.0, ge=0, le=10, description="scale of what can be foretold; 0 nothing, 3 easy"
    )
    faults: tuple[str, ...] = Field(
        default=(), description="faults to inject, see the sandbox's grammar"
    )

    @field_validator("faults", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(v.strip() for v in value.split(";") if v) if isinstance(value, str) else value

    @model_validator(mode="before")
    @classmethod
    def _end_after_start(cls, values: Any) -> Any:
        """A start without an end keeps the usual length."""
        if isinstance(values, dict) and "start" in values and "end" not in values:
            try:
                start = date.fromisoformat(str(values["start"]))
                return values | {"end": start + _SANDBOX_SPAN}
            except (ValueError, OverflowError):
                return values  # the field's own check says what is wrong
        return values


def _is_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("give a URL such as https://api.massive.com")
    if "@" in value or parts.query:
        raise ValueError("a URL here has no user, password or parameters: it is stored and shown")
    return value


Url = Annotated[str, AfterValidator(_is_url)]


class LakeSettings(Section, frozen=True):
    root: str = Field(default="data", description="folder of the lake, or s3://bucket/prefix")
    home: str = Field(
        default="",
        description="local folder of Dagster's history and running state; the lake itself if local",
    )
    keep_replaced_days: float = Field(
        default=30, ge=0, description="days that replaced versions of raw files stay recoverable"
    )

    @property
    def local(self) -> str:
        """The local folder of what can't be in an object store: databases and locks."""
        if self.home or "://" not in self.root:
            return self.home or self.root
        return str(Path.home() / ".smallcaps" / re.sub(r"[^A-Za-z0-9.-]+", "_", self.root))

    @property
    def absolute(self) -> LakeSettings:
        """The same place for processes of another working folder."""
        local = str(Path(self.local).resolve())
        root = self.root if "://" in self.root else str(Path(self.root).resolve())
        return self.model_copy(update={"root": root, "home": "" if local == root else local})


class PolygonSettings(Section, frozen=True):
    url: Url = Field(default="https://api.massive.com", description="base URL of the REST API")
    flatfiles_url: Url = Field(
        default="https://files.massive.com", description="endpoint of the flat files"
    )
    flatfiles_bucket: str = Field(default="flatfiles", description="bucket of the flat files")
    flatfiles_dir: str = Field(
        default="", description="local folder of flat files, used instead of S3"
    )
    plan: Literal["free", "starter", "developer", "advanced"] = Field(
        default="advanced", description="plan; free means at most 5 calls in 61 s"
    )
    requests_per_second: float = Field(
        default=95, gt=0, le=100, description="cap of the adaptive rate"
    )
    hosts: int = Field(
        default=1,
        ge=1,
        le=1000,
        description="machines under this key; each takes its part of the pace, unless PostgreSQL"
        " keeps one pace for all",
    )
    workers: int = Field(default=16, ge=1, le=64, description="requests in flight")
    connect_timeout: float = Field(default=10, gt=0, description="seconds")
    read_timeout: float = Field(default=30, gt=0, description="seconds")
    retry_budget: float = Field(
        default=120, ge=0, description="seconds spent on retries of one request"
    )
    empty_seconds: float = Field(
        default=60,
        ge=0,
        le=3600,
        description="seconds between two readings of a list that should not be empty; 0 in the"
        " embedded market without such faults",
    )
    minute_route: Literal["auto", "flatfile", "rest"] = Field(
        default="auto", description="where minute bars come from"
    )
    trade_route: Literal["auto", "flatfile", "rest"] = Field(
        default="auto", description="where trades come from"
    )
    quote_route: Literal["auto", "flatfile", "rest"] = Field(
        default="auto", description="where quotes come from"
    )
    quote_shares_since: date = Field(
        default=date(2025, 11, 3),
        description="first session whose quotes have sizes in shares; round lots of 100 before",
    )

    @model_validator(mode="after")
    def _parts_of_the_free_plan(self) -> PolygonSettings:
        if self.plan == "free" and self.hosts > FREE_CALLS:
            raise ValueError(
                f"the free plan has {FREE_CALLS} calls a minute, too few for {self.hosts} hosts;"
                " keep Dagster's history in PostgreSQL, where they share one pace"
            )
        return self


class FinraSettings(Section, frozen=True):
    url: Url = Field(default="https://cdn.finra.org", description="base URL of the daily files")
    api_url: Url = Field(
        default="https://api.finra.org", description="base URL of the Query API (short interest)"
    )
    workers: int = Field(default=4, ge=1, le=8, description="files asked for at once")
    requests_per_second: float = Field(default=4, gt=0, le=20, description="polite pace")


class SecSettings(Section, frozen=True):
    url: Url = Field(default="https://www.sec.gov", description="base URL of files and indexes")
    data_url: Url = Field(
        default="https://data.sec.gov", description="base URL of the companies' submissions"
    )
    contact: str = Field(
        default="", description="who asks, such as 'Jane Doe jane@example.com'; the SEC wants it"
    )

    @field_validator("contact")
    @classmethod
    def _reachable(cls, value: str) -> str:
        if value and not re.search(r"\S+@\S+\.\S+", value):
            raise ValueError("give a name and an e-mail address, such as Jane Doe jane@example.com")
        if not value.strip().isprintable() or max(value, default="") > "ÿ":
            raise ValueError("it is sent as a header: one line of Latin letters")
        return value.strip()


class HaltSettings(Section, frozen=True):
    url: Url = Field(
        default="https://www.nasdaqtrader.com", description="base URL of the trade-halt feed"
    )
    seconds_per_request: float = Field(
        default=60, ge=0, description="pause between requests; Nasdaq asks for at least a minute"
    )


class ShortSettings(Section, frozen=True):
    interest_source: Literal["polygon", "finra"] = Field(
        default="polygon", description="where short interest comes from"
    )
    facilities: Annotated[Names, _one_of("facility", FACILITIES)] = Field(
        default=(), description="facilities whose files are read too: FNSQ FNQC FNYX FNRA FORF"
    )
    exchange_dir: str = Field(
        default="", description="local folder of the exchanges' own short-volume files"
    )


class UniverseSettings(Section, frozen=True):
    types: Annotated[Names, _one_of("security type", SECURITY_TYPES)] = Field(
        default=("CS",), min_length=1, description="security types; add ADRC if wanted"
    )
    exchanges: Annotated[Names, _one_of("exchange", EXCHANGES)] = Field(
        min_length=1, default=("XNAS", "XNYS", "XASE"), description="MICs of the listing exchanges"
    )
    max_market_cap: float = Field(
        default=2e9, gt=0, description="USD; unknown caps are kept and flagged"
    )


class MetricsSettings(Section, frozen=True):
    mean_sessions: int = Field(default=30, ge=1, description="traded sessions in the mean volume")
    min_sessions: int = Field(default=10, ge=1, description="fewest sessions for a relative volume")
    lookback_sessions: int = Field(default=60, ge=1, le=60, description="sessions looked back")
    max_close_age: int = Field(default=10, ge=1, description="sessions a previous close may be old")
    large_dividend: float = Field(
        default=0.05, gt=0, description="share of price subtracted from the base"
    )
    split_tolerance: float = Field(
        default=0.03, gt=0, lt=0.5, description="closeness of a jump to a split ratio"
    )


class SelectionSettings(Section, frozen=True):
    min_relative_volume: float = Field(
        default=2.0, ge=0, description="volume / mean of 30 sessions"
    )
    min_change: float = Field(default=0.15, ge=0, description="absolute change, fraction")
    min_dollar_volume: float = Field(default=5_000_000, ge=0, description="USD")
    min_price: float = Field(default=0.50, ge=0, description="USD")
    max_price: float = Field(default=20.00, gt=0, description="USD")
    min_gap: float = Field(default=0.10, ge=0, description="premarket_gap: absolute gap, fraction")
    min_premarket_volume: float = Field(default=100_000, ge=0, description="premarket_gap: shares")
    min_premarket_relative_volume: float = Field(
        default=2.0, ge=0, description="premarket_gap: ratio"
    )
    max_float: float = Field(default=100e6, gt=0, description="premarket_gap: shares, where known")
    tick_rules: Annotated[Names, _one_of("rule", SELECTION_RULES)] = Field(
        default=("info_rich", "intraday_trigger"), description="rules that create ticker-sessions"
    )
    runners: int = Field(default=50, ge=1, description="runners listed per session")
    runner_sessions: int = Field(
        default=252, ge=1, le=252, description="sessions counted for runners"
    )
    volatile: int = Field(default=500, ge=1, description="volatile tickers listed per session")
    volatile_sessions: int = Field(
        default=252, ge=20, le=252, description="sessions averaged for the volatile list"
    )
    volatile_only: Annotated[Names, _one_of("rule", SELECTION_RULES)] = Field(
        default=(),
        description="rules that hold only for tickers on the volatile list of the session before",
    )
    volume_at_time: bool = Field(
        default=False,
        description="intraday_trigger: volume against the usual by that minute, not of a whole day",
    )


class TickSettings(Section, frozen=True):
    after_hours: bool = Field(default=False, description="include trades after the scheduled close")
    closing_print_minutes: float = Field(
        default=10, ge=0, description="closing prints accepted after close"
    )
    max_unknown_volume: float = Field(
        default=0.005, ge=0, le=1, description="share of unknown conditions"
    )
    halt_silence_seconds: float = Field(default=290, gt=0, description="silence that means a halt")
    halt_prior_prints: int = Field(
        default=60, ge=1, description="prints needed in the 5 minutes before"
    )
    halt_sources: Annotated[Names, _one_of("source of halts", HALT_SOURCES)] = Field(
        default=HALT_SOURCES,
        description="where halts may come from; without reopening and inferred none is inferred",
    )

    @field_validator("halt_sources")
    @classmethod
    def _in_order(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(source for source in HALT_SOURCES if source in value)


class BarSettings(Section, frozen=True):
    dollar_target: float = Field(default=500_000, gt=0, description="dollar bars: USD")
    volume_target: float = Field(default=100_000, gt=0, description="volume bars: shares")
    dollar_imbalance_target: float = Field(default=50_000, gt=0, description="first threshold, USD")
    volume_imbalance_target: float = Field(
        default=10_000, gt=0, description="first threshold, shares"
    )
    alpha: float = Field(
        default=0.2, gt=0, le=1, description="weight of the newest bar in the averages"
    )
    gamma: float = Field(default=0.125, ge=0, le=1, description="loop gain: 0 fixed, 1 the book")
    kappa: float = Field(
        default=2.0, ge=1, description="threshold stays within target/kappa..target*kappa"
    )
    activity_scale: float = Field(
        default=0, ge=0, description="0 fixed; else target = this x trailing median dollar volume"
    )
    min_activity_target: float = Field(
        default=5_000, gt=0, description="lower clip of a scaled target"
    )
    max_activity_target: float = Field(
        default=5_000_000, gt=0, description="upper clip of a scaled target"
    )


class _LabelSettings(Section, frozen=True):
    take_profit: float = Field(default=0.15, gt=0, description="upper barrier, fraction")
    stop_loss: float = Field(default=0.10, gt=0, lt=1, description="lower barrier, fraction")
    timeout_seconds: float = Field(default=900, gt=0, description="vertical barrier")
    entry_delay_seconds: float = Field(
        default=1, ge=0, description="earliest entry after the decision"
    )
    confirm_seconds: float = Field(default=10, gt=0, description="window of the confirming print")
    volatility_multiple: float = Field(
        default=0, ge=0, description="0 fixed barriers; else multiples of EWMA volatility"
    )

    @property
    def is_from_entry(self) -> bool:
        """Whether barriers and returns are relative to the entry price."""
        return getattr(self, "from") == "entry"


if TYPE_CHECKING:
    LabelSettings = _LabelSettings
else:
    # `from` is a word of Python, which no class can declare as the name of a field.
    LabelSettings = create_model(
        "LabelSettings",
        __base__=_LabelSettings,
        __module__=__name__,
        **{
            "from": (
                Literal["bar_close", "entry"],
                Field(
                    default="bar_close",
                    description="price that barriers and returns are relative to: the deciding "
                    "bar's close, or the first print after entry_delay_seconds",
                ),
            )
        },
    )


class QuoteSettings(Section, frozen=True):
    enabled: bool | None = Field(
        default=None, description="fetch quotes with the trades; none: only in a simulated market"
    )


Minutes = Annotated[int, Field(ge=1, le=390)]


class PatternSettings(Section, frozen=True):
    opening_range_minutes: Annotated[tuple[Minutes, ...], BeforeValidator(_names)] = Field(
        default=(5, 15, 30),
        min_length=1,
        max_length=8,
        description="lengths of the opening ranges",
    )
    min_gap: float = Field(default=0.10, gt=0, description="gap and go: least |gap|, fraction")
    gap_minutes: float = Field(default=60, gt=0, description="gap and go: time after the open")
    vwap_closes: int = Field(
        default=5, ge=1, description="minute closes in a row on the other side of the vwap"
    )
    min_rise: float = Field(default=0.10, gt=0, description="first pullback: rise, fraction")
    rise_minutes: float = Field(default=30, gt=0, description="first pullback: time of the rise")
    min_retreat: float = Field(default=0.25, gt=0, lt=1, description="of the rise, to be armed")
    max_retreat: float = Field(default=0.60, gt=0, lt=1, description="of the rise; beyond: over")
    high_minutes: float = Field(
        default=10, gt=0, description="high-of-day breakout: least age of the high"
    )
    min_slope_t: float = Field(default=4, gt=0, description="parabolic: t of the slope")
    min_parabolic_return: float = Field(
        default=0.20, gt=0, description="parabolic: return over 15 minute closes, fraction"
    )


class Period(Section, frozen=True):
    name: str = Field(description="partition key of ml_dataset: letters, digits, - and _")
    start: date = Field(ge=date(1900, 1, 1), description="first session")
    end: date | None = Field(default=None, description="last session; none: open-ended")
    regime: str = Field(default="", description="free name of the market regime")
    ticks: bool = Field(
        default=False, description="sensors fetch the ticks of the whole period, not only new ones"
    )

    @property
    def last(self) -> date:
        """The last day; of an open-ended period the last that there is."""
        return self.end or date.max

    def covers(self, day: date) -> bool:
        """Whether a session lies in the period."""
        return self.start <= day <= self.last

    @field_validator("name")
    @classmethod
    def _is_key(cls, value: str) -> str:
        if not PERIOD_NAME.fullmatch(value) or value.lower() == UNION:
            raise ValueError(
                "choose another name: 1 to 64 letters, digits, - and _, a letter or digit first,"
                f" and not {UNION}"
            )
        return value

    @field_validator("end")
    @classmethod
    def _is_after_start(cls, value: date | None, info: ValidationInfo) -> date | None:
        start = info.data.get("start")
        if value is not None and start is not None and value < start:
            raise ValueError(f"it lies before the period's start {start}; exchange them")
        return value


class DatasetSettings(Section, frozen=True):
    periods: Annotated[
        tuple[Period, ...], _json_list('[{"name": "recent", "start": "2024-01-01"}]')
    ] = Field(
        default=(
            Period(
                name="v2_2004_2019",
                start=date(2004, 1, 1),
                end=date(2019, 12, 31),
                regime="before zero-commission retail",
            ),
            Period(
                name="v1_2020_2025",
                start=date(2020, 1, 1),
                end=date(2025, 12, 31),
                regime="zero-commission retail",
            ),
            Period(name="v3_2026", start=date(2026, 1, 1), regime="fractional shares on the tape"),
        ),
        description="date ranges that don't overlap; in a variable or --set a JSON list",
    )
    time_decay: float = Field(
        default=0.5, gt=-1, le=1, description="weight of the oldest; 1 is no decay"
    )
    news_sentiment: bool = Field(
        default=False,
        description="use the vendor's opinions of articles, which may have been added later",
    )

    @field_validator("periods")
    @classmethod
    def _are_apart(cls, value: tuple[Period, ...]) -> tuple[Period, ...]:
        names = [period.name.lower() for period in value]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two periods are named {name!r}, capitals or not; rename one")
        for one, other in pairwise(sorted(value, key=lambda period: period.start)):
            if other.start <= one.last:
                ends = f"ends {one.end}" if one.end else "has no end"
                raise ValueError(
                    f"period {one.name!r} {ends} and {other.name!r} starts {other.start};"
                    " choose ranges that don't overlap"
                )
        return value


MODEL_TARGETS = ("sign_5m", "sign_15m", "touch", "meta")
MODEL_ALGORITHMS = ("lightgbm", "xgboost", "logistic", "convolution")


class ModelSettings(Section, frozen=True):
    targets: Annotated[Names, _one_of("target", MODEL_TARGETS)] = Field(
        default=MODEL_TARGETS, min_length=1, description="what is foretold"
    )
    algorithms: Annotated[Names, _one_of("algorithm", MODEL_ALGORITHMS)] = Field(
        default=MODEL_ALGORITHMS[:3],
        min_length=1,
        description="what foretells it; convolution, of the last 64 bars, only where it is named",
    )
    train_months: int = Field(
        default=6, ge=1, le=120, description="months to train on; fewer where a lake is short"
    )
    validate_months: int = Field(default=1, ge=1, le=12, description="months to validate on")
    embargo_sessions: int = Field(
        default=1, ge=0, le=20, description="sessions left out before and after each block"
    )
    min_rows: int = Field(
        default=1000, ge=10, description="rows to train on, below which there is no model"
    )
    time_decay: float = Field(
        default=0.5, gt=-1, le=1, description="weight of a fold's oldest row; 1 is no decay"
    )
    rounds: int = Field(default=400, ge=1, le=10_000, description="rounds of boosting at most")
    patience: int = Field(
        default=40, ge=1, description="rounds without a better validation that end it"
    )
    trials: int = Field(
        default=0,
        ge=0,
        le=1000,
        description="parameters tried for the first test month of each year; 0: the defaults",
    )
    seed: int = Field(default=0, ge=0, description="seed of boosting and tuning")


class FamilySettings(Section, frozen=True):
    share: float = Field(
        default=0.04, gt=0, lt=0.5, description="share of the selected days a family has at least"
    )


PATTERN_NAMES = (
    "opening_range_breakout",
    "gap_and_go",
    "vwap_reclaim",
    "vwap_reject",
    "first_pullback",
    "halt_resumption",
    "high_of_day_breakout",
    "parabolic_exhaustion",
)
BASELINES = ("always_long", "random_side", "momentum", "every_pattern", "logistic")
ECN_PROFILES = ("retail", "prop", "add_liquidity")


class TradingRules(Section, frozen=True, validate_default=True):
    """How orders are sent, sized and limited; a strategy may have others than the backtest's."""

    entry: Literal["marketable", "passive"] = Field(
        default="marketable", description="a limit beyond the quote, or one at its own side"
    )
    latency_ms: int = Field(
        default=250, ge=0, le=60_000, description="from a decision until its order is live"
    )
    entry_seconds: float = Field(
        default=1, gt=0, le=3600, description="after which the rest of an entry is cancelled"
    )
    entry_slack: float = Field(
        default=0.01, ge=0, le=0.2, description="limit of a marketable entry beyond the quote at t0"
    )
    take_profit: float = Field(default=0.15, gt=0, le=10, description="of the entry's average")
    stop_loss: float = Field(default=0.10, gt=0, lt=1, description="of the entry's average")
    timeout_seconds: float = Field(default=900, gt=0, description="after t0 a trade is closed")
    entry_quote_age: float = Field(default=5, gt=0, description="seconds a quote may be old")
    exit_quote_age: float = Field(default=60, gt=0, description="the same for exits")
    long_only: bool = Field(default=True, description="no short sales")
    risk: float = Field(default=0.005, gt=0, le=1, description="share of equity lost at the stop")
    atr_multiple: float = Field(
        default=2, ge=0, description="stop distance in average ranges, as far as size goes; 0: none"
    )
    account_share: float = Field(default=0.10, gt=0, le=10, description="of equity in a trade")
    participation: float = Field(
        default=0.10, gt=0, le=1, description="of the volume of the minute before"
    )
    max_positions: int = Field(default=3, ge=1, description="open at once")
    max_day_loss: float = Field(
        default=0.02, gt=0, le=1, description="of the day's first equity, which ends the day"
    )
    max_drawdown: float = Field(
        default=0.20, gt=0, le=1, description="of the highest equity, which ends the strategy"
    )
    ecn: Literal["retail", "prop", "add_liquidity"] = Field(
        default="retail", description="what venues charge, see fees.csv"
    )
    commission: float = Field(default=0, ge=0, description="USD per share")
    locate: float = Field(default=0.02, ge=0, description="USD per share sold short")
    borrow_rate: float = Field(default=0.30, ge=0, description="a year, for nights short")


def _pairs(value: Any) -> Any:
    """A mapping as pairs in the order of the names: settings can't be changed."""
    return tuple(sorted(value.items())) if isinstance(value, Mapping) else value


Limits = Annotated[tuple[tuple[str, float], ...], BeforeValidator(_pairs)]
Values = Annotated[tuple[tuple[str, bool | int | float | str], ...], BeforeValidator(_pairs)]


class Strategy(Section, frozen=True):
    """What a strategy trades: events that a signal chooses, by the backtest's rules or others."""

    name: str = Field(description="partition key: letters, digits, - and _")
    signal: Literal["prediction", "pattern", *BASELINES] = Field(  # type: ignore[valid-type]
        description="what chooses its events: scores of a model, a pattern, or a baseline"
    )
    patterns: Annotated[Names, _one_of("pattern", PATTERN_NAMES)] = Field(
        default=(), description="which patterns; empty: each"
    )
    target: Literal[*MODEL_TARGETS] = Field(  # type: ignore[valid-type]
        default="sign_15m", description="what the model foretells"
    )
    algorithm: Literal[*MODEL_ALGORITHMS, "ensemble"] = Field(  # type: ignore[valid-type]
        default="ensemble", description="which model"
    )
    threshold: float | None = Field(
        default=None, ge=0, le=1, description="least probability; none: by the quantile"
    )
    quantile: float = Field(
        default=0.9, ge=0, lt=1, description="of the validation months' scores: the least score"
    )
    has_meta: bool = Field(
        default=False, description="the meta-model must score a pattern above the quantile, too"
    )
    at_least: Limits = Field(default=(), description="least values of features, by name")
    at_most: Limits = Field(default=(), description="greatest values of features, by name")
    rules: Values = Field(default=(), description="trading rules that differ from the backtest's")

    @property
    def asks_models(self) -> bool:
        """Whether it follows predictions."""
        return self.signal == "prediction" or self.has_meta

    @field_validator("name")
    @classmethod
    def _is_key(cls, value: str) -> str:
        if not PERIOD_NAME.fullmatch(value):
            raise ValueError("give 1 to 64 letters, digits, - and _, a letter or digit first")
        return value


USUAL_STRATEGIES = (
    *(Strategy(name=name, signal=name) for name in BASELINES),
    *(
        Strategy(name=name, signal="pattern", patterns=(name,))
        for name in PATTERN_NAMES
        if not name.startswith("vwap")
    ),
    Strategy(name="vwap", signal="pattern", patterns=("vwap_reclaim", "vwap_reject")),
    Strategy(name="model", signal="prediction"),
)


class BacktestSettings(TradingRules, frozen=True, validate_default=True):
    """The account, the rules that all strategies share, and the strategies."""

    equity: float = Field(default=50_000.0, gt=0, description="USD at the start of the first month")
    capacity: float = Field(
        default=0.20,
        gt=0,
        le=1,
        description="of the volume of the minute before: fills are known up to that size",
    )
    most_value: float = Field(
        default=50_000, gt=0, description="USD: fills are known up to a trade of that value"
    )
    latencies_ms: tuple[int, ...] = Field(
        default=(), description="other latencies to fill all candidates with"
    )
    tier_1: Names = Field(
        default=(), description="tickers whose price bands are those of tier 1; others: tier 2"
    )
    cost_profile: bool = Field(
        default=False,
        description="charge what the desk's fills cost beyond the model, see desk_slippage",
    )
    cost_profile_orders: int = Field(
        default=30,
        ge=1,
        description="with fewer orders a pattern is charged what all cost",
    )
    spread_model: Literal["reversals", "quarter"] = Field(
        default="reversals", description="how fills are modelled without quotes"
    )
    locate_shares: int = Field(
        default=0, ge=0, description="shares of a ticker that can be located a day; 0: no limit"
    )
    seed: int = Field(default=0, ge=0, description="seed of the random side")
    only: Names = Field(default=(), description="strategies to try; empty: all")
    strategies: Annotated[
        tuple[Strategy, ...],
        _json_list('[{"name": "gaps", "signal": "pattern", "patterns": ["gap_and_go"]}]'),
    ] = Field(
        default=(), description="strategies beside the usual ones, or in place of one by its name"
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        names = [strategy.name for strategy in self.strategies]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two strategies are named {name!r}; rename one")
        known = [strategy.name for strategy in self.every]
        unknown = [name for name in self.only if name not in known]
        if unknown:
            raise ValueError(f"unknown strategy {unknown[0]!r}; choose from {', '.join(known)}")
        for strategy in self.strategies:
            self.rules_of(strategy)
        return self

    @property
    def every(self) -> tuple[Strategy, ...]:
        """The usual strategies and the others, each name once."""
        own = {strategy.name: strategy for strategy in self.strategies}
        usual = [own.pop(strategy.name, strategy) for strategy in USUAL_STRATEGIES]
        return (*usual, *own.values())

    @property
    def chosen(self) -> tuple[Strategy, ...]:
        """The strategies to try."""
        return tuple(s for s in self.every if not self.only or s.name in self.only)

    @property
    def names(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(strategy.name for strategy in self.chosen)

    def rules_of(self, strategy: Strategy) -> TradingRules:
        """The rules by which a strategy trades. Raises ValueError for a wrong one."""
        fields = TradingRules.model_fields
        unknown = [name for name, _ in strategy.rules if name not in fields]
        if unknown:
            raise ValueError(
                f"strategy {strategy.name!r}: unknown rule {unknown[0]!r}; choose from"
                f" {', '.join(fields)}"
            )
        values = {name: getattr(self, name) for name in fields}
        try:
            return TradingRules.model_validate({**values, **dict(strategy.rules)})
        except ValidationError as error:
            first = error.errors()[0]
            raise ValueError(
                f"strategy {strategy.name!r}: rule {first['loc'][0]}={first['input']!r} is invalid:"
                f" {first['msg']}"
            ) from None


class RunSettings(Section, frozen=True):
    launcher: Literal["in_process", "celery", "kubernetes"] = Field(
        default="in_process",
        description="who works on queued runs: this machine, Celery workers on any, or a Kubernetes"
        " Job for each",
    )
    image: str = Field(
        default="smallcaps-assets",
        pattern=r"^[^\s]{1,500}$",
        description="image of the pods of run.launcher=kubernetes, of the version that serves",
    )
    namespace: str = Field(
        default="smallcaps",
        pattern=r"^[a-z0-9]([a-z0-9\-]{0,61}[a-z0-9])?$",
        description="namespace of those pods, their settings and their secrets",
    )
    pod_cpu: str = Field(
        default="2",
        pattern=r"^([1-9][0-9]*m?|[0-9]+\.[0-9]+)$",
        description="processors of a pod, as Kubernetes writes them: 2 or 1500m",
    )
    pod_memory: str = Field(
        default="8Gi",
        pattern=r"^[1-9][0-9]*(Mi|Gi|Ti|M|G|T)$",
        description="memory of a pod, as Kubernetes writes it: 8Gi",
    )
    keys_per_run: int | None = Field(
        default=None,
        ge=1,
        le=10_000,
        description="most partitions of a run, which is what a worker takes at once: none for 500,"
        " or for as many as the tables have on the UI's backfills",
    )
    threads: int = Field(
        default=2, ge=1, le=64, description="partitions fetched or worked on at once in a run"
    )
    processes: int | None = Field(
        default=None,
        ge=1,
        le=256,
        description="worker processes of a run that compute ticker-sessions: none for as many as"
        " processors and memory allow, 1 for the run's own",
    )
    max_missing: float = Field(
        default=0.02, ge=0, le=1, description="share of tickers that a partition may lack"
    )
    vendor_runs: int = Field(
        default=1,
        ge=1,
        description="queued runs that may ask the vendor for lists and bars at once",
    )
    tick_runs: int = Field(
        default=1,
        ge=1,
        description="queued runs of the tick chain that may run at once, each with its processes",
    )
    retries: int = Field(
        default=2, ge=0, le=10, description="retries of a run's step while a source is out of reach"
    )
    tick_sessions: int = Field(
        default=5,
        ge=0,
        description="newest sessions whose ticks sensors fetch by themselves, with any that were"
        " missed since; 0 fetches none",
    )
    catch_up_sessions: int = Field(
        default=20, ge=1, description="missed sessions that schedules and sensors make in one go"
    )
    history_days: float = Field(
        default=1,
        ge=0,
        description="a ticker's history is renewed at most this often by sensors; 0 never",
    )
    quiet_minutes: float = Field(
        default=30, ge=0, description="a period's dataset is made at most this often by sensors"
    )
    retry_seconds: float = Field(
        default=20, ge=0, description="pause before the first retry; doubled for the next"
    )


class DeskSettings(Section, frozen=True):
    host: str = Field(default="127.0.0.1", description="address of DAS Trader Pro's command API")
    port: int = Field(default=9800, ge=1, le=65_535, description="its port, as in DAS's Config.cfg")
    trader: str = Field(default="", description="login name; the password is in DAS_PASSWORD")
    account: str = Field(default="", description="account to log in with")
    accounts: Names = Field(default=(), description="accounts for which orders may be sent at all")
    route: str = Field(default="SMAT", description="route of closing and probing orders")
    collar: float = Field(
        default=0.05, gt=0, le=0.5, description="a closing order's limit, as a share of the quote"
    )
    oldest_feed_seconds: float = Field(
        default=30, gt=0, description="no entries once the feed has been silent for so long"
    )
    oldest_signal_seconds: float = Field(default=2, gt=0, description="an older signal is refused")
    unsettled_seconds: float = Field(
        default=30,
        gt=0,
        description="an unknown order or a mismatch of this age stops entries for good",
    )
    max_drift: float = Field(
        default=0.02,
        gt=0,
        le=1,
        description="no entries once the mid has gone so far ahead of that at the decision, as a"
        " share of it",
    )
    blocked: Names = Field(default=(), description="tickers that are not traded")
    min_price: float = Field(default=0.50, ge=0, description="USD per share: no entries below")
    max_price: float = Field(default=20.0, gt=0, description="USD per share: no entries above")
    oldest_quote_seconds: float = Field(default=5, gt=0, description="no entries on an older quote")
    max_spread: float = Field(
        default=0.05, gt=0, le=1, description="no entries with a wider one, as a share of the ask"
    )
    min_band_distance: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="no entries with a price band nearer than this, as a share of the quote",
    )
    lot: int = Field(default=1, ge=1, description="entries are multiples of so many shares")
    extended_collar: float = Field(
        default=0.03, gt=0, le=0.5, description="the collar outside of regular hours"
    )
    max_order_shares: int = Field(default=10_000, ge=1, description="shares of an entry")
    max_order_value: float = Field(default=10_000, gt=0, description="USD of an entry")
    needs_short_info: bool = Field(
        default=True, description="no short before the broker has told of shares to borrow"
    )
    max_symbol_value: float = Field(
        default=10_000, gt=0, description="USD of a ticker: position and open entries"
    )
    max_symbol_entries: int = Field(default=10, ge=1, description="entries of a ticker in a day")
    max_symbol_loss: float = Field(
        default=500, gt=0, description="USD lost in a ticker, after which it is not entered again"
    )
    max_symbol_losses: int = Field(
        default=3, ge=1, description="losing trips in a row after which it is not entered again"
    )
    max_gross_value: float = Field(
        default=50_000, gt=0, description="USD of all positions and open entries"
    )
    max_open_orders: int = Field(default=20, ge=1, description="orders open at once")
    pdt: Literal["legacy", "intraday_margin", "none"] = Field(
        default="intraday_margin",
        description="the broker's rule for day traders: three day trades in five sessions below"
        " 25,000 USD, a quarter of what is held as equity, or none",
    )
    max_day_orders: int = Field(default=500, ge=1, description="orders of a day")
    max_day_rejects: int = Field(default=20, ge=0, description="rejects of a day, then no entries")
    max_day_cancels: int = Field(default=500, ge=0, description="cancels of a day, then no entries")
    max_locate_cost: float = Field(
        default=100, ge=0, description="USD for locates of a day, then no entries"
    )
    on_day_loss: Literal["soft", "cancel", "flatten"] = Field(
        default="flatten",
        description="the kill switch's level at backtest.max_day_loss or backtest.max_drawdown",
    )


class Settings(Section, frozen=True):
    """All sections."""

    market: MarketSettings = MarketSettings()
    sandbox: SandboxSettings = SandboxSettings()
    lake: LakeSettings = LakeSettings()
    polygon: PolygonSettings = PolygonSettings()
    finra: FinraSettings = FinraSettings()
    sec: SecSettings = SecSettings()
    halts: HaltSettings = HaltSettings()
    short: ShortSettings = ShortSettings()
    universe: UniverseSettings = UniverseSettings()
    metrics: MetricsSettings = MetricsSettings()
    selection: SelectionSettings = SelectionSettings()
    ticks: TickSettings = TickSettings()
    bars: BarSettings = BarSettings()
    quotes: QuoteSettings = QuoteSettings()
    patterns: PatternSettings = PatternSettings()
    labels: LabelSettings = LabelSettings()
    dataset: DatasetSettings = DatasetSettings()
    models: ModelSettings = ModelSettings()
    families: FamilySettings = FamilySettings()

    backtest: BacktestSettings = BacktestSettings()

    run: RunSettings = RunSettings()
    desk: DeskSettings = DeskSettings()

    @property
    def desk_folder(self) -> Path:
        """Where the desk keeps its kill switch and, in a folder per session, its journals."""
        return Path(self.lake.local) / "desk"

    def digest(self, sections: Iterable[str]) -> str:
        """A hash of the values of some sections; written into the files that depend on them."""
        values = {name: getattr(self, name).model_dump(mode="json") for name in sorted(sections)}
        for section, fields in _YOUNGER.items():
            for field, default in fields.items():
                if section in values and values[section][field] == default:
                    del values[section][field]
        for period in values.get("dataset", {}).get("periods", ()):
            del period["ticks"]  # says what is fetched, not what a row is
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


Nested = Mapping[str, Mapping[str, Any]]


def load_settings(
    overrides: Iterable[str] = (),
    environment: Mapping[str, str] | None = None,
    config_file: Path | None = None,
    remembered: Nested | None = None,
) -> Settings:
    """Settings from all sources. Raises SettingsError naming source, field and remedy."""
    layers: list[tuple[str, Nested]] = [(THE_LAKE, remembered or {})]
    if config_file is not None:
        layers.append((str(config_file), read_config(config_file)))
    layers.append(("the environment", from_environment(environment or {})))
    layers.append(("--set", from_overrides(overrides)))
    merged: dict[str, dict[str, Any]] = {}
    for source, layer in layers:
        _merge(merged, source, layer)
    try:
        return Settings.model_validate(merged)
    except ValidationError as error:
        raise SettingsError(_explain(error, layers)) from None


def read_config(path: Path) -> Nested:
    """The tables of a TOML file. Raises SettingsError when it is missing or malformed."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise SettingsError(f"{path} does not exist; create it or leave the option out") from None
    except IsADirectoryError:
        raise SettingsError(
            f"{path} is a folder; name a settings file in it with --config"
        ) from None
    except (ValueError, RecursionError, OSError) as error:
        raise SettingsError(f"{path} is not valid TOML: {error}; mend or remove it") from None
    loose = [name for name, value in values.items() if not isinstance(value, dict)]
    if loose:
        raise SettingsError(f"{path}: {loose[0]!r} stands outside a section; {valid_names()}")
    return values


def from_environment(environment: Mapping[str, str]) -> Nested:
    """`SMALLCAPS_SECTION_FIELD` variables as nested values."""
    values: dict[str, dict[str, Any]] = {}
    for name, value in sorted(environment.items()):
        if name.startswith(ENV_PREFIX):
            section, _, field = name.removeprefix(ENV_PREFIX).lower().partition("_")
            values.setdefault(section, {})[field] = value
    return values


def from_overrides(overrides: Iterable[str]) -> Nested:
    """`section.field=value` strings as nested values."""
    values: dict[str, dict[str, Any]] = {}
    for item in overrides:
        name, equals, value = item.partition("=")
        section, dot, field = name.strip().partition(".")
        if not equals or not dot:
            raise SettingsError(f"--set {name!r} is not of the form section.field=value")
        values.setdefault(section, {})[field] = value.strip()
    return values


def explicit(settings: Settings, sections: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The values of some sections that differ from the defaults, ready to be remembered."""
    changed: dict[str, dict[str, Any]] = {}
    for name in sections:
        section, default = getattr(settings, name), getattr(Settings(), name)
        for field in type(section).model_fields:
            if getattr(section, field) != getattr(default, field):
                values = section.model_dump(mode="json")
                changed.setdefault(name, {})[field] = values[field]
    return changed


def valid_names(section: str | None = None) -> str:
    """A sentence that lists the sections, or the fields of one."""
    if section is None:
        return "valid sections are " + ", ".join(Settings.model_fields)
    model = type(getattr(Settings(), section))
    return f"valid fields of {section} are " + ", ".join(model.model_fields)


def _merge(merged: dict[str, dict[str, Any]], source: str, layer: Nested) -> None:
    for section, fields in layer.items():
        if section not in Settings.model_fields:
            raise SettingsError(f"{source}: unknown section {section!r}; {valid_names()}")
        known = type(getattr(Settings(), section)).model_fields
        for field, value in fields.items():
            if field not in known:
                raise SettingsError(
                    f"{source}: unknown setting {section}.{field}; {valid_names(section)}"
                )
            merged.setdefault(section, {})[field] = value


def _explain(error: ValidationError, layers: Sequence[tuple[str, Nested]]) -> str:
    """Setting, value and remedy of the first error; what the lake remembers can be replaced."""
    first = error.errors()[0]
    place, reason = [*map(str, first["loc"])], first["msg"].removeprefix("Value error, ")
    told = f"setting {'.'.join(place)}={_shown(first.get('input'))} is invalid: {reason}"
    section, field = [*place, ""][:2]
    source = next((s for s, layer in reversed(layers) if field in layer.get(section, {})), "")
    if source != THE_LAKE:
        return told
    return f"{THE_LAKE}: {told}; give {section}.{field} anew in {CONFIG_FILE} or by --set"


def _shown(value: Any) -> str:
    text = _IN_A_URL.sub("***", str(value) if isinstance(value, date) else repr(value))
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."


def api_key(environment: Mapping[str, str]) -> SecretStr | None:
    """The vendor's key, if there is one. Raises as `secret_of`."""
    return secret_of(environment, KEY_VARIABLE)


def secret_of(environment: Mapping[str, str], name: str) -> SecretStr | None:
    """A secret of the environment, if there is one; blanks and line ends around it don't count.

    Raises SettingsError, which never tells the value, when it can't be a key.
    """
    value = environment.get(name, "").strip()
    if problem := secret_problem(value):
        raise SettingsError(f"{name} {problem}; copy it again")
    return SecretStr(value) if value else None


def secret_problem(value: str) -> str:
    """What makes a text no key, without telling it: keys go into headers. Empty when it is good."""
    for number, character in enumerate(value, 1):
        if not "!" <= character <= "~":
            kind = (
                _KINDS.get(character)
                or ("control character", "letter outside ASCII")[character.isprintable()]
            )
            return f"can't be a key: its character {number} of {len(value)} is a {kind}"
    return ""
