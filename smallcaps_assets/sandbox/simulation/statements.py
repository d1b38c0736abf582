"""Quarterly figures of the simulated companies, their free float and their ratios.

One set of figures per company and quarter, in the names of the vendor's flat tables; a figure is
there from the day it was filed. The nested shape of the older endpoint is made in the routes.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

from smallcaps_assets.sandbox.market import Filing, Row
from smallcaps_assets.sandbox.randomness import mix, uniform
from smallcaps_assets.sandbox.simulation.companies import Listing
from smallcaps_assets.sandbox.simulation.reference import ReferenceTables

STREAM_FIGURES, STREAM_FLOAT = 521, 522
HISTORY = timedelta(600)
"""Quarters that ended so long before the first session are the oldest."""


def quarter_ends(first: date, last: date) -> Iterator[date]:
    """The ends of calendar quarters."""
    for year in range(first.year, last.year + 1):
        for month in (4, 7, 10, 13):
            end = date(year + month // 13, (month - 1) % 12 + 1, 1) - timedelta(1)
            if first <= end <= last:
                yield end


def has_filings(listing: Listing) -> bool:
    """Whether a listing is a company's that files quarterly figures."""
    return listing.type == "CS" and not listing.is_test and listing.cik is not None


def make_filings(seed: int, reference: ReferenceTables, listings: list[Listing]) -> list[Filing]:
    """All that was filed by the last session, by filing date."""
    today = reference.today
    found: list[Filing] = []
    for listing in filter(has_filings, listings):
        first = max(listing.listed, reference.first_day - HISTORY)
        for end in quarter_ends(first, today):
            filed = end + timedelta(35 + mix(seed, listing.number, end.toordinal()) % 9)
            ticker = listing.ticker_on(filed)
            shares = reference.shares_on(listing, end)
            if filed <= today and ticker is not None and shares is not None:
                found.append(_filing(seed, listing, ticker, end, filed, shares))
    return sorted(found, key=lambda x: (x.head["filing_date"], x.head["cik"]))


def _filing(
    seed: int, listing: Listing, ticker: str, end: date, filed: date, shares: int
) -> Filing:
    quarter = (end.month - 1) // 3 + 1
    head: Row = {
        "cik": listing.cik,
        "tickers": [ticker],
        "period_end": end.isoformat(),
        "filing_date": filed.isoformat(),
        "fiscal_year": end.year,
        "fiscal_quarter": quarter,
        "timeframe": "quarterly",
    }
    u = [uniform(seed, STREAM_FIGURES, listing.number, end.toordinal(), k) for k in range(8)]
    size = (listing.shares or shares) * listing.first_price
    burn, left, cycle = _burn(seed, listing, size, end)
    income = _income(size, shares, u, burn)
    balance = _balance(size, u, burn * (1 + left) if burn else size * (0.05 + 0.3 * u[3]))
    raised = burn * cycle if left == cycle - 1 else 0.05 * balance["total_assets"] * u[6]
    cash_flow = _cash_flow(income, balance, u, raised)
    start = date(end.year, 3 * quarter - 2, 1)
    return Filing(head, listing.name, start, balance, income, cash_flow)


