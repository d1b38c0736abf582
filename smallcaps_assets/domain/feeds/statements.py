"""What a company's statements say of it, at each moment at which one of them became known.

A figure of a period is the one that was filed first: what is restated later never replaces it. Of
the periods known the one that ended last counts, whichever was filed last. Figures of a company
change only when it files, so that there is a row per moment of filing, for decisions to look back
to. When a filing was known is decided where its table is made.
"""

from __future__ import annotations

from datetime import timedelta

import polars as pl

QUARTER, YEAR = timedelta(days=91), timedelta(days=365)
SLACK = timedelta(days=20)
"""Fiscal years of 52 or 53 weeks move a period's end by some days."""
_MONTHS = {"quarterly": 3, "annual": 12}
DEBTS = ("debt_current", "long_term_debt_and_capital_lease_obligations")
EQUITY = ("total_equity_attributable_to_parent", "total_equity")
BALANCE = ("cash_and_equivalents", *DEBTS, *EQUITY)
INCOME = ("revenue", "basic_shares_outstanding")
CASH_FLOW = ("net_cash_from_operating_activities",)
"""The columns of each table that are used."""
_OWN = ("cik", "_moment")
_FIGURES = ("revenue", "cash", "cash_flow_per_quarter", "debt", "equity", "shares", "shares_filed")


def statement_rows(
    balance: pl.DataFrame, income: pl.DataFrame, cash_flow: pl.DataFrame
) -> pl.DataFrame:
    """The tables of statements as cik, period_end, known_at and the figures that are used, null
    where a statement has none.

    Cash flow is per quarter of its period, revenue that of single quarters only; `shares` is on the
    share basis of the day `shares_filed`. Trailing twelve months are no period and left out.
    """
    months = pl.col("timeframe").replace_strict(_MONTHS, default=None, return_dtype=pl.Float64)
    has_debt = pl.any_horizontal(pl.col(name).is_not_null() for name in DEBTS)
    shares = pl.col("basic_shares_outstanding")
    figures = (
        balance.with_columns(
            pl.col("cash_and_equivalents").alias("cash"),
            pl.when(has_debt).then(pl.sum_horizontal(DEBTS)).alias("debt"),
            pl.coalesce(EQUITY).alias("equity"),
        ),
        income.with_columns(
            pl.when(months == _MONTHS["quarterly"]).then("revenue").alias("revenue"),
            pl.when(shares > 0).then(shares).alias("shares"),
            pl.when(shares > 0).then("filing_date").alias("shares_filed"),
        ),
        cash_flow.with_columns(
            (pl.col("net_cash_from_operating_activities") * 3 / months).alias(
                "cash_flow_per_quarter"
            )
        ),
    )
    order = ("known_at", "filing_date", "sequence")
    kept = ("cik", "period_end", "known_at", *_FIGURES)
    parts = [
        rows.filter(months.is_not_null())
        .sort(*order, months)
        .select(name for name in kept if name in rows.columns)
        .with_columns(pl.col("cik").str.zfill(10))
        for rows in figures
    ]
    return pl.concat(parts, how="diagonal")


def company_figures(rows: pl.DataFrame) -> pl.DataFrame:
    """Features as of each moment at which a row of `statement_rows` became known.

    cik, known_at, cash_runway_quarters, debt_to_equity, debt_to_equity_change, revenue_growth_1q,
    revenue_growth_1y; `shares`, `shares_filed` of the newest period, `_before` of a year before.
    """
    moments = rows.select("cik", pl.col("known_at").alias("_moment")).drop_nulls().unique()
    known = moments.join(rows, on="cik").filter(pl.col("known_at") <= pl.col("_moment"))
    first = (pl.col(name).drop_nulls().first() for name in _FIGURES)
    periods = (
        known.sort("known_at", maintain_order=True)
        .group_by(*_OWN, "period_end", maintain_order=True)
        .agg(*first)
    )
    found = moments
    for part in (
        _runway(periods),
        _gearing(periods),
        _growth(periods, QUARTER, "revenue_growth_1q"),
        _growth(periods, YEAR, "revenue_growth_1y"),
        _compared(periods, "shares", YEAR, "shares_filed"),
    ):
        found = found.join(part, on=_OWN, how="left")
    return found.rename({"_moment": "known_at"})


def _newest(periods: pl.DataFrame, *names: str) -> pl.DataFrame:
    """The newest period of each company and moment that has the figures `names`."""
    whole = periods.drop_nulls(names).sort("period_end")
    return whole.group_by(*_OWN).agg(pl.col("period_end", *names).last())


def _runway(periods: pl.DataFrame) -> pl.DataFrame:
    newest = _newest(periods, "cash", "cash_flow_per_quarter")
    burn = -pl.col("cash_flow_per_quarter")
    quarters = pl.when(burn > 0).then(pl.col("cash") / burn).alias("cash_runway_quarters")
    return newest.select(*_OWN, quarters)


def _gearing(periods: pl.DataFrame) -> pl.DataFrame:
    both = _compared(periods, "debt", QUARTER, "equity")
    now, before = (
        pl.when(pl.col(f"equity{end}") > 0).then(pl.col(f"debt{end}") / pl.col(f"equity{end}"))
        for end in ("", "_before")
    )
    return both.select(
        *_OWN, now.alias("debt_to_equity"), (now - before).alias("debt_to_equity_change")
    )


def _growth(periods: pl.DataFrame, back: timedelta, name: str) -> pl.DataFrame:
    both = _compared(periods, "revenue", back)
    before = pl.col("revenue_before")
    growth = pl.when(before > 0).then(pl.col("revenue") / before - 1).alias(name)
    return both.select(*_OWN, growth)


def _compared(periods: pl.DataFrame, name: str, back: timedelta, *others: str) -> pl.DataFrame:
    """`name` (and `others`) of the newest period, and as `_before` of the one so long before it."""
    names = (name, *others)
    newest = _newest(periods, *names)
    whole = periods.drop_nulls(names).select(
        *_OWN, pl.col("period_end").alias("_ended"), pl.col(names).name.suffix("_before")
    )
    off = (pl.col("_ended") - (pl.col("period_end") - back)).abs()
    earlier = (
        newest.join(whole, on=_OWN)
        .with_columns(off.alias("_off"))
        .filter(pl.col("_off") <= SLACK)
        .sort("_off", "_ended")
        .unique(_OWN, keep="first", maintain_order=True)
        .select(*_OWN, *(f"{name}_before" for name in names))
    )
    return newest.drop("period_end").join(earlier, on=_OWN, how="left")
