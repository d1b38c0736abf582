"""What DAS sends: every message of its text protocol as a class, read and written.

Known layouts are read strictly, uncertain ones with each form that has been seen; what the server
may do differently from that is a switch of `dialect.py`. No line raises: one that can't be read
becomes `Unreadable`, which the desk shows and otherwise passes over. Written by the simulator.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import ClassVar, Self

import msgspec

from smallcaps_assets.desk.das.words import Line, LineError, number, plain, whole, word

_CLOCK = re.compile(r"\d{1,2}:\d{2}:\d{2}")
_INTEGER = re.compile(r"-?\d+")
_PAIR = re.compile(r"(\w+):(?: (?![A-Za-z]\w*:))?(\S*)")
SIDES = ("B", "S", "SS", "BO", "BC", "SO", "SC")
SHORT = 3
"""Type of a position that is short."""


class Notice(Line, frozen=True):
    """A line for people, such as the welcome."""

    text: str

    def line(self) -> str:
        return self.text


class Refused(Notice, frozen=True):
    """An error text: a command that was not understood, or data that the account lacks."""


class LoginAccepted(Line, frozen=True):
    """The login was good."""

    def line(self) -> str:
        return "#LOGIN SUCCESSED"


class LoginRefused(Notice, frozen=True):
    """Wrong password or address. Never tried again by itself: repeated attempts lock the user."""


class ServerState(Line, frozen=True):
    """DAS's own connection to its order or quote server."""

    server: str
    state: str

    def line(self) -> str:
        return f"#{self.server}:{self.state}"

    @property
    def is_up(self) -> bool:
        return self.state.endswith("Successful")


class BlockStart(Line, frozen=True):
    """The header of a dump of positions (POS), orders, trades or locates (SLOrder)."""

    kind: str

    def line(self) -> str:
        return f"#{self.kind} {HEADERS[self.kind]}"


class BlockEnd(Line, frozen=True):
    """The end of a dump, which from here on replaces what was held."""

    kind: str

    def line(self) -> str:
        return f"#{self.kind}{'END' if self.kind == 'POS' else 'End'}"


class Unreadable(Line, frozen=True):
    """A line that can't be read, and why."""

    text: str
    reason: str

    def line(self) -> str:
        return self.text


class Order(Line, frozen=True):
    """An order's whole state. `order_type` may be several words (`SLP: 2.97 2.99`); `price` is
    None where DAS prints no number; `canceled` and `token` are None in the old layout."""

    VERBS: ClassVar = ("%ORDER", "%IORDER")
    order_id: int
    token: int | None
    symbol: str
    side: str
    order_type: str
    qty: int
    left: int
    canceled: int | None
    price: Decimal | None
    route: str
    status: str
    time: str
    origin: str
    account: str
    trader: str
    source: str | None = None
    tif: str | None = None
    preference: str | None = None

    @property
    def filled(self) -> int:
        return self.qty - self.left - (self.canceled or 0)

    @classmethod
    def read(cls, text: str) -> Self:
        """Anchored on the status and the time at the right, as the type may be several words."""
        words = text.split()
        at = next((i for i in range(len(words) - 1, 8, -1) if _CLOCK.fullmatch(words[i])), None)
        if at is None or len(words) - at not in (4, 7):
            raise LineError("%ORDER has no time before its last 3 or 6 words")
        is_new = len(words) > 3 and words[3] in SIDES and _token(words[1]) is not None
        if not is_new and words[2] not in SIDES:
            raise LineError(f"%ORDER has no side as its third or fourth word, but {words[2:4]}")
        first = 4 if is_new else 3
        counts = 3 if is_new else 2
        price = at - 3
        if price - counts <= first:
            raise LineError(f"%ORDER has {len(words)} words; some are missing before its time")
        qty, left, *canceled = (whole(w, "qty") for w in words[price - counts : price])
        symbol, side = words[first - 2 : first]
        route, status, time, origin, account, trader = words[price + 1 : price + 7]
        source, tif, preference = words[price + 7 :] or (None, None, None)
        token = whole(words[1], "token") if is_new else None
        kind = " ".join(words[first : price - counts])
        return cls(whole(words[0], "order_id"), token, symbol, side, kind, qty, left,
                   canceled[0] if canceled else None, _number_or_none(words[price]), route, status,
                   time, origin, account, trader, source, tif, preference)  # fmt: skip

    def words(self) -> list[str]:
        price = "N/A" if self.price is None else plain(self.price)
        parts = [self.order_id, self.token, self.symbol, self.side, *self.order_type.split(),
                 self.qty, self.left, self.canceled, price, self.route, self.status, self.time,
                 self.origin, self.account, self.trader, self.source, self.tif,
                 self.preference]  # fmt: skip
        return [word(part) for part in parts if part is not None]


