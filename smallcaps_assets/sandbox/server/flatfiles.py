"""Flat files: one gzip CSV per data set and session, behind the little of S3 that clients use.

Path style: bucket `flatfiles`, keys `us_stocks_sip/<data set>/YYYY/MM/YYYY-MM-DD.csv.gz`.
A listed size of a file that nobody has fetched yet is an estimate, since making all of them for a
listing would be slow; ETag and Last-Modified are always those that GET sends.
"""

from __future__ import annotations

import hashlib
import re
import threading
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from xml.sax.saxutils import escape

import polars as pl

from smallcaps_assets.sandbox.cache import BoundedCache
from smallcaps_assets.sandbox.market import BAR_SCHEMA, QUOTE_SCHEMA, TRADE_SCHEMA, Market
from smallcaps_assets.sandbox.server.answers import Answer, compress

BUCKET = "flatfiles"
PRICES = ("day_aggs_v1", "minute_aggs_v1", "trades_v1")
# Data sets, and about how large a file nobody has fetched yet is.
DATA_SETS: dict[str, int] = dict(
    zip((*PRICES, "quotes_v1"), (3_000, 300_000, 900_000, 2_000_000), strict=True)
)
_BAR_COLUMNS = tuple(name for name in BAR_SCHEMA if name != "vwap")
_KEY = re.compile(r"us_stocks_sip/(\w+)/(\d{4})/(\d{2})/(\d{4}-\d{2}-\d{2})\.csv\.gz")
_XMLNS = "http://s3.amazonaws.com/doc/2006-03-01/"
MAXIMUM_KEYS = 1000


@dataclass(frozen=True)
class FileId:
    """A flat file's data set and session."""

    data_set: str
    day: date

    @property
    def key(self) -> str:
        folder = f"us_stocks_sip/{self.data_set}/{self.day:%Y/%m}"
        return f"{folder}/{self.day}.csv.gz"


def parse_key(key: str) -> FileId | None:
    found = _KEY.fullmatch(key)
    if found is None or found[1] not in DATA_SETS:
        return None
    try:
        day = date.fromisoformat(found[4])
    except ValueError:
        return None
    identity = FileId(found[1], day)
    return identity if identity.key == key else None


def csv_text(market: Market, identity: FileId, version: int = 0) -> bytes:
    """The uncompressed file. `version` counts replacements; each changes the last row a little."""
    if identity.data_set == "trades_v1":
        frame = market.session_trades(identity.day).select(list(TRADE_SCHEMA))
        frame = frame.with_columns(pl.col("trf_id", "trf_timestamp").fill_null(0))
        column = "size"
    elif identity.data_set == "quotes_v1":
        frame = market.facts.session_quotes(identity.day).select(list(QUOTE_SCHEMA))
        frame = frame.with_columns(pl.selectors.numeric().fill_null(0))
        column = "ask_size"
    else:
        is_daily = identity.data_set == "day_aggs_v1"
        frame = market.daily_bars(identity.day) if is_daily else market.minute_bars(identity.day)
        frame = frame.select(_BAR_COLUMNS)
        column = "volume"
    last = pl.int_range(pl.len()) == pl.len() - 1
    frame = frame.with_columns(pl.when(last).then(pl.col(column) + version).otherwise(column))
    if (frame[column] % 1 == 0).all():
        frame = frame.with_columns(pl.col(column).cast(pl.Int64))
    return frame.write_csv().encode()


