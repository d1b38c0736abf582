"""What a full backfill takes by plan: requests, hours, gigabytes. Arithmetic only, no network.

    python benchmarks/backfill_cost.py                        # the tables of the documents
    python benchmarks/backfill_cost.py --tickers 6405 --trades 100000

hours = requests / pace, and pace = 5 / 61 a second on the free plan, else the smaller of the
client's rate limit and workers / seconds per answer; files add bytes / download rate. Seconds per
answer, bytes of a flat file and rates are the assumptions of the router and the density report.
Plans and prices are the vendor's as known in November 2026. Computing is not in it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from math import ceil

import polars as pl

from smallcaps_assets.domain.market.calendar import sessions
from smallcaps_assets.domain.selection.density import FREE_CALLS_PER_HOUR, tick_cost
from smallcaps_assets.settings import Settings
from smallcaps_assets.sources.polygon.router import DOWNLOAD_BYTES_PER_SECOND, SECONDS_PER_CALL
from smallcaps_assets.sources.regulators.finra import FIRST_DAY as FINRA_START

SETTINGS = Settings()
LAST = date(2025, 12, 31)
VENDOR_START = date(2003, 9, 10)
LISTED, LIST_PAGE = 12_000, 1_000
MINUTE_FILE_BYTES = 25e6
SELECTED = {2004: 40_000, 2020: 11_054}  # ticker-days from that year on, up to the next
OTHER_HOSTS = ("FINRA", "Nasdaq")  # they go on beside the vendor's
LAST_YEAR_OF = {2004: 2019, 2020: 2025}
SECONDS_PER_HOUR = 3600
FINRA_PACE, HALTS_PACE = SETTINGS.finra.requests_per_second, 1 / 60


@dataclass(frozen=True)
class Plan:
    """What a plan allows; `price` is US dollars a month."""

    name: str
    price: str
    start: date
    has_files: bool
    has_trades: bool
    has_quotes: bool = False
    is_free: bool = False


PLANS = (
    Plan("free", "0", date(2024, 1, 1), False, False, is_free=True),
    Plan("starter", "29", date(2021, 1, 1), True, False),
    Plan("developer", "79", date(2016, 1, 1), True, True),
    Plan("advanced", "199", VENDOR_START, True, True, True),
)


def calls_per_hour(plan: Plan) -> float:
    """The vendor's requests in an hour, by the client's own limits."""
    if plan.is_free:
        return FREE_CALLS_PER_HOUR
    polygon = SETTINGS.polygon
    pace = min(polygon.workers / SECONDS_PER_CALL, polygon.requests_per_second)
    return pace * SECONDS_PER_HOUR


def selected_days(plan: Plan) -> int:
    """Ticker-days whose trades are wanted since the plan's start, evenly over the years."""
    count = 0.0
    for first, days in SELECTED.items():
        years = LAST_YEAR_OF[first] - first + 1
        count += days * max(0, LAST_YEAR_OF[first] - max(first, plan.start.year) + 1) / years
    return round(count)


def lines(plan: Plan, tickers: int, trades: int) -> Iterator[tuple[str, int, float, float]]:
    """Name, requests, hours and gigabytes to download or store, of each stage."""
    days = len(sessions(plan.start, LAST))
    months = (LAST.year - plan.start.year) * 12 + LAST.month - plan.start.month + 1
    hourly = calls_per_hour(plan)
    lists = days * ceil(LISTED / LIST_PAGE) + days
    yield "lists and daily bars", lists, lists / hourly, 0.0
    yield "details of companies", months * tickers, months * tickers / hourly, 0.0
    if plan.has_files:
        size = days * MINUTE_FILE_BYTES
        yield "minutes, flat files", days, size / DOWNLOAD_BYTES_PER_SECOND / 3600, size / 1e9
    else:
        yield "minutes, REST", months * tickers, months * tickers / hourly, 0.0
    if plan.has_trades:
        wanted = pl.DataFrame({"transactions": [trades] * selected_days(plan)})
        polygon = SETTINGS.polygon
        cost = tick_cost(wanted, polygon.workers, polygon.requests_per_second)
        yield "trades of selected days", cost.requests, cost.hours_paid, cost.gigabytes
    if plan.has_quotes:
        pace = SETTINGS.polygon.workers, SETTINGS.polygon.requests_per_second
        wanted = pl.DataFrame({"transactions": [trades] * selected_days(plan)})
        cost = tick_cost(wanted, *pace, "quotes")
        yield "quotes of selected days", cost.requests, cost.hours_paid, cost.gigabytes
    files = len(sessions(max(plan.start, FINRA_START), LAST))
    yield "FINRA short volume", files, files / FINRA_PACE / SECONDS_PER_HOUR, 0.0
    yield "Nasdaq halts, one year", 252, 252 / HALTS_PACE / SECONDS_PER_HOUR, 0.0


def table(tickers: int, trades: int) -> Iterator[str]:
    """Markdown."""
    yield "| plan (USD a month), from | stage | requests | hours | GB |"
    yield "|---|---|---|---|---|"
    for plan in PLANS:
        name = f"{plan.name} ({plan.price}), {plan.start.year}"
        for stage, requests, hours, size in lines(plan, tickers, trades):
            told = f"{size:,.0f}" if size else ""
            yield f"| {name} | {stage} | {requests:,} | {hours:,.1f} | {told} |"
            name = ""


def totals(tickers: int, trades: int) -> Iterator[str]:
    """What the vendor is asked for by plan, in Markdown."""
    yield "| plan (USD a month) | history from | trades | requests | hours | GB |"
    yield "|---|---|---|---|---|---|"
    for plan in PLANS:
        extra = (*OTHER_HOSTS, "quotes")
        asked = [x for x in lines(plan, tickers, trades) if not x[0].startswith(extra)]
        requests, hours, size = (sum(column) for column in list(zip(*asked, strict=True))[1:])
        has = "yes" if plan.has_trades else "no"
        told = f"{requests:,} | {hours:,.1f} | {size:,.0f}"
        yield f"| {plan.name} ({plan.price}) | {plan.start} | {has} | {told} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tickers", type=int, default=6_405, help="companies a month")
    parser.add_argument("--trades", type=int, default=100_000, help="trades of a selected day")
    options = parser.parse_args()
    for rows in (totals, table):
        print("\n".join(rows(options.tickers, options.trades)), end="\n\n")


if __name__ == "__main__":
    main()
