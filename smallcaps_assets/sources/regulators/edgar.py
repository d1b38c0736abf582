"""EDGAR's indexes and companies' submissions, read and joined to the table `filings`.

An index says which form a company filed on a date; the company's submissions say when it was
accepted, and the items of an 8-K. How they are fetched is in `sec.py`, on which clock the time of
acceptance is in `domain/feeds/acceptance.py`.
"""

from __future__ import annotations

import re
from datetime import date, datetime

import msgspec
import polars as pl

from smallcaps_assets.domain.feeds.acceptance import filing_known_at, shown_clock
from smallcaps_assets.schemas.tables import TABLES
from smallcaps_assets.sources.errors import BadAnswer, WrongContent
from smallcaps_assets.sources.http import decode
from smallcaps_assets.sources.http.transport import Answer
from smallcaps_assets.sources.regulators import text_tables

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
    "form": pl.String,
    "filing_date": pl.Date,
    "accepted_raw": pl.String,
    "shown_clock": pl.String,
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
    return index.filter(_is_kept())


def read_submissions(answer: Answer, cik: str) -> Submissions:
    """A company's submissions. Raises BadAnswer when they are another company's."""
    found = decode.parsed(answer, Submissions)
    if str(found.cik).zfill(10) != cik:
        raise answer.problem(WrongContent, f"submissions of {found.cik} came for {cik}")
    return found


def submission_frame(answer: Answer, columns: Columns) -> pl.DataFrame:
    """A page's filings as SUBMISSION: of the forms kept, and others that show the clock.

    Raises BadAnswer when its arrays differ in length, or a date or time makes no sense.
    """
    count = len(columns.accessionNumber)
    texts = (columns.items, columns.primaryDocument, columns.primaryDocDescription)
    arrays = (columns.filingDate, columns.acceptanceDateTime, columns.form)
    if any(len(array) != count for array in (*arrays, *(x for x in texts if x))):
        raise answer.problem(BadAnswer, "the arrays of the filings differ in length")
    try:
        days = [date.fromisoformat(text) for text in columns.filingDate]
        accepted = [_accepted(text) for text in columns.acceptanceDateTime]
    except ValueError as problem:
        raise answer.problem(BadAnswer, f"a filing's time makes no sense: {problem}") from None
    told = [" ".join(parts) for parts in zip(*(x for x in texts[1:] if x), strict=True)]
    flags = [bool(_AT_THE_MARKET.search(x)) for x in told] or [False] * count
    found = pl.DataFrame(
        {
            "accession_number": columns.accessionNumber,
            "form": columns.form,
            "filing_date": days,
            "accepted_raw": accepted,
            "shown_clock": [None] * count,
            "items": columns.items or [""] * count,
            "is_at_the_market": flags,
        },
        schema=SUBMISSION,
    ).with_columns(shown_clock().alias("shown_clock"))
    return found.filter(_is_kept() | pl.col("shown_clock").is_not_null())


def _is_kept() -> pl.Expr:
    return pl.col("form").str.contains(FORMS)


def _accepted(text: str) -> str:
    """A time of acceptance as it came. Raises ValueError for what is none of EDGAR's."""
    if text:
        moment = datetime.fromisoformat(text.removesuffix("Z"))
        if moment.tzinfo is not None or not 1993 <= moment.year <= 2100:
            raise ValueError(f"{text!r} is not of EDGAR's years and marked Z")
    return text


def filings(index: pl.DataFrame, submissions: pl.DataFrame, month: date) -> pl.DataFrame:
    """The table `filings` of a month: rows of its index with what the submissions add.

    `submissions` are those of `with_acceptance`. A filing that they lack has no time of acceptance.
    """
    key = ["cik", "accession_number"]
    joined = index.join(submissions.drop("form", "filing_date"), on=key, how="left")
    form = pl.col("form").str.replace("/A", "", literal=True)
    is_atm = pl.col("is_at_the_market").fill_null(False) & form.str.contains("^(S-3|424B)")
    found = joined.with_columns(
        pl.lit(month).alias("month"),
        pl.col("items").replace("", None),
        pl.col("accepted_raw").replace("", None),
        pl.col("accepted_clock").fill_null("unknown"),
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
        filing_known_at().alias("known_at"),
    )
    return TABLES["filings"].conform(found.unique(key))
