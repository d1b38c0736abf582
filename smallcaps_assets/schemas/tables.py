"""Every table of the lake, declared once, in the order of the data flow.

A new table is added here, with its columns in `columns.py`, and nowhere else: its contract, column
metadata, dictionary entry and catalog view follow.
"""

from __future__ import annotations

from functools import partial

from smallcaps_assets.schemas import backtest_columns as backtest
from smallcaps_assets.schemas import columns
from smallcaps_assets.schemas import feed_columns as feeds
from smallcaps_assets.schemas import model_columns as models
from smallcaps_assets.schemas.columns import (
    BAR_REASONS,
    FEATURE_COLUMNS,
    QUOTE_COLUMNS,
    RULES,
    SEGMENTS,
)
from smallcaps_assets.schemas.feed_columns import ASOF_COLUMNS
from smallcaps_assets.schemas.table import TICKS, VENDOR, Op, Partitioning, Table, Window

__all__ = [
    "ASOF_COLUMNS",
    "BAR_REASONS",
    "BAR_TABLES",
    "CLOSES_LOOKED_BACK",
    "CURVE_WINDOW",
    "FEATURE_COLUMNS",
    "MADE_OF_TICKS",
    "METRICS_WINDOW",
    "OPS",
    "QUOTE_COLUMNS",
    "RULES",
    "SEGMENTS",
    "SESSION_TABLES",
    "TABLES",
    "TICK_CHAIN",
    "YEAR_WINDOW",
]

CLOSES_LOOKED_BACK, METRICS_WINDOW, YEAR_WINDOW = 5, 60, 252
CURVE_WINDOW = 60
"""Sessions before its own that a session is made from."""

# One ticker is read out of a session's file without decoding the others.
_session = partial(Table, partitioning=Partitioning.SESSION, row_group_rows=1_024, keys_per_run=250)
# A year of sessions a run, because a window is read once per run.
_session_table = partial(_session, op="session_tables", pool=VENDOR)
# A thousand keys a run make its start-up a small share of it.
_ticker_session = partial(
    Table,
    partitioning=Partitioning.TICKER_SESSION,
    op="tick_chain",
    keys_per_run=1000,
    pool=TICKS,
)
_statement = partial(
    Table,
    group="fundamentals",
    partitioning=Partitioning.YEAR,
    is_optional=True,
    expects_rows=True,
    years_before=2,
    op="statements",
    keys_per_run=100,
    pool=VENDOR,
)
_of_month = partial(
    Table,
    group="models",
    partitioning=Partitioning.MONTH,
    op="walk_forward",
    settings=("models",),
)
_of_strategy = partial(
    Table, group="backtest", partitioning=Partitioning.STRATEGY, op="backtest", keys_per_run=0
)
_BARS = ("ticks", "bars")
_PATTERNS = ("ticks", "metrics", "patterns")
_LABELS = ("ticks", "bars", "labels")
_METRICS = ("universe", "metrics")
_SELECTION = ("universe", "metrics", "selection")

