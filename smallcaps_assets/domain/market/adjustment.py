"""Share-basis adjustment: split and dividend factors, and their application to bars.

Holds the listing intervals that say whose event an event is, the factor table, and the functions
that bring prices and volumes onto the share basis of a given day. Everything is applied at read
time; no adjusted price is stored as a fact. Detecting unrecorded splits belongs to `metrics`.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Literal

import polars as pl

from smallcaps_assets.schemas.tables import TABLES

_PRICES = ("first_price", "open", "high", "low", "close", "vwap")
PRICE_COLUMNS = (*_PRICES, "premarket_high", "previous_close")
VOLUME_COLUMNS = ("volume", "premarket_volume", "premarket_minute_volumes", "minute_volume")
MAX_LISTING_GAP = timedelta(days=10)
_RATIO_DIGITS = 12


def listings(tickers: pl.DataFrame | pl.LazyFrame) -> pl.DataFrame:
    """Listing intervals of symbols.

    `tickers` has rows of (date, ticker, identity); a lazy frame is aggregated by the streaming
    engine, since 5,500 lists of 12,000 symbols need not fit in memory. Returns ticker, identity,
    first_date, last_date: one row per run of sessions in which a symbol meant the same company,
    so a reused symbol has several.
    """
    rows = tickers.lazy().select("date", "ticker", "identity")
    spans = _spans(rows).collect(engine="streaming")
    before = pl.col("last_date").cum_max().shift(1).over("ticker")
    mixed = spans.filter(pl.col("first_date") <= before)["ticker"].unique()
    is_mixed = pl.col("ticker").is_in(mixed.implode())
    runs = (
        rows.filter(is_mixed)
        .unique()
        .sort("ticker", "date", "identity")
        .with_columns(pl.col("identity").rle_id().over("ticker").alias("_run"))
    )
    split_up = _spans(runs, "_run").drop("_run").collect()
    return pl.concat([spans.filter(~is_mixed), split_up]).sort("ticker", "first_date", "identity")


def _spans(rows: pl.LazyFrame, *keys: str) -> pl.LazyFrame:
    """First and last date of each symbol and identity, ordered within the symbol."""
    first, last = pl.col("date").min(), pl.col("date").max()
    return (
        rows.group_by("ticker", "identity", *keys)
        .agg(first.alias("first_date"), last.alias("last_date"))
        .sort("ticker", "first_date", "identity")
    )


def with_identity(frame: pl.DataFrame, listings: pl.DataFrame, on: str = "date") -> pl.DataFrame:
    """`frame` (ticker and the date column `on`) with the identity that its symbol had on that day.

    A day up to ten days after a listing's last session still belongs to it: an action may be
    dated on a rename's first day under the old symbol. Otherwise the symbol itself stands in,
    which matches no known company.
    """
    intervals = listings.select(
        "ticker", pl.col("identity").alias("_owner"), "first_date", "last_date"
    )
    is_owned = pl.col(on) <= pl.col("last_date") + MAX_LISTING_GAP
    owner = pl.when(is_owned).then("_owner").otherwise("ticker").fill_null(pl.col("ticker"))
    return (
        _asof(frame, intervals, on, "first_date", "ticker")
        .with_columns(owner.alias("identity"))
        .select(*(name for name in frame.columns if name != "identity"), "identity")
    )


def _asof(
    left: pl.DataFrame,
    right: pl.DataFrame,
    left_on: str,
    right_on: str,
    by: str,
    strategy: Literal["backward", "forward"] = "backward",
    is_strict: bool = False,
) -> pl.DataFrame:
    """`left`, in its order, with the nearest row of `right` before (after) it within `by`."""
    return (
        left.with_row_index("_row")
        .sort(left_on)
        .join_asof(
            right.sort(right_on),
            left_on=left_on,
            right_on=right_on,
            by=by,
            strategy=strategy,
            allow_exact_matches=not is_strict,
            check_sortedness=False,
        )
        .sort("_row")
        .drop("_row")
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
    dated = closes.select("identity", "date", pl.col("close").alias("previous_close"))
    last = _asof(events, dated, "effective_date", "date", "identity", is_strict=True)
    between = _split_factor_inside(last, split_events)
    return last.join(between, on=["identity", "effective_date"], how="left").with_columns(
        pl.col("previous_close") * pl.col("_between").fill_null(1.0)
    )


def _split_factor_inside(last: pl.DataFrame, split_events: pl.DataFrame) -> pl.DataFrame:
    """Per event the factor of splits after the close's `date` and before the event itself."""
    splits = split_events.select(
        "identity", pl.col("effective_date").alias("_at"), pl.col("split_factor").alias("_split")
    )
    return (
        last.select("identity", "effective_date", "date")
        .join(splits, on="identity")
        .filter(pl.col("_at") > pl.col("date"), pl.col("_at") < pl.col("effective_date"))
        .group_by("identity", "effective_date")
        .agg(pl.col("_split").product().alias("_between"))
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
    days = frame.select("identity", pl.col(since).alias("_since"))
    events = _products_to_come(factors, until, column)
    matched = _asof(days, events, "_since", "_at", "identity", "forward", is_strict=True)
    return matched["_factor"].fill_null(1.0)


def _products_to_come(factors: pl.DataFrame, until: date, column: str) -> pl.DataFrame:
    """Per identity and event day `_at`: the product of that event and all later ones."""
    return (
        factors.filter(pl.col("effective_date") <= until, pl.col(column) != 1.0)
        .group_by("identity", pl.col("effective_date").alias("_at"))
        .agg(pl.col(column).product())
        .sort("identity", "_at")
        .select(
            "identity",
            "_at",
            pl.col(column).cum_prod(reverse=True).over("identity").alias("_factor"),
        )
    )


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
