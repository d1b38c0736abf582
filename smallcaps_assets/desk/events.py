"""What the desk hears and does, whichever broker and feed it has.

An event comes with the instant at which it was received; `core.py` answers it with actions, which
`runtime.py` carries out in their order. Orders are sent as the commands of `das/commands.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from enum import IntEnum
from typing import Any

from msgspec import Struct

from smallcaps_assets.desk.das.commands import Price
from smallcaps_assets.desk.das.words import Line

SIGN = {"B": 1, "BC": 1, "BO": 1, "S": -1, "SS": -1, "SC": -1, "SO": -1}
OPENING = {1: "B", -1: "SS"}
"""The side of an order that opens a long or a short."""


class Level(IntEnum):
    """How far the kill switch is thrown: no entries, cancel all, close all, send nothing."""

    NONE = 0
    SOFT = 1
    CANCEL = 2
    FLATTEN = 3
    HARD = 4


class Event(Struct, frozen=True, tag=True):
    """Anything the desk hears."""


class Wanted(Event, frozen=True):
    """An order that the strategy wants; `signal` is its id, `known_at` UTC ns of its decision,
    `mid` the middle of the quote then, `pattern` that of the event it is about, for the records."""

    signal: str
    symbol: str
    side: str
    qty: int
    price: Price
    known_at: int
    route: str = "SMAT"
    tif: str = "DAY+"
    options: tuple[str, ...] = ()
    purpose: str = "entry"
    pattern: str = ""
    mid: Decimal | None = None


class CancelWanted(Event, frozen=True):
    """The strategy wants an order of its signal cancelled."""

    signal: str


class Sent(Event, frozen=True):
    """An order's line was handed to the broker; with an `error` it is unsure whether it was."""

    token: int
    error: str = ""


class NotSent(Event, frozen=True):
    """An order's line was certainly not handed to the broker."""

    token: int
    error: str


class OrderState(Event, frozen=True):
    """The broker's record of an order. `status` is one of DAS's nine, others count as live."""

    order_id: int
    token: int | None
    symbol: str
    side: str
    qty: int
    left: int
    canceled: int | None
    status: str
    is_from_api: bool = True


class OrderAction(Event, frozen=True):
    """Something that happened to an order, with the broker's words."""

    order_id: int
    token: int | None
    symbol: str
    action: str
    text: str = ""


class Fill(Event, frozen=True):
    """One execution; `time` is the broker's clock as printed, `fee` positive when charged."""

    trade_id: int
    order_id: int
    symbol: str
    side: str
    qty: int
    price: Decimal
    time: str = ""
    route: str = ""
    liquidity: str = ""
    fee: Decimal | None = None

    @property
    def signed(self) -> int:
        return SIGN[self.side] * self.qty


class Holding(Event, frozen=True):
    """The broker's position: shares, negative when short; `initial` of them from days before."""

    symbol: str
    net: int
    average: Decimal = Decimal(0)
    initial: int = 0


class Snapshot(Event, frozen=True):
    """Lists of the broker, None for one not told. A complete one replaces what was held."""

    orders: tuple[OrderState, ...] | None = None
    fills: tuple[Fill, ...] | None = None
    holdings: tuple[Holding, ...] | None = None
    is_complete: bool = True


class Link(Event, frozen=True):
    """The connection: `ready` once logged in, lists complete and the order server up.

    `is_refused` when the login was: it is not tried again.
    """

    is_ready: bool
    text: str = ""
    is_refused: bool = False


class Quoted(Event, frozen=True):
    """The best bid and ask of a symbol, zero for a side without an offer; `at` UTC ns."""

    symbol: str
    bid: Decimal
    ask: Decimal
    at: int

    @property
    def has_spread(self) -> bool:
        """Whether it has two sides, neither locked nor crossed."""
        return 0 < self.bid < self.ask


class Volume(Event, frozen=True):
    """Shares of a symbol that were traded in the minute up to now."""

    symbol: str
    shares: float


class Lag(Event, frozen=True):
    """What is handled now has waited for so many ns; 0: hardly."""

    ns: int


class Beat(Event, frozen=True):
    """Time passes."""


class Killed(Event, frozen=True):
    """The kill switch on disk stands at this level."""

    level: Level
    reason: str = ""


class JournalState(Event, frozen=True):
    """Whether the journal can be written; while it can't, nothing is sent."""

    is_writable: bool
    text: str = ""


class Accepted(Event, frozen=True):
    """A person has looked at a symbol's mismatch and lets it be traded again."""

    symbol: str


class Told(Event, frozen=True):
    """A fact from the broker for the risk checks: bands, halts, locates, buying power."""

    message: Line


class Shown(Event, frozen=True):
    """Something of the broker that is only shown: an unreadable line, a message, a refusal."""

    text: str


class Record(Struct, frozen=True):
    """Write to the journal."""

    kind: str
    data: Mapping[str, Any]


class Send(Struct, frozen=True):
    """Hand a command to the broker, the journal being flushed first."""

    command: Line
    token: int | None = None


class Sweep(Struct, frozen=True):
    """Ask the broker for its positions, orders and trades."""


class Raise(Struct, frozen=True):
    """Throw the kill switch, on disk."""

    level: Level
    reason: str


Action = Record | Send | Sweep | Raise
