"""A seal: the SHA-256 of a whole file, written into the file itself.

The digest is taken with 64 zeros in the seal's place, and then put there. Any byte that changes
afterwards, the seal's own included, no longer fits. The file carries its own manifest: there is no
second file to lose or to be torn from it by a kill, a copy is as good as the original, and equal
contents stay equal byte for byte. It shows damage, not forgery: anybody can compute it.
"""

from __future__ import annotations

import hashlib
import re

NAME = "smallcaps_seal"
BLANK = "0" * 64
_BLANK = BLANK.encode()
_SEALED = re.compile(NAME.encode() + rb".{2,4}?([0-9a-f]{64})", re.DOTALL)


def seal(data: bytes) -> bytes:
    """`data`, which holds the name of the seal followed by a blank, with its digest filled in.

    Raises ValueError when there is no blank.
    """
    place = _place(data)
    if place is None or data[place : place + 64] != _BLANK:
        raise ValueError(f"no blank {NAME} to fill")
    return b"".join((data[:place], hashlib.sha256(data).hexdigest().encode(), data[place + 64 :]))


def seal_of(data: bytes) -> str:
    """The seal in a file or its footer; empty when there is none."""
    place = _place(data)
    return "" if place is None else data[place : place + 64].decode()


def is_intact(data: bytes) -> bool:
    """Whether a file is, byte for byte, the one that was sealed."""
    place = _place(data)
    if place is None:
        return False
    view = memoryview(data)
    digest = hashlib.sha256(view[:place])
    digest.update(_BLANK)
    digest.update(view[place + 64 :])
    return digest.hexdigest().encode() == view[place : place + 64]


def _place(data: bytes) -> int | None:
    """Where the digits begin; the last seal counts, a Parquet file has it in its footer."""
    name = data.rfind(NAME.encode())
    found = _SEALED.match(data, name) if name >= 0 else None
    return found.start(1) if found else None
