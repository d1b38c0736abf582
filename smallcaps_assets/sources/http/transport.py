"""HTTP as one vendor host needs it: one session, one key, one pace, and nothing taken on trust.

A body is read raw and decompressed in one go, because every HTTP library returns the partial bytes
of a cut gzip stream without an error (measured 2026-11 with requests, urllib3, httpx, aiohttp).
Failures become typed errors; transient ones are repeated with jittered backoff within a time
budget. What the bytes mean is decided by the callers, inside the retry loop.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import msgspec
import requests
import urllib3
from isal import isal_zlib
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from requests.structures import CaseInsensitiveDict

from smallcaps_assets.sources.errors import (
    BadAnswer,
    NotEntitled,
    NotFound,
    RateLimited,
    RefusedRequest,
    SourceError,
    SourceUnavailable,
    TruncatedAnswer,
    Unauthorized,
    WrongContent,
    redact,
)
from smallcaps_assets.sources.http.notices import waiting
from smallcaps_assets.sources.http.throttle import Throttle
from smallcaps_assets.sources.http.unreachable import host_of, unreachable

T = TypeVar("T")
CHUNK = 1 << 18
LARGEST_BODY = 1 << 28  # bytes, raw and decompressed, of a file
LARGEST_PAGE = 1 << 25  # of a page of rows; the largest have about 2^24, and a row takes more room
MOST_MEMBERS = 100  # of a gzip stream; servers send one
SECRET_LENGTH = 16
BAD_ANSWERS = 6
BAD_GZIP: tuple[Any, ...] = (EOFError, OSError, isal_zlib.error)
FIRST_DELAY, LONGEST_DELAY = 0.25, 10.0
USER_AGENT = "smallcaps-assets (research; python-requests)"


@dataclass(frozen=True)
class Request:
    """What to ask for. `scope` names the endpoint and date range that a 403 is remembered for.

    With a `body`, which is JSON, it is posted. An answer of more bytes than `largest`, as sent or
    decompressed, is refused. What `expects_rows` is not believed to be empty
    at once, see `emptiness.py`.
    """

    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    accept: str = "application/json"
    scope: str = ""
    body: bytes | None = None
    largest: int = LARGEST_PAGE
    expects_rows: bool = False

    @property
    def shown(self) -> str:
        """Path and parameters; they never hold a secret."""
        return f"{self.path}?{urlencode(self.params, safe=':,')}" if self.params else self.path


@dataclass(frozen=True)
class Answer:
    """A complete answer; `body` is decompressed."""

    request: Request
    status: int
    body: bytes
    headers: Mapping[str, str]

    @property
    def is_json(self) -> bool:
        """Whether the body looks like JSON, whatever its declared type."""
        return self.body[:1] in (b"{", b"[")

    def problem(self, kind: type[SourceError], found: str, remedy: str = "") -> SourceError:
        """An error about this answer."""
        request_id, _ = error_text(self.body) if self.is_json else ("", "")
        return kind(
            found,
            status=self.status,
            path=self.request.shown,
            request_id=request_id,
            remedy=remedy,
        )


class ErrorBody(msgspec.Struct):
    """The fields of an error answer; the text is in `error` or in `message`."""

    request_id: Any = ""
    error: Any = ""
    message: Any = ""


def error_text(body: bytes) -> tuple[str, str]:
    """Request id and text of an error body; empty when it is no JSON object."""
    try:
        parsed = msgspec.json.decode(body[:100_000], type=ErrorBody)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return "", body[:120].decode("utf-8", "replace").strip()
    text = parsed.error or parsed.message
    return str(parsed.request_id or "")[:64], str(text or "")[:300]


def error_of(answer: Answer) -> SourceError | None:
    """The failure that a status means, or None for 200."""
    if answer.status == 200:
        return None
    request_id, text = error_text(answer.body)
    found = " ".join(text.split()) or "no text in the answer"
    return _error_type(answer.status)(
        found, status=answer.status, path=answer.request.shown, request_id=request_id
    )


def _error_type(status: int) -> type[SourceError]:
    known = {401: Unauthorized, 403: NotEntitled, 404: NotFound, 429: RateLimited}
    if status in known:
        return known[status]
    if status == 501:
        return RefusedRequest
    if status >= 500 or status in (408, 425, 499):
        return SourceUnavailable
    return RefusedRequest if status >= 400 else BadAnswer


class KeyHeader(AuthBase):
    """Puts the key into the Authorization header of requests to one origin, and nowhere else."""

    def __init__(self, key: str, url: str) -> None:
        self._key, self._origin = key, urlsplit(url)[:2]

    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._key and urlsplit(r.url or "")[:2] == self._origin:
            r.headers["Authorization"] = f"Bearer {self._key}"
        return r


@dataclass
class Patience:
    """How long one request is repeated: a time budget, and a number of bad answers."""

    budget: float
    clock: Callable[[], float]
    rng: random.Random
    _since: float | None = None
    _failures: int = 0
    _bad_answers: int = 0

    def delay(self, error: SourceError) -> float | None:
        """Seconds to wait before asking again; None to give up."""
        now = self.clock()
        self._since = now if self._since is None else self._since
        self._failures += 1
        self._bad_answers += isinstance(error, BadAnswer)
        if not error.is_transient or self._bad_answers >= BAD_ANSWERS:
            return None
        wait = self._backoff(error)
        return wait if now + wait - self._since < self.budget else None

    def _backoff(self, error: SourceError) -> float:
        if isinstance(error, RateLimited):
            return 0.0  # the throttle waits, for all threads at once
        longest = min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(self._failures - 1, 10))
        return self.rng.uniform(0.5, 1.0) * longest


class Transport:
    """Requests to one host. Safe to use from many threads.

    `workers` requests are in flight at most; `retry_budget` is in seconds per request, counted
    from its first failure, `empty_seconds` pass between two readings of what should not be empty.
    `classify` turns a status into an error for hosts with habits of their own; `user_agent` names
    who asks, where the host wants to know.
    """

    def __init__(
        self,
        url: str,
        key: str,
        throttle: Throttle,
        *,
        workers: int = 8,
        connect_timeout: float = 10,
        read_timeout: float = 30,
        retry_budget: float = 120,
        empty_seconds: float = 0,
        classify: Callable[[Answer], SourceError | None] = error_of,
        user_agent: str = USER_AGENT,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        self.url, self.throttle = url.rstrip("/"), throttle
        self._key, self._classify, self._host = key, classify, host_of(url)
        self._timeouts, self._budget = (connect_timeout, read_timeout), retry_budget
        self._empty_seconds = empty_seconds
        self._clock, self._rng = clock, rng or random.Random()
        self._in_flight = threading.BoundedSemaphore(workers)
        self._session = _session(self.url, key, workers, user_agent)
        self._refused: dict[str, SourceError] = {}
        self._count_lock = threading.Lock()
        self.bytes_received = self.retries = 0

    def __repr__(self) -> str:
        return f"Transport({redact(self.url, self._key)!r})"

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def fetch(self, request: Request, decode: Callable[[Answer], T]) -> T:
        """Ask, decode, and repeat both while the failure is transient.

        Raises the SourceError of the last try. A 403 is remembered for `request.scope` and raised
        at once the next time; a 401 stops every thread.
        """
        if request.scope in self._refused:
            raise self._refused[request.scope]
        patience = Patience(self._budget, self._clock, self._rng)
        with waiting(self._host) as tell:
            while True:
                try:
                    return decode(self._ask(request))
                except SourceError as failure:
                    error = failure.without(self._key)
                self._remember(request, error)
                delay = patience.delay(error)
                if delay is None:
                    raise error
                self._count(retries=1)
                tell(error.found)
                self.throttle.pause(delay)

    def pause_for_nothing(self, what: str) -> None:
        """Let the time pass after which an empty answer is asked for again."""
        with waiting(self._host) as tell:
            pause = self._empty_seconds
            tell(f"{what} came empty, read again after {pause:g} s", pause)
            self.throttle.pause(pause)

    def _remember(self, request: Request, error: SourceError) -> None:
        if isinstance(error, Unauthorized):
            self.throttle.stop(error)
        if isinstance(error, NotEntitled) and request.scope:
            self._refused[request.scope] = error

    def _ask(self, request: Request) -> Answer:
        with self._in_flight:
            self.throttle.acquire()
            outcome = self._send(request)
        if isinstance(outcome, SourceError):
            raise outcome
        if outcome.status == 429:
            asked, now = outcome.headers.get("Retry-After"), outcome.headers.get("Date")
            self.throttle.refused(retry_after(asked, now))
        else:
            self.throttle.accepted()
        error = self._classify(outcome)
        if error is not None:
            raise error
        return outcome

    def _send(self, request: Request) -> Answer | SourceError:
        # An error is returned, not raised: the exceptions of requests carry the header with the
        # key, and must not hang on ours as a context.
        try:
            with self._session.request(
                "GET" if request.body is None else "POST",
                self.url + quote(request.path, safe="/:"),
                params=dict(request.params),
                data=request.body,
                headers=_headers(request),
                timeout=self._timeouts,
                stream=True,
                allow_redirects=False,
            ) as response:
                raw = self._read(response, request)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as failure:
            return unreachable(failure, self.url, request.shown)
        return self._unpack(request, response, raw)

    def _read(self, response: requests.Response, request: Request) -> bytes:
        """The raw body. A sender that trickles is cut off after ten read timeouts.

        Raises WrongContent when it is larger than the request allows.
        """
        chunks, size, deadline = [], 0, self._clock() + 10 * self._timeouts[1]
        while chunk := response.raw.read1(CHUNK, decode_content=False):
            chunks.append(chunk)
            size += len(chunk)
            if self._clock() > deadline:
                raise requests.Timeout("the body took too long")
            if size > request.largest:
                raise _too_large(request, response.status_code, "body")
        raw = b"".join(chunks)
        self._count(received=len(raw))
        return raw

    def _unpack(
        self, request: Request, response: requests.Response, raw: bytes
    ) -> Answer | SourceError:
        answer = Answer(request, response.status_code, raw, response.headers)
        declared = response.headers.get("Content-Length", "")
        if declared.isdecimal() and declared != str(len(raw)):
            found = f"{len(raw)} of {declared} bytes arrived"
            return TruncatedAnswer(found, status=answer.status, path=request.shown)
        try:
            body = decompress(raw, response.headers.get("Content-Encoding", ""), request.largest)
        except BombError:
            return _too_large(request, answer.status, "gzip stream")
        except ValueError as problem:
            if answer.status != 200:
                return Answer(request, answer.status, b"", response.headers)
            return TruncatedAnswer(str(problem), status=answer.status, path=request.shown)
        return Answer(request, answer.status, self._without_key(body), response.headers)

    def _without_key(self, body: bytes) -> bytes:
        """A host may echo the key; a short one (of a test server) may also stand in a real word."""
        is_secret = len(self._key) >= SECRET_LENGTH
        return body.replace(self._key.encode(), b"***") if is_secret else body

    def _count(self, received: int = 0, retries: int = 0) -> None:
        with self._count_lock:
            self.bytes_received += received
            self.retries += retries


def _headers(request: Request) -> dict[str, str]:
    kind = {} if request.body is None else {"Content-Type": "application/json"}
    return {"Accept": request.accept, **kind}


def _session(url: str, key: str, workers: int, user_agent: str) -> requests.Session:
    session = requests.Session()
    adapter = HTTPAdapter(pool_connections=2, pool_maxsize=workers, max_retries=0)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    # Set even without a key, so that requests does not take one from ~/.netrc.
    session.auth = KeyHeader(key, url)
    session.headers = CaseInsensitiveDict({"Accept-Encoding": "gzip", "User-Agent": user_agent})
    return session


def _too_large(request: Request, status: int, what: str) -> WrongContent:
    found = f"the {what} has more than {request.largest:,} bytes"
    return WrongContent(found, status=status, path=request.shown)


class BombError(ValueError):
    """A body that decompresses beyond all reason."""


def decompress(raw: bytes, encoding: str, largest: int = LARGEST_BODY) -> bytes:
    """The content of a body.

    Raises ValueError when it is cut, damaged or of unknown encoding, BombError when it is larger
    than `largest` bytes.
    """
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return raw
    if encoding != "gzip":
        raise ValueError(f"content encoding {encoding!r} came, gzip was asked for")
    if not raw:
        raise ValueError("an empty gzip stream")
    try:
        return _gunzip(raw, largest)
    except BAD_GZIP as problem:
        raise ValueError(f"the gzip stream is cut or damaged: {problem}") from None


def _gunzip(raw: bytes, largest: int) -> bytes:
    """All members of a gzip stream; a few bytes can stand for gigabytes, so it stops in time."""
    parts, size = [], 0
    while raw:
        member = isal_zlib.decompressobj(31)
        parts.append(member.decompress(raw, largest + 1 - size))
        size += len(parts[-1])
        if size > largest:
            raise BombError(f"the gzip stream holds more than {largest:,} bytes")
        if not member.eof:
            raise EOFError("the end is missing")
        raw = member.unused_data
        if raw and len(parts) == MOST_MEMBERS:
            raise BombError(f"the gzip stream has more than {MOST_MEMBERS} members")
    return parts[0] if len(parts) == 1 else b"".join(parts)


def retry_after(value: str | None, now: str | None = None) -> float | None:
    """Seconds of a Retry-After header, given as seconds or as a date; None when absent or odd.

    `now` is the answer's Date header: two dates of the host's clock need none of ours.
    """
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        moment = _epoch(value)
        if moment is None:
            return None
        told = _epoch(now or "")
        seconds = moment - (time.time() if told is None else told)
    return None if math.isnan(seconds) else min(max(seconds, 0.0), 300.0)


def _epoch(text: str) -> float | None:
    """Seconds since the epoch of a date in a header; None when it is none."""
    try:
        return parsedate_to_datetime(text).timestamp()
    except ValueError:
        return None
