"""Session summaries and daily metrics: what one session was, and how unusual that is.

Holds the summary of a session from its daily and minute bars, and the daily metrics that compare
a session with the 60 before it on one share basis and within one listing identity. Thresholds and
rules that pick days belong to `selection`, days that look like a missing split to `suspects`;
factors come from `adjustment`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import polars as pl

from smallcaps_assets.domain.elementary import log_of
from smallcaps_assets.domain.market import suspects
from smallcaps_assets.domain.market.adjustment import split_factor_between
from smallcaps_assets.domain.market.calendar import SessionHours
from smallcaps_assets.schemas.tables import TABLES
from smallcaps_assets.settings import MetricsSettings

SHORT_MEAN_SESSIONS = 20
SSR_DECLINE = 0.10
RELATIVE_TOLERANCE = 1e-9
MINUTE_NS = 60_000_000_000
_PREMARKET_LISTS = ("premarket_minutes", "premarket_minute_volumes")


def at_least(value: pl.Expr, threshold: float | pl.Expr) -> pl.Expr:
    """value >= threshold, inclusive in decimals: 2.30 / 2.00 - 1 is below 0.15 in doubles."""
    bound = pl.lit(threshold) if isinstance(threshold, float | int) else threshold
    return value >= bound - bound.abs() * RELATIVE_TOLERANCE


def at_most(value: pl.Expr, threshold: float | pl.Expr) -> pl.Expr:
    """value <= threshold, inclusive in decimals; see `at_least`."""
    bound = pl.lit(threshold) if isinstance(threshold, float | int) else threshold
    return value <= bound + bound.abs() * RELATIVE_TOLERANCE


def typical_price() -> pl.Expr:
    """(high + low + close) / 3: the average price of a minute, whichever way it came.

    Minutes over REST have a vwap and those of flat files none. Taking it where it is there would
    make the dollars of a minute, and with them the moment of a trigger, depend on the route.
    """
    return (pl.col("high") + pl.col("low") + pl.col("close")) / 3


# One session --------------------------------------------------------------------------------------
def session_summary(
    universe: pl.DataFrame,
    daily: pl.DataFrame,
    minutes: pl.DataFrame | None,
    hours: SessionHours,
) -> pl.DataFrame:
    """The table `session_summary` of one session, for the tickers of its universe that traded.

    Prices and volume come from the daily bar; without one, from the minutes: prices from regular
    minutes, volume from all. Premarket columns are null when the session has no minutes at hand,
    or the ticker none at all; a ticker with minutes but none before 09:30 had 0 premarket shares.
    first_price is the first one before 09:30, else the open.
    """
    members = universe.filter(pl.col("date") == hours.date).select("date", "ticker", "identity")
    bars = daily.filter(pl.col("date") == hours.date).drop("date")
    day_minutes = _day_minutes(minutes, hours)
    joined = (
        members.join(bars, on="ticker", how="left")
        .join(_minute_totals(day_minutes, hours), on="ticker", how="left")
        .join(_regular_minutes(day_minutes, hours), on="ticker", how="left")
        .filter(pl.coalesce("close", "m_close").is_not_null())
    )
    return TABLES["session_summary"].validate(_merge_sources(joined))


def _day_minutes(minutes: pl.DataFrame | None, hours: SessionHours) -> pl.DataFrame:
    if minutes is None:
        minutes = TABLES["minute_bars"].empty()
    return minutes.filter(pl.col("date") == hours.date).with_columns(
        pl.col("window_start").dt.epoch("ns").alias("_start")
    )


def _minute_totals(minutes: pl.DataFrame, hours: SessionHours) -> pl.DataFrame:
    """Per ticker: volume, dollars and trades of all minutes, and what came before the open."""
    is_premarket = pl.col("_start").is_between(hours.premarket_open, hours.open, closed="left")
    number = ((pl.col("_start") - hours.premarket_open) // MINUTE_NS).cast(pl.Int16)
    return (
        minutes.sort("ticker", "_start")
        .group_by("ticker", maintain_order=True)
        .agg(
            pl.col("volume").sum().alias("minute_volume"),
            pl.len().alias("minute_count"),
            (typical_price() * pl.col("volume")).sum().alias("m_dollars"),
            pl.col("transactions").sum().alias("m_transactions"),
            pl.col("high").filter(is_premarket).max().alias("premarket_high"),
            pl.col("volume").filter(is_premarket).sum().alias("premarket_volume"),
            pl.col("open").filter(is_premarket).first().alias("m_first"),
            number.filter(is_premarket).alias("premarket_minutes"),
            pl.col("volume").filter(is_premarket).alias("premarket_minute_volumes"),
        )
    )


def _regular_minutes(minutes: pl.DataFrame, hours: SessionHours) -> pl.DataFrame:
    is_regular = pl.col("_start").is_between(hours.open, hours.close, closed="left")
    return (
        minutes.filter(is_regular)
        .sort("ticker", "_start")
        .group_by("ticker")
        .agg(
            pl.col("open").first().alias("m_open"),
            pl.col("high").max().alias("m_high"),
            pl.col("low").min().alias("m_low"),
            pl.col("close").last().alias("m_close"),
        )
    )


def _merge_sources(joined: pl.DataFrame) -> pl.DataFrame:
    has_daily = pl.col("close").is_not_null()
    source = pl.when(has_daily).then(pl.lit("daily")).otherwise(pl.lit("minute"))
    minute_vwap = pl.col("m_dollars") / pl.col("minute_volume")
    chosen = {
        name: pl.when(has_daily).then(pl.col(name)).otherwise(minute)
        for name, minute in {
            **{name: pl.col(f"m_{name}") for name in ("open", "high", "low", "close")},
            "volume": pl.col("minute_volume"),
            "transactions": pl.col("m_transactions"),
            "vwap": pl.when(minute_vwap > 0).then(minute_vwap),
        }.items()
    }
    dollars = joined.select(_dollar_volume(), _dollar_volume_source())
    return joined.with_columns(**chosen, close_source=source, volume_source=source).with_columns(
        pl.coalesce("m_first", "open").alias("first_price"), *dollars.get_columns()
    )


def _dollar_volume() -> pl.Expr:
    """vwap x volume of the daily bar, else the sum over minutes, else the typical price's."""
    return pl.coalesce(
        pl.col("vwap") * pl.col("volume"), pl.col("m_dollars"), typical_price() * pl.col("volume")
    ).alias("dollar_volume")