def _burn(seed: int, listing: Listing, size: float, end: date) -> tuple[float, int, int]:
    """(dollars that a company without profits spends a quarter, quarters for which its money will
    last then, how many after it raised more)."""
    u = [uniform(seed, STREAM_FIGURES, listing.number, k) for k in range(3)]
    cycle = 4 + int(5 * u[1])
    left = (int(8 * u[2]) - (4 * end.year + end.month // 3)) % cycle
    is_burning = listing.is_pump_candidate and u[0] < 0.7
    return (size * (0.02 + 0.06 * u[1]) if is_burning else 0.0), left, cycle


def _income(size: float, shares: int, u: list[float], burn: float) -> Row:
    revenue = round(size * (0.01 + 0.12 * u[0]))
    cost = round(revenue * (0.45 + 0.3 * u[1]))
    expenses = round(revenue * (0.2 + 0.5 * u[2]))
    if burn:
        expenses = revenue - cost + round(burn)
    operating = revenue - cost - expenses
    taxes = round(max(operating, 0) * 0.21)
    net = operating - taxes
    return {
        "revenue": revenue,
        "cost_of_revenue": cost,
        "gross_profit": revenue - cost,
        "total_operating_expenses": expenses,
        "operating_income": operating,
        "income_before_income_taxes": operating,
        "income_taxes": taxes,
        "consolidated_net_income_loss": net,
        "net_income_loss_attributable_common_shareholders": net,
        "basic_shares_outstanding": shares,
        "diluted_shares_outstanding": shares,
        "basic_earnings_per_share": round(net / shares, 4),
        "diluted_earnings_per_share": round(net / shares, 4),
    }


def _balance(size: float, u: list[float], money: float) -> Row:
    cash = round(money)
    current = cash + round(size * 0.1 * u[4])
    total = current + round(size * (0.1 + 0.6 * u[5]))
    current_debt = round(total * (0.05 + 0.2 * u[6]))
    liabilities = current_debt + round(total * 0.3 * u[7])
    return {
        "cash_and_equivalents": cash,
        "total_current_assets": current,
        "total_assets": total,
        "total_current_liabilities": current_debt,
        "debt_current": round(0.4 * current_debt),
        "long_term_debt_and_capital_lease_obligations": round(0.6 * (liabilities - current_debt)),
        "total_liabilities": liabilities,
        "total_equity": total - liabilities,
        "total_equity_attributable_to_parent": total - liabilities,
        "total_liabilities_and_equity": total,
    }


def _cash_flow(income: Row, balance: Row, u: list[float], raised: float) -> Row:
    net = income["consolidated_net_income_loss"]
    operating = net + round(abs(net) * 0.2 * u[4])
    investing = -round(balance["total_assets"] * 0.02 * u[5])
    financing = round(raised)
    return {
        "net_income": net,
        "net_cash_from_operating_activities": operating,
        "net_cash_from_investing_activities": investing,
        "net_cash_from_financing_activities": financing,
        "change_in_cash_and_equivalents": operating + investing + financing,
    }


def float_share(seed: int, listing: Listing) -> float:
    """Percent of a listing's shares that trade freely."""
    return round(35 + 60 * uniform(seed, STREAM_FLOAT, listing.number), 2)


def float_rows(seed: int, reference: ReferenceTables, listings: list[Listing]) -> list[Row]:
    """Rows of /stocks/vX/float on the last session."""
    rows: list[Row] = []
    for listing in listings:
        ticker = listing.ticker_on(reference.today)
        shares = reference.shares_on(listing, reference.today)
        if ticker is not None and shares is not None and not listing.is_test:
            percent = float_share(seed, listing)
            rows.append(
                {
                    "ticker": ticker,
                    "effective_date": reference.today.isoformat(),
                    "free_float": round(shares * percent / 100),
                    "free_float_percent": percent,
                }
            )
    return sorted(rows, key=lambda row: row["ticker"])


def ratio_row(ticker: str, day: date, filings: list[Filing], bar: Row, volume: float) -> Row:
    """A row of /stocks/financials/v1/ratios from the last four quarters and the last close."""
    last, recent = filings[-1], filings[-4:]
    shares = last.income["basic_shares_outstanding"]
    profit = sum(x.income["consolidated_net_income_loss"] for x in recent)
    sales = sum(x.income["revenue"] for x in recent)
    equity, assets = last.balance["total_equity"], last.balance["total_assets"]
    cap = round(shares * bar["close"], 2)
    row: Row = {
        "ticker": ticker,
        "date": day.isoformat(),
        "cik": last.head["cik"],
        "price": bar["close"],
        "average_volume": round(volume),
        "market_cap": cap,
        "earnings_per_share": round(profit / shares, 4),
        "price_to_sales": round(cap / sales, 4),
        "price_to_book": round(cap / equity, 4),
        "return_on_assets": round(profit / assets, 4),
        "return_on_equity": round(profit / equity, 4),
        "debt_to_equity": round(last.balance["total_liabilities"] / equity, 4),
    }
    return row | ({"price_to_earnings": round(cap / profit, 4)} if profit > 0 else {})
