"""Checks of orders, symbols, account and day: of 4, 6 to 8, and 10 to 14 of the risk chain.

Limits are those of `risk_limits.py`, and one that is off holds. What only makes a position smaller
is bounded by the position (check 9) and not by the sizes here.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from msgspec import Struct

from smallcaps_assets.desk.das.commands import LIMIT
from smallcaps_assets.desk.das.messages import (
    Bands,
    BuyingPower,
    LocateReuse,
    ShortInfo,
    SymbolStatus,
)
from smallcaps_assets.desk.events import SIGN, Wanted
from smallcaps_assets.desk.limits import SECOND
from smallcaps_assets.desk.risk_limits import LEGACY_EQUITY, LEGACY_TRADES, MAINTENANCE
from smallcaps_assets.desk.state import DeskState
from smallcaps_assets.domain.execution.risk import (
    is_day_lost,
    is_drawn_down,
    may_sell_short,
    refusal,
)
from smallcaps_assets.domain.execution.sizing import whole

Judge = Callable[[DeskState, Wanted], tuple[bool, str]]
FIVE, LEAST_MARGIN, HIGH_MARGIN, SHORT_SHARE = map(Decimal, ("5", "2.50", "5", "0.30"))
"""Of a short below five dollars its price, at least 2.50, is needed; of others 30 %, at least 5."""


class Check(Struct, frozen=True):
    """One check; `judge` tells whether it holds, and the value that it looked at."""

    number: int
    name: str
    judge: Judge


def _drift(desk: DeskState, wanted: Wanted) -> tuple[bool, str]:
    """How far the mid has gone, in the order's direction, from that at the decision."""
    risk, quote = desk.rules.risk, desk.quotes.get(wanted.symbol)
    if risk.drift is None or wanted.mid is None:
        return True, "any" if risk.drift is None else "no mid at the decision"
    if quote is None or not quote.has_spread:
        return False, "no quote to compare the mid with"
    moved = SIGN.get(wanted.side, 0) * ((quote.bid + quote.ask) / 2 / wanted.mid - 1)
    return moved <= risk.drift, f"{moved:.2%} since the decision"


def _symbol(desk: DeskState, wanted: Wanted) -> tuple[bool, str]:
    """In the universe, not blocked, no split or dividend today, at a price that is traded."""
    risk, symbol, price = desk.rules.risk, wanted.symbol, desk.price_of(wanted)
    if risk.allowed is not None and symbol not in risk.allowed:
        return False, f"{symbol} is not in the universe"
    if symbol in risk.blocked:
        return False, f"{symbol} is blocked by the settings"
    if symbol in risk.acting:
        return False, f"{symbol} has a split or dividend today"
    is_low = risk.least_price is not None and price < risk.least_price
    is_high = risk.most_price is not None and price > risk.most_price
    return not (is_low or is_high), f"{price} USD"


def _quote(desk: DeskState, wanted: Wanted) -> tuple[bool, str]:
    """A quote of two sides, young, not locked, and narrow enough."""
    risk, quote = desk.rules.risk, desk.quotes.get(wanted.symbol)
    if risk.oldest_quote is None:
        return True, "any"
    if quote is None or not quote.has_spread:
        return False, "no quote of two sides" if quote is None else f"{quote.bid} / {quote.ask}"
    age, spread = desk.now - quote.at, (quote.ask - quote.bid) / quote.ask
    is_narrow = risk.most_spread is None or spread <= risk.most_spread
    told = f"{quote.bid} / {quote.ask}, {age / SECOND:.1f} s old"
    return age <= risk.oldest_quote and is_narrow, told


def _bands(desk: DeskState, wanted: Wanted) -> tuple[bool, str]:
    """The nearer price band far enough from the quote; no bands are told outside of regular hours
    and of symbols that have none."""
    least = desk.rules.risk.band_distance
    bands = desk.facts.get((Bands.__name__, wanted.symbol))
    quote = desk.quotes.get(wanted.symbol)
    if least is None or not isinstance(bands, Bands):
        return True, "no bands"
    if quote is None:
        return True, "no quote"
    if not desk.rules.risk.is_regular(desk.now):
        return True, "no regular hours"
    to_high = bands.high / quote.ask - 1 if quote.ask else Decimal(0)
    to_low = 1 - bands.low / quote.bid if quote.bid else Decimal(0)
    return min(to_low, to_high) >= least, f"{min(to_low, to_high):.2%} to the nearer band"


