"""Which findings each table gets, and which other tables they are compared with.

Read after a partition is stored, whether it was made now or found complete. What is looked at is in
`domain/quality/checks.py`; checks over whole tables are in `checks.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import polars as pl

from smallcaps_assets.domain.market.calendar import session_hours
from smallcaps_assets.domain.quality import (
    backtest_checks,
    checks,
    feed_checks,
    model_checks,
    quote_checks,
)
from smallcaps_assets.domain.quality.checks import Finding
from smallcaps_assets.domain.quality.feed_checks import long_halts
from smallcaps_assets.domain.quality.tape_totals import Totals, trade_totals
from smallcaps_assets.lake import Lake, Scope, split_ticker_session
from smallcaps_assets.lake.decisions import decisions
from smallcaps_assets.lake.selection import date_column
from smallcaps_assets.pipeline.context import LakeContext
from smallcaps_assets.pipeline.file_cache import FileCache
from smallcaps_assets.pipeline.halt_feed import session_halts
from smallcaps_assets.pipeline.losses import stored_day
from smallcaps_assets.pipeline.market import BESIDE_PRICES
from smallcaps_assets.schemas import TABLES

Find = Callable[[LakeContext, str, str, pl.DataFrame], list[Finding]]


def find(work: LakeContext, table: str, key: str | None, frame: pl.DataFrame) -> list[Finding]:
    """The findings of a stored partition; every one begins with the contract that it passed."""
    contract = Finding(
        "contract",
        True,
        f"{frame.height:,} unique rows of the declared types",
        figures={"row count": frame.height},
    )
    return [contract, *_find_of(table)(work, table, key or "", frame)]


def _find_of(table: str) -> Find:
    """What is looked at in a table; in a feed at least that nothing is known too early."""
    is_feed = TABLES[table].group in BESIDE_PRICES
    return _FINDS.get(table, _known if is_feed else _nothing)


def _nothing(work: LakeContext, table: str, key: str, frame: pl.DataFrame) -> list[Finding]:
    return []


def _listing(work: LakeContext, table: str, key: str, frame: pl.DataFrame) -> list[Finding]:
    what = {"tickers": "tickers listed", "daily_bars": "daily bars"}.get(table, "companies")
    if work.scope(table) != Scope():
        return []
    return [checks.session_share(frame, _rows_before(work, table, key), what)]


def _universe(work: LakeContext, table: str, key: str, frame: pl.DataFrame) -> list[Finding]:
    remedy = "look at universe.types, universe.exchanges and universe.max_market_cap"
    some = [] if work.scope(table) != Scope() else [checks.has_rows(frame, "companies", remedy)]
    return [*some, *_listing(work, table, key, frame)]


def _daily_bars(work: LakeContext, table: str, key: str, frame: pl.DataFrame) -> list[Finding]:
    return [*_listing(work, table, key, frame), checks.price_ranges(frame)]


def _ranges(work: LakeContext, table: str, key: str, frame: pl.DataFrame) -> list[Finding]:
    return [checks.price_ranges(frame)]


def _summary(work: LakeContext, table: str, key: str, frame: pl.DataFrame) -> list[Finding]:
    return [checks.minutes_complete(frame), checks.volumes_reconcile(frame)]


def _metrics(work: LakeContext, table: str, key: str, frame: pl.DataFrame) -> list[Finding]:
    halted = feed_checks.volume_after_halts(frame, _halted_long(work, date.fromisoformat(key)))
    told = decisions(work.lake).filter(pl.col("date") == date.fromisoformat(key))
    found = [checks.decisions_found(frame, told)] if told.height else []
    return [checks.suspect_actions(frame), checks.outliers(frame), *found, halted]


def _short_volume(work: LakeContext, table: str, key: str, frame: pl.DataFrame) -> list[Finding]:
    return [feed_checks.short_volumes_fit(frame), feed_checks.known_not_before(frame, "date")]


def _halts(work: LakeContext, table: str, key: str, frame: pl.DataFrame) -> list[Finding]:
    feed = session_halts(work.lake, date.fromisoformat(key))
    usable = feed_checks.halts_usable(frame, feed.unusable if feed else ())
    early = feed_checks.known_not_before(frame, "date")
    offered = feed_checks.halts_offered(feed is not None)
    return [offered, feed_checks.halts_have_ended(frame), usable, early]


def _filings(work: LakeContext, table: str, key: str, frame: pl.DataFrame) -> list[Finding]:
    early = feed_checks.known_not_before(frame, "filing_date")
    return [feed_checks.clocks_told(frame), early]


def _known(work: LakeContext, table: str, key: str, frame: pl.DataFrame) -> list[Finding]:
    """Facts of a day that count as known on that day or later."""
    column = date_column(TABLES[table])
    assert column is not None, table
    return [feed_checks.known_not_before(frame, column)]


def _trades(work: LakeContext, table: str, key: str, frame: pl.DataFrame) -> list[Finding]:
    return [checks.trades_reconcile(trade_totals(frame), _day_of(work, key))]


def _bars(work: LakeContext, table: str, key: str, frame: pl.DataFrame) -> list[Finding]:
    is_from_minutes = frame.height > 0 and frame["source"][0] == "minutes"
    minutes = None if is_from_minutes else _minute_volume(work, key)
    found = [checks.price_ranges(frame), checks.tape_reconciles(frame, minutes)]
    found.append(checks.bars_where_traded(frame, _day_of(work, key)))
    return [*found, checks.bars_suit(frame)] if "is_clamped" in frame.columns else found


def _features(work: LakeContext, table: str, key: str, frame: pl.DataFrame) -> list[Finding]:
    bars = work.lake.read("dollar_imbalance_bars", key, ["bar_id", "close_timestamp"])
    return [checks.known_in_time(frame, bars)]


def _quote_quality(work: LakeContext, table: str, key: str, frame: pl.DataFrame) -> list[Finding]:
    return quote_checks.quote_quality(frame.row(0, named=True)) if frame.height else []


def _labels(work: LakeContext, table: str, key: str, frame: pl.DataFrame) -> list[Finding]:
    return [checks.labels_in_session(frame), checks.label_balance(frame)]


def _weights(work: LakeContext, table: str, key: str, frame: pl.DataFrame) -> list[Finding]:
    day = split_ticker_session(key)[1]
    in_period = checks.in_some_period(day, work.settings.dataset.periods)
    return [checks.weights_valid(frame), in_period]


def _dataset(work: LakeContext, table: str, key: str, frame: pl.DataFrame) -> list[Finding]:
    remedy = "see that ticker-sessions of its dates were selected, and have bars and labels"
    some = checks.has_rows(frame, "events", remedy)
    return [some, checks.selection_consistent(frame), checks.weights_valid(frame)]


def _models(work: LakeContext, table: str, key: str, frame: pl.DataFrame) -> list[Finding]:
    return [model_checks.models_made(frame)]


def _folds(work: LakeContext, table: str, key: str, frame: pl.DataFrame) -> list[Finding]:
    return [model_checks.folds_usable(frame)]


def _predictions(work: LakeContext, table: str, key: str, frame: pl.DataFrame) -> list[Finding]:
    in_time = model_checks.predicted_in_time(frame, key)
    return [in_time, model_checks.categories_seen(frame)]


def _candidates(work: LakeContext, table: str, key: str, frame: pl.DataFrame) -> list[Finding]:
    return [backtest_checks.fills_recorded(frame)]


def _backtest(work: LakeContext, table: str, key: str, frame: pl.DataFrame) -> list[Finding]:
    return [backtest_checks.cash_conserved(frame)]


def _coverage(work: LakeContext, table: str, key: str, frame: pl.DataFrame) -> list[Finding]:
    return [checks.vendor_coverage(frame)]


def _halted_long(work: LakeContext, day: date) -> set[str]:
    """Tickers halted for half a session or longer in one of the 30 sessions before."""
    sessions = work.sessions_before(day, work.settings.metrics.mean_sessions)
    return {ticker for key in sessions for ticker in _LONG_HALTS.get(work.lake, key) or ()}


def _long_halts(lake: Lake, key: str | None) -> set[str]:
    """Tickers halted for half of a session or longer."""
    day = date.fromisoformat(str(key))
    feed = session_halts(lake, day)
    return set() if feed is None else set(long_halts(feed.rows, session_hours(day)))


def _rows_before(work: LakeContext, table: str, key: str) -> int | None:
    """Rows of the same table in the session before; None when it is not stored."""
    before = work.sessions_before(date.fromisoformat(key), 1)
    if not before or not work.lake.exists(table, before[0]):
        return None
    return work.lake.read(table, before[0], ["ticker"]).height


def _day_of(work: LakeContext, key: str) -> Totals | None:
    """Shares and dollars of a ticker-session's day; None when they are not stored."""
    ticker, day = split_ticker_session(key)
    return (_DAYS.get(work.lake, day.isoformat()) or {}).get(ticker)


