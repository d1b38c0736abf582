"""What an execution costs beside its price: dated fees, venues, the broker, shares to sell short.

The rates are data, `fees.csv`, each with the day from which it holds and where it stands. SEC and
FINRA fees fall on sales alone; nothing is rounded to cents.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from importlib.resources import files

import polars as pl

from smallcaps_assets.settings import ECN_PROFILES

MILLION = 1e6
DAYS_A_YEAR = 360
"""Of the money market, by which brokers reckon what borrowed shares cost."""
_UNITS = ("per_million", "per_share", "of_value")


class FeeError(ValueError):
    """A fee that is asked for a day, or by a name, that the table of fees does not have."""


@dataclass(frozen=True)
class Rate:
    """A rate in force: USD per share, or a share of the value; `cap` in USD per trade."""

    from_price: float
    to_price: float
    per_share: float
    of_value: float
    cap: float

    def of(self, shares: float, price: float) -> float:
        """The fee in USD of so many shares at a price."""
        return min(shares * self.per_share + shares * price * self.of_value, self.cap)


@dataclass(frozen=True)
class Fees:
    """Fees of one execution in USD; a rebate is negative."""

    sec: float
    taf: float
    ecn: float
    commission: float

    @property
    def total(self) -> float:
        """All of them."""
        return self.sec + self.taf + self.ecn + self.commission


def fees(
    day: date,
    side: int,
    shares: float,
    price: float,
    profile: str = "retail",
    is_adding: bool = False,
    commission: float = 0.0,
) -> Fees:
    """The fees of buying (side 1) or selling (-1) so many shares at a price on a day.

    `profile` is a schedule of venues in `fees.csv`; `is_adding` when the order rested and added
    liquidity; `commission` in USD per share. Raises FeeError for a day before the first rate, also
    of a purchase, an unknown profile, or a price or size that can't be.
    """
    if not price > 0 or not shares >= 0:
        raise FeeError(f"no fee for {shares} shares at {price} USD; a price must be above 0")
    if profile not in ECN_PROFILES:
        raise FeeError(f"unknown profile of venues {profile!r}; choose from {ECN_PROFILES}")
    sec, taf = (rate(day, kind, price) for kind in ("sec", "taf"))
    venue = rate(day, "add" if is_adding else "remove", price, profile)
    is_sale = side < 0
    return Fees(
        sec.of(shares, price) if is_sale else 0.0,
        taf.of(shares, price) if is_sale else 0.0,
        venue.of(shares, price),
        commission * shares,
    )


def rate(day: date, kind: str, price: float, profile: str = "") -> Rate:
    """The rate of a kind in force on a day at a price. Raises FeeError where there is none."""
    days, rates = _schedule()[kind, profile]
    place = bisect_right(days, day)
    if not place:
        raise FeeError(
            f"no rate of kind {kind!r} on {day}: fees.csv begins on {days[0]}; take later sessions,"
            " or add a row with its source"
        )
    found = [r for r in rates[days[place - 1]] if r.from_price <= price < r.to_price]
    return found[0]


def borrow_fee(shares: float, price: float, nights: int, yearly: float) -> float:
    """What it costs in USD to be short over some nights, at a rate a year of the value."""
    return shares * price * yearly / DAYS_A_YEAR * nights


Schedule = Mapping[tuple[str, str], tuple[list[date], dict[date, list[Rate]]]]


@lru_cache(maxsize=1)
def _schedule() -> Schedule:
    """The rates of each kind and profile by the day from which they hold."""
    text = files("smallcaps_assets.domain.execution").joinpath("fees.csv").read_bytes()
    rows = pl.read_csv(text, try_parse_dates=True).sort("from", maintain_order=True)
    found: dict[tuple[str, str], dict[date, list[Rate]]] = {}
    for row in rows.iter_rows(named=True):
        assert row["unit"] in _UNITS, row
        scale = MILLION if row["unit"] == "per_million" else 1.0
        is_per_share = row["unit"] == "per_share"
        made = Rate(
            row["from_price"],
            float("inf") if row["to_price"] is None else row["to_price"],
            row["rate"] if is_per_share else 0.0,
            0.0 if is_per_share else row["rate"] / scale,
            float("inf") if row["cap"] is None else row["cap"],
        )
        by_day = found.setdefault((row["kind"], row["profile"] or ""), {})
        by_day.setdefault(row["from"], []).append(made)
    return {place: (sorted(by_day), by_day) for place, by_day in found.items()}