class OrderAct(Line, frozen=True):
    """Something that happened to an order. `notes` is free text with its blanks as they came.

    `token` is the last word where that is a number: it is one only if the desk knows it.
    """

    VERBS: ClassVar = ("%OrderAct",)
    order_id: int
    action: str
    side: str
    symbol: str
    qty: int
    price: Decimal | None
    route: str
    time: str
    notes: str
    token: int | None

    @classmethod
    def read(cls, text: str) -> Self:
        words = text.split(" ", 8)
        if len(words) < 8:
            raise LineError(f"%OrderAct has {len(words)} words; expected at least 8")
        notes, blank, last = (words[8] if len(words) > 8 else "").rpartition(" ")
        token = _token(last)
        if token is None:
            notes = notes + blank + last
        order_id, action, side, symbol, qty, price, route, time = words[:8]
        return cls(whole(order_id, "order_id"), action, side, symbol, whole(qty, "qty"),
                   _number_or_none(price), route, time, notes, token)  # fmt: skip

    def line(self) -> str:
        price = "N/A" if self.price is None else plain(self.price)
        parts = (self.order_id, self.action, self.side, self.symbol, self.qty, price, self.route,
                 self.time)  # fmt: skip
        token = [] if self.token is None else [str(self.token)]
        return " ".join([self.VERBS[0], *map(word, parts), self.notes, *token])

    def words(self) -> list[str]:
        return self.line().split(" ")[1:]


class Trade(Line, frozen=True):
    """One execution; `trade_id` is unique. `liquidity` is + added, - removed, R routed out."""

    VERBS: ClassVar = ("%TRADE",)
    COUNTS: ClassVar = (8, 11)
    trade_id: int
    symbol: str
    side: str
    qty: int
    price: Decimal
    route: str
    time: str
    order_id: int
    liquidity: str | None = None
    fee: Decimal | None = None
    profit: Decimal | None = None


class WatchTrade(Line, frozen=True):
    """One execution as a watch connection gets it: other fields, in another order."""

    VERBS: ClassVar = ("%ITRADE",)
    COUNTS: ClassVar = (10,)
    account: str
    trade_id: int
    symbol: str
    side: str
    qty: int
    price: Decimal
    route: str
    time: str
    order_id: int
    trader: str


class Position(Line, frozen=True):
    """A position; type 1 cash, 2 margin, 3 short. Quantity 0 is a closed one."""

    VERBS: ClassVar = ("%POS", "%IPOS")
    COUNTS: ClassVar = (8, 9)
    symbol: str
    kind: int
    qty: int
    average: Decimal
    initial_qty: int
    initial_price: Decimal
    realized: Decimal
    created: str
    unrealized: Decimal | None = None

    @property
    def net(self) -> int:
        """Shares, negative when short, whichever sign DAS prints."""
        return -abs(self.qty) if self.kind == SHORT else self.qty


class _Pairs(Line, frozen=True):
    """A symbol and KEY:value pairs in any order."""

    symbol: str
    values: Mapping[str, str]

    @classmethod
    def read(cls, text: str) -> Self:
        symbol, _, rest = text.strip().partition(" ")
        if not symbol or ":" in symbol:
            raise LineError(f"{cls.VERBS[0]} names no symbol")
        return cls(symbol, {m[1]: m[2] for m in _PAIR.finditer(rest)})

    def words(self) -> list[str]:
        return [word(self.symbol), *(word(f"{k}:{v}") for k, v in self.values.items())]


class Quote(_Pairs, frozen=True):
    """A patch of level 1: only what changed, unless ReturnFullLv1. Sizes in lots."""

    VERBS: ClassVar = ("$Quote",)

    def value(self, key: str) -> Decimal | None:
        """A price or size; None when it did not change. Raises LineError when no number."""
        return number(self.values[key], key) if self.values.get(key) else None


class SymbolStatus(_Pairs, frozen=True):
    """Short sale restriction and halt of a symbol."""

    VERBS: ClassVar = ("$IssueStatus", "$SymStatus")

    @property
    def is_restricted(self) -> bool:
        return self.values.get("SSR", "").upper() == "Y"

    @property
    def is_halted(self) -> bool:
        """Whether it is in a halt, a pause, or quoted only; nothing said is trading."""
        return (self.values.get("TA") or "T") != "T"


class TimeSale(Line, frozen=True):
    """A print; condition is a bit field whose 32 says that it counts for the last price."""

    VERBS: ClassVar = ("$T&S",)
    symbol: str
    price: Decimal
    volume: int
    flag: str
    time: str
    exchange: str
    side: str
    condition: int


class Depth(Line, frozen=True):
    """The best of one venue on one side."""

    VERBS: ClassVar = ("$Lv2",)
    symbol: str
    side: str
    maker: str
    price: Decimal
    size: int
    status: str
    time: str


