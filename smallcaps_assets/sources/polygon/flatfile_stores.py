"""Where flat files lie: a local folder, a plain HTTP endpoint, or S3 with keys.

A store lists files and hands out one at a time, opened, with its ETag. Published files get replaced
by the vendor, so the ETag is part of what was read. A download has no name on the disk, so that a
killed process leaves none behind. What is in a file is `flatfiles.py`.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol
from urllib.parse import quote, urlencode
from xml.etree import ElementTree

import requests
import urllib3

from smallcaps_assets.sources.errors import (
    BadAnswer,
    MissingExtra,
    NotEntitled,
    NotFound,
    SourceError,
    SourceUnavailable,
    TruncatedAnswer,
    WrongContent,
)
from smallcaps_assets.sources.http.transport import CHUNK, Answer, KeyHeader, Request, error_of
from smallcaps_assets.sources.http.unreachable import host_of, unreachable

BUCKET = "flatfiles"
LARGEST_FILE = 1 << 34  # bytes; a day of trades has 1-3 GB
LARGEST_LISTING = 1 << 24
REGION = "us-east-1"  # any is accepted; S3 clients insist on one


@dataclass(frozen=True)
class StoredFile:
    """A file as listed: key, size in bytes, ETag; for a local one when it was last changed."""

    key: str
    size: int
    etag: str
    modified: float = 0.0


class Store(Protocol):
    """A place with flat files. `is_local` means that reading costs no download."""

    is_local: bool

    @property
    def host(self) -> str:
        """Who is asked, as messages name it."""
        ...

    def list(self, prefix: str) -> list[StoredFile]:
        """The files whose key begins with `prefix`, by key."""
        ...

    def opened(self, key: str) -> Any:
        """A context with (file, etag). Raises NotFound, NotEntitled or SourceUnavailable."""
        ...


class LocalStore:
    """A folder that holds `us_stocks_sip/...` as in the bucket."""

    is_local = True

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def host(self) -> str:
        return str(self._root)

    def list(self, prefix: str) -> list[StoredFile]:
        """The files whose key begins with `prefix`; no ETags, they would read every file."""
        folder = self._root / prefix.rpartition("/")[0]
        found = [path for path in folder.rglob("*.csv.gz") if path.is_file()]
        keyed = sorted((path.relative_to(self._root).as_posix(), path) for path in found)
        named = [(key, path.stat()) for key, path in keyed if key.startswith(prefix)]
        return [StoredFile(key, stat.st_size, "", stat.st_mtime) for key, stat in named]

    @contextmanager
    def opened(self, key: str) -> Iterator[tuple[BinaryIO, str]]:
        """The file itself; its ETag is the MD5 of its bytes, as in S3."""
        path = self._root / key
        if not path.is_file():
            raise NotFound("no such flat file", path=key, remedy="check polygon.flatfiles_dir")
        with path.open("rb") as file:
            etag = hashlib.file_digest(file, "md5").hexdigest()
            file.seek(0)
            yield file, etag


class HttpStore:
    """An endpoint that serves the bucket path-style without signatures, such as the sandbox."""

    is_local = False

    def __init__(
        self,
        url: str,
        connect_timeout: float = 10,
        read_timeout: float = 30,
        bucket: str = BUCKET,
    ) -> None:
        self._url, self._bucket = url.rstrip("/"), bucket
        self._timeouts = (connect_timeout, read_timeout)
        self._session = requests.Session()
        self._session.headers["Accept-Encoding"] = "identity"
        self._session.auth = KeyHeader("", self._url)  # none, and none out of ~/.netrc either

    @property
    def host(self) -> str:
        return host_of(self._url)

    def list(self, prefix: str) -> list[StoredFile]:
        """The bucket's listing, all pages. Raises SourceError."""
        query = {"list-type": "2", "prefix": prefix}
        found: list[StoredFile] = []
        while True:
            with self._get(f"/{self._bucket}?{urlencode(query)}") as response:
                files, token = _listing(_bounded(response))
            found += files
            if not token:
                return found
            query["continuation-token"] = token

    @contextmanager
    def opened(self, key: str) -> Iterator[tuple[BinaryIO, str]]:
        """The file, downloaded to a temporary place and gone afterwards."""
        with tempfile.TemporaryFile() as file:
            etag = self._download(key, file)
            yield _rewound(file), etag

    def _download(self, key: str, file: BinaryIO) -> str:
        failure: SourceError | None = None
        with self._get(f"/{self._bucket}/{quote(key)}") as response:
            try:
                while chunk := response.raw.read(CHUNK, decode_content=False):
                    _append(file, chunk, key)
            except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as problem:
                failure = unreachable(problem, self._url, key)
            headers = response.headers
        if failure is not None:
            raise failure
        declared, size = headers.get("Content-Length", ""), file.tell()
        if declared.isdecimal() and declared != str(size):
            raise TruncatedAnswer(f"{size} of {declared} bytes arrived", path=key)
        return headers.get("ETag", "").strip('"')

    def _get(self, path: str) -> requests.Response:
        try:
            response = self._session.get(
                self._url + path, timeout=self._timeouts, stream=True, allow_redirects=False
            )
        except requests.RequestException as problem:
            raise unreachable(problem, self._url, path) from None
        if response.status_code != 200:
            with response:
                raise _refusal(response, path)
        return response


