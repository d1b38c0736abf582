"""Nasdaq's halt feed: every field, its reach, and what a malformed feed ends in."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from smallcaps_assets.schemas import TABLES
from smallcaps_assets.sources.errors import (
    BadAnswer,
    NotFound,
    SourceError,
    TruncatedAnswer,
    WrongContent,
)
from smallcaps_assets.sources.http.throttle import Throttle
from smallcaps_assets.sources.regulators.halts import HaltFeed, parse_halts
from smallcaps_assets_tests.sources.loopback import Loopback, Reply

DAY = date(2026, 7, 2)
OPEN = '<rss version="2.0" xmlns:ndaq="http://www.nasdaqtrader.com/"><channel>'


def item(symbol: str = "GEVO", day: str = "07/02/2026", **cells: str) -> str:
    values = {
        "HaltDate": day,
        "HaltTime": "09:35:44.123",
        "IssueSymbol": symbol,
        "IssueName": "Gevo, Inc. &amp; Co",
        "Market": "NASDAQ",
        "ReasonCode": "LUDP",
        "PauseThresholdPrice": "",
        "ResumptionDate": day,
        "ResumptionQuoteTime": "09:40:44",
        "ResumptionTradeTime": "09:40:44",
    } | cells
    return "<item>" + "".join(f"<ndaq:{k}>{v}</ndaq:{k}>" for k, v in values.items()) + "</item>"


def feed(*items: str, count: int | str | None = None) -> bytes:
    number = len(items) if count is None else count
    text = f"{OPEN}<ndaq:numItems>{number}</ndaq:numItems>{''.join(items)}</channel></rss>"
    return b"\xef\xbb\xbf" + text.encode()


def test_parse_expected_exact_rows() -> None:
    open_end = {"ResumptionDate": "", "ResumptionQuoteTime": "", "ResumptionTradeTime": ""}
    other = item("BRK/B", ReasonCode="T1", PauseThresholdPrice="1,234.50", **open_end)
    found = TABLES["halts"].validate(parse_halts(feed(item(), other), DAY))
    gevo, brk = sorted(found.to_dicts(), key=lambda row: row["ticker"], reverse=True)
    assert gevo["halt_start"] == datetime(2026, 7, 2, 13, 35, 44, 123_000, tzinfo=UTC)
    assert gevo["halt_end"] == datetime(2026, 7, 2, 13, 40, 44, tzinfo=UTC)
    assert gevo["known_at"] == gevo["halt_start"]
    assert (gevo["name"], gevo["halt_source"]) == ("Gevo, Inc. & Co", "feed")
    assert (brk["ticker"], brk["symbol"], brk["reason_code"]) == ("BRK.B", "BRK/B", "T1")
    assert (brk["pause_threshold_price"], brk["halt_end"]) == (1234.5, None)


def test_parse_given_a_halt_again_with_its_end_expected_once() -> None:
    found = parse_halts(feed(item(ResumptionTradeTime=""), item()), DAY)
    assert found["halt_end"].null_count() == 0
    assert found.height == 1


def test_parse_given_resumption_on_a_later_day_expected_that_day() -> None:
    found = parse_halts(feed(item(ResumptionDate="07/06/2026")), DAY)
    assert found["halt_end"][0] == datetime(2026, 7, 6, 13, 40, 44, tzinfo=UTC)


def test_parse_given_a_halt_that_ends_before_it_begins_expected_the_others_and_its_name() -> None:
    backward = item("BRK/B", ResumptionTradeTime="09:00:00")
    refused: list[str] = []
    found = parse_halts(feed(item(), backward, item("AAME")), DAY, refused=refused.append)
    assert found["ticker"].to_list() == ["AAME", "GEVO"]
    assert refused == ["BRK.B 2026-07-02 09:35:44 to 2026-07-02 09:00:00"]
    assert parse_halts(feed(backward), DAY).is_empty()


def test_parse_given_a_halt_mended_further_down_expected_no_complaint() -> None:
    refused: list[str] = []
    body = feed(item(ResumptionTradeTime="09:00:00"), item())
    assert parse_halts(body, DAY, refused=refused.append).height == 1
    assert refused == []


def test_parse_given_no_halts_expected_empty() -> None:
    assert parse_halts(feed(), DAY).is_empty()


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (feed(item(), count=2), TruncatedAnswer),
        (feed(item(), count=""), TruncatedAnswer),
        (feed(item(), count="1" * 5000), TruncatedAnswer),  # more digits than int() takes
        (feed(item())[:-20], TruncatedAnswer),
        (b"", TruncatedAnswer),
        (b"<!DOCTYPE html><html>Service unavailable</html>", WrongContent),
        (b"<feed/>", WrongContent),
        (feed(item(day="07/01/2026")), WrongContent),
        (b'<!DOCTYPE x [<!ENTITY a "b">]>' + feed()[3:], WrongContent),
        (feed(item(HaltTime="25:99:00")), BadAnswer),
        (feed(item(HaltTime="")), BadAnswer),
        (feed(item(symbol="")), BadAnswer),
        (feed(item(PauseThresholdPrice="high")), BadAnswer),
    ],
)
def test_parse_given_defect_expected_typed_error(body: bytes, kind: type[SourceError]) -> None:
    with pytest.raises(kind):
        parse_halts(body, DAY)


def test_parse_given_entities_that_multiply_expected_refused() -> None:
    """Ten entities of ten each stand for a gigabyte; so do those behind much white space."""
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10))
    bomb = f'<!DOCTYPE rss [<!ENTITY e0 "{"x" * 10}">{entities}]>{OPEN}&e9;</channel></rss>'
    for body in (bomb, f"<?xml version='1.0'?>{' ' * 3000}{bomb}"):
        for encoded in (body.encode(), body.encode("utf-16")):
            with pytest.raises(SourceError):
                parse_halts(encoded, DAY)


def test_feed_expected_exact_request() -> None:
    with Loopback(Reply(feed(item()))) as server:
        with HaltFeed(url=server.url, throttle=Throttle(1000.0), today=lambda: DAY) as source:
            assert source.halts(DAY).height == 1
        assert server.asked[0].path == "/rss.aspx"
        assert server.asked[0].query == {"feed": "tradehalts", "haltdate": "07022026"}


def test_feed_given_a_session_out_of_reach_expected_not_asked() -> None:
    with Loopback(Reply(feed())) as server:
        feed_of_later = HaltFeed(url=server.url, today=lambda: date(2027, 7, 3))
        with feed_of_later as source, pytest.raises(NotFound, match="one year back"):
            source.halts(DAY)
        assert server.asked == []
