"""The running state of each ticker: for the same events the bits of the tables, and bad events."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import date

import numpy as np
import polars as pl
import pytest

from smallcaps_assets.desk import scanner
from smallcaps_assets.desk.scanner import Decision, Scanner, TickerScan
from smallcaps_assets.domain.bars.build import dollar_imbalance_bars
from smallcaps_assets.domain.bars.features import SessionContext, bar_features
from smallcaps_assets.domain.bars.quote_features import quote_arrays, quote_features
from smallcaps_assets.domain.columns import integers
from smallcaps_assets.domain.market.calendar import session_hours
from smallcaps_assets.domain.patterns.events import pattern_events
from smallcaps_assets.domain.ticks.quotes import is_firm
from smallcaps_assets.domain.ticks.tape import prepare_ticks
from smallcaps_assets.schemas.tables import FEATURE_COLUMNS, QUOTE_COLUMNS
from smallcaps_assets.settings import Settings
from smallcaps_assets_tests.domain.tick_frames import DAY, SECOND, at, halts_frame, trade, trades
from smallcaps_assets_tests.domain.ticks.test_recorded_tape import recorded_trades

HOURS = session_hours(DAY)
SETTINGS = Settings.model_validate(
    {"bars": {"dollar_imbalance_target": 5_000},
     "patterns": {"min_rise": 0.03, "min_parabolic_return": 0.02, "high_minutes": 2}}
)  # fmt: skip
HALTS = halts_frame(("10:20:00", "10:31:00"), ("11:40:00", "11:45:00"))
CURVE = np.linspace(10, 5e5, 960)
CONTEXT = SessionContext("AAME", DAY, 4.2, 4e5, 1e6, False, 3e5)


def random_trades(seed: int, count: int = 4000) -> pl.DataFrame:
    """Prints from 08:00, few in the halts; odd lots, auctions, some that don't count."""
    rng = np.random.default_rng(seed)
    times = at("08:00:00") + np.sort(rng.integers(0, 4 * 3600 * 10, count)) * (SECOND // 10)
    prices = np.round(4 * np.exp(0.002 * rng.standard_normal(count).cumsum()), 2)
    codes = [[], [], [], [37], [14], [12], [15], [2], [8, 41]]
    exchanges = [4, 12]
    rows = [
        trade(int(t), float(p), float(rng.integers(1, 900)), codes[rng.integers(len(codes))],
              exchange=exchanges[rng.integers(2)])
        for t, p in zip(times, prices, strict=True)
        if not at("10:20:00") < t < at("10:31:00")
    ]  # fmt: skip
    return trades(rows)


def random_quotes(seed: int, prints: pl.DataFrame) -> pl.DataFrame:
    """Three quotes around each print; some crossed, one-sided, without size or not firm."""
    rng = np.random.default_rng(seed)
    times = (
        np.repeat(integers(prints["sip_timestamp"]), 3)
        + rng.integers(-900, 900, 3 * len(prints)) * 10**6
    )
    times = np.sort(times)
    mids = np.repeat(prints["price"].to_numpy(), 3)
    half = np.round(rng.integers(-1, 5, times.size) / 100, 2)
    asks = np.where(rng.random(times.size) < 0.02, 0.0, mids + half)
    sizes = rng.integers(0, 9, (2, times.size)) * 100.0
    codes = [[15] if x < 0.02 else [1] for x in rng.random(times.size)]
    frame = pl.DataFrame(
        {"ticker": "AAME", "date": DAY, "sip_timestamp": times,
         "sequence_number": np.arange(times.size), "bid_price": mids - half, "bid_size": sizes[0],
         "ask_price": asks, "ask_size": sizes[1], "conditions": codes}
    )  # fmt: skip
    return frame.with_columns(pl.col("sip_timestamp").cast(pl.Datetime("ns", "UTC")))


def fed(
    scan: TickerScan, prints: pl.DataFrame, quotes: pl.DataFrame | None = None,
    halts: pl.DataFrame | None = None,
) -> list[Decision]:  # fmt: skip
    """All events in order of time: halts, quotes, prints, with the clock of a scanner."""
    events: list[tuple[int, int, tuple]] = []
    for row in prints.with_columns(pl.col("sip_timestamp").to_physical()).iter_rows(named=True):
        given = (row["sip_timestamp"], row["price"], row["size"], row["exchange"],
                 tuple(row["conditions"]), row["tape"], row["correction"])  # fmt: skip
        events.append((given[0], 2, given))
    if quotes is not None:
        for row in quotes.with_columns(pl.col("sip_timestamp").to_physical()).iter_rows(named=True):
            sides = [row[n] for n in ("bid_price", "bid_size", "ask_price", "ask_size")]
            given = (row["sip_timestamp"], *sides, tuple(row["conditions"]))
            events.append((given[0], 1, given))
    for start, end in () if halts is None else halts.select(pl.all().to_physical()).rows():
        events += [(start, 0, (start, True)), (end, 0, (end, False))]
    events.sort(key=lambda event: event[:2])
    clock, found = Scanner({"AAME": scan}), []
    for time, kind, given in events:
        found += clock.reach(time)
        if kind == 2:
            found += scan.trade(*given)
        elif kind == 1:
            scan.quote(*given)
        else:
            (scan.halt if given[1] else scan.resume)(time)
    found += clock.reach(scan.hours.close + scanner.GRACE)
    return found


def tables(prints, quotes, halts, context=CONTEXT, curve=CURVE, settings=SETTINGS):
    """Rows of the tables as dictionaries, by sample."""
    hours = session_hours(context.date)
    tape = prepare_ticks(prints, hours, settings.ticks, halts, context.ticker)
    target = settings.bars.dollar_imbalance_target
    bars = dollar_imbalance_bars(tape, settings.bars, target)
    features = bar_features(tape.ticks, bars, context, hours, tape.halts, curve)
    firm = quotes.with_columns(is_firm=is_firm(quotes["conditions"]))
    told = quote_features(tape, bars, quote_arrays(firm, hours, tape.session_end))[0]
    return features, told, pattern_events(tape, context, settings.patterns), tape


def check(found: list[Decision], features, told, patterns) -> None:
    """Every bar and every pattern, with the bits of its table's row."""
    bars = [d for d in found if d.sample == "bars"]
    assert [d.event_id for d in bars] == features["bar_id"].to_list()
    assert [d.t0 for d in bars] == features["known_at"].to_physical().to_list()
    for frame, names in ((features, (*FEATURE_COLUMNS, "halt_source")), (told, QUOTE_COLUMNS)):
        expected = frame.select(names)
        seen = pl.DataFrame([{n: d.row[n] for n in names} for d in bars], schema=expected.schema)
        assert seen.equals(expected)
    events = [d for d in found if d.sample == "patterns"]
    assert [d.t0 for d in events] == patterns["t0"].to_physical().to_list()
    assert [d.row for d in events] == patterns.to_dicts()


@pytest.mark.parametrize("room", [64, 1024])
def test_decisions_have_the_bits_of_the_tables(room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanner, "_ROOM", room)
    prints = random_trades(1)
    quotes = random_quotes(2, prints)
    features, told, patterns, tape = tables(prints, quotes, HALTS)
    assert features.height > 100 and patterns["pattern"].n_unique() > 4
    scan = TickerScan(CONTEXT, HOURS, SETTINGS, CURVE)
    check(fed(scan, prints, quotes, HALTS), features, told, patterns)
    assert scan._dropped > 1000 or room > 64
    assert scan.so_far().volume == tape.ticks["size"].sum()


def test_the_session_so_far_is_that_of_the_features() -> None:
    prints = random_trades(3, 3000)
    scan = TickerScan(CONTEXT, HOURS, SETTINGS, CURVE)
    rows = prints.with_columns(pl.col("sip_timestamp").to_physical()).iter_rows(named=True)
    closed = 0
    for row in rows:
        given = (row["sip_timestamp"], row["price"], row["size"], row["exchange"])
        for decision in scan.trade(*given, tuple(row["conditions"]), row["tape"]):
            if decision.sample == "bars":
                now, bar = scan.so_far(), decision.row
                assert now.dollars == bar["dollars_so_far"]
                assert now.relative_volume == bar["relative_volume"]
                assert now.relative_volume_at_time == bar["relative_volume_at_time"]
                assert decision.price / now.vwap - 1 == bar["distance_to_vwap"]
                assert now.last / 4.2 - 1 == pytest.approx(bar["running_return"])
                place = (decision.price - now.low) / (now.high - now.low)
                assert place == bar["day_range_position"]
                closed += 1
    assert closed > 50


def test_a_recorded_tape_without_a_feed_of_halts() -> None:
    prints = recorded_trades().head(12_000)
    day = date(2013, 10, 7)
    context = SessionContext("IBM", day, 184.1, 4e6, 8e8)
    settings = Settings.model_validate({"bars": {"dollar_imbalance_target": 2e6},
                                        "ticks": {"max_unknown_volume": 1}})  # fmt: skip
    scan = TickerScan(context, session_hours(day), settings, CURVE, has_feed=False)
    features, told, patterns, _ = tables(
        prints, random_quotes(1, prints.head(0)), None, context, CURVE, settings
    )
    assert features.height > 10
    check(fed(scan, prints), features, told, patterns)


# Odd events
T = at("10:00:00")


@pytest.fixture
def scan() -> Iterator[TickerScan]:
    """A ticker with ten prints of 100 shares, a second apart from 10:00:00, and a quote."""
    made = TickerScan(CONTEXT, HOURS, SETTINGS, CURVE)
    made.quote(T - SECOND, 4.0, 100.0, 4.02, 100.0)
    for n in range(10):
        made.trade(T + n * SECOND, 4.01, 100.0)
    return made


def test_a_late_print_is_volume_and_forms_no_price(scan: TickerScan) -> None:
    assert scan.trade(T, 9.99, 300.0) == []
    now = scan.so_far()
    assert (now.volume, now.high, now.last) == (1300.0, 4.01, 4.01)
    assert now.time == T + 9 * SECOND and scan.counts["late"] == 1
    assert scan.trade(T + 9 * SECOND, 4.05, 100.0) == []  # the same instant is not late
    assert scan.so_far().high == 4.05


def test_a_print_much_older_than_a_quote_is_late_too(scan: TickerScan) -> None:
    scan.quote(T + 120 * SECOND, 4.0, 100.0, 4.02, 100.0)
    scan.trade(T + 70 * SECOND, 4.03, 100.0)
    scan.trade(T + 30 * SECOND, 9.99, 100.0)
    assert scan.so_far().high == 4.03 and scan.counts["late"] == 1


def test_an_older_quote_has_been_replaced(scan: TickerScan) -> None:
    assert not scan.quote(T - 2 * SECOND, 3.0, 100.0, 5.0, 100.0)
    assert scan.counts["quotes late"] == 1 and scan._quotes.size == 1


@pytest.mark.parametrize("price", [math.nan, math.inf, 0.0, -1.0])
def test_what_is_no_price_is_left_out(scan: TickerScan, price: float) -> None:
    assert scan.trade(T + 60 * SECOND, price, 100.0) == []
    assert scan.so_far().volume == 1000.0 and scan.counts["left out"] == 1
    assert scan.newest == T + 9 * SECOND


@pytest.mark.parametrize(
    ("quote", "reason"),
    [((4.05, 100.0, 4.01, 100.0), "no_clean_quote_at_close"),
     ((math.nan, 100.0, 4.01, 100.0), "no_clean_quote_at_close"),
     ((4.0, 100.0, 4.02, 100.0), None)],
)  # fmt: skip
def test_a_crossed_quote_is_no_quote(
    scan: TickerScan, quote: tuple[float, ...], reason: str | None
) -> None:
    assert scan.quote(T + 10 * SECOND, *quote)
    (bar,) = scan.trade(T + 11 * SECOND, 4.2, 5000.0)
    assert bar.row["null_reason"] == reason and (bar.row["spread_last"] is None) == bool(reason)


def test_a_clock_that_goes_back_ends_no_minute() -> None:
    clock = Scanner({})
    clock.reach(T + 90 * SECOND)
    before = clock.now
    assert clock.reach(T) == [] and clock.now == before


def test_a_minute_ends_by_the_clock_and_what_comes_after_is_late(scan: TickerScan) -> None:
    clock = Scanner({"AAME": scan})
    clock.reach(T + 60 * SECOND)  # within the grace
    scan.trade(T + 59 * SECOND, 4.3, 100.0)
    assert scan.so_far().high == 4.3
    clock.reach(T + 61 * SECOND)
    scan.trade(T + 59 * SECOND, 4.5, 100.0)
    assert scan.so_far().high == 4.3 and scan.counts["late"] == 1


def test_halts_stop_and_go_on(scan: TickerScan) -> None:
    scan.resume(T)  # without a halt before
    scan.halt(T + 20 * SECOND)
    scan.halt(T + 30 * SECOND)  # already halted
    assert scan.is_halted
    scan.resume(T + 40 * SECOND)
    found = scan.trade(T + 41 * SECOND, 4.3, 100.0)
    assert [d.row["pattern"] for d in found if d.sample == "patterns"] == ["halt_resumption"]
    assert found[-1].row["halts_so_far"] == 1 and not scan.is_halted
