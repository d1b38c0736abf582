"""The recorded market: files as they are, what is missing, what is broken."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path

import pytest

from smallcaps_assets.sandbox import RecordedDataError, RecordedMarket, Sandbox, SandboxConfig
from smallcaps_assets_tests.sandbox.conftest import Client

DAY, NEXT = date(2013, 10, 7), date(2013, 10, 8)


@pytest.fixture
def recorded(recording: Path):
    with Sandbox(SandboxConfig(kind="recorded", recorded_dir=recording)) as sandbox:
        yield Client(sandbox)


def test_sessions_are_those_with_day_bars(recording: Path) -> None:
    market = RecordedMarket(recording)
    assert market.sessions == [DAY, NEXT]
    assert [market.has_flat_file("trades_v1", day) for day in (DAY, NEXT)] == [True, False]


def test_rest_leaves_out_what_the_recording_lacks(recorded: Client) -> None:
    body = recorded.json(f"/v2/aggs/grouped/locale/us/market/stocks/{DAY}", adjusted="false")
    row = next(row for row in body["results"] if row["T"] == "AAPL")
    assert row == {"T": "AAPL", "v": 300.0, "o": 10.0, "c": 11.0, "h": 12.0, "l": 9.0,
                   "t": 1381176000000}  # fmt: skip
    adjusted = recorded.json(f"/v2/aggs/ticker/AAPL/range/1/day/{DAY}/{DAY}")["results"][0]
    assert (adjusted["c"], adjusted["v"]) == (5.5, 600.0)


def test_trades_come_from_the_file(recorded: Client) -> None:
    rows = recorded.json("/v3/trades/AAPL", timestamp=str(DAY), order="asc")["results"]
    assert [row["price"] for row in rows] == [10.0, 11.0]
    assert rows[0]["conditions"] == [14, 41] and "trf_id" not in rows[0]
    assert "conditions" not in rows[1] and rows[1]["trf_id"] == 202
    assert recorded.json("/v3/trades/NOPE", timestamp=str(DAY))["results"] == []


def test_sessions_that_were_not_recorded_are_refused_not_empty(recorded: Client) -> None:
    paths = ("/v3/trades/AAPL?timestamp=2013-10-08",
             "/v2/aggs/ticker/AAPL/range/1/minute/2013-10-08/2013-10-08")  # fmt: skip
    for path in paths:
        answer = recorded.get(path)
        assert answer.status_code == 403 and "not recorded" in answer.json()["message"]
    file = "/flatfiles/us_stocks_sip/trades_v1/2013/10/2013-10-08.csv.gz"
    assert recorded.get(file).status_code == 404
    listing = recorded.get("/flatfiles", prefix="us_stocks_sip/trades_v1/").text
    assert "2013-10-07.csv.gz" in listing and "2013-10-08.csv.gz" not in listing
    assert recorded.json("/v1/open-close/AAPL/2013-10-08")["close"] == 11.0


def test_flat_files_are_served_byte_for_byte(recorded: Client, recording: Path) -> None:
    key = "us_stocks_sip/trades_v1/2013/10/2013-10-07.csv.gz"
    answer = recorded.get(f"/flatfiles/{key}")
    assert answer.content == (recording / key).read_bytes()


def test_reference_knows_only_what_was_recorded(recorded: Client) -> None:
    assert [r["ticker"] for r in recorded.json("/v3/reference/tickers")["results"]] == ["AAPL"]
    assert recorded.json("/v3/reference/tickers/AAPL")["results"]["name"] == "Apple Inc."
    assert recorded.get("/v3/reference/tickers/IBM").status_code == 404
    assert recorded.get("/vX/reference/tickers/AAPL/events").status_code == 404
    assert recorded.json("/v3/reference/splits")["results"][0]["split_to"] == 2
    assert recorded.json("/v3/reference/dividends")["results"] == []
    denied = recorded.get("/equity/regsho/daily/CNMSshvol20131007.txt")
    assert denied.status_code == 403 and "AccessDenied" in denied.text


def test_check_names_the_missing_file(recording: Path) -> None:
    market = RecordedMarket(recording)
    market.check(DAY, DAY)
    market.check(DAY, NEXT, ["day_aggs_v1"])
    with pytest.raises(
        RecordedDataError, match=r"2013-10-08\.csv\.gz: the file is missing; copy it"
    ):
        market.check(DAY, NEXT)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda body: body[: len(body) // 2], "gzip stream is broken"),
        (lambda body: b"not gzip at all", "gzip stream is broken"),
    ],
)
def test_check_names_the_broken_file(recording: Path, spoil, words: str) -> None:
    path = recording / "us_stocks_sip/trades_v1/2013/10/2013-10-07.csv.gz"
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(RecordedDataError, match=words) as caught:
        RecordedMarket(recording).check(DAY, DAY)
    assert caught.value.path == path and "copy the file again" in str(caught.value)


def test_broken_file_over_http_is_an_error_not_an_empty_answer(
    recorded: Client, recording: Path
) -> None:
    path = recording / "us_stocks_sip/minute_aggs_v1/2013/10/2013-10-07.csv.gz"
    path.write_bytes(path.read_bytes()[:40])
    answer = recorded.get(f"/v2/aggs/ticker/AAPL/range/1/minute/{DAY}/{DAY}")
    assert answer.status_code == 500 and "minute_aggs_v1" in answer.json()["error"]


def test_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordedDataError, match="set recorded_dir"):
        RecordedMarket(tmp_path)


def _real_recording() -> Path | None:
    named = os.environ.get("SMALLCAPS_TEST_RECORDING")
    return Path(named) if named and Path(named).is_dir() else None


@pytest.mark.skipif(_real_recording() is None, reason="no recording is named")
def test_real_recording_is_served_whole() -> None:
    folder = _real_recording()
    assert folder is not None
    with Sandbox(SandboxConfig(kind="recorded", recorded_dir=folder)) as sandbox:
        client, market = Client(sandbox), sandbox.market
        assert isinstance(market, RecordedMarket)
        day = next(x for x in market.sessions if market.has_flat_file("trades_v1", x))
        ticker = market.session_trades(day)["ticker"][0]
        pages = client.pages(f"/v3/trades/{ticker}", timestamp=str(day), limit=50000, order="asc")
        found = sum(len(page["results"]) for page in pages)
        assert found == market.trades(ticker, day).height