def _dollar_volume_source() -> pl.Expr:
    return (
        pl.when(pl.col("vwap").is_not_null())
        .then(pl.lit("daily_vwap"))
        .when(pl.col("m_dollars").is_not_null())
        .then(pl.lit("minute_typical"))
        .otherwise(pl.lit("daily_typical"))
        .alias("dollar_volume_source")
    )


# Against the 60 before ---------------------------------------------------------------------------
@dataclass(frozen=True)
class _Window:
    """The sessions that count for a day: `age` maps each to how many sessions it lies back."""

    day: date
    age: pl.DataFrame
    settings: MetricsSettings

    @staticmethod
    def of(sessions: list[date], day: date, settings: MetricsSettings) -> _Window:
        days = sorted(s for s in set(sessions) if s < day)[-settings.lookback_sessions :]
        age = pl.DataFrame(
            {"date": days, "age": range(len(days), 0, -1)},
            schema={"date": pl.Date, "age": pl.Int64},
        )
        return _Window(day, age, settings)


def daily_metrics(
    summaries: pl.DataFrame,
    factors: pl.DataFrame,
    universe: pl.DataFrame | None,
    sessions: list[date],
    day: date,
    settings: MetricsSettings,
    decisions: pl.DataFrame = suspects.NO_DECISIONS,
) -> pl.DataFrame:
    """The table `daily_metrics` of the session `day`.

    `summaries` holds session_summary rows of up to 61 sessions (the day and 60 before; anything
    else is ignored), `factors` is adjustment_factors, `sessions` the trading calendar around
    them. Earlier rows are joined by identity, so history follows a rename and restarts with a new
    listing; `universe` supplies listing dates for symbols whose identity is the bare ticker.
    All earlier prices and volumes are brought onto the day's share basis by splits effective up
    to the day; later events change nothing. `decisions` (ticker, date, verdict) settle suspicions.
    """
    window = _Window.of(sessions, day, settings)
    today, earlier = _chained(summaries.drop(_PREMARKET_LISTS), day)
    history = _history(today, _listed_only(earlier, universe, day), factors, window)
    joined = (
        today.join(_previous(history, settings), on="chain", how="left")
        .join(_events_of_day(factors, day), on="identity", how="left")
        .join(_means(history, settings), on="chain", how="left")
        .join(_premarket_means(history, settings), on="chain", how="left")
        .join(_of_day(decisions, day), on="ticker", how="left")
    )
    based = _with_base(joined, has_history=not earlier.is_empty(), settings=settings)
    judged = suspects.with_verdicts(_with_ratios(_with_changes(based)), settings)
    jumped = history.join(judged.drop_nulls("jump_ratio"), on="chain", how="semi")
    minutes = summaries.select("date", "ticker", *_PREMARKET_LISTS)
    usual = suspects.premarket_means(suspects.premarket_history(jumped), minutes, settings)
    return TABLES["daily_metrics"].validate(judged.join(usual, on="chain", how="left"))


