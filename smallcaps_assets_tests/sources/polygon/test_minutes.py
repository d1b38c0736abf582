"""Minutes over REST: one call for a ticker and month, resumable, single tickers failing alone."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from smallcaps_assets.domain.market.calendar import sessions
from smallcaps_assets.sources.errors import NotEntitled, SourceUnavailable
from smallcaps_assets.sources.http.page_cache import PageCache
from smallcaps_assets.sources.polygon.minutes import MonthsOfMinutes
from smallcaps_assets_tests.sources.conftest import make_client
from smallcaps_assets_tests.sources.loopback import Asked, Loopback, Reply
from smallcaps_assets_tests.sources.rows import minute_bar, minutes_page

DAYS = sessions(date(2024, 5, 1), date(2024, 6, 7))
MAY = [day for day in DAYS if day.month == 5]
TICKERS = [f"T{n:02}" for n in range(12)]


class Vendor:
    """Two bars of every ticker on every session asked for, but none of T03 on the first day."""

    def __init__(self) -> None:
        self.broken: set[str] = set()
        self.silences: dict[str, int] = {}
        self.first_day = DAYS[0]

    def __call__(self, asked: Asked) -> Reply:
        _, _, _, _, ticker, _, _, _, start, end = asked.path.split("/")
        if ticker in self.broken:
            return Reply(b"", 500)
        if self.silences.get(ticker, 0):
            self.silences[ticker] -= 1
            return minutes_page([], ticker=ticker)
        if not start.startswith("2024-"):
            return minutes_page([], ticker=ticker)
        first, last = date.fromisoformat(start), date.fromisoformat(end)
        if first < self.first_day:
            return Reply(b'{"status":"NOT_AUTHORIZED","message":"no"}', 403)
        days = [day for day in DAYS if first <= day <= last]
        bars = [minute_bar(0, t=_ms(d, m)) for d in days for m in (0, 1) if (ticker, d) != GAP]
        return minutes_page(bars, ticker=ticker)


GAP = ("T03", DAYS[0])


def _ms(day: date, minute: int) -> int:
    return int(datetime(day.year, day.month, day.day, 15, minute, tzinfo=UTC).timestamp() * 1000)


class Bench:
    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self.vendor, self.page_cache = Vendor(), PageCache(folder)
        self.server = stack.enter_context(Loopback(self.vendor))
        self.client = stack.enter_context(make_client(self.server.url, retry_budget=0.01))

    def minutes(self, days: list[date] = DAYS) -> MonthsOfMinutes:
        wanted = dict.fromkeys(days, TICKERS)
        return MonthsOfMinutes(
            self.client,
            self.page_cache,
            lambda day: {d: t for d, t in wanted.items() if d.month == day.month},
        )

    def asked_tickers(self) -> list[str]:
        return sorted(asked.path.split("/")[4] for asked in self.server.asked)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(stack, tmp_path)


def test_session_given_two_months_expected_one_call_for_a_ticker_and_month(bench: Bench) -> None:
    minutes = bench.minutes()
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda day: minutes.session(day, TICKERS), DAYS))
    assert [f.frame["date"].unique().to_list() for f in found] == [[day] for day in DAYS]
    assert {f.frame.height for f in found[1:]} == {2 * len(TICKERS)}
    assert found[0].frame.height == 2 * len(TICKERS) - 2
    assert bench.asked_tickers() == sorted(TICKERS * 2)
    minutes.close()


def test_session_given_a_bad_ticker_expected_the_others_and_it_alone_asked_again(
    bench: Bench,
) -> None:
    bench.vendor.broken = {"T05"}
    minutes = bench.minutes(MAY)
    found = minutes.session(MAY[0], TICKERS)
    assert list(found.failed) == ["T05"]
    assert isinstance(found.failed["T05"], SourceUnavailable)
    assert "T05" not in found.frame["ticker"]
    minutes.close()
    bench.vendor.broken, before = set(), len(bench.server.asked)
    found = bench.minutes(MAY).session(MAY[0], TICKERS)
    assert not found.failed
    assert found.frame.height == 2 * len(TICKERS) - 2
    assert [a.path.split("/")[4] for a in bench.server.asked[before:]] == ["T05"]


def test_session_given_pages_of_an_earlier_run_expected_only_the_rest_asked_for(
    bench: Bench,
) -> None:
    earlier = MonthsOfMinutes(
        bench.client, bench.page_cache, lambda day: dict.fromkeys(MAY, TICKERS[:7])
    )
    earlier.session(MAY[0], TICKERS[:7])
    earlier.close()
    before = len(bench.server.asked)
    assert bench.minutes(MAY).session(MAY[1], TICKERS).frame.height == 2 * len(TICKERS)
    asked = sorted(asked.path.split("/")[4] for asked in bench.server.asked[before:])
    assert asked == TICKERS[7:]


def test_forget_given_every_session_stored_expected_no_pages_left(
    bench: Bench, tmp_path: Path
) -> None:
    minutes = bench.minutes(MAY)
    for day in MAY:
        minutes.session(day, TICKERS).cached.drop()
    assert list(tmp_path.iterdir()) == []


def test_session_given_a_plan_that_begins_inside_the_month_expected_day_by_day(
    bench: Bench,
) -> None:
    bench.vendor.first_day = MAY[10]
    minutes = bench.minutes(MAY)
    with pytest.raises(NotEntitled):
        minutes.session(MAY[0], TICKERS)
    assert minutes.session(MAY[12], TICKERS).frame.height == 2 * len(TICKERS)


@pytest.mark.parametrize("silences", [2, 10])
def test_session_given_nothing_of_a_ticker_that_has_traded_expected_read_again_after_a_pause(
    bench: Bench, silences: int
) -> None:
    bench.vendor.silences = {"T05": silences}
    minutes = MonthsOfMinutes(
        bench.client, bench.page_cache, lambda day: {}, traded=lambda day: {"T05"}
    )
    found = minutes.session(MAY[1], TICKERS)
    has_it = "T05" in set(found.frame["ticker"])
    assert has_it == (silences == 2) and not found.failed
    assert bench.asked_tickers().count("T05") == (3 if has_it else 4)
    minutes.close()