def _minute_volume(work: LakeContext, key: str) -> float | None:
    """The sum of a ticker-session's minutes; None when it is not known."""
    ticker, day = split_ticker_session(key)
    return (_MINUTE_VOLUMES.get(work.lake, day.isoformat()) or {}).get(ticker)


def _minute_volumes(lake: Lake, key: str | None) -> dict[str, float]:
    """Sums of the minutes of a session by ticker."""
    return dict(lake.read("session_summary", key, ["ticker", "minute_volume"]).iter_rows())


_LONG_HALTS = FileCache("halts", _long_halts)
_MINUTE_VOLUMES = FileCache("session_summary", _minute_volumes)
_DAYS = FileCache(
    "session_summary", lambda lake, key: stored_day(lake, date.fromisoformat(str(key)))
)
_FINDS: dict[str, Find] = {
    "tickers": _listing,
    "daily_bars": _daily_bars,
    "universe": _universe,
    "minute_bars": _ranges,
    "session_summary": _summary,
    "daily_metrics": _metrics,
    "short_volume": _short_volume,
    "facility_short_volume": _short_volume,
    "exchange_short_volume": _short_volume,
    "halts": _halts,
    "filings": _filings,
    "trades": _trades,
    "dollar_bars": _bars,
    "volume_bars": _bars,
    "dollar_imbalance_bars": _bars,
    "volume_imbalance_bars": _bars,
    "bar_features": _features,
    "quote_features": _features,
    "quote_quality": _quote_quality,
    "triple_barrier_labels": _labels,
    "sample_weights": _weights,
    "coverage": _coverage,
    "ml_dataset": _dataset,
    "folds": _folds,
    "models": _models,
    "predictions": _predictions,
    "backtest_candidates": _candidates,
    "backtest_trades": _backtest,
}
