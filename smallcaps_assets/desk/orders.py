"""An order's life: what may follow what, and how many of its shares are filled.

States only move forward, so that late and repeated messages change nothing; a fill, known by its
trade id, always counts, also after a cancel. Pure: events in, a new order out.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from enum import IntEnum
from typing import Any

import msgspec
from msgspec import Struct

from smallcaps_assets.desk.das.commands import NewOrder
from smallcaps_assets.desk.events import SIGN, Fill, OrderAction, OrderState


class Stage(IntEnum):
    """Forward only. LOST is an order that the broker's complete list lacks: it counts as closed
    until the broker names it after all. From FILLED on nothing rests."""

    INTENT = 1
    SENT = 2
    LOST = 3
    PENDING = 4
    WORKING = 5
    PARTIAL = 6
    FILLED = 7
    CANCELED = 8
    REJECTED = 9


STATUS = {"Hold": Stage.PENDING, "Sending": Stage.PENDING, "Accepted": Stage.WORKING,
           "Triggered": Stage.WORKING, "Partial": Stage.PARTIAL, "Executed": Stage.FILLED,
           "Canceled": Stage.CANCELED, "Closed": Stage.CANCELED,
           "Rejected": Stage.REJECTED}  # fmt: skip
"""By DAS's word; another word is a live order."""
_ACTION = {"Sending": Stage.PENDING, "Accept": Stage.WORKING, "Execute": Stage.PARTIAL,
           "Canceled": Stage.CANCELED}  # fmt: skip
_REQUESTS = {"Canceling": "cancel", "Replacing": "replace"}
_ANSWERED = ("Canceled", "CancelRej", "Replaced", "ReplaceRej")
UNSURE_ACTIONS = ("Send_Rej", "TimeOut")
"""A retry after these is how a timeout becomes a double position: settled from the record."""
TO_READ = (*UNSURE_ACTIONS, "CancelRej", "ReplaceRej")
"""After these the order's record is asked for."""


class Order(Struct, frozen=True):
    """One order of the desk. `request` is a cancel or replace that is not answered yet."""

    token: int
    command: NewOrder
    signal: str
    purpose: str
    created: int
    stage: Stage = Stage.INTENT
    order_id: int | None = None
    qty: int = 0
    canceled: int = 0
    is_unsure: bool = False
    request: str = ""
    reason: str = ""
    sent: int = 0
    absences: int = 0
    fills: Mapping[int, Fill] = msgspec.field(default_factory=dict)

    @property
    def filled(self) -> int:
        return sum(fill.qty for fill in self.fills.values())

    @property
    def left(self) -> int:
        """Shares that may still be filled; none of an order that rests nowhere."""
        return 0 if self.is_done else max(self.qty - self.filled - self.canceled, 0)

    @property
    def signed_left(self) -> int:
        return SIGN[self.command.side] * self.left

    @property
    def is_done(self) -> bool:
        return self.stage >= Stage.FILLED or self.stage == Stage.LOST

    @property
    def is_settled(self) -> bool:
        """Done, and each share known to be filled or cancelled."""
        rests = self.qty - self.filled - self.canceled
        return self.is_done and (self.stage in (Stage.REJECTED, Stage.LOST) or rests == 0)

    @property
    def average(self) -> Decimal | None:
        """Average price of the fills; None without one."""
        fills = self.fills.values()
        return sum(f.qty * f.price for f in fills) / Decimal(self.filled) if fills else None

    @property
    def state(self) -> str:
        """The state in one word, for people."""
        if self.is_done:
            return self.stage.name
        if self.is_unsure:
            return "UNKNOWN"
        return f"{self.request.upper()}_PENDING" if self.request else self.stage.name

    def with_sent(self, t: int, error: str) -> Order:
        """Handed to the broker at `t`; after an error nobody knows whether it arrived."""
        order = self._to(Stage.SENT, sent=t)
        return order.doubted(error) if error else order

    def doubted(self, reason: str) -> Order:
        """Nobody knows what it is until the broker's record says so; a done order stays."""
        return self if self.is_done else self._with(is_unsure=True, reason=reason)

    def lost(self, reason: str) -> Order:
        """The broker's complete list lacks it."""
        return self if self.is_done else self._with(
            stage=Stage.LOST, is_unsure=False, request="", reason=reason
        )  # fmt: skip

    def with_state(self, state: OrderState) -> Order:
        """After the broker's record, which settles every doubt."""
        stage = STATUS.get(state.status, Stage.PENDING)
        known: dict[str, Any] = {"order_id": state.order_id, "is_unsure": False, "absences": 0}
        if stage >= Stage.FILLED:
            known["request"] = ""
            rest = state.left if stage == Stage.CANCELED else 0
            known["canceled"] = (state.canceled or 0) + rest
        elif self.stage < Stage.FILLED:
            known["qty"] = state.qty
            known["canceled"] = state.canceled or 0
        return self._to(stage, **known)

    def with_action(self, act: OrderAction) -> Order:
        """After an action; those that leave it open what happened make the order unsure."""
        known: dict[str, Any] = {"order_id": act.order_id or self.order_id}
        if act.action in UNSURE_ACTIONS:
            return self.doubted(f"{act.action} {act.text}".strip())
        if self.stage < Stage.FILLED:
            request = "" if act.action in _ANSWERED else self.request
            known["request"] = _REQUESTS.get(act.action, request)
        if act.action == "Canceled" and self.stage < Stage.FILLED:
            known["canceled"] = max(self.qty - self.filled, 0)
        return self._to(_ACTION.get(act.action, self.stage), **known)

    def with_fill(self, fill: Fill) -> Order:
        """After a fill; the same trade again changes nothing."""
        if fill.trade_id in self.fills:
            return self
        order = self._with(fills={**self.fills, fill.trade_id: fill}, order_id=fill.order_id)
        if order.stage >= Stage.FILLED:  # a late one takes its shares from the cancelled
            return order._with(canceled=max(min(order.canceled, order.qty - order.filled), 0))
        is_full = order.filled >= order.qty - order.canceled
        return order._to(Stage.FILLED if is_full else Stage.PARTIAL, is_unsure=False)

    def _to(self, stage: Stage, **known: Any) -> Order:
        """Moved forward, never back; whatever is done stays as it ended."""
        if self.stage < Stage.FILLED and stage > self.stage:
            known["stage"] = stage
        return self._with(**known)

    def _with(self, **known: Any) -> Order:
        return msgspec.structs.replace(self, **known)
