"""Fails-to-deliver: what a file may look like, and what a malformed one ends in."""

from __future__ import annotations

import io
import os
import zipfile
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from smallcaps_assets.schemas import TABLES
from smallcaps_assets.sources.errors import (
    BadAnswer,
    SourceError,
    TruncatedAnswer,
    WrongContent,
)
from smallcaps_assets.sources.regulators import fails
from smallcaps_assets.sources.regulators.fails import parse_fails, unzipped

HALF = date(2023, 1, 1)
HEADER = "SETTLEMENT DATE|CUSIP|SYMBOL|QUANTITY (FAILS)|DESCRIPTION|PRICE"
ROWS = [
    "20230103|B38564108|EURN|41466|EURONAV NV ANTWERPEN (BELGIUM)|17.04",
    "20230103|63011A102|NA|6611|NANO LABS LTD SPONSORED ADR (C|1.15",
    "20230105|89785L107|TRUE|200|TRUECAR INC COM STK (DE)|2.71",
    "20230105|G0000A111||5|CNS INELIGIBLE|.",
    "20230113|98987D110|ZVSAW|19||0.07",
    "20230113|00000D110|BRKB|1|A|B INC CL | X|300.00",
]
SHARES = 41466 + 6611 + 200 + 5 + 19 + 1
REAL = Path(__file__).parents[4] / "shared" / "data" / "sec_ftd"


def text(
    rows: list[str] = ROWS, count: int | None = None, shares: int = SHARES, end: str = "\n"
) -> bytes:
    trailers = (
        f"Trailer record count {len(rows) if count is None else count}",
        f"Trailer total quantity of shares {shares}",
    )
    return end.join([HEADER, *rows, *trailers, ""]).encode("cp1252")


def archive(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, body in members.items():
            file.writestr(name, body)
    return buffer.getvalue()


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_parse_given_odd_cells_expected_exact_rows(end: str) -> None:
    found = TABLES["fails_to_deliver"].validate(parse_fails(text(end=end), HALF))
    rows = {row["cusip"]: row for row in found.to_dicts()}
    assert {row["symbol"] for row in rows.values()} == {
        *("EURN", "NA", "TRUE", "ZVSAW", "BRKB"),
        None,
    }
    assert rows["G0000A111"]["price"] is None
    assert rows["00000D110"]["description"] == "A|B INC CL | X"
    assert rows["98987D110"]["description"] is None
    assert rows["63011A102"]["quantity"] == 6611.0
    # The first half of January comes at its end; three days of grace, 20:00 New York.
    assert set(found["known_at"]) == {datetime(2023, 2, 4, 1, tzinfo=UTC)}


def test_parse_given_cp1252_expected_read() -> None:
    rows = ["20230103|B38564108|EURN|1|SOCIÉTÉ “X”|17.04"]
    found = parse_fails(text(rows, shares=1), HALF)
    assert found["description"].to_list() == ["SOCIÉTÉ “X”"]


def test_parse_given_a_day_of_the_other_half_at_the_border_expected_kept() -> None:
    rows = ["20230117|B38564108|EURN|1|X|1.00"]
    assert parse_fails(text(rows, shares=1), HALF).height == 1
    rows = ["20230113|B38564108|EURN|1|X|1.00"]
    assert parse_fails(text(rows, shares=1), date(2023, 1, 16)).height == 1


@pytest.mark.skipif(not REAL.is_dir(), reason="the real files are not here")
@pytest.mark.parametrize(
    ("name", "half", "rows"),
    [
        ("cnsfails202212a.TXT", date(2022, 12, 1), 57942),
        ("cnsfails202301a.txt", date(2023, 1, 1), 51537),
    ],
)
def test_parse_given_a_real_half_month_expected_both_trailers_to_fit(
    name: str, half: date, rows: int
) -> None:
    found = TABLES["fails_to_deliver"].validate(parse_fails((REAL / name).read_bytes(), half))
    assert found.height == rows
    assert "NA" in set(found["symbol"])


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", TruncatedAnswer),
        (text(count=7), TruncatedAnswer),
        (text(shares=SHARES + 1), TruncatedAnswer),
        (text()[:-60], TruncatedAnswer),
        (text().replace(b"\n20230113|98987D110|ZVSAW|19||0.07", b""), TruncatedAnswer),
        (text().replace(b"|PRICE", b""), BadAnswer),
        (text().replace(b"|6611|", b"|many|"), BadAnswer),
        (text().replace(b"1.15", b"cheap"), BadAnswer),
        (text().replace(b"20230105|8", b"2023-01|8"), BadAnswer),
        (text([*ROWS, "20230105|1|X"]), BadAnswer),
        (text().replace(b"20230105", b"20230205"), WrongContent),
        (text().replace(b"20230105", b"20230125"), WrongContent),
        (b"<!DOCTYPE html><html>Request Rate Threshold Exceeded</html>", WrongContent),
        (text().decode("cp1252").encode("utf-16"), WrongContent),
    ],
)
def test_parse_given_defect_expected_typed_error(body: bytes, kind: type[SourceError]) -> None:
    with pytest.raises(kind) as told:
        parse_fails(body, HALF, "/files/x.zip")
    assert type(told.value) is kind
    assert "/files/x.zip" in str(told.value)


def test_unzipped_given_one_file_expected_its_bytes() -> None:
    assert unzipped(archive(**{"cnsfails202301a.txt": text()}), "x") == text()


@pytest.mark.parametrize(
    ("body", "kind", "found"),
    [
        (archive(), WrongContent, "0 files"),
        (archive(**{"a.txt": b"1", "b.txt": b"2"}), WrongContent, "2 files"),
        (archive(**{"../a.txt": b"1"}), WrongContent, "a path"),
        (archive(**{"folder/a.txt": b"1"}), WrongContent, "a path"),
        (archive(**{"C:\\a.txt": b"1"}), WrongContent, "a path"),
        (archive(**{"a.txt": text()})[:-30], TruncatedAnswer, "cut or damaged"),
        (b"<html><body>Not found</body></html>", WrongContent, "web page"),
        (b"", TruncatedAnswer, "cut or damaged"),
    ],
)
def test_unzipped_given_defect_expected_typed_error(
    body: bytes, kind: type[SourceError], found: str
) -> None:
    with pytest.raises(kind, match=found):
        unzipped(body, "/files/x.zip")


def test_unzipped_given_flipped_bytes_inside_expected_truncated() -> None:
    whole = archive(**{"a.txt": os.urandom(3000)})
    spoiled = whole[:500] + bytes(b ^ 255 for b in whole[500:520]) + whole[520:]
    with pytest.raises(TruncatedAnswer):
        unzipped(spoiled, "x")


@pytest.mark.parametrize("is_honest", [True, False])
def test_unzipped_given_a_bomb_expected_refused(
    is_honest: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fails, "LARGEST", 10_000)
    body = archive(**{"a.txt": b"0" * 10_001})
    if not is_honest:  # both headers claim 10 bytes
        size = (10_001).to_bytes(4, "little")
        body = body.replace(size, (10).to_bytes(4, "little"))
    with pytest.raises((WrongContent, TruncatedAnswer)) as told:
        unzipped(body, "x")
    assert len(body) < 1000
    assert not is_honest or "more than 10,000 bytes" in str(told.value)
