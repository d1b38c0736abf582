"""A plain Python twin of `kernels.fills`: one trade of one size, event by event."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

MINUTE = 60_000_000_000
NEAR = 1e-9


@dataclass
class Tape:
    """Quotes (time, bid, size, ask, size), prints (time, price, size, kind), halts and bands."""

    quotes: list[tuple]
    prints: list[tuple]
    halts: list[tuple]
    bands: list[tuple]

    def is_halted(self, time):
        return any(start <= time < end for start, end in self.halts)

    def is_usable(self, quote):
        time, bid, bid_size, ask, ask_size = quote
        is_whole = bid > 0 and bid_size > 0 and ask_size > 0 and ask >= bid
        return is_whole and not self.is_halted(time)

    def band(self, time):
        found = (0.0, float("inf"))
        for since, lower, upper in self.bands:
            if since <= time:
                found = lower, upper
        return found

    def is_banded(self, time, price):
        lower, upper = self.band(time)
        return price < lower - NEAR * lower or price > upper + NEAR * upper

    def reopening(self, halt):
        times = [p[0] for p in self.prints if p[3] in ("price", "auction") and p[0] >= halt[1]]
        return min(times, default=None)

    def mid(self, time):
        usable = [q for q in self.quotes if q[0] <= time and self.is_usable(q)]
        return (usable[-1][1] + usable[-1][3]) / 2 if usable else None


def marketable(tape, side, shares, live, limit, until, age):
    """(time, shares, price) of each fill."""
    fills, rest, seen = [], shares, None

    def shown(quote):
        return quote[3:5] if side > 0 else quote[1:3]

    past = [q for q in tape.quotes if q[0] <= live]
    events = [(q[0], q) for q in tape.quotes if q[0] > live]
    if past and tape.is_usable(past[-1]) and live - past[-1][0] <= age and not tape.is_halted(live):
        events.insert(0, (live, past[-1]))
    else:
        usable = [q for q in past if tape.is_usable(q)]
        seen = shown(usable[-1]) if usable else None
    for time, quote in events:
        if (until is not None and time > until) or not rest:
            break
        if not tape.is_usable(quote):
            continue
        state = shown(quote)
        if state == seen:
            continue
        seen = state
        price, size = state
        is_beyond = limit is not None and (price - limit) * side > NEAR * price
        if is_beyond or tape.is_banded(time, price):
            continue
        got = min(rest, int(size + NEAR))
        if got:
            fills.append((time, got, price))
            rest -= got
    return fills


def queue_of(tape, side, limit, live, age):
    past = [q for q in tape.quotes if q[0] <= live]
    if not past or not tape.is_usable(past[-1]) or live - past[-1][0] > age:
        return float("inf")
    price, size = past[-1][1:3] if side > 0 else past[-1][3:5]
    return size if abs(price - limit) <= NEAR * price else 0.0


class Resting:
    """A passive order that prints come to."""

    def __init__(self, tape, side, shares, limit, live, age):
        self.tape, self.side, self.rest, self.limit = tape, side, shares, limit
        self.queue = queue_of(tape, side, limit, live, age)

    def meet(self, time, price, size):
        if (price - self.limit) * self.side > NEAR * self.limit:
            return 0
        if self.tape.is_banded(time, self.limit):
            return 0
        got = self.rest
        if abs(price - self.limit) <= NEAR * self.limit:
            eaten = min(self.queue, size)
            self.queue -= eaten
            got = min(got, int(size - eaten + NEAR))
        self.rest -= got
        return got


def on_tick(price, is_up):
    tick = Decimal("0.01") if price >= 1 else Decimal("0.0001")
    steps = Decimal(price / float(tick)) + (Decimal("-1e-6") if is_up else Decimal("1e-6"))
    return float(steps.to_integral_value(ROUND_CEILING if is_up else ROUND_FLOOR) * tick)


def enter(tape, rules, t0, side):  # noqa: PLR0911
    """The outcome of an entry at its largest size, and its fills."""
    live = t0 + rules["latency"]
    volume = sum(p[2] for p in tape.prints if live - MINUTE < p[0] <= live)
    past = [q for q in tape.quotes if q[0] <= t0]
    if tape.is_halted(t0) or tape.is_halted(live):
        return "halt", []
    if not past or not tape.is_usable(past[-1]):
        return "no_price", []
    if t0 - past[-1][0] > rules["entry_age"]:
        return "stale_quote", []
    _, bid, _, ask, _ = past[-1]
    is_passive = rules["is_passive"]
    price = (bid if side > 0 else ask) if is_passive else (ask if side > 0 else bid)
    limit = price if is_passive else price * (1 + side * rules["slack"])
    usable = [q for q in tape.quotes if q[0] <= live and tape.is_usable(q)]
    is_low = not is_passive or limit <= usable[-1][1]
    if side < 0 and live >= rules["restricted_from"] and is_low:
        return "ssr", []
    shares = int(min(rules["capacity"] * volume, rules["most_value"] / price) * (1 + NEAR))
    if shares < 1:
        return "no_volume", []
    until, age = live + rules["entry_window"], rules["entry_age"]
    if not is_passive:
        fills = marketable(tape, side, shares, live, limit, until, age)
        return (None if fills else "no_fill"), fills
    order, fills = Resting(tape, side, shares, limit, live, age), []
    for time, price, size, kind in tape.prints:
        if live < time <= until and kind == "price" and order.rest and not tape.is_halted(time):
            got = order.meet(time, price, size)
            if got:
                fills.append((time, got, limit))
    return (None if fills else "no_fill"), fills


def close(tape, rules, t0, side, entry):
    """(time, shares, price, reason) of each fill of the exit of an entry's fills."""
    shares, since = sum(f[1] for f in entry), entry[-1][0]
    average = sum(f[1] * f[2] for f in entry) / shares
    profit = on_tick(average * (1 + side * rules["take_profit"]), side > 0)
    stop = on_tick(average * (1 - side * rules["stop_loss"]), side < 0)
    deadline = t0 + rules["timeout"]
    reason = "time" if deadline <= rules["last_exit"] else "session"
    trigger = max(min(deadline, rules["last_exit"]), since)
    order, fills = Resting(tape, -side, shares, profit, since, rules["exit_age"]), []
    for instant in sorted({p[0] for p in tape.prints if since < p[0] <= trigger}):
        met = [p for p in tape.prints if p[0] == instant and p[3] != "flow"]
        if not met or tape.is_halted(instant):
            continue
        if any((p[1] - stop) * side <= NEAR * stop for p in met):
            trigger, reason = instant, "stop"
            break
        for _, price, size, kind in met:
            got = order.meet(instant, price, size) if kind == "price" and order.rest else 0
            if got:
                fills.append((instant, got, profit, "take_profit"))
        if not order.rest:
            return fills
    live = trigger + rules["latency"]
    while tape.is_halted(live):
        (halt,) = [h for h in tape.halts if h[0] <= live < h[1]]
        again = tape.reopening(halt)
        if again is None:
            return fills
        live = again + rules["latency"]
    rest = marketable(tape, -side, order.rest, live, None, None, rules["exit_age"])
    return fills + [(*fill, reason) for fill in rest]


def cut(entry, shares):
    """The first fills of an entry that make so many shares."""
    kept = []
    for time, size, price in entry:
        if shares > 0:
            kept.append((time, min(size, shares), price))
            shares -= size
    return kept
