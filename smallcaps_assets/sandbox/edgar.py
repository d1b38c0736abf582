"""EDGAR of the simulated market: filings of its companies, indexes and submissions made of them.

Filings are drawn independently of prices, except that a published reverse split has an 8-K of the
evening before. An index serves what was filed up to the market's last day; the quarter's lags
behind by some days, which the daily ones fill.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from smallcaps_assets.sandbox.actions import Split
from smallcaps_assets.sandbox.companies import Listing
from smallcaps_assets.sandbox.market import Row
from smallcaps_assets.sandbox.randomness import uniform

STREAM_EDGAR = 541
RECENT = 10
"""Filings in a company's newest page, so that small companies have older pages too."""
QUARTER_LAG = timedelta(days=4)
_ROUTINE = 0.03  # share of company-sessions with some filing
_KINDS: tuple[tuple[float, str, str, str], ...] = (
    (0.55, "8-K", "8.01,9.01", "CURRENT REPORT"),
    (0.68, "8-K", "1.01,9.01", "CURRENT REPORT"),
    (0.74, "8-K", "3.01", "CURRENT REPORT"),
    (0.78, "8-K/A", "9.01", "CURRENT REPORT"),
    (0.83, "S-3", "", "REGISTRATION STATEMENT"),
    (0.86, "S-1", "", "REGISTRATION STATEMENT"),
    (0.88, "S-1/A", "", "REGISTRATION STATEMENT"),
    (0.94, "424B5", "", "PROSPECTUS SUPPLEMENT"),
    (0.97, "424B5", "", "PROSPECTUS SUPPLEMENT - AT THE MARKET"),
    (0.99, "EFFECT", "", ""),
    (1.01, "RW", "", "WITHDRAWAL"),
)
_HEAD = (
    "Description:           Master Index of EDGAR Dissemination Feed\n"
    "Last Data Received:    {last}\n"
    "Comments:              webmaster@sec.gov\n"
    "Anonymous FTP:         ftp://ftp.sec.gov/edgar/\n \n \n"
    "CIK|Company Name|Form Type|Date Filed|{file}\n" + "-" * 80 + "\n"
)


@dataclass(frozen=True)
class Submission:
    """One filing; `accepted` is New York wall clock."""

    cik: str
    company: str
    form: str
    items: str
    description: str
    accepted: datetime
    accession: str

    @property
    def filed(self) -> date:
        """The date that EDGAR gives it: after 17:30 the next weekday."""
        day = self.accepted.date()
        if self.accepted.time() > time(17, 30):
            day += timedelta(1)
        return day + timedelta({5: 2, 6: 1}.get(day.weekday(), 0))


def make_submissions(
    seed: int, listings: Iterable[Listing], splits: Sequence[Split], days: Sequence[date]
) -> list[Submission]:
    """All filings of companies, by acceptance."""
    found: dict[tuple[str, datetime], Submission] = {}
    reverse = {(s.number, s.day) for s in splits if s.is_published and s.split_from > s.split_to}
    for listing in listings:
        if listing.cik is None or listing.is_test or listing.type not in ("CS", "ADRC"):
            continue
        for day, following in zip(days, [*days[1:], None], strict=True):
            if listing.ticker_on(day) is None:
                continue
            if (listing.number, following) in reverse:
                moment = datetime.combine(day, time(16, 31))
                _add(found, listing, moment, ("8-K", "3.03,5.03,9.01", "CURRENT REPORT"))
            u = [uniform(seed, STREAM_EDGAR, listing.number, day.toordinal(), n) for n in (0, 1, 2)]
            if u[0] < _ROUTINE:
                kind = next(rest for limit, *rest in _KINDS if u[1] < limit)
                seconds = int(u[2] * 15.9 * 3600)
                moment = datetime.combine(day, time(6)) + timedelta(seconds=seconds)
                _add(found, listing, moment, tuple(kind))
    return sorted(found.values(), key=lambda x: (x.accepted, x.cik))


def _add(
    found: dict[tuple[str, datetime], Submission],
    listing: Listing,
    moment: datetime,
    kind: tuple[str, ...],
) -> None:
    cik, (form, items, description) = listing.cik or "", kind
    number = f"{int(moment.timestamp()) % 1_000_000:06d}"
    accession = f"{cik}-{moment:%y}-{number}"
    submission = Submission(cik, listing.name, form, items, description, moment, accession)
    found.setdefault((cik, moment), submission)


def index_text(rows: Iterable[Submission], last: date, *, is_daily: bool) -> str:
    """A master index, by company and form."""
    form = "%Y%m%d" if is_daily else "%Y-%m-%d"
    lines = [
        f"{int(x.cik)}|{x.company}|{x.form}|{x.filed:{form}}"
        f"|edgar/data/{int(x.cik)}/{x.accession}.txt"
        for x in sorted(rows, key=lambda x: (x.cik, x.form, x.accepted))
    ]
    head = _HEAD.format(last=f"{last:%b %d, %Y}", file="File Name" if is_daily else "Filename")
    return head + "".join(f"{line}\n" for line in lines)


def company_pages(cik: str, rows: Sequence[Submission]) -> dict[str, Row]:
    """A company's submissions by file name: the newest page, and those of older filings."""
    newest_first = sorted(rows, key=lambda x: x.accepted, reverse=True)
    older = [newest_first[n : n + RECENT] for n in range(RECENT, len(newest_first), RECENT)]
    names = [f"CIK{cik}-submissions-{n:03d}.json" for n in range(1, len(older) + 1)]
    files = [
        {
            "name": name,
            "filingCount": len(page),
            "filingFrom": str(page[-1].filed),
            "filingTo": str(page[0].filed),
        }
        for name, page in zip(names, older, strict=True)
    ]
    company = rows[0].company if rows else ""
    recent = _columns(newest_first[:RECENT])
    first = {"cik": str(int(cik)), "name": company, "filings": {"recent": recent, "files": files}}
    pages = {name: _columns(page) for name, page in zip(names, older, strict=True)}
    return {f"CIK{cik}.json": first, **pages}


def _columns(rows: Sequence[Submission]) -> Row:
    return {
        "accessionNumber": [x.accession for x in rows],
        "filingDate": [str(x.filed) for x in rows],
        # Marked Z and New York time, as the SEC has it.
        "acceptanceDateTime": [f"{x.accepted:%Y-%m-%dT%H:%M:%S}.000Z" for x in rows],
        "form": [x.form for x in rows],
        "items": [x.items for x in rows],
        "primaryDocument": ["document.htm" for _ in rows],
        "primaryDocDescription": [x.description for x in rows],
    }