def _collar(desk: DeskState, wanted: Wanted) -> tuple[bool, str]:
    """A market order in regular hours only; a limit not too far beyond the quote."""
    risk, quote = desk.rules.risk, desk.quotes.get(wanted.symbol)
    collar, sign = risk.collar_at(desk.now), SIGN.get(wanted.side, 0)
    if wanted.price.kind == "MKT" and not risk.is_regular(desk.now):
        return False, "market order outside of regular hours"
    if collar is None or wanted.price.kind != LIMIT:
        return True, wanted.price.kind
    side = Decimal(0) if quote is None else quote.ask if sign > 0 else quote.bid
    if not side:
        return desk.is_reducing(wanted), "no quote to compare the limit with"
    beyond = sign * (wanted.price.values[0] / side - 1)
    return beyond <= collar, f"{beyond:.2%} beyond the quote"


def _size(desk: DeskState, wanted: Wanted) -> tuple[bool, str]:
    """Shares, value, and share of the last minute's volume."""
    risk, told = desk.rules.risk, f"{wanted.qty} shares"
    if desk.is_reducing(wanted):
        return True, f"{told}, closing"
    if wanted.qty % risk.lot:
        return False, f"{told}, no multiple of {risk.lot}"
    if risk.order_shares is not None and wanted.qty > risk.order_shares:
        return False, f"{told}, at most {risk.order_shares}"
    value = wanted.qty * desk.price_of(wanted)
    if risk.order_value is not None and value > risk.order_value:
        return False, f"{value:.2f} USD, at most {risk.order_value}"
    if risk.participation is None:
        return True, f"{told}, {value:.2f} USD"
    volume = desk.volumes.get(wanted.symbol)
    most = whole(risk.participation * volume.shares) if volume else 0
    return wanted.qty <= most, f"{told}, {most} by the last minute's volume"


def _short(desk: DeskState, wanted: Wanted) -> tuple[bool, str]:
    """What opens a short: shares to borrow, and a price that the short-sale rule allows."""
    if SIGN.get(wanted.side, 0) >= 0 or desk.is_reducing(wanted):
        return True, "no short sale"
    status = desk.facts.get((SymbolStatus.__name__, wanted.symbol))
    quote = desk.quotes.get(wanted.symbol)
    is_restricted = isinstance(status, SymbolStatus) and status.is_restricted
    limit = wanted.price.values[-1] if wanted.price.values else 0
    if not may_sell_short(float(limit), float(quote.bid if quote else 0), is_restricted):
        return False, f"restricted: {limit} is not above the bid"
    return _borrowed(desk, wanted) if desk.rules.risk.needs_short_info else (True, "not asked")


def _borrowed(desk: DeskState, wanted: Wanted) -> tuple[bool, str]:
    """Whether a symbol is easy to borrow, or enough was located and not used yet."""
    info = desk.facts.get((ShortInfo.__name__, wanted.symbol))
    if not isinstance(info, ShortInfo):
        return False, "the broker has not told whether it can be shorted: GET SHORTINFO"
    if info.is_prohibited:
        return False, "short sales are prohibited"
    if info.is_shortable:
        return wanted.qty <= info.size, f"{info.size} shares to short"
    left = located_left(desk, wanted.symbol)
    return wanted.qty <= left, f"{left} located shares left"


def located_left(desk: DeskState, symbol: str) -> int:
    """Located shares less those sold short: of the whole day, unless a locate may be used again."""
    located = sum(x.located for x in desk.locates.values() if x.symbol == symbol)
    reuse = desk.facts.get((LocateReuse.__name__, symbol))
    shorts = [o for o in desk.orders.values()
              if o.command.symbol == symbol and o.command.side == "SS"]  # fmt: skip
    used = sum(o.filled for o in shorts)
    if isinstance(reuse, LocateReuse) and reuse.is_reusable:
        used = max(-desk.held.get(symbol, 0), 0)
    return located - used - sum(o.left for o in shorts)


def _account(desk: DeskState, wanted: Wanted) -> tuple[bool, str]:
    """The backtest's rules in its order: drawdown, loss of the day, time, positions, occupied."""
    risk = desk.rules.risk
    if risk.account is None:
        return True, "no rules"
    profit, held = desk.profit, desk.occupied
    peak = max(desk.peak, risk.peak, risk.equity)
    is_killed = is_drawn_down(float(risk.equity + profit), float(peak), risk.account)
    is_stopped = is_day_lost(float(profit), risk.account)
    rule = refusal(risk.account, desk.now, wanted.symbol, held, is_killed, is_stopped)
    return rule is None, rule or f"{len(held)} positions, {profit:.2f} USD"


