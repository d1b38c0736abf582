"""Share-basis adjustment: split and dividend factors, and their application to bars.

Holds the listing intervals that say whose event an event is, the factor table, and the functions
that bring prices and volumes onto the share basis of a given day. Everything is applied at read
time; no adjusted price is stored as a fact. Detecting unrecorded splits belongs to `metrics`.
"""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl

from smallcaps_assets.schemas.tables import TABLES

PRICE_COLUMNS = ("open", "high", "low", "close", "vwap", "premarket_high", "previous_close")
VOLUME_COLUMNS = ("volume", "premarket_volume", "minute_volume")
MAX_LISTING_GAP = timedelta(days=10)
_RATIO_DIGITS = 12


def listings(tickers: pl.DataFrame) -> pl.DataFrame:
    """Listing intervals of symbols.

    `tickers` has rows of (date, ticker, identity). Returns ticker, identity, first_date,
    last_date: one row per run of sessions in which a symbol meant the same company, so a reused
    symbol has several.
    """
    keys = ["ticker", "identity", "_run"]
    return (
        tickers.select("date", "ticker", "identity")
        .unique()
        .sort("ticker", "date", "identity")
        .with_columns(pl.col("identity").rle_id().over("ticker").alias("_run"))
        .group_by(keys)
        .agg(pl.col("date").min().alias("first_date"), pl.col("date").max().alias("last_date"))
        .drop("_run")
        .sort("ticker", "first_date")
    )


def with_identity(frame: pl.DataFrame, listings: pl.DataFrame, on: str = "date") -> pl.DataFrame:
    """`frame` (ticker and the date column `on`) with the identity that its symbol had on that day.

    A day up to ten days after a listing's last session still belongs to it: an action may be
    dated on a rename's first day under the old symbol. Otherwise the symbol itself stands in,
    which matches no known company.
    """
    intervals = listings.select(
        "ticker", pl.col("identity").alias("_owner"), "first_date", "last_date"
    ).sort("first_date")
    is_owned = pl.col(on) <= pl.col("last_date") + MAX_LISTING_GAP
    return (
        frame.with_row_index("_row")
        .sort(on)
        .join_asof(
            intervals,
            left_on=on,
            right_on="first_date",
            by="ticker",
            strategy="backward",
            check_sortedness=False,
        )
        .with_columns(
            pl.when(is_owned)
            .then("_owner")
            .otherwise("ticker")
            .fill_null(pl.col("ticker"))
            .alias("identity")
        )
        .sort("_row")
        .select(*(name for name in frame.columns if name != "identity"), "identity")
    )


def adjustment_factors(
    splits: pl.DataFrame,
    dividends: pl.DataFrame,
    closes: pl.DataFrame,
    listings: pl.DataFrame,
) -> pl.DataFrame:
    """The table `adjustment_factors`.

    `splits` and `dividends` are rows of those tables, `closes` has (date, ticker, close) with
    unadjusted closes, `listings` comes from `listings()`. split_factor is split_from / split_to;
    dividend_factor is 1 - D / previous close, with the last close before the ex-date on the share
    basis before that day's events. Splits of a day multiply, dividends add up, and an event that
    the vendor lists twice counts once. A dividend without a usable previous close has factor 1
    and a null previous_close. Amounts in a foreign currency are left out.
    """
    split_events = _split_events(splits, listings)
    cash_events = _cash_events(dividends, listings)
    keys = ["identity", "effective_date"]
    events = split_events.join(cash_events, on=keys, how="full", coalesce=True, suffix="_cash")
    events = events.with_columns(
        pl.coalesce("ticker", "ticker_cash").alias("ticker"),
        pl.col("split_factor").fill_null(1.0),
        pl.col("cash_amount").fill_null(0.0),
    )
    based = _with_previous_close(events, with_identity(closes, listings), split_events)
    return TABLES["adjustment_factors"].validate(_with_dividend_factor(based))


def _split_events(splits: pl.DataFrame, listings: pl.DataFrame) -> pl.DataFrame:
    factor = pl.col("split_from") / pl.col("split_to")
    events = splits.select(
        "ticker", pl.col("execution_date").alias("effective_date"), factor.alias("split_factor")
    ).with_columns(pl.col("split_factor").round_sig_figs(_RATIO_DIGITS).alias("_ratio"))
    return (
        with_identity(events, listings, "effective_date")
        .sort("identity", "effective_date", "ticker")
        .unique(["identity", "effective_date", "_ratio"], keep="last", maintain_order=True)
        .group_by("identity", "effective_date", maintain_order=True)
        .agg(pl.col("ticker").last(), pl.col("split_factor").product())
    )


