"""The universe of a session: which small caps could be traded, and what was known of them.

Holds the point-in-time filter by type, exchange and market capitalisation, and the enrichment
with details and counts of corporate actions. What happened during the session belongs to
`metrics`; nothing later than the session's eve decides here.
"""

from __future__ import annotations

from datetime import date

import polars as pl

from smallcaps_assets.schemas.tables import TABLES
from smallcaps_assets.settings import UniverseSettings

# Test symbols printed in the vendor's grouped bars and flat files (October 2026). An exact list:
# no pattern separates them from ZTS, ZBRA or CBOE, which are companies.
TEST_TICKERS = frozenset(
    {
        "ATEST",
        "CBOA",
        "CBOJ",
        "CBOL",
        "CBOO",
        "CBOT",
        "CBOX",
        "CBOY",
        "CBXA",
        "CBXJ",
        "CBXL",
        "CBXO",
        "CBXY",
        "IBOT",
        "MTEST",
        "MTEST.A",
        "NTEST",
        "NTEST.H",
        "NTEST.I",
        "ZBZX",
        "ZEXIT",
        "ZIEXT",
        "ZJZZT",
        "ZTEST",
        "ZTST",
        "ZVZZT",
        "ZWZZT",
        "ZXIET",
        "ZXZZT",
        "ZZZTA",
        "ZZZTE",
        "ZZZTS",
        "ZZZTT",
        "ZZZTX",
    }
)
_DETAILS = (
    "as_of",
    "is_lagged",
    "sic_code",
    "sic_description",
    "total_employees",
    "description",
    "list_date",
    "delisted_date",
    "shares_outstanding",
)


def universe(
    tickers: pl.DataFrame,
    details: pl.DataFrame,
    splits: pl.DataFrame,
    dividends: pl.DataFrame,
    previous_bars: pl.DataFrame,
    settings: UniverseSettings,
    day: date,
) -> pl.DataFrame:
    """The table `universe` of the session `day`.

    `tickers` is the point-in-time list of the day, `details` rows of ticker_details (only those
    asked for by the day are used, the latest month per ticker), `previous_bars` daily bars of
    earlier sessions (the latest per ticker is used; may be empty). market_cap is the previous
    unadjusted close times the shares outstanding, both brought onto the session's share basis.
    Companies at or above `max_market_cap` are out; unknown ones are kept and flagged.
    """
    listed = _listed(tickers, settings, day)
    enriched = _without_foreign_details(
        listed.join(_latest_details(details, day), on="ticker", how="left")
    )
    sized = _with_market_cap(
        enriched.join(_previous_closes(previous_bars, day), on="ticker", how="left"), splits, day
    )
    counted = _with_counts(sized, splits, dividends, day)
    small = pl.col("market_cap").is_null() | (pl.col("market_cap") < settings.max_market_cap)
    return TABLES["universe"].validate(counted.filter(small))


def _listed(tickers: pl.DataFrame, settings: UniverseSettings, day: date) -> pl.DataFrame:
    return tickers.filter(
        pl.col("date") == day,
        pl.col("type").is_in(list(settings.types)),
        pl.col("primary_exchange").is_in(list(settings.exchanges)),
        ~pl.col("ticker").is_in(list(TEST_TICKERS)),
    ).select(
        "date", "ticker", "identity", "name", "type", "primary_exchange", "cik", "composite_figi"
    )


def _latest_details(details: pl.DataFrame, day: date) -> pl.DataFrame:
    """The newest details known by the day; columns shared with the ticker list get `_details`."""
    return (
        details.filter(pl.col("month") <= day, pl.col("as_of") <= day)
        .sort("ticker", "month")
        .unique("ticker", keep="last", maintain_order=True)
        .select(
            "ticker",
            *_DETAILS,
            pl.col("cik").alias("cik_details"),
            pl.col("composite_figi").alias("composite_figi_details"),
        )
    )


def _without_foreign_details(listed: pl.DataFrame) -> pl.DataFrame:
    """Details of the company that had the symbol before are nobody's: set to null.

    A FIGI decides where both sides have one, else the CIK.
    """
    figi_differs = pl.col("composite_figi") != pl.col("composite_figi_details")
    cik_differs = pl.col("cik") != pl.col("cik_details")
    is_foreign = pl.coalesce(figi_differs, cik_differs).fill_null(False)
    return listed.with_columns(
        pl.when(~is_foreign).then(pl.col(name)).alias(name) for name in _DETAILS
    )


def _previous_closes(previous_bars: pl.DataFrame, day: date) -> pl.DataFrame:
    return (
        previous_bars.filter(pl.col("date") < day)
        .sort("ticker", "date")
        .unique("ticker", keep="last", maintain_order=True)
        .select(
            "ticker", pl.col("date").alias("_close_date"), pl.col("close").alias("previous_close")
        )
    )


def _with_market_cap(listed: pl.DataFrame, splits: pl.DataFrame, day: date) -> pl.DataFrame:
    """Shares on the session's basis, and the capitalisation at the previous close.

    The close moves over splits since its session, the shares over splits since the details' date.
    """
    events = _distinct_splits(splits, day)
    based = listed.join(
        _factor_since(listed, events, "_close_date", "_price_factor"), on="ticker", how="left"
    ).join(_factor_since(listed, events, "as_of", "_share_factor"), on="ticker", how="left")
    shares = pl.col("shares_outstanding") / pl.col("_share_factor").fill_null(1.0)
    close = pl.col("previous_close") * pl.col("_price_factor").fill_null(1.0)
    cap = close * shares
    return based.with_columns(
        shares.alias("shares_outstanding"),
        cap.alias("market_cap"),
        cap.is_not_null().alias("is_market_cap_known"),
        pl.col("is_lagged").alias("is_shares_lagged"),
    )


def _distinct_splits(splits: pl.DataFrame, day: date) -> pl.DataFrame:
    """Price factors of the splits executed by the day, each once."""
    ratio = pl.col("split_from") / pl.col("split_to")
    return (
        splits.filter(pl.col("execution_date") <= day)
        .select("ticker", "execution_date", ratio.alias("_ratio"))
        .with_columns(pl.col("_ratio").round_sig_figs(12).alias("_key"))
        .unique(["ticker", "execution_date", "_key"], keep="first", maintain_order=True)
    )


def _factor_since(
    listed: pl.DataFrame, events: pl.DataFrame, since: str, name: str
) -> pl.DataFrame:
    return (
        listed.select("ticker", since)
        .join(events, on="ticker")
        .filter(pl.col("execution_date") > pl.col(since))
        .group_by("ticker")
        .agg(pl.col("_ratio").product().alias(name))
    )


def _with_counts(
    listed: pl.DataFrame, splits: pl.DataFrame, dividends: pl.DataFrame, day: date
) -> pl.DataFrame:
    """Events from the listing date, where known, up to the session."""
    split_days = _distinct_splits(splits, day).select("ticker", "execution_date")
    dividend_days = dividends.filter(pl.col("ex_dividend_date") <= day).select(
        "ticker", pl.col("ex_dividend_date").alias("execution_date")
    )
    for name, events in (("splits_count", split_days), ("dividends_count", dividend_days)):
        counts = (
            listed.select("ticker", "list_date")
            .join(events, on="ticker")
            .filter((pl.col("execution_date") >= pl.col("list_date")).fill_null(True))
            .group_by("ticker")
            .agg(pl.len().alias(name))
        )
        listed = listed.join(counts, on="ticker", how="left").with_columns(
            pl.col(name).fill_null(0)
        )
    return listed
