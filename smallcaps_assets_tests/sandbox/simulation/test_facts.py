"""Quotes, snapshots, news, figures and short data agree with the market, and tell nothing early."""

from __future__ import annotations

import io
from datetime import date, datetime
from itertools import pairwise
from typing import Any

import polars as pl
import pytest

from smallcaps_assets.domain.market.calendar import is_session, session_hours, shift_session
from smallcaps_assets.sandbox import Sandbox, SandboxConfig, SimulatedMarket
from smallcaps_assets.sandbox.market import Filing
from smallcaps_assets.sandbox.simulation import tape as t
from smallcaps_assets.sandbox.simulation.finra import settlement_dates
from smallcaps_assets.sandbox.simulation.quotes import SHARES_FROM, quote_frame, quote_rows
from smallcaps_assets_tests.sandbox.conftest import Client

DAY = date(2024, 12, 3)
LONG_HALT_SEED = 6  # one of the few markets of this size with such a halt
LONG_HALT_SPAN: dict[str, Any] = {
    "tickers": 30,
    "start": date(2024, 10, 1),
    "end": date(2024, 12, 13),
    "pump_days": 40,
}
SNAPSHOTS = "/v2/snapshot/locale/us/markets/stocks"


@pytest.fixture(scope="module", params=["simulated", "placebo"])
def small(request: pytest.FixtureRequest) -> SimulatedMarket:
    """Both generated kinds, small."""
    span: dict[str, Any] = {"start": date(2024, 10, 1), "end": date(2024, 12, 31)}
    return SimulatedMarket(SandboxConfig(kind=request.param, tickers=40, **span))


def _seconds(row: dict) -> int:
    return int(datetime.fromisoformat(row["published_utc"]).timestamp())


def test_quotes_ascend_and_bids_are_below_asks(small: SimulatedMarket) -> None:
    quotes = small.facts.quotes("BCPC", DAY)
    assert quotes["sip_timestamp"].is_sorted()
    assert quotes["sequence_number"].is_sorted() and quotes["sequence_number"].is_unique().all()
    assert quotes["bid_price"][0] is None  # the first is one-sided
    assert (quotes["bid_price"] < quotes["ask_price"]).drop_nulls().mean() > 0.99  # pyright: ignore
    assert (quotes["bid_price"] > 0).drop_nulls().all()
    assert quotes.filter(pl.col("participant_timestamp") >= pl.col("sip_timestamp")).is_empty()


def test_trades_print_inside_the_quotes(small: SimulatedMarket) -> None:
    trades = small.trades("BCPC", DAY).filter(pl.col("correction") == 0)
    quotes = small.facts.quotes("BCPC", DAY).select("sip_timestamp", "bid_price", "ask_price")
    joined = trades.join_asof(quotes, on="sip_timestamp").drop_nulls("bid_price")
    inside = joined["price"].is_between(joined["bid_price"], joined["ask_price"])
    assert joined.height > 100 and inside.sum() > 0.97 * joined.height


def test_quote_sizes_change_from_lots_to_shares(small: SimulatedMarket) -> None:
    (listing,) = small.reference.by_ticker["BCPC"]
    tape, trace = small.printed(listing, DAY)
    events, hours = small.events(listing, DAY), small.hours(DAY)
    rows = quote_rows(7, 0, DAY, tape, trace, events, hours)
    lots, shares = (quote_frame("BCPC", day, 3, rows) for day in (DAY, SHARES_FROM))
    assert lots["ask_size"].max() <= 40 and (shares["ask_size"] % 100 == 0).all()  # type: ignore[operator]


def test_quotes_csv_equals_json(client: Client) -> None:
    ask = {"timestamp": str(DAY), "order": "asc", "limit": 5000}
    rows = client.json("/v3/quotes/BCPC", **ask)["results"]
    table = pl.read_csv(io.StringIO(client.csv("/v3/quotes/BCPC", **ask)))
    for name in (
        "sip_timestamp",
        "sequence_number",
        "bid_price",
        "ask_size",
        "participant_timestamp",
    ):
        assert table[name].to_list() == [row.get(name) for row in rows]
    assert rows[1]["conditions"] == [1] and "bid_price" not in rows[0]
    assert all(isinstance(row.get("ask_size", 0), int) for row in rows)
    empty = client.csv("/v3/quotes/NOPE", timestamp=str(DAY))
    assert empty.strip().split(",") == table.columns


