"""The broker's list beside ours, and what trading journals get."""

from __future__ import annotations

import random
from collections import Counter
from datetime import date
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallcaps_assets.desk.drop_copy import (
    DropCopyError,
    Execution,
    compare,
    is_green,
    of_fills,
    read_drop_copy,
    totals,
)
from smallcaps_assets.desk.events import Fill
from smallcaps_assets.desk.exports import tradersync, tradervue

D = Decimal
HEAD = "Time,Symb,Side,Price,Qty,Route,Broker,Account,Type,Cloid\n"
FILLS = [
    Fill(5207, 8101, "ABCD", "SS", 100, D("4.2500"), "09:41:09", "ARCA", "+", D("-0.20")),
    Fill(5208, 8101, "ABCD", "SS", 200, D("4.24"), "09:41:10", "ARCA", "-", D("0.6")),
    Fill(5209, 8102, "ABCD", "B", 300, D("4.1"), "10:05:00", "ARCA"),
]
LIST = HEAD + (
    "09:41:09,ABCD,SS,4.25,100,ARCA,,,,\n09:41:11,ABCD,S,4.24,200,ARCA,,,,\n"
    "10:05:00,ABCD,B,4.1,300,ARCA,,,,\n"
)


def test_a_day_that_agrees() -> None:
    matches = compare(of_fills(FILLS), read_drop_copy(LIST))
    assert [match.outcome for match in matches] == ["matched"] * 3 and is_green(matches)


@pytest.mark.parametrize(
    ("change", "outcome", "field"),
    [
        (("4.25,100", "4.26,100"), "differs", "price"),
        (("4.1,300", "4.1,200"), "differs", "qty"),
        (("10:05:00", "10:05:02"), "differs", "time"),
        (("ABCD,B", "ABCD,S"), "differs", "side"),
        (("10:05:00,ABCD,B,4.1,300,ARCA,,,,\n", ""), "only ours", ""),
        (("10:05:00,ABCD,B", "10:05:00,EFGH,B,1,1,,,,,\n10:05:00,ABCD,B"), "only theirs", ""),
    ],
)
def test_each_way_to_disagree(change: tuple[str, str], outcome: str, field: str) -> None:
    matches = compare(of_fills(FILLS), read_drop_copy(LIST.replace(*change, 1)))
    [bad] = [match for match in matches if match.outcome != "matched"]
    assert (bad.outcome, bad.field) == (outcome, field) and not is_green(matches)


def test_ids_decide_where_both_have_them() -> None:
    text = (
        "Exec Time\tSymbol\tSide\tExec Price\tQuantity\tTrade ID\n"
        "09:41:10\tABCD\tShort\t4.24\t200\t5208\n09:41:09\tABCD\tShort\t4.25\t100\t9999\n"
    )
    outcomes = Counter(m.outcome for m in compare(of_fills(FILLS[:2]), read_drop_copy(text)))
    assert outcomes == {"matched": 1, "only ours": 1, "only theirs": 1}


SHARES, PRICES = st.sampled_from([-100, 100, 200]), st.sampled_from([D("1.00"), D("1.01")])
EXECUTION = st.builds(Execution, st.integers(0, 3), st.sampled_from("AB"), SHARES, PRICES)


@given(st.lists(EXECUTION, max_size=8), st.randoms(use_true_random=False))
def test_every_execution_is_in_one_match(ours: list[Execution], order: random.Random) -> None:
    theirs = ours.copy()
    order.shuffle(theirs)
    assert is_green(compare(ours, theirs))
    matches = compare(ours, theirs[1:])
    counts = Counter(match.outcome for match in matches)
    assert sum(match.ours is not None for match in matches) == len(ours)
    assert sum(match.theirs is not None for match in matches) == len(theirs[1:])
    assert not ours or counts["only ours"] == 1


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "time, symbol, side, price, qty"),
        ("Time,Symb,Side,Qty\n", "price"),
        (HEAD + "9:41,ABCD,B,1,1\n", "line 2: time '9:41'"),
        (HEAD + "09:41:00,ABCD,X,1,1\n", "line 2: side 'X'"),
        (HEAD + "09:41:00,ABCD,B,1e3,1\n", "line 2: price '1e3'"),
        (HEAD + "09:41:00,ABCD,B,1,1.5\n", "line 2: qty '1.5'"),
        (HEAD + "09:41:00,ABCD\n", "line 2: side ''"),
    ],
)
def test_a_list_that_cannot_be_read_is_refused(text: str, named: str) -> None:
    with pytest.raises(DropCopyError, match=named):
        read_drop_copy(text)


def test_totals_by_symbol() -> None:
    total = totals(of_fills(FILLS))["ABCD"]
    sold = (100 * D("4.25") + 200 * D("4.24")) / 300
    assert (total.net, total.bought, total.sold, total.fees) == (0, D("4.1"), sold, D("0.40"))
    assert total.realized == 300 * (sold - D("4.1"))


def test_tradervue_and_tradersync() -> None:
    day = date(2026, 11, 20)
    assert tradervue(FILLS[::-1], day).splitlines() == [
        "Date,Time,Symbol,Quantity,Price,Side,Commission,TransFee,ECNFee",
        "11/20/2026,09:41:09,ABCD,100,4.25,Short,0,0,-0.2",
        "11/20/2026,09:41:10,ABCD,200,4.24,Short,0,0,0.6",
        "11/20/2026,10:05:00,ABCD,300,4.1,Buy,0,0,0",
    ]
    assert tradersync(FILLS, day).splitlines()[1:] == [
        "11/20/2026,09:41:09,ABCD,100,4.25,Sell,-0.2,SHARE,,,",
        "11/20/2026,09:41:10,ABCD,200,4.24,Sell,0.6,SHARE,,,",
        "11/20/2026,10:05:00,ABCD,300,4.1,Buy,0,SHARE,,,",
    ]
    late = msgspec.structs.replace(FILLS[0], time="9:05:01")
    assert tradervue([late], day).splitlines()[1].startswith("11/20/2026,09:05:01,")
