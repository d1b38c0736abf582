"""Objects of an S3 store: single requests, repeated while the store is out of reach.

A read is one request, so that an object that is replaced meanwhile is read whole, old or new. A
write can be made conditional on what it replaces (If-Match, If-None-Match), so that of two writers
who have read the same object one is told. The store's tag of an object (ETag) changes with its
bytes: a footer that is known by its tag is not asked for again.

A store that does not answer at all, or says that it can't now, is asked again for a while: for a
minute and more once it has answered this process, for some seconds before, because then it is more
likely that its address is wrong. Everything else is raised at once, as an OSError.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from smallcaps_assets.lake.errors import ConflictError
from smallcaps_assets.lake.footers import FOOTER, footer_length

LOG = logging.getLogger(__name__)
THREADS = 32
"""Requests under way at once, where many objects are looked at."""
PATIENCE, FIRST_PATIENCE = 120.0, 5.0  # seconds from the first failure
ABSENT = ""
"""The tag of an object that is not there."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0
_MOST_FOOTERS = 1 << 28  # bytes
_HELD = "_smallcaps_objects"
_BUSY = ("SlowDown", "RequestTimeout", "ConditionalRequestConflict")


@dataclass(frozen=True)
class Entry:
    """A stored file: bytes, when it was written (seconds since the epoch), and a tag that changes
    with it."""

    size: int
    modified: float
    tag: Hashable


