"""Files of exchanges in a local folder: other headers, no trailer, zips and absences."""

from __future__ import annotations

import gzip
import io
import zipfile
from datetime import date
from pathlib import Path

import pytest

from smallcaps_assets.schemas import TABLES
from smallcaps_assets.sources.errors import (
    BadAnswer,
    NotConfigured,
    NotFound,
    SourceError,
    TruncatedAnswer,
    WrongContent,
)
from smallcaps_assets.sources.regulators.exchanges import exchange_short_volume

DAY = date(2021, 1, 27)
# Rows of Nasdaq PSX as they were published, with its header and without a count.
PSX = (
    "DATE|SYMBOL|SHORT VOLUME|TOTAL VOLUME|MARKET\n"
    "20210127|A|1800|5200|X\n20210127|BRK/B|23427|36927|X\n \n"
)
NYSE = (
    "Date|Symbol|Short Exempt Volume|Short Volume|Total Volume|Market\r\n"
    "20210127|A|10|1800|5200|N\r\n"
)


def test_folder_given_files_of_two_exchanges_expected_both(tmp_path: Path) -> None:
    (tmp_path / "NPSXshvol20210127.txt").write_text(PSX)
    (tmp_path / "2021").mkdir()
    (tmp_path / "2021" / "NYSEshvol20210127.txt.gz").write_bytes(
        gzip.compress(NYSE.encode(), mtime=0)
    )
    (tmp_path / "NPSXshvol20210128.txt").write_text("another day")
    found, hashes = exchange_short_volume(str(tmp_path), DAY)
    rows = TABLES["exchange_short_volume"].validate(found).to_dicts()
    assert [(r["file"], r["ticker"], r["short_volume"], r["venues"]) for r in rows] == [
        ("NPSX", "A", 1800.0, "X"),
        ("NYSE", "A", 1800.0, "N"),
        ("NPSX", "BRK.B", 23427.0, "X"),
    ]
    assert [r["short_exempt_volume"] for r in rows] == [None, 10.0, None]
    assert set(hashes) == {"NPSX", "NYSE"}


def test_folder_given_a_zip_expected_read(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("x.txt", PSX)
    (tmp_path / "NPSXshvol20210127.zip").write_bytes(buffer.getvalue())
    assert exchange_short_volume(str(tmp_path), DAY)[0].height == 2


def test_folder_given_none_expected_named_errors(tmp_path: Path) -> None:
    with pytest.raises(NotConfigured, match=r"short\.exchange_dir"):
        exchange_short_volume("", DAY)
    with pytest.raises(NotFound, match="does not exist"):
        exchange_short_volume(str(tmp_path / "nowhere"), DAY)
    with pytest.raises(NotFound, match="2021-01-27"):
        exchange_short_volume(str(tmp_path), DAY)


@pytest.mark.parametrize(
    ("name", "body", "kind"),
    [
        ("NPSXshvol20210127.txt", b"", TruncatedAnswer),
        ("NPSXshvol20210127.txt", PSX.replace("20210127", "20210126").encode(), WrongContent),
        ("NPSXshvol20210127.txt", PSX.replace("|36927", "").encode(), BadAnswer),
        ("NPSXshvol20210127.txt", (PSX.strip() + "\n3\n").encode(), TruncatedAnswer),
        ("NPSXshvol20210127.txt", b"<html>subscribe</html>", WrongContent),
        ("NPSXshvol20210127.txt.gz", gzip.compress(PSX.encode(), mtime=0)[:-9], TruncatedAnswer),
        ("NPSXshvol20210127.zip", b"PK", TruncatedAnswer),
    ],
)
def test_folder_given_a_malformed_file_expected_named_error(
    tmp_path: Path, name: str, body: bytes, kind: type[SourceError]
) -> None:
    (tmp_path / name).write_bytes(body)
    with pytest.raises(kind, match="NPSXshvol20210127"):
        exchange_short_volume(str(tmp_path), DAY)
