"""The dataset of a period: the join, selection, time decay, meta and the union."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smallcaps_assets.domain.dataset import DatasetError, ml_dataset, union, with_time_decay
from smallcaps_assets.schemas.tables import FEATURE_COLUMNS, TABLES
from smallcaps_assets.settings import DatasetSettings, Period
from smallcaps_assets_tests.domain.market_frames import DAY, frame, instant

PERIOD = Period(name="p", start=date(2024, 1, 1), end=date(2024, 12, 31), regime="calm")
DEFAULTS = DatasetSettings()
BEFORE = date(2023, 12, 29)


def event(ticker: str, bar_id: int, clock: str, label: int = 0, **values: Any) -> dict[str, Any]:
    """One labelled event; `eligible` is the day's eligible_from."""
    day = values.pop("day", DAY)
    return {
        "ticker": ticker,
        "date": day,
        "bar_id": bar_id,
        "t0": instant(clock, day),
        "label": label,
        "eligible": instant("10:00", day),
        "uniqueness": 1.0,
        **values,
    }


EVENTS = [
    event("A", 0, "09:40", 1, uniqueness=0.5),
    event("A", 1, "10:00", -1, uniqueness=0.5, eligible_uniqueness=0.8),
    event("B", 0, "09:50", 0, eligible=instant("16:00")),
    event("C", 0, "10:30", 1),
]


def features(events: list[dict]) -> pl.DataFrame:
    filled = {
        name: False if dtype == pl.Boolean else 0
        for name, dtype in TABLES["bar_features"].columns.items()
        if name in FEATURE_COLUMNS
    }
    rows = [
        {"ticker": e["ticker"], "date": e["date"], "bar_id": e["bar_id"], "known_at": e["t0"]}
        for e in events
    ]
    return frame("bar_features", rows, **filled)


def quotes(events: list[dict]) -> pl.DataFrame:
    rows = [
        {"ticker": e["ticker"], "date": e["date"], "bar_id": e["bar_id"], "known_at": e["t0"]}
        for e in events
    ]
    return frame("quote_features", rows, spread_last=0.01, quoted_volume=0.0)


def labels(events: list[dict]) -> pl.DataFrame:
    rows = [
        {
            **{k: e[k] for k in ("ticker", "date", "bar_id", "t0", "label")},
            "t1": e["t0"] + timedelta(minutes=15),
            "has_path": e.get("has_path", True),
            "return_from_entry": e.get("return_from_entry"),
        }
        for e in events
    ]
    return frame(
        "triple_barrier_labels",
        rows,
        label_return=0.01,
        price_at_t0=5.0,
        is_session_cut=False,
        is_halt_cut=False,
    )


def weights(events: list[dict]) -> pl.DataFrame:
    rows = []
    for e in events:
        known = e["t0"] >= e["eligible"]
        rows.append(
            {
                **{k: e[k] for k in ("ticker", "date", "bar_id", "uniqueness")},
                "is_selection_known": known,
                "uniqueness_eligible": e.get("eligible_uniqueness", 1.0) if known else None,
            }
        )
    return frame("sample_weights", rows, span_start=0, span_end=1, return_attribution=0.1)


def registry(events: list[dict], disqualified: tuple[str, ...] = ()) -> pl.DataFrame:
    days = {(e["ticker"], e["date"]): e["eligible"] for e in events}
    rows = [
        {
            "ticker": t,
            "date": d,
            "partition_key": f"{t}_{d}",
            "identity": f"FIGI-{t}",
            "rules": "info_rich,intraday_trigger" if t != "B" else "info_rich",
            "selection_rule": "intraday_trigger" if t != "B" else "info_rich",
            "eligible_from": at,
            "is_qualified": t not in disqualified,
        }
        for (t, d), at in days.items()
    ]
    return frame("ticker_sessions", rows)


def build(events=EVENTS, period=PERIOD, disqualified=(), **replaced):
    inputs = {
        "features": features(events),
        "quotes": quotes(events),
        "labels": labels(events),
        "weights": weights(events),
        "registry": registry(events, disqualified),
        **replaced,
    }
    return ml_dataset(**inputs, period=period, settings=DEFAULTS, config_hash="c", code_version="v")


def test_ml_dataset_joins_features_label_weights_and_selection():
    rows, _ = build()
    assert rows.select("ticker", "bar_id", "label", "is_selection_known").rows() == [
        ("A", 0, 1, False),
        ("A", 1, -1, True),
        ("B", 0, 0, False),
        ("C", 0, 1, True),
    ]
    row = rows.row(1, named=True)
    assert (row["period"], row["regime"], row["identity"]) == ("p", "calm", "FIGI-A")
    assert (row["rules"], row["selection_rule"]) == (
        "info_rich,intraday_trigger",
        "intraday_trigger",
    )
    assert row["eligible_from"] == instant("10:00")
    assert TABLES["ml_dataset"].validate(rows).equals(rows)


