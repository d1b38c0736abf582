"""Bar features: hand-worked values, the absence of look-ahead, and brute-force twins."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.bars.build import dollar_imbalance_bars
from smallcaps_assets.domain.bars.features import (
    FeatureError,
    SessionContext,
    bar_features,
    session_context,
)
from smallcaps_assets.domain.ticks.tape import prepare_ticks
from smallcaps_assets.schemas.tables import FEATURE_COLUMNS, TABLES
from smallcaps_assets.settings import BarSettings, TickSettings
from smallcaps_assets_tests.domain.market_frames import DAY, frame
from smallcaps_assets_tests.domain.tape_frames import HOURS, at, cut, halts, tape, tick

CONTEXT = SessionContext("A", DAY, previous_close=10.0, mean_volume30=10_000.0)
NO_HALTS = halts()

TAPE = tape(
    tick(-3600, 10.5, 200),
    tick(-3000, 11.0, 50, is_price_forming=False),
    tick(-2400, 10.0, 100, sign=-1),  # bar 0
    tick(0, 12.0, 100, is_off_exchange=True),
    tick(30, 9.0, 300, sign=-1),  # bar 1
    tick(60, 9.5, 100),
    tick(90, 13.0, 50, is_price_forming=False),
    tick(120, 12.5, 50, sign=0),  # bar 2
)
BARS = cut(TAPE, [2, 4, 7])


def features(context: SessionContext = CONTEXT, known=NO_HALTS, ticks=TAPE, bars=BARS, curve=None):
    return bar_features(ticks, bars, context, HOURS, known, curve)


def column(name: str, **inputs) -> list:
    return features(**inputs)[name].to_list()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("known_at", [at(-2400), at(30), at(120)]),
        ("bar_return", [None, math.log(9 / 10), math.log(12.5 / 9)]),
        ("return_5", [None] * 3),
        ("return_1m", [math.log(10 / 10.5), math.log(9 / 10), math.log(12.5 / 9.5)]),
        ("return_5m", [math.log(10 / 10.5), math.log(9 / 10), math.log(12.5 / 10)]),
        ("imbalance_ratio", [150 / 350, -200 / 400, 150 / 200]),
        ("imbalance_ratio_5", [None] * 3),
        ("theta_ratio", [(2100 + 550 - 1000) / 5e4, (1200 - 2700) / 5e4, (950 + 650) / 5e4]),
        ("duration_seconds", [1200.0, 2430.0, 90.0]),
        ("ticks_per_second", [3 / 1200, 2 / 2430, 3 / 90]),
        ("mean_trade_size", [350 / 3, 200.0, 200 / 3]),
        ("odd_lot_share", [1 / 3, 0.0, 2 / 3]),
        ("off_exchange_share", [0.0, 0.25, 0.0]),
        (
            "distance_to_vwap",
            [10 / (3650 / 350) - 1, 9 / (7550 / 750) - 1, 12.5 / (9775 / 950) - 1],
        ),
        ("distance_to_premarket_high", [10 / 10.5 - 1, 9 / 10.5 - 1, 12.5 / 10.5 - 1]),
        ("running_return", [0.0, -0.1, 0.25]),
        ("return_from_open", [None, 9 / 12 - 1, 12.5 / 12 - 1]),
        ("gap", [None, 0.2, 0.2]),
        ("range_expansion", [None] * 3),
        ("day_range_position", [0.0, 0.0, 1.0]),
        ("is_high_of_day_break", [False, True, True]),
        ("relative_volume", [0.035, 0.075, 0.095]),
        ("dollars_so_far", [3650.0, 7550.0, 9775.0]),
        ("minutes_from_open", [-40.0, 0.5, 2.0]),
        ("is_premarket", [True, False, False]),
        ("is_ssr", [False, True, True]),
        ("halts_so_far", [0, 0, 0]),
    ],
)
def test_bar_features_given_a_small_tape_has_hand_worked_values(name, expected):
    values = column(name)
    if any(isinstance(e, float) for e in expected):
        assert values == [None if e is None else pytest.approx(e) for e in expected]
    else:
        assert values == expected


def test_bar_features_fills_every_column_of_the_contract():
    prices = [10 + 0.1 * (n % 7) for n in range(120)]
    ticks = tape(*(tick(n * 20 - 60, p) for n, p in enumerate(prices)))
    curve = np.linspace(1.0, 960.0, 960)
    result = features(ticks=ticks, bars=cut(ticks, list(range(2, 120, 3))), curve=curve)
    nulls = result[-1].select(FEATURE_COLUMNS).null_count().row(0)
    assert nulls == (0,) * len(FEATURE_COLUMNS)


def test_bar_features_given_unknown_context_leaves_its_features_null():
    row = features(SessionContext("A", DAY)).row(-1, named=True)
    names = ("running_return", "gap", "relative_volume")
    assert [row[name] for name in names] == [None] * 3
    assert row["is_ssr"] is False


def test_bar_features_given_carried_restriction_holds_from_the_first_bar():
    assert column("is_ssr", context=SessionContext("A", DAY, is_ssr_carried=True)) == [True] * 3


def test_bar_features_short_sale_restriction_needs_a_regular_print():
    ticks = tape(tick(-60, 9.0), tick(1, 9.01), tick(2, 9.0, is_price_forming=False), tick(3, 9.0))
    assert column("is_ssr", ticks=ticks, bars=cut(ticks, [0, 1, 2, 3])) == [
        False,
        False,
        False,
        True,
    ]


def test_bar_features_counts_halts_once_they_are_known():
    assert column("halts_so_far", known=halts(-2400, 120, 120.001)) == [1, 1, 2]


def test_bar_features_given_partial_bars_uses_them_as_path_only():
    bars = cut(TAPE, [2, 4, 7], {1: "halt", 2: "threshold"})
    result = features(bars=bars)
    assert result["bar_id"].to_list() == [0, 2]
    assert result["bar_return"].to_list() == [None, pytest.approx(math.log(12.5 / 9))]
    session = cut(TAPE, [2, 4, 7], {2: "session"})
    assert_frame_equal(features(bars=session), features()[:2])


def test_bar_features_given_no_bars_is_empty():
    assert features(bars=BARS[:0]).equals(TABLES["bar_features"].empty())


def test_bar_features_given_bars_of_another_tape_raises():
    with pytest.raises(FeatureError, match="end at tick 7, the tape has 5"):
        features(ticks=TAPE[:5])


def test_bar_features_given_one_tick_bars_has_no_rate_without_time():
    ticks = tape(tick(1, 10), tick(1, 11), tick(2, 11))
    result = features(ticks=ticks, bars=cut(ticks, [0, 1, 2]))
    assert result["ticks_per_second"].to_list() == [None, None, 1.0]
    assert result["day_range_position"].to_list() == [None, 1.0, 1.0]
    assert result["distance_to_premarket_high"].to_list() == [None] * 3


# windows of bars ---------------------------------------------------------------------------------
CLOSES = [10, 10.2, 10.1, 10.4, 10.0, 10.3, 10.1, 10.5, 10.2, 10.6, 10.1, 10.2] * 3


def zigzag() -> pl.DataFrame:
    rows = []
    for n, close in enumerate(CLOSES):
        rows += [
            tick(n * 10, close + 0.05 * (1 + n % 3)),
            tick(n * 10 + 5, close, 100 + n, sign=-1),
        ]
    ticks = tape(*rows)
    return features(ticks=ticks, bars=cut(ticks, list(range(1, len(rows), 2))))


def test_bar_features_roll_spread_is_twice_the_root_of_the_negative_covariance():
    spread = zigzag()["spread_roll"].to_list()
    assert spread[:19] == [None] * 19
    changes = np.diff(np.array(CLOSES[10:30]))
    covariance = np.cov(changes[1:], changes[:-1])[0, 1]
    assert covariance < 0
    assert spread[29] == pytest.approx(2 * math.sqrt(-covariance) / CLOSES[29])


def test_bar_features_roll_spread_given_trending_prices_is_zero():
    ticks = tape(*(tick(n, 10 + 0.01 * n * n) for n in range(25)))
    spread = column("spread_roll", ticks=ticks, bars=cut(ticks, list(range(25))))
    assert spread[19:] == [0.0] * 6


def test_bar_features_volatility_is_the_ewma_deviation_of_bar_returns():
    result = zigzag()
    returns = np.diff(np.log(CLOSES))[:8]
    weights = (1 - 2 / 21) ** np.arange(7, -1, -1)
    mean = np.average(returns, weights=weights)
    variance = np.average((returns - mean) ** 2, weights=weights)
    bias = 1 - (weights**2).sum() / weights.sum() ** 2
    assert result["volatility"][:2].to_list() == [None, None]
    assert result["volatility"][8] == pytest.approx(math.sqrt(variance / bias))


def test_bar_features_windows_of_five_and_twenty_bars():
    result = zigzag()
    assert result["return_5"][:5].null_count() == 5
    assert result["return_5"][5] == pytest.approx(math.log(CLOSES[5] / CLOSES[0]))
    buys, sells = 500, sum(100 + n for n in range(5))
    assert result["imbalance_ratio_5"][3] is None
    assert result["imbalance_ratio_5"][4] == pytest.approx((buys - sells) / (buys + sells))
    ranges = [0.05 * (1 + n % 3) for n in range(21)]
    assert result["range_expansion"][19] is None
    assert result["range_expansion"][20] == pytest.approx(ranges[20] / np.mean(ranges[:20]))


def test_bar_features_corwin_schultz_of_two_bars():
    ticks = tape(tick(0, 10.2), tick(1, 10.0), tick(2, 10.3), tick(3, 10.05))
    result = column("spread_high_low", ticks=ticks, bars=cut(ticks, [1, 3]))
    beta = math.log(10.2 / 10.0) ** 2 + math.log(10.3 / 10.05) ** 2
    gamma = math.log(10.3 / 10.0) ** 2
    k = 3 - 2 * math.sqrt(2)
    alpha = (math.sqrt(2 * beta) - math.sqrt(beta)) / k - math.sqrt(gamma / k)
    assert result == [None, pytest.approx(2 * (math.exp(alpha) - 1) / (1 + math.exp(alpha)))]
    assert result[1] > 0
    apart = tape(tick(0, 10.2), tick(1, 10.0), tick(2, 13.0), tick(3, 12.9))
    assert column("spread_high_low", ticks=apart, bars=cut(apart, [1, 3])) == [None, 0.0]


# no look-ahead, and twins ------------------------------------------------------------------------
ticks_strategy = st.lists(
    st.tuples(
        st.integers(0, 90),
        st.sampled_from([8.0, 8.9, 9.0, 10.0, 10.1, 10.5, 12.0]),
        st.sampled_from([1.0, 50.0, 100.0, 400.0]),
        st.booleans(),
        st.booleans(),
        st.sampled_from([-1, 0, 1]),
    ),
    min_size=2,
    max_size=70,
)


def random_tape(rows: list[tuple]) -> pl.DataFrame:
    seconds, made = -600, []
    for gap, price, size, forming, off_exchange, sign in rows:
        seconds += gap
        flags = {"is_price_forming": forming, "is_off_exchange": off_exchange, "sign": sign}
        made.append(tick(seconds, price, size, **flags))
    return tape(*made)


def random_cuts(data: st.DataObject, count: int) -> list[int]:
    places = st.sets(st.integers(0, count - 1), min_size=1, max_size=count)
    return sorted(data.draw(places))


@settings(max_examples=60, deadline=None)
@given(rows=ticks_strategy, data=st.data())
def test_bar_features_given_the_tape_cut_after_a_bar_are_the_same(rows, data):
    ticks = random_tape(rows)
    lasts = random_cuts(data, len(rows))
    kinds = st.sampled_from(["threshold", "threshold", "halt"])
    reasons = {n: data.draw(kinds) for n in range(len(lasts))}
    known = halts(*data.draw(st.lists(st.integers(-600, 3000), max_size=3)))
    bars = cut(ticks, lasts, reasons)
    whole = features(ticks=ticks, bars=bars, known=known)
    seen = data.draw(st.integers(0, len(lasts) - 1))
    until = bars["close_timestamp"][seen]
    part = features(
        ticks=ticks[: lasts[seen] + 1],
        bars=bars[: seen + 1],
        known=known.filter(pl.col("known_at") <= until),
    )
    assert_frame_equal(part, whole.filter(pl.col("bar_id") <= seen), check_exact=True)


@settings(max_examples=60, deadline=None)
@given(rows=ticks_strategy, data=st.data())
def test_bar_features_running_figures_equal_a_plain_scan(rows, data):
    ticks = random_tape(rows)
    lasts = random_cuts(data, len(rows))
    result = features(ticks=ticks, bars=cut(ticks, lasts))
    firsts = [0, *(last + 1 for last in lasts[:-1])]
    for row, first, last in zip(result.iter_rows(named=True), firsts, lasts, strict=True):
        assert_row_equals_scan(row, ticks.to_dicts(), first, last)


def assert_row_equals_scan(row: dict, ticks: list[dict], first: int, last: int) -> None:
    so_far, bar = ticks[: last + 1], ticks[first : last + 1]
    forming = [t for t in so_far if t["is_price_forming"]]
    prices = [t["price"] for t in forming]
    regular = [t["price"] for t in forming if t["segment"] == "regular"]
    premarket = [t["price"] for t in forming if t["segment"] == "premarket"]
    before = [t["price"] for t in ticks[:first] if t["is_price_forming"]]
    close = prices[-1] if prices else ticks[0]["price"]
    volume = sum(t["size"] for t in so_far)
    dollars = sum(t["size"] * t["price"] for t in so_far)
    minute_ago = [
        t["price"]
        for t in forming
        if (so_far[-1]["sip_timestamp"] - t["sip_timestamp"]).total_seconds() >= 60
    ]
    expected = {
        "dollars_so_far": dollars,
        "distance_to_vwap": close / (dollars / volume) - 1,
        "relative_volume": volume / 10_000,
        "distance_to_premarket_high": close / max(premarket) - 1 if premarket else None,
        "return_from_open": close / regular[0] - 1 if regular else None,
        "gap": regular[0] / 10 - 1 if regular else None,
        "is_ssr": bool(regular) and min(regular) <= 9.0,
        "is_high_of_day_break": bool(before) and max(prices) > max(before),
        "odd_lot_share": sum(t["size"] < 100 for t in bar) / len(bar),
        "return_1m": math.log(close / minute_ago[-1]) if minute_ago else None,
    }
    for name, value in expected.items():
        assert row[name] == (None if value is None else pytest.approx(value, abs=1e-12)), name


@settings(max_examples=25, deadline=None)
@given(rows=ticks_strategy, data=st.data())
def test_bar_features_through_the_whole_chain_ignore_later_trades(rows, data):
    """Ticks, halts and bars rebuilt from the trades up to a bar give the same features."""
    trades = random_trades(rows)
    whole, bars = chain(trades)
    if whole.is_empty():
        return
    seen = data.draw(st.sampled_from(whole["bar_id"].to_list()))
    last = bars.filter(pl.col("bar_id") == seen)["last_tick"].item()
    part, _ = chain(trades[: last + 1])
    assert_frame_equal(part, whole.filter(pl.col("bar_id") <= seen), check_exact=True)


def random_trades(rows: list[tuple]) -> pl.DataFrame:
    seconds, made = -600, []
    for n, (gap, price, size, forming, off_exchange, _) in enumerate(rows):
        seconds += gap
        made.append(
            {
                "sip_timestamp": at(seconds),
                "sequence_number": n,
                "exchange": 4 if off_exchange else 11,
                "id": str(n),
                "price": price,
                "size": size,
                "conditions": [12] if seconds < 0 else [] if forming else [37],
            }
        )
    return frame("trades", made, ticker="A", date=DAY, trf_id=0, correction=0, tape=3)


def chain(trades: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    quick = TickSettings(halt_silence_seconds=60, halt_prior_prints=3)
    made = prepare_ticks(trades, HOURS, quick)
    bars = dollar_imbalance_bars(made, BarSettings(dollar_imbalance_target=1500))
    return bar_features(made.ticks, bars, CONTEXT, HOURS, made.halts), bars


# context -----------------------------------------------------------------------------------------
def test_session_context_takes_only_what_was_known_before_the_session():
    row = {
        "previous_close": 3.0,
        "mean_volume30": 5.0,
        "median_dollar_volume20": 7.0,
        "is_ssr_carried": True,
        "close": 99.0,
        "rvol30": 9.0,
    }
    assert session_context("A", DAY, row) == SessionContext("A", DAY, 3.0, 5.0, 7.0, True)
    assert session_context("A", DAY, None) == SessionContext("A", DAY)


def test_bar_features_add_up_in_the_order_of_the_bars():
    """From the newest before to the oldest, which another order of sums would show."""
    heights = [0.1, 0.7, 1e-3, 0.3, 1e9, 0.2, 0.1] * 3
    ticks = tape(*(tick(k, 1.0 + (k % 2) * heights[k // 2]) for k in range(2 * len(heights))))
    bars = cut(ticks, list(range(1, ticks.height, 2)))
    ranges = (bars["high"] - bars["low"]).to_list()
    mean = 0.0
    for value in reversed(ranges[:20]):
        mean += value
    found = column("range_expansion", ticks=ticks, bars=bars)
    assert found == [None] * 20 + [ranges[20] / (mean / 20)]
