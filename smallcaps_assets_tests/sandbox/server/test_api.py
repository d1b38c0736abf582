"""The REST endpoints over real HTTP: envelopes, statuses, filters, pages."""

from __future__ import annotations

import io
import socket
from datetime import date
from itertools import pairwise

import polars as pl
import pytest
import requests

from smallcaps_assets.domain.market.calendar import session_hours
from smallcaps_assets.sandbox import Sandbox, SandboxConfig, SandboxServerError, SimulatedMarket
from smallcaps_assets.sandbox.simulation.plan import Kind
from smallcaps_assets_tests.sandbox.conftest import Client

TRADE_KEYS = {
    "exchange", "id", "participant_timestamp", "price", "sequence_number", "sip_timestamp",
    "size", "tape",
}  # fmt: skip
OPTIONAL_KEYS = {"conditions", "correction", "trf_id", "trf_timestamp"}
GROUPED = "/v2/aggs/grouped/locale/us/market/stocks/2024-12-03"


@pytest.fixture(scope="module")
def pump(market: SimulatedMarket) -> tuple[str, date]:
    """The first pump."""
    pumps = [key for key, kind in market.wild_days.items() if kind is Kind.GAP]
    number, s = min(pumps, key=lambda key: key[::-1])
    listing = next(x for x in market.listings if x.number == number)
    day = market.sessions[s]
    return listing.ticker_on(day) or "", day


def test_key_given_missing_or_wrong_is_refused(client: Client) -> None:
    url = client.sandbox.url + "/v3/reference/tickers"
    none, wrong = requests.get(url), requests.get(url, params={"apiKey": "x"})
    assert (none.status_code, wrong.status_code) == (401, 401)
    assert none.json()["error"] == "API Key was not provided"
    assert wrong.json()["error"] == "Unknown API Key" and wrong.json()["status"] == "ERROR"
    assert requests.get(url, params={"apiKey": "sandbox"}).status_code == 200
    assert all("apiKey" not in row.query for row in client.sandbox.requests)


def test_unknown_path_is_not_found(client: Client) -> None:
    answer = client.get("/v9/nothing")
    assert answer.status_code == 404 and answer.json()["status"] == "NOT_FOUND"


