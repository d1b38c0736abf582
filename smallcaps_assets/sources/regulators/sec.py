"""The SEC's hosts: files of fails-to-deliver, EDGAR's indexes, companies' submissions.

The SEC wants to know who asks and answers at most ten requests a second of one address, whatever
the number of processes; a client without a contact sends nothing. How files are read is in
`fails.py` and `edgar.py`.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import date, timedelta
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import polars as pl

from smallcaps_assets.domain.feeds.acceptance import ERA, with_acceptance
from smallcaps_assets.settings import SecSettings
from smallcaps_assets.sources.errors import (
    Blocked,
    MissingContact,
    NotFound,
    SourceError,
    TruncatedAnswer,
)
from smallcaps_assets.sources.http import decode
from smallcaps_assets.sources.http.throttle import Throttle, Window
from smallcaps_assets.sources.http.transport import (
    LARGEST_BODY,
    Answer,
    Request,
    Transport,
    error_of,
)
from smallcaps_assets.sources.regulators import edgar
from smallcaps_assets.sources.regulators.fails import parse_fails, unzipped

PACE = Window(8, 1.0)
"""Below the ten a second that the SEC allows: requests may bunch on their way."""
WORKERS = 4
LISTING = "/data-research/sec-markets-data/fails-deliver-data"
FOLDERS = (
    "/files/data/fails-deliver-data",
    "/files/data/other/fails-deliver-data",
    "/files/data/frequently-requested-foia-document-fails-deliver-data",
    "/files/node/add/data_distribution",
)
T = TypeVar("T")


class _Submitted(NamedTuple):
    """A company's filings as edgar.SUBMISSION, all of them from `since` on."""

    rows: pl.DataFrame
    since: date = date.min


class SecClient:
    """Files and records of the SEC. Safe to use from many threads.

    `contact` is who asks. `throttle` is the pace; by default PACE, shared with other processes
    through `state_path`. `options` are those of the transport.
    """

    def __init__(
        self,
        settings: SecSettings | None = None,
        url: str = "",
        data_url: str = "",
        throttle: Throttle | None = None,
        *,
        contact: str = "",
        state_path: Path | None = None,
        **options: Any,
    ) -> None:
        settings = settings or SecSettings()
        self._contact = contact or settings.contact
        pace = throttle or Throttle(window=PACE)
        if throttle is None and state_path is not None:
            pace.remember_in(state_path)
        make = partial(
            Transport,
            key="",
            throttle=pace,
            workers=WORKERS,
            classify=_sec_error,
            user_agent=self._contact or "none",
            **options,
        )
        self._files = make(url or settings.url)
        self._data = make(data_url or url or settings.data_url)
        self._names: dict[str, str] = {}
        self._quarters: dict[str, pl.DataFrame] = {}
        self._submissions: dict[str, _Submitted] = {}

    def __enter__(self) -> SecClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._files.close()
        self._data.close()

    def fails(self, half_month: date) -> pl.DataFrame:
        """The table fails_to_deliver of the half-month that begins on a day.

        Asks where the SEC's page says, else in the folders it has used. Raises NotFound when no
        file is published, MissingContact without a contact, and as `unzipped` and `parse_fails`.
        """
        name = f"cnsfails{half_month:%Y%m}{'a' if half_month.day == 1 else 'b'}"

        def read(answer: Answer) -> pl.DataFrame:
            path = answer.request.path
            return parse_fails(unzipped(answer.body, path), half_month, path)

        for path in self._fails_paths(name):
            try:
                return self._get(Request(path, accept="*/*", largest=LARGEST_BODY), read)
            except NotFound:
                continue
        raise NotFound(
            f"the SEC has no file {name}.zip",
            path=LISTING,
            remedy="the first half of a month comes at its end, the second about the 15th of the"
            " next; the first file is that of 2004-03-16",
        )

    def _fails_paths(self, name: str) -> list[str]:
        """Where a file may lie: where the page says, then in the usual folders."""
        names = self._names
        if name not in names and f"{name}_0" not in names:
            with suppress(NotFound):
                names = self._names = self._get(Request(LISTING, accept="text/html"), _links)
        told = [names[key] for key in (name, f"{name}_0") if key in names]
        usual = [f"{folder}/{name}{end}.zip" for folder in FOLDERS for end in ("", "_0")]
        return list(dict.fromkeys([*told, *usual]))

    def index(self, first: date, last: date) -> pl.DataFrame:
        """What was filed from `first` to `last`, one calendar month, in columns of edgar.INDEX.

        From the quarter's index; where that does not reach the last day yet, from daily ones.
        """
        quarter = f"{first.year}/QTR{(first.month + 2) // 3}"
        inside = pl.col("filing_date").is_between(first, last)
        whole = self._quarter(quarter, last)
        newest = _newest(whole)
        after = first if newest is None else max(first, newest + timedelta(1))
        found = [] if whole is None else [whole.filter(inside)]
        days = [after + timedelta(n) for n in range((last - after).days + 1)]
        for day in (day for day in days if day.weekday() < 5):
            daily = self._index(f"/Archives/edgar/daily-index/{quarter}/master.{day:%Y%m%d}.idx")
            if daily is not None:
                found.append(daily.filter(inside))
        if not found:
            raise NotFound(f"EDGAR has no index of {first:%Y-%m}", path=quarter)
        return pl.concat(found).unique(maintain_order=True)

    def _quarter(self, quarter: str, last: date) -> pl.DataFrame | None:
        """A quarter's index; one that was read and reaches the last day is not asked for again."""
        held = self._quarters.get(quarter)
        newest = _newest(held)
        if held is None or newest is None or newest < last:
            held = self._index(f"/Archives/edgar/full-index/{quarter}/master.idx")
        if held is not None:
            self._quarters[quarter] = held
        return held

    def _index(self, path: str) -> pl.DataFrame | None:
        """The forms of an index that are kept; None when there is no such index."""

        def read(answer: Answer) -> pl.DataFrame:
            return edgar.parse_index(answer.body, path)

        try:
            found = self._get(Request(path, accept="text/plain", largest=LARGEST_BODY), read)
        except NotFound:
            return None
        newest = found.filter(pl.col("filing_date") == pl.col("filing_date").max()).head(1)
        return pl.concat([edgar.wanted_forms(found), newest]).unique(maintain_order=True)

    def filings(self, month: date, ciks: Collection[str], last: date) -> pl.DataFrame:
        """The table `filings` of a month up to `last`, of the companies of `ciks`.

        Filings dated after `last` change nothing in it.
        """
        index = edgar.wanted_forms(self.index(month, last))
        index = index.filter(pl.col("cik").is_in(list(ciks)))
        companies = index["cik"].unique().sort().to_list()
        with ThreadPoolExecutor(WORKERS, thread_name_prefix="edgar") as pool:
            pages = list(pool.map(lambda cik: self._of_company(cik, index, last - ERA), companies))
        empty = pl.DataFrame(schema=edgar.SUBMISSION | {"cik": pl.String})
        return edgar.filings(index, with_acceptance(pl.concat([empty, *pages]), last), month)

    def _of_company(self, cik: str, index: pl.DataFrame, first: date) -> pl.DataFrame:
        """A company's submissions with those of an index and all since `first`.

        Read once per client, unless they don't reach as far.
        """
        wanted = index.filter(pl.col("cik") == cik)
        held = self._submissions.get(cik)
        if held is None or held.since > first or not _has_all(held.rows, wanted):
            held = self._submissions[cik] = self._read_submissions(cik, wanted, first)
        return held.rows.with_columns(pl.lit(cik).alias("cik"))

    def _read_submissions(self, cik: str, wanted: pl.DataFrame, first: date) -> _Submitted:
        """A company's filings, with pages of older ones as far as `wanted` and `first`."""
        path = f"/submissions/CIK{cik}.json"
        newest: list[pl.DataFrame] = []

        def read(answer: Answer) -> edgar.Submissions:
            found = edgar.read_submissions(answer, cik)
            newest[:] = [edgar.submission_frame(answer, found.filings.recent)]
            return found

        try:
            found = self._get(Request(path), read, self._data)
        except NotFound:
            return _Submitted(pl.DataFrame(schema=edgar.SUBMISSION))
        frames, since = [*newest], date.min
        for file in found.filings.files:
            if "" < file.filingTo < str(first) and _has_all(pl.concat(frames), wanted):
                since = first
                break
            frames.append(self._get(Request(_page_path(file.name, cik)), _page, self._data))
        return _Submitted(pl.concat(frames).unique("accession_number", maintain_order=True), since)

    def _get(self, request: Request, read: Any, transport: Transport | None = None) -> Any:
        if not self._contact:
            raise MissingContact("the SEC was not asked: no contact is set", path=request.path)
        return (transport or self._files).fetch(request, read)


