"""The SEC's hosts: who asks, where files lie, indexes and submissions with pages of older ones."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from smallcaps_assets.schemas import TABLES
from smallcaps_assets.sources.errors import (
    BadAnswer,
    Blocked,
    MissingContact,
    NotFound,
    SourceError,
    TruncatedAnswer,
    WrongContent,
)
from smallcaps_assets.sources.http.throttle import Throttle
from smallcaps_assets.sources.regulators.edgar import parse_index
from smallcaps_assets.sources.regulators.sec import FOLDERS, LISTING, PACE, SecClient
from smallcaps_assets_tests.sources.loopback import Asked, Loopback, Reply
from smallcaps_assets_tests.sources.regulators.test_fails import HALF, text

CONTACT = "Jane Doe jane@example.com"
CIK = "0001318605"
HEAD = "Description: Master Index\nComments: webmaster@sec.gov\n\n"
COLUMNS = "CIK|Company Name|Form Type|Date Filed|Filename\n" + "-" * 40 + "\n"
Rows = dict[str, dict[str, object]]
MISSING = Reply(b"<html>404</html>", 404)


def client(url: str, contact: str = CONTACT) -> SecClient:
    return SecClient(url=url, contact=contact, throttle=Throttle(1000.0), retry_budget=0.2)


def zipped(body: bytes) -> Reply:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("cnsfails202301a.txt", body)
    return Reply(buffer.getvalue())


def site(pages: dict[str, Reply]) -> Callable[[Asked], Reply]:
    return lambda asked: pages.get(asked.path, MISSING)


def index(*rows: str) -> Reply:
    return Reply((HEAD + COLUMNS + "".join(f"{row}\n" for row in rows)).encode("latin-1"))


def company(rows: list[tuple[str, ...]], *files: str, cik: str = CIK) -> Reply:
    recent = columns(rows)
    filings = {"recent": recent, "files": [{"name": name} for name in files]}
    return Reply(json.dumps({"cik": str(int(cik)), "filings": filings}).encode())


def columns(rows: list[tuple[str, ...]]) -> dict[str, list[str]]:
    names = ("accessionNumber", "filingDate", "acceptanceDateTime", "form", "items",
             "primaryDocDescription")  # fmt: skip
    return {name: [row[i] for row in rows] for i, name in enumerate(names)}


# Who asks ----------------------------------------------------------------------------------------
def test_client_without_contact_expected_refused_and_nothing_sent() -> None:
    with Loopback(MISSING) as server, client(server.url, "") as sec:
        with pytest.raises(MissingContact, match=r"sec\.contact"):
            sec.fails(HALF)
        with pytest.raises(MissingContact):
            sec.index(date(2023, 1, 1), date(2023, 1, 31))
        assert server.asked == []


def test_client_expected_contact_as_user_agent() -> None:
    with Loopback(zipped(text())) as server, client(server.url) as sec:
        sec.fails(HALF)
        assert {asked.headers["User-Agent"] for asked in server.asked} == {CONTACT}


def test_client_given_the_rate_page_expected_blocked() -> None:
    page = Reply(b"<html>Request Rate Threshold Exceeded</html>", 403)
    with Loopback(page) as server, client(server.url) as sec:
        with pytest.raises(Blocked, match="ten minutes"):
            sec.fails(HALF)
        assert len(server.asked) == 1


def test_clients_of_two_processes_expected_one_pace(tmp_path: Path) -> None:
    state, now = tmp_path / "pace.json", [1000.0]
    paces = []
    for _ in range(2):
        pace = Throttle(
            window=PACE, clock=lambda: now[0], wall_clock=lambda: now[0], sleep=_forward(now)
        )
        pace.remember_in(state)
        paces.append(pace)
    sent = []
    for number in range(40):
        paces[number % 2].acquire()
        sent.append(now[0])
    most = max(sum(1 for t in sent if start <= t < start + 1.0) for start in sent)
    assert most <= 10


def _forward(now: list[float]) -> Callable[[float], None]:
    def sleep(seconds: float) -> None:
        now[0] += seconds

    return sleep


# Fails -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("end", ["", "_0"])
def test_fails_given_a_link_on_the_page_expected_taken(end: str) -> None:
    path = f"/files/somewhere/new/cnsfails202301a{end}.zip"
    page = f'<html><a href="https://www.sec.gov{path}">first half</a></html>'
    pages = {LISTING: Reply(page.encode()), path: zipped(text())}
    with Loopback(site(pages)) as server, client(server.url) as sec:
        assert sec.fails(HALF).height == 6
        assert [asked.path for asked in server.asked] == [LISTING, path]


@pytest.mark.parametrize("folder", FOLDERS)
def test_fails_given_no_page_expected_found_in_the_usual_folders(folder: str) -> None:
    pages = {f"{folder}/cnsfails202301a.zip": zipped(text())}
    with Loopback(site(pages)) as server, client(server.url) as sec:
        assert sec.fails(HALF).height == 6


def test_fails_given_none_expected_not_found() -> None:
    missing = pytest.raises(NotFound, match="cnsfails202301a")
    with Loopback(MISSING) as server, client(server.url) as sec, missing:
        sec.fails(HALF)


def test_fails_given_a_page_instead_of_a_zip_expected_wrong_content() -> None:
    page = Reply(b"<!DOCTYPE html><html>Welcome</html>")
    with Loopback(page) as server, client(server.url) as sec, pytest.raises(WrongContent):
        sec.fails(HALF)


# EDGAR -------------------------------------------------------------------------------------------
ROWS = (
    f"{int(CIK)}|Müller & Co|8-K|2023-01-03|edgar/data/1318605/0001318605-23-000001.txt",
    f"{int(CIK)}|Müller & Co|S-3/A|2023-01-04|edgar/data/1318605/0001318605-23-000002.txt",
    f"{int(CIK)}|Müller & Co|424B5|2023-01-05|edgar/data/1318605/0001318605-23-000003.txt",
    f"{int(CIK)}|Müller & Co|10-K|2023-01-05|edgar/data/1318605/0001318605-23-000004.txt",
    "7|Other|8-K|2023-01-05|edgar/data/7/0000000007-23-000001.txt",
)
RECENT = [
    ("0001318605-23-000003", "2023-01-05", "2023-01-05T16:42:36.000Z", "424B5", "",
     "424B5 AT THE MARKET OFFERING"),
    ("0001318605-23-000002", "2023-01-04", "2023-01-04T09:00:00.000Z", "S-3/A", "", "S-3/A"),
]  # fmt: skip
OLDER = [("0001318605-23-000001", "2023-01-03", "2022-12-30T18:05:00.000Z", "8-K",
          "1.01,9.01", "8-K")]  # fmt: skip
PAGE = f"CIK{CIK}-submissions-001.json"


def edgar_pages(**others: Reply) -> dict[str, Reply]:
    return {
        "/Archives/edgar/full-index/2023/QTR1/master.idx": index(*ROWS),
        f"/submissions/CIK{CIK}.json": company(RECENT, PAGE),
        f"/submissions/{PAGE}": Reply(json.dumps(columns(OLDER)).encode()),
        **others,
    }


def test_filings_expected_acceptance_items_and_offerings() -> None:
    with Loopback(site(edgar_pages())) as server, client(server.url) as sec:
        found = sec.filings(date(2023, 1, 1), [CIK], date(2023, 1, 5))
    frame = TABLES["filings"].validate(found)
    rows = {row["form"]: row for row in frame.to_dicts()}
    assert list(rows) == ["8-K", "S-3/A", "424B5"]
    # One filing shows no clock: 18:05 may be of New York, where it is the later moment, 23:05 UTC.
    assert rows["8-K"]["accepted_at"] == datetime(2022, 12, 30, 23, 5, tzinfo=UTC)
    assert rows["8-K"]["accepted_raw"] == "2022-12-30T18:05:00.000Z"
    assert rows["8-K"]["accepted_clock"] == "unknown"
    # After 17:30 it has the next business day's date and is public from 06:00 of it.
    assert rows["8-K"]["known_at"] == datetime(2023, 1, 3, 11, tzinfo=UTC)
    assert rows["8-K"]["items"] == "1.01,9.01"
    assert [rows[form]["offering"] for form in rows] == [None, "shelf", "at_the_market"]
    assert [rows[form]["is_amendment"] for form in rows] == [False, True, False]
    assert rows["8-K"]["company_name"] == "Müller & Co"


def test_filings_given_no_submission_expected_known_at_22_00_of_the_date() -> None:
    pages = edgar_pages()
    del pages[f"/submissions/CIK{CIK}.json"]
    with Loopback(site(pages)) as server, client(server.url) as sec:
        found = sec.filings(date(2023, 1, 1), [CIK], date(2023, 1, 5))
    assert found["accepted_at"].null_count() == found["accepted_raw"].null_count() == 3
    assert found["known_at"].min() == datetime(2023, 1, 4, 3, tzinfo=UTC)


Shown = tuple[str, str, str]
"""Form, filing date and time of acceptance."""
UTC_EVENINGS: tuple[Shown, ...] = (
    ("8-K", "2023-01-05", "2023-01-05T01:30:00.000Z"),  # 20:30 of the evening before
    ("10-Q", "2023-01-06", "2023-01-06T02:45:00.000Z"),
    ("8-K", "2023-01-09", "2023-01-09T21:10:00.000Z"),  # 21:10 would have the next day's date
)
NEW_YORK_MORNINGS: tuple[Shown, ...] = (
    ("8-K", "2023-01-05", "2023-01-05T06:30:00.000Z"),  # 01:30 if it were UTC
    ("10-Q", "2023-01-06", "2023-01-06T07:45:00.000Z"),
    ("8-K", "2023-01-10", "2023-01-09T18:10:00.000Z"),  # 13:10 would have the day's own date
)


def january(*shown: Shown, last: date = date(2023, 1, 31), old: tuple[Shown, ...] = ()) -> Rows:
    """The rows of January by filing date that one company's submissions make of the index."""
    told = [
        (f"0001318605-23-{n:06d}", day, accepted, form, "", "")
        for n, (form, day, accepted) in enumerate((*shown, *old), 1)
    ]
    listed = [
        f"{int(CIK)}|Müller & Co|{form}|{day}|edgar/data/1/{accession}.txt"
        for accession, day, _, form, *_ in told
        if day <= str(last)
    ] + [f"7|Other|8-K|{last}|edgar/data/7/0000000007-23-000001.txt"]
    page = json.dumps(columns(told[len(shown) :])).encode()
    pages = edgar_pages(**{
        "/Archives/edgar/full-index/2023/QTR1/master.idx": index(*listed),
        f"/submissions/CIK{CIK}.json": company(told[: len(shown)], *([PAGE] if old else [])),
        f"/submissions/{PAGE}": Reply(page),
    })  # fmt: skip
    with Loopback(site(pages)) as server, client(server.url) as sec:
        found = sec.filings(date(2023, 1, 1), [CIK], last)
    return {str(row["filing_date"]): row for row in TABLES["filings"].validate(found).to_dicts()}


