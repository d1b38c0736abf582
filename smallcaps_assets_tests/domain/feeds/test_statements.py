"""Figures of statements by the moment of filing: hand-worked values, and no restatement seen."""

from __future__ import annotations

from datetime import UTC, date, datetime

import polars as pl
import pytest

from smallcaps_assets.domain.feeds.statements import company_figures, statement_rows
from smallcaps_assets.schemas.table import INSTANT
from smallcaps_assets_tests.domain.feeds.test_asof import CIK, filed

CASES = (
    # period_end, filed, revenue, cash, operating cash flow, months
    (date(2023, 9, 30), datetime(2023, 11, 10, 22, tzinfo=UTC), 8.0, 30.0, -18.0, 9),
    (date(2023, 12, 31), datetime(2024, 3, 20, 21, tzinfo=UTC), 10.0, 24.0, -24.0, 12),
    (date(2024, 3, 31), datetime(2024, 5, 10, 21, tzinfo=UTC), 12.0, 15.0, -5.0, 3),
    (date(2023, 12, 31), datetime(2024, 6, 14, 21, tzinfo=UTC), 9.0, 24.0, -48.0, 12),
)


def statements(*cases: tuple) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {
                "cik": CIK,
                "period_end": end,
                "known_at": known,
                "revenue": revenue,
                "cash": cash,
                "cash_flow_per_quarter": flow * 3 / months,
                **dict.fromkeys(("debt", "equity", "shares"), 1.0),
                "shares_filed": known.date(),
            }
            for end, known, revenue, cash, flow, months in cases
        ],
        schema_overrides={"known_at": INSTANT},
    )


def as_of(moment: datetime, *cases: tuple) -> dict:
    found = company_figures(statements(*cases)).filter(pl.col("known_at") <= moment)
    return found.sort("known_at").row(-1, named=True)


def test_runway_expected_by_the_moment_of_filing() -> None:
    assert as_of(datetime(2024, 4, 15, tzinfo=UTC), *CASES)["cash_runway_quarters"] == 4.0


def test_growth_expected_of_first_filings_of_the_newest_period() -> None:
    for moment in (datetime(2024, 5, 13, tzinfo=UTC), datetime(2024, 7, 1, tzinfo=UTC)):
        found = as_of(moment, *CASES)
        assert found["revenue_growth_1q"] == pytest.approx(0.2)
        assert found["cash_runway_quarters"] == 3.0


def test_older_period_filed_late_expected_to_replace_nothing() -> None:
    late = (date(2023, 6, 30), datetime(2024, 6, 1, tzinfo=UTC), 3.0, 99.0, -1.0, 3)
    found = as_of(datetime(2024, 6, 2, tzinfo=UTC), *CASES[:3], late)
    assert found["cash_runway_quarters"] == 3.0
    assert found["revenue_growth_1q"] == pytest.approx(0.2)


def test_no_burn_and_no_revenue_before_expected_null() -> None:
    (quarter,) = ((*CASES[2][:4], 5.0, 3),)
    nothing = (date(2023, 12, 31), CASES[1][1], 0.0, 1.0, 1.0, 3)
    found = as_of(datetime(2024, 5, 13, tzinfo=UTC), nothing, quarter)
    assert found["cash_runway_quarters"] is None
    assert found["revenue_growth_1q"] is None


def test_cut_at_any_moment_expected_the_same_rows() -> None:
    rows = statements(*CASES)
    whole = company_figures(rows).sort("known_at")
    for moment in rows["known_at"]:
        seen = pl.col("known_at") <= moment
        assert company_figures(rows.filter(seen)).sort("known_at").equals(whole.filter(seen))


def test_tables_expected_as_rows_of_the_figures_used() -> None:
    known = datetime(2024, 11, 15, 3, tzinfo=UTC)
    ends = (date(2023, 9, 30), date(2024, 9, 30))
    balance = filed(
        "balance_sheets",
        known,
        {"debt_current": 2.0, "total_equity": 10.0, "cash_and_equivalents": 1.0},
        {"total_equity": -1.0, "debt_current": 1.0, "cash_and_equivalents": 8.0},
        ends=ends,
    )
    income = filed(
        "income_statements",
        known,
        {"revenue": 4.0, "basic_shares_outstanding": 100.0},
        {"revenue": 6.0, "basic_shares_outstanding": 150.0},
        ends=ends,
    )
    annual = filed(
        "cash_flow_statements",
        known,
        {"net_cash_from_operating_activities": -4.0},
        {"net_cash_from_operating_activities": -8.0},
        ends=ends,
        timeframe="annual",
    )
    (row,) = company_figures(statement_rows(balance, income, annual)).to_dicts()
    assert row["cash_runway_quarters"] == 4.0
    assert row["debt_to_equity"] is None  # the newest period counts, with equity below 0
    assert row["debt_to_equity_change"] is None
    assert row["revenue_growth_1y"] == pytest.approx(0.5)
    assert row["revenue_growth_1q"] is None
    assert (row["shares"], row["shares_before"]) == (150.0, 100.0)
