# ruff: noqa: N818  (named for what happened, as HTTP names them)
"""What can go wrong when a vendor is asked, as types that say what to do about it.

Every failure of a source is a `SourceError`: status, path, request id, what was found, what was
expected and the remedy, with the key taken out. Whether a failure is worth repeating is a property
of its type. Retrying itself belongs to `transport.py`, contracts of tables to `schemas`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

SHOWN = 5
_KEY_PARAMETER = re.compile(r"(?i)(api_?key|access_?key|signature|token)=[^&\s\"']+")
_BEARER = re.compile(r"(?i)bearer\s+[^\s\"',]+")


def redact(text: str, key: str = "") -> str:
    """`text` without the key, without key parameters and without bearer tokens."""
    if key:
        text = text.replace(key, "***")
    return _BEARER.sub("Bearer ***", _KEY_PARAMETER.sub(r"\1=***", text))


class SourceError(Exception):
    """A source did not deliver.

    `status` is the HTTP status if there was an answer, `path` the path asked for without secrets,
    `request_id` the vendor's id to quote in a support ticket, `remedy` what the reader can do.
    """

    is_transient = False
    default_remedy = "look at the message"

    def __init__(
        self,
        found: str,
        *,
        status: int | None = None,
        path: str = "",
        request_id: str = "",
        remedy: str = "",
    ) -> None:
        self.found = found
        self.status = status
        self.path = path
        self.request_id = request_id
        self.remedy = remedy or self.default_remedy
        super().__init__(self._message())

    def without(self, key: str) -> SourceError:
        """Itself, the key taken out of what it says: error texts quote what a host sends."""
        if key:
            self.found, self.path = redact(self.found, key), redact(self.path, key)
            self.request_id = redact(self.request_id, key)
            self.args = (self._message(),)
        return self

    def _message(self) -> str:
        place = [self.path] if self.path else []
        if self.status is not None:
            place.append(f"HTTP {self.status}")
        if self.request_id:
            place.append(f"request {self.request_id}")
        where = f" ({', '.join(place)})" if place else ""
        return f"{self.found}{where}; {self.remedy}"


class Unauthorized(SourceError):
    """401: the key is unknown. Nothing further is asked with it."""

    default_remedy = "set POLYGON_API_KEY to a valid key; no further request is made with this one"


class NotEntitled(SourceError):
    """403: the plan does not cover this endpoint or date. Remembered and not asked again."""

    default_remedy = "upgrade the plan, choose dates inside it, or choose another route"


class NotOffered(SourceError):
    """A vendor without this endpoint, or a plan without it. Remembered in the lake, no failure."""

    default_remedy = "it is left out and not asked for again; a backfill of it asks once more"


class NotFound(SourceError):
    """404: the vendor does not have it."""

    default_remedy = "check the symbol and the date"


class RefusedRequest(SourceError):
    """Another 4xx: the request is wrong and would be so again."""

    default_remedy = "check the parameters; asking again does not help"


class Blocked(SourceError):
    """The host turns this client away, which says nothing about the data."""

    default_remedy = "wait an hour, lower the request rate, or ask from another address"


class WrongContent(SourceError):
    """A complete file that does not hold what its name says."""

    default_remedy = "the file is not stored; look at it by hand and report it to the vendor"


class MissingContact(SourceError):
    """A host that wants to know who asks, and no contact is configured. Nothing was sent."""

    default_remedy = (
        "set sec.contact, such as SMALLCAPS_SEC_CONTACT='Jane Doe jane@example.com': the SEC"
        " refuses requests without a name and an e-mail address"
    )


class NotConfigured(SourceError):
    """A source that the settings leave out."""

    default_remedy = "see the settings"


class RateLimited(SourceError):
    """429 until the retry budget was used up."""

    is_transient = True
    default_remedy = "lower polygon.requests_per_second, or set polygon.plan to the plan you have"


class SourceUnavailable(SourceError):
    """5xx, resets and timeouts until the retry budget was used up."""

    is_transient = True
    default_remedy = "try again later, or raise polygon.retry_budget"


class BadAnswer(SourceError):
    """A 200 whose content contradicts the request or its own format, several times over."""

    is_transient = True
    default_remedy = "try again later; if it stays, report the request to the vendor"


class TruncatedAnswer(BadAnswer):
    """A 200 that ends too early, several times over."""


class MissingTickers(SourceError):
    """Single tickers of a market-wide partition could not be had."""

    default_remedy = "the next run asks for them alone"

    def __init__(self, reasons: Mapping[str, SourceError], expected: int) -> None:
        self.reasons = {t: f"{type(e).__name__}: {e}" for t, e in sorted(reasons.items())}
        shown = "; ".join(f"{t}: {why}" for t, why in list(self.reasons.items())[:SHOWN])
        more = len(reasons) - SHOWN
        text = f"{len(reasons)} of {expected} tickers failed: {shown}"
        super().__init__(f"{text} and {more} more" if more > 0 else text)


class MissingExtra(SourceError):
    """An optional dependency is needed for what the settings ask for."""
