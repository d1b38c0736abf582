"""The SEC's fails-to-deliver of the simulated market: texts by half-month, and the listing page.

Balances are a share of each session's volume that fades over some days. A file is there when the
SEC would have published it.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Sequence
from datetime import date

import polars as pl

from smallcaps_assets.domain.feeds.publication import fails_known_at, half_month_end, half_month_of
from smallcaps_assets.sandbox.randomness import mix, uniform
from smallcaps_assets.sandbox.simulation.companies import Listing

STREAM_FAILS = 551
HEADER = "SETTLEMENT DATE|CUSIP|SYMBOL|QUANTITY (FAILS)|DESCRIPTION|PRICE"
FOLDERS = ("/files/data/fails-deliver-data", "/files/data/other/fails-deliver-data")
_PREFERRED = re.compile(r"^([A-Z]+)p([A-Z]?)$")


def compact(ticker: str) -> str:
    """The vendor's spelling without separators: `BRK.A` as BRKA, `BCpC` as BCPRC."""
    return _PREFERRED.sub(r"\1PR\2", ticker).replace(".", "").upper()


def cusip(listing: Listing) -> str:
    """Nine signs, of the listing; a foreign one's begins with a letter."""
    head = "G" if listing.type == "ADRC" else "1"
    return f"{head}{listing.number % 10_000_000:07d}8"


def published_halves(days: Sequence[date]) -> list[date]:
    """First days of the half-months whose files are out on the last session."""
    halves = sorted({half_month_of(day) for day in days})
    return [half for half in halves if fails_known_at(half).date() <= days[-1]]


def file_path(half: date) -> str:
    """Where a file lies; every third is in another folder, under another name."""
    name = f"cnsfails{half:%Y%m}{'a' if half.day == 1 else 'b'}"
    is_odd = half.month % 3 == 0
    return f"{FOLDERS[is_odd]}/{name}{'_0' if is_odd else ''}.zip"


def listing_page(halves: Sequence[date]) -> str:
    """The page that links to the files."""
    links = "".join(
        f'<li><a href="{file_path(h)}">{h:%B %Y}, {"first" if h.day == 1 else "second"} half</a>'
        for h in halves
    )
    return f"<!DOCTYPE html><html><body><ul>{links}</ul></body></html>"


def fails_text(
    seed: int, half: date, bars: pl.DataFrame, listing_of: Callable[[str, date], Listing | None]
) -> str:
    """A file's text. `bars` has date, ticker, volume, close of the market's sessions."""
    inside = bars.filter(pl.col("date").is_between(half, half_month_end(half)))
    lines: list[str] = []
    total = 0
    for day, ticker, volume, close in inside.sort("date", "ticker").iter_rows():
        listing = listing_of(ticker, day)
        if listing is None or listing.is_test:
            continue
        u = uniform(seed, STREAM_FAILS, mix(*ticker.encode()), day.toordinal())
        quantity = int(volume * 0.02 * u * u)
        if u < 0.35 or quantity == 0:
            continue
        symbol = "" if listing.type == "RIGHT" else compact(ticker)
        price = "." if u > 0.99 else f"{close:.2f}"
        name = listing.name.upper().replace(", ", "|" if u > 0.98 else " ")[:30]
        lines.append(f"{day:%Y%m%d}|{cusip(listing)}|{symbol}|{quantity}|{name}|{price}")
        total += quantity
    trailers = (f"Trailer record count {len(lines)}", f"Trailer total quantity of shares {total}")
    return "\n".join([HEADER, *lines, *trailers, ""])


def zipped(name: str, text: str) -> bytes:
    """A zip with one member and no clock in it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        member = zipfile.ZipInfo(name, date_time=(2000, 1, 1, 0, 0, 0))
        archive.writestr(member, text.encode("cp1252"), zipfile.ZIP_DEFLATED, 1)
    return buffer.getvalue()
