"""Every decoder of bytes from outside, with good inputs to spoil and the errors it may raise."""

from __future__ import annotations

import gzip
import io
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, TypeVar

from smallcaps_assets.lake.errors import LakeError
from smallcaps_assets.lake.identity import read_identity
from smallcaps_assets.lake.paths import PartitionKeyError, key_of_folder, partition_folder
from smallcaps_assets.schemas import TABLES, ContractError
from smallcaps_assets.settings import SettingsError, load_settings
from smallcaps_assets.sources.bars import Bars
from smallcaps_assets.sources.edgar import parse_index, read_submissions, submission_frame
from smallcaps_assets.sources.errors import SourceError
from smallcaps_assets.sources.fails import parse_fails, unzipped
from smallcaps_assets.sources.finra import parse_short_volume
from smallcaps_assets.sources.flatfiles import FlatFiles
from smallcaps_assets.sources.halts import parse_halts
from smallcaps_assets.sources.reference import Reference
from smallcaps_assets.sources.stores import StoredFile
from smallcaps_assets.sources.trades import TradePages
from smallcaps_assets.sources.transport import (
    Answer,
    Request,
    decompress,
    error_of,
    error_text,
)
from smallcaps_assets_tests.sources import test_fails, test_halts
from smallcaps_assets_tests.sources.rows import (
    DAY,
    OPEN_NS,
    daily_bar,
    minute_bar,
    trade,
    trades_csv,
)

T = TypeVar("T")
FROM_SOURCES = (SourceError, ContractError)
HALF, HALTS = test_fails.HALF, test_halts.DAY


@dataclass(frozen=True)
class Decoder:
    """`decode` takes bytes and raises one of `errors` or nothing."""

    seeds: Sequence[bytes]
    decode: Callable[[bytes], Any]
    errors: tuple[type[Exception], ...] = FROM_SOURCES


class OneAnswer:
    """A vendor that answers with the same bytes, or only at first; a hundred times at most."""

    def __init__(self, body: bytes, later: bytes | None = None) -> None:
        self._body, self._later, self._left = body, body if later is None else later, 100

    def fetch(self, request: Request, read: Callable[[Answer], T]) -> T:
        """The decoded answer, as a transport that does not ask again."""
        self._left -= 1
        assert self._left, "the same answer is asked for without end"
        answer = Answer(request, 200, self._body, {})
        self._body = self._later
        return read(answer)


class OneFile:
    """A store of flat files with one content."""

    is_local = True

    def __init__(self, body: bytes) -> None:
        self._body = body

    def list(self, prefix: str) -> list[StoredFile]:
        """Nothing is listed."""
        return []

    @contextmanager
    def opened(self, key: str) -> Iterator[tuple[BinaryIO, str]]:
        """The content, whatever is asked for."""
        yield io.BytesIO(self._body), "etag"


def page(rows: list[dict[str, Any]], **envelope: Any) -> bytes:
    fields = {"status": "OK", "results": rows, "resultsCount": len(rows)}
    return json.dumps(fields | envelope).encode()


def _transport(body: bytes, later: bytes | None = None) -> Any:
    return OneAnswer(body, later)


def _flat(body: bytes) -> Any:
    return FlatFiles(OneFile(body), retry_budget=0)  # type: ignore[arg-type]


def _lists(body: bytes) -> None:
    for read in (
        lambda reference: reference.tickers(DAY),
        lambda reference: reference.splits(DAY.year),
        lambda reference: reference.dividends(DAY.year),
        lambda reference: reference.details("AAME", DAY),
    ):
        try:
            read(Reference(_transport(body), 1))
        except FROM_SOURCES:
            continue


def _keys(body: bytes) -> None:
    """A key is refused, or stands for a folder inside the lake and comes back from it."""
    text = body.decode("utf-8", "surrogateescape")
    for table in TABLES.values():
        for key in (text, f"{text}_2024-05-03"):
            try:
                folder = partition_folder(table, key)
            except PartitionKeyError:
                continue
            path = PurePosixPath(folder)
            assert (
                not path.is_absolute() and not {"..", "."} & set(path.parts) and "\0" not in folder
            )
            assert path.parts[:2] == (table.layer, table.name) and len(folder) < 200
            if len(path.parts) > 2:
                assert key_of_folder(table, "/".join(path.parts[2:])) == key


def _submissions(body: bytes) -> None:
    answer = Answer(Request("/submissions"), 200, body, {})
    found = read_submissions(answer, "0001000045")
    submission_frame(answer, found.filings.recent)


