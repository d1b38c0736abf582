"""EDGAR of the simulated market: filings of its companies, indexes and submissions made of them.

Filings are drawn independently of prices, except that a published reverse split has an 8-K of the
evening before, and that offerings have a shelf registration (S-3) long before, a prospectus
supplement (424B5) when they are priced and an 8-K the next morning. An index serves what was filed
up to the market's last day; the quarter's lags behind by some days, which the daily ones fill. Most
companies' times of acceptance are UTC, some are New York time, some have changed from one to the
other; all are marked Z, as the SEC has it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise

from smallcaps_assets.domain.market.calendar import NEW_YORK
from smallcaps_assets.sandbox.market import Row, Submission
from smallcaps_assets.sandbox.randomness import uniform
from smallcaps_assets.sandbox.simulation.actions import Split
from smallcaps_assets.sandbox.simulation.companies import Listing
from smallcaps_assets.sandbox.simulation.plan import has_shelf

STREAM_EDGAR, STREAM_EARLIER, STREAM_CLOCK = 541, 542, 543
RECENT = 10
"""Filings in a company's newest page, so that small companies have older pages too."""
QUARTER_LAG = timedelta(days=4)
_ROUTINE = 0.03  # share of company-sessions with some filing
_SHELF = ("S-3", "", "REGISTRATION STATEMENT")
_OFFERED = ("8-K", "1.01,8.01,9.01", "CURRENT REPORT")
_EARLIER = ("10-Q", "4", "DEF 14A", "10-K")  # what a company filed in turn before the market begins
_EARLIER_COUNT, _EARLIER_STEP = 14, timedelta(days=21)
_IN_UTC, _IN_NEW_YORK = 0.7, 0.22  # shares of the companies; the others changed to UTC
_CHANGED_BEFORE = timedelta(days=150)
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


def make_submissions(
    seed: int,
    listings: Iterable[Listing],
    splits: Sequence[Split],
    offerings: Sequence[tuple[Listing, date, int]],
    days: Sequence[date],
    following: date | None,
) -> list[Submission]:
    """All filings of companies, by acceptance; `following` is the session after the last.

    offerings: listing, session and the second at which each was priced.
    """
    found = _Found(seed, days[0] - _CHANGED_BEFORE)
    reverse = {(s.number, s.day) for s in splits if s.is_published and s.split_from > s.split_to}
    for listing in listings:
        if listing.cik is None or listing.is_test or listing.type not in ("CS", "ADRC"):
            continue
        if listing.ticker_on(days[0]) is not None:
            if has_shelf(seed, listing):
                found.add(listing, datetime.combine(days[0], time(17, 2)), _SHELF)
            for number in range(_EARLIER_COUNT):
                _add_earlier(found, listing, days[0], number)
        for day, next_day in zip(days, [*days[1:], following], strict=True):
            if listing.ticker_on(day) is None:
                continue
            if (listing.number, next_day) in reverse:
                moment = datetime.combine(day, time(16, 31))
                found.add(listing, moment, ("8-K", "3.03,5.03,9.01", "CURRENT REPORT"))
            place = seed, STREAM_EDGAR, listing.number, day.toordinal()
            if uniform(*place, 0) < _ROUTINE:
                u = uniform(*place, 1)
                kind = next(rest for limit, *rest in _KINDS if u < limit)
                found.add(listing, _in_hours(day, uniform(*place, 2)), tuple(kind))
    for listing, day, second in offerings:
        if listing.cik is not None:
            _add_offering(found, listing, second, dict(pairwise(days)).get(day))
    return sorted(found.by_moment.values(), key=lambda x: (x.accepted, x.cik))


def _add_offering(found: _Found, listing: Listing, second: int, after: date | None) -> None:
    priced = datetime.fromtimestamp(second, NEW_YORK).replace(tzinfo=None)
    found.add(listing, priced, ("424B5", "", "PROSPECTUS SUPPLEMENT"))
    if after is not None:
        found.add(listing, datetime.combine(after, time(7, 30)), _OFFERED)


def _add_earlier(found: _Found, listing: Listing, first: date, number: int) -> None:
    """One of the filings of the year before the market's first day, on a weekday."""
    u = [uniform(found.seed, STREAM_EARLIER, listing.number, number, n) for n in (0, 1)]
    day = first - _EARLIER_STEP * number - timedelta(1 + int(u[0] * 14))
    day -= timedelta(max(0, day.weekday() - 4))
    form = _EARLIER[number % len(_EARLIER)]
    found.add(listing, _in_hours(day, u[1]), (form, "", form))


def _in_hours(day: date, u: float) -> datetime:
    """A moment between 06:00 and 22:00."""
    return datetime.combine(day, time(6)) + timedelta(seconds=int(u * 15.9 * 3600))


@dataclass
class _Found:
    """Filings by company and moment; those that changed their clock did so on `change`."""

    seed: int
    change: date
    by_moment: dict[tuple[str, datetime], Submission] = field(default_factory=dict)

    def add(self, listing: Listing, moment: datetime, kind: tuple[str, ...]) -> None:
        cik, (form, items, description) = listing.cik or "", kind
        number = f"{int(moment.replace(tzinfo=UTC).timestamp()) % 1_000_000:06d}"
        accession = f"{cik}-{moment:%y}-{number}"
        is_utc = self._is_utc(cik, moment.date())
        submission = Submission(
            cik, listing.name, form, items, description, moment, accession, is_utc
        )
        self.by_moment.setdefault((cik, moment), submission)

    def _is_utc(self, cik: str, day: date) -> bool:
        u = uniform(self.seed, STREAM_CLOCK, int(cik))
        has_changed = u >= _IN_UTC + _IN_NEW_YORK and day >= self.change
        return u < _IN_UTC or has_changed


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
        "acceptanceDateTime": [x.accepted_raw for x in rows],
        "form": [x.form for x in rows],
        "items": [x.items for x in rows],
        "primaryDocument": ["document.htm" for _ in rows],
        "primaryDocDescription": [x.description for x in rows],
    }