class ChartBar(Line, frozen=True):
    """A bar of a chart; the order high, low, open, close is the server's."""

    VERBS: ClassVar = ("$Bar",)
    symbol: str
    time: str
    high: Decimal
    low: Decimal
    open: Decimal
    close: Decimal
    volume: int
    minutes: int | None = None


class Bands(Line, frozen=True):
    """Limit down and limit up."""

    VERBS: ClassVar = ("$LDLU",)
    symbol: str
    low: Decimal
    high: Decimal


class ShortInfo(Line, frozen=True):
    """Whether a symbol can be sold short; `size` is the largest short of one order."""

    VERBS: ClassVar = ("$SHORTINFO",)
    symbol: str
    is_shortable: bool
    size: int
    is_marginable: bool
    long_rate: Decimal
    short_rate: Decimal
    is_prohibited: bool
    is_threshold: bool | None = None


class BuyingPower(Line, frozen=True):
    """Buying power now and overnight."""

    VERBS: ClassVar = ("BP",)
    current: Decimal
    overnight: Decimal


class AccountInfo(Line, frozen=True):
    """Equity, profits and costs of the day."""

    VERBS: ClassVar = ("$AccountInfo",)
    open_equity: Decimal
    equity: Decimal
    realized: Decimal
    unrealized: Decimal
    net: Decimal
    borrow_cost: Decimal
    sec_fee: Decimal
    finra_fee: Decimal
    ecn_fee: Decimal
    commission: Decimal


class RouteStatus(Line, frozen=True):
    """Whether a route takes orders."""

    VERBS: ClassVar = ("$RouteStatus",)
    route: str
    state: str

    @property
    def is_enabled(self) -> bool:
        return self.state.lower() == "enabled"


class InternalMessage(Line, frozen=True):
    """One part (Send Time, From, To, Title, Msg) of a message from the broker."""

    VERBS: ClassVar = ("$INTMSG",)
    part: str
    text: str

    @classmethod
    def read(cls, text: str) -> Self:
        part, colon, rest = text.partition(":")
        if not colon:
            raise LineError("$INTMSG names no part")
        return cls(part.strip(), rest.strip(" ").replace("\t", "\n"))

    def words(self) -> list[str]:
        return [f"{self.part}:", self.text.replace("\n", "\t")]


class LocatePrice(Line, frozen=True):
    """An offer of one route for an inquiry; kind 1 a price per share and size, 2 a refusal."""

    VERBS: ClassVar = ("%SLRET",)
    kind: int
    symbol: str
    price: Decimal
    size: int
    route: str
    notes: str
    account: str | None = None

    @classmethod
    def read(cls, text: str) -> Self:
        kind, symbol, price, size, route, *rest = _at_least(text.split(" "), 5, cls.VERBS[0])
        account = rest.pop() if len(rest) > 1 else None
        return cls(whole(kind, "kind"), symbol, number(price, "price"), whole(size, "size"), route,
                   " ".join(rest), account or None)  # fmt: skip

    def words(self) -> list[str]:
        parts = (self.kind, self.symbol, self.price, self.size, self.route)
        account = [] if self.account is None else [word(self.account)]
        return [*map(word, parts), self.notes, *account]


class LocateOrder(Line, frozen=True):
    """A locate's state. `token` is the word after the limit price where that is a number."""

    VERBS: ClassVar = ("%SLOrder",)
    locate_id: int
    symbol: str
    shares: int
    open_shares: int
    located: int
    price: Decimal
    status: str
    route: str
    time: str
    limit: Decimal
    token: int | None
    notes: str

    @classmethod
    def read(cls, text: str) -> Self:
        words = _at_least(text.split(" "), 10, cls.VERBS[0])
        rest = words[10:]
        token = _token(rest[0]) if rest else None
        rest = rest if token is None else rest[1:]
        shares, open_shares, located = (whole(w, "shares") for w in words[2:5])
        return cls(whole(words[0], "locate_id"), words[1], shares, open_shares, located,
                   number(words[5], "price"), words[6], words[7], words[8],
                   number(words[9], "limit"), token, " ".join(rest))  # fmt: skip

    def words(self) -> list[str]:
        parts = (self.locate_id, self.symbol, self.shares, self.open_shares, self.located,
                 self.price, self.status, self.route, self.time, self.limit)  # fmt: skip
        token = [] if self.token is None else [str(self.token)]
        return [*map(word, parts), *token, *([self.notes] if self.notes else [])]


class LocateAvailable(Line, frozen=True):
    """Shares located and not used yet."""

    VERBS: ClassVar = ("$SLAvailQueryRet",)
    account: str
    symbol: str
    shares: int


