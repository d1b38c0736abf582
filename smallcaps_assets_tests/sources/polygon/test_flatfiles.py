"""Flat files from a folder, over plain HTTP and over S3: both eras, cut files, replaced files."""

from __future__ import annotations

import gzip
import hashlib
import random
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from smallcaps_assets.schemas.tables import TABLES
from smallcaps_assets.settings import PolygonSettings
from smallcaps_assets.sources import FlatFiles, make_flat_files
from smallcaps_assets.sources.errors import (
    BadAnswer,
    MissingExtra,
    NotEntitled,
    NotFound,
    SourceUnavailable,
    TruncatedAnswer,
    WrongContent,
)
from smallcaps_assets.sources.polygon import flatfiles
from smallcaps_assets.sources.polygon.flatfile_stores import HttpStore, LocalStore
from smallcaps_assets.sources.polygon.flatfiles import key_of
from smallcaps_assets_tests.sources.loopback import Asked, Loopback, Reply

DAY = date(2026, 10, 2)
BARS = "ticker,volume,open,close,high,low,window_start,transactions\n"
WHOLE_MINUTES = BARS + (
    "AAME,13809,2.05,2.17,2.5,1.88,1790928000000000000,801\n"
    "AAME,100,2.17,2.17,2.17,2.17,1790928060000000000,\n"
    "BApA,250,60.55,60.55,60.55,60.55,1790947800000000000,12\n"
    "ZVZZT,250,60.55,60.55,60.55,60.55,1790947800000000000,12\n"
)
DECIMAL_DAY = BARS + (
    "AAME,33278552.153126,3.260000,3.690000,4.540000,3.610000,1790913600000000000,628334\n"
    "BCATrw,89401.000000,0.005500,0.007500,0.007500,0.005000,1790913600000000000,101\n"
    "GAP,0.000000,,,,,1790913600000000000,0\n"
)
TRADES = (
    "ticker,conditions,correction,exchange,id,participant_timestamp,price,sequence_number,"
    "sip_timestamp,size,tape,trf_id,trf_timestamp\n"
    "AAME,12,0,8,52983525035849,1790949000032981000,2.79,6876,1790949000033243132,100,1,0,0\n"
    'AAME,"12,37",0,4,62879,1790949001012624580,2.73,6877,1790949001012983416,15.5,1,202,0\n'
    'AAME,"12,37",0,4,62879,1790949001012624580,2.73,6877,1790949001012983416,15.5,1,202,0\n'
    "BB,,0,12,7,0,1.5,3,1790949002012983416,1,3,0,1790949002012983400\n"
)
QUOTES = (
    "ticker,ask_exchange,ask_price,ask_size,bid_exchange,bid_price,bid_size,conditions,indicators,"
    "participant_timestamp,sequence_number,sip_timestamp,tape,trf_timestamp\n"
    'AAME,15,2.52,3,19,2.5,4,"1,81",604,1790949000032981000,6,1790949000033243132,1,0\n'
    'AAME,15,2.52,3,19,2.5,4,"1,81",604,1790949000032981000,6,1790949000033243132,1,0\n'
    "AAME,15,2.52,3,0,0,0,2,,1790949000032981000,7,1790949001033243132,1,0\n"
    "BB,15,9.52,3,19,9.5,4,,,1790949000032981000,6,1790949000033243132,1,0\n"
)


def put(root: Path, dataset: str, text: str, day: date = DAY, cut: int = 0) -> bytes:
    raw = gzip.compress(text.encode(), mtime=0)
    path = root / key_of(dataset, day)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(raw[: len(raw) - cut])
    return raw


@pytest.fixture
def local(tmp_path: Path) -> FlatFiles:
    put(tmp_path, "minute_aggs_v1", WHOLE_MINUTES)
    put(tmp_path, "day_aggs_v1", DECIMAL_DAY)
    put(tmp_path, "trades_v1", TRADES)
    return make_flat_files(PolygonSettings.model_validate({"flatfiles_dir": str(tmp_path)}))


