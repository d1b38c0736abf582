"""The end of a Parquet file, where its footer is."""

from __future__ import annotations

import io
from typing import BinaryIO

FOOTER = 1 << 16
"""Bytes at the end of a file that hold most footers."""


def footer_of(file: BinaryIO) -> bytes:
    """The end of a Parquet file from its footer on."""
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - FOOTER))
    end = file.read()
    length = footer_length(end)
    if len(end) < length <= size:
        file.seek(size - length)
        end = file.read()
    return end[-length:]


def footer_length(end: bytes) -> int:
    """Bytes of a footer from the last bytes of its file."""
    return 8 + int.from_bytes(end[-8:-4], "little")
