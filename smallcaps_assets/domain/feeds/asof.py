"""What was known of a company at each decision of the dataset, beside its own tape.

Every row has a `known_at`; a decision at t0 sees those with known_at <= t0, the newest of each
kind, and nothing of later ones. Feeds name companies in their own ways (symbols with and without
separators, CIKs); they are brought to the listing identity by date, because a symbol that was used
again means another company. When a row was known is decided where its table is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

import polars as pl

from smallcaps_assets.domain.market.adjustment import with_identity
from smallcaps_assets.domain.market.calendar import NEW_YORK
from smallcaps_assets.schemas.table import INSTANT
from smallcaps_assets.schemas.tables import ASOF_COLUMNS, TABLES

LOOKBACK = timedelta(days=45)
"""Days before a period of which short volume and halts are needed."""
WINDOW = timedelta(days=30)
OLDEST_SHORT_VOLUME = timedelta(days=10)
Z_SESSIONS, Z_LEAST = 20, 10
_DAY = timedelta(days=1)
_BEFORE_ALL = date(1900, 1, 1)
EVENT = ("ticker", "date", "identity", "t0")


@dataclass(frozen=True)
class Feeds:
    """Rows of the tables of these names; any of them may be empty.

    `listings` has ticker, identity, first_date, last_date, see `adjustment.listings`; `universe`
    the rows of the events' sessions with date, ticker, cik and shares_outstanding.
    """

    listings: pl.DataFrame
    universe: pl.DataFrame
    short_volume: pl.DataFrame
    short_interest: pl.DataFrame
    fails_to_deliver: pl.DataFrame
    free_float: pl.DataFrame
    filings: pl.DataFrame
    halts: pl.DataFrame
    splits: pl.DataFrame


def no_feeds() -> Feeds:
    """No rows of any feed."""
    listings = pl.DataFrame(
        schema={
            "ticker": pl.String,
            "identity": pl.String,
            "first_date": pl.Date,
            "last_date": pl.Date,
        }
    )
    names = [name for name in Feeds.__dataclass_fields__ if name != "listings"]
    return Feeds(listings, **{name: TABLES[name].empty() for name in names})


def compact_symbol(column: str) -> pl.Expr:
    """A symbol without separators, as FINRA and the SEC spell it: BRK.B as BRKB, ABRpD as ABRPRD.

    Only for comparing: upper case may join two of our tickers, which then match nothing.
    """
    preferred = pl.col(column).str.replace(r"^([A-Z]+)p([A-Z]?)$", "${1}PR${2}")
    return preferred.str.replace_all(r"[./]", "").str.to_uppercase()


def asof_features(events: pl.DataFrame, feeds: Feeds) -> pl.DataFrame:
    """`events` (ticker, date, identity, t0 and more) with ASOF_COLUMNS, in the same order."""
    decisions = events.select(EVENT).with_row_index("_event")
    companies = feeds.universe.select("date", "ticker", "cik", "shares_outstanding")
    decisions = decisions.join(companies, on=["date", "ticker"], how="left")
    symbols = _earliest_from_the_beginning(feeds.listings)
    compact = _compact_listings(symbols)
    decisions = _with_short_volume(decisions, _owned(feeds.short_volume, symbols, "date"))
    interest = _compacted(feeds.short_interest, compact, "settlement_date")
    decisions = _with_newest(decisions, interest, "settlement_date", "days_to_cover")
    decisions = _with_fails(decisions, feeds, symbols, compact)
    for name, (key, moments) in _kinds(feeds, symbols).items():
        decisions = _with_moments(decisions, moments, key, name)
    filled = decisions.sort("_event").with_columns(
        pl.col("_count_offering").alias("offerings_30d"),
        pl.col("_count_halt").alias("halts_30d"),
        pl.col("_count_8k").alias("filings_8k_30d"),
        (pl.col("_count_reverse_split") > 0).alias("is_reverse_split_30d"),
    )
    return pl.concat([events, filled.select(ASOF_COLUMNS)], how="horizontal")


# Whose a row is ----------------------------------------------------------------------------------
def _earliest_from_the_beginning(listings: pl.DataFrame) -> pl.DataFrame:
    """A listing that was there on the first list known has been there before it."""
    first = pl.col("first_date")
    return listings.with_columns(
        pl.when(first == first.min()).then(pl.lit(_BEFORE_ALL)).otherwise(first).alias("first_date")
    )


def _compact_listings(listings: pl.DataFrame) -> pl.DataFrame:
    """Listings by compact symbol, without symbols of ours that are alike in that spelling."""
    spelled = listings.with_columns(compact_symbol("ticker").alias("_compact"))
    alike = spelled.group_by("_compact").agg(pl.col("ticker").n_unique().alias("_tickers"))
    alone = alike.filter(pl.col("_tickers") == 1).select("_compact")
    return spelled.join(alone, on="_compact", how="semi").with_columns(
        pl.col("_compact").alias("ticker")
    ).drop("_compact")  # fmt: skip


def _owned(rows: pl.DataFrame, listings: pl.DataFrame, on: str) -> pl.DataFrame:
    return with_identity(rows, listings, on)


def _compacted(rows: pl.DataFrame, compact: pl.DataFrame, on: str) -> pl.DataFrame:
    """Rows under a symbol without separators, with the identity it meant on that day."""
    named = rows.filter(pl.col("symbol").is_not_null())
    return _owned(named.with_columns(compact_symbol("symbol").alias("ticker")), compact, on)


# Newest figures ----------------------------------------------------------------------------------
def _with_short_volume(decisions: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """Ratio of the newest session known, and its z-score over the 20 sessions before it."""
    total = pl.col("total_volume")
    ratio = pl.when(total > 0).then(pl.col("short_volume") / total)
    before = pl.col("short_volume_ratio").shift(1)
    mean = before.rolling_mean(Z_SESSIONS, min_samples=Z_LEAST).over("identity")
    deviation = before.rolling_std(Z_SESSIONS, min_samples=Z_LEAST).over("identity")
    figures = (
        rows.select("identity", "date", "known_at", ratio.alias("short_volume_ratio"))
        .drop_nulls("short_volume_ratio")
        .sort("identity", "date")
        .with_columns(mean.alias("_mean"), deviation.alias("_deviation"))
        .with_columns(
            pl.when(pl.col("_deviation") > 1e-9)
            .then((pl.col("short_volume_ratio") - pl.col("_mean")) / pl.col("_deviation"))
            .alias("short_volume_ratio_z20")
        )
    )
    columns = ("known_at", "identity", "short_volume_ratio", "short_volume_ratio_z20")
    return _latest(decisions, figures.select(columns), "identity", OLDEST_SHORT_VOLUME)


def _latest(
    decisions: pl.DataFrame, rows: pl.DataFrame, by: str | None, oldest: timedelta | None = None
) -> pl.DataFrame:
    """`decisions` with the columns of the newest of `rows` of the same `by` known at t0."""
    keys = ["known_at"] if by is None else ["known_at", by]
    distinct = rows.sort("known_at").unique(keys, keep="last", maintain_order=True)
    return (
        decisions.sort("t0")
        .join_asof(
            distinct.sort("known_at"),
            left_on="t0",
            right_on="known_at",
            by=by,
            strategy="backward",
            tolerance=oldest,
            check_sortedness=False,
        )
        .drop("known_at", strict=False)
    )


def _with_newest(
    decisions: pl.DataFrame, rows: pl.DataFrame, date_of: str, value: str
) -> pl.DataFrame:
    """`value` on the newest date known to the market; null for whom it has no row on it.

    A company that is missing then has no figure, and an older one would not be true any more.
    """
    dates = rows.group_by(date_of).agg(pl.col("known_at").max()).sort("known_at", date_of)
    dated = _latest(decisions, dates.select("known_at", date_of), None)
    figures = rows.select("identity", date_of, value).unique(["identity", date_of], keep="first")
    return dated.join(figures, on=["identity", date_of], how="left").drop(date_of)


def _with_fails(
    decisions: pl.DataFrame, feeds: Feeds, symbols: pl.DataFrame, compact: pl.DataFrame
) -> pl.DataFrame:
    """The balance of the newest file's last settlement date against the float; none listed: 0.

    Both are brought to the share basis of the event's session.
    """
    rows = _compacted(feeds.fails_to_deliver, compact, "settlement_date")
    last = pl.col("settlement_date") == pl.col("settlement_date").max().over("half_month")
    balances = rows.filter(last).group_by("identity", "half_month").agg(pl.col("quantity").sum())
    files = (
        rows.group_by("half_month")
        .agg(pl.col("known_at").max(), pl.col("settlement_date").max().alias("_settled"))
        .sort("known_at", "half_month")
    )
    dated = _latest(decisions, files.select("known_at", "half_month", "_settled"), None)
    joined = dated.join(balances, on=["identity", "half_month"], how="left")
    floats = _owned(feeds.free_float, symbols, "effective_date")
    floats = floats.select("known_at", "identity", "free_float", "effective_date")
    joined = _latest(joined, floats, "identity")
    splits = _share_factors(_owned(feeds.splits, symbols, "execution_date"))
    for name, on in (("_now", "date"), ("_then", "_settled"), ("_floated", "effective_date")):
        joined = _with_factor(joined, splits, on, name)
    balance = pl.col("quantity").fill_null(0.0) * pl.col("_now") / pl.col("_then")
    float_now = pl.col("free_float") * pl.col("_now") / pl.col("_floated")
    shares = pl.coalesce(float_now, "shares_outstanding")
    share = pl.when(pl.col("_settled").is_not_null() & (shares > 0)).then(balance / shares)
    return joined.with_columns(share.alias("fails_share_of_float")).select(
        *decisions.columns, "fails_share_of_float"
    )


def _share_factors(splits: pl.DataFrame) -> pl.DataFrame:
    """Shares of today per share before all splits known of a company, by execution date."""
    distinct = splits.unique(["identity", "execution_date", "split_from", "split_to"])
    return (
        distinct.sort("identity", "execution_date")
        .with_columns(
            (pl.col("split_to") / pl.col("split_from")).cum_prod().over("identity").alias("_factor")
        )
        .select("identity", "execution_date", "_factor")
    )


def _with_factor(
    decisions: pl.DataFrame, factors: pl.DataFrame, on: str, name: str
) -> pl.DataFrame:
    """`decisions` with the factor of the splits executed by the date `on`; 1 before all."""
    found = decisions.sort(on, nulls_last=False).join_asof(
        factors.sort("execution_date"),
        left_on=on,
        right_on="execution_date",
        by="identity",
        strategy="backward",
        check_sortedness=False,
    )
    return found.with_columns(pl.col("_factor").fill_null(1.0).alias(name)).drop(
        "_factor", "execution_date", strict=False
    )


# Events ------------------------------------------------------------------------------------------
def _kinds(feeds: Feeds, symbols: pl.DataFrame) -> dict[str, tuple[str, pl.DataFrame]]:
    """The moments of each kind of event, and the column of the company they are known by."""
    filings = feeds.filings.filter(~pl.col("is_amendment")).select(
        "cik", "form", "offering", "known_at"
    )
    reverse = feeds.splits.filter(pl.col("split_from") > pl.col("split_to"))
    moments = {day: datetime.combine(day, time(0), NEW_YORK) for day in reverse["execution_date"]}
    known = pl.col("execution_date").replace_strict(moments, return_dtype=INSTANT, default=None)
    splits = _owned(reverse, symbols, "execution_date").with_columns(known.alias("known_at"))
    return {
        "offering": ("cik", filings.filter(pl.col("offering").is_not_null())),
        "reverse_split": ("identity", splits),
        "halt": ("identity", _owned(feeds.halts, symbols, "date")),
        "8k": ("cik", filings.filter(pl.col("form") == "8-K")),
    }


def _with_moments(
    decisions: pl.DataFrame, moments: pl.DataFrame, key: str, name: str
) -> pl.DataFrame:
    """Days since the newest event known, and the number known in the window before t0."""
    ordered = (
        moments.select(key, "known_at")
        .drop_nulls()
        .sort("known_at")
        .with_columns(pl.int_range(1, pl.len() + 1).over(key).alias("_number"))
    )
    numbered = ordered.unique([key, "known_at"], keep="last", maintain_order=True)
    now = _latest(decisions, numbered.with_columns(pl.col("known_at").alias("_at")), key)
    then = _latest(
        now.select("_event", key, (pl.col("t0") - WINDOW).cast(INSTANT).alias("t0")), numbered, key
    ).select("_event", pl.col("_number").alias("_earlier"))
    since = (pl.col("t0") - pl.col("_at")).dt.total_nanoseconds() / (_DAY.total_seconds() * 1e9)
    count = pl.col("_number").fill_null(0) - pl.col("_earlier").fill_null(0)
    return (
        now.join(then, on="_event", how="left")
        .with_columns(since.alias(f"days_since_{name}"), count.alias(f"_count_{name}"))
        .drop("_at", "_number", "_earlier")
    )
