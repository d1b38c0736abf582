"""The columns of the feeds: short data, fails, filings, halts, news, fundamentals.

Every row carries `known_at`, the moment from which a model may use it. The features made of them
at each decision of the dataset are declared here too; tables of prices and ticks are in
`columns.py`.
"""

from __future__ import annotations

import dataframely as dy

from smallcaps_assets.schemas.table import (
    day,
    flag,
    instant,
    integer,
    number,
    price,
    shares,
    text,
)

OFFERINGS = ("registration", "shelf", "takedown", "at_the_market")
INTEREST_SOURCES = ("polygon", "finra")
CLOCKS = ("utc", "new_york", "unknown")
SHORT_DATA, EVENTS, FUNDAMENTALS = "short_data", "events", "fundamentals"
NEWS, COMPANY, PREVIOUS_DAY = "news", "company", "previous_day"
"""Families of features."""
_NONE_KNOWN = "none known"
_NO_STATEMENT = "the statements known by then do not tell"
_NOT_READ = "the news of these days was not read"
_NO_SESSION = "no session in the ten days before, or not known of it"


# Short data --------------------------------------------------------------------------------------
class FacilityShortVolume(dy.Schema):
    date = day("session", primary_key=True)
    ticker = text("symbol in the vendor's spelling", primary_key=True)
    file = text("facility's file: FNSQ, FNQC, FNYX, FNRA, FORF", primary_key=True)
    symbol = text("symbol as FINRA spells it")
    short_volume = shares("shares sold short, exempt ones included")
    short_exempt_volume = shares("short shares exempt from the price test")
    total_volume = shares("shares reported in regular hours")
    venues = text("reporting facility's letter")
    known_at = instant("publication: 18:00 New York on the session's day")


class ExchangeShortVolume(dy.Schema):
    date = day("session", primary_key=True)
    ticker = text("symbol in the vendor's spelling", primary_key=True)
    file = text("what stands before the date in the file's name, such as NQBX", primary_key=True)
    symbol = text("symbol as the exchange spells it")
    short_volume = shares("shares sold short on the exchange")
    short_exempt_volume = shares("of these exempt; null where the file has none", nullable=True)
    total_volume = shares("shares traded on the exchange")
    venues = text("exchange's letter")
    known_at = instant("end of the session's day, New York")


class PolygonShortVolume(dy.Schema):
    date = day("session", primary_key=True)
    ticker = text("symbol", primary_key=True)
    short_volume = shares("off-exchange shares sold short", nullable=True)
    short_volume_ratio = number("short_volume / total_volume", "percent", nullable=True, min=0)
    total_volume = shares("off-exchange shares", nullable=True)
    exempt_volume = shares("short shares exempt from the price test", nullable=True)
    non_exempt_volume = shares("the other short shares", nullable=True)
    adf_short_volume = shares("of the ADF", nullable=True)
    adf_short_volume_exempt = shares("exempt, of the ADF", nullable=True)
    nasdaq_carteret_short_volume = shares("of Nasdaq Carteret", nullable=True)
    nasdaq_carteret_short_volume_exempt = shares("exempt, of Nasdaq Carteret", nullable=True)
    nasdaq_chicago_short_volume = shares("of Nasdaq Chicago", nullable=True)
    nasdaq_chicago_short_volume_exempt = shares("exempt, of Nasdaq Chicago", nullable=True)
    nyse_short_volume = shares("of NYSE", nullable=True)
    nyse_short_volume_exempt = shares("exempt, of NYSE", nullable=True)
    known_at = instant("publication of FINRA's file: 18:00 New York on the session's day")


class ShortInterest(dy.Schema):
    half_month = day("first day of the half-month of the settlement date", primary_key=True)
    settlement_date = day("settlement date", primary_key=True)
    symbol = text("symbol as the source spells it; FINRA's has no separators", primary_key=True)
    short_interest = shares("shares short")
    avg_daily_volume = shares("mean daily volume since the date before", nullable=True)
    days_to_cover = number("short interest / mean daily volume", "days", nullable=True, min=0)
    source = text("polygon or finra", check=lambda c: c.is_in(list(INTEREST_SOURCES)))
    known_at = instant("settlement date + 7 sessions, 20:00 New York")


class FailsToDeliver(dy.Schema):
    half_month = day("first day of the file's half-month", primary_key=True)
    settlement_date = day("settlement date", primary_key=True)
    cusip = text("CUSIP or CINS", primary_key=True)
    sequence = integer("number among equal rows", "", primary_key=True, min=0)
    symbol = text("symbol without separators; null: not in the file", nullable=True)
    quantity = shares("balance of shares that failed by that date, not new fails")
    description = text("the security's name, cut at 30 signs", nullable=True)
    price = price("close of the day before; null where the file has a dot", nullable=True)
    known_at = instant("month's end for the first half, 15th of the next for the second, + 3 days")


