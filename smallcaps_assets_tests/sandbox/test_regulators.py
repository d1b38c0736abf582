"""The embedded FINRA, SEC and halt feed: each host's manners, and facts that fit the market."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from smallcaps_assets.sandbox import SimulatedMarket
from smallcaps_assets_tests.sandbox.conftest import Client, halts_of

NAMED = {"User-Agent": "Jane Doe jane@example.com"}
SPACE = "{http://www.nasdaqtrader.com/}"


@pytest.mark.parametrize(
    "path",
    [
        "/data-research/sec-markets-data/fails-deliver-data",
        "/files/data/fails-deliver-data/cnsfails202410a.zip",
        "/Archives/edgar/full-index/2024/QTR4/master.idx",
        "/submissions/CIK0000000001.json",
    ],
)
def test_sec_turns_away_who_gives_no_address(client: Client, path: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, "Threshold" in answer.text) == (403, True)


@pytest.mark.parametrize("name", ["CNMSshvol20241225.txt", "XXXXshvol20241101.txt", "readme"])
def test_finra_missing_file_is_a_403_of_s3(client: Client, name: str) -> None:
    answer = client.get(f"/equity/regsho/daily/{name}")
    assert answer.status_code == 403
    assert "<Code>AccessDenied</Code>" in answer.text


def test_finra_facilities_are_parts_of_the_whole(client: Client) -> None:
    totals = {}
    for name in ("CNMS", "FNSQ", "FNQC", "FNYX", "FNRA"):
        lines = client.get(f"/equity/regsho/daily/{name}shvol20241101.txt").text.splitlines()
        assert int(lines[-1]) == len(lines) - 2
        totals[name] = sum(float(line.split("|")[4]) for line in lines[1:-1])
    assert totals["FNRA"] == 0
    assert 0 < totals["FNQC"] < totals["FNYX"] < totals["FNSQ"] < totals["CNMS"]


def test_fails_are_there_once_they_are_published(client: Client) -> None:
    session, url = client.session, client.sandbox.url
    page = session.get(f"{url}/data-research/sec-markets-data/fails-deliver-data", headers=NAMED)
    assert "cnsfails202411b.zip" in page.text
    # The market ends on 10 January: the second half of December comes about the 15th.
    assert "cnsfails202412b" not in page.text
    late = "/files/data/fails-deliver-data/cnsfails202412b.zip"
    assert session.get(url + late, headers=NAMED).status_code == 404


def test_halts_are_those_of_the_tape(client: Client, market: SimulatedMarket) -> None:
    count = 0
    for day in market.sessions:
        text = client.get("/rss.aspx", feed="tradehalts", haltdate=f"{day:%m%d%Y}").content
        channel = ElementTree.fromstring(text.lstrip(b"\xef\xbb\xbf")).find("channel")
        assert channel is not None
        items = channel.findall("item")
        assert channel.findtext(f"{SPACE}numItems") == str(len(items))
        tickers = [item.findtext(f"{SPACE}IssueSymbol") or "" for item in items]
        assert all(halts_of(market, ticker.replace("/", "."), day) for ticker in tickers)
        count += len(items)
    assert count > 20


def test_filings_of_a_reverse_split_come_the_evening_before(market: SimulatedMarket) -> None:
    filed = {(x.cik, x.accepted.date()) for x in market.facts.submissions if "5.03" in x.items}
    listings = {x.number: x for x in market.listings}
    for split in market.split_events:
        known = split.is_published and split.split_from > split.split_to
        if known and market.sessions[0] < split.day and split.day in market.sessions:
            before = market.sessions[market.sessions.index(split.day) - 1]
            assert (listings[split.number].cik, before) in filed


def test_companies_write_their_times_on_either_clock_and_some_have_changed(
    market: SimulatedMarket,
) -> None:
    clocks: dict[str, list[bool]] = {}
    for x in market.facts.submissions:
        clocks.setdefault(x.cik, []).append(x.is_utc)
        hours = int(x.accepted_raw[11:13]) - x.accepted.hour
        assert hours in ((4, 5, -19, -20) if x.is_utc else (0,))
    kinds = [(in_utc[0], in_utc[-1]) for in_utc in clocks.values()]
    assert set(kinds) == {(True, True), (False, False), (False, True)}
    assert kinds.count((True, True)) > len(kinds) / 2


def test_submissions_have_pages_of_older_filings(client: Client, market: SimulatedMarket) -> None:
    rows = market.facts.submissions
    counts = {x.cik: sum(y.cik == x.cik for y in rows) for x in rows[:50]}
    cik = max(counts, key=lambda key: counts[key])
    url = f"{client.sandbox.url}/submissions/CIK{cik}.json"
    first = client.session.get(url, headers=NAMED).json()
    older = sum(file["filingCount"] for file in first["filings"]["files"])
    assert len(first["filings"]["recent"]["form"]) + older == counts[cik]
