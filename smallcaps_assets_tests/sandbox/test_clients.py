"""Other people's clients against the sandbox: the vendor's own, and boto3 for the flat files."""

from __future__ import annotations

import gzip
import io
from datetime import date

import polars as pl
import pytest

from smallcaps_assets.sandbox import Sandbox
from smallcaps_assets.sandbox.server.flatfiles import DATA_SETS
from smallcaps_assets_tests.sandbox.conftest import Client

DAY = date(2024, 12, 3)


@pytest.fixture
def vendor(client: Client):
    massive = pytest.importorskip("massive")
    return massive.RESTClient(api_key="sandbox", base=client.sandbox.url)


def test_official_client_pages_all_tickers(vendor, server: Sandbox) -> None:
    found = list(vendor.list_tickers(market="stocks", active=True, date=str(DAY), limit=20))
    expected = [row["ticker"] for row in server.market.tickers(DAY, True)]
    assert [x.ticker for x in found] == expected
    assert len(server.requests.matching("/v3/reference/tickers")) > 4


def test_official_client_pages_all_aggregates(vendor, server: Sandbox) -> None:
    found = list(vendor.list_aggs("BCPC", 1, "minute", "2024-11-01", "2024-12-31", limit=700))
    expected = server.market.minute_bars_of("BCPC", date(2024, 11, 1), date(2024, 12, 31))
    assert [x.timestamp * 1_000_000 for x in found] == expected["window_start"].to_list()
    assert [x.close for x in found] == expected["close"].to_list()


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_official_client_pages_all_trades(vendor, server: Sandbox, order: str) -> None:
    found = list(vendor.list_trades("BCPC", timestamp=str(DAY), order=order, limit=50))
    expected = server.market.trades("BCPC", DAY)
    assert sorted(x.sequence_number for x in found) == expected["sequence_number"].to_list()


def test_official_client_reads_reference_and_bars(vendor, server: Sandbox) -> None:
    assert vendor.get_ticker_details("BCPC").primary_exchange
    assert vendor.get_ticker_events("NXVL").events
    assert len(list(vendor.list_splits(limit=3))) == len(server.market.splits())
    assert len(list(vendor.list_dividends(limit=3))) == len(server.market.dividends())
    assert len(vendor.get_grouped_daily_aggs(str(DAY))) == server.market.daily_bars(DAY).height
    assert vendor.get_previous_close_agg("BCPC")[0].close > 0
    assert vendor.get_daily_open_close_agg("BCPC", str(DAY)).open > 0
    assert vendor.get_exchanges() and vendor.get_ticker_types()
    assert len(list(vendor.list_conditions(limit=5))) > 15
    assert vendor.get_market_status().market == "closed" and vendor.get_market_holidays()


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_official_client_pages_all_quotes(vendor, server: Sandbox, order: str) -> None:
    found = list(vendor.list_quotes("BCPC", timestamp=str(DAY), order=order, limit=50))
    expected = server.market.facts.quotes("BCPC", DAY)
    assert sorted(x.sequence_number for x in found) == expected["sequence_number"].to_list()
    assert {x.ask_price for x in found} == set(expected["ask_price"])


def test_official_client_pages_all_news(vendor, server: Sandbox) -> None:
    found = list(vendor.list_ticker_news(order="asc", limit=7))
    expected = server.market.facts.news
    assert len(expected) > 30
    assert [x.id for x in found] == [row["id"] for row in expected]
    assert found[0].insights[0].sentiment and found[0].publisher.name
    about = list(vendor.list_ticker_news("BCPC", limit=2))
    assert [x.id for x in about] == [r["id"] for r in expected[::-1] if "BCPC" in r["tickers"]]


def test_official_client_pages_all_short_data(vendor, server: Sandbox) -> None:
    found = list(vendor.list_short_interest(limit=50))
    expected = server.market.facts.short_interest
    keys = [(x.ticker, x.settlement_date) for x in found]
    assert sorted(keys) == sorted((r["ticker"], r["settlement_date"]) for r in expected)
    volumes = list(vendor.list_short_volume(date=str(DAY), limit=50))
    assert [x.ticker for x in volumes] == [
        row["ticker"] for row in server.market.facts.short_volume(DAY)
    ]


def test_official_client_pages_all_fundamentals(vendor, server: Sandbox) -> None:
    filings = server.market.facts.filings
    nested = list(vendor.vx.list_stock_financials(limit=90))
    assert len(nested) == len(filings) > 100
    assert nested[0].financials.balance_sheet.assets.value > 0
    for method in ("balance_sheets", "income_statements", "cash_flow_statements"):
        found = list(getattr(vendor, f"list_financials_{method}")(limit=90))
        assert sorted((x.cik, x.period_end) for x in found) == sorted(
            (x.head["cik"], x.head["period_end"]) for x in filings
        )
    ratios = list(vendor.list_financials_ratios(limit=9))
    assert [x.ticker for x in ratios] == [row["ticker"] for row in server.market.facts.ratios]
    floats = list(vendor.list_stocks_floats(limit=9))
    assert [x.ticker for x in floats] == [r["ticker"] for r in server.market.facts.free_float]