def _settings(body: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "smallcaps.toml"
        file.write_bytes(body)
        load_settings(config_file=file)


def _identity(body: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "lake.json").write_bytes(body)
        read_identity(folder)


def _errors(body: bytes) -> None:
    error_text(body)
    for status in (301, 400, 403, 404, 429, 503):
        assert error_of(Answer(Request("/v3/x"), status, body, {})) is not None


_BARS_CSV = (
    b"ticker,volume,open,close,high,low,window_start,transactions\n"
    b"AAME,1200.5,2,2.4,2.5,1.9,%d,31\nBCpC,10,3,3,3,3,%d,1\n"
) % (OPEN_NS, OPEN_NS + 60_000_000_000)
_TRADES_CSV = (
    b"ticker,conditions,correction,exchange,id,participant_timestamp,price,sequence_number,"
    b'sip_timestamp,size,tape,trf_id,trf_timestamp\nAAME,"12,37",0,4,1,%d,2.5,1,%d,100,3,202,0\n'
) % (OPEN_NS - 1, OPEN_NS)
_FINRA = (
    b"Date|Symbol|ShortVolume|ShortExemptVolume|TotalVolume|Market\n"
    b"20240503|AAL|5397162|43094|11756713|B,Q,N\n20240503|RDS/A|22.5|0|9.1|Q\n2\n"
)
_TOML = (
    b'[lake]\nroot = "x"\n[bars]\nalpha = 0.3\n[universe]\ntypes = ["CS", "ADRC"]\n'
    b'[market]\nstart = 2024-05-03\n[[dataset.periods]]\nname = "a"\nstart = 2024-01-01\n'
    b"end = 2024-12-31\n"
)
_INDEX = (
    b"Description: Master Index\n\nCIK|Company Name|Form Type|Date Filed|File Name\n"
    + b"-" * 60
    + b"\n1000045|NICHOLAS FINANCIAL INC|8-K|20240503|edgar/data/1000045/0000950170-24-000001.txt\n"
)
_SUBMISSIONS = json.dumps(
    {
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
).encode()
_TICKERS = [{"ticker": "AAME", "type": "CS", "primary_exchange": "XNAS", "active": True}]
_SPLITS = [{"ticker": "AAME", "execution_date": "2024-05-03", "split_from": 20, "split_to": 1}]
_DIVIDENDS = [{"ticker": "AAME", "ex_dividend_date": "2024-05-03", "cash_amount": 0.1, "id": "E1"}]
_DETAILS = b'{"status": "OK", "results": {"ticker": "AAME", "list_date": "2001-02-03"}}'
_LAKE = b'{"format": 1, "market": "simulated", "parameters": {"seed": 7}, "settings": {}}'

DECODERS: dict[str, Decoder] = {
    "json_trades": Decoder(
        [page([trade(1), trade(2)]), page([trade(1)], next_url="https://x/v3/trades?cursor=a")],
        lambda body: TradePages(_transport(body)).trades("AAME", DAY),
    ),
    "csv_trades": Decoder(
        [trades_csv([1, 2, 3]).body],
        lambda body: TradePages(_transport(body, page([]))).trades("AAME", DAY),
    ),
    "json_daily_bars": Decoder(
        [page([daily_bar(), daily_bar("BCpC")], adjusted=False)],
        lambda body: Bars(_transport(body)).daily(DAY),
    ),
    "json_minute_bars": Decoder(
        [page([minute_bar(0), minute_bar(5)], ticker="AAME", adjusted=False)],
        lambda body: Bars(_transport(body)).minutes("AAME", DAY, DAY + timedelta(days=3)),
    ),
    "json_lists": Decoder(
        [page(_TICKERS), page(_SPLITS), page(_DIVIDENDS), _DETAILS],
        _lists,
    ),
    "error_bodies": Decoder(
        [b'{"status": "ERROR", "request_id": "a1", "error": "no"}', b"<html>502</html>"],
        _errors,
        (),
    ),
    "gzip": Decoder(
        [
            gzip.compress(b"row\n" * 20, mtime=0),
            gzip.compress(b"a", mtime=0) + gzip.compress(b"b", mtime=0),
        ],
        lambda body: decompress(body, "gzip"),
        (ValueError,),
    ),
    "flat_file_bars": Decoder(
        [_BARS_CSV], lambda body: _flat(gzip.compress(body, 1, mtime=0)).minute_bars(DAY)
    ),
    "flat_file_trades": Decoder(
        [_TRADES_CSV], lambda body: _flat(gzip.compress(body, 1, mtime=0)).trades(DAY, ["AAME"])
    ),
    "flat_file_gzip": Decoder(
        [gzip.compress(_BARS_CSV, mtime=0)], lambda body: _flat(body).daily_bars(DAY)
    ),
    "finra": Decoder([_FINRA], lambda body: parse_short_volume(body, date(2024, 5, 3))),
    "fails_to_deliver": Decoder([test_fails.text()], lambda body: parse_fails(body, HALF)),
    "fails_to_deliver_zip": Decoder(
        [test_fails.archive(**{"cnsfails.txt": test_fails.text()})],
        lambda body: parse_fails(unzipped(body, "x"), HALF),
    ),
    "edgar_index": Decoder([_INDEX], parse_index),
    "edgar_submissions": Decoder([_SUBMISSIONS], _submissions),
    "halts": Decoder([test_halts.feed(test_halts.item())], lambda body: parse_halts(body, HALTS)),
    "smallcaps_toml": Decoder([_TOML], _settings, (SettingsError,)),
    "lake_json": Decoder([_LAKE], _identity, (LakeError,)),
    "partition_keys": Decoder(
        [b"AAME", b"BRK.B", b"BCpC", b"2024-05-03", b"2024-05", b"2024", b"union", b"../x", b"A/B"],
        _keys,
        (),
    ),
}