def _chained(summaries: pl.DataFrame, day: date) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Today's rows and the earlier ones, with the key `chain` that joins them.

    It is the identity; where two symbols of one identity trade on a day (share classes known by
    their CIK only) the symbol is added, since their prices don't compare.
    """
    rows = summaries.filter(pl.col("date") <= day)
    shared = rows.group_by("identity", "date").len().filter(pl.col("len") > 1)["identity"].unique()
    by_class = pl.concat_str("identity", pl.lit("|"), "ticker")
    chained = rows.with_columns(
        pl.when(pl.col("identity").is_in(shared.implode()))
        .then(by_class)
        .otherwise("identity")
        .alias("chain")
    )
    return chained.filter(pl.col("date") == day), chained.filter(
        pl.col("date") < day, pl.col("volume") > 0
    )


def _listed_only(earlier: pl.DataFrame, universe: pl.DataFrame | None, day: date) -> pl.DataFrame:
    """Without rows from before the listing date, where only the symbol identifies the company."""
    if universe is None:
        return earlier
    starts = universe.filter(
        pl.col("date") == day, pl.col("identity") == pl.col("ticker"), pl.col("list_date") <= day
    ).select("identity", "list_date")
    is_listed = pl.col("list_date").is_null() | (pl.col("date") >= pl.col("list_date"))
    return earlier.join(starts, on="identity", how="left").filter(is_listed).drop("list_date")


def _history(
    today: pl.DataFrame, earlier: pl.DataFrame, factors: pl.DataFrame, window: _Window
) -> pl.DataFrame:
    """Earlier traded rows of today's chains on today's basis; `recency` 1 is the latest."""
    rows = (
        earlier.join(window.age, on="date")
        .join(today.select("chain", pl.col("volume_source").alias("today_source")), on="chain")
        .sort("chain", "age")
    )
    factor = split_factor_between(rows, factors, window.day)
    before_day = factors.filter(pl.col("effective_date") < window.day)
    return rows.with_columns(
        factor.alias("factor"),
        split_factor_between(rows, before_day, window.day).alias("factor_before"),
        pl.col("close") * factor,
        pl.col("low") * factor,
        pl.col("volume") / factor,
        pl.col("premarket_volume") / factor,
        pl.col("close").alias("raw_close"),
        pl.int_range(1, pl.len() + 1).over("chain").alias("recency"),
    )


def _previous(history: pl.DataFrame, settings: MetricsSettings) -> pl.DataFrame:
    """Per chain the latest close, and whether that session's low set off the short-sale rule.

    The rule compares the low with the close before it and holds on the next day that trades.
    """
    latest = history.filter(pl.col("recency") == 1)
    reference = history.filter(pl.col("recency") == 2).select(
        "chain",
        pl.col("close").alias("reference_close"),
        pl.col("age").alias("reference_age"),
    )
    is_comparable = pl.col("reference_age") - pl.col("age") <= settings.max_close_age
    is_down = at_most(pl.col("low"), (1 - SSR_DECLINE) * pl.col("reference_close"))
    is_recent = pl.col("age") <= settings.max_close_age
    return latest.join(reference, on="chain", how="left").select(
        "chain",
        pl.col("age").alias("close_age"),
        pl.col("date").alias("close_date"),
        pl.col("close").alias("last_close"),
        (pl.col("raw_close") * pl.col("factor_before")).alias("close_before_events"),
        pl.col("factor").alias("last_factor"),
        pl.col("volume").alias("last_volume"),
        pl.col("dollar_volume").alias("last_dollar_volume"),
        (is_comparable & is_down & is_recent).fill_null(False).alias("is_ssr_carried"),
    )


def _events_of_day(factors: pl.DataFrame, day: date) -> pl.DataFrame:
    return (
        factors.filter(pl.col("effective_date") == day)
        .group_by("identity")
        .agg(pl.col("cash_amount").sum().alias("cash_dividend"))
    )


def _means(history: pl.DataFrame, settings: MetricsSettings) -> pl.DataFrame:
    """Means over the latest traded sessions whose volume has today's source.

    A mean of fewer than `min_sessions` is null; sessions without trades are no sessions.
    """
    same = history.filter(pl.col("volume_source") == pl.col("today_source")).with_columns(
        pl.int_range(1, pl.len() + 1).over("chain").alias("recency")
    )
    long = pl.col("recency") <= settings.mean_sessions
    short = pl.col("recency") <= SHORT_MEAN_SESSIONS
    premarket = pl.col("premarket_volume").filter(long).drop_nulls()
    enough = pl.len() >= settings.min_sessions
    return same.group_by("chain").agg(
        long.sum().cast(pl.Int64).alias("volume_sessions"),
        pl.when(enough).then(pl.col("volume").filter(long).mean()).alias("mean_volume30"),
        pl.when(premarket.len() >= settings.min_sessions)
        .then(premarket.mean())
        .alias("mean_premarket_volume30"),
        pl.when(enough)
        .then(pl.col("dollar_volume").filter(short).median())
        .alias("median_dollar_volume20"),
        pl.when(enough).then(pl.col("volume").filter(short).mean()).alias("mean_volume20"),
    )


def _premarket_means(history: pl.DataFrame, settings: MetricsSettings) -> pl.DataFrame:
    """Mean premarket volume of 20 sessions, whatever the source of the day's volume."""
    enough = pl.len() >= suspects.fewest_sessions(settings)
    mean = pl.when(enough).then(pl.col("premarket_volume").mean())
    known = suspects.premarket_history(history)
    return known.group_by("chain").agg(mean.alias("mean_premarket_volume20"))


