"""What was known of a company at each decision of the dataset, beside its own tape.

Every row has a `known_at`; a decision at t0 sees those with known_at <= t0, the newest of each
kind, and nothing of later ones. Feeds name companies in their own ways (symbols with and without
separators, CIKs); they are brought to the listing identity by date, because a symbol that was used
again means another company. When a row was known is decided where its table is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from functools import reduce
from operator import add

import polars as pl

from smallcaps_assets.domain.feeds import statements
from smallcaps_assets.domain.feeds.news import KEYWORDS, WINDOWS, article_marks
from smallcaps_assets.domain.feeds.tables import by_day, midnight
from smallcaps_assets.domain.market.adjustment import with_identity
from smallcaps_assets.domain.market.calendar import NEW_YORK
from smallcaps_assets.schemas.table import INSTANT
from smallcaps_assets.schemas.tables import ASOF_COLUMNS, TABLES

LOOKBACK = timedelta(days=45)
"""Days before a period of which short volume and halts are needed."""
WINDOW = timedelta(days=30)
OLDEST_SHORT_VOLUME = timedelta(days=10)
OLDEST_SESSION = timedelta(days=10)
"""A session longer ago is not the previous one of a company any more."""
FLAGGED = "7d"
"""Window of NEWS in which articles are searched for words, and opinions averaged."""
Z_SESSIONS, Z_LEAST = 20, 10
_DAY = timedelta(days=1)
_YEAR = timedelta(days=365)
_WINDOWS = (WINDOW, LOOKBACK, _YEAR, OLDEST_SHORT_VOLUME, OLDEST_SESSION, *WINDOWS.values())
_BEFORE_ALL = date(1900, 1, 1)
EVENT = ("ticker", "date", "identity", "t0")
_COMPANY = ("cik", "shares_outstanding", "market_cap", "sic_code", "primary_exchange")
_METRICS = ("pct_change", "gap", "high", "low", "close", "rvol30", "dollar_volume")
_PREVIOUS_DAY = {
    "previous_day_return": pl.col("pct_change"),
    "previous_day_gap": pl.col("gap"),
    "previous_day_range": (pl.col("high") - pl.col("low")) / pl.col("close"),
    "previous_day_relative_volume": pl.col("rvol30"),
    "previous_day_dollar_volume": pl.col("dollar_volume"),
}


_FILED = ("cik", "period_end", "timeframe", "filing_date", "sequence", "known_at")
AS_OF_COLUMNS: dict[str, list[str]] = {
    "short_volume": ["date", "ticker", "short_volume", "total_volume", "known_at"],
    "short_interest": [
        *("settlement_date", "symbol", "short_interest", "days_to_cover", "known_at")
    ],
    "fails_to_deliver": ["half_month", "settlement_date", "symbol", "quantity", "known_at"],
    "free_float": ["ticker", "effective_date", "free_float", "known_at"],
    "filings": ["cik", "form", "offering", "is_amendment", "known_at"],
    "halts": ["date", "ticker", "known_at"],
    "splits": ["ticker", "execution_date", "split_from", "split_to"],
    "universe": ["date", "ticker", *_COMPANY],
    "news": [*("ticker", "id", "title", "description", "keywords", "sentiment", "known_at")],
    "ticker_events": ["ticker", "date", "symbol", "known_at"],
    "balance_sheets": [*_FILED, *statements.BALANCE],
    "income_statements": [*_FILED, *statements.INCOME],
    "cash_flow_statements": [*_FILED, *statements.CASH_FLOW],
    "daily_metrics": ["date", "identity", "ticker", *_METRICS],
    "runners": ["date", "identity", "rank"],
    "volatile": ["date", "identity", "rank"],
}
"""The columns of each table that are looked at."""


@dataclass(frozen=True)
class Feeds:
    """Rows of the tables of these names, in AS_OF_COLUMNS; any of them may be empty.

    `listings` has ticker, identity, first_date, last_date, see `adjustment.listings`; `universe`
    the rows of the events' sessions. `news_months` are the first days of the months whose news was
    read: of others nothing can be said.
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
    news: pl.DataFrame
    ticker_events: pl.DataFrame
    balance_sheets: pl.DataFrame
    income_statements: pl.DataFrame
    cash_flow_statements: pl.DataFrame
    daily_metrics: pl.DataFrame
    runners: pl.DataFrame
    volatile: pl.DataFrame
    news_months: tuple[date, ...] = ()


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
    empty = {name: TABLES[name].empty() for name in AS_OF_COLUMNS}
    return Feeds(listings=listings, news_months=(), **empty)