# Events ------------------------------------------------------------------------------------------
class TradeHalts(dy.Schema):
    date = day("session on which trading was halted", primary_key=True)
    ticker = text("symbol in the vendor's spelling", primary_key=True)
    halt_start = instant("when trading was halted", primary_key=True)
    reason_code = text("LUDP, M, T1, H10, MWC1 ...; as published", primary_key=True)
    symbol = text("symbol as the feed spells it")
    name = text("issue", nullable=True)
    market = text("listing market", nullable=True)
    pause_threshold_price = price("price that set off the pause", nullable=True)
    quotes_resumed = instant("when quoting resumed", nullable=True)
    halt_end = instant("when trading resumed; null: not yet", nullable=True)
    halt_source = text("feed", check=lambda c: c == "feed")
    known_at = instant("halt_start: the halt is announced as it begins")


class Filings(dy.Schema):
    month = day("first day of the month of the filing date", primary_key=True)
    cik = text("SEC central index key, ten digits", primary_key=True)
    accession_number = text("EDGAR accession number", primary_key=True)
    form = text("form type, such as 8-K, S-3/A, 424B5")
    company_name = text("company as in the index", nullable=True)
    filing_date = day("date that EDGAR gives the filing")
    items = text("items of an 8-K, comma-separated", nullable=True)
    is_amendment = flag("the form ends in /A")
    offering = text(
        "registration (S-1), shelf (S-3), takedown (424B), at_the_market; null: no offering",
        nullable=True,
        check=lambda c: c.is_in(list(OFFERINGS)),
    )
    accepted_raw = text("time of acceptance as EDGAR writes it; null: none", nullable=True)
    accepted_clock = text(
        "clock that accepted_raw is read by: utc, new_york; unknown: as the later of both",
        check=lambda c: c.is_in(list(CLOCKS)),
    )
    accepted_at = instant("acceptance by EDGAR; null: unknown", nullable=True)
    known_at = instant("accepted_at or 06:00 New York on the filing date, the later; else 22:00")


class News(dy.Schema):
    month = day("first day of the month of publication, New York", primary_key=True)
    ticker = text("symbol that the article names", primary_key=True)
    id = text("article", primary_key=True)
    published_utc = instant("publication")
    title = text("title", nullable=True)
    author = text("author", nullable=True)
    publisher_name = text("publisher", nullable=True)
    description = text("summary", nullable=True)
    keywords = dy.List(dy.String(), description="vendor's keywords", nullable=True)
    sentiment = text("vendor's opinion: positive, neutral, negative", nullable=True)
    sentiment_reasoning = text("why, by the vendor's language model", nullable=True)
    article_url = text("address", nullable=True)
    known_at = instant("publication; opinions may have been added later")


class TickerEvents(dy.Schema):
    ticker = text("symbol asked for; the key of the partition", primary_key=True)
    date = day("first day of the new symbol", primary_key=True)
    symbol = text("the new symbol", primary_key=True)
    type = text("ticker_change")
    name = text("company", nullable=True)
    composite_figi = text("composite FIGI", nullable=True)
    cik = text("SEC central index key", nullable=True)
    known_at = instant("midnight, New York, at which that day begins")


# Fundamentals ------------------------------------------------------------------------------------
class FreeFloat(dy.Schema):
    ticker = text("symbol", primary_key=True)
    effective_date = day("date of the figure", primary_key=True)
    free_float = shares("shares that trade freely")
    free_float_percent = number("of the shares outstanding", "percent", nullable=True, min=0)
    known_at = instant(
        "end of the day after the effective date, or of the day of its first reading if later"
    )


class Filed(dy.Schema):
    """What the statements have in common."""

    year = integer("calendar year of the filing date", "year", primary_key=True)
    filing_date = day("date of filing", primary_key=True)
    cik = text("SEC central index key", primary_key=True)
    period_end = day("end of the period; not when it was known", primary_key=True)
    timeframe = text("quarterly, annual, trailing_twelve_months", primary_key=True)
    sequence = integer("number among equal rows", "", primary_key=True, min=0)
    known_at = instant("22:00 New York on the filing date")
    tickers = dy.List(dy.String(), description="the company's symbols now", nullable=True)
    fiscal_year = integer("fiscal year", "year", nullable=True)
    fiscal_quarter = integer("fiscal quarter", "", nullable=True)