def _cash_events(dividends: pl.DataFrame, listings: pl.DataFrame) -> pl.DataFrame:
    is_usd = pl.col("currency").is_null() | (pl.col("currency").str.to_uppercase() == "USD")
    events = dividends.filter(is_usd, pl.col("cash_amount") > 0).select(
        "ticker", pl.col("ex_dividend_date").alias("effective_date"), "cash_amount", "sequence"
    )
    once = ["identity", "effective_date", "cash_amount", "sequence"]
    return (
        with_identity(events, listings, "effective_date")
        .sort("identity", "effective_date", "ticker", "cash_amount")
        .unique(once, keep="last", maintain_order=True)
        .group_by("identity", "effective_date", maintain_order=True)
        .agg(pl.col("ticker").last(), pl.col("cash_amount").sum())
    )


def _with_previous_close(
    events: pl.DataFrame, closes: pl.DataFrame, split_events: pl.DataFrame
) -> pl.DataFrame:
    """`events` with the last close before them, brought over splits strictly in between."""
    last = events.sort("effective_date").join_asof(
        closes.select("identity", "date", pl.col("close").alias("previous_close")).sort("date"),
        left_on="effective_date",
        right_on="date",
        by="identity",
        strategy="backward",
        allow_exact_matches=False,
        check_sortedness=False,
    )
    between = (
        last.select("identity", "effective_date", "date")
        .join(
            split_events.select("identity", pl.col("effective_date").alias("_at"), "split_factor"),
            on="identity",
        )
        .filter(pl.col("_at") > pl.col("date"), pl.col("_at") < pl.col("effective_date"))
        .group_by("identity", "effective_date")
        .agg(pl.col("split_factor").product().alias("_between"))
    )
    return last.join(between, on=["identity", "effective_date"], how="left").with_columns(
        pl.col("previous_close") * pl.col("_between").fill_null(1.0)
    )


def _with_dividend_factor(events: pl.DataFrame) -> pl.DataFrame:
    """A dividend of the whole price or more is a data error: flagged, never applied."""
    is_usable = pl.col("cash_amount") < pl.col("previous_close")
    return events.with_columns(
        pl.when(is_usable).then("previous_close").alias("previous_close"),
        pl.when(is_usable)
        .then(1.0 - pl.col("cash_amount") / pl.col("previous_close"))
        .otherwise(1.0)
        .alias("dividend_factor"),
    )


def factor_after(
    frame: pl.DataFrame,
    factors: pl.DataFrame,
    until: date,
    since: str = "date",
    column: str = "split_factor",
) -> pl.Series:
    """Product of `column` over the events with since < effective_date <= until, per row.

    `frame` has identity and the date column `since`; the result is in its row order, 1.0 where
    there is no event. Multiply prices of the day `since` by it to bring them onto the basis of
    `until`.
    """
    events = (
        factors.filter(pl.col("effective_date") <= until, pl.col(column) != 1.0)
        .group_by("identity", "effective_date")
        .agg(pl.col(column).product())
        .sort("identity", "effective_date")
        .with_columns(pl.col(column).cum_prod(reverse=True).over("identity").alias("_factor"))
        .select("identity", pl.col("effective_date").alias("_at"), "_factor")
        .sort("_at")
    )
    matched = (
        frame.select("identity", pl.col(since).alias("_since"))
        .with_row_index("_row")
        .sort("_since")
        .join_asof(
            events,
            left_on="_since",
            right_on="_at",
            by="identity",
            strategy="forward",
            allow_exact_matches=False,
            check_sortedness=False,
        )
    )
    return matched.sort("_row")["_factor"].fill_null(1.0)


def split_factor_between(
    frame: pl.DataFrame, factors: pl.DataFrame, until: date, since: str = "date"
) -> pl.Series:
    """Split factor from each row's day `since` to the day `until`; see `factor_after`."""
    return factor_after(frame, factors, until, since, "split_factor")


def adjust_bars(
    bars: pl.DataFrame, factors: pl.DataFrame, as_of: date, dividends: bool = False
) -> pl.DataFrame:
    """`bars` on the share basis of the day `as_of`, in the same order.

    `bars` has date, identity and any of PRICE_COLUMNS and VOLUME_COLUMNS. Events of the same
    identity with bar date < effective_date <= as_of apply: prices are multiplied by the factor,
    volumes divided by the split factor. With `dividends` prices carry the dividend factor too
    (a total-return series); volumes never do.
    """
    split = split_factor_between(bars, factors, as_of)
    price = split
    if dividends:
        price = split * factor_after(bars, factors, as_of, column="dividend_factor")
    return bars.with_columns(
        *(pl.col(name) * price for name in PRICE_COLUMNS if name in bars.columns),
        *(pl.col(name) / split for name in VOLUME_COLUMNS if name in bars.columns),
    )
