"""From a table and a partition key to a place in the lake, and back.

`<layer>/<table>/<hive keys>/<table>.parquet`. Keys are checked here, so that no vendor string can
leave the lake's folder. Lower-case letters are percent-encoded, because `BCpC` and `BCPC` are two
companies and some file systems can't tell them apart; hive readers decode them again.
"""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import unquote, urlsplit

from smallcaps_assets.lake.errors import LakeError
from smallcaps_assets.schemas import Partitioning, Table
from smallcaps_assets.settings import PERIOD_NAME

if TYPE_CHECKING:
    from upath import UPath

_TICKER = re.compile(r"[A-Za-z0-9][A-Za-z0-9.\-/]{0,19}")
_PLAIN = re.compile(r"[A-Z0-9.\-]")
_WITH_KEYS = re.compile(r"\w+://([^@]*:[^@]*)@")
_CONNECTION = {
    "connect_timeout": 5,
    "read_timeout": 60,
    "max_pool_connections": 64,
    "retries": {"max_attempts": 0},
}
_HIVE_NAME = {
    Partitioning.SESSION: "date",
    Partitioning.HALF_MONTH: "half_month",
    Partitioning.MONTH: "month",
    Partitioning.YEAR: "year",
    Partitioning.TICKER: "ticker",
    Partitioning.PERIOD: "period",
    Partitioning.STRATEGY: "strategy",
}


class PartitionKeyError(LakeError, ValueError):
    """A partition key that is not of the table's form."""


def open_root(root: str | Path | UPath) -> UPath:
    """A lake's root: a path, or of an object store what universal_pathlib makes of it.

    That library's import takes longer than many a command. Raises LakeError for another scheme, and
    for an address with keys in it.
    """
    if isinstance(root, Path) or (isinstance(root, str) and "://" not in root):
        return cast("UPath", Path(root))
    if isinstance(root, str) and (found := _WITH_KEYS.match(root)):
        raise LakeError(
            f"lake {root.replace(found[1], '***', 1)}: keys are no part of an address;"
            " set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    parts = urlsplit(str(root))
    if parts.scheme == "file":
        return cast("UPath", Path(unquote(parts.path)))
    if parts.scheme not in ("s3", "s3a"):
        raise LakeError(
            f"lake {root}: a lake is a folder or s3://bucket/prefix; other object stores are"
            " reached by their S3 API, with its address in AWS_ENDPOINT_URL"
        )
    from upath import UPath

    # A listing that another process has changed is not to be kept; `objects.py` repeats requests.
    return UPath(root, use_listings_cache=False, config_kwargs=_CONNECTION)


def encode(ticker: str) -> str:
    """A ticker as a folder name that any file system can hold."""
    return "".join(c if _PLAIN.fullmatch(c) else f"%{ord(c):02X}" for c in ticker)


def split_ticker_session(key: str) -> tuple[str, date]:
    """`AAME_2021-02-05` as ticker and session. Raises PartitionKeyError."""
    ticker, _, day = key.rpartition("_")
    _check(_TICKER.fullmatch(ticker) is not None, key, "TICKER_YYYY-MM-DD, such as AAME_2021-02-05")
    return ticker, _date(day, key)


def partition_folder(table: Table, key: str | None) -> str:
    """The folder of a partition below the lake's root. Raises PartitionKeyError."""
    base = f"{table.layer}/{table.name}"
    hive = "/".join(
        f"{name}={encode(value) if name == 'ticker' else value}"
        for name, value in hive_keys(table, key).items()
    )
    return f"{base}/{hive}" if hive else base


def is_key(table: Table, key: str) -> bool:
    """Whether a partition key is of the table's form."""
    try:
        hive_keys(table, key)
    except PartitionKeyError:
        return False
    return True


def key_of_folder(table: Table, folder: str) -> str:
    """The partition key of hive folders such as `ticker=AAME/date=2021-02-05`."""
    values = [unquote(part.partition("=")[2]) for part in folder.split("/") if part]
    return "_".join(values)


def depth(table: Table) -> int:
    """Number of hive folders between the table and its files."""
    cuts = {Partitioning.NONE: 0, Partitioning.TICKER_SESSION: 2}
    return cuts.get(table.partitioning, 1)


def hive_keys(table: Table, key: str | None) -> dict[str, str]:
    """The names and values of a partition's hive folders. Raises PartitionKeyError."""
    cut = table.partitioning
    if cut is Partitioning.NONE:
        return {}
    if key is None:
        raise PartitionKeyError(f"{table.name} is partitioned by {cut}; name a partition key")
    if cut is Partitioning.TICKER_SESSION:
        ticker, day = split_ticker_session(key)
        return {"ticker": ticker, "date": day.isoformat()}
    return {_HIVE_NAME[cut]: _checked(cut, key)}


def _checked(cut: Partitioning, key: str) -> str:
    if cut is Partitioning.SESSION:
        return _date(key, key).isoformat()
    if cut is Partitioning.TICKER:
        _check(_TICKER.fullmatch(key) is not None, key, "a ticker")
        return key
    if cut is Partitioning.MONTH:
        _check(re.fullmatch(r"[0-9]{4}-[0-9]{2}", key) is not None, key, "YYYY-MM")
    elif cut is Partitioning.HALF_MONTH:
        is_start = re.fullmatch(r"[0-9]{4}-[0-9]{2}-(01|16)", key) is not None
        _check(is_start, key, "YYYY-MM-01 or YYYY-MM-16")
    elif cut is Partitioning.YEAR:
        _check(re.fullmatch(r"[0-9]{4}", key) is not None, key, "YYYY")
    else:
        _check(PERIOD_NAME.fullmatch(key) is not None, key, f"a {cut} name")
    return key


def _date(text: str, key: str) -> date:
    _check(re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text) is not None, key, "a date YYYY-MM-DD")
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise PartitionKeyError(f"partition key {key!r}: {text} is no date") from None


def _check(good: bool, key: str, form: str) -> None:
    if not good:
        raise PartitionKeyError(f"partition key {key!r} is not of the form {form}")
