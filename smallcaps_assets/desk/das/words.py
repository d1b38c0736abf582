"""Words of a line of the DAS text protocol, and the typed values that they stand for.

A line is a verb and words with one blank between; which words a verb has is declared in
`messages.py` (DAS to us) and `commands.py` (us to DAS) as fields of a class. A word that holds
white space or leaves ASCII would be a second field or a second command: none is ever written.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from functools import lru_cache
from types import NoneType, UnionType
from typing import Any, ClassVar, Self, get_args, get_origin

import msgspec

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)")
_WORD = re.compile(r"[!-~]+")
_TRUE, _FALSE = ("Y", "YES", "TRUE"), ("N", "NO", "FALSE")
ONE = Decimal(1)
CENT, HUNDREDTH_OF_A_CENT = Decimal("0.01"), Decimal("0.0001")


class LineError(ValueError):
    """A line, or a word in it, that can't be read or must not be written."""


def number(word: str, name: str = "number") -> Decimal:
    """A plain decimal. Raises LineError for anything else, exponents and NaN among it."""
    if not _NUMBER.fullmatch(word):
        raise LineError(f"{name} {word!r} is no plain decimal number")
    return Decimal(word)


def whole(word: str, name: str = "number") -> int:
    """An integer; `100.0` is one. Raises LineError."""
    value = number(word, name)
    if value != value.to_integral_value():
        raise LineError(f"{name} {word!r} is no whole number")
    return int(value)


def tick_of(price: Decimal) -> Decimal:
    """The smallest step of a price: a cent from one dollar on, below it a hundredth (rule 612)."""
    return CENT if price >= ONE else HUNDREDTH_OF_A_CENT


def on_tick(price: Decimal, is_up: bool) -> Decimal:
    """The nearest price on its tick above or below, itself if it is on one; at least one tick."""
    tick, rounding = tick_of(price), ROUND_CEILING if is_up else ROUND_FLOOR
    return max((price / tick).to_integral_value(rounding) * tick, tick)


def check_tick(price: Decimal, name: str = "price") -> Decimal:
    """The price. Raises LineError unless it is positive and on its tick."""
    if not price.is_finite() or price <= 0 or price % tick_of(price):
        raise LineError(f"{name} {price} is not on a tick; give a positive multiple of"
                        f" {tick_of(price) if price.is_finite() else CENT}")  # fmt: skip
    return price


def plain(value: Decimal) -> str:
    """A decimal without exponent and without zeros at its end."""
    text = f"{value:f}"
    return (text.rstrip("0").rstrip(".") or "0") if "." in text else text


def word(value: Any, name: str = "word") -> str:
    """A value as one word. Raises LineError when it would not be exactly one, in ASCII."""
    if isinstance(value, bool):
        return "Y" if value else "N"
    text = plain(value) if isinstance(value, Decimal) else str(value)
    if not _WORD.fullmatch(text):
        raise LineError(f"{name} {text!r} is not one word of ASCII; take out blanks and accents")
    return text


def _read_word(kind: Any, text: str, name: str) -> Any:
    if kind is int:
        return whole(text, name)
    if kind is Decimal:
        return number(text, name)
    if kind is bool:
        if text.upper() not in _TRUE + _FALSE:
            raise LineError(f"{name} {text!r} is neither Y nor N")
        return text.upper() in _TRUE
    return text


class _Field(msgspec.Struct, frozen=True):
    name: str
    kind: Any
    is_required: bool


@lru_cache(None)
def fields_of(kind: type[Line]) -> tuple[_Field, ...]:
    """The fields of a line's class, optional types without their None."""
    found = []
    for field in msgspec.structs.fields(kind):
        base = field.type
        if get_origin(base) is UnionType or NoneType in get_args(base):
            base = next(a for a in get_args(base) if a is not NoneType)
        found.append(_Field(field.name, base, field.required))
    return tuple(found)


class Line(msgspec.Struct, frozen=True):
    """A line of words. `COUNTS` are the numbers of words it may have; without, what the fields
    allow, and words behind them are passed over."""

    VERBS: ClassVar[tuple[str, ...]] = ()
    COUNTS: ClassVar[tuple[int, ...]] = ()

    @classmethod
    def read(cls, text: str) -> Self:
        """From what follows the verb. Raises LineError naming the field and its value."""
        return cls.of_words(text.split())

    @classmethod
    def of_words(cls, words: Sequence[str]) -> Self:
        """From its words. Raises as `read`."""
        fields = fields_of(cls)
        least = sum(field.is_required for field in fields)
        if (cls.COUNTS and len(words) not in cls.COUNTS) or len(words) < least:
            expected = " or ".join(map(str, cls.COUNTS)) or f"at least {least}"
            raise LineError(f"{cls.VERBS[0]} has {len(words)} words; expected {expected}")
        pairs = zip(fields, words, strict=False)
        return cls(*(_read_word(field.kind, text, field.name) for field, text in pairs))

    def words(self) -> list[str]:
        """Its words, up to the first that is missing."""
        found = []
        for field in fields_of(type(self)):
            value = getattr(self, field.name)
            if value is None:
                break
            found.append(word(value, field.name))
        return found

    def line(self) -> str:
        """The line without its end. Raises LineError for what can't be written as it is."""
        return " ".join([self.VERBS[0], *self.words()])


class Lines:
    """Splits what a socket delivers into lines, however they are packed or split.

    A line ends with LF, a CR before it is dropped; bytes that are no UTF-8 are replaced. A line
    longer than `longest` bytes is cut there, so that a server without line ends can't fill memory.
    """

    def __init__(self, longest: int = 65_536) -> None:
        self._rest, self._longest = b"", longest

    def feed(self, data: bytes) -> list[str]:
        """The lines that are now whole, without empty ones."""
        *whole_lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > self._longest:
            whole_lines.append(self._rest[: self._longest])
            self._rest = b""
        texts = (line.rstrip(b"\r").decode("utf-8", "replace") for line in whole_lines)
        return [text for text in texts if text.strip()]

    def cut(self) -> str:
        """What was left of a line when the connection ended; empty when nothing was."""
        rest, self._rest = self._rest, b""
        return rest.decode("utf-8", "replace")
