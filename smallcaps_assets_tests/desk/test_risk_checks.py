"""Each check of orders, symbols, account and day: what it refuses, and what it looked at."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import Any
from zlib import crc32

import msgspec
import pytest

from smallcaps_assets.desk import events as e
from smallcaps_assets.desk.checks import ENTRIES_ONLY
from smallcaps_assets.desk.core import Desk
from smallcaps_assets.desk.das.commands import CancelSymbol, NewOrder, Price
from smallcaps_assets.desk.das.messages import (
    Bands,
    BuyingPower,
    LocateOrder,
    LocateReuse,
    ShortInfo,
    SymbolStatus,
)
from smallcaps_assets.desk.events import Level
from smallcaps_assets.desk.limits import SECOND
from smallcaps_assets.desk.risk_limits import RiskLimits, of_settings
from smallcaps_assets.desk.state import Rules
from smallcaps_assets.domain.execution.risk import Limits
from smallcaps_assets.domain.market.calendar import session_hours
from smallcaps_assets.settings import Settings
from smallcaps_assets_tests.desk.scripted import wanted

D = Decimal
HOURS = session_hours(date(2024, 10, 3))
TEN = HOURS.open + 1800 * SECOND
EARLY = HOURS.premarket_open + 3600 * SECOND
BUY = wanted("new", 100, price="4.25", t=1)
SHORT = msgspec.structs.replace(BUY, side="SS", price=Price.limit(D("4.20")))
SELL = msgspec.structs.replace(BUY, side="S", price=Price.limit(D("4.20")), purpose="stop")
MARKET = msgspec.structs.replace(BUY, price=Price("MKT"))
RULES = Limits(2, 100.0, 0, 0.5, HOURS.close - 900 * SECOND)
EASY = ShortInfo("ABCD", True, 500, True, D(0), D(0), False)
HARD = msgspec.structs.replace(EASY, is_shortable=False)
LOCATE = LocateOrder(
    61, "ABCD", 100, 0, 100, D("0.02"), "Located", "LOC1", "09:40:02", D(0), None, ""
)
LONG = e.Holding("ABCD", 300)


def limited(t: int = TEN, **risk: Any) -> Desk:
    """A desk that is connected, with a quote of 4.20 to 4.24, and limits on."""
    rules = Rules(oldest_signal=2**62, same_order=-1, risk=RiskLimits(HOURS, **risk))
    desk = Desk(325, rules=rules)
    hear(desk, t, e.Link(True), e.Snapshot((), (), ()), quote(t))
    return desk


def quote(t: int, bid: str = "4.20", ask: str = "4.24", symbol: str = "ABCD") -> e.Quoted:
    return e.Quoted(symbol, D(bid), D(ask), t)


def hear(desk: Desk, t: int, *events: e.Event) -> list[e.Action]:
    return [action for event in events for action in desk.handle(t, event)]


def asked(desk: Desk, order: e.Wanted, t: int = TEN) -> tuple[str, dict[str, str]]:
    """Which check refused an order, empty for none, and what each of them looked at."""
    actions = hear(desk, t, order)
    [told] = [a.data for a in actions if isinstance(a, e.Record) and a.kind == "decision"]
    is_sent = any(isinstance(a, e.Send) and isinstance(a.command, NewOrder) for a in actions)
    assert is_sent == (not told["refused"])
    return told["refused"], told["checks"]


def traded(*legs: tuple[int, str], symbol: str = "ABCD") -> list[e.Event]:
    """Fills of the account, shares below 0 sold, and the positions after them."""
    events: list[e.Event] = []
    for number, (shares, price) in enumerate(legs):
        side = "B" if shares > 0 else "S"
        trade = crc32(f"{symbol} {number}".encode()) % 10**6
        events.append(e.Fill(trade, 5000 + trade, symbol, side, abs(shares), D(price)))
    return [*events, e.Holding(symbol, sum(shares for shares, _ in legs))]


def entry(symbol: str, qty: int = 100) -> e.Wanted:
    return wanted(f"in-{symbol}", qty, symbol=symbol, price="4.25", t=1)


SEEN = msgspec.structs.replace(BUY, mid=D("4.10"))
NEAR = (e.Told(Bands("ABCD", D("3.81"), D("4.26"))),)
REFUSED: dict[str, tuple[str, dict, Iterable[e.Event], e.Wanted, int, str]] = {
    "a price that has run away": ("drift", {"drift": D("0.02")}, (), SEEN, TEN, "2.93% since"),
    "one that can't be compared": ("drift", {"drift": D("0.02")}, (quote(TEN, "0", "4.24"),), SEEN,
                                   TEN, "no quote"),
    "a short's price that has run away": (
        "drift", {"drift": D("0.02")}, (),
        msgspec.structs.replace(SHORT, mid=D("4.40")), TEN, "4.09% since"),
    "a band that is near": ("bands", {"band_distance": D("0.01")}, NEAR, BUY, TEN, "0.47% to"),
    "the lower one, too": ("bands", {"band_distance": D("0.01")},
                           (e.Told(Bands("ABCD", D("4.19"), D("4.66"))),), BUY, TEN, "0.24% to"),
    "half a lot": ("size", {"lot": 200}, (), BUY, TEN, "no multiple of 200"),
    "before the premarket": ("clock", {}, (), BUY, HOURS.premarket_open - SECOND, "more"),
    "after 15:45": ("clock", {}, (), BUY, HOURS.close - 900 * SECOND + 1, "more"),
    "another universe": ("symbol", {"allowed": {"EFGH"}}, (), BUY, TEN, "universe"),
    "blocked": ("symbol", {"blocked": ("ABCD",)}, (), BUY, TEN, "blocked"),
    "a split today": ("symbol", {"acting": {"ABCD"}}, (), BUY, TEN, "split"),
    "too cheap": ("symbol", {"least_price": D("4.26")}, (), BUY, TEN, "4.25 USD"),
    "too dear": ("symbol", {"most_price": D("4.24")}, (), BUY, TEN, "4.25 USD"),
    "an old quote": ("quote", {"oldest_quote": SECOND}, (quote(TEN - 2 * SECOND),), BUY, TEN,
                     "2.0 s old"),
    "a locked quote": ("quote", {"oldest_quote": SECOND}, (quote(TEN, "4.24"),), BUY, TEN,
                       "4.24 / 4.24"),
    "a wide quote": ("quote", {"oldest_quote": SECOND, "most_spread": D("0.009")}, (), BUY, TEN,
                     "4.20 / 4.24"),
    "a limit beyond the collar": ("collar", {"collar": D("0.002")}, (), BUY, TEN, "0.24%"),
    "and a sale's": ("collar", {"collar": D("0.01")}, (LONG,),
                     msgspec.structs.replace(SELL, price=Price.limit(D("4.10"))), TEN, "2.38%"),
    "beyond the premarket's": ("collar", {"collar": D(1), "extended_collar": D("0.001")}, (), BUY,
                               EARLY, "0.24%"),
    "a market order in the premarket": ("collar", {}, (), MARKET, EARLY, "market order"),
    "a market order to close, too": ("collar", {}, (LONG,),
                                     msgspec.structs.replace(SELL, price=Price("MKT")), EARLY,
                                     "market order"),
    "too many shares": ("size", {"order_shares": 99}, (), BUY, TEN, "at most 99"),
    "too much value": ("size", {"order_value": D(424)}, (), BUY, TEN, "425.00 USD"),
    "much of the last minute": ("size", {"participation": 0.1}, (e.Volume("ABCD", 990),), BUY, TEN,
                                "99 by the last"),
    "an unknown volume": ("size", {"participation": 0.1}, (), BUY, TEN, "0 by the last"),
    "a restricted short at the bid": ("short", {}, (e.Told(SymbolStatus("ABCD", {"SSR": "Y"})),),
                                      SHORT, TEN, "not above the bid"),
    "nothing told of shorting": ("short", {"needs_short_info": True}, (), SHORT, TEN,
                                 "GET SHORTINFO"),
    "more than can be shorted": ("short", {"needs_short_info": True},
                                 (e.Told(msgspec.structs.replace(EASY, size=99)),), SHORT, TEN,
                                 "99 shares"),
    "prohibited": ("short", {"needs_short_info": True},
                   (e.Told(msgspec.structs.replace(EASY, is_prohibited=True)),), SHORT, TEN,
                   "prohibited"),
    "nothing located": ("short", {"needs_short_info": True}, (e.Told(HARD),), SHORT, TEN,
                        "0 located"),
    "a lost day": ("rules", {"account": RULES, "equity": D(1000)},
                   traded((100, "4.00"), (-100, "3.00"), symbol="EFGH"), BUY, TEN, "day_loss"),
    "a drawdown from the day's peak": (
        "rules", {"account": Limits(9, 1e9, 0, 0.02), "equity": D(1000)},
        [*traded((100, "4.00"), (-100, "4.50"), symbol="EFGH"), e.Beat(),
         *traded((100, "4.00"), (-100, "3.69"), symbol="IJKL")], BUY, TEN, "kill"),
    "too many positions": ("rules", {"account": RULES, "equity": D(1000)},
                           (e.Holding("EFGH", 5), e.Holding("IJKL", -5)), BUY, TEN, "positions"),
    "an occupied symbol": ("rules", {"account": RULES, "equity": D(1000)}, (LONG,), BUY, TEN,
                           "occupied"),
    "an entry under way": ("rules", {"account": RULES, "equity": D(1000)},
                           (quote(TEN, symbol="EFGH"), entry("EFGH"), entry("IJKL")), BUY, TEN,
                           "positions"),
    "a symbol's worst case": ("per_symbol", {"symbol_value": D(1000)}, (LONG,), BUY, TEN,
                              "1700.00 USD at worst"),
    "a symbol's entries": ("per_symbol", {"symbol_entries": 1}, (entry("ABCD"),), BUY, TEN,
                           "2 entries"),
    "a symbol's loss": ("per_symbol", {"symbol_loss": D(9)}, traded((100, "4.34")), BUY, TEN,
                        "14.00 USD lost"),
    "losses in a row": ("per_symbol", {"symbol_losses": 2},
                        traded((10, "4"), (-10, "3"), (10, "4"), (-10, "3.9")), BUY, TEN,
                        "2 losses in a row"),
    "all positions": ("capital", {"gross_value": D(1600)}, (LONG,), BUY, TEN, "1697.00 USD gross"),
    "open orders": ("capital", {"open_orders": 1}, (entry("ABCD"),), BUY, TEN, "2 open orders"),
    "buying power": ("capital", {}, (e.Told(BuyingPower(D(424), D(0))),), BUY, TEN,
                     "425.00 USD of buying power"),
    "buying power of a cheap short": ("capital", {}, (e.Told(BuyingPower(D(249), D(0))),),
                                      msgspec.structs.replace(SHORT, price=Price.limit(D("1"))),
                                      TEN, "250.00 USD of buying power"),
    "day trades": ("capital", {"pdt": "legacy", "equity": D(20000), "day_trades": 2},
                   traded((10, "4"), (-10, "4")), BUY, TEN, "4 day trades"),
    "intraday margin": ("capital", {"pdt": "intraday_margin", "equity": D(106)}, (), BUY, TEN,
                        "106.25 USD of maintenance"),
    "orders of the day": ("per_day", {"day_orders": 1}, (entry("ABCD"),), BUY, TEN, "2 orders"),
    "locates of the day": ("per_day", {"locate_cost": D("1.99")}, (e.Told(LOCATE),), BUY, TEN,
                           "2.00 USD for locates"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_check_refuses(name: str) -> None:
    check, risk, events, order, t, told = REFUSED[name]
    desk = limited(t, **risk)
    hear(desk, t, *events)
    refused, looked_at = asked(desk, order, t)
    assert refused == check and told in looked_at[check]


WIDE = {
    "drift": D(0), "band_distance": D("0.01"), "lot": 100,
    "collar": D("0.01"), "extended_collar": D("0.01"), "oldest_quote": SECOND,
    "most_spread": D("0.01"), "order_shares": 100, "order_value": D(425), "participation": 0.1,
    "needs_short_info": True, "account": RULES, "equity": D(1000), "allowed": {"ABCD"},
    "least_price": D("4.20"), "most_price": D("4.25"), "symbol_value": D(425), "symbol_entries": 1,
    "symbol_loss": D(0), "symbol_losses": 1, "gross_value": D(425), "open_orders": 1,
    "pdt": "intraday_margin", "day_orders": 1, "day_rejects": 0, "day_cancels": 0,
    "locate_cost": D(2),
}  # fmt: skip


@pytest.mark.parametrize("t", [TEN, EARLY, HOURS.close - 900 * SECOND])
def test_an_order_at_every_limit_is_sent_with_each_value_told(t: int) -> None:
    desk = limited(t, **WIDE)
    hear(desk, t, e.Volume("ABCD", 1000), e.Told(BuyingPower(D(425), D(0))))
    refused, told = asked(desk, BUY, t)
    assert not refused
    names = ["kill", "link", "clock", "signal_age", "drift", "duplicate", "symbol", "feed",
             "quote", "halt", "bands", "reconciled", "line", "collar", "size", "short", "rules",
             "per_symbol", "capital", "per_day", "rate"]  # fmt: skip
    assert list(told) == names and all(told.values())


def test_located_shares_are_used_up_unless_a_locate_may_be_used_again() -> None:
    desk = limited(needs_short_info=True)
    hear(desk, TEN, e.Told(HARD), e.Told(LOCATE))
    assert asked(desk, SHORT)[0] == ""
    token = desk.by_signal["new"]
    again = msgspec.structs.replace(SHORT, signal="again", qty=50)
    assert asked(desk, again)[1]["short"] == "0 located shares left"
    hear(desk, TEN, e.OrderState(7, token, "ABCD", "SS", 100, 0, 0, "Executed"),
         e.Fill(1, 7, "ABCD", "SS", 100, D("4.20")), e.Fill(2, 8, "ABCD", "B", 100, D("4.20")),
         e.Holding("ABCD", 0))  # fmt: skip
    assert asked(desk, again)[1]["short"] == "0 located shares left"
    hear(desk, TEN, e.Told(LocateReuse("ABCD", True)))
    assert asked(desk, again)[1]["short"] == "100 located shares left"


def test_what_makes_a_position_smaller_skips_4_to_8_and_12_to_14() -> None:
    assert ENTRIES_ONLY == (4, 5, 6, 7, 8, 12, 13, 14)
    nothing = dict.fromkeys(
        ("symbol_value", "gross_value", "order_value", "locate_cost", "most_price"), D(0)
    )
    counts = dict.fromkeys(
        ("symbol_entries", "order_shares", "open_orders", "day_orders", "day_rejects"), 0
    )
    late = HOURS.close - 60 * SECOND
    desk = limited(late, **nothing, **counts, blocked=("ABCD",), oldest_quote=0, account=RULES,
                   pdt="legacy", collar=D("0.05"), participation=0.1)  # fmt: skip
    hear(desk, late, LONG, *traded((100, "9")), LONG, e.Told(SymbolStatus("ABCD", {"TA": "H"})))
    refused, told = asked(desk, SELL, late + 9 * SECOND)
    assert not refused
    assert list(told) == ["kill", "link", "clock", "reconciled", "line", "collar", "size", "short",
                          "rate"]  # fmt: skip
    more = msgspec.structs.replace(SELL, signal="more", qty=201)
    assert asked(desk, more, late + 9 * SECOND)[0] == "reconciled"


@pytest.mark.parametrize(
    ("limits", "level"),
    [({}, Level.FLATTEN), ({"on_loss": Level.SOFT}, Level.SOFT), ({"equity": D(10**6)}, None)],
)
def test_a_loss_that_ends_the_day_throws_the_switch(limits: dict, level: Level | None) -> None:
    """Open shares count at the side that closes them: 100 of 5.30 at a bid of 4.20."""
    account = RULES if "equity" not in limits else Limits(9, 1e6, 0)
    desk = limited(**{"account": account, "equity": D(1000), **limits})
    actions = hear(desk, TEN, *traded((100, "5.30")), e.Beat())
    assert [a.level for a in actions if isinstance(a, e.Raise)] == ([level] if level else [])
    if level == Level.FLATTEN:
        lines = [a.command.line() for a in actions if isinstance(a, e.Send)]
        assert lines[0] == "CANCEL ALL" and " S ABCD SMAT 100 " in lines[1] and len(lines) == 2


def test_a_drawdown_is_from_the_highest_equity_also_after_a_restart() -> None:
    account = Limits(9, 1e9, 0, 0.02)
    desk = limited(account=account, equity=D(1000))
    up = hear(desk, TEN, *traded((100, "4.00"), (-100, "4.50")))
    assert desk.peak == 1050
    again = limited(account=account, equity=D(1000))
    for action in up:
        if isinstance(action, e.Record):
            again.restore(TEN, action.kind, action.data)
    assert again.peak == 1050
    actions = hear(again, TEN, *traded((100, "4.00"), (-100, "3.79"), symbol="EFGH"), e.Beat())
    assert [a.level for a in actions if isinstance(a, e.Raise)] == [Level.FLATTEN]


def test_at_1555_what_the_desk_holds_of_its_session_is_closed() -> None:
    end = HOURS.close - 300 * SECOND
    desk = limited()
    assert asked(desk, BUY)[0] == ""
    order = e.OrderState(7, desk.by_signal["new"], "ABCD", "B", 100, 0, 0, "Executed")
    hear(desk, TEN, order, e.Fill(1, 7, "ABCD", "B", 100, D("4.20")), e.Holding("ABCD", 100),
         e.Holding("EFGH", 70, initial=70), quote(end, symbol="EFGH"))  # fmt: skip
    sent = [a for a in hear(desk, end - SECOND, e.Beat()) if isinstance(a, e.Send)]
    assert sent == []
    sent = [a.command for a in hear(desk, end, e.Beat()) if isinstance(a, e.Send)]
    assert [order.line().split()[2:6] for order in sent] == [["S", "ABCD", "SMAT", "100"]]
    assert isinstance(sent[0], NewOrder) and sent[0].price.values[0] >= D("4.20") * D("0.95")
    late = [a.command for a in hear(desk, end + 6 * SECOND, e.Beat()) if isinstance(a, e.Send)]
    assert [type(command) for command in late] == [CancelSymbol]


def test_limits_of_the_settings_are_all_on() -> None:
    found = of_settings(Settings(), HOURS, {"ABCD"}, (), 30_000, 40_000, 1)
    off = [name for name in RiskLimits.__struct_fields__ if getattr(found, name) in (None, False)]
    assert off == [] and (found.equity, found.peak, found.day_trades) == (30_000, 40_000, 1)
    assert found.account == Limits(3, 600.0, 250_000_000, 0.2, HOURS.close - 900 * SECOND)
    assert of_settings(Settings(), HOURS).equity == Settings().backtest.equity
