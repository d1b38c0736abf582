"""Why a host could not be reached or did not answer, in words that name it.

The exceptions of HTTP libraries carry the request with its key, and wrap the cause in others; what
is told here is the host and the kind of failure, nothing of the exception itself.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3

from smallcaps_assets.sources.errors import SourceUnavailable

_DNS = (socket.gaierror, urllib3.exceptions.NameResolutionError)
_NO_CONNECTION = (requests.ConnectTimeout, urllib3.exceptions.ConnectTimeoutError)
_BROKEN = (ConnectionError, HTTPException, urllib3.exceptions.ProtocolError)
# What is found in a chain of exceptions: the words, and what the reader can do. The first counts.
_KINDS: tuple[tuple[Any, str, str], ...] = (
    (_DNS, "the name {host} can't be resolved (DNS)", "check the URL in the settings, the network"),
    (ConnectionRefusedError, "{host} refuses the connection", "check its address and port"),
    (requests.exceptions.ProxyError, "the proxy before {host} fails", "check HTTP(S)_PROXY"),
    (_NO_CONNECTION, "{host} can't be connected in time", "check the network and firewall"),
    ((requests.Timeout, TimeoutError), "{host} does not answer in time", ""),
    (ssl.SSLError, "{host} has no valid TLS", "check the URL in the settings and the clock"),
    (_BROKEN, "{host} broke off the connection", ""),
)


def host_of(url: str) -> str:
    """Host and port of a URL, without a user or password in it."""
    parts = urlsplit(url)
    return f"{parts.hostname or url}:{parts.port}" if parts.port else parts.hostname or url


def unreachable(failure: BaseException, url: str, path: str) -> SourceUnavailable:
    """The error that a failed exchange with the host of `url` is told as."""
    host, chain = host_of(url), [*_chain(failure)]
    for kinds, words, remedy in _KINDS:
        if any(isinstance(one, kinds) for one in chain):
            return SourceUnavailable(words.format(host=host), path=path, remedy=remedy)
    kind = type(failure).__name__
    return SourceUnavailable(f"no complete answer from {host}: {kind}", path=path)


def _chain(failure: BaseException) -> Iterator[BaseException]:
    """An exception and those that it wraps, however its library keeps them."""
    seen: list[BaseException] = []
    waiting: list[Any] = [failure]
    while waiting:
        one = waiting.pop()
        if not isinstance(one, BaseException) or one in seen:
            continue
        seen.append(one)
        yield one
        wrapped = getattr(one, "kwargs", {})  # botocore's
        inside = wrapped.get("error") if isinstance(wrapped, dict) else None
        waiting += [inside, getattr(one, "reason", None), *one.args, one.__cause__, one.__context__]
