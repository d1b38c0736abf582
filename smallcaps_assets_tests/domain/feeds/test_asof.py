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


def events(*moments: datetime, ticker: str = "BRK.B", identity: str = FIGI) -> pl.DataFrame:
    rows = [(ticker, DAY, identity, moment, n) for n, moment in enumerate(moments)]
    schema = {"ticker": pl.String, "date": pl.Date, "identity": pl.String, "t0": INSTANT}
    return pl.DataFrame(rows, schema=schema | {"bar_id": pl.Int32}, orient="row")


def table(name: str, *rows: dict) -> pl.DataFrame:
    """Rows of a table of which only some columns matter."""
    return pl.DataFrame(list(rows), schema=TABLES[name].columns)


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
            {"date": DAY, "ticker": "BRK.B", "cik": CIK, "shares_outstanding": 500_000.0},
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
    )


def told(given: Feeds, *moments: datetime) -> list[dict]:
    return asof_features(events(*(moments or (T0,))), given).select(ASOF_COLUMNS).to_dicts()


def test_facts_known_at_t0_expected_exact_values() -> None:
    (row,) = told(feeds())
    assert row["short_volume_ratio"] == 0.5
    assert row["short_volume_ratio_z20"] == pytest.approx(0.0, abs=1e-9)
    assert row["days_to_cover"] == 3.5
    assert row["fails_share_of_float"] == 0.1  # the last settlement date's balance
    since = ("days_since_offering", "days_since_halt", "days_since_8k")
    assert [row[name] for name in since] == [0.0] * 3
    assert [row[name] for name in COUNTS] == [1, 1, 1]
    assert row["days_since_reverse_split"] is None


def test_facts_known_one_second_later_expected_to_vanish() -> None:
    (before,), (after,) = told(feeds(T0)), told(feeds(T0 + SECOND))
    nothing = told(replace(no_feeds(), short_volume=feeds().short_volume.head(20)))[0]
    for name in ASOF_COLUMNS:
        if name in ("days_since_reverse_split", "is_reverse_split_30d"):
            continue
        if name.startswith("short_volume"):
            assert before[name] != after[name]  # what was known before is seen instead
        else:
            assert before[name] is not None
            assert after[name] == nothing[name] or name == "fails_share_of_float"
    assert after["fails_share_of_float"] is None
    assert after["days_to_cover"] is None
    assert [after[name] for name in COUNTS] == [0, 0, 0]
    assert after["short_volume_ratio"] == 0.6


@pytest.mark.parametrize(
    "name", [f.name for f in fields(Feeds) if f.name not in ("listings", "universe", "splits")]
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
    assert all(row[name] is None for name in ASOF_COLUMNS if name.startswith(("days", "short")))


@pytest.mark.parametrize(
    ("ticker", "compact"),
    [("BRK.B", "BRKB"), ("ABRpD", "ABRPRD"), ("ABHp", "ABHPR"), ("NE.WS.A", "NEWSA"), ("A", "A")],
)
def test_compact_symbols(ticker: str, compact: str) -> None:
    frame = pl.DataFrame({"ticker": [ticker]})
    assert frame.select(compact_symbol("ticker"))["ticker"].to_list() == [compact]