class LocateReuse(Line, frozen=True):
    """Whether a locate may be used again after a cover."""

    VERBS: ClassVar = ("$SLReuseQueryRet",)
    symbol: str
    is_reusable: bool


class LocateCharge(Line, frozen=True):
    """The smallest charge of a locate route, in USD."""

    VERBS: ClassVar = ("SLRouteMinChargeRet", "$SLRouteMinChargeRet")
    route: str
    minimum: Decimal


class TopList(Line, frozen=True):
    """One list of the most active, best or worst symbols."""

    VERBS: ClassVar = ("$TopLst",)
    kind: str
    symbols: tuple[str, ...]

    @classmethod
    def read(cls, text: str) -> Self:
        kind, *symbols = _at_least(text.split(), 1, cls.VERBS[0])
        return cls(kind, tuple(symbols))

    def words(self) -> list[str]:
        return [word(self.kind), *map(word, self.symbols)]


class Concentration(Line, frozen=True):
    """Extra margin terms of a symbol, as text."""

    VERBS: ClassVar = ("$STINFOEX",)
    symbol: str
    text: str

    @classmethod
    def read(cls, text: str) -> Self:
        symbol, _, rest = text.strip().partition(" ")
        return cls(word(symbol, "symbol"), rest)

    def words(self) -> list[str]:
        return [word(self.symbol), self.text]


class Clients(Line, frozen=True):
    """How many API clients are connected."""

    VERBS: ClassVar = ("Client",)
    count: int


HEADERS = {
    "POS": "symb type qty avgcost initqty initprice Realized CreateTime Unrealized",
    "Order": "id token symb b/s mkt/lmt qty lvqty cxlqty price route status time origoid account"
    " trader orderSrc TIF Pref",
    "Trade": "id symb B/S qty price route time orderid Liq EcnFee PL",
    "SLOrder": "id symb shares openshares exeshares exeprice status route time lmtPrice token"
    " notes",
}
_KINDS = {kind.upper(): kind for kind in HEADERS}
_READ: dict[str, Callable[[str], Line]] = {
    verb.upper(): kind.read
    for kind in (Order, OrderAct, Trade, WatchTrade, Position, Quote, SymbolStatus, TimeSale, Depth,
                 ChartBar, Bands, ShortInfo, BuyingPower, AccountInfo, RouteStatus, InternalMessage,
                 LocatePrice, LocateOrder, LocateAvailable, LocateReuse, LocateCharge, TopList,
                 Concentration, Clients)
    for verb in kind.VERBS
}  # fmt: skip
_STATE = re.compile(
    r"#(OrderServer|QuoteServer):((?:Logon|Connect):(?:Successful|Failed)"
    r"|Missing heartbeat|Lost Connection)"
)
_ALLOWED_ADDRESS = re.compile(r"\bIP\b.*allow|allow.*\bIP\b", re.IGNORECASE)


def parse(text: str) -> Line:
    """The message of one line. Never raises: see `Unreadable`."""
    text = text.strip("\r\n")
    if text.startswith("#"):
        return _hash(text)
    verb, _, rest = text.partition(" ")
    read = _READ.get(verb.upper())
    if read is None:
        return _other(text)
    try:
        return read(rest)
    except (LineError, ValueError, msgspec.ValidationError) as problem:
        return Unreadable(text, str(problem))


def _hash(text: str) -> Line:
    """A line that begins with #: end markers before start markers, which share a prefix."""
    if state := _STATE.fullmatch(text.strip()):
        return ServerState(state[1], state[2])
    head = text[1:].partition(" ")[0].upper()
    if head.endswith("END") and head[:-3] in _KINDS:
        return BlockEnd(_KINDS[head[:-3]])
    if head in _KINDS:
        return BlockStart(_KINDS[head])
    if text.upper().startswith("#LOGIN SUCCESS"):
        return LoginAccepted()
    return LoginRefused(text) if _ALLOWED_ADDRESS.search(text) else Notice(text)


def _other(text: str) -> Line:
    upper = text.upper()
    if upper.startswith("ERROR:INVALID PASSWORD"):
        return LoginRefused(text)
    if upper.startswith(("ERROR", "INVALD", "INVALID", "NO PERMISSION")):
        return Refused(text)
    if text[:1] in "%$":
        return Unreadable(text, f"unknown message {text.partition(' ')[0]}")
    return Notice(text)


def _number_or_none(text: str) -> Decimal | None:
    """A price; None where DAS prints a word instead, as it does for market orders."""
    try:
        return number(text)
    except LineError:
        return None


def _token(text: str) -> int | None:
    """A word as a token; None for one that is no integer."""
    return int(text) if _INTEGER.fullmatch(text) else None


def _at_least(words: list[str], count: int, verb: str) -> list[str]:
    if len(words) < count:
        raise LineError(f"{verb} has {len(words)} words; expected at least {count}")
    return words
