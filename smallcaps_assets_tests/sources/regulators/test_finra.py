"""FINRA's files: layouts of all years, the count at the end, holidays and blocks."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, date, datetime

import pytest

from smallcaps_assets.schemas.tables import TABLES
from smallcaps_assets.sources import FinraClient
from smallcaps_assets.sources.errors import (
    BadAnswer,
    Blocked,
    NotFound,
    TruncatedAnswer,
    WrongContent,
)
from smallcaps_assets.sources.regulators.finra import parse_short_volume
from smallcaps_assets_tests.sources.loopback import Loopback, Reply

HEADER = "Date|Symbol|ShortVolume|ShortExemptVolume|TotalVolume|Market"
WHOLE = [
    "20210802|AAL|5397162|43094|11756713|B,Q,N",
    "20210802|ABRpD|231|0|600|Q,N",
    "20210802|RDS/A|225032|1127|910288|B,Q,N",
    "20210802|ZYXI|97474|1990|209822|Q",
]
FRACTIONS = ["20260514|A|319623.012649|406|610811.274367|B,Q,N"]
MISSING_DAY = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n'
    b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
)


def file(rows: list[str], count: int | str | None = None, end: str = "\n") -> bytes:
    trailer = str(len(rows)) if count is None else str(count)
    return end.join([HEADER, *rows, trailer, ""]).encode()


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_parse_given_whole_shares_expected_exact_rows(end: str) -> None:
    found = TABLES["short_volume"].validate(
        parse_short_volume(file(WHOLE, end=end), date(2021, 8, 2))
    )
    published = datetime(2021, 8, 2, 22, tzinfo=UTC)
    assert found["ticker"].to_list() == ["AAL", "ABRpD", "RDS.A", "ZYXI"]
    assert found.row(2) == (
        *(date(2021, 8, 2), "RDS.A", "RDS/A"),
        *(225032.0, 1127.0, 910288.0, "B,Q,N", published),
    )


def test_parse_given_fractions_expected_six_decimals() -> None:
    found = parse_short_volume(file(FRACTIONS, end="\r\n"), date(2026, 5, 14))
    assert found.select("short_volume", "total_volume").row(0) == (319623.012649, 610811.274367)
    assert found["known_at"][0] == datetime(2026, 5, 14, 22, tzinfo=UTC)


def test_parse_given_winter_expected_18_00_new_york() -> None:
    rows = [WHOLE[0].replace("20210802", "20210104")]
    found = parse_short_volume(file(rows), date(2021, 1, 4))
    assert found["known_at"][0] == datetime(2021, 1, 4, 23, tzinfo=UTC)


def test_parse_given_no_records_expected_empty() -> None:
    assert parse_short_volume(file([]), date(2021, 8, 2)).is_empty()


@pytest.mark.parametrize("separator", ["|", "\t", ";"])
@pytest.mark.parametrize("name", ["Short Volume", "SHORT_VOLUME", "ShortVolume"])
def test_parse_given_other_spelling_of_the_header_expected_read(separator: str, name: str) -> None:
    body = file(WHOLE).replace(b"ShortVolume", name.encode())
    found = parse_short_volume(body.replace(b"|", separator.encode()), date(2021, 8, 2))
    assert found.height == 4


def test_parse_given_commas_between_cells_expected_venues_kept_together() -> None:
    body = file(WHOLE).replace(b"|", b",")
    found = parse_short_volume(body, date(2021, 8, 2))
    assert found["venues"].to_list()[0] == "B,Q,N"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "cp1252"])
def test_parse_given_encoding_expected_read(encoding: str) -> None:
    rows = [WHOLE[0].replace("AAL", "AÀL")]
    body = file(rows).decode().encode(encoding)
    assert parse_short_volume(body, date(2021, 8, 2))["ticker"].to_list() == ["AÀL"]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", TruncatedAnswer),
        (HEADER.encode(), TruncatedAnswer),
        (file(WHOLE, count=5), TruncatedAnswer),
        (file(WHOLE, count="\u00b94"), TruncatedAnswer),  # a digit to Unicode, no number to int()
        (file(WHOLE, count="4" * 5000), TruncatedAnswer),  # more digits than int() takes
        (file(WHOLE)[:-3], TruncatedAnswer),
        (file(WHOLE)[:-40], TruncatedAnswer),
        (file(WHOLE).replace(b"TotalVolume|", b""), BadAnswer),
        (file(WHOLE).replace(b"ShortExemptVolume", b"ShortVolume"), BadAnswer),
        (file(WHOLE).replace(b"|43094", b""), BadAnswer),
        (file(WHOLE).replace(b"43094", b"many"), BadAnswer),
        (b"<html>\n1\n", WrongContent),
        (file([*WHOLE, WHOLE[0]]), WrongContent),
        (file([WHOLE[0].replace("20210802", "20210803")]), WrongContent),
        (file(WHOLE).replace(b"43094", b"-43094"), BadAnswer),
        (file(WHOLE).replace(b"|AAL|", b"||"), BadAnswer),
        (b"<?xml version='1.0'?><Error/>\n1\n", WrongContent),
        (file(WHOLE).decode().encode("utf-16"), WrongContent),
        (b"PK\x03\x04\x00\x00", WrongContent),
    ],
)
def test_parse_given_defect_expected_typed_error(body: bytes, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        parse_short_volume(body, date(2021, 8, 2))


def test_client_given_file_expected_frame_and_sha256_and_exact_request() -> None:
    body = file(WHOLE)
    with Loopback(Reply(body, is_gzip=True)) as server, FinraClient(url=server.url) as client:
        found = client.short_volume(date(2021, 8, 2))
        assert found.sha256 == hashlib.sha256(body).hexdigest()
        assert found.frame.height == 4
        assert server.asked[0].path == "/equity/regsho/daily/CNMSshvol20210802.txt"
        assert "Authorization" not in server.asked[0].headers
        assert client.counters()["requests"] == 1


def test_client_given_missing_day_expected_not_found() -> None:
    with Loopback(Reply(MISSING_DAY, 403)) as server, FinraClient(url=server.url) as client:
        for _ in range(2):
            with pytest.raises(NotFound, match="no file"):
                client.short_volume(date(2021, 7, 5))


def test_client_given_other_403_expected_blocked() -> None:
    page = Reply(b"<html>Request unsuccessful. Incapsula</html>", 403)
    with Loopback(page) as server, FinraClient(url=server.url) as client:
        with pytest.raises(Blocked):
            client.short_volume(date(2021, 8, 2))
        assert len(server.asked) == 1


def test_client_given_cut_file_expected_asked_again() -> None:
    good, cut = Reply(file(WHOLE)), Reply(file(WHOLE), cut=20)
    with Loopback(cut, good) as server, FinraClient(url=server.url) as client:
        assert client.short_volume(date(2021, 8, 2)).frame.height == 4


def test_client_given_wrong_day_expected_refused_without_repeat() -> None:
    with Loopback(Reply(file(WHOLE))) as server, FinraClient(url=server.url) as client:
        with pytest.raises(WrongContent):
            client.short_volume(date(2021, 8, 3))
        assert len(server.asked) == 1


def test_facility_given_file_expected_named_and_exact_request() -> None:
    with Loopback(Reply(file(WHOLE[3:]))) as server, FinraClient(url=server.url) as client:
        found = client.facility_short_volume("FNSQ", date(2021, 8, 2))
        assert TABLES["facility_short_volume"].validate(found.frame)["file"].to_list() == ["FNSQ"]
        assert server.asked[0].path == "/equity/regsho/daily/FNSQshvol20210802.txt"


# Short interest ----------------------------------------------------------------------------------
FIRST, LAST = date(2024, 11, 1), date(2024, 11, 15)


def interest(symbol: str, day: str = "2024-11-15") -> dict[str, object]:
    return {
        "settlementDate": day,
        "symbolCode": symbol,
        "currentShortPositionQuantity": 1000,
        "averageDailyVolumeQuantity": 500,
        "daysToCoverQuantity": 2.0,
    }


def page(*rows: dict[str, object], total: int | None = None) -> Reply:
    count = len(rows) if total is None else total
    return Reply(json.dumps(rows).encode(), headers={"record-total": str(count)})


def test_short_interest_given_two_pages_expected_all_rows_and_exact_requests() -> None:
    pages = (page(interest("BRKB"), total=2), page(interest("A"), total=2))
    with Loopback(*pages) as server, FinraClient(url=server.url) as client:
        found = client.short_interest(FIRST, LAST)
    assert found["symbol"].to_list() == ["A", "BRKB"]
    assert found.row(0) == (LAST, "A", 1000.0, 500.0, 2.0)
    asked = [json.loads(a.body) for a in server.asked]
    assert [query["offset"] for query in asked] == [0, 1]
    span = {"fieldName": "settlementDate", "startDate": "2024-11-01", "endDate": "2024-11-15"}
    assert asked[0]["dateRangeFilters"] == [span]
    assert server.asked[0].headers["Accept"] == "application/json"


def test_short_interest_given_204_expected_empty() -> None:
    with Loopback(Reply(b"", 204)) as server, FinraClient(url=server.url) as client:
        assert client.short_interest(FIRST, LAST).is_empty()


@pytest.mark.parametrize(
    ("replies", "kind"),
    [
        ((page(interest("A"), total=2), Reply(b"", 204)), TruncatedAnswer),
        ((page(interest("A"), interest("A")),), WrongContent),
        ((page(interest("A", "2024-12-31")),), BadAnswer),
        ((Reply(b"settlementDate,symbolCode", headers={"record-total": "1"}),), BadAnswer),
        ((Reply(b"[]"),), BadAnswer),
        ((Reply(b"[]", headers={"record-total": "9" * 5000}),), BadAnswer),
        ((Reply(b"[" * 5000, headers={"record-total": "1"}),), BadAnswer),
    ],
)
def test_short_interest_given_defect_expected_typed_error(
    replies: tuple[Reply, ...], kind: type[Exception]
) -> None:
    with (
        Loopback(*replies) as server,
        FinraClient(url=server.url, retry_budget=0.1) as client,
        pytest.raises(kind),
    ):
        client.short_interest(FIRST, LAST)
