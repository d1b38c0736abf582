"""Which trades count and how: conditions, hours, corrections, duplicates, order, audit."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from smallcaps_assets.domain.market.calendar import session_hours
from smallcaps_assets.domain.ticks.tape import TickError, prepare_ticks
from smallcaps_assets.settings import TickSettings
from smallcaps_assets_tests.domain.tick_frames import (
    CONDITIONS,
    DAY,
    EARLY_DAY,
    SETTINGS,
    at,
    tape_of,
    trade,
    trades,
    walk,
)

IDS = {
    kind: CONDITIONS.filter(pl.col("class") == kind)["id"].to_list()
    for kind in CONDITIONS["class"].unique()
}


def only(when, **options):
    """The tape of one trade among enough regular ones."""
    rows = [*walk([10.0] * 3, "09:40:00"), trade(when, 11.0, 50.0, **options)]
    return tape_of(rows)


def reasons(tape):
    return dict(tape.audit.select("reason", "volume").rows())


@pytest.mark.parametrize("code", IDS["excluded"])
def test_excluded_condition_given_alone_or_with_others_leaves_the_trade_out(code):
    for ids in ([code], [14, code, 41], [37, code], [code, 17]):
        tape = only("10:00:00", conditions=ids)
        assert tape.ticks.height == 3
        assert tape.audit["volume"].to_list() == [50.0]


@pytest.mark.parametrize("code", IDS["price_forming"])
def test_price_forming_condition_counts_in_full(code):
    last = only("10:00:00", conditions=[code]).ticks.row(-1, named=True)
    assert last["is_price_forming"]
    assert last["in_label_path"]
    assert not last["is_auction"]


@pytest.mark.parametrize("code", [None, *IDS["neutral"]])
def test_neutral_condition_decides_nothing(code):
    flags = [] if code is None else [code]
    regular = only("10:00:00", conditions=flags).ticks.row(-1, named=True)
    odd_lot = only("10:00:00", conditions=[*flags, 37]).ticks.row(-1, named=True)
    late = only("10:00:00", conditions=[*flags, 12])
    assert (regular["is_price_forming"], odd_lot["is_price_forming"]) == (True, False)
    assert reasons(late) == {"form T in regular hours": 50.0}


@pytest.mark.parametrize("code", [8, 9, 17, 18, 19, 25, 28])
def test_auction_condition_forms_the_price_and_has_no_sign(code):
    rows = [*walk([10.0, 10.1], "09:40:00"), trade("09:40:05", 11.0, 5.0, [code])]
    rows.append(trade("09:40:06", 11.0, 7.0))
    ticks = tape_of(rows).ticks
    assert ticks["is_auction"].to_list() == [False, False, True, False]
    assert ticks["is_price_forming"].all()
    assert ticks["sign"].to_list() == [0, 1, 0, 1]


def test_odd_lot_is_flow_only_by_condition_and_never_by_size():
    rows = [trade("10:00:00", 10.0, 5.0), trade("10:00:01", 10.0, 500.0, [37])]
    ticks = tape_of(rows).ticks
    assert ticks["is_price_forming"].to_list() == [True, False]
    assert ticks["in_label_path"].to_list() == [True, False]


def test_odd_lot_moves_the_tick_rule():
    rows = [trade("10:00:00", 10.0), trade("10:00:01", 10.1, 5.0, [37, 14])]
    assert tape_of(rows).ticks["sign"].to_list() == [0, 1]


@pytest.mark.parametrize(
    ("when", "counts"),
    [
        ("04:00:00", True),
        ("09:29:59.999", True),
        ("09:30:00", False),
        ("15:59:59", False),
        ("16:00:00", True),
        ("16:00:01", False),
    ],
)
def test_form_t_is_judged_by_the_hours_of_the_day(when, counts):
    tape = only(when, conditions=[12])
    assert (tape.ticks.height == 4) is counts


def test_form_t_given_an_early_close_and_after_hours_is_an_ordinary_print_from_13():
    settings = TickSettings(after_hours=True)
    rows = [
        trade("12:59:59", conditions=[12]),
        trade("13:00:01", conditions=[12]),
        trade("17:00:01", conditions=[12]),
    ]
    tape = tape_of(rows, EARLY_DAY, settings)
    assert tape.ticks["segment"].to_list() == ["postmarket"]
    assert tape.ticks["in_label_path"].all()
    assert reasons(tape) == {"after the session": 100.0, "form T in regular hours": 100.0}


def test_segments_follow_the_hours_and_closing_prints_are_regular():
    rows = [
        trade("03:59:59", conditions=[12]),
        trade("04:00:00", conditions=[12]),
        trade("09:29:59", conditions=[12]),
        trade("09:30:00"),
        trade("16:00:00"),
        trade("16:00:30"),
        trade("16:00:31", conditions=[8]),
        trade("16:10:00", conditions=[19, 41]),
        trade("16:10:01", conditions=[8]),
    ]
    tape = tape_of(rows)
    segments = tape.ticks["segment"].to_list()
    assert segments == ["premarket"] * 2 + ["regular"] * 4
    assert tape.ticks["in_label_path"].to_list() == [True] * 4 + [False] * 2
    assert reasons(tape) == {"after the session": 200.0, "before the session": 100.0}


@pytest.mark.parametrize(
    ("correction", "counts"), [(None, True), (0, True), (1, True), (7, False), (12, False)]
)
def test_correction_rule(correction, counts):
    tape = only("10:00:00", correction=correction)
    assert reasons(tape) == ({} if counts else {"correction": 50.0})


@pytest.mark.parametrize(("price", "size"), [(0.0, 10.0), (-1.0, 10.0), (10.0, 0.0)])
def test_trade_without_price_or_size_is_left_out(price, size):
    tape = tape_of([trade("10:00:00"), trade("10:00:01", price, size)])
    assert tape.audit.row(0) == ("no price or size", 1, size)


@pytest.mark.parametrize(("column", "value"), [("price", float("nan")), ("size", None)])
def test_missing_number_is_refused_by_name(column, value):
    frame = trades([trade("10:00:00"), trade("10:00:01", **{column: value})])
    with pytest.raises(TickError, match=rf"AAME trade 1 .* {column}"):
        prepare_ticks(frame, session_hours(DAY), SETTINGS.ticks)


def test_unknown_condition_given_little_volume_is_counted():
    rows = [trade("10:00:00", size=10_000.0), trade("10:00:01", size=50.0, conditions=[999])]
    assert reasons(tape_of(rows)) == {"unknown condition": 50.0}


def test_unknown_condition_given_much_volume_names_ticker_ids_and_remedy():
    rows = [trade("10:00:00", size=1000.0), trade("10:00:01", size=6.0, conditions=[61, 41, 999])]
    with pytest.raises(TickError, match=r"AAME 2021-02-05: 0.60%.*\[61, 999\].*conditions.csv"):
        tape_of(rows)


def test_duplicates_count_once_and_equal_keys_of_other_venues_stay():
    first = trade("10:00:00", sequence_number=1, id="a", size=10.0)
    rows = [first, dict(first), first | {"trf_id": 201}, first | {"exchange": 4, "size": 5.0}]
    tape = tape_of(rows)
    assert tape.ticks["size"].to_list() == [5.0, 10.0, 10.0]
    assert tape.ticks["is_off_exchange"].to_list() == [True, False, False]
    assert tape_of(rows[::-1]).ticks.equals(tape.ticks)


@pytest.mark.parametrize("plain", [None, 0, 1])
def test_cancelled_version_of_a_trade_holds_whatever_the_order(plain):
    first = trade("10:00:00", sequence_number=1, id="a", correction=plain)
    for rows in ([first, first | {"correction": 8}], [first | {"correction": 8}, first]):
        assert reasons(tape_of(rows)) == {"correction": 100.0}


@pytest.mark.parametrize(
    ("plain", "record", "counts"),
    [
        *((plain, record, 0) for plain in (None, 0, 1) for record in (7, 8, 10, 11)),
        (None, 12, 0),
        (0, 12, 0),
        (1, 12, 1),
        (0, 1, 2),
    ],
)
def test_print_given_a_later_record_of_its_id_is_withdrawn(plain, record, counts):
    first = trade("10:00:00", 10.0, 70.0, sequence_number=1, id="a", correction=plain)
    later = first | {"when": "10:04:00", "sequence_number": 9, "correction": record}
    tape = tape_of([first, later])
    assert tape.ticks.height == counts
    assert tape.ticks["size"].sum() + tape.audit["volume"].sum() == 140.0
    at_once = tape_of([first, first | {"correction": record}])
    assert at_once.ticks.height == min(counts, 1)


def test_cancel_given_another_venue_a_later_print_or_no_id_withdraws_nothing():
    cancel = trade("10:04:00", sequence_number=5, id="a", correction=8)
    kept = [
        cancel | {"when": "10:00:00", "sequence_number": 1, "correction": None, "exchange": 11},
        cancel | {"when": "10:00:01", "sequence_number": 2, "correction": None, "trf_id": 201},
        cancel | {"when": "10:05:00", "sequence_number": 6, "correction": None},
    ]
    assert tape_of([*kept, cancel]).ticks.height == 3
    for unnamed in ("", "0"):
        first = trade("10:00:00", sequence_number=1, id=unnamed)
        assert tape_of([first, cancel | {"id": unnamed}]).ticks.height == 1


def test_order_is_publication_then_sequence_whatever_the_order_given():
    rows = [
        trade("10:00:01", 10.3, sequence_number=5),
        trade("10:00:00", 10.2, sequence_number=4),
        trade("10:00:00", 10.1, sequence_number=3),
    ]
    for order in (rows, rows[::-1]):
        assert tape_of(order).ticks["price"].to_list() == [10.1, 10.2, 10.3]


def test_audit_and_ticks_add_up_to_the_distinct_volume():
    rng = np.random.default_rng(11)
    codes = [[], [37], [2], [12], [8], [41], [32], [16], [14, 41]]
    first = at("03:55:00")
    rows = [
        trade(
            first + int(n) * 90 * 10**9,
            float(rng.choice([0.0, 9.99, 10.0])),
            float(rng.integers(0, 500)),
            codes[rng.integers(len(codes))],
            correction=int(rng.choice([0, 0, 0, 8])),
        )
        for n in range(700)
    ]
    tape = tape_of([*rows, rows[-1] | {"sequence_number": 699, "id": "699"}])
    total = sum(r["size"] for r in rows)
    assert tape.ticks["size"].sum() + tape.audit["volume"].sum() == pytest.approx(total)
    assert tape.ticks.height + tape.audit["trades"].sum() == 700
    assert set(tape.audit["reason"]) >= {"correction", "average price trade", "no price or size"}


def test_no_trades_give_an_empty_tape():
    tape = prepare_ticks(trades([]), session_hours(DAY), SETTINGS.ticks, ticker="AAME")
    assert tape.ticker == "AAME"
    assert tape.ticks.is_empty()
    assert tape.audit.is_empty()
    assert tape.halts.is_empty()
    assert tape.ticks.columns[0] == "sip_timestamp"


def test_other_days_and_mixed_tickers_are_refused():
    with pytest.raises(TickError, match="filter the rows"):
        prepare_ticks(trades([trade("10:00:00")], DAY), session_hours(EARLY_DAY), SETTINGS.ticks)
    mixed = pl.concat([trades([trade("10:00:00")]), trades([trade("10:00:00")], ticker="BB")])
    with pytest.raises(TickError, match="expected one ticker-session"):
        prepare_ticks(mixed, session_hours(DAY), SETTINGS.ticks)


def test_odd_lots_reported_since_december_2013():
    assert tape_of([trade("10:00:00")]).odd_lots_reported
    old = session_hours(DAY.replace(year=2013, month=10, day=7)).date
    assert not tape_of([trade("10:00:00")], old).odd_lots_reported


def test_closing_prints_given_an_early_close_count_until_ten_past_one():
    rows = [
        trade("12:59:59"),
        trade("13:00:00"),
        trade("13:00:01"),
        trade("13:00:05", conditions=[8]),
        trade("13:10:00", conditions=[19]),
        trade("13:10:01", conditions=[8]),
        trade("16:00:05", conditions=[8]),
    ]
    tape = tape_of(rows, EARLY_DAY)
    assert tape.ticks["segment"].to_list() == ["regular"] * 4
    assert tape.ticks["in_label_path"].to_list() == [True, True, False, False]
    assert tape.ticks["is_auction"].to_list() == [False, False, True, True]
    assert reasons(tape) == {"after the session": 300.0}


def test_part_of_a_frame_gives_what_its_rows_give():
    rows = [trade(at("10:00:00") + n, 10.0, 5.0, [14] * (n % 3) + [37]) for n in range(9)]
    rows[5]["conditions"] = [15]
    cut = trades([trade("09:50:00", conditions=[15]), *rows, trade("10:30:00", conditions=[15])])
    tape = prepare_ticks(cut[1:-1], session_hours(DAY), SETTINGS.ticks)
    assert tape.ticks.equals(tape_of(rows).ticks)
    assert tape.audit.equals(tape_of(rows).audit)
    assert tape.ticks.height == 8
