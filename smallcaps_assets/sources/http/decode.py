"""Bytes of an answer to typed rows and polars frames.

JSON goes through msgspec structs, so that nanosecond integers stay exact; CSV through polars with
declared types. A body that is not what the format says becomes a `BadAnswer`, never a partial
frame. Which rows are wanted, and how pages follow each other, is decided by the callers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from threading import Lock
from typing import Any, Generic, Protocol, TypeVar

import msgspec
import polars as pl

from smallcaps_assets.sources.errors import BadAnswer, SourceError, TruncatedAnswer
from smallcaps_assets.sources.http.transport import Answer

R = TypeVar("R")
S = TypeVar("S")
Number = int | float
_DECODERS = Lock()


class TickerRow(msgspec.Struct, gc=False):
    """A row of /v3/reference/tickers."""

    ticker: str
    name: str | None = None
    type: str | None = None
    primary_exchange: str | None = None
    active: bool | None = None
    cik: str | None = None
    composite_figi: str | None = None
    share_class_figi: str | None = None
    delisted_utc: str | None = None
    last_updated_utc: str | None = None


class DetailsRow(msgspec.Struct):
    """The object of /v3/reference/tickers/{ticker}."""

    ticker: str
    name: str | None = None
    description: str | None = None
    cik: str | None = None
    composite_figi: str | None = None
    sic_code: str | None = None
    sic_description: str | None = None
    total_employees: Number | None = None
    list_date: str | None = None
    delisted_utc: str | None = None
    share_class_shares_outstanding: Number | None = None


class SplitRow(msgspec.Struct, gc=False):
    """A row of the splits endpoints, old and new."""

    ticker: str
    execution_date: str
    split_from: Number | None = None
    split_to: Number | None = None


class DividendRow(msgspec.Struct, gc=False):
    """A row of the dividends endpoints, old (`dividend_type`) and new (`distribution_type`)."""

    ticker: str
    ex_dividend_date: str
    cash_amount: Number | None = None
    id: str | None = None
    currency: str | None = None
    declaration_date: str | None = None
    record_date: str | None = None
    pay_date: str | None = None
    frequency: int | None = None
    distribution_type: str | None = None
    dividend_type: str | None = None


class BarRow(msgspec.Struct, gc=False, kw_only=True):
    """A bar; `t` in milliseconds; prices may be missing on bars without eligible trades.

    The fields stand in the vendor's order, in which they are found fastest.
    """

    T: str | None = None
    v: Number | None = None
    vw: Number | None = None
    o: Number | None = None
    c: Number | None = None
    h: Number | None = None
    l: Number | None = None  # noqa: E741  (the vendor's name)
    t: int
    n: Number | None = None


class TradeRow(msgspec.Struct, gc=False, kw_only=True):
    """A trade; instants in nanoseconds. The fields stand in the vendor's (alphabetical) order."""

    conditions: list[int] | str | None = None
    correction: int | None = None
    decimal_size: str | None = None
    exchange: int
    id: str = ""
    participant_timestamp: int | None = None
    price: Number
    sequence_number: int
    sip_timestamp: int
    size: Number | None = None
    tape: int | None = None
    trf_id: int | None = None
    trf_timestamp: int | None = None