def test_ml_dataset_decays_on_cumulative_uniqueness_in_order_of_decision():
    rows, _ = build()
    # Order A0 (0.5), B0 (1), A1 (0.5), C0 (1): cumulative 0.5, 1.5, 2, 3 of 3; oldest 0.5.
    factor = {k: 0.5 + 0.5 * c / 3 for k, c in {"A0": 0.5, "B0": 1.5, "A1": 2.0, "C0": 3.0}.items()}
    expected = [factor["A0"], factor["A1"], factor["B0"], factor["C0"]]
    assert rows["time_decay"].to_list() == pytest.approx(expected)
    # Known rows only, on their uniqueness among themselves: A1 (0.8), C0 (1).
    assert rows["time_decay_eligible"].to_list() == [
        None,
        pytest.approx(0.5 + 0.5 * 0.8 / 1.8),
        None,
        1.0,
    ]


def test_ml_dataset_leaves_out_the_disqualified_and_other_periods():
    events = [*EVENTS, event("A", 0, "10:30", day=BEFORE), event("C", 0, "10:30", day=BEFORE)]
    rows, meta = build(events, disqualified=("A",))
    assert rows.select("ticker", "date").rows() == [("B", DAY), ("C", DAY)]
    assert meta["rows"] == 2
    edges = Period(name="p", start=BEFORE, end=BEFORE)
    assert build(events, edges)[0]["date"].unique().to_list() == [BEFORE]


def test_ml_dataset_of_a_period_without_an_end_has_all_later_days():
    events = [*EVENTS, event("A", 0, "10:30", day=BEFORE)]
    rows, meta = build(events, Period(name="p", start=BEFORE))
    assert rows["date"].unique().sort().to_list() == [BEFORE, DAY]
    assert meta["periods"] == {"p": {"start": str(BEFORE), "end": None, "regime": ""}}
    assert build(events, Period(name="p", start=DAY))[0]["date"].unique().to_list() == [DAY]


def test_ml_dataset_meta_states_counts_balance_and_bias():
    _, meta = build()
    assert meta["period"] == "p"
    span = {"start": "2024-01-01", "end": "2024-12-31", "regime": "calm"}
    assert meta["periods"] == {"p": span}
    assert meta["rows_by_selection_rule"] == {
        "info_rich": {"known": 0, "unknown": 1},
        "intraday_trigger": {"known": 2, "unknown": 1},
    }
    assert meta["rows_by_rule"] == {
        "info_rich": {"known": 2, "unknown": 2},
        "intraday_trigger": {"known": 2, "unknown": 1},
    }
    known = meta["views"]["selection_known"]
    assert (known["rows"], known["ticker_sessions"], known["identities"]) == (2, 2, 2)
    assert known["labels"] == {"-1": 1, "0": 0, "1": 1}
    assert meta["views"]["all"]["label_shares"] == {"-1": 0.25, "0": 0.25, "1": 0.5}
    assert meta["default_view"] == "selection_known"
    assert "future" in meta["selection_bias"]
    assert meta["features"] == list(FEATURE_COLUMNS)
    columns = {*meta["features"], *meta["features_of_quotes"], *meta["features_as_of_t0"]}
    columns |= meta["no_features"].keys()
    assert columns == set(TABLES["ml_dataset"].columns)
    assert meta["no_features"]["rules"] == "known at the close of the session"
    assert (meta["config_hash"], meta["code_version"]) == ("c", "v")
    assert json.loads(json.dumps(meta)) == meta


def test_ml_dataset_tells_the_return_from_entry_as_a_label_and_counts_labels_without_a_path():
    aside = event("C", 1, "10:40", has_path=False)
    outside = event("D", 0, "10:40", has_path=False)
    events = [{**EVENTS[0], "return_from_entry": -0.02}, *EVENTS[1:]]
    told = labels([*events, aside, outside])
    rows, meta = build(events, labels=told)
    assert rows["return_from_entry"].to_list() == [-0.02, None, None, None]
    assert "return_from_entry" not in [*meta["features"], *meta["features_as_of_t0"]]
    assert meta["labels_without_path"] == 1


def test_ml_dataset_given_no_rows_is_empty():
    rows, meta = build(period=Period(name="p", start=date(2001, 1, 1), end=date(2001, 2, 1)))
    assert rows.equals(TABLES["ml_dataset"].empty())
    assert meta["rows"] == 0
    assert meta["views"]["all"]["label_shares"] == {}


