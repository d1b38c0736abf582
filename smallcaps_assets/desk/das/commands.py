"""What the desk sends to DAS: every command that it uses, written strictly.

A field with a blank in it, a price off its tick or a number beyond 32 bits raises before anything
is sent. `parse_command` is the simulator's side and as tolerant as DAS.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import ClassVar, Self

import msgspec

from smallcaps_assets.desk.das.messages import SIDES
from smallcaps_assets.desk.das.words import Line, LineError, check_tick, number, plain, whole, word

_PRICES = {"MKT": (0, 0), "STOPMKT": (1, 1), "STOPLMT": (2, 2), "STOPLMTP": (2, 2),
           "STOPTRAILING": (1, 1), "STOPRANGE": (2, 2), "STOPRANGEMKT": (2, 2)} | {
    f"PEG {to}": (0, 1) for to in ("MID", "AGG", "PRIM", "LAST")
}  # fmt: skip
_SYNONYMS = {"RANGE": "STOPRANGE", "RANGEMKT": "STOPRANGEMKT"}
LIMIT = "LMT"
TIFS = ("DAY", "DAY+", "IOC", "FOK", "GTC", "AtOpen", "AtClose")
TOKENS = range(-(2**31), 2**31)


class Price(msgspec.Struct, frozen=True):
    """The price part of an order: LMT with its limit, MKT, a peg, or a stop with its prices."""

    kind: str
    values: tuple[Decimal, ...] = ()

    @classmethod
    def limit(cls, price: Decimal) -> Price:
        return cls(LIMIT, (price,))

    def words(self) -> list[str]:
        """As they are sent. Raises LineError for an unknown kind or a price off its tick."""
        least, most = (1, 1) if self.kind == LIMIT else _PRICES.get(self.kind, (-1, -1))
        if not least <= len(self.values) <= most:
            raise LineError(f"price {self.kind} with {len(self.values)} numbers; choose LMT,"
                            f" {', '.join(_PRICES)}")  # fmt: skip
        if self.kind != "STOPTRAILING":
            for value in self.values:
                check_tick(value)
        return [*([] if self.kind == LIMIT else self.kind.split()), *map(plain, self.values)]

    @classmethod
    def take(cls, words: list[str]) -> Price:
        """From the front of some words, which it removes."""
        kind = words.pop(0).upper()
        if kind[0].isdigit() or kind[0] == ".":
            return cls(LIMIT, (number(kind),))
        if kind == "PEG":
            kind = f"PEG {words.pop(0).upper()}"
        kind = _SYNONYMS.get(kind, kind)
        if kind not in _PRICES:
            raise LineError(f"unknown price {kind}")
        values = []
        while len(values) < _PRICES[kind][1] and words and words[0][:1] in "0123456789.":
            values.append(number(words.pop(0)))
        return cls(kind, tuple(values))


class Login(Line, frozen=True):
    """The fourth word: 0 to trade, 1 to watch. The line is a secret: see `shown`."""

    VERBS: ClassVar = ("LOGIN",)
    trader: str
    password: str
    account: str
    is_watch: int | None = None


class NewOrder(Line, frozen=True):
    """A new order; `options` as DAS writes them (PostOnly, Display=100, Pref=xxx)."""

    VERBS: ClassVar = ("NEWORDER",)
    token: int
    side: str
    symbol: str
    route: str
    qty: int
    price: Price
    options: tuple[str, ...] = ()
    tif: str = "DAY+"

    def words(self) -> list[str]:
        if self.token not in TOKENS:
            raise LineError(f"token {self.token} does not fit into 32 bits")
        if self.side not in SIDES:
            raise LineError(f"side {self.side!r}; choose from {', '.join(SIDES)}")
        if self.qty <= 0:
            raise LineError(f"qty {self.qty} must be positive")
        if self.tif not in TIFS:
            raise LineError(f"tif {self.tif!r}; choose from {', '.join(TIFS)}")
        after = [option for option in self.options if option.startswith("Pref=")]
        before = [option for option in self.options if option not in after]
        named = {"symbol": self.symbol, "route": self.route}
        head = [word(self.token), self.side, *(word(v, k) for k, v in named.items()), str(self.qty)]
        options = [word(option, "option") for option in before]
        return [*head, *self.price.words(), *options, f"TIF={self.tif}", *map(word, after)]

    @classmethod
    def read(cls, text: str) -> Self:
        words = text.split()
        if len(words) < 6:
            raise LineError(f"NEWORDER has {len(words)} words; expected at least 6")
        token, side, symbol, route, qty = words[:5]
        rest = words[5:]
        price = Price.take(rest)
        tif = next((w[4:] for w in rest if w.upper().startswith("TIF=")), "DAY+")
        options = tuple(w for w in rest if not w.upper().startswith("TIF="))
        return cls(whole(token, "token"), side.upper(), symbol, route, whole(qty, "qty"), price,
                   options, tif)  # fmt: skip


class Cancel(Line, frozen=True):
    """Cancels one order by DAS's id."""

    VERBS: ClassVar = ("CANCEL",)
    order_id: int


class CancelAll(Line, frozen=True):
    """Cancels every order of the account, also those that are not the desk's."""

    VERBS: ClassVar = ("CANCEL ALL",)


