"""A broker on a feed as it comes fills what the backtest fills on the whole tape."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal

import numpy as np
import pytest

from smallcaps_assets.desk.das.commands import NewOrder, Price
from smallcaps_assets.desk.das.messages import Order
from smallcaps_assets.desk.matching import IMMEDIATE, TapeMatching
from smallcaps_assets.desk.paper import Book, FeedMatching, PaperRules, Printed, Quote, Terms
from smallcaps_assets.domain.execution.fills import FillTape, candidate_fills, fill_tape
from smallcaps_assets.domain.execution.rules import band_arrays, restricted_from
from smallcaps_assets.domain.market.calendar import session_hours
from smallcaps_assets.kernels import fills as kernel
from smallcaps_assets.settings import TradingRules
from smallcaps_assets_tests.domain.tick_frames import DAY, SECOND, at

HOURS = session_hours(DAY)
LATENCY = SECOND // 4
HALTS = (np.array([at("09:50:00")]), np.array([at("09:55:00")]))
PREVIOUS = 4.1


def tape(seed: int, count: int = 3000) -> FillTape:
    """Half an hour: moving prices, quotes of changing size, some no good; auctions, odd lots."""
    rng = np.random.default_rng(seed)
    times = at("09:30:00") + np.sort(rng.integers(0, 1_800_000, count)) * 10**6
    prices = np.round(4 * np.exp(0.004 * rng.standard_normal(count).cumsum()), 2)
    kinds = rng.choice([kernel.PRICE, kernel.PRICE, kernel.FLOW, kernel.AUCTION], count)
    sizes = rng.integers(1, 500, count).astype(float)
    when = np.sort(
        times[rng.integers(0, count, 2 * count)] + rng.integers(-9, 9, 2 * count) * 10**8
    )
    mids = prices[np.clip(np.searchsorted(times, when), 0, count - 1)]
    half = rng.integers(-1, 3, when.size) / 100
    shown = rng.integers(0, 6, (2, when.size)) * 100.0
    quotes = (when, mids - half, shown[0], mids + half, shown[1])
    forming = kinds > kernel.FLOW
    reopening = times[forming][np.searchsorted(times[forming], HALTS[1])]
    bands = band_arrays(times[forming], prices[forming], reopening, HOURS, PREVIOUS)
    return fill_tape(quotes, (times, prices, sizes, kinds), HALTS, bands)


def restriction(tape: FillTape) -> int:
    times, prices, kinds = tape.arrays[6:9]
    forming = kinds > kernel.FLOW
    return restricted_from(times[forming], prices[forming], (HOURS.open, HOURS.close), PREVIOUS)


def instants(tape: FillTape) -> dict[int, tuple[list, list, list]]:
    """Quotes, prints and halts of each instant."""
    groups: dict[int, tuple[list, list, list]] = defaultdict(lambda: ([], [], []))
    times, bids, bid_sizes, asks, ask_sizes = tape.arrays[:5]
    moments, prices, kinds, volumes = tape.arrays[6:10]
    sizes = np.diff(volumes, prepend=0.0)
    for row in zip(times, bids, bid_sizes, asks, ask_sizes, strict=True):
        groups[int(row[0])][0].append(Quote(int(row[0]), *map(float, row[1:])))
    for time, price, size, kind in zip(moments, prices, sizes, kinds, strict=True):
        groups[int(time)][1].append(Printed(float(price), float(size), int(kind)))
    for start, end in zip(*tape.arrays[10:12], strict=True):
        groups[int(start)][2].append(True)
        groups[int(end)][2].append(False)
    return groups


class Feed:
    """A tape instant by instant, into a matching core."""

    def __init__(self, groups: dict, terms: dict[str, Terms]) -> None:
        self.now = 0
        self.core = FeedMatching({"ABCD": Book(HOURS, PREVIOUS)}, lambda: self.now,
                                 lambda order, command: terms[command.tif])  # fmt: skip
        self.groups = groups
        self.due = sorted(self.groups)
        self.told: list[tuple] = []

    def move(self, time: int) -> None:
        """Up to an instant, that included."""
        while self.due and self.due[0] <= time:
            self.now = self.due.pop(0)
            self.core.advance(self.now)
            self.core.meet(self.now, "ABCD", *self.groups[self.now])
            self.told += self.core.due()
        self.now = time


def order(number: int, command: NewOrder) -> Order:
    price = command.price.values[0] if command.price.values else None
    return Order(number, number, "ABCD", command.side, "L", command.qty, command.qty, 0, price,
                 "SMAT", "Accepted", "", "", "", "")  # fmt: skip


def random_commands(seed: int, tape: FillTape) -> list[tuple[int, NewOrder]]:
    """Limits near and far, at the market, stops; for the day and immediate, and when."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(120):
        now = int(at("09:30:05") + rng.integers(0, 1700) * SECOND + rng.integers(0, 10**9))
        last = float(tape.arrays[7][np.searchsorted(tape.arrays[6], now) - 1])
        price = Decimal(str(round(last + int(rng.integers(-4, 5)) / 100, 2)))
        kind = rng.choice(["LMT", "LMT", "MKT", "STOPMKT"])
        given = Price("MKT") if kind == "MKT" else Price(str(kind), (price,))
        tif = "IOC" if rng.random() < 0.3 and kind != "STOPMKT" else "DAY+"
        side = str(rng.choice(["B", "S", "SS"]))
        found.append((now, NewOrder(1, side, "ABCD", "SMAT", int(rng.integers(1, 1500)), given,
                                    (), tif)))  # fmt: skip
    return sorted(found, key=lambda one: one[0])