def _of_day(decisions: pl.DataFrame, day: date) -> pl.DataFrame:
    told = decisions.filter(pl.col("date") == day)
    return told.select("ticker", pl.col("verdict").alias("suspect_decision"))


def _with_base(joined: pl.DataFrame, has_history: bool, settings: MetricsSettings) -> pl.DataFrame:
    """previous_close with its date, factor and, when null, its reason."""
    cash = pl.col("cash_dividend").fill_null(0.0)
    before = pl.col("close_before_events")
    is_large = (cash > 0) & at_least(cash, settings.large_dividend * before)
    paid = pl.when(is_large).then((before - cash) * pl.col("last_close") / before)
    base = pl.coalesce(paid, pl.col("last_close"))
    is_old = pl.col("close_age") > settings.max_close_age
    none = "new listing" if has_history else "no earlier session at hand"
    reason = (
        pl.when(pl.col("last_close").is_null())
        .then(pl.lit(none))
        .when(is_old)
        .then(pl.lit(f"last close older than {settings.max_close_age} sessions"))
        .when(base <= 0)
        .then(pl.lit("dividend not below the last close"))
    )
    is_usable = reason.is_null()
    return joined.with_columns(
        pl.when(is_usable).then(base).alias("previous_close"),
        pl.when(is_usable).then("close_date").alias("previous_close_date"),
        reason.alias("previous_close_reason"),
        pl.when(is_usable).then("last_factor").otherwise(1.0).alias("split_factor"),
        cash.alias("cash_dividend"),
        pl.col("is_ssr_carried").fill_null(False),
    )


def _with_changes(based: pl.DataFrame) -> pl.DataFrame:
    growth = pl.col("close") / pl.col("previous_close")
    return based.with_columns(
        (growth - 1).alias("pct_change"),
        (pl.col("open") / pl.col("previous_close") - 1).alias("gap"),
        log_of(growth).alias("log_return"),
    )


def _with_ratios(metrics: pl.DataFrame) -> pl.DataFrame:
    premarket_mean = pl.col("mean_premarket_volume30")
    return metrics.with_columns(
        pl.col("volume_sessions").fill_null(0),
        (pl.col("volume") / pl.col("mean_volume30")).alias("rvol30"),
        pl.when(premarket_mean > 0)
        .then(pl.col("premarket_volume") / premarket_mean)
        .alias("premarket_rvol30"),
    )