class CancelSymbol(Line, frozen=True):
    """Cancels every order in a symbol."""

    VERBS: ClassVar = ("CANCEL ALLSYMB",)
    symbol: str


class Replace(Line, frozen=True):
    """Changes an order's shares and price; what `qty` means differs, see `dialect.py`."""

    VERBS: ClassVar = ("REPLACE",)
    order_id: int
    qty: int
    price: Price

    def words(self) -> list[str]:
        if self.price.kind not in (LIMIT, "MKT", "STOPLMT"):
            raise LineError(f"REPLACE takes a limit, MKT or STOPLMT, not {self.price.kind}")
        return [word(self.order_id), word(self.qty), *self.price.words()]

    @classmethod
    def read(cls, text: str) -> Self:
        words = text.split()
        if len(words) < 3:
            raise LineError(f"REPLACE has {len(words)} words; expected at least 3")
        rest = words[2:]
        return cls(whole(words[0], "order_id"), whole(words[1], "qty"), Price.take(rest))


class Get(Line, frozen=True):
    """A question: BP, AccountInfo, POSITIONS, ORDERS, TRADES, LOCATES, RouteStatus, INTMSGS,
    SHORTINFO, LDLU or SymStatus, some with a symbol."""

    VERBS: ClassVar = ("GET",)
    what: str
    symbol: str | None = None


class Subscribe(Line, frozen=True):
    """Market data of a symbol: Lv1, tms or Lv2, or a chart with its range."""

    VERBS: ClassVar = ("SB",)
    symbol: str
    kind: str | None = None
    start: str | None = None
    end: str | None = None


class Unsubscribe(Line, frozen=True):
    """The end of such a subscription."""

    VERBS: ClassVar = ("UNSB",)
    symbol: str
    kind: str | None = None


class FullQuotes(Line, frozen=True):
    """Whether each quote has all fields (YES) or what changed (NO)."""

    VERBS: ClassVar = ("ReturnFullLv1",)
    mode: str


class Echo(Line, frozen=True):
    """Answered at once: the heartbeat. With OFF, DAS stops echoing commands."""

    VERBS: ClassVar = ("ECHO",)
    mode: str | None = None


class CountClients(Line, frozen=True):
    VERBS: ClassVar = ("CLIENT",)


class Quit(Line, frozen=True):
    VERBS: ClassVar = ("QUIT",)


class Refresh(Line, frozen=True):
    """Has the positions sent anew."""

    VERBS: ClassVar = ("POSREFRESH",)


class LocateInquire(Line, frozen=True):
    """Asks prices. `ALLROUTE` may already create offers: ALLROUTEWTTYPE1 only asks."""

    VERBS: ClassVar = ("SLPRICEINQUIRE",)
    symbol: str
    shares: int
    route: str = "ALLROUTEWTTYPE1"


class LocateNew(Line, frozen=True):
    VERBS: ClassVar = ("SLNEWORDER",)
    symbol: str
    shares: int
    route: str
    token: int
    price: Decimal | None = None


class LocateDecide(Line, frozen=True):
    """Accepts or rejects an offer: `decision` is Accept or Reject."""

    VERBS: ClassVar = ("SLOFFEROPERATION",)
    locate_id: int
    decision: str


class LocateCancel(Line, frozen=True):
    VERBS: ClassVar = ("SLCANCELORDER",)
    locate_id: int


class AskAvailable(Line, frozen=True):
    VERBS: ClassVar = ("SLAvailQuery",)
    account: str
    symbol: str


class AskReuse(Line, frozen=True):
    VERBS: ClassVar = ("SLReuseQuery",)
    symbol: str


class AskCharge(Line, frozen=True):
    VERBS: ClassVar = ("SLRouteMinCharge",)
    route: str


_KINDS: tuple[type[Line], ...] = (
    CancelSymbol, CancelAll, Cancel, Login, NewOrder, Replace, Get, Subscribe, Unsubscribe,
    FullQuotes, Echo, CountClients, Quit, Refresh, LocateInquire, LocateNew, LocateDecide,
    LocateCancel, AskAvailable, AskReuse, AskCharge,
)  # fmt: skip
_READ: dict[str, Callable[[str], Line]] = {k.VERBS[0].upper(): k.read for k in _KINDS}
_MUTATING = (NewOrder, Cancel, CancelAll, CancelSymbol, Replace, LocateNew, LocateDecide,
             LocateCancel)  # fmt: skip


def is_mutating(command: Line) -> bool:
    """Whether a command changes something at the broker; a read-only session refuses those."""
    asks_all = isinstance(command, LocateInquire) and command.route.upper() == "ALLROUTE"
    return asks_all or isinstance(command, _MUTATING)


def shown(command: Line) -> str:
    """The command's line for logs, without a password."""
    if isinstance(command, Login):
        command = msgspec.structs.replace(command, password="***")
    return command.line()


def parse_command(text: str) -> Line:
    """The command of a line. Raises LineError naming what is wrong with it."""
    words = text.strip().split(" ")
    for count in (2, 1):
        read = _READ.get(" ".join(words[:count]).upper())
        if read is not None:
            return read(" ".join(words[count:]))
    raise LineError("INVALD COMMAND!")
