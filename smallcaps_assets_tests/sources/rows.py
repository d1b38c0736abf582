"""Vendor rows for the tests: small, valid, and easy to break."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from smallcaps_assets_tests.sources.loopback import MISSING, Reply, csv, ok

DAY = date(2024, 5, 3)
OPEN_MS = 1_714_743_000_000  # 09:30 New York
OPEN_NS = OPEN_MS * 1_000_000
CLOSE_MS = 1_714_766_400_000  # 16:00 New York
TRADE_HEADER = (
    "conditions,correction,exchange,id,participant_timestamp,price,sequence_number,"
    "sip_timestamp,size,decimal_size,tape,trf_id,trf_timestamp"
)


def daily_bar(ticker: str = "AAME", **changes: Any) -> dict[str, Any]:
    bar = {"T": ticker, "o": 2.0, "h": 2.5, "l": 1.9, "c": 2.4, "v": 1200.5, "vw": 2.2, "n": 31}
    return bar | {"t": CLOSE_MS} | changes


def minute_bar(minute: int, **changes: Any) -> dict[str, Any]:
    bar = {"o": 2.0, "h": 2.5, "l": 1.9, "c": 2.4, "v": 100.25, "vw": 2.2, "n": 3}
    return bar | {"t": OPEN_MS + 60_000 * minute} | changes


def minutes_page(bars: list[dict[str, Any]], ticker: str = "AAME", **envelope: Any) -> Reply:
    fields = {"ticker": ticker, "adjusted": False, "resultsCount": len(bars), **envelope}
    return ok(bars or MISSING, **fields)


def trade(number: int, **changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "conditions": [12, 37],
        "exchange": 4,
        "id": str(number),
        "participant_timestamp": OPEN_NS + number - 1000,
        "price": 2.5,
        "sequence_number": number,
        "sip_timestamp": OPEN_NS + number,
        "size": 1,
        "decimal_size": "1.25",
        "tape": 3,
        "trf_id": 202,
    }
    return fields | changes


def trades_json(numbers: list[int], **envelope: Any) -> Reply:
    return ok([trade(number) for number in numbers], **envelope)


def trade_line(row: Mapping[str, Any]) -> str:
    conditions = ",".join(map(str, row.get("conditions") or []))
    quoted = f'"{conditions}"' if "," in conditions else conditions
    cells = [str(row.get(name, "")) for name in TRADE_HEADER.split(",")[1:]]
    return ",".join([quoted, *cells]) + "\n"


def trades_csv(numbers: list[int], **options: Any) -> Reply:
    lines = "".join(trade_line(trade(number)) for number in numbers)
    return csv(f"{TRADE_HEADER}\n{lines}", **options)