class FlatFiles:
    """The bucket: makes, keeps and lists files; `replace` publishes a corrected one."""

    def __init__(self, market: Market, fingerprint: str) -> None:
        self._market = market
        self._fingerprint = fingerprint
        self._files: BoundedCache[tuple[FileId, int], bytes] = BoundedCache(8)
        self._sizes: dict[tuple[FileId, int], int] = {}
        self._versions: dict[FileId, int] = {}
        self._lock = threading.Lock()

    def replace(self, key: str) -> None:
        identity = parse_key(key)
        if identity is not None:
            self._versions[identity] = self._versions.get(identity, 0) + 1

    def _version(self, identity: FileId) -> int:
        return self._versions.get(identity, 0)

    def content(self, identity: FileId) -> bytes:
        version = self._version(identity)
        with self._lock:
            body = self._files.get((identity, version), lambda: self._make(identity, version))
        self._sizes[identity, version] = len(body)
        return body

    def _make(self, identity: FileId, version: int) -> bytes:
        kept = self._market.flat_file(identity.data_set, identity.day)
        if kept is not None and version == 0:
            return kept.read_bytes()
        return compress(csv_text(self._market, identity, version))

    def exists(self, identity: FileId | None) -> bool:
        return identity is not None and self._market.has_flat_file(identity.data_set, identity.day)

    def etag(self, identity: FileId) -> str:
        text = f"{self._fingerprint}|{identity.key}|{self._version(identity)}"
        return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()

    def modified(self, identity: FileId) -> datetime:
        """Late the next morning, New York time; a replacement comes a day later each time."""
        noon = datetime(identity.day.year, identity.day.month, identity.day.day, 15, 30, tzinfo=UTC)
        return noon + timedelta(days=1 + self._version(identity))

    def _size(self, identity: FileId) -> int:
        known = self._sizes.get((identity, self._version(identity)))
        if known is not None:
            return known
        kept = self._market.flat_file(identity.data_set, identity.day)
        return kept.stat().st_size if kept is not None else DATA_SETS[identity.data_set]

    def keys(self) -> list[FileId]:
        days = self._market.sessions
        found = (FileId(data_set, day) for data_set in DATA_SETS for day in days)
        return [identity for identity in found if self.exists(identity)]

    def get(self, key: str, byte_range: str | None, is_head: bool) -> Answer:
        identity = parse_key(key)
        if identity is None or not self.exists(identity):
            text = "<Code>NoSuchKey</Code><Message>The specified key does not exist.</Message>"
            return _xml(f"<Error>{text}<Key>{escape(key)}</Key></Error>", 404)
        body = self.content(identity)
        headers = {
            "ETag": f'"{self.etag(identity)}"',
            "Last-Modified": format_datetime(self.modified(identity), usegmt=True),
            "Accept-Ranges": "bytes",
        }
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", byte_range or "")
        if found is not None and not is_head and int(found[1]) < len(body):
            first, last = int(found[1]), min(int(found[2] or len(body)), len(body) - 1)
            headers["Content-Range"] = f"bytes {first}-{last}/{len(body)}"
            return Answer(body[first : last + 1], 206, "application/gzip", headers)
        return Answer(body, 200, "application/gzip", headers)

    def listing(self, prefix: str, after: str, delimiter: str, limit: int, is_v2: bool) -> Answer:
        """ListObjects (marker) and ListObjectsV2 (continuation token), sorted by key."""
        everything = sorted(self.keys(), key=lambda f: f.key)
        found = [f for f in everything if f.key.startswith(prefix) and f.key > after]
        folders = _folders(found, prefix, delimiter)
        files = [] if folders else found
        shown = files[: min(limit, MAXIMUM_KEYS)]
        is_truncated = len(files) > len(shown)
        body = [f"<Name>{BUCKET}</Name><Prefix>{escape(prefix)}</Prefix>",
                f"<MaxKeys>{limit}</MaxKeys><IsTruncated>{str(is_truncated).lower()}</IsTruncated>",
                f"<KeyCount>{len(shown) + len(folders)}</KeyCount>" if is_v2 else ""]  # fmt: skip
        if is_truncated:
            tag = "NextContinuationToken" if is_v2 else "NextMarker"
            body.append(f"<{tag}>{escape(shown[-1].key)}</{tag}>")
        body += [self._entry(f) for f in shown]
        body += [f"<CommonPrefixes><Prefix>{escape(f)}</Prefix></CommonPrefixes>" for f in folders]
        return _xml(f'<ListBucketResult xmlns="{_XMLNS}">{"".join(body)}</ListBucketResult>')

    def _entry(self, identity: FileId) -> str:
        stamp = self.modified(identity).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        return (
            f"<Contents><Key>{identity.key}</Key><LastModified>{stamp}</LastModified>"
            f"<ETag>&quot;{self.etag(identity)}&quot;</ETag><Size>{self._size(identity)}</Size>"
            "<StorageClass>STANDARD</StorageClass></Contents>"
        )


def _folders(found: list[FileId], prefix: str, delimiter: str) -> list[str]:
    if not delimiter:
        return []
    rests = [f.key[len(prefix) :] for f in found]
    heads = {rest.split(delimiter)[0] for rest in rests if delimiter in rest}
    return [prefix + head + delimiter for head in sorted(heads)]


def _xml(text: str, status: int = 200) -> Answer:
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'
    return Answer(body.encode(), status, "application/xml")
