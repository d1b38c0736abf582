"""Cases with known answers of fees, fills, bands, restrictions, sizes and risk."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from smallcaps_assets.domain.execution.fees import fees
from smallcaps_assets.domain.execution.fills import (
    KINDS,
    FillTape,
    fill_tape,
    marketable_fill,
    passive_fill,
    stop_exit,
)
from smallcaps_assets.domain.execution.risk import FLATTENED, risk_walk
from smallcaps_assets.domain.execution.rules import (
    luld_band,
    may_sell_short,
    restricted_from,
    restrictions,
)
from smallcaps_assets.domain.execution.sizing import position_size

CASES = json.loads((Path(__file__).parents[2] / "golden" / "research_fills.json").read_text())


def columns(rows: list, count: int) -> list[np.ndarray]:
    """Arrays of the columns of some rows; times as integers."""
    made = [np.array([row[k] for row in rows], float) for k in range(count)]
    return [np.array([row[0] for row in rows], np.int64), *made[1:]]


def tape(given: dict) -> FillTape:
    """The tape of a case."""
    ticks = [row for row in given.get("ticks", []) if row[3] in KINDS]
    kinds = np.array([KINDS[row[3]] for row in ticks], np.int8)
    halts = columns(given.get("halts", []), 2)
    halts = [array.astype(np.int64) for array in halts]
    quotes = columns(given.get("quotes", []), 5)
    return fill_tape(quotes, (*columns(ticks, 3), kinds), halts)


def of_fees(given: dict) -> dict:
    found = fees(date.fromisoformat(given.pop("day")), **given)
    return {"sec": found.sec, "taf": found.taf, "ecn": found.ecn, "commission": found.commission}


def of_marketable(given: dict) -> dict:
    live = given["decision"] + given["latency"]
    found = marketable_fill(tape(given), given["side"], given["shares"], live, given["limit"])
    told = {"filled": found.filled, "unfilled": found.unfilled, "average": found.average}
    return {"fills": [list(fill) for fill in found.fills], **told}


def of_passive(given: dict) -> dict:
    found = passive_fill(tape(given), *(given[k] for k in ("side", "shares", "limit", "live")))
    at = {time: shares for time, shares, _ in found.fills}
    fills = [at.get(tick[0], 0) for tick in given["ticks"]]
    return {"fills": fills, "filled": found.filled, "unfilled": found.unfilled}


def of_stop(given: dict) -> dict:
    names = ("side", "shares", "stop", "since", "latency")
    found = stop_exit(tape(given), *(given[name] for name in names))
    told = {"trigger": found.trigger, "fills": [list(fill) for fill in found.exit.fills]}
    return {**told, "filled": found.exit.filled, "is_trapped": found.is_trapped}


def of_band(given: dict) -> dict:
    found = luld_band(**given)
    return {"lower": found.lower, "upper": found.upper}


def of_restriction(given: dict) -> list[bool]:
    days = given["sessions"]
    declines = []
    for day in days:
        times, prices, _ = columns([t for t in day["ticks"] if t[3] != "flow"], 3)
        declines.append(
            restricted_from(times, prices, (day["open"], day["close"]), day["prior_close"])
        )
    since = dict(zip((day["date"] for day in days), restrictions(declines), strict=True))
    return [t >= since[day] for day, t in given["queries"]]


def of_short(given: dict) -> str:
    is_good = may_sell_short(given["limit"], given["bid"], given["is_ssr"])
    return "accepted" if is_good else "rejected"


def of_size(given: dict) -> dict:
    found = position_size(**given)
    names = ("by_stop", "by_atr", "by_account", "by_volume", "shares")
    return {name: getattr(found, name) for name in names}


def of_walk(given: dict) -> dict:
    found = risk_walk(
        given["candidates"], *(given[k] for k in ("max_positions", "max_day_loss", "latency"))
    )
    trades = [
        {
            "id": p.name,
            **({"exit": p.exit} if p.reason == FLATTENED else {}),
            "pnl": p.profit,
            "reason": p.reason,
        }
        for p in found["trades"]
    ]
    return {**found, "trades": trades}


FUNCTIONS = {
    "fees": of_fees,
    "marketable_fill": of_marketable,
    "passive_fill": of_passive,
    "stop_exit": of_stop,
    "luld_band": of_band,
    "ssr_state": of_restriction,
    "short_order": of_short,
    "position_size": of_size,
    "risk_walk": of_walk,
}


def is_close(found: object, expected: object) -> bool:
    """Equality of nested values, of numbers to 1e-12."""
    if isinstance(expected, dict):
        return isinstance(found, dict) and all(is_close(found[k], v) for k, v in expected.items())
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(is_close, found, expected))
    if isinstance(expected, float):
        return found == pytest.approx(expected, abs=1e-12, rel=1e-12)
    return found == expected


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_case(case):
    found = FUNCTIONS[case["fn"]](case["input"])
    assert is_close(found, case["expected"]), found