def test_minute_bars_given_whole_shares_expected_exact_rows(local: FlatFiles) -> None:
    found = TABLES["minute_bars"].validate(local.minute_bars(DAY).frame)
    assert found["ticker"].to_list() == ["AAME", "AAME", "BApA"]
    assert found.row(0) == (
        *(DAY, "AAME", datetime(2026, 10, 2, 8, tzinfo=UTC)),
        *(2.05, 2.5, 1.88, 2.17, 13809.0, None, 801),
    )
    assert found["transactions"].to_list() == [801, None, 12]


def test_minute_bars_given_tickers_expected_only_those(local: FlatFiles) -> None:
    assert local.minute_bars(DAY, ["BApA", "BAPA"]).frame["ticker"].to_list() == ["BApA"]


def test_daily_bars_given_decimals_expected_exact_and_gaps_out(local: FlatFiles) -> None:
    found = TABLES["daily_bars"].validate(local.daily_bars(DAY).frame)
    assert found.select("ticker", "volume", "transactions").rows() == [
        ("AAME", 33278552.153126, 628334),
        ("BCATrw", 89401.0, 101),
    ]


def test_trades_given_tickers_expected_each_once_and_zeros_as_nulls(local: FlatFiles) -> None:
    found = TABLES["trades"].validate(local.ticks("trades", DAY, ["AAME", "BB"]).frame)
    columns = ("ticker", "size", "conditions", "exchange", "trf_id")
    assert found.select(columns).rows() == [
        ("AAME", 100.0, [12], 8, 0),
        ("AAME", 15.5, [12, 37], 4, 202),
        ("BB", 1.0, [], 12, 0),
    ]
    assert [value is None for value in found["trf_timestamp"]] == [True, True, False]
    assert [value is None for value in found["participant_timestamp"]] == [False, False, True]


def test_trades_given_small_pieces_expected_the_same(
    local: FlatFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = local.ticks("trades", DAY, ["AAME", "BB"]).frame
    for size in (1, 7, 150, 400):
        monkeypatch.setattr(flatfiles, "PIECE", size)
        assert local.ticks("trades", DAY, ["AAME", "BB"]).frame.equals(whole)


@pytest.mark.parametrize(("since", "unit"), [(DAY, 1), (date(2026, 10, 3), 100)])
def test_quotes_of_a_file_are_rows_of_the_table_each_once_in_shares(
    tmp_path: Path, since: date, unit: int
) -> None:
    put(tmp_path, "quotes_v1", QUOTES)
    files = FlatFiles(LocalStore(tmp_path), shares_since=since)
    found = TABLES["quotes"].validate(files.ticks("quotes", DAY, ["AAME"]).frame)
    sides = found.select("bid_price", "bid_size", "ask_size", "size_unit").rows()
    assert sides == [(2.5, 4.0 * unit, 3.0 * unit, unit), (None, 0.0, 3.0 * unit, unit)]
    assert found["conditions"].to_list() == [[1, 81], [2]]
    assert files.ticks("quotes", DAY, ["NONE"]).frame.is_empty()


def test_flat_frame_given_local_file_expected_key_and_md5(tmp_path: Path) -> None:
    raw = put(tmp_path, "trades_v1", TRADES)
    found = FlatFiles(LocalStore(tmp_path)).ticks("trades", DAY, ["BB"])
    assert found.key == "us_stocks_sip/trades_v1/2026/10/2026-10-02.csv.gz"
    assert found.etag == hashlib.md5(raw).hexdigest()


@pytest.mark.parametrize(
    ("text", "cut", "kind"),
    [
        (WHOLE_MINUTES, 1, TruncatedAnswer),
        (WHOLE_MINUTES, 30, TruncatedAnswer),
        (WHOLE_MINUTES, 10_000, TruncatedAnswer),
        (WHOLE_MINUTES[:-5], 0, TruncatedAnswer),
        ("", 0, TruncatedAnswer),
        (WHOLE_MINUTES.replace("window_start", "start"), 0, BadAnswer),
        (WHOLE_MINUTES.replace("13809", "many"), 0, BadAnswer),
        (WHOLE_MINUTES.replace("1790928000000000000", "1790848000000000000"), 0, WrongContent),
    ],
)
def test_minute_bars_given_defect_expected_typed_error(
    tmp_path: Path, text: str, cut: int, kind: type[Exception]
) -> None:
    raw = gzip.compress(text.encode(), mtime=0)
    put(tmp_path, "minute_aggs_v1", text, cut=min(cut, len(raw)))
    with pytest.raises(kind, match="minute_aggs_v1/2026/10/2026-10-02"):
        FlatFiles(LocalStore(tmp_path)).minute_bars(DAY)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (BARS + random.Random(1).randbytes(3 << 20).hex(), "a row has more than"),
        (WHOLE_MINUTES + WHOLE_MINUTES.splitlines(keepends=True)[1] * 200_000, "expands beyond"),
    ],
    ids=["one endless row", "equal rows without end"],
)
def test_minute_bars_given_a_bomb_expected_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, told: str
) -> None:
    monkeypatch.setattr(flatfiles, "SMALL", 1 << 20)
    put(tmp_path, "minute_aggs_v1", text)
    with pytest.raises(WrongContent, match=told):
        FlatFiles(LocalStore(tmp_path)).minute_bars(DAY)