def test_official_client_reads_snapshots(vendor, server: Sandbox) -> None:
    bars = server.market.daily_bars(server.market.sessions[-1])
    found = vendor.get_snapshot_all("stocks")
    assert [x.ticker for x in found] == bars["ticker"].to_list()
    assert [x.day.close for x in found] == bars["close"].to_list()
    chosen = vendor.get_snapshot_all("stocks", ["BCPC", "BCpC"])
    assert [x.ticker for x in chosen] == ["BCPC", "BCpC"]
    assert vendor.get_snapshot_ticker("stocks", "BCPC").last_quote.ask_price > 0
    gainers = [x.todays_change_percent for x in vendor.get_snapshot_direction("stocks", "gainers")]
    assert 0 < len(gainers) <= 20 and gainers == sorted(gainers, reverse=True)
    unified = list(vendor.list_universal_snapshots(type="stocks", limit=50))
    assert [x.ticker for x in unified] == bars["ticker"].to_list()
    assert unified[0].session.close == bars["close"][0]


@pytest.fixture
def bucket(client: Client):
    boto3 = pytest.importorskip("boto3")
    return boto3.client(
        "s3",
        endpoint_url=client.sandbox.url,
        aws_access_key_id="key",
        aws_secret_access_key="secret",
        region_name="us-east-1",
    )


def _key(data_set: str, day: date = DAY) -> str:
    return f"us_stocks_sip/{data_set}/{day:%Y/%m}/{day}.csv.gz"


def test_boto3_lists_every_session_over_pages(bucket, server: Sandbox) -> None:
    pages = bucket.get_paginator("list_objects_v2").paginate(
        Bucket="flatfiles",
        Prefix="us_stocks_sip/minute_aggs_v1/",
        PaginationConfig={"PageSize": 30},
    )
    keys = [entry["Key"] for page in pages for entry in page["Contents"]]
    assert keys == [_key("minute_aggs_v1", day) for day in server.market.sessions]


def test_boto3_sees_folders(bucket) -> None:
    answer = bucket.list_objects_v2(Bucket="flatfiles", Prefix="us_stocks_sip/", Delimiter="/")
    assert [x["Prefix"].split("/")[1] for x in answer["CommonPrefixes"]] == [
        "day_aggs_v1",
        "minute_aggs_v1",
        "quotes_v1",
        "trades_v1",
    ]


@pytest.mark.parametrize("data_set", DATA_SETS)
def test_boto3_gets_what_the_listing_promises(bucket, data_set: str) -> None:
    answer = bucket.get_object(Bucket="flatfiles", Key=_key(data_set))
    body = answer["Body"].read()
    listed = bucket.list_objects_v2(Bucket="flatfiles", Prefix=_key(data_set))["Contents"][0]
    head = bucket.head_object(Bucket="flatfiles", Key=_key(data_set))
    assert listed["ETag"] == answer["ETag"] == head["ETag"]
    assert listed["LastModified"] == answer["LastModified"]
    assert listed["Size"] == len(body) == head["ContentLength"]
    part = bucket.get_object(Bucket="flatfiles", Key=_key(data_set), Range="bytes=10-29")
    assert part["Body"].read() == body[10:30]


def test_boto3_given_a_day_without_session_gets_no_such_key(bucket) -> None:
    with pytest.raises(bucket.exceptions.NoSuchKey):
        bucket.get_object(Bucket="flatfiles", Key=_key("day_aggs_v1", date(2024, 12, 25)))


def _flat(client: Client, data_set: str) -> pl.DataFrame:
    body = client.get(f"/flatfiles/{_key(data_set)}").content
    return pl.read_csv(io.BytesIO(gzip.decompress(body)), infer_schema_length=None)


def test_flat_day_bars_equal_grouped(client: Client) -> None:
    path = f"/v2/aggs/grouped/locale/us/market/stocks/{DAY}"
    rows = client.json(path, adjusted="false")["results"]
    flat = _flat(client, "day_aggs_v1")
    assert flat.columns == [
        "ticker", "volume", "open", "close", "high", "low", "window_start", "transactions",
    ]  # fmt: skip
    short = flat.select("ticker", "volume", "open", "close", "high", "low", "transactions")
    assert short.rows() == [tuple(r[k] for k in ("T", "v", "o", "c", "h", "l", "n")) for r in rows]


def test_flat_minutes_and_trades_equal_rest(client: Client) -> None:
    minutes = _flat(client, "minute_aggs_v1").filter(pl.col("ticker") == "BCPC")
    path = f"/v2/aggs/ticker/BCPC/range/1/minute/{DAY}/{DAY}"
    rows = client.json(path, adjusted="false", limit=50000)["results"]
    assert minutes["window_start"].to_list() == [row["t"] * 1_000_000 for row in rows]
    assert minutes["volume"].to_list() == [row["v"] for row in rows]
    trades = _flat(client, "trades_v1")
    assert trades["ticker"].is_sorted() and "ZVZZT" in trades["ticker"]
    one = trades.filter(pl.col("ticker") == "BCPC")
    ask = {"timestamp": str(DAY), "order": "asc", "limit": 50000}
    same = client.json("/v3/trades/BCPC", **ask)["results"]
    assert one["sip_timestamp"].to_list() == [row["sip_timestamp"] for row in same]
    assert one["price"].to_list() == [row["price"] for row in same]
    assert one["trf_id"].to_list() == [row.get("trf_id", 0) for row in same]


def test_finra_file_counts_its_records(client: Client) -> None:
    text = client.get("/equity/regsho/daily/CNMSshvol20241203.txt").text
    lines = text.splitlines()
    assert lines[0] == "Date|Symbol|ShortVolume|ShortExemptVolume|TotalVolume|Market"
    assert int(lines[-1]) == len(lines) - 2 > 80
    assert all(line.startswith("20241203|") and line.count("|") == 5 for line in lines[1:-1])


def test_finra_day_without_session_is_denied(client: Client) -> None:
    answer = client.get("/equity/regsho/daily/CNMSshvol20241225.txt")
    assert answer.status_code == 403 and "<Code>AccessDenied</Code>" in answer.text
