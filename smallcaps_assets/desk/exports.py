"""The day's fills in the layouts that trading journals import: Tradervue and TraderSync."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from decimal import Decimal

from msgspec import Struct

from smallcaps_assets.desk.das.words import plain
from smallcaps_assets.desk.drop_copy import second_of
from smallcaps_assets.desk.events import Fill

_SIDES = {"B": "Buy", "BC": "Buy", "BO": "Buy", "SS": "Short"}
TRADERVUE = ("Date", "Time", "Symbol", "Quantity", "Price", "Side", "Commission", "TransFee",
             "ECNFee")  # fmt: skip
TRADERSYNC = ("Date", "Time", "Symbol", "Quantity", "Price", "Buy/Sell", "Commission", "Type",
              "Expiration Date", "Strike Price", "Call or Put")  # fmt: skip


class Costs(Struct, frozen=True):
    """Costs of one fill in USD, positive when charged."""

    commission: Decimal = Decimal(0)
    regulatory: Decimal = Decimal(0)


CostsOf = Callable[[Fill], Costs]


def tradervue(fills: Iterable[Fill], day: date, costs: CostsOf = lambda fill: Costs()) -> str:
    """Tradervue's generic CSV. The ECN fee is the broker's, negative for a rebate."""

    def row(fill: Fill) -> tuple[str, ...]:
        cost, ecn = costs(fill), fill.fee or Decimal(0)
        side = _SIDES.get(fill.side, "Sell")
        return (*_head(fill, day), side, *map(plain, (cost.commission, cost.regulatory, ecn)))

    return _table(TRADERVUE, map(row, sorted(fills, key=_order)))


def tradersync(fills: Iterable[Fill], day: date, costs: CostsOf = lambda fill: Costs()) -> str:
    """TraderSync's generic CSV: one column for all costs; a short is sold first."""

    def row(fill: Fill) -> tuple[str, ...]:
        cost = costs(fill)
        total = cost.commission + cost.regulatory + (fill.fee or Decimal(0))
        side = "Buy" if fill.signed > 0 else "Sell"
        return (*_head(fill, day), side, plain(total), "SHARE", "", "", "")

    return _table(TRADERSYNC, map(row, sorted(fills, key=_order)))


FORMATS: Mapping[str, Callable[..., str]] = {"tradervue": tradervue, "tradersync": tradersync}


def _head(fill: Fill, day: date) -> tuple[str, ...]:
    clock = second_of(fill.time)
    time = f"{clock // 3600:02}:{clock // 60 % 60:02}:{clock % 60:02}"
    return f"{day:%m/%d/%Y}", time, fill.symbol, str(fill.qty), plain(fill.price)


def _order(fill: Fill) -> tuple[int, int]:
    return second_of(fill.time), fill.trade_id


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([head, *rows])
    return out.getvalue()
