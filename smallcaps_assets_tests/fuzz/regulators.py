"""Decoders of what FINRA, the SEC, Nasdaq and other exchanges publish."""

from __future__ import annotations

import json
from datetime import date

from smallcaps_assets.sources.http.transport import Answer, Request
from smallcaps_assets.sources.regulators import finra, sec
from smallcaps_assets.sources.regulators.edgar import (
    parse_index,
    read_submissions,
    submission_frame,
)
from smallcaps_assets.sources.regulators.exchanges import exchange_short_volume
from smallcaps_assets.sources.regulators.fails import parse_fails, unzipped
from smallcaps_assets.sources.regulators.halts import parse_halts
from smallcaps_assets_tests.fuzz.decoder import Decoder, file_named
from smallcaps_assets_tests.sources.regulators import (
    test_exchanges,
    test_fails,
    test_finra,
    test_halts,
)

HALF, FINRA_DAY = test_fails.HALF, date(2021, 8, 2)
INDEX = (
    b"Description: Master Index\n\nCIK|Company Name|Form Type|Date Filed|File Name\n"
    + b"-" * 60
    + b"\n1000045|NICHOLAS FINANCIAL INC|8-K|20240503|edgar/data/1000045/0000950170-24-000001.txt\n"
)
SUBMISSIONS = {
    "cik": "1000045",
    "filings": {
        "recent": {
            "accessionNumber": ["0000950170-24-000001"],
            "acceptanceDateTime": ["2024-05-03T16:05:01.000Z"],
            "form": ["8-K"],
            "items": ["1.01"],
            "primaryDocument": ["a.htm"],
            "primaryDocDescription": ["8-K"],
            "filingDate": ["2024-05-03"],
        },
        "files": [],
    },
}
LISTING = (
    b'<html><a href="https://www.sec.gov/files/data/cnsfails202301a.zip">first half</a></html>'
)


def _answer(body: bytes) -> Answer:
    return Answer(Request("/x"), 200, body, {})


def _submissions(body: bytes) -> None:
    found = read_submissions(_answer(body), "0001000045")
    submission_frame(_answer(body), found.filings.recent)


def _short_interest(body: bytes) -> None:
    """The first line is the header that counts the rows."""
    count, _, rows = body.partition(b"\n")
    headers = {"record-total": count.decode("latin-1")}
    found, _ = finra._interest_page(Answer(Request("/x"), 200, rows, headers))
    finra._interest_frame(found, date(2024, 11, 1), date(2024, 11, 30))


def _exchange_file(name: str, body: bytes) -> None:
    with file_named(name, body) as path:
        exchange_short_volume(str(path.parent), test_exchanges.DAY)


DECODERS: dict[str, Decoder] = {
    "finra": Decoder(
        [test_finra.file(test_finra.WHOLE)],
        lambda body: finra.parse_short_volume(body, FINRA_DAY),
    ),
    "finra_short_interest": Decoder(
        [b"1\n" + json.dumps([test_finra.interest("BRKB")]).encode()], _short_interest
    ),
    "exchange_short_volume": Decoder(
        [test_exchanges.PSX.encode(), test_exchanges.NYSE.encode()],
        lambda body: _exchange_file("NPSXshvol20210127.txt", body),
    ),
    "exchange_short_volume_zip": Decoder(
        [test_fails.archive(**{"x.txt": test_exchanges.PSX.encode()})],
        lambda body: _exchange_file("NPSXshvol20210127.zip", body),
    ),
    "fails_to_deliver": Decoder([test_fails.text()], lambda body: parse_fails(body, HALF)),
    "fails_to_deliver_zip": Decoder(
        [test_fails.archive(**{"cnsfails.txt": test_fails.text()})],
        lambda body: parse_fails(unzipped(body, "x"), HALF),
    ),
    "fails_to_deliver_page": Decoder([LISTING], lambda body: sec._links(_answer(body)), ()),
    "edgar_index": Decoder([INDEX], parse_index),
    "edgar_submissions": Decoder([json.dumps(SUBMISSIONS).encode()], _submissions),
    "halts": Decoder(
        [test_halts.feed(test_halts.item())], lambda body: parse_halts(body, test_halts.DAY)
    ),
}
