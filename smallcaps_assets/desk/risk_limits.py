"""What orders, symbols, the account and the day may come to, for the risk chain.

Each limit is off as long as it is None, empty or False; `of_settings` has those of the settings.
The rules of the account (`account`) are the backtest's own.
"""

from __future__ import annotations

from collections.abc import Collection
from decimal import Decimal
from typing import TYPE_CHECKING

from msgspec import Struct

from smallcaps_assets.desk.events import Level
from smallcaps_assets.domain.execution.risk import LAST_ENTRY, LAST_EXIT, Limits
from smallcaps_assets.domain.market.calendar import SessionHours

if TYPE_CHECKING:
    from smallcaps_assets.settings import Settings

SECOND, MILLISECOND = 1_000_000_000, 1_000_000
LEGACY_EQUITY, LEGACY_TRADES = Decimal(25_000), 3
"""The old rule for day traders: below this equity three day trades in five sessions."""
MAINTENANCE = Decimal("0.25")
"""The new one: equity through the day as a share of what is held (FINRA, from June 2026)."""
PDT = ("legacy", "intraday_margin", "none")


class RiskLimits(Struct, frozen=True):
    """Limits of the checks 3, 4, 6 to 8 and 10 to 14; USD, shares, and instants in UTC ns.

    `hours` are of the session; `acting` are symbols with a split or dividend today; `equity` the
    account's at the session's start and `peak` its highest; `day_trades` those of the four
    sessions before; `on_loss` how far the kill switch is thrown when a loss ends the day.
    """

    hours: SessionHours | None = None
    allowed: Collection[str] | None = None
    blocked: Collection[str] = ()
    acting: Collection[str] = ()
    least_price: Decimal | None = None
    most_price: Decimal | None = None
    drift: Decimal | None = None
    oldest_quote: int | None = None
    most_spread: Decimal | None = None
    band_distance: Decimal | None = None
    lot: int = 1
    collar: Decimal | None = None
    extended_collar: Decimal | None = None
    order_shares: int | None = None
    order_value: Decimal | None = None
    participation: float | None = None
    needs_short_info: bool = False
    symbol_value: Decimal | None = None
    symbol_entries: int | None = None
    symbol_loss: Decimal | None = None
    symbol_losses: int | None = None
    account: Limits | None = None
    equity: Decimal = Decimal(0)
    peak: Decimal = Decimal(0)
    gross_value: Decimal | None = None
    open_orders: int | None = None
    pdt: str = "none"
    day_trades: int = 0
    day_orders: int | None = None
    day_rejects: int | None = None
    day_cancels: int | None = None
    locate_cost: Decimal | None = None
    on_loss: Level = Level.FLATTEN

    @property
    def last_exit(self) -> int | None:
        """From it on what the desk holds is closed."""
        return None if self.hours is None else self.hours.close - LAST_EXIT

    def is_regular(self, t: int) -> bool:
        """Whether an instant is in regular hours; without hours each is."""
        return self.hours is None or self.hours.open <= t < self.hours.close

    def collar_at(self, t: int) -> Decimal | None:
        """How far beyond the quote a limit may be, as a share of it."""
        return self.collar if self.is_regular(t) else self.extended_collar or self.collar


def of_settings(
    settings: Settings,
    hours: SessionHours,
    allowed: Collection[str] | None = None,
    acting: Collection[str] = (),
    equity: float | None = None,
    peak: float | None = None,
    day_trades: int = 0,
) -> RiskLimits:
    """The limits of a live session: of the section `desk`, and the backtest's rules of the account.

    `allowed` is the session's universe; `equity` in USD is `backtest.equity` where it is not told,
    `peak` at least that.
    """
    desk, rules = settings.desk, settings.backtest
    money = settings.backtest.equity if equity is None else equity
    account = Limits(
        rules.max_positions, rules.max_day_loss * max(money, 0.0), rules.latency_ms * MILLISECOND,
        rules.max_drawdown, hours.close - LAST_ENTRY,
    )  # fmt: skip
    return RiskLimits(
        hours, allowed, desk.blocked, acting, _usd(desk.min_price), _usd(desk.max_price),
        _usd(desk.max_drift), int(desk.oldest_quote_seconds * SECOND), _usd(desk.max_spread),
        _usd(desk.min_band_distance), desk.lot, _usd(desk.collar), _usd(desk.extended_collar),
        desk.max_order_shares, _usd(desk.max_order_value), rules.participation,
        desk.needs_short_info, _usd(desk.max_symbol_value), desk.max_symbol_entries,
        _usd(desk.max_symbol_loss), desk.max_symbol_losses, account, _usd(money),
        _usd(max(money, peak or 0.0)), _usd(desk.max_gross_value), desk.max_open_orders, desk.pdt,
        day_trades, desk.max_day_orders, desk.max_day_rejects, desk.max_day_cancels,
        _usd(desk.max_locate_cost), Level[desk.on_day_loss.upper()],
    )  # fmt: skip


def _usd(value: float) -> Decimal:
    return Decimal(str(value))