def _newest(index: pl.DataFrame | None) -> date | None:
    """The newest date in an index."""
    newest = None if index is None else index["filing_date"].max()
    return newest if isinstance(newest, date) else None


def _page_path(name: str, cik: str) -> str:
    """The path of a page of older filings, whose name must be that of one of the company's."""
    if not re.fullmatch(rf"CIK{cik}-submissions-\d+\.json", name):
        raise TruncatedAnswer(f"a page of filings called {name!r}", path=f"CIK{cik}.json")
    return f"/submissions/{name}"


def _page(answer: Answer) -> pl.DataFrame:
    return edgar.submission_frame(answer, decode.parsed(answer, edgar.Columns))


def _has_all(held: pl.DataFrame, wanted: pl.DataFrame) -> bool:
    return wanted.join(held, on="accession_number", how="anti").is_empty()


def _sec_error(answer: Answer) -> SourceError | None:
    """The SEC turns a client away with a page and 403; missing files may be 403 of S3 or 404."""
    if answer.status == 403:
        if b"<Code>AccessDenied</Code>" in answer.body or b"<Code>NoSuchKey</Code>" in answer.body:
            return answer.problem(NotFound, "the SEC has no such file")
        return answer.problem(
            Blocked,
            "the SEC turned the request away",
            "wait ten minutes without any request, and see that sec.contact names you",
        )
    return error_of(answer)


class _Links(HTMLParser):
    """Collects the targets of links."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if tag == "a" and name == "href" and value]


def _links(answer: Answer) -> dict[str, str]:
    """Paths of the files of fails that a page links to, by name without its end."""
    parser = _Links()
    parser.feed(answer.body.decode("utf-8", "replace"))
    found: dict[str, str] = {}
    for link in parser.found:
        match = re.search(
            r"(?:^https://www\.sec\.gov)?(/[\w./-]*/(cnsfails\d{6}[ab](?:_0)?)\.zip)$", link
        )
        if match and ".." not in link:
            found.setdefault(match[2], match[1])
    return found