def test_minute_bars_given_no_file_expected_not_found(local: FlatFiles) -> None:
    with pytest.raises(NotFound):
        local.minute_bars(date(2026, 10, 5))


def test_days_given_month_expected_listed_files(local: FlatFiles) -> None:
    listed = local.days("trades_v1", date(2026, 10, 1))
    assert list(listed) == [DAY]
    assert listed[DAY].size == len(gzip.compress(TRADES.encode(), mtime=0))


def test_days_given_other_files_in_the_folder_expected_left_out(tmp_path: Path) -> None:
    put(tmp_path, "trades_v1", TRADES)
    (tmp_path / key_of("trades_v1", DAY)).with_name("readme.csv.gz").write_bytes(b"")
    assert list(FlatFiles(LocalStore(tmp_path)).days("trades_v1", DAY)) == [DAY]


# Over HTTP ---------------------------------------------------------------------------------------
def http_files(server: Loopback) -> FlatFiles:
    return FlatFiles(
        HttpStore(server.url, 2, 0.5), 5, sleep=lambda seconds: None, rng=random.Random(1)
    )


def file_reply(text: str, **options: Any) -> Reply:
    body = gzip.compress(text.encode(), mtime=0)
    return Reply(body, headers={"ETag": '"abc"', "Content-Type": "application/gzip"}, **options)


def test_http_given_file_expected_exact_request_and_etag() -> None:
    with Loopback(file_reply(WHOLE_MINUTES)) as server:
        found = http_files(server).minute_bars(DAY)
        path = "/flatfiles/us_stocks_sip/minute_aggs_v1/2026/10/2026-10-02.csv.gz"
        assert server.asked[0].path == path
        assert "Authorization" not in server.asked[0].headers
    assert (found.frame.height, found.etag) == (3, "abc")


@pytest.mark.parametrize(
    "fault",
    [
        file_reply(WHOLE_MINUTES, cut=20),
        file_reply(WHOLE_MINUTES, cut=20, framing="chunked"),
        file_reply(WHOLE_MINUTES, cut=20, framing="close"),
        file_reply(WHOLE_MINUTES, reset_after=30),
        file_reply(WHOLE_MINUTES, stall=0.8),
        Reply(b"<html>Bad Gateway</html>", 502),
        Reply(b"", 503),
        Reply(b"<html>hello</html>"),
    ],
    ids=["cut", "cut_chunked", "cut_close", "reset", "stall", "502", "503", "html"],
)
def test_http_given_fault_expected_asked_again(fault: Reply) -> None:
    with Loopback(fault, file_reply(WHOLE_MINUTES)) as server:
        assert http_files(server).minute_bars(DAY).frame.height == 3
        assert len(server.asked) == 2


