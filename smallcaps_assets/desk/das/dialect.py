"""What nobody outside DAS knows for sure about its protocol, as switches of the simulator.

The desk has to work with every setting; which one holds is found out on the first day, see
`probe.py`. Defaults are what most sources say.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class Dialect(Struct, frozen=True):
    """How a DAS server may differ."""

    order_words: Literal[13, 15, 18] = 18
    trade_words: Literal[8, 11] = 11
    position_words: Literal[8, 9] = 9
    is_short_signed: bool = False
    """Whether %POS prints the shares of a short position with a minus."""
    of_a_fill: tuple[str, ...] = ("act", "order", "trade", "position")
    """In which order the messages of one fill come."""
    replaces: Literal["open", "total"] = "total"
    """Whether the shares of REPLACE are those left open, or all with the filled ones."""
    has_headers: bool = True
    has_end_markers: bool = True
    has_banner: bool = True
    echo: str = "ECHO"
    """What answers a bare ECHO; empty for nothing."""
    line_end: str = "\r\n"
