"""EDGAR's indexes and companies' submissions, read and joined to the table `filings`.

An index says which form a company filed on a date; the company's submissions say when it was
accepted, and the items of an 8-K. `acceptanceDateTime` is marked Z but is New York time. How they
are fetched is in `sec.py`.
"""

from __future__ import annotations

import re
from datetime import date, datetime

import msgspec
import polars as pl

from smallcaps_assets.domain.calendar import NEW_YORK
from smallcaps_assets.domain.publication import filed_known_at
from smallcaps_assets.schemas.table import INSTANT
from smallcaps_assets.schemas.tables import TABLES
from smallcaps_assets.sources import decode, text_tables
from smallcaps_assets.sources.errors import BadAnswer, WrongContent
from smallcaps_assets.sources.transport import Answer

FORMS = r"^(S-1|S-3|S-3ASR|424B[1-8]|8-K|EFFECT|RW)(/A)?$"
INDEX = {"cik": pl.String, "company_name": pl.String, "form": pl.String, "filing_date": pl.Date}
_HEADER = "cik|companyname|formtype|datefiled|filename"
_ACCESSION = r"(\d{10}-\d{2}-\d{6})\.txt$"
_AT_THE_MARKET = re.compile(r"at[ -]the[ -]market|\batm\b|sales agreement", re.IGNORECASE)


class Columns(msgspec.Struct):
    """The filings of a page of submissions, as arrays of equal length."""

    accessionNumber: list[str]  # noqa: N815 - EDGAR's names
    filingDate: list[str]  # noqa: N815
    acceptanceDateTime: list[str]  # noqa: N815
    form: list[str]
    items: list[str] = []
    primaryDocument: list[str] = []  # noqa: N815
    primaryDocDescription: list[str] = []  # noqa: N815


class OverflowFile(msgspec.Struct):
    """A page of older filings."""

    name: str
    filingFrom: str = ""  # noqa: N815
    filingTo: str = ""  # noqa: N815


class Pages(msgspec.Struct):
    """The newest filings, and the pages of the older ones."""

    recent: Columns
    files: list[OverflowFile] = []


class Submissions(msgspec.Struct):
    """A company's submissions."""

    cik: str | int
    filings: Pages


SUBMISSION = {
    "accession_number": pl.String,
    "accepted_at": INSTANT,
    "items": pl.String,
    "is_at_the_market": pl.Boolean,
}


def parse_index(body: bytes, path: str = "") -> pl.DataFrame:
    """A master index as INDEX and accession_number, of all forms; empty on days without filings.

    Raises BadAnswer when the layout is another, WrongContent for a web page.
    """
    text_tables.refuse_page(body, path)
    text = text_tables.lines_of(text_tables.decoded(body, path))
    head, dashes, rest = text.partition("\n---")
    header = head.rsplit("\n", 1)[-1].replace(" ", "").lower()
    if not dashes or header != _HEADER:
        raise BadAnswer(f"no line of dashes under the index's header, {header[:60]!r}", path=path)
    names = ("cik", "company_name", "form", "filing_date", "file")
    cells = text_tables.records(rest.partition("\n")[2], names, "|", path)
    found = cells.with_columns(
        pl.col("cik").str.strip_chars().str.zfill(10),
        pl.col("form").str.strip_chars(),
        pl.col("filing_date").str.replace_all("-", "", literal=True).str.strip_chars(),
        pl.col("file").str.extract(_ACCESSION).alias("accession_number"),
    )
    if found["accession_number"].null_count() or not found["cik"].str.contains(r"^\d{10}$").all():
        raise BadAnswer("a line of the index has no number of a company or of a filing", path=path)
    dated = text_tables.whole_days(found, "filing_date", path)
    return dated.select(*INDEX, "accession_number").unique(maintain_order=True)


def wanted_forms(index: pl.DataFrame) -> pl.DataFrame:
    """The rows of an index whose form the table keeps."""
    return index.filter(pl.col("form").str.contains(FORMS))


def read_submissions(answer: Answer, cik: str) -> Submissions:
    """A company's submissions. Raises BadAnswer when they are another company's."""
    found = decode.parsed(answer, Submissions)
    if str(found.cik).zfill(10) != cik:
        raise answer.problem(WrongContent, f"submissions of {found.cik} came for {cik}")
    return found


def submission_frame(answer: Answer, columns: Columns) -> pl.DataFrame:
    """A page's filings of the forms kept, as SUBMISSION.

    Raises BadAnswer when its arrays differ in length.
    """
    count = len(columns.accessionNumber)
    texts = (columns.items, columns.primaryDocument, columns.primaryDocDescription)
    arrays = (columns.acceptanceDateTime, columns.form, *(x for x in texts if x))
    if any(len(array) != count for array in arrays):
        raise answer.problem(BadAnswer, "the arrays of the filings differ in length")
    try:
        moments = [_accepted(text) for text in columns.acceptanceDateTime]
    except ValueError as problem:
        raise answer.problem(BadAnswer, f"an acceptance time makes no sense: {problem}") from None
    told = [" ".join(parts) for parts in zip(*(x for x in texts[1:] if x), strict=True)]
    flags = [bool(_AT_THE_MARKET.search(x)) for x in told] or [False] * count
    found = pl.DataFrame(
        {
            "accession_number": columns.accessionNumber,
            "accepted_at": pl.Series(moments, dtype=INSTANT),
            "items": columns.items or [""] * count,
            "is_at_the_market": flags,
        },
        schema=SUBMISSION,
    )
    return found.filter(pl.Series(columns.form, dtype=pl.String).str.contains(FORMS))


def _accepted(text: str) -> datetime:
    """New York time, whatever its mark says."""
    return datetime.fromisoformat(text.rstrip("Z")).replace(tzinfo=NEW_YORK)


def filings(index: pl.DataFrame, submissions: pl.DataFrame, month: date) -> pl.DataFrame:
    """The table `filings` of a month: rows of its index with what the submissions add.

    A filing that the submissions lack counts as known at the latest moment of its date.
    """
    joined = index.join(submissions, on="accession_number", how="left")
    form = pl.col("form").str.replace("/A", "", literal=True)
    latest = {day: filed_known_at(day) for day in index["filing_date"].unique().sort()}
    fallback = pl.col("filing_date").replace_strict(latest, return_dtype=INSTANT, default=None)
    is_atm = pl.col("is_at_the_market").fill_null(False) & form.str.contains("^(S-3|424B)")
    found = joined.with_columns(
        pl.lit(month).alias("month"),
        pl.col("items").replace("", None),
        pl.col("form").str.ends_with("/A").alias("is_amendment"),
        pl.when(is_atm)
        .then(pl.lit("at_the_market"))
        .when(form == "S-1")
        .then(pl.lit("registration"))
        .when(form.is_in(["S-3", "S-3ASR"]))
        .then(pl.lit("shelf"))
        .when(form.str.starts_with("424B"))
        .then(pl.lit("takedown"))
        .alias("offering"),
        pl.coalesce("accepted_at", fallback).alias("known_at"),
    )
    return TABLES["filings"].conform(found.unique(["cik", "accession_number"]))