@pytest.mark.parametrize(
    "path",
    [
        "/v2/aggs/ticker/BCPC/range/1/minute/2024-13-01/2024-12-02",
        "/v2/aggs/ticker/BCPC/range/1/fortnight/2024-12-01/2024-12-02",
        "/v2/aggs/ticker/BCPC/range/1/day/2024-12-05/2024-12-02",
        "/v2/aggs/ticker/BCPC/range/1/day/2024-12-01/2024-12-02?limit=50001",
        "/v2/aggs/grouped/locale/us/market/stocks/soon",
        "/v3/trades/BCPC?limit=0",
        "/v3/trades/BCPC?timestamp=yesterday",
        "/v3/reference/tickers?limit=1001",
        "/v3/reference/tickers?active=maybe",
        "/v3/reference/tickers?cursor=%25%25",
        "/stocks/v1/splits?sort=colour.desc",
    ],
)
def test_bad_request_is_refused_with_an_error_body(client: Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 400
    assert answer.json()["status"] == "ERROR" and answer.json()["error"]


def test_tickers_pages_are_complete_ordered_and_counted(client: Client) -> None:
    day = "2024-11-20"
    pages = client.pages("/v3/reference/tickers", date=day, limit=25)
    rows = [row for page in pages for row in page["results"]]
    assert all(page["count"] == len(page["results"]) for page in pages)
    assert rows == client.sandbox.market.tickers(date.fromisoformat(day), True)
    names = [row["ticker"] for row in rows]
    assert names == sorted(names) and len(set(names)) == len(names) > 100
    assert all(len(row["cik"]) == 10 for row in rows if "cik" in row)
    assert any("cik" not in row for row in rows)
    assert any("composite_figi" not in row for row in rows)
    assert pages[0]["next_url"].startswith("https://api.massive.com/v3/reference/tickers?cursor=")


def test_tickers_given_filters_returns_only_what_fits(client: Client) -> None:
    path = "/v3/reference/tickers"
    some = client.json(path, type="CS", exchange="XNAS", limit=1000)["results"]
    assert some and {(r["type"], r["primary_exchange"]) for r in some} == {("CS", "XNAS")}
    ranged = client.json(path, **{"ticker.gte": "B", "ticker.lt": "C", "limit": 1000})["results"]
    assert ranged and all("B" <= row["ticker"] < "C" for row in ranged)
    assert [r["ticker"] for r in client.json(path, ticker="BCpC")["results"]] == ["BCpC"]
    assert client.json(path, search="brunner")["results"][0]["ticker"] == "BCpC"
    gone = client.json(path, active="false", limit=1000)["results"]
    assert {"GONE", "RUSE"} <= {row["ticker"] for row in gone}
    assert all(row["delisted_utc"] and not row["active"] for row in gone)
    descending = client.json(path, order="desc", limit=1000)["results"]
    assert descending[0]["ticker"] > descending[-1]["ticker"]


def test_ticker_details_by_date(client: Client) -> None:
    row = client.json("/v3/reference/tickers/BCPC", date="2024-11-20")["results"]
    assert row["share_class_shares_outstanding"] > 1_000_000 and row["list_date"] < "2024"
    assert row["market_cap"] < 2e9 and row["sic_code"]
    assert client.get("/v3/reference/tickers/bcpc").status_code == 404
    missing = client.get("/v3/reference/tickers/RUSE", date="2024-11-20")
    assert missing.json()["message"] == "Ticker not found."


def test_constant_tables(client: Client) -> None:
    types = client.json("/v3/reference/tickers/types")["results"]
    assert {"CS", "ADRC", "ETF"} <= {row["code"] for row in types}
    exchanges = client.json("/v3/reference/exchanges")["results"]
    assert len([row for row in exchanges if row["id"] == 4]) == 4
    pages = client.pages("/v3/reference/conditions", asset_class="stocks", data_type="trade")
    conditions = {row["id"]: row for page in pages for row in page["results"]}
    rules = conditions[12]["update_rules"]["consolidated"]
    assert (rules["updates_high_low"], rules["updates_volume"]) == (False, True)
    both = client.json("/v3/reference/conditions", id=12)["results"]
    assert len(both) == 2, "ids are reused across data types"


def test_market_status(client: Client) -> None:
    now = client.json("/v1/marketstatus/now")
    assert now["market"] == "closed" and now["serverTime"].startswith("2025-01-10T21:00:00-05:00")
    upcoming = client.get("/v1/marketstatus/upcoming").json()
    assert isinstance(upcoming, list)
    assert {r["exchange"] for r in upcoming} == {"NYSE", "NASDAQ", "OTC"}


@pytest.mark.parametrize("path", ["/v3/reference/splits", "/stocks/v1/splits"])
def test_splits_pages_are_complete(client: Client, path: str) -> None:
    rows = [row for page in client.pages(path, limit=2) for row in page["results"]]
    expected = {row["id"] for row in client.sandbox.market.splits()}
    assert {row["id"] for row in rows} == expected and len(rows) == len(expected)
    dates = [row["execution_date"] for row in rows]
    assert dates == sorted(dates, reverse=True)
    after = client.json(path, **{"execution_date.gte": "2024-12-01", "limit": 100})["results"]
    assert {r["ticker"] for r in after} == {
        r["ticker"] for r in rows if r["execution_date"] >= "2024-12-01"
    }


def test_new_splits_and_dividends_carry_factors(client: Client) -> None:
    split = client.json("/stocks/v1/splits", ticker="FWSP")["results"][0]
    assert split["adjustment_type"] == "forward_split"
    assert split["historical_adjustment_factor"] == pytest.approx(1 / 3, abs=1e-6)
    special = client.json("/stocks/v1/dividends", ticker="SPDV")["results"][0]
    assert special["distribution_type"] == "special"
    assert 0.8 < special["historical_adjustment_factor"] < 0.96
    old = client.json("/v3/reference/dividends", ticker="SPDV")["results"][0]
    assert old["dividend_type"] == "SC" and old["cash_amount"] == special["cash_amount"]


def test_grouped_is_stamped_at_the_close_and_holds_test_tickers(client: Client) -> None:
    body = client.json(GROUPED, adjusted="false")
    rows = {row["T"]: row for row in body["results"]}
    assert body["queryCount"] == body["resultsCount"] == body["count"] == len(rows)
    assert body["adjusted"] is False
    assert {row["t"] for row in rows.values()} == {session_hours(date(2024, 12, 3)).close // 10**6}
    assert {"ZVZZT", "ATEST", "BCpC"} <= set(rows)
    assert set(rows["BCPC"]) == {"T", "v", "vw", "o", "c", "h", "l", "t", "n"}


def test_empty_answers_have_no_results(client: Client) -> None:
    holiday = client.json("/v2/aggs/grouped/locale/us/market/stocks/2024-12-25")
    assert "results" not in holiday and holiday["resultsCount"] == 0
    unknown = client.json("/v2/aggs/ticker/NOPE/range/1/day/2024-12-02/2024-12-05")
    assert "results" not in unknown and unknown["ticker"] == "NOPE" and unknown["count"] == 0
    assert client.json("/v3/trades/NOPE", timestamp="2024-12-03")["results"] == []


def test_minute_pages_are_complete(client: Client, pump: tuple[str, date]) -> None:
    ticker, day = pump
    path = f"/v2/aggs/ticker/{ticker}/range/1/minute/{day}/{day}"
    whole = client.json(path, adjusted="false", limit=50000)["results"]
    rows: list[dict] = []
    page = client.json(path, adjusted="false", limit=100)
    rows += page["results"]
    while "next_url" in page:
        url = page["next_url"].replace("https://api.massive.com", "")
        page = client.json(url, adjusted="false")
        rows += page["results"]
    assert rows == whole and len(rows) > 400
    assert [r["t"] for r in rows] == sorted({r["t"] for r in rows})
    down = client.json(path, adjusted="false", limit=50000, sort="desc")["results"]
    assert down == whole[::-1]


def test_ranges_take_milliseconds(client: Client, pump: tuple[str, date]) -> None:
    ticker, day = pump
    hours = session_hours(day)
    first, last = hours.open // 10**6, hours.open // 10**6 + 120_000
    body = client.json(f"/v2/aggs/ticker/{ticker}/range/1/minute/{first + 30_000}/{last}")
    assert [row["t"] for row in body["results"]] == [first, first + 60_000, last]


def test_hours_and_weeks_sum_their_parts(client: Client, pump: tuple[str, date]) -> None:
    ticker, day = pump
    base = f"/v2/aggs/ticker/{ticker}/range"
    minutes = client.json(f"{base}/1/minute/{day}/{day}", limit=50000)["results"]
    hours = client.json(f"{base}/1/hour/{day}/{day}", limit=50000)["results"]
    assert sum(r["v"] for r in hours) == sum(r["v"] for r in minutes)
    assert max(r["h"] for r in hours) == max(r["h"] for r in minutes)
    assert all(row["t"] % 3_600_000 == 0 for row in hours)
    days = client.json(f"{base}/1/day/2024-12-01/2024-12-31")["results"]
    weeks = client.json(f"{base}/1/week/2024-12-01/2024-12-31")["results"]
    assert sum(r["v"] for r in weeks) == sum(r["v"] for r in days)
    assert weeks[0]["t"] == 1733029200000, "a week starts on Sunday, midnight New York"


def test_hour_limit_counts_minutes_and_withholds_the_partial_hour(
    client: Client, pump: tuple[str, date]
) -> None:
    ticker, day = pump
    opening = session_hours(day).open // 10**6 - 1_800_000
    body = client.json(f"/v2/aggs/ticker/{ticker}/range/1/hour/{opening}/{day}", limit=130)
    assert body["resultsCount"] == len(body["results"]) == 2
    assert body["queryCount"] <= 130 and "next_url" in body


def test_adjusted_prices_are_on_the_basis_of_today(client: Client) -> None:
    path = "/v2/aggs/ticker/FWSP/range/1/day/2024-10-01/2025-01-10"
    raw, adjusted = (client.json(path, adjusted=x) for x in ("false", "true"))
    assert (raw["adjusted"], adjusted["adjusted"]) == (False, True)
    first, later = raw["results"][0], adjusted["results"][0]
    assert later["c"] == pytest.approx(first["c"] / 3, abs=1e-4)
    assert later["v"] == pytest.approx(first["v"] * 3)
    assert raw["results"][-1] == adjusted["results"][-1]


def test_daily_range_equals_grouped_but_for_the_stamp(client: Client) -> None:
    grouped = {r["T"]: r for r in client.json(GROUPED, adjusted="false")["results"]}
    path = "/v2/aggs/ticker/BCPC/range/1/day/2024-12-03/2024-12-03"
    row = client.json(path, adjusted="false")["results"][0]
    assert grouped["BCPC"]["t"] - row["t"] == 16 * 3_600_000
    assert {k: v for k, v in grouped["BCPC"].items() if k not in "Tt"} == {
        k: v for k, v in row.items() if k != "t"
    }


def test_previous_day_and_open_close(client: Client) -> None:
    bar = client.json("/v2/aggs/ticker/BCPC/prev")["results"][0]
    row = client.json("/v1/open-close/BCPC/2025-01-10")
    assert (row["open"], row["close"], row["volume"]) == (bar["o"], bar["c"], bar["v"])
    assert row["symbol"] == "BCPC" and row["from"] == "2025-01-10" and row["preMarket"]
    assert client.get("/v1/open-close/BCPC/2024-12-25").status_code == 404


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_trades_pages_are_complete(client: Client, pump: tuple[str, date], order: str) -> None:
    ticker, day = pump
    path, stamp = f"/v3/trades/{ticker}", day.isoformat()
    pages = client.pages(path, timestamp=stamp, limit=3000, order=order)
    rows = [row for page in pages for row in page["results"]]
    keys = [(row["sip_timestamp"], row["sequence_number"]) for row in rows]
    expected = client.sandbox.market.trades(ticker, day)
    assert len(pages) > 2 and keys == sorted(set(keys), reverse=order == "desc")
    assert sorted(keys) == expected.select("sip_timestamp", "sequence_number").rows()
    for row in rows[:500]:
        assert set(row) >= TRADE_KEYS and set(row) <= TRADE_KEYS | OPTIONAL_KEYS
        assert ("trf_id" in row) == (row["exchange"] == 4)


def test_trades_default_is_the_newest_thousand(client: Client, pump: tuple[str, date]) -> None:
    rows = client.json(f"/v3/trades/{pump[0]}")["results"]
    assert len(rows) == 1000
    assert rows[0]["sip_timestamp"] > rows[-1]["sip_timestamp"]


def test_trades_windows_are_disjoint_and_complete(client: Client, pump: tuple[str, date]) -> None:
    ticker, day = pump
    hours = session_hours(day)
    bounds = [hours.premarket_open, hours.open, hours.close, hours.postmarket_close + 1]
    total = 0
    for low, high in pairwise(bounds):
        window = {"timestamp.gte": low, "timestamp.lt": high, "limit": 50000}
        rows = client.json(f"/v3/trades/{ticker}", **window)["results"]
        assert all(low <= row["sip_timestamp"] < high for row in rows)
        total += len(rows)
    assert total == client.sandbox.market.trades(ticker, day).height


def test_trades_csv_equals_json(client: Client, pump: tuple[str, date]) -> None:
    ticker, day = pump
    ask = {"timestamp": day.isoformat(), "order": "asc", "limit": 5000}
    rows = client.json(f"/v3/trades/{ticker}", **ask)["results"]
    table = pl.read_csv(io.StringIO(client.csv(f"/v3/trades/{ticker}", **ask)))
    assert table.height == len(rows)
    for column in ("price", "size", "sip_timestamp", "sequence_number", "participant_timestamp"):
        assert table[column].to_list() == [row[column] for row in rows]
    joined = [
        ",".join(map(str, row["conditions"])) if "conditions" in row else None for row in rows
    ]
    assert table["conditions"].cast(pl.String).to_list() == joined
    text = client.csv(f"/v3/trades/{ticker}", **ask)
    assert '"14,41"' in text
    empty = client.csv("/v3/trades/NOPE", timestamp=day.isoformat())
    assert empty == text.splitlines(keepends=True)[0]


def test_bars_csv_equals_json(client: Client) -> None:
    path = "/v2/aggs/ticker/BCPC/range/1/day/2024-10-01/2024-11-01"
    rows = client.json(path)["results"]
    text = client.csv(path)
    assert text.startswith("c,h,l,n,o,t,v,vw\n")
    assert pl.read_csv(io.StringIO(text)).to_dicts() == [dict(sorted(r.items())) for r in rows]
    grouped = pl.read_csv(io.StringIO(client.csv(GROUPED)), infer_schema_length=None)
    assert grouped.height == client.json(GROUPED)["count"]


def test_answers_are_compressed_on_request(client: Client) -> None:
    url = client.sandbox.url + GROUPED
    headers = {"Authorization": "Bearer sandbox", "Accept-Encoding": "identity"}
    plain = requests.get(url, headers=headers)
    packed = requests.get(url, headers=headers | {"Accept-Encoding": "gzip"})
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert plain.json()["results"] == packed.json()["results"]


def test_sandbox_given_a_taken_port_says_so(server: Sandbox) -> None:
    config = SandboxConfig(port=server.port)
    with pytest.raises(SandboxServerError, match="choose another"):
        Sandbox(config, server.market).start()


def test_sandbox_listens_on_loopback_only(server: Sandbox) -> None:
    """What listens on all addresses answers at every one of this machine's."""
    socket.create_connection(("127.0.0.1", server.port), timeout=5).close()
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.2", server.port), timeout=5)


def test_sandbox_stops_and_starts_again(market: SimulatedMarket) -> None:
    sandbox = Sandbox(market.config, market)
    with pytest.raises(SandboxServerError, match="start"):
        _ = sandbox.url
    for _ in range(2):
        with sandbox:
            assert requests.get(sandbox.url + "/v1/marketstatus/now").status_code == 401
    sandbox.stop()