def test_snapshot_is_the_last_session_at_its_end(client: Client) -> None:
    market = client.sandbox.market
    day, before = market.sessions[-1], market.sessions[-2]
    row = client.json(f"{SNAPSHOTS}/tickers/BCPC")["ticker"]
    bar = market.daily_bars_of("BCPC", day, day).row(0, named=True)
    last = market.daily_bars_of("BCPC", before, before).row(0, named=True)
    trade = market.trades("BCPC", day).row(-1, named=True)
    assert (row["day"]["c"], row["day"]["v"], row["prevDay"]["c"]) == (
        bar["close"],
        bar["volume"],
        last["close"],
    )
    assert row["todaysChange"] == pytest.approx(bar["close"] - last["close"], abs=1e-4)
    assert (row["lastTrade"]["t"], row["updated"]) == (trade["sip_timestamp"],) * 2
    assert row["lastQuote"]["p"] < row["lastQuote"]["P"]
    assert client.get(f"{SNAPSHOTS}/tickers/NOPE").status_code == 404
    assert client.get(f"{SNAPSHOTS}/sideways").status_code == 404


def test_unified_snapshots_page_and_name_the_unknown(client: Client) -> None:
    found = client.pages("/v3/snapshot", **{"ticker.any_of": "BCPC,NOPE,BCpC", "limit": 2})
    rows = [row for page in found for row in page["results"]]
    assert len(found) == 2
    assert [(row["ticker"], row.get("error")) for row in rows] == [
        ("BCPC", None),
        ("BCpC", None),
        ("NOPE", "NOT_FOUND"),
    ]