AMOUNTS = {
    "balance_sheets": (
        "accounts_payable accrued_and_other_current_liabilities "
        "accumulated_other_comprehensive_income additional_paid_in_capital cash_and_equivalents "
        "commitments_and_contingencies common_stock debt_current deferred_revenue_current goodwill "
        "intangible_assets_net inventories long_term_debt_and_capital_lease_obligations "
        "noncontrolling_interest other_assets other_current_assets other_equity "
        "other_noncurrent_liabilities preferred_stock property_plant_equipment_net receivables "
        "retained_earnings_deficit short_term_investments total_assets total_current_assets "
        "total_current_liabilities total_equity total_equity_attributable_to_parent "
        "total_liabilities total_liabilities_and_equity treasury_stock"
    ),
    "income_statements": (
        "basic_earnings_per_share basic_shares_outstanding consolidated_net_income_loss "
        "cost_of_revenue depreciation_depletion_amortization diluted_earnings_per_share "
        "diluted_shares_outstanding discontinued_operations ebitda equity_in_affiliates "
        "extraordinary_items gross_profit income_before_income_taxes income_taxes interest_expense "
        "interest_income net_income_loss_attributable_common_shareholders noncontrolling_interest "
        "operating_income other_income_expense other_operating_expenses "
        "preferred_stock_dividends_declared research_development revenue "
        "selling_general_administrative total_operating_expenses total_other_income_expense"
    ),
    "cash_flow_statements": (
        "cash_from_operating_activities_continuing_operations change_in_cash_and_equivalents "
        "change_in_other_operating_assets_and_liabilities_net "
        "depreciation_depletion_and_amortization dividends effect_of_currency_exchange_rate "
        "income_loss_from_discontinued_operations long_term_debt_issuances_repayments "
        "net_cash_from_financing_activities "
        "net_cash_from_financing_activities_continuing_operations "
        "net_cash_from_financing_activities_discontinued_operations "
        "net_cash_from_investing_activities "
        "net_cash_from_investing_activities_continuing_operations "
        "net_cash_from_investing_activities_discontinued_operations "
        "net_cash_from_operating_activities "
        "net_cash_from_operating_activities_discontinued_operations net_income "
        "noncontrolling_interests other_cash_adjustments other_financing_activities "
        "other_investing_activities other_operating_activities "
        "purchase_of_property_plant_and_equipment sale_of_property_plant_and_equipment "
        "short_term_debt_issuances_repayments"
    ),
}


def _statement(table: str) -> type[dy.Schema]:
    amounts = {
        name: number(name.replace("_", " "), "company's currency", nullable=True)
        for name in AMOUNTS[table].split()
    }
    return type(table.title().replace("_", ""), (Filed,), amounts)


BalanceSheets = _statement("balance_sheets")
IncomeStatements = _statement("income_statements")
CashFlowStatements = _statement("cash_flow_statements")


