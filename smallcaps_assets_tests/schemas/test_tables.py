"""Declarations of tables: complete, consistent, and enforced with words that name the fault."""

from datetime import UTC, date, datetime

import polars as pl
import pytest

from smallcaps_assets.schemas import BAR_TABLES, FEATURE_COLUMNS, TABLES, TICK_CHAIN, ContractError
from smallcaps_assets.schemas import table as tables_of
from smallcaps_assets.schemas.table import INSTANT, Partitioning
from smallcaps_assets.schemas.tables import ASOF_COLUMNS, QUOTE_COLUMNS
from smallcaps_assets.settings import Settings


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES.keys())
def test_table_declaration_is_complete(table):
    assert table.meaning.endswith(".")
    assert table.layer in ("raw", "processed")
    assert table.key
    assert set(table.upstream) <= TABLES.keys()
    assert set(table.settings) <= set(Settings.model_fields)
    for name, column in table.schema.columns().items():
        assert column.description, f"{table.name}.{name} has no meaning"


def test_tables_stand_after_what_they_are_made_from():
    order = list(TABLES)
    for table in TABLES.values():
        assert all(order.index(name) < order.index(table.name) for name in table.upstream)


def test_tick_chain_is_every_table_cut_by_ticker_session():
    cut = [t.name for t in TABLES.values() if t.partitioning is Partitioning.TICKER_SESSION]
    assert cut == list(TICK_CHAIN)
    assert set(BAR_TABLES) < set(TICK_CHAIN)


def test_dataset_holds_every_feature_and_no_same_day_metric():
    columns = TABLES["ml_dataset"].columns
    assert set(FEATURE_COLUMNS) <= columns.keys()
    leaking = {"pct_change", "rvol30", "close", "high", "low", "volume", "dollar_volume"}
    assert not leaking & columns.keys()


def test_instants_are_utc_nanoseconds_everywhere():
    for table in TABLES.values():
        kinds = {dtype for dtype in table.columns.values() if isinstance(dtype, pl.Datetime)}
        assert kinds <= {INSTANT}


def rows() -> pl.DataFrame:
    """Two watchlist rows."""
    return pl.DataFrame(
        {
            "rule": ["info_rich", "follow_up"],
            "ticker": ["B", "A"],
            "date": date(2024, 5, 3),
            "identity": "X",
            "known_at": datetime(2024, 5, 3, 20, tzinfo=UTC),
            "price": 1.0,
            "change": None,
            "relative_volume": None,
            "dollar_volume": 5,
            "more": "dropped",
        }
    )


def test_validate_orders_casts_and_sorts():
    found = TABLES["watchlist"].validate(rows())
    assert found.columns == list(TABLES["watchlist"].columns)
    assert found["ticker"].to_list() == ["A", "B"]
    assert found.schema["known_at"] == INSTANT
    assert found["dollar_volume"].to_list() == [5.0, 5.0]


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES.keys())
def test_every_rule_but_the_keys_looks_at_single_rows(table):
    """Only so can they be evaluated together."""
    rules = table.schema._validation_rules(with_cast=False)
    kinds = {name: type(rule).__name__ for name, rule in rules.items()}
    assert set(kinds.values()) == {"Rule"}
    assert "primary_key" in kinds


FAULTS = {
    "nothing": {},
    "no ticker": {"ticker": None},
    "unknown rule": {"rule": "moon"},
    "no price": {"price": 0.0},
    "no number": {"price": float("nan")},
    "one row twice": {"ticker": "A", "rule": "follow_up"},
    "two faults": {"ticker": None, "price": -1.0},
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_validate_says_what_a_look_at_each_row_says(fault, monkeypatch):
    table = TABLES["watchlist"]
    frame = rows().with_columns(
        pl.when(pl.col("ticker") == "B").then(pl.lit(value)).otherwise(name).alias(name)
        for name, value in fault.items()
    )

    def told() -> object:
        try:
            return table.validate(frame).to_dicts()
        except ContractError as error:
            return str(error)

    found = told()
    monkeypatch.setattr(tables_of, "_rules", lambda schema: (pl.lit(False),))
    assert found == told()
    assert isinstance(found, str) == bool(fault)


def test_rows_in_order_of_their_key_are_taken_as_they_are():
    ordered = TABLES["watchlist"].validate(rows())
    assert TABLES["watchlist"].conform(ordered) is ordered
    assert TABLES["watchlist"].validate(ordered.reverse()).equals(ordered)


def test_validate_unknown_rule_names_table_rule_and_row():
    with pytest.raises(ContractError) as error:
        TABLES["watchlist"].validate(rows().with_columns(rule=pl.lit("moon")))
    assert "watchlist" in str(error.value)
    assert "rule" in str(error.value)
    assert "moon" in str(error.value)


def test_validate_empty_frame_passes():
    for table in TABLES.values():
        assert table.validate(table.empty()).is_empty()


def test_dataset_column_is_a_feature_or_says_why_it_is_none():
    table = TABLES["ml_dataset"]
    features = {*FEATURE_COLUMNS, *QUOTE_COLUMNS, *ASOF_COLUMNS}
    assert features | table.no_features.keys() == set(table.columns)
    assert not features & table.no_features.keys()


def test_what_is_known_after_the_decision_is_marked_with_its_moment():
    after = {
        "rules": "close of the session",
        "selection_rule": "eligible_from",
        "eligible_from": "eligible_from",
        "t1": "t1",
        "label": "t1",
        "label_return": "t1",
        "entry_price": "after t0",
        "forward_return_15m": "15 minutes after t0",
        "forward_label_5m": "5 minutes after t0",
        "is_touch_confirmed": "10 s after t1",
        "uniqueness": "end of the session",
        "return_attribution_eligible": "end of the session",
        "time_decay": "at training",
    }
    table = TABLES["ml_dataset"]
    for column, moment in after.items():
        assert moment in table.no_features[column], column
        assert f"not a feature: {table.no_features[column]}" in table.says(column)
    assert "delisted_date" in TABLES["universe"].no_features