_DECLARED = (
    _session_table(
        name="tickers",
        group="reference",
        schema=columns.Tickers,
        meaning="Everything listed on a session, as of then.",
        detail="Delisted companies are in the lists of the sessions on which they traded.",
        source="Polygon `/v3/reference/tickers?date=`, paged",
        known="start of the session",
        expects_rows=True,
    ),
    Table(
        name="ticker_details",
        group="reference",
        partitioning=Partitioning.MONTH,
        schema=columns.TickerDetails,
        meaning="What the vendor knew of each company 90 days before the month.",
        detail=(
            "Dated 90 days back because the vendor files shares outstanding under the end "
            "of a quarter, weeks before anyone knew them."
        ),
        source="Polygon `/v3/reference/tickers/{ticker}?date=`, one call a company",
        known="start of the month",
        expects_rows=True,
        keys_per_run=12,
        pool=VENDOR,
    ),
    Table(
        name="splits",
        group="reference",
        partitioning=Partitioning.YEAR,
        schema=columns.Splits,
        meaning="Splits by year of execution.",
        detail="Some splits are missing at every vendor; daily_metrics looks for their jumps.",
        source="Polygon `/stocks/v1/splits`, else `/v3/reference/splits`",
        known="start of the execution date",
        expects_rows=True,
        op="corporate_actions",
        pool=VENDOR,
    ),
    Table(
        name="dividends",
        group="reference",
        partitioning=Partitioning.YEAR,
        schema=columns.Dividends,
        meaning="Cash dividends by year of their ex-date.",
        source="Polygon `/stocks/v1/dividends`, else `/v3/reference/dividends`",
        known="start of the ex-date",
        expects_rows=True,
        op="corporate_actions",
        pool=VENDOR,
    ),
    _session_table(
        name="daily_bars",
        group="market",
        schema=columns.DailyBars,
        meaning="Unadjusted daily bars of all tickers.",
        detail="The close is the official one, closing auction included. One call a session.",
        source="Polygon `/v2/aggs/grouped/locale/us/market/stocks/{date}`, one call",
        known="close of the session",
        expects_rows=True,
    ),
    _session_table(
        name="universe",
        group="selection",
        schema=columns.Universe,
        meaning="Small caps tradable on the session, later-delisted ones among them.",
        detail=(
            "Types {universe.types}, listed on {universe.exchanges}, market cap below "
            "{universe.max_market_cap:,.0f} USD by the previous close; an unknown size is "
            "kept and flagged."
        ),
        known="start of the session; `delisted_date` never",
        upstream=("tickers", "ticker_details", "splits", "dividends", "daily_bars"),
        windows=(
            Window("ticker_details"),
            Window("daily_bars", CLOSES_LOOKED_BACK, has_own=False),
        ),
        settings=("universe",),
    ),
    _session_table(
        name="minute_bars",
        group="market",
        schema=columns.MinuteBars,
        meaning="Unadjusted 1-minute bars of the universe, extended hours included.",
        detail=(
            "Minutes without a trade have no row. From the flat file where the plan has it, "
            "else by REST; the metadata says which."
        ),
        source="Polygon flat file `minute_aggs_v1`, else `/v2/aggs/ticker/{ticker}/range/1/minute`",
        known="end of the minute",
        row_group_rows=16_384,
        upstream=("universe",),
        settings=("universe",),
    ),
    _session_table(
        name="short_volume",
        group="short_data",
        schema=columns.ShortVolume,
        meaning="FINRA off-exchange short volume of the session.",
        detail=(
            "Only off-exchange trades that were reported to FINRA: about half of the "
            "volume. Short volume is no short interest. Nothing before August 2018."
        ),
        source="FINRA `/equity/regsho/daily/CNMSshvol{date}.txt`",
    ),
    _session(
        name="facility_short_volume",
        group="short_data",
        schema=feeds.FacilityShortVolume,
        meaning="FINRA short volume by facility, of the facilities in the settings.",
        detail="Facilities: {short.facilities}.",
        source="FINRA `/equity/regsho/daily/{facility}shvol{date}.txt`",
        settings=("short",),
        is_optional=True,
    ),
    _session(
        name="exchange_short_volume",
        group="short_data",
        schema=feeds.ExchangeShortVolume,
        meaning="Short volume of exchanges, from files in a local folder.",
        detail="The exchanges sell or publish these files under terms of their own.",
        source="files in `short.exchange_dir`",
        settings=("short",),
        is_optional=True,
        keys_per_run=1000,
    ),
    _session(
        name="polygon_short_volume",
        group="short_data",
        schema=feeds.PolygonShortVolume,
        meaning="The vendor's table of off-exchange short volume.",
        detail="From 2024 on.",
        source="Polygon `/stocks/v1/short-volume`",
        is_optional=True,
        expects_rows=True,
        pool=VENDOR,
    ),
    Table(
        name="short_interest",
        group="short_data",
        partitioning=Partitioning.HALF_MONTH,
        schema=feeds.ShortInterest,
        meaning="Shares short by settlement date, twice a month.",
        detail="Known on its publication date, by rule some days after settlement.",
        source="Polygon `/stocks/v1/short-interest`, or FINRA's API `consolidatedShortInterest`",
        settings=("short",),
        keys_per_run=1000,
        pool=VENDOR,
    ),
    Table(
        name="fails_to_deliver",
        group="short_data",
        partitioning=Partitioning.HALF_MONTH,
        schema=feeds.FailsToDeliver,
        meaning="The SEC's balances of fails to deliver, by half-month file.",
        detail=(
            "Balances of a settlement date, published two to five weeks later; not the "
            "fails of that day."
        ),
        source="SEC `cnsfails{month}{a,b}.zip`",
        keys_per_run=1000,
    ),
    _session(
        name="halts",
        group="events",
        schema=feeds.TradeHalts,
        meaning="Trading halts of all US listing markets, from Nasdaq's feed.",
        detail="The feed reaches one year back; earlier halts are found on the tape.",
        source="Nasdaq `/rss.aspx?feed=tradehalts`",
    ),
    Table(
        name="filings",
        group="events",
        partitioning=Partitioning.MONTH,
        schema=feeds.Filings,
        meaning="EDGAR's S-1, S-3, 424B, 8-K, EFFECT and RW of the listed companies.",
        detail="Needs a contact in the settings (sec.contact), which the SEC asks for.",
        source="EDGAR's full or daily index, and each company's submissions",
        upstream=("ticker_details",),
        version=2,
        expects_rows=True,
        keys_per_run=24,
    ),
    Table(
        name="news",
        group="events",
        partitioning=Partitioning.MONTH,
        schema=feeds.News,
        meaning="Articles by ticker, with the vendor's opinion of each; those that name one.",
        source="Polygon `/v2/reference/news`",
        is_optional=True,
        expects_rows=True,
        keys_per_run=12,
        pool=VENDOR,
    ),
    Table(
        name="ticker_events",
        group="events",
        partitioning=Partitioning.TICKER,
        schema=feeds.TickerEvents,
        meaning="The symbols that one listing has had.",
        source="Polygon `/vX/reference/tickers/{ticker}/events`",
        is_optional=True,
        keys_per_run=1000,
        pool=VENDOR,
    ),
    Table(
        name="free_float",
        group="fundamentals",
        partitioning=Partitioning.NONE,
        schema=feeds.FreeFloat,
        meaning="Free float: the vendor's newest figures, beside those read before.",
        detail="The vendor keeps no history: each reading is added to those before.",
        source="Polygon `/stocks/vX/float`",
        expects_rows=True,
        pool=VENDOR,
    ),
    _statement(
        name="balance_sheets",
        schema=feeds.BalanceSheets,
        meaning="Balance sheets by year of filing.",
        source="Polygon `/stocks/financials/v1/balance-sheets`",
    ),
    _statement(
        name="income_statements",
        schema=feeds.IncomeStatements,
        meaning="Income statements by year of filing.",
        source="Polygon `/stocks/financials/v1/income-statements`",
    ),
    _statement(
        name="cash_flow_statements",
        schema=feeds.CashFlowStatements,
        meaning="Cash flow statements by year of filing.",
        source="Polygon `/stocks/financials/v1/cash-flow-statements`",
    ),
    Table(
        name="adjustment_factors",
        group="reference",
        partitioning=Partitioning.NONE,
        schema=columns.AdjustmentFactors,
        meaning="Split and dividend factors by effective date.",
        detail=("Multiply a raw price by the product of the factors with a later effective date."),
        known="start of the effective date",
        upstream=("splits", "dividends", "daily_bars", "tickers"),
        settings=("universe",),
    ),
    _session_table(
        name="session_summary",
        group="metrics",
        schema=columns.SessionSummary,
        meaning="One row per ticker and session from daily and minute bars.",
        detail="Close and volume are the daily bar's; minutes give the premarket.",
        known="close of the session; premarket columns at its open",
        upstream=("universe", "daily_bars", "minute_bars"),
        settings=("universe",),
        version=2,
    ),
    _session_table(
        name="daily_metrics",
        group="metrics",
        schema=columns.DailyMetrics,
        meaning="Returns, gaps and relative volume on one share basis.",
        detail=(
            "Relative volume is the volume over its mean of the last "
            "{metrics.mean_sessions} sessions with trades, at least {metrics.min_sessions}, "
            "on today's share basis. A jump that looks like a split the vendor missed is "
            "flagged."
        ),
        known="close of the session; premarket columns and the gap at its open",
        upstream=("session_summary", "universe", "splits", "dividends"),
        windows=(Window("session_summary", METRICS_WINDOW),),
        settings=_METRICS,
        version=3,
    ),
    _session_table(
        name="watchlist",
        group="selection",
        schema=columns.Watchlist,
        meaning="Ticker-days selected by rule, and the moment at which each rule was known.",
        detail=(
            "info_rich, known at the close: relative volume ≥ "
            "{selection.min_relative_volume:g}, |change| ≥ {selection.min_change:.0%}, ≥ "
            "{selection.min_dollar_volume:,.0f} USD traded, price {selection.min_price:.2f} "
            "to {selection.max_price:.2f} USD. intraday_trigger: the same, as soon as it "
            "holds at the end of a minute. premarket_gap, known at the open: |gap| ≥ "
            "{selection.min_gap:.0%}, premarket volume ≥ "
            "{selection.min_premarket_volume:,.0f}. follow_up, known at 04:00: info-rich on "
            "the session before, or a runner."
        ),
        upstream=("daily_metrics", "minute_bars", "universe"),
        windows=(
            Window("daily_metrics", YEAR_WINDOW),
            Window("universe", YEAR_WINDOW, through="daily_metrics"),
        ),
        settings=_SELECTION,
        version=2,
    ),
    _session_table(
        name="runners",
        group="selection",
        schema=columns.Runners,
        meaning="Most often info-rich tickers of 12 months.",
        detail=(
            "The {selection.runners} tickers with the most info-rich days of the last "
            "{selection.runner_sessions} sessions."
        ),
        known="close of the session",
        upstream=("daily_metrics", "universe"),
        windows=(
            Window("daily_metrics", YEAR_WINDOW),
            Window("universe", YEAR_WINDOW, through="daily_metrics"),
        ),
        settings=_SELECTION,
    ),
    _session_table(
        name="volatile",
        group="selection",
        schema=columns.Volatile,
        meaning="Tickers with the largest gaps, relative volumes and ranges of 12 months.",
        detail=(
            "The {selection.volatile} tickers with the best mean rank by |gap|, relative volume "
            "and range, each a mean over the last {selection.volatile_sessions} sessions. Rules in "
            "selection.volatile_only hold only for tickers on the list of the session before."
        ),
        known="close of the session",
        upstream=("daily_metrics",),
        windows=(Window("daily_metrics", YEAR_WINDOW),),
        settings=_SELECTION,
    ),
    Table(
        name="ticker_sessions",
        group="selection",
        partitioning=Partitioning.NONE,
        schema=columns.TickerSessions,
        meaning="Registry of the ticker-days worth their ticks.",
        detail=(
            "The days that {selection.tick_rules} select. Registers the partition keys of "
            "ticks and all that follows; keys are never deleted, a day that no longer "
            "qualifies stays and is left out of the dataset."
        ),
        known="`eligible_from`",
        upstream=("watchlist",),
        settings=_SELECTION,
    ),
    _ticker_session(
        name="trades",
        group="ticks",
        schema=columns.Trades,
        meaning="Every trade of a selected ticker-day.",
        detail=(
            "In the order of the tape (SIP time, sequence number), every condition kept. "
            "Nothing is filtered here."
        ),
        source="Polygon `/v3/trades/{ticker}`, else flat file `trades_v1`",
        known="`sip_timestamp`",
        upstream=("ticker_sessions",),
        version=2,
        expects_rows=True,
    ),
    _ticker_session(
        name="quotes",
        group="ticks",
        schema=columns.Quotes,
        meaning="Every change of the national best bid and offer of a selected ticker-day.",
        detail=(
            "Fetched with the trades where quotes.enabled says so, or a backfill names them. "
            "Sizes are in shares: the vendor's are multiplied by size_unit, which is 100 before "
            "{polygon.quote_shares_since} unless the sizes themselves tell otherwise."
        ),
        source="Polygon `/v3/quotes/{ticker}`, else flat file `quotes_v1`",
        known="`sip_timestamp`",
        upstream=("ticker_sessions",),
        is_optional=True,
        expects_rows=True,
    ),
    _ticker_session(
        name="dollar_bars",
        group="bars",
        schema=columns.DollarBars,
        meaning="Bars of equal dollars.",
        detail="A bar closes with the trade that completes {bars.dollar_target:,.0f} USD.",
        upstream=("trades", "halts"),
        settings=_BARS,
        version=2,
    ),
    _ticker_session(
        name="volume_bars",
        group="bars",
        schema=columns.VolumeBars,
        meaning="Bars of equal volume.",
        detail="A bar closes with the trade that completes {bars.volume_target:,.0f} shares.",
        upstream=("trades", "halts"),
        settings=_BARS,
        version=2,
    ),
    _ticker_session(
        name="dollar_imbalance_bars",
        group="bars",
        schema=columns.DollarImbalanceBars,
        meaning="Bars that close when signed dollars leave their expected range.",
        detail=(
            "First threshold {bars.dollar_imbalance_target:,.0f} USD, then damped: α "
            "{bars.alpha:g}, γ {bars.gamma:g}, within a factor of {bars.kappa:g}. A session "
            "or a halt ends a bar; such a rest makes no features and no label."
        ),
        upstream=("trades", "halts"),
        settings=_BARS,
        version=3,
    ),
    _ticker_session(
        name="volume_imbalance_bars",
        group="bars",
        schema=columns.VolumeImbalanceBars,
        meaning="Bars that close when signed volume leaves its expected range.",
        detail=(
            "First threshold {bars.volume_imbalance_target:,.0f} shares, damped like the "
            "dollar imbalance bars."
        ),
        upstream=("trades", "halts"),
        settings=_BARS,
        version=3,
    ),
    _ticker_session(
        name="bar_features",
        group="labels",
        schema=columns.BarFeatures,
        meaning="What was known at each dollar imbalance bar's close.",
        detail=(
            "Only of bars that their threshold closed. Windows reach back inside the session only."
        ),
        upstream=(
            *("trades", "dollar_imbalance_bars", "halts", "daily_metrics"),
            *("minute_bars", "splits"),
        ),
        windows=(Window("minute_bars", CURVE_WINDOW, has_own=False),),
        settings=(*_BARS, "metrics"),
        version=3,
    ),
    _ticker_session(
        name="quote_features",
        group="labels",
        schema=columns.QuoteFeatures,
        meaning="Quotes and signed flow at each dollar imbalance bar's close.",
        detail=(
            "A row per row of bar_features. Without quotes, or where minute bars stand in for "
            "trades, all but null_reason is null."
        ),
        upstream=("quotes", "trades", "dollar_imbalance_bars", "halts"),
        settings=_BARS,
    ),
    _ticker_session(
        name="quote_quality",
        group="quality",
        schema=columns.QuoteQuality,
        meaning="How far the quotes of a ticker-day can be trusted.",
        detail="A row also where there are no quotes.",
        known="end of the session",
        upstream=("quotes", "trades", "dollar_imbalance_bars", "halts"),
        settings=_BARS,
    ),
    _ticker_session(
        name="pattern_events",
        group="labels",
        schema=columns.PatternEvents,
        meaning="Opening-range breakouts, gaps, pullbacks and other patterns as they were known.",
        detail=(
            "Found on trades alone: none where minute bars stand in for them. What each pattern "
            "is stands in the formulas."
        ),
        known="`t0`",
        upstream=("trades", "halts", "daily_metrics"),
        settings=_PATTERNS,
    ),
    _ticker_session(
        name="pattern_labels",
        group="labels",
        schema=columns.PatternLabels,
        meaning="What became of each pattern event.",
        detail=(
            "The triple barrier from t0, mirrored for side -1: {labels.take_profit:.0%} profit, "
            "{labels.stop_loss:.0%} stop, {labels.timeout_seconds:minutes}."
        ),
        known="`t1`",
        upstream=("pattern_events", "trades", "quotes", "halts"),
        settings=(*_PATTERNS, "labels"),
    ),
    _ticker_session(
        name="triple_barrier_labels",
        group="labels",
        schema=columns.TripleBarrierLabels,
        meaning="Which barrier the price touched first.",
        detail=(
            "+{labels.take_profit:.0%}, −{labels.stop_loss:.0%}, {labels.timeout_seconds:minutes}, "
            "on every price-forming trade after the bar; the first touch wins, and "
            "a gap through a barrier keeps its true return. 0 is a timeout."
        ),
        known="`t1`",
        upstream=("trades", "dollar_imbalance_bars", "halts"),
        settings=_LABELS,
        version=2,
    ),
    _ticker_session(
        name="forward_mids",
        group="labels",
        schema=columns.ForwardMids,
        meaning="What the mid did after each event.",
        detail="A row per label; without quotes all is null.",
        known="5, and 15, minutes after `t0`",
        upstream=("quotes", "trades", "triple_barrier_labels", "halts"),
        settings=_LABELS,
    ),
    _ticker_session(
        name="sample_weights",
        group="labels",
        schema=columns.SampleWeights,
        meaning="Uniqueness and return attribution of each label.",
        detail="Labels without a path are left out before concurrency is counted.",
        known="end of the session: for training, no feature",
        upstream=("dollar_imbalance_bars", "triple_barrier_labels"),
        settings=_LABELS,
        version=2,
    ),
    _session(
        name="coverage",
        group="quality",
        schema=columns.Coverage,
        meaning="What of each vendor table is there, and why the rest is not.",
        detail=(
            "Per session and table: tickers expected, got, empty, not entitled, failed, missing."
        ),
        known="no fact of the market",
        upstream=(
            *("tickers", "universe", "daily_bars", "minute_bars", "short_volume"),
            *("session_summary", "trades", "quotes"),
            *("facility_short_volume", "exchange_short_volume", "polygon_short_volume"),
            *("short_interest", "fails_to_deliver", "halts", "filings", "news", "free_float"),
            *("balance_sheets", "income_statements", "cash_flow_statements"),
        ),
    ),
    Table(
        name="ml_dataset",
        group="dataset",
        partitioning=Partitioning.PERIOD,
        has_meta=True,
        schema=columns.MlDatasetWithFeatures,
        meaning="One row per labelled event: features, label, weight factors, selection.",
        detail=(
            "Train on rows with is_selection_known; days chosen by their own close are "
            "descriptive only. Time decay {dataset.time_decay:g}. meta.json beside it "
            "counts rows and states the bias."
        ),
        known="features `t0`, labels and returns `t1`, weights at training",
        upstream=(
            *("bar_features", "quote_features", "triple_barrier_labels", "forward_mids"),
            "sample_weights",
            *("short_volume", "short_interest", "fails_to_deliver", "free_float"),
            *("filings", "halts", "splits", "universe", "ticker_sessions"),
            *("news", "ticker_events"),
            *("balance_sheets", "income_statements", "cash_flow_statements"),
            *("daily_metrics", "runners", "volatile"),
        ),
        settings=(*_LABELS, *_SELECTION, "dataset"),
        version=3,
    ),
    Table(
        name="ticker_history",
        group="dataset",
        partitioning=Partitioning.TICKER,
        schema=columns.TickerHistory,
        meaning="One company's adjusted daily history across renames.",
        detail="Adjusted to the newest session it holds.",
        known="close of the newest session it holds, whose share basis its prices have",
        upstream=("daily_metrics", "adjustment_factors", "watchlist", "tickers"),
        settings=_SELECTION,
        keys_per_run=1000,
    ),
    Table(
        name="folds",
        group="models",
        partitioning=Partitioning.NONE,
        schema=models.Folds,
        meaning="Walk-forward folds: what each test month's models are trained and validated on.",
        detail=(
            "{models.train_months} months to train, {models.validate_months} to validate, then one"
            " to test, rolled by month; training is shortened, in whole months, where a lake is"
            " shorter. Spans that meet a later block are purged, {models.embargo_sessions} sessions"
            " before and after each block embargoed."
        ),
        known="no fact of the market",
        upstream=("ml_dataset", "pattern_events", "pattern_labels"),
        settings=("models",),
    ),
    _of_month(
        name="models",
        schema=models.Models,
        meaning="Trained models by test month, target and algorithm, as text.",
        detail=(
            "Of {models.targets} by {models.algorithms}. A month's models have seen nothing of it:"
            " rounds, calibration and quantiles are those of the validation months before it."
        ),
        known="end of the validation months",
        upstream=("folds", "ml_dataset", "pattern_events", "pattern_labels"),
        row_group_rows=16,
    ),
    _of_month(
        name="model_importance",
        schema=models.ModelImportance,
        meaning="What the models of a test month look at.",
        detail="On the rows of the validation months.",
        known="end of the validation months",
        upstream=("models",),
    ),
    _of_month(
        name="predictions",
        schema=models.Predictions,
        meaning="Scores of the events of a test month by its own models and no other.",
        detail=(
            "Each event is scored as if alone: ranks and deciles are among the validation month's"
            " scores. Of rows whose day had been admitted by t0."
        ),
        known="`t0`; outcomes at `known`",
        upstream=("models", "folds", "ml_dataset", "pattern_events", "pattern_labels"),
    ),
    Table(
        name="day_families",
        group="models",
        partitioning=Partitioning.NONE,
        schema=models.DayFamilies,
        meaning="Families of selected days that look alike.",
        detail=(
            "HDBSCAN on descriptors of each ticker-session of the registry from its minutes; a"
            " family has at least {families.share} of the days. Never a feature."
        ),
        known="close of the session; the families, once all sessions are",
        upstream=("ticker_sessions", "minute_bars", "daily_metrics"),
        settings=("families",),
    ),
    Table(
        name="backtest_candidates",
        group="backtest",
        partitioning=Partitioning.MONTH,
        schema=backtest.BacktestCandidates,
        meaning="How each event of a test month could have been traded, order by order.",
        detail=(
            "An event is filled on the quotes and prints that were recorded, which its orders did"
            " not move: of each the fills of entry and exit up to the largest size, of which a"
            " trade of any size takes the first. Without quotes fills are modelled, and marked."
        ),
        known="end of the session, or of the one on which a trapped position is closed",
        upstream=(
            *("folds", "ml_dataset", "pattern_events", "pattern_labels"),
            *("trades", "quotes", "halts", "dollar_imbalance_bars"),
            *("daily_metrics", "daily_bars", "splits"),
        ),
        settings=("ticks",),
        row_group_rows=4_096,
    ),
    _of_strategy(
        name="backtest_trades",
        schema=backtest.BacktestTrades,
        meaning="What a strategy wanted to trade, and what became of it.",
        detail=(
            "In the order of the decisions over all test months: sizes follow the equity, and a"
            " refusal names the first rule that forbids the trade."
        ),
        known="`exit_time`",
        upstream=(
            *("backtest_candidates", "folds", "models", "predictions"),
            *("ml_dataset", "pattern_events", "pattern_labels"),
        ),
    ),
    _of_strategy(
        name="backtest_days",
        schema=backtest.BacktestDays,
        meaning="A strategy's account by session, days without a trade included.",
        known="end of the session",
        upstream=("backtest_trades",),
    ),
    Table(
        name="backtest_report",
        group="backtest",
        partitioning=Partitioning.NONE,
        schema=backtest.BacktestReport,
        meaning="What the backtests say, each figure with its error.",
        known="no fact of the market",
        upstream=("backtest_trades", "backtest_days"),
    ),
)

TABLES: dict[str, Table] = {table.name: table for table in _DECLARED}
BAR_TABLES = ("dollar_bars", "volume_bars", "dollar_imbalance_bars", "volume_imbalance_bars")


def _op(name: str) -> Op:
    tables = [table for table in _DECLARED if table.op == name]
    return Op(name, tuple(t.name for t in tables), tables[0].keys_per_run, tables[0].pool)


OPS: dict[str, Op] = {name: _op(name) for name in dict.fromkeys(t.op for t in _DECLARED)}
SESSION_TABLES, TICK_CHAIN = OPS["session_tables"].tables, OPS["tick_chain"].tables
MADE_OF_TICKS = tuple(name for name in TICK_CHAIN if TABLES[name].layer == "processed")
"""Tables of the tick chain that are made from stored trades and quotes."""


def lineage(name: str) -> frozenset[str]:
    """A table and everything that it is made from."""
    return frozenset({name}).union(*(lineage(upstream) for upstream in TABLES[name].upstream))