class S3Store:
    """The vendor's bucket, with the access key and secret from its dashboard."""

    is_local = False

    def __init__(
        self,
        url: str,
        access_key: str,
        secret_key: str,
        connect_timeout: float = 10,
        read_timeout: float = 30,
        bucket: str = BUCKET,
    ) -> None:
        self._url, self._bucket = url, bucket
        self._client = _s3_client(url, access_key, secret_key, connect_timeout, read_timeout)

    @property
    def host(self) -> str:
        return host_of(self._url)

    def list(self, prefix: str) -> list[StoredFile]:
        """The bucket's listing, all pages. Raises SourceError."""
        with _s3_errors(self._url, prefix):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=prefix
            )
            return [
                StoredFile(found["Key"], found["Size"], found["ETag"].strip('"'))
                for page in pages
                for found in page.get("Contents", [])
            ]

    @contextmanager
    def opened(self, key: str) -> Iterator[tuple[BinaryIO, str]]:
        """The file, downloaded to a temporary place and gone afterwards."""
        with tempfile.TemporaryFile() as file:
            with _s3_errors(self._url, key):
                answer = self._client.get_object(Bucket=self._bucket, Key=key)
                for chunk in answer["Body"].iter_chunks(CHUNK):
                    _append(file, chunk, key)
            if file.tell() != answer["ContentLength"]:
                raise TruncatedAnswer(f"{file.tell()} bytes arrived", path=key)
            yield _rewound(file), answer["ETag"].strip('"')


def _append(file: BinaryIO, chunk: bytes, key: str) -> None:
    if file.tell() > LARGEST_FILE:
        raise WrongContent(f"the file has more than {LARGEST_FILE} bytes", path=key)
    file.write(chunk)


def _rewound(file: BinaryIO) -> BinaryIO:
    file.seek(0)
    return file


def _refusal(response: requests.Response, path: str) -> SourceError:
    body = response.raw.read(2000, decode_content=False) or b""
    answer = Answer(Request(path), response.status_code, body, response.headers)
    return error_of(answer) or BadAnswer("not a file", path=path)


def _bounded(response: requests.Response) -> bytes:
    """The raw body of a listing, a thousand files at most."""
    body = response.raw.read(LARGEST_LISTING + 1, decode_content=False)
    if len(body) > LARGEST_LISTING:
        raise BadAnswer(f"the listing of the bucket has more than {LARGEST_LISTING} bytes")
    return body


def _listing(body: bytes) -> tuple[list[StoredFile], str]:
    try:
        root = ElementTree.fromstring(body)
    except ElementTree.ParseError:
        raise BadAnswer("the listing of the bucket is no XML") from None
    files = [
        StoredFile(
            item.findtext("{*}Key", ""),
            int(item.findtext("{*}Size", "0")),
            item.findtext("{*}ETag", "").strip('"'),
        )
        for item in root.findall("{*}Contents")
    ]
    return files, root.findtext("{*}NextContinuationToken", "")


def _s3_client(url: str, access_key: str, secret_key: str, connect: float, read: float) -> Any:
    try:
        import boto3
        from botocore.config import Config
    except ImportError:
        missing = MissingExtra(
            "boto3 is not installed, and keys for the flat files are configured",
            remedy="pip install 'smallcaps-assets[flatfiles]', or set polygon.minute_route=rest",
        )
    else:
        return boto3.client(
            "s3",
            endpoint_url=url,
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            region_name=REGION,
            config=Config(
                signature_version="s3v4",
                connect_timeout=connect,
                read_timeout=read,
                s3={"addressing_style": "path"},
            ),
        )
    raise missing


@contextmanager
def _s3_errors(url: str, key: str) -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as failure:
        error = _s3_error(failure.response, key)
    except (BotoCoreError, urllib3.exceptions.HTTPError, OSError) as failure:
        error = unreachable(failure, url, key)
    else:
        return
    raise error


def _s3_error(response: Any, key: str) -> SourceError:
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    code = str(response.get("Error", {}).get("Code", ""))
    kinds = {403: NotEntitled, 404: NotFound}
    kind = kinds.get(status, SourceUnavailable)
    remedy = "check the access key and secret" if code in _BAD_KEYS else ""
    return kind(f"S3 said {code or 'nothing'}", status=status, path=key, remedy=remedy)


_BAD_KEYS = ("InvalidAccessKeyId", "SignatureDoesNotMatch")
