"""suspects.csv: read, refused in words, and looked at again only when it changes."""

from datetime import date
from pathlib import Path

import pytest

from smallcaps_assets.lake import Lake, LakeError, LakeIdentity, open_lake
from smallcaps_assets.lake.decisions import FILE, decisions, decisions_digest

HEAD = "ticker,date,verdict\n"
DAY = date(2024, 12, 13)


def lake_with(root: Path, data: str | bytes) -> Lake:
    (root / FILE).write_bytes(data.encode() if isinstance(data, str) else data)
    return Lake(root)


def test_decisions_of_a_lake_without_a_file_are_none(tmp_path: Path):
    assert decisions(Lake(tmp_path)).is_empty()
    assert decisions_digest(Lake(tmp_path), DAY) == ""


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_decisions_are_read_with_more_columns_in_any_order(tmp_path: Path, mark: bytes):
    lines = b'"8-K, page 2",split,2024-12-13,BCpC\r\n,real ,2024-12-12, A\r\n'
    text = b"note,verdict,date,ticker\r\n" + lines
    assert decisions(lake_with(tmp_path, mark + text)).rows() == [
        ("A", date(2024, 12, 12), "real"),
        ("BCpC", DAY, "split"),
    ]


def test_decisions_file_without_lines_is_none(tmp_path: Path):
    assert decisions(lake_with(tmp_path, HEAD)).is_empty()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column 'ticker'; begin it with ticker,date,verdict"),
        ("ticker,date,verdit\nA,2024-12-13,real\n", "no column 'verdict'"),
        (HEAD + "A,2024-12-13,real\n,2024-12-13,real\n", "line 3: the ticker is empty"),
        (HEAD + "A,13.12.2024,real\n", "line 2: '13.12.2024' is no date; write it as YYYY-MM-DD"),
        (HEAD + "A,2024-12-14,real\n", "line 2: 2024-12-14 is no session"),
        (HEAD + "A,2024-12-13,Split\n", "line 2: verdict 'Split' is neither real nor split"),
        (HEAD + "A,2024-12-13\n", "line 2: verdict '' is neither"),
        (HEAD + "A,2024-12-13,real\nA,2024-12-13,split\n", "line 3: A 2024-12-13 is there twice"),
        (b"ticker,date,verdict\nA,\xff,real\n", "no CSV file in UTF-8"),
    ],
)
def test_decisions_that_cant_be_understood_name_line_value_and_remedy(
    tmp_path: Path, text: str | bytes, message: str
):
    lake = lake_with(tmp_path, text)
    with pytest.raises(LakeError, match=message) as error:
        decisions(lake)
    assert str(tmp_path / FILE) in str(error.value)


def test_open_lake_refuses_a_bad_file_and_leaves_the_lake_as_it_is(tmp_path: Path):
    market = LakeIdentity("simulated", {"seed": 7})
    open_lake(tmp_path, market)
    before = (tmp_path / "lake.json").read_bytes()
    (tmp_path / FILE).write_text(HEAD + "A,2024-12-13,maybe\n")
    with pytest.raises(LakeError, match="neither real nor split"):
        open_lake(tmp_path, market, {"bars": {"alpha": 0.3}})
    assert (tmp_path / "lake.json").read_bytes() == before


def test_decisions_digest_tells_the_session_alone_and_follows_the_file(tmp_path: Path):
    lake = lake_with(tmp_path, HEAD + "A,2024-12-13,real\nB,2024-12-12,split\n")
    assert decisions_digest(lake, DAY) == "A real"
    assert decisions_digest(lake, date(2024, 12, 11)) == ""
    lake = lake_with(tmp_path, HEAD + "A,2024-12-13,split\nB,2024-12-12,split\n")
    assert decisions_digest(lake, DAY) == "A split"
    assert decisions_digest(lake, date(2024, 12, 12)) == "B split"