# Features of a decision --------------------------------------------------------------------------
class AsOfFeatures(dy.Schema):
    """What was known of a company at t0, beside its tape."""

    short_volume_ratio = number(
        "off-exchange short / total volume of the newest session known",
        "fraction",
        family=SHORT_DATA,
        null="none known",
    )
    short_volume_ratio_z20 = number(
        "distance of short_volume_ratio from the mean of the 20 sessions before, in their standard"
        " deviations",
        family=SHORT_DATA,
        null="fewer sessions, or all alike",
    )
    days_to_cover = number(
        "newest short interest / its mean volume",
        "days",
        family=SHORT_DATA,
        null="none known",
        min=0,
    )
    fails_share_of_float = number(
        "newest balance of fails / float known by then, else / shares outstanding",
        "fraction",
        family=SHORT_DATA,
        null="neither is known",
        min=0,
    )
    short_interest_share_of_float = number(
        "newest short interest / float known by then, else / shares outstanding",
        "fraction",
        family=SHORT_DATA,
        null="neither is known, or no short interest",
        min=0,
    )
    days_since_offering = number("since an S-1, S-3 or 424B", "days", EVENTS, _NONE_KNOWN, min=0)
    days_since_s3 = number("since an S-3 or S-3ASR", "days", EVENTS, _NONE_KNOWN, min=0)
    days_since_424b5 = number("since a 424B5", "days", EVENTS, _NONE_KNOWN, min=0)
    days_since_reverse_split = number(
        "since the first session of a reverse split", "days", EVENTS, _NONE_KNOWN, min=0
    )
    days_since_halt = number(
        "since a halt of the feed", "days", EVENTS, "none known in 45 days", min=0
    )
    days_since_8k = number("since an 8-K", "days", EVENTS, _NONE_KNOWN, min=0)
    days_since_symbol_change = number(
        "since the first day of a new symbol", "days", EVENTS, _NONE_KNOWN, min=0
    )
    offerings_30d = integer("offerings known in the 30 days before", "filings", EVENTS, min=0)
    halts_30d = integer("halts of the feed known in the 30 days before", "halts", EVENTS, min=0)
    filings_8k_30d = integer("8-Ks known in the 30 days before", "filings", EVENTS, min=0)
    is_reverse_split_30d = flag("a reverse split in the 30 days before", EVENTS)
    splits_1y = integer("splits in the 365 days before, either way", "splits", EVENTS, min=0)
    market_cap = number(
        "of the universe: previous close x shares outstanding",
        "USD",
        family=FUNDAMENTALS,
        null="shares unknown",
        min=0,
    )
    free_float = shares(
        "newest free float read by then, on the session's share basis",
        family=FUNDAMENTALS,
        null=_NONE_KNOWN,
    )
    cash_runway_quarters = number(
        "cash / cash that operations use up in a quarter, of the newest period known",
        "quarters",
        family=FUNDAMENTALS,
        null=f"{_NO_STATEMENT}, or operations bring in cash",
    )
    debt_to_equity = number(
        "debt / equity of the newest period known",
        "ratio",
        family=FUNDAMENTALS,
        null=f"{_NO_STATEMENT}, or equity is not above 0",
    )
    debt_to_equity_change = number(
        "debt_to_equity - that of the quarter before",
        "ratio",
        family=FUNDAMENTALS,
        null="one of them is not known",
    )
    revenue_growth_1q = number(
        "revenue of the newest quarter known / of the quarter before - 1",
        "fraction",
        family=FUNDAMENTALS,
        null=f"{_NO_STATEMENT}, or there was none before",
    )
    revenue_growth_1y = number(
        "revenue of the newest quarter known / of the quarter a year before - 1",
        "fraction",
        family=FUNDAMENTALS,
        null=f"{_NO_STATEMENT}, or there was none before",
    )
    share_growth_1y = number(
        "mean shares outstanding of the newest period known / of a year before - 1, on one share"
        " basis",
        "fraction",
        family=FUNDAMENTALS,
        null=_NO_STATEMENT,
    )
    news_1d = integer("articles in the day before", "articles", NEWS, _NOT_READ, min=0)
    news_7d = integer("articles in the 7 days before", "articles", NEWS, _NOT_READ, min=0)
    news_30d = integer("articles in the 30 days before", "articles", NEWS, _NOT_READ, min=0)
    news_sentiment_7d = number(
        "mean of the vendor's opinions in the 7 days before: 1 positive, 0, -1 negative",
        "",
        family=NEWS,
        null="no opinion, or dataset.news_sentiment is off",
        min=-1,
        max=1,
    )
    is_news_offering_7d = flag("an article of the 7 days before names an offering", NEWS, _NOT_READ)
    is_news_fda_7d = flag("an article of the 7 days before names the FDA", NEWS, _NOT_READ)
    is_news_merger_7d = flag(
        "an article of the 7 days before names a merger or acquisition", NEWS, _NOT_READ
    )
    is_news_bankruptcy_7d = flag(
        "an article of the 7 days before names a bankruptcy", NEWS, _NOT_READ
    )
    is_news_halt_7d = flag("an article of the 7 days before names a halt", NEWS, _NOT_READ)
    sector = text("first two digits of the SIC code: its major group", COMPANY, _NONE_KNOWN)
    exchange = text("MIC of the listing exchange", COMPANY, "not in the universe")
    previous_day_return = number(
        "change of the company's session before", "fraction", PREVIOUS_DAY, _NO_SESSION
    )
    previous_day_gap = number(
        "gap of the company's session before", "fraction", PREVIOUS_DAY, _NO_SESSION
    )
    previous_day_range = number(
        "(high - low) / close of the company's session before",
        "fraction",
        PREVIOUS_DAY,
        _NO_SESSION,
        min=0,
    )
    previous_day_relative_volume = number(
        "rvol30 of the company's session before", "ratio", PREVIOUS_DAY, _NO_SESSION, min=0
    )
    previous_day_dollar_volume = number(
        "dollars traded in the company's session before", "USD", PREVIOUS_DAY, _NO_SESSION, min=0
    )
    runner_rank = integer(
        "rank among the runners of the session before, 1 the most frequent",
        "",
        PREVIOUS_DAY,
        "not among them",
        min=1,
    )
    volatile_rank = integer(
        "rank on the volatile list of the session before, 1 the most volatile",
        "",
        PREVIOUS_DAY,
        "not on it",
        min=1,
    )


ASOF_COLUMNS = tuple(AsOfFeatures.columns())