def parsed(answer: Answer, kind: type[R]) -> R:
    """The JSON of an answer as `kind`. Raises BadAnswer when it is something else."""
    try:
        return decoder(kind).decode(answer.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        raise answer.problem(BadAnswer, f"not the JSON that was expected: {problem}") from None


class Page(msgspec.Struct, Generic[R]):
    """The envelope of an answer together with its `results`, decoded in one go."""

    status: str = ""
    results: R | None = None
    next_url: str | None = None
    ticker: str | None = None
    adjusted: bool | None = None
    count: int | None = None
    resultsCount: int | None = None  # noqa: N815  (the vendor's name)


def listing(answer: Answer, row_type: type[S]) -> tuple[Page[list[S]], list[S]]:
    """The envelope and the rows of a list; no rows when `results` is missing or null.

    Raises BadAnswer when the body is no such JSON (a body cut in the middle is none), a row does
    not fit, or the status is not one of success; TruncatedAnswer when the page says that it has
    more rows. More rows than announced are repetitions, which the callers drop.
    """
    found = parse(answer, Page[list[row_type]])
    check_status(answer, found.status)
    rows = found.results or []
    claimed = found.count if found.resultsCount is None else found.resultsCount
    if claimed is not None and claimed > len(rows):
        raise answer.problem(TruncatedAnswer, f"{len(rows)} rows came, {claimed} were announced")
    return found, rows


def single(answer: Answer, row_type: type[S]) -> S:
    """The `results` of an answer about one thing. Raises BadAnswer, also when there are none."""
    found = parse(answer, Page[row_type])
    check_status(answer, found.status)
    if found.results is None:
        raise answer.problem(BadAnswer, "an answer without results")
    return found.results


def check_status(answer: Answer, status: str) -> None:
    """Raises BadAnswer when a status is not one of success; delayed plans say DELAYED."""
    if status not in ("OK", "DELAYED"):
        raise answer.problem(BadAnswer, f"status {status!r} came, OK was expected")


def parse(answer: Answer, kind: type[S]) -> S:
    """A JSON body as a typed value. Raises BadAnswer."""
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        start = answer.body[:40].decode("utf-8", "replace")
        found = f"the body does not fit ({problem}): {start!r}"
        raise answer.problem(BadAnswer, found) from None


def decoder(kind: type[S]) -> msgspec.json.Decoder[S]:
    """What reads JSON as a type: made once, since threads that make the first at once crash."""
    with _DECODERS:
        return _made_decoder(kind)


@lru_cache(maxsize=256)
def _made_decoder(kind: Any) -> msgspec.json.Decoder:
    return msgspec.json.Decoder(kind)


def frame(found: Sequence[Any], types: Mapping[str, Any]) -> pl.DataFrame:
    """Rows of structs as a frame: one column per name in `types`, of the given polars type."""
    columns = {
        name: pl.Series(name, [getattr(row, name) for row in found], dtype=dtype, strict=False)
        for name, dtype in types.items()
    }
    return pl.DataFrame(columns)


class Problem(Protocol):
    """Makes an error about the bytes in hand; `Answer.problem` is one."""

    def __call__(self, kind: type[SourceError], found: str) -> SourceError: ...


def csv_frame(
    body: bytes,
    types: Mapping[str, Any],
    required: Sequence[str],
    problem: Problem,
    filled: Sequence[str] | None = None,
) -> pl.DataFrame:
    """A CSV, read by column name; optional columns that it lacks come as nulls.

    Raises TruncatedAnswer when the last byte is no newline (polars reads a row cut in the middle
    without a word), BadAnswer when a required column is missing, a `filled` one (by default all
    required ones) is empty somewhere, or a value has another type.
    """
    if not body.endswith(b"\n"):
        raise problem(TruncatedAnswer, "the CSV does not end with a newline")
    header = body[: body.index(b"\n")].decode("utf-8-sig", "replace").strip().split(",")
    missing = [name for name in required if name not in header]
    if missing:
        raise problem(BadAnswer, f"column {missing[0]!r} is missing from {header[:20]}")
    known = {name: types[name] for name in header if name in types}
    try:
        found = pl.read_csv(body, columns=list(known), schema_overrides=known)
    except (pl.exceptions.PolarsError, ValueError) as failure:
        reason = str(failure).splitlines()[0]
        raise problem(BadAnswer, f"the CSV can't be read: {reason}") from None
    gaps = [name for name in filled or required if found[name].null_count()]
    if gaps:
        raise problem(BadAnswer, f"column {gaps[0]!r} has empty cells")
    absent = [pl.lit(None, dtype=t).alias(n) for n, t in types.items() if n not in known]
    return found.with_columns(absent).select(list(types))


def parse_day(column: str) -> pl.Expr:
    """A text column that begins with YYYY-MM-DD as dates; anything else becomes null."""
    return pl.col(column).str.slice(0, 10).str.to_date("%Y-%m-%d", strict=False)


def instant_ns(column: str) -> pl.Expr:
    """An int64 column of UTC nanoseconds as instants."""
    return pl.col(column).cast(pl.Datetime("ns", "UTC"))