MORNING: Shown = ("8-K", "2023-01-11", "2023-01-11T12:00:00.000Z")


def test_filings_of_a_filer_in_utc_expected_known_hours_earlier() -> None:
    row = january(*UTC_EVENINGS, MORNING)["2023-01-11"]
    assert row["accepted_clock"] == "utc"
    assert row["accepted_at"] == row["known_at"] == datetime(2023, 1, 11, 12, tzinfo=UTC)
    row = january(*NEW_YORK_MORNINGS, MORNING)["2023-01-11"]
    assert row["accepted_clock"] == "new_york"
    assert row["accepted_at"] == row["known_at"] == datetime(2023, 1, 11, 17, tzinfo=UTC)


@pytest.mark.parametrize("shown", [UTC_EVENINGS, NEW_YORK_MORNINGS])
def test_filings_given_too_few_that_show_a_clock_expected_the_later_moment(
    shown: tuple[Shown, ...],
) -> None:
    row = january(*shown[:2], MORNING)["2023-01-11"]
    assert row["accepted_clock"] == "unknown"
    assert row["known_at"] == datetime(2023, 1, 11, 17, tzinfo=UTC)


def test_filings_expected_the_same_whatever_is_filed_after_the_last_day() -> None:
    later = tuple((f, d.replace("-01-", "-02-"), a.replace("-01-", "-02-"))
                  for f, d, a in UTC_EVENINGS)  # fmt: skip
    alone = january(*UTC_EVENINGS[:2], MORNING)
    assert january(*UTC_EVENINGS[:2], MORNING, *later) == alone
    assert january(*UTC_EVENINGS[:2], MORNING, UTC_EVENINGS[2])["2023-01-11"] != alone["2023-01-11"]