def compact_symbol(column: str) -> pl.Expr:
    """A symbol without separators, as FINRA and the SEC spell it: BRK.B as BRKB, ABRpD as ABRPRD.

    Only for comparing: upper case may join two of our tickers, which then match nothing.
    """
    preferred = pl.col(column).str.replace(r"^([A-Z]+)p([A-Z]?)$", "${1}PR${2}")
    return preferred.str.replace_all(r"[./]", "").str.to_uppercase()


def asof_features(events: pl.DataFrame, feeds: Feeds) -> pl.DataFrame:
    """`events` (ticker, date, identity, t0 and more) with ASOF_COLUMNS, in the same order."""
    decisions = events.select(EVENT).with_row_index("_event")
    companies = feeds.universe.select("date", "ticker", *_COMPANY)
    decisions = decisions.join(companies, on=["date", "ticker"], how="left")
    symbols = _earliest_from_the_beginning(feeds.listings)
    compact = _compact_listings(symbols)
    decisions = _with_short_volume(decisions, with_identity(feeds.short_volume, symbols, "date"))
    decisions = _with_shares(decisions, feeds, symbols, compact)
    splits = _executed(feeds, symbols)
    of_a_year = _counts(decisions, splits, "identity", "splits", _YEAR)
    decisions = decisions.join(of_a_year, on="_event", how="left")
    for name, (key, moments) in _kinds(feeds, symbols, splits).items():
        oldest = LOOKBACK if name == "halt" else None
        decisions = _with_moments(decisions, moments, key, name, oldest)
    decisions = _with_news(decisions, feeds, symbols)
    decisions = _with_previous_day(decisions, feeds)
    filled = decisions.sort("_event").with_columns(
        pl.col("_count_offering").alias("offerings_30d"),
        pl.col("_count_halt").alias("halts_30d"),
        pl.col("_count_8k").alias("filings_8k_30d"),
        pl.col("_splits").alias("splits_1y"),
        (pl.col("_count_reverse_split") > 0).alias("is_reverse_split_30d"),
        pl.col("sic_code").str.slice(0, 2).alias("sector"),
        pl.col("primary_exchange").alias("exchange"),
    )
    return pl.concat([events, filled.select(ASOF_COLUMNS)], how="horizontal")


def changes(feeds: Feeds, begin: int, end: int) -> list[int]:
    """Instants after `begin` and before `end` at which features of `asof_features` may change, UTC
    ns, in order: something becomes known, or grows too old for its window."""
    found: set[int] = set()
    for name in AS_OF_COLUMNS:
        rows: pl.DataFrame = getattr(feeds, name)
        if "known_at" in rows.columns:
            known = rows["known_at"].drop_nulls().unique().cast(INSTANT).to_physical().to_numpy()
            for window in (timedelta(0), *_WINDOWS):
                ends = known + window // timedelta(microseconds=1) * 1000
                found.update(ends[(ends > begin) & (ends < end)].tolist())
    return sorted({*found, *(instant + 1 for instant in found)})


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


