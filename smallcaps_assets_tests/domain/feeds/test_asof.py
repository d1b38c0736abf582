"""Feeds as of t0: hand-worked values, and that nothing known a second later is ever seen."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from smallcaps_assets.domain.feeds.asof import Feeds, asof_features, compact_symbol, no_feeds
from smallcaps_assets.domain.market.calendar import sessions
from smallcaps_assets.schemas.table import INSTANT
from smallcaps_assets.schemas.tables import ASOF_COLUMNS, TABLES

DAY = date(2024, 12, 13)
T0 = datetime(2024, 12, 13, 15, 0, tzinfo=UTC)
FIGI, OTHER = "BBG000000001", "BBG000000002"
CIK = "0000000007"
SECOND = timedelta(seconds=1)
COUNTS = ("offerings_30d", "halts_30d", "filings_8k_30d")
TABLE_COLUMNS = {name: table.columns for name, table in TABLES.items()}
NEVER_TOLD = ["days_since_s3", "days_since_reverse_split", "revenue_growth_1y", "share_growth_1y"]
OF_THE_SESSION = (
    *("market_cap", "sector", "exchange", "runner_rank", "volatile_rank"),
    *(name for name in ASOF_COLUMNS if name.startswith("previous_day")),
)


def events(*moments: datetime, ticker: str = "BRK.B", identity: str = FIGI) -> pl.DataFrame:
    rows = [(ticker, DAY, identity, moment, n) for n, moment in enumerate(moments)]
    schema = {"ticker": pl.String, "date": pl.Date, "identity": pl.String, "t0": INSTANT}
    return pl.DataFrame(rows, schema=schema | {"bar_id": pl.Int32}, orient="row")


def table(name: str, *rows: dict) -> pl.DataFrame:
    """Rows of a table of which only some columns matter."""
    return pl.DataFrame(list(rows), schema=TABLES[name].columns)


BALANCE = (
    {"cash_and_equivalents": 30.0, "debt_current": 2.0, "total_equity": 10.0},
    {
        "cash_and_equivalents": 24.0,
        "long_term_debt_and_capital_lease_obligations": 6.0,
        "total_equity": 20.0,
    },
)
INCOME = (
    {"revenue": 8.0, "basic_shares_outstanding": 100.0},
    {"revenue": 10.0, "basic_shares_outstanding": 300.0},
)
CASH_FLOW = (
    {"net_cash_from_operating_activities": -3.0},
    {"net_cash_from_operating_activities": -6.0},
)


def filed(
    name: str,
    known_at: datetime,
    *figures: dict,
    ends: tuple[date, ...] = (date(2024, 6, 30), date(2024, 9, 30)),
    timeframe: str = "quarterly",
) -> pl.DataFrame:
    """Statements of two quarters, filed on the day before they were known."""
    rows = (
        {
            "cik": CIK,
            "filing_date": known_at.date() - timedelta(days=1),
            "period_end": end,
            "timeframe": timeframe,
            "sequence": 0,
            "known_at": known_at,
            **values,
        }
        for end, values in zip(ends, figures, strict=True)
    )
    return table(name, *rows)


def short_volume(*ratios: float, last: date = date(2024, 12, 12)) -> pl.DataFrame:
    days = sessions(date(2024, 9, 1), last)[-len(ratios) :]
    return table(
        "short_volume",
        *(
            {
                "date": day,
                "ticker": "BRK.B",
                "short_volume": ratio * 1000,
                "total_volume": 1000.0,
                "known_at": datetime(day.year, day.month, day.day, 23, tzinfo=UTC),
            }
            for day, ratio in zip(days, ratios, strict=True)
        ),
    )


def feeds(known_at: datetime = T0) -> Feeds:
    """One row of every feed, all of them known at one moment."""
    halt = known_at - timedelta(days=2)
    return Feeds(
        listings=pl.DataFrame(
            {
                "ticker": ["BRK.B", "ABRpD"],
                "identity": [FIGI, OTHER],
                "first_date": [date(2024, 11, 1)] * 2,
                "last_date": [DAY] * 2,
            }
        ),
        universe=table(
            "universe",
            {
                "date": DAY,
                "ticker": "BRK.B",
                "cik": CIK,
                "shares_outstanding": 500_000.0,
                "market_cap": 9e6,
                "sic_code": "2834",
                "primary_exchange": "XNAS",
            },
        ),
        short_volume=short_volume(*[0.4, 0.6] * 10, 0.5).with_columns(
            pl.when(pl.col("date") == date(2024, 12, 12))
            .then(pl.lit(known_at).cast(INSTANT))
            .otherwise("known_at")
            .alias("known_at")
        ),
        short_interest=table(
            "short_interest",
            {
                "settlement_date": date(2024, 11, 29),
                "symbol": "BRKB",
                "short_interest": 50_000.0,
                "days_to_cover": 3.5,
                "known_at": known_at,
            },
        ),
        fails_to_deliver=table(
            "fails_to_deliver",
            *(
                {
                    "half_month": date(2024, 11, 1),
                    "settlement_date": date(2024, 11, day),
                    "symbol": "BRKB",
                    "quantity": quantity,
                    "known_at": known_at,
                }
                for day, quantity in ((14, 70_000.0), (15, 20_000.0))
            ),
        ),
        free_float=table(
            "free_float",
            {
                "ticker": "BRK.B",
                "effective_date": date(2024, 12, 1),
                "free_float": 200_000.0,
                "known_at": known_at,
            },
        ),
        filings=table(
            "filings",
            *(
                {
                    "cik": CIK,
                    "form": form,
                    "offering": offering,
                    "is_amendment": form.endswith("/A"),
                    "known_at": known_at,
                }
                for form, offering in (("8-K", None), ("424B5", "takedown"))
            ),
        ),
        halts=table("halts", {"date": halt.date(), "ticker": "BRK.B", "known_at": known_at}),
        splits=TABLES["splits"].empty(),
        news=table(
            "news",
            {
                "ticker": "BRK.B",
                "id": "1",
                "title": "FDA clears a merger",
                "description": "after its bankruptcy",
                "keywords": ["halted", "offering"],
                "sentiment": "negative",
                "known_at": known_at,
            },
        ),
        ticker_events=table(
            "ticker_events",
            {"ticker": "BRK.B", "date": date(2010, 1, 4), "symbol": "OLD", "known_at": known_at},
            {"ticker": "BRK.B", "date": date(2024, 12, 2), "symbol": "BRK.B", "known_at": known_at},
        ),
        balance_sheets=filed("balance_sheets", known_at, *BALANCE),
        income_statements=filed("income_statements", known_at, *INCOME),
        cash_flow_statements=filed("cash_flow_statements", known_at, *CASH_FLOW),
        daily_metrics=table(
            "daily_metrics",
            *(
                {
                    "date": day,
                    "ticker": "BRK.B",
                    "identity": FIGI,
                    "pct_change": change,
                    "gap": 0.1,
                    "high": 6.0,
                    "low": 5.0,
                    "close": 5.0,
                    "rvol30": 3.0,
                    "dollar_volume": 9e6,
                }
                for day, change in ((date(2024, 12, 11), 0.2), (date(2024, 12, 12), 0.4))
            ),
        ),
        runners=table(
            "runners",
            {"date": date(2024, 12, 11), "rank": 1, "identity": FIGI},
            {"date": date(2024, 12, 12), "rank": 2, "identity": FIGI},
            {"date": date(2024, 12, 12), "rank": 1, "identity": OTHER},
        ),
        volatile=table("volatile", {"date": date(2024, 12, 12), "rank": 7, "identity": FIGI}),
        news_months=(date(2024, 11, 1), date(2024, 12, 1)),
    )


def told(given: Feeds, *moments: datetime) -> list[dict]:
    return asof_features(events(*(moments or (T0,))), given).select(ASOF_COLUMNS).to_dicts()


def test_facts_known_at_t0_expected_exact_values() -> None:
    (row,) = told(feeds())
    assert row["short_volume_ratio"] == 0.5
    assert row["short_volume_ratio_z20"] == pytest.approx(0.0, abs=1e-9)
    assert row["days_to_cover"] == 3.5
    assert row["fails_share_of_float"] == 0.1  # the last settlement date's balance
    since = ("offering", "halt", "8k", "424b5", "symbol_change")
    assert [row[f"days_since_{name}"] for name in since] == [0.0] * 5
    assert row["days_since_s3"] is None
    assert [row[name] for name in COUNTS] == [1, 1, 1]
    assert row["days_since_reverse_split"] is None


def test_facts_known_one_second_later_expected_to_vanish() -> None:
    (before,), (after,) = told(feeds(T0)), told(feeds(T0 + SECOND))
    given = feeds()
    kept = {
        name: getattr(given, name) for name in ("universe", "daily_metrics", "runners", "volatile")
    }
    kept |= {"short_volume": given.short_volume.head(20), "news_months": given.news_months}
    nothing = told(replace(no_feeds(), **kept))[0]
    assert [name for name in ASOF_COLUMNS if before[name] is None] == NEVER_TOLD
    for name in ASOF_COLUMNS:
        if name in ("is_reverse_split_30d", "splits_1y", *NEVER_TOLD, *OF_THE_SESSION):
            continue
        if name.startswith("short_volume"):
            assert before[name] != after[name]  # what was known before is seen instead
        else:
            assert before[name] != after[name], name
            assert after[name] == nothing[name], name
    assert after["fails_share_of_float"] is None
    assert after["days_to_cover"] is None
    assert [after[name] for name in COUNTS] == [0, 0, 0]
    assert after["short_volume_ratio"] == 0.6


@pytest.mark.parametrize(
    "name", [f.name for f in fields(Feeds) if "known_at" in TABLE_COLUMNS.get(f.name, ())]
)
def test_every_known_at_past_t0_expected_as_if_the_table_were_empty(name: str) -> None:
    """Each table alone: all its rows a second past t0, beside the others known in time."""
    given = feeds()
    later = getattr(given, name).with_columns(pl.lit(T0 + SECOND).cast(INSTANT).alias("known_at"))
    in_time = getattr(given, name).with_columns(pl.lit(T0).cast(INSTANT).alias("known_at"))
    empty = replace(given, **{name: getattr(given, name).clear()})
    assert told(replace(given, **{name: later})) == told(empty)
    assert told(replace(given, **{name: in_time})) != told(empty)


def test_reverse_split_expected_known_from_midnight_of_its_first_session() -> None:
    split = {"ticker": "BRK.B", "execution_date": DAY, "split_from": 20.0, "split_to": 1.0}
    given = replace(no_feeds(), listings=feeds().listings, splits=table("splits", split))
    midnight = datetime(2024, 12, 13, 5, tzinfo=UTC)
    before, at, later = told(given, midnight - SECOND, midnight, midnight + timedelta(days=31))
    assert (before["days_since_reverse_split"], before["is_reverse_split_30d"]) == (None, False)
    assert (at["days_since_reverse_split"], at["is_reverse_split_30d"]) == (0.0, True)
    assert (later["days_since_reverse_split"], later["is_reverse_split_30d"]) == (31.0, False)


def test_fails_expected_on_the_share_basis_of_the_session() -> None:
    split = {"ticker": "BRK.B", "execution_date": date(2024, 12, 5), "split_from": 10.0,
             "split_to": 1.0}  # fmt: skip
    (row,) = told(replace(feeds(), splits=table("splits", split)))
    # 20,000 failed shares are 2,000 now; the float of 1 December is 20,000 now.
    assert row["fails_share_of_float"] == pytest.approx(0.1)
    (row,) = told(replace(feeds(), splits=table("splits", split),
                          free_float=TABLES["free_float"].empty()))  # fmt: skip
    assert row["fails_share_of_float"] == pytest.approx(2_000 / 500_000)


def test_fails_given_a_file_without_the_company_expected_zero() -> None:
    given = feeds()
    other = given.fails_to_deliver.with_columns(pl.lit("ABRPRD").alias("symbol"))
    (row,) = told(replace(given, fails_to_deliver=other))
    assert row["fails_share_of_float"] == 0.0


def test_short_interest_given_a_newer_date_without_the_company_expected_null() -> None:
    given = feeds(T0 - timedelta(days=20))
    newer = given.short_interest.with_columns(
        pl.lit("ABRPRD").alias("symbol"),
        pl.lit(date(2024, 12, 10)).alias("settlement_date"),
        pl.lit(T0).cast(INSTANT).alias("known_at"),
    )
    both = pl.concat([given.short_interest, newer])
    (row,) = told(replace(given, short_interest=both))
    assert row["days_to_cover"] is None


def test_z_score_expected_against_the_sessions_before() -> None:
    given = replace(feeds(), short_volume=short_volume(*[0.4, 0.6] * 10, 0.9))
    (row,) = told(given)
    deviation = pl.Series([0.4, 0.6] * 10).std()
    assert row["short_volume_ratio_z20"] == pytest.approx(0.4 / deviation)
    few = replace(feeds(), short_volume=short_volume(*[0.4, 0.6] * 4, 0.9))
    assert told(few)[0]["short_volume_ratio_z20"] is None


def test_short_volume_given_an_old_session_expected_null() -> None:
    given = replace(feeds(), short_volume=short_volume(0.4, 0.5, last=date(2024, 11, 29)))
    assert told(given)[0]["short_volume_ratio"] is None


def test_counts_expected_of_thirty_days_only() -> None:
    moments = [T0 - timedelta(days=d) for d in (40, 30, 29, 1, 0)]
    halts = table("halts", *({"date": m.date(), "ticker": "BRK.B", "known_at": m} for m in moments))
    (row,) = told(replace(feeds(), halts=halts))
    assert (row["halts_30d"], row["days_since_halt"]) == (3, 0.0)


def test_symbol_used_by_another_company_before_expected_not_taken() -> None:
    given = feeds()
    spans = pl.DataFrame(
        {
            "ticker": ["BRK.B", "BRK.B"],
            "identity": [OTHER, FIGI],
            "first_date": [date(2024, 6, 3), date(2024, 12, 2)],
            "last_date": [date(2024, 11, 29), DAY],
        }
    )
    (row,) = told(replace(given, listings=spans))
    # Short interest and fails were settled in November, under the symbol's earlier owner.
    assert row["days_to_cover"] is None
    assert row["fails_share_of_float"] == 0.0
    assert row["halts_30d"] == 1


def test_rows_expected_in_their_order_whatever_their_times() -> None:
    moments = [T0 + SECOND, T0 - timedelta(days=60), T0]
    found = asof_features(events(*moments), feeds())
    assert found["bar_id"].to_list() == [0, 1, 2]
    assert found["days_to_cover"].to_list() == [3.5, None, 3.5]


def test_no_facts_expected_nulls_and_zeros() -> None:
    (row,) = told(no_feeds())
    assert {name: row[name] for name in COUNTS} == dict.fromkeys(COUNTS, 0)
    others = {*ASOF_COLUMNS} - {*COUNTS, "is_reverse_split_30d", "splits_1y"}
    assert {row[name] for name in others} == {None}


def test_short_interest_and_float_expected_on_the_share_basis_of_the_session() -> None:
    split = {"ticker": "BRK.B", "execution_date": date(2024, 12, 5), "split_from": 10.0,
             "split_to": 1.0}  # fmt: skip
    (row,) = told(replace(feeds(), splits=table("splits", split)))
    assert row["free_float"] == pytest.approx(20_000)
    assert row["short_interest_share_of_float"] == pytest.approx(5_000 / 20_000)
    assert row["splits_1y"] == 1


def test_what_the_session_knew_at_its_start() -> None:
    (row,) = told(feeds())
    assert (row["market_cap"], row["sector"], row["exchange"]) == (9e6, "28", "XNAS")
    assert (row["previous_day_return"], row["previous_day_range"]) == (0.4, 0.2)
    assert (row["runner_rank"], row["volatile_rank"]) == (2, 7)


def test_metrics_and_ranks_of_the_session_itself_or_of_long_ago_expected_unseen() -> None:
    given = feeds()
    for day in (DAY, date(2024, 12, 2)):
        metrics = given.daily_metrics.tail(1).with_columns(date=pl.lit(day))
        ranks = given.runners.head(1).with_columns(date=pl.lit(day))
        (row,) = told(replace(given, daily_metrics=metrics, runners=ranks))
        assert (row["previous_day_return"], row["runner_rank"]) == (None, None)


def test_rank_given_a_newer_list_without_the_company_expected_null() -> None:
    given = feeds()
    (row,) = told(replace(given, runners=given.runners.filter(identity=OTHER)))
    assert row["runner_rank"] is None


def test_news_expected_by_window_and_word() -> None:
    given = feeds()
    plain = {"title": "nothing", "description": None, "keywords": None, "sentiment": None}
    moments = [T0 - timedelta(days=d) for d in (30, 29, 7, 6, 1)]
    others = [
        table("news", {"ticker": "BRK.B", "id": str(m), "known_at": m, **plain}) for m in moments
    ]
    twice = given.news.with_columns(ticker=pl.lit("BRK.B"))
    (row,) = told(replace(given, news=pl.concat([given.news, twice, *others])))
    assert [row[f"news_{w}"] for w in ("1d", "7d", "30d")] == [1, 3, 5]
    flags = [name for name in ASOF_COLUMNS if name.startswith("is_news")]
    assert len(flags) == 5 and all(row[name] for name in flags)
    assert row["news_sentiment_7d"] == -1.0
    (row,) = told(replace(given, news=others[-1]))
    assert not any(row[name] for name in flags) and row["news_sentiment_7d"] is None


def test_news_of_months_that_were_not_read_expected_null_not_zero() -> None:
    (row,) = told(replace(feeds(), news_months=(date(2024, 12, 1),)))
    assert (row["news_7d"], row["news_30d"]) == (1, None)
    (row,) = told(replace(feeds(), news_months=(date(2024, 11, 1),)))
    assert (row["news_1d"], row["is_news_fda_7d"]) == (None, None)


@pytest.mark.parametrize(
    ("ticker", "compact"),
    [("BRK.B", "BRKB"), ("ABRpD", "ABRPRD"), ("ABHp", "ABHPR"), ("NE.WS.A", "NEWSA"), ("A", "A")],
)
def test_compact_symbols(ticker: str, compact: str) -> None:
    frame = pl.DataFrame({"ticker": [ticker]})
    assert frame.select(compact_symbol("ticker"))["ticker"].to_list() == [compact]
