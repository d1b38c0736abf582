"""Faults: the grammar, what each does over HTTP, and how often."""

from __future__ import annotations

import gzip
from datetime import date

import pytest
import requests

from smallcaps_assets.sandbox import (
    FaultError,
    Sandbox,
    SandboxConfig,
    SimulatedMarket,
    parse_fault,
)
from smallcaps_assets_tests.sandbox.conftest import Client

DAYS = "/v2/aggs/ticker/BCPC/range/1/day/2024-10-01/2024-11-29"
FILE = "/flatfiles/us_stocks_sip/day_aggs_v1/2024/12/2024-12-03.csv.gz"


def test_fault_text_is_parsed_whole() -> None:
    fault = parse_fault("stall=1.5@trades:BCpC:2024-11-05*3~0.25")
    assert (fault.kind, fault.seconds, fault.ticker) == ("stall", 1.5, "BCpC")
    assert (fault.day, fault.count, fault.probability) == (date(2024, 11, 5), 3, 0.25)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("melt@trades", "valid kinds: 429"),
        ("500@nowhere", "valid: any, tickers"),
        ("500", "write kind@endpoint"),
        ("500@trades:ABC:lately", "2024-11-05"),
    ],
)
def test_fault_given_nonsense_lists_what_is_valid(text: str, words: str) -> None:
    with pytest.raises(FaultError, match=words):
        parse_fault(text)


@pytest.mark.parametrize(
    ("kind", "status"),
    [("429", 429), ("429_empty", 429), ("500", 500), ("502", 502), ("503", 503), ("401", 401),
     ("403", 403)],
)  # fmt: skip
def test_refusals_strike_as_often_as_said(client: Client, kind: str, status: int) -> None:
    client.sandbox.inject(f"{kind}@bars*2")
    assert [client.get(DAYS).status_code for _ in range(3)] == [status, status, 200]
    assert client.get("/v3/reference/exchanges").status_code == 200
    assert [row.fault for row in client.sandbox.requests] == [kind, kind, "", ""]


def test_refusals_have_the_vendors_bodies(client: Client) -> None:
    client.sandbox.inject("429=7@bars*1")
    client.sandbox.inject("429@bars*1")
    client.sandbox.inject("502@bars*1")
    client.sandbox.inject("403@bars*1")
    answers = [client.get(DAYS) for _ in range(4)]
    assert answers[0].headers["Retry-After"] == "7" and "Retry-After" not in answers[1].headers
    assert "exceeded the maximum requests" in answers[1].json()["error"]
    assert answers[2].text.startswith("<html>")
    assert answers[3].json()["status"] == "NOT_AUTHORIZED"


def test_cut_gzip_is_invisible_to_the_framing(client: Client) -> None:
    client.sandbox.inject("cut_gzip@bars*1")
    answer = client.session.get(client.sandbox.url + DAYS, stream=True)
    body = answer.raw.read(decode_content=False)
    assert len(body) == int(answer.headers["content-length"])
    with pytest.raises(EOFError):
        gzip.decompress(body)


def test_reset_breaks_the_connection(client: Client) -> None:
    client.sandbox.inject("reset@bars*1")
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        client.get(DAYS)
    assert client.get(DAYS).status_code == 200


def test_stall_outlasts_the_timeout(client: Client) -> None:
    client.sandbox.inject("stall=0.6@bars*1")
    with pytest.raises(requests.exceptions.ReadTimeout):
        client.session.get(client.sandbox.url + DAYS, timeout=0.2)


def test_faults_of_content(client: Client) -> None:
    good = client.json(DAYS)

    def struck(kind: str) -> dict:
        client.sandbox.clear_faults()
        client.sandbox.inject(f"{kind}@bars")
        return client.json(DAYS)

    assert struck("null_results")["results"] is None
    assert "results" not in struck("missing_results")
    assert struck("wrong_ticker")["ticker"] == "WRONG"
    assert len(struck("duplicate_rows")["results"]) > len(good["results"])
    shuffled = struck("out_of_order")["results"]
    assert shuffled != good["results"]
    assert sorted(shuffled, key=lambda r: r["t"]) == good["results"]
    assert struck("foreign_next_url")["next_url"].startswith("https://elsewhere.example.org/")
    assert struck("cursor_loop")["next_url"] == "https://api.massive.com" + DAYS
    assert all(row["c"] < 0 for row in struck("corrupt")["results"])


def test_csv_rows_are_spoiled_too(client: Client) -> None:
    plain = client.csv("/v3/trades/BCPC", timestamp="2024-12-03", limit=50).splitlines()
    prices = [i for i, name in enumerate(plain[0].split(",")) if name == "price"]
    client.sandbox.inject("corrupt@trades:BCPC:2024-12-03")
    bad = client.csv("/v3/trades/BCPC", timestamp="2024-12-03", limit=50).splitlines()
    assert len(bad) == len(plain) and prices
    assert all(",-" in row for row in bad[1:])


def test_one_ticker_session_fails_among_the_rest(client: Client) -> None:
    client.sandbox.inject("500@trades:BCPC:2024-12-03")
    path = "/v3/trades/BCPC"
    bound = {"timestamp.gte": "2024-12-03", "timestamp.lt": "2024-12-04"}
    assert client.get(path, timestamp="2024-12-03").status_code == 500
    assert client.get(path, **bound).status_code == 500
    assert client.get(path, **{"timestamp.gte": 1733216400000000000}).status_code == 500
    assert client.get(path, timestamp="2024-12-04").status_code == 200
    assert client.get("/v3/trades/FWSP", timestamp="2024-12-03").status_code == 200


def test_fault_on_a_range_of_days(client: Client) -> None:
    client.sandbox.inject("403@bars:BCPC:2024-10-07")
    early = "/v2/aggs/ticker/BCPC/range/1/minute/2024-10-01/2024-10-31"
    assert client.get(early).status_code == 403
    assert client.get(early.replace("2024-10-", "2024-11-").replace("31", "30")).status_code == 200


def test_replaced_file_has_another_etag_and_content(market: SimulatedMarket) -> None:
    # A server of its own: a replaced file stays replaced.
    with Sandbox(market.config, market) as sandbox:
        client = Client(sandbox)
        before = client.get(FILE)
        sandbox.inject("replaced_file@flatfile*1")
        after, again = client.get(FILE), client.get(FILE)
    assert before.headers["ETag"] != after.headers["ETag"] == again.headers["ETag"]
    assert before.headers["Last-Modified"] != after.headers["Last-Modified"]
    assert gzip.decompress(before.content) != gzip.decompress(after.content)


def test_regex_selects_paths(client: Client) -> None:
    client.sandbox.inject("503@/grouped.*2024-12-03/")
    base = "/v2/aggs/grouped/locale/us/market/stocks/"
    assert client.get(base + "2024-12-03").status_code == 503
    assert client.get(base + "2024-12-04").status_code == 200


def test_probability_is_drawn_from_the_seed(market: SimulatedMarket) -> None:
    config = SandboxConfig(faults=("503@status~0.5",))
    runs = []
    for _ in range(2):
        with Sandbox(config, market) as sandbox:
            client = Client(sandbox)
            runs.append([client.get("/v1/marketstatus/now").status_code for _ in range(30)])
    assert runs[0] == runs[1]
    assert 5 < runs[0].count(503) < 25
