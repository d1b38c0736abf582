"""Lines of the DAS protocol: as they are documented, as they differ, and as they must not be."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallcaps_assets.desk.das import commands as c
from smallcaps_assets.desk.das import messages as m
from smallcaps_assets.desk.das.commands import NewOrder, Price, parse_command
from smallcaps_assets.desk.das.messages import Unreadable, parse
from smallcaps_assets.desk.das.words import Line, LineError, Lines, check_tick, fields_of

D = Decimal
ORDER = "%ORDER 8101 132500017 ABCD SS L 300 200 0 4.25 ARCA Partial 09:41:07 0 ACC1 TRD1"


def test_order_with_18_15_and_13_words() -> None:
    full, short = parse(f"{ORDER} CMDAPI DAY+ N/A"), parse(ORDER)
    old = parse("%ORDER 8101 ABCD SS L 300 200 4.25 ARCA Partial 09:41:07 0 ACC1 TRD1")
    assert isinstance(full, m.Order) and isinstance(short, m.Order) and isinstance(old, m.Order)
    assert (full.token, full.source, full.tif, full.filled) == (132500017, "CMDAPI", "DAY+", 100)
    assert (short.token, short.source, short.price) == (132500017, None, D("4.25"))
    assert (old.token, old.canceled, old.symbol, old.left) == (None, None, "ABCD", 200)


def test_order_type_of_several_words_and_price_without_number() -> None:
    line = "%ORDER 1 5 B B SLP: 4.90 5.20 100 100 0 N/A SMAT Accepted 9:43:00 0 A T CMDAPI DAY+ x"
    order = parse(line)
    assert isinstance(order, m.Order)
    assert (order.symbol, order.order_type, order.price) == ("B", "SLP: 4.90 5.20", None)
    assert order.status == "Accepted"


def test_order_act_keeps_the_blanks_of_its_notes() -> None:
    empty = parse("%OrderAct 8101 Execute Shrt ABCD 100 4.25 ARCA 09:41:09  132500017")
    noted = parse("%OrderAct 8102 Send_Rej Shrt E 500 2.1 ARCA 09:42:00 No shares  to 9 132500018")
    bare = parse("%OrderAct 8102 Send_Rej Shrt E 500 2.1 ARCA 09:42:00 no shares to short")
    assert isinstance(empty, m.OrderAct) and isinstance(noted, m.OrderAct)
    assert (empty.notes, empty.token) == ("", 132500017)
    assert (noted.notes, noted.token) == ("No shares  to 9", 132500018)
    assert isinstance(bare, m.OrderAct) and (bare.notes, bare.token) == ("no shares to short", None)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("%TRADE 5207 ABCD SS 100 4.25 ARCA 09:41:09 8101",
         m.Trade(5207, "ABCD", "SS", 100, D("4.25"), "ARCA", "09:41:09", 8101)),
        ("%ITRADE ACC1 5207 ABCD SS 100 4.25 ARCA 09:41:09 8101 TRD1",
         m.WatchTrade("ACC1", 5207, "ABCD", "SS", 100, D("4.25"), "ARCA", "09:41:09", 8101,
                      "TRD1")),
        ("$IssueStatus ABCD TAT:09:47:12 SSR:Y TA:P",
         m.SymbolStatus("ABCD", {"TAT": "09:47:12", "SSR": "Y", "TA": "P"})),
        ("$Quote ABCD A: 4.26 Asz: B:4.24 T:08:48:20",
         m.Quote("ABCD", {"A": "4.26", "Asz": "", "B": "4.24", "T": "08:48:20"})),
        ("%SLRET 2 ABCD 0 0 LOC1 Symbol is already shortable! ACC1",
         m.LocatePrice(2, "ABCD", D(0), 0, "LOC1", "Symbol is already shortable!", "ACC1")),
        ("%SLRET 1 ABCD 0.012 300 LOC1  ACC1",
         m.LocatePrice(1, "ABCD", D("0.012"), 300, "LOC1", "", "ACC1")),
        ("%SLOrder 61 ABCD 300 0 300 0.012 Located LOC1 09:40:02 0 132500012",
         m.LocateOrder(61, "ABCD", 300, 0, 300, D("0.012"), "Located", "LOC1", "09:40:02", D(0),
                       132500012, "")),
        ("$SHORTINFO ABCD N 0 Y 0 100 N", m.ShortInfo("ABCD", False, 0, True, D(0), D(100), False)),
        ("BP 38211.5 9200", m.BuyingPower(D("38211.5"), D(9200))),
        ("$LDLU ABCD 3.81 4.66", m.Bands("ABCD", D("3.81"), D("4.66"))),
        ("$INTMSG Msg: two\tlines", m.InternalMessage("Msg", "two\nlines")),
        ("#OrderServer:Lost Connection", m.ServerState("OrderServer", "Lost Connection")),
        ("#OrderServer:Logon:Successful", m.ServerState("OrderServer", "Logon:Successful")),
        ("#POSEND", m.BlockEnd("POS")),
        ("#OrderEnd", m.BlockEnd("Order")),
        ("#Order id token symb b/s", m.BlockStart("Order")),
        ("#LOGIN SUCCESSED", m.LoginAccepted()),
        ("ERROR:INVALID PASSWORD", m.LoginRefused("ERROR:INVALID PASSWORD")),
        ("INVALD COMMAND!", m.Refused("INVALD COMMAND!")),
        ("#Welcome to DAS Command API", m.Notice("#Welcome to DAS Command API")),
    ],
)  # fmt: skip
def test_documented_lines(line: str, expected: Line) -> None:
    assert parse(line) == expected


@pytest.mark.parametrize(
    ("kind", "qty", "net"), [(3, 100, -100), (3, -100, -100), (2, 100, 100), (1, 0, 0)]
)
def test_short_positions_whichever_sign_is_printed(kind: int, qty: int, net: int) -> None:
    position = parse(f"%POS ABCD {kind} {qty} 4.25 0 0 0 2026/11/20-09:41:09 -1.5")
    assert isinstance(position, m.Position) and position.net == net


WORD = st.text("ABCXYZabc019.+-/", min_size=1, max_size=8).filter(lambda w: w not in m.SIDES)
NUMBER = st.decimals(-(10**6), 10**6, allow_nan=False, places=4)
CLOCK = st.times().map(lambda t: f"{t:%H:%M:%S}")
PRICE = st.integers(1, 10**6).map(
    lambda cents: D(cents) / 100 if cents >= 100 else D(cents) / 10000
)
NOTES = st.text("abc é5 ", max_size=12)
VALUES: dict[Any, st.SearchStrategy] = {
    int: st.integers(-(2**31), 2**31 - 1), Decimal: NUMBER, str: WORD, bool: st.booleans()
}  # fmt: skip


def instances(kind: type[Line]) -> st.SearchStrategy[Line]:
    """Random messages of a class; those with words of their own have them below."""
    values = {f.name: VALUES[f.kind] for f in fields_of(kind) if f.kind in VALUES}
    named = {
        m.Order: {"side": st.sampled_from(m.SIDES), "order_type": st.sampled_from(["L", "SP: 1 2"]),
                  "time": CLOCK, "price": NUMBER | st.none(), "canceled": VALUES[int],
                  "token": VALUES[int]},
        m.OrderAct: {"notes": NOTES, "price": NUMBER | st.none()},
        m.LocatePrice: {"notes": NOTES},
        m.LocateOrder: {"notes": st.text("abc é ", max_size=9).map(str.strip)},
        m.InternalMessage: {"part": st.sampled_from(["From", "Send Time"]),
                            "text": st.text("ab:\n é", max_size=9).map(lambda t: t.strip(" "))},
        m.Concentration: {"text": WORD},
        m.TopList: {"symbols": st.lists(WORD).map(tuple)},
        **{k: {"values": st.dictionaries(st.text("ABz", min_size=1, max_size=3), CLOCK | WORD)}
           for k in (m.Quote, m.SymbolStatus)},
    }  # fmt: skip
    return st.builds(kind, **(values | named.get(kind, {})))


MESSAGES = [k for k in vars(m).values() if isinstance(k, type) and getattr(k, "VERBS", ())]


@given(st.one_of([instances(kind) for kind in MESSAGES]))
def test_every_message_comes_back_from_its_line(message: Line) -> None:
    assert parse(message.line()) == message


@given(st.one_of([instances(kind) for kind in MESSAGES]), st.integers(0, 200))
def test_cut_lines_never_raise(message: Line, length: int) -> None:
    cut = message.line()[:length]
    assert isinstance(parse(cut), Line)
    # what has fewer words than it needs is shown as unreadable, not taken for something else
    if isinstance(message, m.Trade | m.Order | m.Position) and len(cut.split()) < 8:
        assert isinstance(parse(cut), Unreadable | m.Notice)


@given(st.text(max_size=60))
def test_any_text_is_some_message(text: str) -> None:
    assert isinstance(parse(text), Line)
    for verb in ("%ORDER ", "%TRADE ", "%OrderAct ", "%SLRET ", "$Quote ", "%SLOrder "):
        assert isinstance(parse(verb + text), Line)


@given(st.lists(st.text("abc é#%", min_size=1).filter(str.strip), max_size=8), st.data())
def test_lines_packed_and_split_in_any_way(texts: list[str], data: st.DataObject) -> None:
    stream = b"".join(t.encode() + data.draw(st.sampled_from([b"\n", b"\r\n"])) for t in texts)
    lines, found = Lines(), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        found += lines.feed(stream[:size])
        stream = stream[size:]
    assert found == texts and lines.cut() == ""


def test_bytes_that_are_no_utf8_and_endless_lines() -> None:
    assert Lines().feed(b"%OrderAct note\xe9\r\n") == ["%OrderAct note\ufffd"]
    assert Lines(longest=10).feed(b"x" * 11) == ["x" * 10]


PRICES = st.one_of(
    PRICE.map(Price.limit),
    st.just(Price("MKT")),
    st.builds(Price, st.sampled_from(["STOPMKT", "STOPTRAILING", "PEG MID"]), st.tuples(PRICE)),
    st.builds(Price, st.sampled_from(["STOPLMT", "STOPLMTP"]), st.tuples(PRICE, PRICE)),
    st.just(Price("PEG LAST")),
)  # fmt: skip
SYMBOL = st.text("ABCDEFXYZ.", min_size=1, max_size=6)
ORDERS = st.builds(
    NewOrder, VALUES[int], st.sampled_from(m.SIDES), SYMBOL, SYMBOL, st.integers(1, 10**6), PRICES,
    st.sets(st.sampled_from(["PostOnly", "Display=100"])).map(tuple), st.sampled_from(c.TIFS),
)  # fmt: skip


@given(
    ORDERS
    | st.builds(c.Replace, st.integers(1), st.integers(1), PRICE.map(Price.limit))
    | st.builds(c.Cancel, st.integers(1))
    | st.builds(c.CancelSymbol, SYMBOL)
    | st.builds(c.LocateNew, SYMBOL, st.integers(1), WORD, VALUES[int], PRICE)
    | st.sampled_from([c.CancelAll(), c.Quit(), c.Echo(), c.Echo("OFF"), c.Get("BP")])
)
def test_every_command_comes_back_from_its_line(command: Line) -> None:
    line = command.line()
    assert line.isascii() and "\n" not in line
    assert parse_command(line) == command


GOOD = NewOrder(132500017, "SS", "ABCD", "ARCA", 300, Price.limit(D("4.25")), ("PostOnly",))


def test_new_order_as_documented() -> None:
    assert GOOD.line() == "NEWORDER 132500017 SS ABCD ARCA 300 4.25 PostOnly TIF=DAY+"
    preferred = NewOrder(1, "B", "A", "SMAT", 1, Price("MKT"), ("Pref=X", "Display=0"), "DAY")
    assert preferred.line() == "NEWORDER 1 B A SMAT 1 MKT Display=0 TIF=DAY Pref=X"


@pytest.mark.parametrize(
    "bad",
    [
        {"symbol": "AB CD"},
        {"symbol": "AB\nCANCEL ALL"},
        {"symbol": ""},
        {"route": "ÄRCA"},
        {"options": ("Pref=a b",)},
        {"token": 2**31},
        {"side": "X"},
        {"qty": 0},
        {"tif": "GTC=DAY+"},
        {"price": Price.limit(D("10.299999"))},
        {"price": Price.limit(D("0.12345"))},
        {"price": Price.limit(D("0"))},
        {"price": Price.limit(D("NaN"))},
        {"price": Price("STOPLMT", (D("1.00"),))},
    ],
    ids=str,
)
def test_an_order_that_must_not_be_written(bad: dict[str, Any]) -> None:
    fields = {f.name: getattr(GOOD, f.name) for f in fields_of(NewOrder)} | bad
    with pytest.raises(LineError):
        NewOrder(**fields).line()


@pytest.mark.parametrize("price", ["0.9999", "1.01", "1E+1", "0.0001"])
def test_prices_on_their_tick(price: str) -> None:
    check_tick(D(price))
    assert "E" not in Price.limit(D(price)).words()[0]


def test_password_is_never_shown() -> None:
    assert c.shown(c.Login("me", "secret", "ACC1", 1)) == "LOGIN me *** ACC1 1"


def test_which_commands_change_something() -> None:
    quiet = [c.Get("ORDERS"), c.Echo(), c.LocateInquire("A", 100), c.Refresh()]
    loud = [GOOD, c.Cancel(1), c.CancelAll(), c.LocateInquire("A", 100, "ALLROUTE")]
    assert [c.is_mutating(x) for x in quiet + loud] == [False] * 4 + [True] * 4


def test_all_messages_are_covered() -> None:
    assert len(MESSAGES) == 24 and not get_args(Line)
