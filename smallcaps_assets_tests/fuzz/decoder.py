"""What a decoder under fuzz is, and the parts that hand it bytes instead of a network or a disk."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from smallcaps_assets.schemas import ContractError
from smallcaps_assets.sources.errors import SourceError
from smallcaps_assets.sources.http.transport import Answer, Request
from smallcaps_assets.sources.polygon.flatfile_stores import StoredFile

T = TypeVar("T")
FROM_SOURCES = (SourceError, ContractError)


@dataclass(frozen=True)
class Decoder:
    """`decode` takes bytes and raises one of `errors` or nothing; it takes the first of `seeds`."""

    seeds: Sequence[bytes]
    decode: Callable[[bytes], Any]
    errors: tuple[type[Exception], ...] = FROM_SOURCES


class OneAnswer:
    """A vendor that answers with the same bytes, or only at first; a hundred times at most."""

    def __init__(self, body: bytes, later: bytes | None) -> None:
        self._body, self._later, self._left = body, body if later is None else later, 100

    def fetch(self, request: Request, read: Callable[[Answer], T]) -> T:
        """The decoded answer, as a transport that does not ask again."""
        self._left -= 1
        assert self._left, "the same answer is asked for without end"
        answer = Answer(request, 200, self._body, {})
        self._body = self._later
        return read(answer)

    def pause_for_nothing(self, path: str) -> None:
        """It says the same at once."""


def transport(body: bytes, later: bytes | None = None) -> Any:
    """In a transport's place: always the same answer, or `later` after the first."""
    return OneAnswer(body, later)


class OneFile:
    """A store of flat files with one content."""

    is_local = True
    host = "a folder"

    def __init__(self, body: bytes) -> None:
        self._body = body

    def list(self, prefix: str) -> list[StoredFile]:
        """Nothing is listed."""
        return []

    @contextmanager
    def opened(self, key: str) -> Iterator[tuple[BinaryIO, str]]:
        """The content, whatever is asked for."""
        yield io.BytesIO(self._body), "etag"


@contextmanager
def file_named(name: str, body: bytes) -> Iterator[Path]:
    """A file with some content, alone in its folder."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(body)
        yield path


def page(rows: Any, **envelope: Any) -> bytes:
    """A JSON answer of the vendor."""
    return json.dumps({"status": "OK", "results": rows} | envelope).encode()