def _per_symbol(desk: DeskState, wanted: Wanted) -> tuple[bool, str]:
    """The worst case of a symbol, its entries, its loss, and its losing trips in a row."""
    risk, symbol = desk.rules.risk, wanted.symbol
    shares = abs(desk.held.get(symbol, 0)) + wanted.qty
    shares += sum(order.left for order in desk.opening(symbol))
    losses = risk.symbol_losses
    found = {
        "USD at worst": (shares * desk.price_of(wanted), risk.symbol_value),
        "entries": (desk.entries[symbol] + 1, risk.symbol_entries),
        "USD lost": (-desk.ledger.profit(symbol, desk.quotes.get(symbol)), risk.symbol_loss),
        "losses in a row": (
            desk.ledger.losing_trips(symbol),
            None if losses is None else losses - 1,
        ),
    }
    return _within(found)


def _capital(desk: DeskState, wanted: Wanted) -> tuple[bool, str]:
    """All positions and orders, buying power, and the rule for day traders."""
    risk = desk.rules.risk
    held = sum(abs(net) * desk.value_of(symbol) for symbol, net in desk.held.items())
    opening = sum(o.left * desk.price_of(o.command) for o in desk.opening())
    gross = held + opening + wanted.qty * desk.price_of(wanted)
    found = {
        "USD gross": (gross, risk.gross_value),
        "open orders": (len(desk.open_orders()) + 1, risk.open_orders),
        "USD of buying power": _needed(desk, wanted),
    }
    equity = risk.equity + desk.profit
    if risk.pdt == "intraday_margin":
        found["USD of maintenance margin"] = (gross * MAINTENANCE, equity)
    elif risk.pdt == "legacy" and equity < LEGACY_EQUITY:
        found["day trades"] = (risk.day_trades + desk.ledger.day_trades + 1, LEGACY_TRADES)
    return _within(found)


def _needed(desk: DeskState, wanted: Wanted) -> tuple[Decimal, Decimal | None]:
    """Buying power that an order needs, with those that the broker has not reckoned with yet, and
    what it last told; None before it told any."""
    key = (BuyingPower.__name__, "")
    power, at = desk.facts.get(key), desk.told_at.get(key, 0)
    later = [o for o in desk.opening() if o.created > at]
    needed = wanted.qty * _margin(wanted.side, desk.price_of(wanted)) + sum(
        o.left * _margin(o.command.side, desk.price_of(o.command)) for o in later
    )
    return needed, power.current if isinstance(power, BuyingPower) else None


def _margin(side: str, price: Decimal) -> Decimal:
    """Buying power for a share."""
    if SIGN.get(side, 0) > 0:
        return price
    return max(LEAST_MARGIN, price) if price < FIVE else max(HIGH_MARGIN, price * SHORT_SHARE)


def _per_day(desk: DeskState, wanted: Wanted) -> tuple[bool, str]:
    """Orders, rejects, cancels, and what locates have cost."""
    risk = desk.rules.risk
    locates = sum(x.located * x.price for x in desk.locates.values())
    return _within(
        {
            "orders": (len(desk.orders) + 1, risk.day_orders),
            "rejects": (desk.rejects, risk.day_rejects),
            "cancels": (desk.cancels, risk.day_cancels),
            "USD for locates": (locates, risk.locate_cost),
        }
    )


def _within(found: dict[str, tuple[Decimal | int, Decimal | int | None]]) -> tuple[bool, str]:
    """Whether each figure is within its limit; all of them in words, or the first that is not."""
    for name, (value, most) in found.items():
        if most is not None and value > most:
            return False, f"{_plain(value)} {name}, at most {_plain(most)}"
    return True, ", ".join(f"{_plain(value)} {name}" for name, (value, _) in found.items())


def _plain(value: Decimal | int) -> str:
    return f"{value:.2f}" if isinstance(value, Decimal) else str(value)


RISK_CHECKS = (
    Check(4, "drift", _drift),
    Check(6, "symbol", _symbol),
    Check(7, "quote", _quote),
    Check(8, "bands", _bands),
    Check(10, "collar", _collar),
    Check(10, "size", _size),
    Check(11, "short", _short),
    Check(12, "rules", _account),
    Check(12, "per_symbol", _per_symbol),
    Check(13, "capital", _capital),
    Check(14, "per_day", _per_day),
)