@pytest.mark.parametrize("seed", [1, 2])
def test_a_feed_fills_what_the_whole_tape_fills(seed: int) -> None:
    whole, kinds = tape(seed), set()
    terms = {"DAY+": Terms(LATENCY), "IOC": Terms(LATENCY, window=SECOND)}
    feed = Feed(instants(whole), terms)
    clock = [0]
    known = TapeMatching({"ABCD": whole}, lambda: clock[0], LATENCY, {"ABCD": restriction(whole)})
    refused = set()
    for number, (now, command) in enumerate(random_commands(seed, whole)):
        feed.move(now)
        clock[0] = now
        (outcome,) = known.submit(order(number, command), command)
        if outcome.kind == "reject":
            refused.add(number)
        list(feed.core.submit(order(number, command), command))
    feed.move(whole.end + 60 * SECOND)
    feed.core.advance(feed.now)
    feed.told += feed.core.due()
    clock[0] = feed.now
    fills = defaultdict(list)
    for number, outcome in known.due():
        if outcome.kind == "fill":
            fills[number].append((outcome.qty, outcome.price))
            kinds.add(outcome.kind)
    seen = defaultdict(list)
    for _, number, outcome in feed.told:
        if outcome.kind == "fill":
            seen[number].append((outcome.qty, outcome.price))
    assert refused == {n for _, n, o in feed.told if o.kind == "reject"}
    assert dict(seen) == dict(fills) and len(fills) > 40
    assert IMMEDIATE and any(len(part) > 1 for part in fills.values())


@pytest.mark.parametrize("entry", ["marketable", "passive"])
@pytest.mark.parametrize("side", [1, -1])
def test_entries_are_those_of_the_candidates(entry: str, side: int) -> None:
    """As large as participation allows, with the age and the second of the backtest's entries."""
    whole = tape(3)
    rules = TradingRules.model_validate({"entry": entry, "long_only": False, "entry_seconds": 20})
    t0 = np.sort(np.random.default_rng(1).choice(whole.arrays[6], 25))
    sides = np.full(t0.size, side, np.int64)
    found = candidate_fills(whole, t0, sides, rules, HOURS.close, 0.1, 1e9,
                            restricted_from=restriction(whole))  # fmt: skip
    end = LATENCY + 21 * SECOND
    terms = {"DAY+": PaperRules.of(rules).entry}
    first, filled, groups = 0, 0, instants(whole)
    for number, (c, time) in enumerate(zip(found.candidates, t0.tolist(), strict=True)):
        rows = found.entries[first : first + int(c["entries"])]
        first += int(c["entries"])
        if c["outcome"] in (kernel.NO_QUOTE, kernel.STALE) or np.isnan(c["price"]):
            continue
        far = float(c["price"]) * (1 + side * rules.entry_slack * (entry == "marketable"))
        command = NewOrder(1, "B" if side > 0 else "SS", "ABCD", "SMAT", 10**7,
                           Price("LMT", (Decimal(repr(far)),)))  # fmt: skip
        expected = [(int(t), float(p)) for t, p in zip(rows["time"], rows["price"], strict=True)]
        later = Feed(groups, terms)
        later.move(time)
        later.core.submit(order(number, command), command)
        later.move(time + end)
        later.core.advance(later.now)
        later.told += later.core.due()
        seen = [(t, float(o.price), o.qty) for t, _, o in later.told if o.kind == "fill"]
        assert [(t, p) for t, p, _ in seen] == expected
        assert np.cumsum([q for *_, q in seen]).tolist() == rows["shares"].tolist()
        reasons = [o.text for _, _, o in later.told if o.kind == "reject"]
        wanted = {
            kernel.HALTED: ["halt"],
            kernel.RESTRICTED: ["ssr"],
            kernel.NO_VOLUME: ["no_volume"],
        }
        assert reasons == wanted.get(int(c["outcome"]), [])
        filled += bool(expected)
    assert filled > 2