def test_filings_expected_evidence_from_older_pages_of_the_same_years() -> None:
    old = tuple((f, d.replace("2023", "2021"), a.replace("2023", "2021"))
                for f, d, a in (("8-K", "2023-01-07", "2023-01-07T01:30:00.000Z"),
                                ("4", "2023-01-08", "2023-01-08T02:30:00.000Z"),
                                ("8-K", "2023-01-12", "2023-01-12T21:10:00.000Z")))  # fmt: skip
    assert january(MORNING, old=old)["2023-01-11"]["accepted_clock"] == "utc"
    ancient = tuple((f, d.replace("2021", "2017"), a.replace("2021", "2017")) for f, d, a in old)
    assert january(MORNING, old=ancient)["2023-01-11"]["accepted_clock"] == "unknown"


def test_filings_given_midnight_expected_unknown_until_the_day_ends() -> None:
    midnight = ("8-K", "2023-01-11", "2023-01-11T00:00:00.000Z")
    row = january(*UTC_EVENINGS, midnight)["2023-01-11"]
    assert (row["accepted_at"], row["accepted_clock"]) == (None, "unknown")
    assert row["accepted_raw"] == "2023-01-11T00:00:00.000Z"
    assert row["known_at"] == datetime(2023, 1, 12, 3, tzinfo=UTC)


