"""Numbers, sizes and instants as people read them.

Formatting only; what is shown where is decided by the page, the plots and the terminal tables.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime

from smallcaps_assets.domain.market.calendar import NEW_YORK

MISSING = "–"
_BYTE_UNITS = ("B", "kB", "MB", "GB", "TB")
_COUNT_UNITS = ("", "k", "M", "G", "T")
_DOLLAR_UNITS = ("", "k", "M", "B", "T")


def count(value: float | None) -> str:
    """A whole number with thousands separators: 1,234,567."""
    return MISSING if _is_missing(value) else f"{value:,.0f}"


def decimal(value: float | None) -> str:
    """A number with two decimals, at most: 1,234.5, 0.07, 3."""
    if value is None or _is_missing(value):
        return MISSING
    return f"{value:,.2f}".rstrip("0").rstrip(".")


def compact(value: float | None) -> str:
    """Three significant figures with a unit: 950, 12.3 k, 4.56 M."""
    return MISSING if value is None or _is_missing(value) else _scaled(value, _COUNT_UNITS)


def size(value: float | None) -> str:
    """Bytes in decimal units: 950 B, 12.3 kB, 4.56 MB."""
    return MISSING if value is None or _is_missing(value) else _scaled(value, _BYTE_UNITS)


def duration(seconds: float | None) -> str:
    """0.42 s, 12.3 s, 4 min 05 s, 2 h 07 min."""
    if seconds is None or _is_missing(seconds):
        return MISSING
    if seconds < 99.5:
        return f"{seconds:.2f} s" if seconds < 9.995 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def dollars(value: float | None) -> str:
    """US dollars with three significant figures: $4.56 M."""
    if value is None or _is_missing(value):
        return MISSING
    return f"${_scaled(value, _DOLLAR_UNITS)}"


def price(value: float | None) -> str:
    """A price per share; four decimals below a dollar."""
    if value is None or _is_missing(value):
        return MISSING
    return f"${value:,.4f}" if value < 1 else f"${value:,.2f}"


def percent(value: float | None, decimals: int = 1, signed: bool = False) -> str:
    """A fraction as per cent."""
    if value is None or _is_missing(value):
        return MISSING
    return f"{100 * value:{'+' if signed else ''},.{decimals}f} %"


def multiple(value: float | None) -> str:
    """A ratio to a mean: 14.2 times the mean."""
    return MISSING if _is_missing(value) else f"{value:,.1f} times the mean"


def nanoseconds(moment: datetime | int) -> int:
    """UTC nanoseconds of an instant given as such or as an aware datetime."""
    if not isinstance(moment, datetime):
        return int(moment)
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return ((delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds) * 1_000


def new_york_clock(moment: datetime | int | None, seconds: bool = False) -> str:
    """The New York wall-clock time of an instant: 09:31."""
    if moment is None:
        return MISSING
    local = datetime.fromtimestamp(nanoseconds(moment) // 1_000_000_000, NEW_YORK)
    return local.strftime("%H:%M:%S" if seconds else "%H:%M")


def _is_missing(value: float | None) -> bool:
    return value is None or not math.isfinite(value)


def _scaled(value: float, units: tuple[str, ...]) -> str:
    power, scaled = 0, float(value)
    while abs(scaled) >= 999.5 and power < len(units) - 1:
        power, scaled = power + 1, scaled / 1000
    if power == 0:
        return f"{scaled:,.0f} {units[0]}".strip()
    decimals = max(0, 3 - len(f"{abs(scaled):.0f}"))
    return f"{scaled:.{decimals}f} {units[power]}"


def market_text(market: str) -> str:
    """That a made-up market proves nothing; empty for a real one."""
    is_made_up = market in ("simulated", "placebo")
    return f"The {market} market is no place for research." if is_made_up else ""
