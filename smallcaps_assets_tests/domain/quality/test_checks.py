"""What is looked at in a partition: each finding has a good frame, and a bad one that it names."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from smallcaps_assets.domain.market.calendar import session_hours
from smallcaps_assets.domain.quality import checks
from smallcaps_assets.domain.quality.tape_totals import Totals, day_totals

DAY = date(2024, 5, 3)
OPEN = datetime(2024, 5, 3, 9, 30, tzinfo=ZoneInfo("America/New_York"))
INSTANT = pl.Datetime("ns", "UTC")


def instants(*minutes: float) -> pl.Series:
    """Minutes after the open as UTC instants."""
    return pl.Series([OPEN + timedelta(minutes=m) for m in minutes]).cast(INSTANT)


def bar_rows(**columns: object) -> pl.DataFrame:
    """Two bars of one ticker."""
    base = {"ticker": ["AA", "AA"], "date": [DAY, DAY], "open": [2.0, 2.0], "high": [3.0, 3.0]}
    return pl.DataFrame({**base, "low": [1.0, 1.0], "close": [2.0, 2.5], **columns})


def summary(**columns: object) -> pl.DataFrame:
    base = {
        "ticker": ["AA", "BB"],
        "date": [DAY, DAY],
        "volume": [1000.0, 2000.0],
        "volume_source": ["daily", "daily"],
        "minute_volume": [990.0, 2000.0],
        "minute_count": [5, 7],
    }
    return pl.DataFrame({**base, **columns})


def metrics(**columns: object) -> pl.DataFrame:
    base = {
        "ticker": ["AA", "BB"],
        "date": [DAY, DAY],
        "is_suspect_at_open": [False, False],
        "is_suspect_at_close": [False, False],
        "suspect_decision": [None, None],
        "rvol30": [1.0, None],
        "log_return": [0.1, None],
    }
    return pl.DataFrame({**base, **columns})


def test_price_ranges_names_the_first_row_outside():
    assert checks.price_ranges(bar_rows()).is_good
    bad = checks.price_ranges(bar_rows(close=[2.0, 3.5]))
    assert not bad.is_good and bad.is_error
    assert "1 of 2 rows" in bad.found and "first AA 2024-05-03" in bad.found


@pytest.mark.parametrize(("before", "is_good"), [(None, True), (2, True), (4, True), (5, False)])
def test_session_share_below_half_of_the_session_before_is_bad(before: int | None, is_good: bool):
    assert checks.session_share(bar_rows(), before, "bars").is_good is is_good


def test_session_share_of_an_empty_session_is_bad_even_as_the_first():
    assert not checks.session_share(bar_rows().clear(), None, "bars").is_good


def test_minutes_complete_needs_most_tickers_but_allows_a_session_without_any():
    assert checks.minutes_complete(summary()).is_good
    assert checks.minutes_complete(summary(minute_count=[None, None])).is_good
    rows = pl.concat([summary()] * 2).with_columns(minute_count=pl.Series([1, 0, 0, 0]))
    assert not checks.minutes_complete(rows).is_good


def test_volumes_reconcile_within_a_thousandth_and_above_a_half():
    assert checks.volumes_reconcile(summary(minute_volume=[1000.9, 2000.0])).is_good
    more = checks.volumes_reconcile(summary(minute_volume=[1002.0, 2000.0]))
    assert not more.is_good and "first AA" in more.found
    assert not checks.volumes_reconcile(summary(minute_volume=[100.0, 200.0])).is_good


@pytest.mark.parametrize(
    ("minutes", "is_good"), [(None, True), (100.0, True), (99.0, False), (201.0, False)]
)
def test_tape_reconciles_with_the_minutes(minutes: float | None, is_good: bool):
    found = checks.tape_reconciles(pl.DataFrame({"volume": [60.0, 40.0]}), minutes)
    assert found.is_good is is_good


@pytest.mark.parametrize(
    ("tape", "day", "is_good"),
    [
        (Totals(1000.0, 5000.0), Totals(1000.0, 5000.0), True),
        (Totals(500.0, 2500.0), Totals(1000.0, 5000.0), True),
        (Totals(499.0, 2495.0), Totals(1000.0, 5000.0), False),
        (Totals(1000.0, 500.0), Totals(1000.0, 5000.0), False),  # prices on another basis
        (Totals(1000.0, 500.0), Totals(1000.0, None), True),
        (Totals(1400.0, 7000.0), Totals(1000.0, 5000.0), True),  # prints that no bar counts
        (Totals(0.0, 0.0), Totals(62e6, 310e6), False),
        (Totals(0.0, 0.0), None, False),
        (Totals(10.0, 50.0), None, True),
        (Totals(0.0, 0.0), Totals(0.0, 0.0), True),
    ],
)
def test_trades_reconcile_with_the_day(tape: Totals, day: Totals | None, is_good: bool):
    found = checks.trades_reconcile(tape, day)
    assert found.is_good is is_good and found.is_error
    assert is_good or "smallcaps backfill tick_chain --keys" in found.text()


def test_bars_where_traded_refuse_an_empty_day():
    none, some = bar_rows(volume=[0.0, 0.0]).clear(), bar_rows(volume=[1.0, 0.0])
    day = Totals(62e6, 310e6)
    assert not checks.bars_where_traded(none, day).is_good
    assert not checks.bars_where_traded(none, None).is_good
    assert checks.bars_where_traded(some, day).is_good
    assert checks.bars_where_traded(none, Totals(0.0, 0.0)).is_good


def test_day_totals_leave_out_dollars_that_are_only_a_guess():
    rows = {"ticker": ["AA", "BB"], "volume": [10.0, 20.0], "dollar_volume": [30.0, 40.0]}
    frame = pl.DataFrame({**rows, "dollar_volume_source": ["daily_vwap", "daily_typical"]})
    assert day_totals(frame) == {"AA": Totals(10.0, 30.0), "BB": Totals(20.0, None)}


@pytest.mark.parametrize("moment", ["open", "close"])
def test_suspect_actions_say_what_to_do(moment: str):
    assert checks.suspect_actions(metrics()).is_good
    flag = {f"is_suspect_at_{moment}": [True, False]}
    bad = checks.suspect_actions(metrics(**flag))
    assert not bad.is_good and not bad.is_error
    assert (
        "first AA" in bad.text()
        and "suspects.csv" in bad.text()
        and f"1 at the {moment}" in bad.found
    )
    assert checks.suspect_actions(metrics(**flag, suspect_decision=["split", None])).is_good


def test_decisions_are_about_tickers_that_traded():
    told = pl.DataFrame({"ticker": ["AA", "ZZ"], "date": [DAY, DAY], "verdict": ["real", "split"]})
    assert checks.decisions_found(metrics(), told.head(1)).is_good
    bad = checks.decisions_found(metrics(), told)
    assert not bad.is_good and not bad.is_error
    assert "2 decisions" in bad.found and "first ZZ" in bad.found


def test_outliers_leave_out_what_is_suspect_or_decided():
    assert checks.outliers(metrics()).is_good
    assert not checks.outliers(metrics(log_return=[1.2, 0.0])).is_good
    assert not checks.outliers(metrics(rvol30=[1.0, 2000.0])).is_good
    for known in ({"is_suspect_at_open": [True, False]}, {"suspect_decision": ["real", None]}):
        assert checks.outliers(metrics(log_return=[1.2, 0.0], **known)).is_good


def test_known_in_time_finds_a_row_known_after_its_decision_or_without_one():
    bars = pl.DataFrame({"bar_id": [0, 1], "close_timestamp": instants(1, 2)})
    rows = pl.DataFrame({"bar_id": [0, 1], "known_at": instants(1, 2)})
    assert checks.known_in_time(rows, bars).is_good
    assert not checks.known_in_time(rows.with_columns(known_at=instants(1, 2.001)), bars).is_good
    assert not checks.known_in_time(rows, bars.head(1)).is_good


def test_labels_in_session_refuse_a_label_of_the_next_day():
    labels = pl.DataFrame({"date": [DAY], "t0": instants(1), "t1": instants(16)})
    assert checks.labels_in_session(labels).is_good
    assert not checks.labels_in_session(labels.with_columns(t1=instants(24 * 60))).is_good
    assert not checks.labels_in_session(labels.with_columns(t1=instants(0.5))).is_good
    assert checks.labels_in_session(labels.clear()).is_good
    assert session_hours(DAY).close < session_hours(DAY).postmarket_close


def test_label_balance_wants_more_than_one_label_among_many():
    few = pl.DataFrame({"label": [0] * 50})
    many = pl.DataFrame({"label": [0] * 400})
    mixed = pl.DataFrame({"label": [0] * 390 + [1] * 10})
    assert [checks.label_balance(frame).is_good for frame in (few, many, mixed)] == [
        True,
        False,
        True,
    ]


def test_weights_valid_ties_the_known_uniqueness_to_the_selection():
    rows = pl.DataFrame(
        {
            "uniqueness": [1.0, 0.2],
            "uniqueness_eligible": [None, 0.5],
            "is_selection_known": [False, True],
        }
    )
    assert checks.weights_valid(rows).is_good
    assert not checks.weights_valid(rows.with_columns(uniqueness=pl.lit(0.0))).is_good
    assert not checks.weights_valid(rows.with_columns(is_selection_known=pl.lit(True))).is_good


def test_selection_consistent_compares_decision_and_admission():
    rows = pl.DataFrame(
        {
            "t0": instants(1, 5),
            "eligible_from": instants(3, 3),
            "is_selection_known": [False, True],
        }
    )
    assert checks.selection_consistent(rows).is_good
    wrong = rows.with_columns(is_selection_known=pl.lit(True))
    assert not checks.selection_consistent(wrong).is_good


def test_coverage_names_the_missing_ones():
    keys = ["2024-05-01", "2024-05-02", "2024-05-03"]
    assert checks.coverage(keys, set(keys), 1.0).is_good
    assert checks.coverage([], set(), 1.0).is_good
    found = checks.coverage(keys, {"2024-05-01", "2024-05-03"}, 1.0)
    assert not found.is_good
    assert "1 missing, first 2024-05-02, last 2024-05-02" in found.found


def test_up_to_date_names_the_newest_that_are_not():
    assert checks.up_to_date([], 3, 3).found == "0 of 3 partitions out of date"
    assert checks.up_to_date([], 0, 0).is_good
    one = checks.up_to_date(["2024-05-01"], 250, 5541)
    assert one.found == "1 of the newest 250 of 5,541 partitions out of date: 2024-05-01"
    assert not one.is_good and not one.is_error and "smallcaps run" in one.text()
    many = checks.up_to_date([f"k{n}" for n in range(9)], 9, 9)
    assert many.found == "9 of 9 partitions out of date: k8, k7, k6, k5, k4 and 4 more"
    assert many.figures == {"partitions out of date": 9, "partitions looked at": 9}
    assert checks.up_to_date([""], 1, 1).found == "1 of 1 partitions out of date"


def test_freshness_compares_with_the_newest_expected_session():
    assert checks.freshness("2024-05-03", DAY).is_good
    assert checks.freshness(None, None).is_good
    assert not checks.freshness("2024-05-02", DAY).is_good
    assert not checks.freshness(None, DAY).is_good


UNIQUENESS = pl.DataFrame(
    {"uniqueness": [1.0, 0.2], "uniqueness_eligible": [None, 0.5], "is_selection_known": [True] * 2}
)


@pytest.mark.parametrize(
    ("finding", "figures"),
    [
        (checks.has_rows(bar_rows(), "events", ""), {"events": 2}),
        (checks.price_ranges(bar_rows(close=[2.0, 9.0])), {"rows outside their own range": 1}),
        (checks.session_share(bar_rows(), 8, "bars"), {"rows, share of the session before": 0.25}),
        (checks.session_share(bar_rows(), None, "bars"), {}),
        (
            checks.minutes_complete(summary(minute_count=[0, 7])),
            {"traded tickers without minutes": 1},
        ),
        (
            checks.volumes_reconcile(summary(minute_volume=[500.0, 1000.0])),
            {
                "minutes, share of the daily volume": 0.5,
                "tickers with more in minutes than in their day": 0,
            },
        ),
        (
            checks.volumes_reconcile(summary().clear()),
            {"tickers with more in minutes than in their day": 0},
        ),
        (
            checks.tape_reconciles(pl.DataFrame({"volume": [60.0]}), 80.0),
            {"eligible trades, share of the minutes' volume": 0.75},
        ),
        (checks.tape_reconciles(pl.DataFrame({"volume": [60.0]}), None), {}),
        (
            checks.trades_reconcile(Totals(500.0, 2.0), Totals(1000.0, 4.0)),
            {"shares in the trades": 500.0, "trades, share of the day's volume": 0.5},
        ),
        (
            checks.trades_reconcile(Totals(500.0, 2.0), Totals(0.0, 0.0)),
            {"shares in the trades": 500.0},
        ),
        (
            checks.suspect_actions(metrics(is_suspect_at_open=[True, False])),
            {"suspect tickers": 1},
        ),
        (checks.outliers(metrics(rvol30=[2000.0, 2000.0])), {"outliers": 2}),
        (
            checks.label_balance(pl.DataFrame({"label": [0, 0, 0, 1]})),
            {"share of the most frequent label": 0.75},
        ),
        (
            checks.weights_valid(UNIQUENESS),
            {"rows with a wrong uniqueness": 1, "mean uniqueness": 0.6},
        ),
        (checks.weights_valid(UNIQUENESS.clear()), {"rows with a wrong uniqueness": 0}),
        (
            checks.coverage(["a", "b", "c", "d"], {"a", "d"}, 1.0),
            {"share of partitions stored": 0.5, "missing partitions": 2},
        ),
        (checks.freshness("2024-04-30", DAY), {"sessions behind": 3}),
        (checks.freshness("2024-05-06", DAY), {"sessions behind": 0}),
        (checks.freshness(None, DAY), {}),
    ],
    ids=lambda value: value.name if isinstance(value, checks.Finding) else "",
)
def test_findings_tell_in_numbers_what_they_count(
    finding: checks.Finding, figures: dict[str, float]
):
    assert finding.figures == figures
    assert {name: type(value) for name, value in finding.figures.items()} == {
        name: type(value) for name, value in figures.items()
    }