def test_index_given_a_quarter_that_lags_expected_daily_ones() -> None:
    daily = index(ROWS[4].replace("2023-01-05", "20230106").replace("000001.", "000009."))
    path = "/Archives/edgar/daily-index/2023/QTR1/master.20230106.idx"
    with Loopback(site(edgar_pages(**{path: daily}))) as server, client(server.url) as sec:
        found = sec.index(date(2023, 1, 1), date(2023, 1, 9))
        asked = [a.path.rpartition(".")[0].rpartition(".")[2] for a in server.asked]
    assert asked[1:] == ["20230106", "20230109"]
    assert found.filter(pl.col("filing_date") == date(2023, 1, 6)).height == 1


def test_submissions_expected_read_once_for_several_months() -> None:
    with Loopback(site(edgar_pages())) as server, client(server.url) as sec:
        for _ in range(2):
            sec.filings(date(2023, 1, 1), [CIK], date(2023, 1, 5))
        assert sum("submissions" in asked.path for asked in server.asked) == 2


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (company(RECENT, cik="7"), WrongContent),
        (company(RECENT, "../../etc/passwd"), TruncatedAnswer),
        (Reply(b"<html>"), BadAnswer),
        (Reply(b'{"cik":"1318605"'), BadAnswer),
        (company([(*RECENT[0][:2], "yesterday", *RECENT[0][3:])]), BadAnswer),
        (company([(*RECENT[0][:2], "2023-01-05T16:42:36-05:00", *RECENT[0][3:])]), BadAnswer),
        (company([(*RECENT[0][:2], "9999-01-05T16:42:36.000Z", *RECENT[0][3:])]), BadAnswer),
        (company([(RECENT[0][0], "soon", *RECENT[0][2:])]), BadAnswer),
        (Reply(b"", 503), SourceError),
    ],
)
def test_submissions_given_defect_expected_typed_error(
    reply: Reply, kind: type[SourceError]
) -> None:
    pages = edgar_pages(**{f"/submissions/CIK{CIK}.json": reply})
    with Loopback(site(pages)) as server, client(server.url) as sec, pytest.raises(kind):
        sec.filings(date(2023, 1, 1), [CIK], date(2023, 1, 5))


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"<html>Not an index</html>", WrongContent),
        ((HEAD + ROWS[0]).encode(), BadAnswer),
        ((HEAD + COLUMNS.replace("CIK|", "")).encode(), BadAnswer),
        ((HEAD + COLUMNS + "1|A|8-K|2023-01-03").encode(), BadAnswer),
        ((HEAD + COLUMNS + "1|A|8-K|soon|edgar/data/1/0000000001-23-000001.txt").encode(),
         BadAnswer),
        ((HEAD + COLUMNS + "1|A|8-K|2023-01-03|edgar/data/1/x.txt").encode(), BadAnswer),
        ((HEAD + COLUMNS).encode("utf-16"), WrongContent),
    ],
)  # fmt: skip
def test_index_given_defect_expected_typed_error(body: bytes, kind: type[SourceError]) -> None:
    with pytest.raises(kind):
        parse_index(body, "master.idx")


def test_index_without_filings_expected_empty() -> None:
    assert parse_index((HEAD + COLUMNS).encode()).is_empty()