def test_http_given_403_expected_remembered_for_that_file() -> None:
    with Loopback(Reply(b"<Error><Code>Forbidden</Code></Error>", 403)) as server:
        files = http_files(server)
        for _ in range(3):
            with pytest.raises(NotEntitled):
                files.minute_bars(DAY)
        assert len(server.asked) == 1


def test_http_given_listing_in_pages_expected_all() -> None:
    def answer(asked: Asked) -> Reply:
        day = "2026-10-02" if "continuation-token" in asked.query else "2026-10-01"
        token = (
            ""
            if "continuation-token" in asked.query
            else "<NextContinuationToken>t</NextContinuationToken>"
        )
        key = f"us_stocks_sip/trades_v1/2026/10/{day}.csv.gz"
        return Reply(
            f'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{token}<Contents>'
            f"<Key>{key}</Key><Size>12</Size><ETag>&quot;e1&quot;</ETag></Contents>"
            "</ListBucketResult>".encode()
        )

    with Loopback(answer) as server:
        found = http_files(server).days("trades_v1", DAY)
        assert [(day.day, file.size, file.etag) for day, file in found.items()] == [
            (1, 12, "e1"),
            (2, 12, "e1"),
        ]
        assert server.asked[0].path == "/flatfiles"


def test_http_given_closed_port_expected_unavailable() -> None:
    with Loopback(Reply()) as server:
        files = http_files(server)
    files._budget = 0.0
    with pytest.raises(SourceUnavailable):
        files.minute_bars(DAY)


# Over S3 -----------------------------------------------------------------------------------------
@pytest.fixture
def s3_url() -> Iterator[str]:
    pytest.importorskip("boto3")
    server_module = pytest.importorskip("moto.server")
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def s3_files(url: str) -> FlatFiles:
    given = {"flatfiles_url": url, "flatfiles_bucket": "vendor", "retry_budget": 0}
    settings = PolygonSettings.model_validate(given)
    return make_flat_files(settings, SecretStr("access"), SecretStr("secret-of-s3"))


def test_s3_given_file_expected_frame_listing_and_etag(s3_url: str) -> None:
    import boto3

    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "y", "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=s3_url, **keys)
    client.create_bucket(Bucket="vendor")
    raw = gzip.compress(WHOLE_MINUTES.encode(), mtime=0)
    client.put_object(Bucket="vendor", Key=key_of("minute_aggs_v1", DAY), Body=raw)
    files = s3_files(s3_url)
    found = files.minute_bars(DAY)
    assert (found.frame.height, found.etag) == (3, hashlib.md5(raw).hexdigest())
    assert list(files.days("minute_aggs_v1", DAY)) == [DAY]
    with pytest.raises(NotFound):
        files.minute_bars(date(2026, 10, 5))


def test_s3_given_403_expected_not_entitled_and_no_secret_shown() -> None:
    pytest.importorskip("boto3")
    body = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>"
    with Loopback(Reply(body, 403)) as server:
        with pytest.raises(NotEntitled) as caught:
            s3_files(server.url).minute_bars(DAY)
        assert "secret-of-s3" not in repr(vars(caught.value))


def test_make_flat_files_given_keys_without_boto3_expected_the_extra_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import builtins

    real: Callable[..., Any] = builtins.__import__

    def no_boto3(name: str, *args: Any, **options: Any) -> Any:
        if name == "boto3":
            raise ImportError(name)
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", no_boto3)
    with pytest.raises(MissingExtra, match=r"smallcaps-assets\[flatfiles\]"):
        s3_files("http://127.0.0.1:9")
