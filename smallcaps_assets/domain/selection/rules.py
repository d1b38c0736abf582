"""Selection: which ticker-days are worth their ticks, and when each rule was known to hold.

Holds the four rules of the watchlist, the runners, the registry of ticker-sessions and the density
report. The exact moment `known_at` is the point: labelling inside a day that was chosen by its own
close is look-ahead. The quantities that the rules compare belong to `metrics`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date

import numpy as np
import polars as pl

from smallcaps_assets.domain.market.calendar import SessionHours, shift_session
from smallcaps_assets.domain.market.metrics import MINUTE_NS, at_least, at_most, typical_price
from smallcaps_assets.domain.market.suspects import SPLIT, decided, premarket_suspicion
from smallcaps_assets.schemas.tables import TABLES
from smallcaps_assets.settings import SelectionSettings

_COLUMNS = tuple(TABLES["watchlist"].columns)
UsualVolumes = Callable[[list[str]], Mapping[str, np.ndarray]]
"""Of some tickers the usual volume by the end of each minute since 04:00, where it is known."""
_SUSPICION = (
    "jump_ratio",
    "split_factor",
    "premarket_mean_so_far",
    "suspect_decision",
    "is_suspect_at_open",
)


# Watchlist ---------------------------------------------------------------------------------------
def watchlist(
    metrics: pl.DataFrame,
    minutes: pl.DataFrame | None,
    universe: pl.DataFrame,
    previous_watchlist: pl.DataFrame,
    runners: pl.DataFrame,
    hours: SessionHours,
    settings: SelectionSettings,
    listed: pl.DataFrame | None = None,
    usual: UsualVolumes | None = None,
) -> pl.DataFrame:
    """The table `watchlist` of one session: a row per ticker and rule that holds.

    `metrics`, `minutes` and `universe` are the session's own (minutes may be None), the other two
    the previous session's watchlist and runners (may be empty). Thresholds are inclusive unless
    a rule says otherwise. Tickers outside the universe are out, and for rules of
    `settings.volatile_only` those outside `listed`, the volatile list of the session before.

    Each rule judges by itself whether the day looks like a split that the vendor's list lacks, and
    only by what is known at its moment: a day left out for how it went on would leave those that
    came back, and the running return would seem to foretell them.
    """
    members = universe.filter(pl.col("date") == hours.date)
    traded = metrics.filter(pl.col("date") == hours.date).join(members, on="ticker", how="semi")
    rules = [
        info_rich(traded, hours, settings),
        intraday_trigger(traded, minutes, hours, settings, usual),
        premarket_gap(traded, minutes, members, hours, settings),
        follow_up(members, traded, previous_watchlist, runners, hours),
    ]
    held = pl.concat(rules, how="vertical_relaxed")
    if settings.volatile_only:
        volatile = TABLES["volatile"].empty() if listed is None else listed
        is_listed = pl.col("identity").is_in(volatile["identity"].implode())
        held = held.filter(is_listed | ~pl.col("rule").is_in(settings.volatile_only))
    return TABLES["watchlist"].validate(held)


def _rows(frame: pl.DataFrame, rule: str, known_at: pl.Expr, **judged: pl.Expr) -> pl.DataFrame:
    """Watchlist columns of one rule; `known_at` is in UTC nanoseconds."""
    return frame.with_columns(
        known_at.cast(pl.Int64).cast(pl.Datetime("ns", "UTC")).alias("known_at"),
        pl.lit(rule).alias("rule"),
        **{name: value.cast(pl.Float64) for name, value in judged.items()},
    ).select(_COLUMNS)


def _is_priced(price: str, settings: SelectionSettings) -> pl.Expr:
    value = pl.col(price)
    return at_least(value, settings.min_price) & at_most(value, settings.max_price)


def info_rich(
    metrics: pl.DataFrame, hours: SessionHours, settings: SelectionSettings
) -> pl.DataFrame:
    """Days that moved on volume from close to close; known only at the scheduled close.

    Suspicion is that of the close.
    """
    held = metrics.filter(
        ~pl.col("is_suspect_at_close"),
        at_least(pl.col("rvol30"), settings.min_relative_volume),
        at_least(pl.col("pct_change").abs(), settings.min_change),
        at_least(pl.col("dollar_volume"), settings.min_dollar_volume),
        _is_priced("close", settings),
    )
    return _rows(
        held,
        "info_rich",
        pl.lit(hours.close),
        price=pl.col("close"),
        change=pl.col("pct_change"),
        relative_volume=pl.col("rvol30"),
        dollar_volume=pl.col("dollar_volume"),
    )


def intraday_trigger(
    metrics: pl.DataFrame,
    minutes: pl.DataFrame | None,
    hours: SessionHours,
    settings: SelectionSettings,
    usual: UsualVolumes | None = None,
) -> pl.DataFrame:
    """First minute at whose end the running figures hold together; known at that end.

    Compared are the minute's close with previous_close, dollars and volume since 04:00, and the
    minute's close with the price range. With `settings.volume_at_time` volume is compared with what
    is `usual` by that minute; where that is not known, nothing is selected. Minutes from the
    scheduled close on are ignored, and those at which the day looks like a missing split: before
    09:30 by the premarket volume until then, from then on by all of it.
    """
    moved = _running(metrics, minutes, hours).filter(
        at_least(pl.col("change").abs(), settings.min_change),
        at_least(pl.col("dollars"), settings.min_dollar_volume),
        _is_priced("minute_close", settings),
    )
    if settings.volume_at_time:
        moved = _by_time_of_day(moved, hours, usual or (lambda tickers: {}))
    judged = moved.filter(at_least(pl.col("relative"), settings.min_relative_volume))
    sound = judged.join(metrics.select("ticker", *_SUSPICION), on="ticker", how="left").filter(
        ~_is_suspect_by_then(hours)
    )
    return _rows(
        sound.unique("ticker", keep="first", maintain_order=True).drop("dollar_volume"),
        "intraday_trigger",
        pl.col("start") + MINUTE_NS,
        price=pl.col("minute_close"),
        relative_volume=pl.col("relative"),
        dollar_volume=pl.col("dollars"),
    )


def _by_time_of_day(
    running: pl.DataFrame, hours: SessionHours, usual: UsualVolumes
) -> pl.DataFrame:
    """Minutes of `_running` with their volume so far relative to the usual by their ends."""
    number = (pl.col("start") - hours.premarket_open) // MINUTE_NS
    curves = [
        pl.DataFrame({"number": np.arange(curve.size), "usual": curve}).with_columns(
            ticker=pl.lit(t)
        )
        for t, curve in usual(running["ticker"].unique().sort().to_list()).items()
    ]
    if not curves:
        return running.clear()
    told = running.with_columns(number.alias("number")).join(
        pl.concat(curves), on=["ticker", "number"], maintain_order="left"
    )
    relative = pl.when(pl.col("usual") > 0).then(pl.col("so_far") / pl.col("usual"))
    return told.with_columns(relative.alias("relative")).drop("number", "usual")


def _is_suspect_by_then(hours: SessionHours) -> pl.Expr:
    """Whether the day looks like a missing split at the end of a minute of `_running`."""
    number = (pl.col("start") - hours.premarket_open) // MINUTE_NS
    usual = pl.col("premarket_mean_so_far").list.get(number, null_on_oob=True)
    before_open = decided(premarket_suspicion(pl.col("so_far"), usual))
    return (
        pl.when(pl.col("start") < hours.open)
        .then(before_open)
        .otherwise(pl.col("is_suspect_at_open"))
    )


def _running(
    metrics: pl.DataFrame, minutes: pl.DataFrame | None, hours: SessionHours
) -> pl.DataFrame:
    """Per minute of the session: its close, and change, dollars and volume so far."""
    judgeable = metrics.filter(
        pl.col("previous_close").is_not_null(), pl.col("mean_volume30") > 0
    ).select(
        "date",
        "ticker",
        "identity",
        "previous_close",
        "mean_volume30",
        "dollar_volume",
    )
    return (
        _session_minutes(minutes, hours)
        .select(
            "ticker",
            "start",
            pl.col("close").alias("minute_close"),
            (typical_price() * pl.col("volume")).alias("dollars"),
            "volume",
        )
        .join(judgeable, on="ticker")
        .sort("ticker", "start")
        .with_columns(
            (pl.col("minute_close") / pl.col("previous_close") - 1).alias("change"),
            pl.col("dollars").cum_sum().over("ticker"),
            pl.col("volume").cum_sum().over("ticker").alias("so_far"),
        )
        .with_columns((pl.col("so_far") / pl.col("mean_volume30")).alias("relative"))
    )


def _session_minutes(minutes: pl.DataFrame | None, hours: SessionHours) -> pl.DataFrame:
    """Minutes from 04:00 to the scheduled close, with their start in nanoseconds."""
    if minutes is None:
        minutes = TABLES["minute_bars"].empty()
    start = pl.col("window_start").dt.epoch("ns")
    return minutes.with_columns(start.alias("start")).filter(
        pl.col("start").is_between(hours.premarket_open, hours.close, closed="left")
    )


def premarket_gap(
    metrics: pl.DataFrame,
    minutes: pl.DataFrame | None,
    universe: pl.DataFrame,
    hours: SessionHours,
    settings: SelectionSettings,
) -> pl.DataFrame:
    """A gap on premarket volume; relative volume must exceed its threshold, float stay below.

    Known at the open print: 09:30:00 for a ticker that prints in the first regular minute, the
    end of its first regular minute when it opens later. The float is taken from a `free_float`
    column of the universe if there is one; shares outstanding are only its upper bound, so
    without it the float counts as unknown and doesn't exclude. Suspicion is that of the open.
    """
    relative = settings.min_premarket_relative_volume * pl.col("mean_premarket_volume30")
    held = metrics.filter(
        ~pl.col("is_suspect_at_open"),
        at_least(pl.col("gap").abs(), settings.min_gap),
        at_least(pl.col("premarket_volume"), settings.min_premarket_volume),
        pl.col("premarket_volume") > relative,
        _is_priced("open", settings),
    ).join(_first_regular(minutes, hours), on="ticker", how="left")
    if "free_float" in universe.columns:
        wide = universe.filter(pl.col("free_float") >= settings.max_float)
        held = held.join(wide, on="ticker", how="anti")
    return _rows(
        held,
        "premarket_gap",
        _opened_at(hours),
        price=pl.col("open"),
        change=pl.col("gap"),
        relative_volume=pl.col("premarket_rvol30"),
        dollar_volume=pl.lit(None),
    )


def _opened_at(hours: SessionHours) -> pl.Expr:
    """When the open print was known, from the start of the first regular minute if there is one."""
    first = pl.col("first_start").fill_null(hours.open)
    return pl.when(first > hours.open).then(first + MINUTE_NS).otherwise(hours.open)


def _first_regular(minutes: pl.DataFrame | None, hours: SessionHours) -> pl.DataFrame:
    regular = _session_minutes(minutes, hours).filter(pl.col("start") >= hours.open)
    return regular.group_by("ticker").agg(pl.col("start").min().alias("first_start"))


def follow_up(
    universe: pl.DataFrame,
    metrics: pl.DataFrame,
    previous_watchlist: pl.DataFrame,
    runners: pl.DataFrame,
    hours: SessionHours,
) -> pl.DataFrame:
    """Identities info-rich on the previous session, or among its runners; known at 04:00.

    Whether and how the ticker trades today plays no part, for nobody knows it then: only a split
    that somebody has entered in suspects.csv excludes. The price is the previous close on today's
    basis where it is known, else as it was traded.
    """
    rich = previous_watchlist.filter(pl.col("rule") == "info_rich")
    followed = pl.concat([rich.select("identity"), runners.select("identity")]).unique()
    today = metrics.select("ticker", pl.col("previous_close").alias("close_today_basis"))
    last = rich.group_by("identity").agg(pl.col("price").min().alias("rich_close"))
    split = metrics.filter(pl.col("suspect_decision") == SPLIT, pl.col("split_factor") == 1.0)
    members = universe.join(split, on="ticker", how="anti")
    held = members.join(followed, on="identity", how="semi").join(today, on="ticker", how="left")
    return _rows(
        held.join(last, on="identity", how="left"),
        "follow_up",
        pl.lit(hours.premarket_open),
        price=pl.coalesce("close_today_basis", "previous_close", "rich_close"),
        change=pl.lit(None),
        relative_volume=pl.lit(None),
        dollar_volume=pl.lit(None),
    )


# Over many sessions ------------------------------------------------------------------------------
def runners(watchlists: pl.DataFrame, day: date, settings: SelectionSettings) -> pl.DataFrame:
    """The table `runners` as of the session `day`: most info-rich sessions of the trailing year.

    `watchlists` holds watchlist rows of the trailing sessions, the day among them; rows outside
    the window are ignored. Ties go to the later last session, then to the symbol's order.
    """
    first = shift_session(day, 1 - settings.runner_sessions)
    in_window = pl.col("date").is_between(first, day)
    order = ("info_rich_sessions", "last_info_rich", "ticker", "identity")
    counted = _info_rich_counts(watchlists.filter(in_window))
    top = counted.sort(order, descending=[True, True, False, False]).head(settings.runners)
    ranked = top.with_columns(
        pl.lit(day).alias("date"), pl.int_range(1, pl.len() + 1).alias("rank")
    )
    return TABLES["runners"].validate(ranked)


def _info_rich_counts(watchlists: pl.DataFrame) -> pl.DataFrame:
    """Info-rich sessions per identity, under the symbol of the latest."""
    return (
        watchlists.filter(pl.col("rule") == "info_rich")
        .sort("identity", "date", "ticker")
        .group_by("identity", maintain_order=True)
        .agg(
            pl.col("ticker").last(),
            pl.col("date").n_unique().cast(pl.Int64).alias("info_rich_sessions"),
            pl.col("date").max().alias("last_info_rich"),
        )
    )


def ticker_sessions(
    watchlists: pl.DataFrame, existing: pl.DataFrame | None, settings: SelectionSettings
) -> pl.DataFrame:
    """The registry of ticker-days for which a rule of `tick_rules` holds.

    `watchlists` holds the rows of all sessions, `existing` the registry before. A ticker-day that
    no longer qualifies keeps its row with is_qualified False, because partition keys are never
    deleted. eligible_from is the earliest known_at over the rules that ask for ticks. A rule that
    doesn't, such as follow_up, may know a ticker since 04:00; but its day is in the data only if
    it triggers later, so its rows before that trigger are chosen by the future.
    """
    table = TABLES["ticker_sessions"]
    asked = watchlists.filter(pl.col("rule").is_in(list(settings.tick_rules)))
    admitted = watchlists.join(asked, on=["ticker", "date"], how="semi")
    current = table.conform(_registry_rows(admitted, settings.tick_rules))
    if existing is None or existing.is_empty():
        return table.validate(current)
    left = existing.join(current, on=["ticker", "date"], how="anti").with_columns(
        pl.lit(False).alias("is_qualified")
    )
    return table.validate(pl.concat([current, table.conform(left)]))


def _registry_rows(admitted: pl.DataFrame, tick_rules: tuple[str, ...]) -> pl.DataFrame:
    """One row per ticker-day from its watchlist rows; the tick rule known first leads."""
    asks = pl.col("rule").is_in(list(tick_rules))
    key = pl.format("{}_{}", "ticker", pl.col("date").dt.to_string("%Y-%m-%d"))
    return (
        admitted.sort("ticker", "date", "known_at", "rule")
        .group_by("ticker", "date", maintain_order=True)
        .agg(
            pl.col("identity").first(),
            pl.col("rule").sort().str.join(",").alias("rules"),
            pl.col("rule").filter(asks).first().alias("selection_rule"),
            pl.col("known_at").filter(asks).first().alias("eligible_from"),
        )
        .with_columns(key.alias("partition_key"), pl.lit(True).alias("is_qualified"))
    )


def density(watchlists: pl.DataFrame, sessions: list[date]) -> pl.DataFrame:
    """Selected ticker-days per rule by year and month; `month` is null in the rows of a year.

    `sessions` are the sessions looked at, those without any selected day among them. Columns:
    year, month, rule, ticker_sessions (days), sessions, mean_per_session, median_per_session.
    """
    calendar = pl.DataFrame({"date": sorted(set(sessions))}, schema={"date": pl.Date})
    rules = watchlists.select("rule").unique()
    counts = watchlists.group_by("date", "rule").agg(pl.len().alias("days"))
    per_session = (
        calendar.join(rules, how="cross")
        .join(counts, on=["date", "rule"], how="left")
        .with_columns(
            pl.col("days").fill_null(0),
            pl.col("date").dt.year().alias("year"),
            pl.col("date").dt.month().alias("month"),
        )
    )
    monthly = per_session.group_by("year", "month", "rule").agg(*_density_columns())
    yearly = per_session.group_by("year", "rule").agg(
        pl.lit(None, pl.Int8).alias("month"), *_density_columns()
    )
    return pl.concat([monthly, yearly.select(monthly.columns)]).sort(
        "year", "month", "rule", nulls_last=True
    )


def _density_columns() -> tuple[pl.Expr, ...]:
    return (
        pl.col("days").sum().cast(pl.Int64).alias("ticker_sessions"),
        pl.len().cast(pl.Int64).alias("sessions"),
        pl.col("days").mean().alias("mean_per_session"),
        pl.col("days").median().alias("median_per_session"),
    )