def test_news_is_published_when_everybody_knows(small: SimulatedMarket) -> None:
    rows = small.facts.news
    stamps = [_seconds(row) for row in rows]
    assert stamps == sorted(set(stamps))
    assert stamps[-1] <= session_hours(small.sessions[-1]).postmarket_close // 10**9
    splits = {(x["ticker"], x["execution_date"]) for x in small.splits()}
    closes = {session_hours(small.sessions[s]).close // 10**9 for _, s in small.wild_days}
    for row in rows:
        day = row["published_utc"][:10]
        if "stock split" in row["keywords"]:
            assert (row["tickers"][0], day) in splits
            assert _seconds(row) > session_hours(date.fromisoformat(day)).open // 10**9
        elif "movers" in row["keywords"]:
            assert any(0 <= _seconds(row) - close <= 7300 for close in closes)
    kinds = {row["keywords"][0] for row in rows}
    assert {"stock split", "movers", "company", "FDA"} <= kinds


def test_news_about_movers_tells_the_return_of_its_day(small: SimulatedMarket) -> None:
    movers = [row for row in small.facts.news if "movers" in row["keywords"]]
    for row in movers:
        day = date.fromisoformat(row["published_utc"][:10])
        bars = small.daily_bars_of(row["tickers"][0], day, day)
        change = bars["close"][0] / bars["open"][0] - 1
        expected = "positive" if change > 0.05 else "negative" if change < -0.05 else "neutral"
        assert row["insights"][0]["sentiment"] == expected


def test_routine_news_does_not_depend_on_prices() -> None:
    span = {"tickers": 40, "start": date(2024, 10, 1), "end": date(2024, 10, 31)}
    kinds = [SimulatedMarket(SandboxConfig(kind=k, **span)) for k in ("simulated", "placebo")]
    rows = [[r for r in x.facts.news if r["keywords"] == ["company"]] for x in kinds]
    assert rows[0] == rows[1] and rows[0]


def test_figures_are_filed_after_the_period_and_add_up(small: SimulatedMarket) -> None:
    filings = small.facts.filings
    days = [x.head["filing_date"] for x in filings]
    assert days == sorted(days) and days[-1] <= str(small.sessions[-1])
    for filing in filings:
        assert str(filing.start) < filing.head["period_end"] < filing.head["filing_date"]
        balance, income = filing.balance, filing.income
        whole = balance["total_liabilities"] + balance["total_equity"]
        assert whole == balance["total_assets"] == balance["total_liabilities_and_equity"]
        assert income["revenue"] - income["cost_of_revenue"] == income["gross_profit"]
        assert filing.cash_flow["net_income"] == income["consolidated_net_income_loss"]


def test_float_is_a_part_of_the_shares(small: SimulatedMarket) -> None:
    for row in small.facts.free_float:
        details = small.ticker_details(row["ticker"], None)
        if details is not None:
            shares = details["share_class_shares_outstanding"]
            assert row["free_float"] == round(shares * row["free_float_percent"] / 100)
            assert 0 < row["free_float"] < shares


def test_settlement_dates_are_finras() -> None:
    # FINRA's schedule of 2024 and 2025: the 15th and the last business day, or the one before.
    assert settlement_dates(date(2024, 3, 1), date(2024, 7, 1)) == [
        date(2024, 3, 15),
        date(2024, 3, 28),
        date(2024, 4, 15),
        date(2024, 4, 30),
        date(2024, 5, 15),
        date(2024, 5, 31),
        date(2024, 6, 14),
        date(2024, 6, 28),
    ]


def test_short_interest_is_there_once_published_and_fits_the_volumes(
    small: SimulatedMarket,
) -> None:
    rows = small.facts.short_interest
    dates = sorted({date.fromisoformat(row["settlement_date"]) for row in rows})
    assert dates == [date(2024, 10, 15), date(2024, 10, 31), date(2024, 11, 15),
                     date(2024, 11, 29), date(2024, 12, 13)]  # fmt: skip
    assert all(is_session(day) for day in dates)
    assert shift_session(dates[-1], 7) <= small.sessions[-1]
    span = [x for x in small.sessions if dates[0] < x <= dates[1]]
    volumes = [small.daily_bars_of("BCPC", day, day)["volume"].sum() for day in span]
    row = next(r for r in rows if r["ticker"] == "BCPC" and r["settlement_date"] == str(dates[1]))
    assert row["avg_daily_volume"] == round(sum(volumes) / len(span))
    cover = max(1.0, round(row["short_interest"] / row["avg_daily_volume"], 2))
    assert row["days_to_cover"] == cover


def test_short_volume_is_that_of_finras_file(small: SimulatedMarket) -> None:
    finra = small.short_volume(DAY)
    assert finra is not None
    rows = {row["ticker"]: row for row in small.facts.short_volume(DAY)}
    assert len(rows) == finra.height
    venues = ("adf", "nasdaq_carteret", "nasdaq_chicago", "nyse")
    for line in finra.iter_rows(named=True):
        row = rows[line["Symbol"].replace("/", ".")]
        assert (row["short_volume"], row["total_volume"]) == (
            line["ShortVolume"],
            line["TotalVolume"],
        )
        for suffix, whole in (("", line["ShortVolume"]), ("_exempt", line["ShortExemptVolume"])):
            parts = [row[f"{venue}_short_volume{suffix}"] for venue in venues]
            assert sum(parts) == round(whole) and min(parts) >= 0


def test_tables_filter_sort_and_page(client: Client) -> None:
    path = "/stocks/v1/short-volume"
    span = {"date.gte": "2024-12-02", "date.lte": "2024-12-06", "ticker.any_of": "BCPC,FWSP"}
    found = client.pages(path, **span, sort="date.desc,ticker.asc", limit=3)
    rows = [(row["date"], row["ticker"]) for page in found for row in page["results"]]
    days = ["2024-12-06", "2024-12-05", "2024-12-04", "2024-12-03", "2024-12-02"]
    assert rows == [(day, ticker) for day in days for ticker in ("BCPC", "FWSP")]
    assert len(found) == 4
    assert client.get(path, sort="nothing.asc").status_code == 400
    assert client.get(path, limit=50_001).status_code == 400
    assert len(client.json(path)["results"]) == 10
    assert client.get("/stocks/financials/v1/nothing").status_code == 404


def test_news_cursor_is_json_and_its_host_has_a_port(client: Client) -> None:
    first = client.json("/v2/reference/news", ticker="BCPC", limit=1)
    assert first["next_url"].startswith("https://api.massive.com:443/v2/reference/news?cursor=")
    assert client.get("/v2/reference/news", cursor="bm90IGpzb24=").status_code == 400
    cut = client.json(
        "/v2/reference/news", **{"published_utc.lt": first["results"][0]["published_utc"]}
    )
    assert first["results"][0]["id"] not in [row["id"] for row in cut["results"]]


@pytest.mark.parametrize(
    ("endpoint", "path"),
    [
        ("quotes", "/v3/quotes/BCPC?timestamp=2024-12-03"),
        ("snapshots", f"{SNAPSHOTS}/tickers?tickers=BCPC"),
        ("snapshots", "/v3/snapshot?ticker.any_of=BCPC"),
        ("news", "/v2/reference/news?ticker=BCPC"),
        ("financials", "/vX/reference/financials?ticker=BCPC"),
        ("financials", "/stocks/financials/v1/balance-sheets?tickers=BCPC"),
        ("float", "/stocks/vX/float?ticker=BCPC"),
        ("short_interest", "/stocks/v1/short-interest?ticker=BCPC"),
        ("short_volume_table", "/stocks/v1/short-volume?ticker=BCPC"),
    ],
)
def test_faults_strike_the_endpoints_of_facts(client: Client, endpoint: str, path: str) -> None:
    client.sandbox.inject(f"502@{endpoint}:BCPC*1")
    client.sandbox.inject(f"null_results@{endpoint}:BCPC*1")
    assert client.get(path.replace("BCPC", "FWSP")).status_code == 200
    assert client.get(path).status_code == 502
    spoiled = client.json(path)
    assert None in (spoiled.get("results", 0), spoiled.get("tickers", 0))
    good = client.json(path)
    assert good.get("results") or good.get("tickers")


def test_faults_are_confined_to_their_day(client: Client) -> None:
    client.sandbox.inject("500@short_interest:BCPC:2024-10-15")
    ask = {"ticker": "BCPC", "settlement_date.lte": "2024-12-31"}
    path = "/stocks/v1/short-interest"
    assert client.get(path, **ask, **{"settlement_date.gte": "2024-10-16"}).status_code == 200
    assert client.get(path, **ask, **{"settlement_date.gte": "2024-10-15"}).status_code == 500


def test_facts_given_the_same_config_are_equal(small: SimulatedMarket) -> None:
    again = SimulatedMarket(small.config)
    assert again.facts.quotes("FWSP", DAY).equals(small.facts.quotes("FWSP", DAY))
    assert again.facts.news == small.facts.news
    assert again.facts.filings == small.facts.filings
    assert again.facts.short_interest == small.facts.short_interest
    assert again.facts.short_volume(DAY) == small.facts.short_volume(DAY)


def test_recorded_market_has_no_facts(recording) -> None:
    config = SandboxConfig(kind="recorded", recorded_dir=recording)
    with Sandbox(config) as sandbox:
        client = Client(sandbox)
        for path in (
            "/v3/quotes/AAPL",
            "/v2/reference/news",
            "/vX/reference/financials",
            "/stocks/financials/v1/balance-sheets",
            "/stocks/financials/v1/ratios",
            "/stocks/vX/float",
            "/stocks/v1/short-interest",
            "/stocks/v1/short-volume",
        ):
            assert client.json(path)["results"] == [], path
        assert client.json(f"{SNAPSHOTS}/tickers")["tickers"] == []
        assert client.get(f"{SNAPSHOTS}/tickers/AAPL").status_code == 404
        assert client.get("/vX/reference/tickers/AAPL/events").status_code == 404
        unknown = client.json("/v3/snapshot", **{"ticker.any_of": "AAPL"})["results"]
        assert unknown[0]["error"] == "NOT_FOUND"


# Offerings, burn, long halts ---------------------------------------------------------------------
def test_shares_grow_by_what_was_offered(market: SimulatedMarket) -> None:
    offered = [(x, found) for x in market.listings if (found := market.offerings(x))]
    assert len(offered) > 3
    for listing, found in offered:
        (day, share), *later = found
        before, after = (
            market.reference.shares_on(listing, d) for d in (day, shift_session(day, 1))
        )
        assert before is not None and after is not None and not (later and later[0][0] <= day)
        if not any(split.number == listing.number for split in market.split_events):
            assert 0.15 <= share <= 0.40 and after == pytest.approx(before * (1 + share), abs=1)


def test_some_companies_burn_their_money_and_raise_more(small: SimulatedMarket) -> None:
    own: dict[str, list[Filing]] = {}
    for filing in small.facts.filings:
        own.setdefault(filing.head["cik"], []).append(filing)
    burning = [
        rows
        for rows in own.values()
        if len(rows) > 3 and all(x.income["consolidated_net_income_loss"] < 0 for x in rows)
    ]
    assert 3 < len(burning) < len(own)
    falls = [
        two.balance["cash_and_equivalents"] < one.balance["cash_and_equivalents"]
        for rows in burning
        for one, two in pairwise(rows)
    ]
    assert 0.6 < sum(falls) / len(falls) < 1


def test_halt_that_outlasts_its_session_has_its_resumption_in_the_feed() -> None:
    market = SimulatedMarket(SandboxConfig(seed=LONG_HALT_SEED, **LONG_HALT_SPAN))
    (listing, day, _), *_ = (
        found for found in market.all_events if (found[2][:, t.E_KIND] == t.LONG_HALT).any()
    )
    (row,) = (x for x in market.facts.halts(day) if x.reason == "T12")
    ticker = listing.ticker_on(day) or ""
    assert row.ticker == ticker
    resumed = next(d for d in market.sessions if session_hours(d).premarket_open == row.end)
    between = [d for d in market.sessions if day < d < resumed]
    assert len(between) > 2 and all(market.trades(ticker, d).is_empty() for d in between)
    assert market.trades(ticker, resumed).height > 0
    ended = market.config.model_copy(update={"end": between[-1]})  # not known yet
    (early,) = (x for x in SimulatedMarket(ended).facts.halts(day) if x.reason == "T12")
    assert (early.start, early.end) == (row.start, 0)