@pytest.mark.parametrize(
    ("replaced", "message"),
    [
        (
            {"features": features(EVENTS[1:])},
            "1 rows have no features, the first A_2024-05-03 bar 0",
        ),
        ({"labels": labels(EVENTS[:-1])}, "1 rows have no label, the first C_2024-05-03 bar 0"),
        (
            {"registry": registry([{**e, "eligible": instant("09:00")} for e in EVENTS])},
            "2 rows have weights for another eligible_from",
        ),
    ],
)
def test_ml_dataset_given_tables_that_do_not_fit_raises(replaced, message):
    with pytest.raises(DatasetError, match=message):
        build(**replaced)


def test_no_feature_is_a_same_day_daily_figure():
    daily_only = set(TABLES["daily_metrics"].columns) | set(TABLES["watchlist"].columns)
    shared = daily_only & set(FEATURE_COLUMNS)
    # Same names, other things: both are made from the tape up to the bar.
    assert shared == {"gap", "relative_volume"}


# union -------------------------------------------------------------------------------------------
def test_union_recomputes_the_decay_over_all_rows():
    events = [*EVENTS, event("A", 0, "10:30", day=BEFORE)]
    older = Period(name="o", start=date(2023, 1, 1), end=date(2023, 12, 31))
    parts = [build(events)[0], build(events, older)[0]]
    assert parts[1]["time_decay"].to_list() == [1.0]
    settings = DatasetSettings(periods=(PERIOD, older))
    whole, meta = union(parts, settings, config_hash="c", code_version="v")
    assert whole.filter(pl.col("date") == BEFORE)["time_decay"].to_list() == [0.5 + 0.5 / 4]
    assert (meta["period"], list(meta["periods"]), meta["rows"]) == ("union", ["o", "p"], 5)
    assert meta["periods"]["o"] == {"start": "2023-01-01", "end": "2023-12-31", "regime": ""}
    wide = Period(name="w", start=date(2023, 1, 1), end=date(2024, 12, 31))
    assert whole.drop("period", "regime").equals(build(events, wide)[0].drop("period", "regime"))


def test_union_given_overlapping_periods_raises():
    with pytest.raises(DatasetError, match="more than one of the periods p"):
        union([build()[0], build()[0]], DEFAULTS)


def test_union_given_nothing_is_empty():
    rows, meta = union([], DEFAULTS)
    assert (rows.height, meta["rows"]) == (0, 0)


# twin --------------------------------------------------------------------------------------------
@settings(max_examples=50, deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.integers(0, 5),
            st.sampled_from("AB"),
            st.sampled_from([0.1, 0.5, 1.0]),
            st.sampled_from([None, 0.2, 0.6, 1.0]),
        ),
        max_size=20,
    ),
    oldest=st.sampled_from([1.0, 0.5, 0.0, -0.4]),
)
def test_with_time_decay_equals_a_plain_loop(rows, oldest):
    data = [
        {
            "t0": datetime(2024, 1, 1, 10, at),
            "ticker": ticker,
            "bar_id": n,
            "uniqueness": u,
            "is_selection_known": k is not None,
            "uniqueness_eligible": k,
        }
        for n, (at, ticker, u, k) in enumerate(rows)
    ]
    schema = {
        "t0": pl.Datetime,
        "ticker": pl.String,
        "bar_id": pl.Int32,
        "uniqueness": pl.Float64,
        "is_selection_known": pl.Boolean,
        "uniqueness_eligible": pl.Float64,
    }
    result = with_time_decay(pl.DataFrame(data, schema=schema), oldest)
    ordered = sorted(data, key=lambda r: (r["t0"], r["ticker"], r["bar_id"]))
    assert result["bar_id"].to_list() == [r["bar_id"] for r in ordered]
    everything = plain_decay([r["uniqueness"] for r in ordered], oldest)
    assert result["time_decay"].to_list() == pytest.approx(everything)
    among_known = [r["uniqueness_eligible"] for r in ordered if r["is_selection_known"]]
    known = iter(plain_decay(among_known, oldest))
    expected = [next(known) if r["is_selection_known"] else None for r in ordered]
    for found, value in zip(result["time_decay_eligible"], expected, strict=True):
        assert found == (None if value is None else pytest.approx(value))


def plain_decay(uniqueness: list[float], oldest: float) -> list[float]:
    """AFML snippet 4.11: piecewise linear on cumulative uniqueness."""
    cumulative = np.cumsum(uniqueness)
    if not len(cumulative):
        return []
    total = cumulative[-1]
    slope = (1 - oldest) / total if oldest >= 0 else 1 / ((oldest + 1) * total)
    constant = 1 - slope * total
    return [max(0.0, constant + slope * c) for c in cumulative]