class Objects:
    """The objects that one connection of s3fs reaches; safe to use from many threads."""

    def __init__(self, fs: Any, clock: Callable[[], float] = time.monotonic) -> None:
        self._fs, self._clock = fs, clock
        self._footers: dict[str, tuple[str, bytes]] = {}
        self._held_bytes = 0
        self._lock = threading.Lock()
        self._has_answered = False

    def entry(self, path: str) -> Entry | None:
        """What is known of an object; None when there is none."""
        try:
            return _entry_of(self._ask("head_object", path), "ContentLength")
        except FileNotFoundError:
            return None

    def entries(self, folder: str) -> dict[str, Entry]:
        """Every object below a folder by its path; one request for each thousand."""
        bucket, _, key = folder.strip("/").partition("/")
        found: dict[str, Entry] = {}
        more: dict[str, str] = {}
        while True:
            page = self._ask("list_objects_v2", bucket, Prefix=f"{key}/" if key else "", **more)
            for item in page.get("Contents", ()):
                found[f"{bucket}/{item['Key']}"] = _entry_of(item, "Size")
            if not page.get("IsTruncated"):
                return found
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def read(self, path: str) -> tuple[bytes, str]:
        """An object's bytes and tag. Raises FileNotFoundError."""
        answer = self._ask("get_object", path)
        return answer["Body"], answer["ETag"]

    def footer(self, path: str, tag: Hashable = None) -> tuple[bytes, str] | None:
        """The end of a Parquet object with its footer, and its tag; None when it is absent.

        No request is made where the footer of an object with `tag` is known.
        """
        held = self._footers.get(path)
        if held is not None and held[0] == tag:
            return held[1], held[0]
        try:
            end, found = self._end(path, FOOTER, held[0] if held else ABSENT)
            if end is None and held is not None:
                return held[1], held[0]
            length = footer_length(end or b"")
            if len(end or b"") == FOOTER < length:
                end, found = self._end(path, length)
        except FileNotFoundError:
            return None
        footer = (end or b"")[-length:]
        self._hold(path, found, footer)
        return footer, found

    def write(self, path: str, data: bytes, over: str | None = None) -> None:
        """Store an object; if `over` is given, only in place of the one with that tag, or of none
        for ABSENT. Raises ConflictError when there is another."""
        condition = {} if over is None else {"IfMatch": over} if over else {"IfNoneMatch": "*"}
        try:
            self._ask("put_object", path, Body=data, **condition)
        except FileNotFoundError:
            if not over:
                raise
            raise ConflictError(path) from None
        except ConflictError:
            # The answer to a first attempt may have been lost on its way.
            if not self._holds(path, data):
                raise

    def _holds(self, path: str, data: bytes) -> bool:
        try:
            return self.read(path)[0] == data
        except FileNotFoundError:
            return False

    def copy(self, path: str, tag: str, place: str) -> None:
        """Copy an object that still has a tag. Raises ConflictError when it has another."""
        bucket, _, key = path.partition("/")
        source = {"Bucket": bucket, "Key": key}
        self._ask("copy_object", place, CopySource=source, CopySourceIfMatch=tag)

    def remove(self, path: str) -> None:
        """Remove an object, if there is one."""
        self._ask("delete_object", path)

    def _end(self, path: str, size: int, known: str = ABSENT) -> tuple[bytes | None, str]:
        """The last bytes of an object and its tag; no bytes when it has a tag that is known."""
        condition = {"IfNoneMatch": known} if known else {}
        try:
            answer = self._ask("get_object", path, Range=f"bytes=-{size}", **condition)
        except _UnchangedError:
            return None, known
        except _NothingThereError:
            return b"", ABSENT
        return answer["Body"], answer["ETag"]

    def _hold(self, path: str, tag: str, footer: bytes) -> None:
        with self._lock:
            before = self._footers.pop(path, ("", b""))[1]
            self._footers[path] = (tag, footer)
            self._held_bytes += len(footer) - len(before)
            while self._held_bytes > _MOST_FOOTERS:
                oldest = next(iter(self._footers))
                self._held_bytes -= len(self._footers.pop(oldest)[1])

    def _ask(self, method: str, path: str, **parameters: Any) -> dict[str, Any]:
        """One request, repeated while the store is out of reach."""
        from fsspec.asyn import sync

        bucket, _, key = path.partition("/")
        parameters |= {"Bucket": bucket, **({"Key": key} if key else {})}
        since, pause = None, _FIRST_PAUSE
        while True:
            try:
                answer: Any = sync(self._fs.loop, self._send, method, parameters)
            except Exception as failure:  # noqa: BLE001 - of several libraries; raised as OSError
                error = _error_of(failure, path)
            else:
                self._has_answered = True
                return answer
            if not isinstance(error, _OutOfReachError):
                self._has_answered = True
                raise error from None
            now = self._clock()
            since = now if since is None else since
            if now + pause - since > (PATIENCE if self._has_answered else FIRST_PATIENCE):
                raise error from None
            if pause == _LONGEST_PAUSE:
                LOG.warning("the object store does not answer, asking again: %s", error)
            time.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _send(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        await self._fs.set_session()
        client = await self._fs.get_s3(parameters["Bucket"])
        answer = await getattr(client, method)(**parameters)
        if "Body" in answer:
            async with answer["Body"] as stream:
                answer["Body"] = await stream.read()
        return answer


def objects_of(fs: Any) -> Objects:
    """The objects of a connection, kept with it, with the footers that this process knows."""
    held = vars(fs).get(_HELD)
    if held is None:
        held = vars(fs)[_HELD] = Objects(fs)
    return held


class _OutOfReachError(ConnectionError):
    """The store does not answer, or says that it can't now."""


class _UnchangedError(OSError):
    """The object still has the tag that was named."""


class _NothingThereError(OSError):
    """The object has no bytes of which some could be the last."""


_KINDS: dict[int, type[OSError]] = {
    304: _UnchangedError,
    401: PermissionError,
    403: PermissionError,
    404: FileNotFoundError,
    416: _NothingThereError,
}


def _error_of(failure: Exception, path: str) -> Exception:
    """What a failed request means, without what a library may have quoted of the request."""
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

    if isinstance(failure, NoCredentialsError):
        return PermissionError(f"{path}: no keys; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    if isinstance(failure, ClientError):
        return _refusal(failure.response, path)
    if isinstance(failure, (BotoCoreError, OSError, asyncio.TimeoutError)) or _is_of_http(failure):
        return _OutOfReachError(f"{path}: {' '.join(str(failure).split()) or 'no answer in time'}")
    return failure


def _is_of_http(failure: Exception) -> bool:
    """Whether a connection broke while a body came."""
    return type(failure).__module__.partition(".")[0] in ("aiohttp", "urllib3")


def _refusal(response: dict[str, Any], path: str) -> Exception:
    code = str(response.get("Error", {}).get("Code", ""))
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if status == 412:
        return ConflictError(path)
    told = "the bucket does not exist" if code == "NoSuchBucket" else ""
    told = told or response.get("Error", {}).get("Message") or code or f"status {status}"
    is_busy = code in _BUSY or status == 429 or (status >= 500 and status != 501)
    return (_OutOfReachError if is_busy else _KINDS.get(status, OSError))(f"{path}: {told}")


def _entry_of(answer: dict[str, Any], size: str) -> Entry:
    when = answer["LastModified"]
    moment = parsedate_to_datetime(when) if isinstance(when, str) else when
    return Entry(int(answer[size]), moment.timestamp(), answer["ETag"])
