"""Decoders under any bytes: a typed error or a frame, never anything else."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from datetime import date
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smallcaps_assets.sources.errors import BadAnswer, SourceError, TruncatedAnswer
from smallcaps_assets.sources.http import decode
from smallcaps_assets.sources.http.decode import BarRow, TickerRow, TradeRow
from smallcaps_assets.sources.http.transport import Answer, Request
from smallcaps_assets.sources.polygon import trades
from smallcaps_assets.sources.regulators.finra import parse_short_volume
from smallcaps_assets_tests.sources.rows import trade, trades_csv

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["results", "t", "ticker", "status", "x"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


def answer(body: bytes, accept: str = "application/json") -> Answer:
    return Answer(Request("/v3/x", accept=accept), 200, body, {})


def read_rows(body: bytes, row_type: type[Any]) -> list[Any]:
    whole = answer(body)
    return decode.listing(whole, row_type)[1]


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300) | JSON_VALUES.map(lambda value: json.dumps(value).encode()))
def test_json_decoders_given_any_bytes_expected_rows_or_typed_error(body: bytes) -> None:
    for row_type in (TickerRow, BarRow, TradeRow):
        with suppress(SourceError):
            assert isinstance(read_rows(body, row_type), list)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 400))
def test_csv_decoder_given_any_bytes_expected_frame_or_typed_error(junk: bytes, at: int) -> None:
    good = trades_csv([1, 2, 3]).body
    for body in (junk, junk + b"\n", good[:at] + junk + good[at:]):
        with suppress(SourceError):
            found = decode.csv_frame(body, trades.TYPES, trades.REQUIRED, answer(body).problem)
            assert found.columns == list(trades.TYPES)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 120))
def test_finra_parser_given_any_bytes_expected_frame_or_typed_error(junk: bytes, at: int) -> None:
    good = (
        b"Date|Symbol|ShortVolume|ShortExemptVolume|TotalVolume|Market\r\n"
        b"20240503|A|1|0|2|B,Q\r\n1\r\n"
    )
    for body in (junk, good[:at] + junk + good[at:]):
        with suppress(SourceError):
            assert parse_short_volume(body, date(2024, 5, 3)).height <= 2


def test_rows_given_nanoseconds_beyond_2_53_expected_exact() -> None:
    body = json.dumps({"status": "OK", "results": [trade(1, sip_timestamp=1651181822461979401)]})
    assert read_rows(body.encode(), TradeRow)[0].sip_timestamp == 1651181822461979401


@pytest.mark.parametrize("status", ["OK", "DELAYED"])
def test_page_given_success_status_expected_accepted(status: str) -> None:
    assert read_rows(json.dumps({"status": status, "results": []}).encode(), BarRow) == []


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b'{"results":[]}', b'{"status":"ERROR","results":[]}', b'{"status":"OK"'],
)
def test_page_given_no_success_expected_bad_answer(body: bytes) -> None:
    with pytest.raises(BadAnswer):
        read_rows(body, BarRow)


def test_rows_given_other_count_expected_truncated() -> None:
    body = json.dumps({"status": "OK", "count": 3, "results": [{"ticker": "A"}]}).encode()
    with pytest.raises(TruncatedAnswer, match="1 rows came, 3 were announced"):
        read_rows(body, TickerRow)


def test_csv_frame_given_columns_in_any_order_expected_read_by_name() -> None:
    types = {"a": pl.Int64, "b": pl.Float64, "c": pl.String}
    found = decode.csv_frame(b"b,x,a\n1.5,?,7\n", types, ("a",), answer(b"").problem)
    assert found.rows() == [(7, 1.5, None)]


def test_csv_frame_given_a_byte_order_mark_expected_first_column_found() -> None:
    body, types = b"\xef\xbb\xbfa,b\n1,2\n", {"a": pl.Int64, "b": pl.Int64}
    found = decode.csv_frame(body, types, ["a"], answer(b"").problem)
    assert found.rows() == [(1, 2)]


def test_csv_frame_given_no_newline_at_the_end_expected_truncated() -> None:
    with pytest.raises(TruncatedAnswer):
        decode.csv_frame(b"a\n1\n2", {"a": pl.Int64}, ("a",), answer(b"").problem)


def test_rows_given_count_without_results_expected_truncated() -> None:
    for body in ({"results": None}, {}):
        page = {"status": "OK", "ticker": "A", "adjusted": False, "resultsCount": 3, **body}
        with pytest.raises(TruncatedAnswer):
            read_rows(json.dumps(page).encode(), BarRow)


# In a process of its own: a crash of one thread ends all.
AT_ONCE = """
import sys, threading
import msgspec
from smallcaps_assets.sources.http.decode import Page, decoder

sys.setswitchinterval(1e-6)

def read(kind, gate):
    gate.wait()
    assert decoder(kind).decode(b'{"status": "OK", "results": {"f1": "x"}}').results.f1 == "x"

for number in range(100):
    row = msgspec.defstruct(f"Row{number}", [(f"f{k}", str | None, None) for k in range(12)])
    gate = threading.Barrier(8)
    threads = [threading.Thread(target=read, args=(Page[row], gate)) for _ in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
"""


def test_threads_may_be_the_first_to_read_a_type_at_once() -> None:
    command = [sys.executable, "-c", AT_ONCE]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