def _compacted(rows: pl.DataFrame, compact: pl.DataFrame, on: str) -> pl.DataFrame:
    """Rows under a symbol without separators, with the identity it meant on that day."""
    named = rows.filter(pl.col("symbol").is_not_null())
    return with_identity(named.with_columns(compact_symbol("symbol").alias("ticker")), compact, on)


# Newest figures ----------------------------------------------------------------------------------
def _with_short_volume(decisions: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """Ratio of the newest session known, and its z-score over the 20 sessions before it."""
    total = pl.col("total_volume")
    ratio = pl.when(total > 0).then(pl.col("short_volume") / total)
    own = pl.col("short_volume_ratio")
    before = [own.shift(back).over("identity") for back in range(1, Z_SESSIONS + 1)]
    count = pl.sum_horizontal(value.is_not_null() for value in before)
    # Term by term: a rolling sum depends in its last bit on all that came before its window.
    mean = reduce(add, (value.fill_null(0.0) for value in before)) / count
    squares = ((value - mean).fill_null(0.0) ** 2 for value in before)
    deviation = pl.when(count >= Z_LEAST).then((reduce(add, squares) / (count - 1)).sqrt())
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


def _with_shares(
    decisions: pl.DataFrame, feeds: Feeds, symbols: pl.DataFrame, compact: pl.DataFrame
) -> pl.DataFrame:
    """What is counted in shares, all of it brought to the share basis of the event's session."""
    splits = _share_factors(with_identity(feeds.splits, symbols, "execution_date"))
    interest = _compacted(feeds.short_interest, compact, "settlement_date")
    found = _with_newest(
        decisions, interest, "settlement_date", "days_to_cover", "short_interest"
    ).rename({"settlement_date": "_interest"})
    found = _with_fails(found, feeds, compact)
    floats = with_identity(feeds.free_float, symbols, "effective_date")
    found = _latest(
        found, floats.select("known_at", "identity", "free_float", "effective_date"), "identity"
    )
    sheets = feeds.balance_sheets, feeds.income_statements, feeds.cash_flow_statements
    found = _latest(found, statements.company_figures(statements.statement_rows(*sheets)), "cik")
    factors = {"date": "_now", "_settled": "_failed_on", "effective_date": "_floated_on",
               "_interest": "_short_on", "shares_filed": "_filed_on",
               "shares_filed_before": "_filed_before"}  # fmt: skip
    for on, name in factors.items():
        found = _with_factor(found, splits, on, name)
    now = pl.col("_now")
    floated = (pl.col("free_float") * now / pl.col("_floated_on")).alias("free_float")
    short = pl.col("short_interest") * now / pl.col("_short_on")
    failed = pl.col("quantity").fill_null(0.0) * now / pl.col("_failed_on")
    shares = pl.coalesce("free_float", "shares_outstanding")
    filed = pl.col("shares") / pl.col("_filed_on")
    before = pl.col("shares_before") / pl.col("_filed_before")
    return (
        found.with_columns(floated, (filed / before - 1).alias("share_growth_1y"))
        .with_columns(
            pl.when(pl.col("_settled").is_not_null() & (shares > 0))
            .then(failed / shares)
            .alias("fails_share_of_float"),
            pl.when(shares > 0).then(short / shares).alias("short_interest_share_of_float"),
        )
        .drop(factors.values())
    )


def _with_newest(
    decisions: pl.DataFrame, rows: pl.DataFrame, date_of: str, *values: str
) -> pl.DataFrame:
    """`values` on the newest date known to the market; null for whom it has no row on it.

    A company that is missing then has no figure, and an older one would not be true any more.
    """
    dates = rows.group_by(date_of).agg(pl.col("known_at").max()).sort("known_at", date_of)
    dated = _latest(decisions, dates.select("known_at", date_of), None)
    figures = rows.select("identity", date_of, *values).unique(["identity", date_of], keep="first")
    return dated.join(figures, on=["identity", date_of], how="left")


def _with_fails(decisions: pl.DataFrame, feeds: Feeds, compact: pl.DataFrame) -> pl.DataFrame:
    """`quantity`, the balance on the last settlement date, `_settled`, of the newest file."""
    rows = _compacted(feeds.fails_to_deliver, compact, "settlement_date")
    last = pl.col("settlement_date") == pl.col("settlement_date").max().over("half_month")
    balances = rows.filter(last).group_by("identity", "half_month").agg(pl.col("quantity").sum())
    files = (
        rows.group_by("half_month")
        .agg(pl.col("known_at").max(), pl.col("settlement_date").max().alias("_settled"))
        .sort("known_at", "half_month")
    )
    dated = _latest(decisions, files.select("known_at", "half_month", "_settled"), None)
    return dated.join(balances, on=["identity", "half_month"], how="left").drop("half_month")


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


# The session before ------------------------------------------------------------------------------
def _with_previous_day(decisions: pl.DataFrame, feeds: Feeds) -> pl.DataFrame:
    """Metrics of the company's session before the event's, and its ranks on the lists of then."""
    metrics = feeds.daily_metrics.with_columns(
        value.alias(name) for name, value in _PREVIOUS_DAY.items()
    )
    found = _before(decisions, metrics.select("identity", "date", *_PREVIOUS_DAY), "identity")
    for name, ranked in (("runner_rank", feeds.runners), ("volatile_rank", feeds.volatile)):
        lists = ranked.select("date", pl.col("date").alias("_list")).unique()
        ranks = ranked.select("identity", pl.col("date").alias("_list"), pl.col("rank").alias(name))
        found = _before(found, lists, None).join(ranks, on=["identity", "_list"], how="left")
        found = found.drop("_list")
    return found


def _before(decisions: pl.DataFrame, rows: pl.DataFrame, by: str | None) -> pl.DataFrame:
    """`decisions` with the columns of the newest of `rows` before their session."""
    return decisions.sort("date").join_asof(
        rows.sort("date"),
        on="date",
        by=by,
        strategy="backward",
        tolerance=OLDEST_SESSION,
        allow_exact_matches=False,
        check_sortedness=False,
    )


# News --------------------------------------------------------------------------------------------
def _with_news(decisions: pl.DataFrame, feeds: Feeds, symbols: pl.DataFrame) -> pl.DataFrame:
    """Articles by window; null where the news of a month of the window was not read."""
    day = pl.col("known_at").dt.convert_time_zone(str(NEW_YORK)).dt.date().alias("_day")
    marks = article_marks(with_identity(feeds.news.with_columns(day), symbols, "_day"))
    found = decisions
    for name, window in WINDOWS.items():
        names = [*marks.columns[2:]] if name == FLAGGED else ["articles"]
        sums = _sums(found, marks, "identity", names, window)
        is_read = pl.all_horizontal(
            (pl.col("t0") - back).dt.convert_time_zone(str(NEW_YORK)).dt.date().dt.month_start()
            .is_in(list(feeds.news_months)) for back in (window, timedelta(0))
        )  # fmt: skip
        found = found.join(sums, on="_event", how="left").with_columns(
            pl.when(is_read).then(pl.col("_articles").cast(pl.Int64)).alias(f"news_{name}")
        )
        if name == FLAGGED:
            flags = {f"is_news_{word}_{name}": pl.col(f"_{word}") > 0 for word in KEYWORDS}
            mood = pl.when(pl.col("_opinions") > 0).then(pl.col("_mood") / pl.col("_opinions"))
            found = found.with_columns(
                mood.alias(f"news_sentiment_{name}"),
                *(pl.when(is_read).then(is_told).alias(n) for n, is_told in flags.items()),
            )
        found = found.drop(f"_{n}" for n in names)
    return found


def _sums(
    decisions: pl.DataFrame, rows: pl.DataFrame, key: str, names: list[str], window: timedelta
) -> pl.DataFrame:
    """`_event`, and as `_name` the sum of each of `names` over the rows known in (t0 - window, t0].

    The values must be whole numbers, so that differences of running sums are exact.
    """
    totals = rows.sort("known_at").select(
        "known_at", key, *(pl.col(name).cum_sum().over(key).alias(f"_{name}") for name in names)
    )
    asked = decisions.select("_event", key, "t0")
    then = asked.with_columns((pl.col("t0") - window).cast(INSTANT).alias("t0"))
    ends = [_latest(rows, totals, key).sort("_event") for rows in (asked, then)]
    return ends[0].select(
        "_event",
        *(ends[0][f"_{n}"].fill_null(0.0) - ends[1][f"_{n}"].fill_null(0.0) for n in names),
    )


# Events ------------------------------------------------------------------------------------------
def _kinds(
    feeds: Feeds, symbols: pl.DataFrame, splits: pl.DataFrame
) -> dict[str, tuple[str, pl.DataFrame]]:
    """The moments of each kind of event, and the column of the company they are known by."""
    filings = feeds.filings.filter(~pl.col("is_amendment")).select(
        "cik", "form", "offering", "known_at"
    )
    return {
        "offering": ("cik", filings.filter(pl.col("offering").is_not_null())),
        "reverse_split": ("identity", splits.filter(pl.col("split_from") > pl.col("split_to"))),
        "halt": ("identity", with_identity(feeds.halts, symbols, "date")),
        "8k": ("cik", filings.filter(pl.col("form") == "8-K")),
        "s3": ("cik", filings.filter(pl.col("form").is_in(["S-3", "S-3ASR"]))),
        "424b5": ("cik", filings.filter(pl.col("form") == "424B5")),
        "symbol_change": ("identity", with_identity(_renamed(feeds), symbols, "date")),
    }


def _executed(feeds: Feeds, symbols: pl.DataFrame) -> pl.DataFrame:
    """Splits, each once, known from midnight of their first session."""
    owned = with_identity(feeds.splits, symbols, "execution_date")
    known = by_day(owned["execution_date"], midnight)
    return owned.with_columns(known_at=known).unique(
        ["identity", "execution_date", "split_from", "split_to"]
    )


def _renamed(feeds: Feeds) -> pl.DataFrame:
    """Changes of symbol under the new one; the first symbol of a listing is no change."""
    later = pl.col("date") > pl.col("date").min().over("ticker")
    return feeds.ticker_events.filter(later).with_columns(pl.col("symbol").alias("ticker"))


def _days(spans: pl.Series) -> pl.Series:
    """Spans in days; polars divides by a number in ways that differ in the last bit."""
    nanoseconds = spans.dt.total_nanoseconds().cast(pl.Float64).to_numpy()
    return pl.Series(nanoseconds / (_DAY.total_seconds() * 1e9), nan_to_null=True)


def _with_moments(
    decisions: pl.DataFrame, moments: pl.DataFrame, key: str, name: str, oldest: timedelta | None
) -> pl.DataFrame:
    """Days since the newest event known, none older than `oldest`, and `_count_name`, how many were
    known in WINDOW."""
    known = moments.select(key, "known_at", pl.col("known_at").alias("_at")).drop_nulls()
    found = _latest(decisions, known, key, oldest)
    since = _days(found["t0"] - found["_at"]).alias(f"days_since_{name}")
    counts = _counts(found, known, key, f"count_{name}", WINDOW)
    return found.with_columns(since).drop("_at").join(counts, on="_event", how="left")


def _counts(
    decisions: pl.DataFrame, rows: pl.DataFrame, key: str, name: str, window: timedelta
) -> pl.DataFrame:
    """`_event`, and as `_name` how many rows were known in (t0 - window, t0]."""
    ones = rows.with_columns(pl.lit(1.0).alias(name))
    return _sums(decisions, ones, key, [name], window).cast({f"_{name}": pl.Int64})
