"""Quotes: widths, depth, and what they tell of the mid; estimates, no real quotes were at hand."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import numpy as np
import pytest

from smallcaps_assets.sandbox import SandboxConfig, SimulatedMarket
from smallcaps_assets.sandbox.simulation import conditions as c
from smallcaps_assets.sandbox.simulation import quotes as q
from smallcaps_assets.sandbox.simulation import tape as t

DAYS = 16
FLOW, IMBALANCE = 0.046, 0.060  # correlations with the next minute's move, as documented
SPAN = {"tickers": 60, "start": date(2024, 10, 1), "end": date(2024, 11, 15), "pump_days": 60}


@pytest.fixture(scope="module", params=["simulated", "placebo"])
def market(request: pytest.FixtureRequest) -> SimulatedMarket:
    return SimulatedMarket(SandboxConfig(kind=request.param, season=34, **SPAN))


def _wild(
    market: SimulatedMarket, days: int = DAYS
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(quotes, tape, hours) of some wild ticker-sessions."""
    by_number = {listing.number: listing for listing in market.listings}
    for number, s in list(market.wild_days)[:days]:
        listing, day = by_number[number], market.sessions[s]
        rows = market.quote_rows(listing.ticker_on(day) or "", day)
        yield rows, market.tape(listing, day), market.hours(day)


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])


def test_spreads_are_some_ticks_and_wider_before_the_open(market: SimulatedMarket) -> None:
    ratios = []
    for rows, _, hours in _wild(market):
        sip, bid, ask = rows[q.Q_SIP], rows[q.Q_BID], rows[q.Q_ASK]
        width, mid, lasts = ask - bid, (ask + bid) / 2, np.diff(np.append(sip, hours[3]))
        clean = (bid > 0) & (width > 0)
        regular, early = clean & (sip >= hours[1]) & (sip < hours[2]), clean & (sip < hours[1])
        usual = _weighted_median(width[regular], lasts[regular])
        price = float(np.median(mid[regular]))
        if mid[regular].min() > 11_000 and mid[regular].max() < 50_000:
            assert 100 <= usual <= 300
        if mid[regular].min() > 20_000:
            assert usual / price <= 0.015
        if early.sum() > 100:
            ratios.append(_weighted_median(width[early], lasts[early]) / usual)
    assert 1.9 <= np.median(ratios) <= 5.0


def test_states_without_a_market_are_rare_and_prints_lie_inside(market: SimulatedMarket) -> None:
    inside = []
    for rows, tape, hours in _wild(market):
        sip, bid, ask = rows[q.Q_SIP], rows[q.Q_BID], rows[q.Q_ASK]
        assert (np.diff(sip) >= 0).all()
        lasts = np.diff(np.append(sip, hours[3])) * ((sip >= hours[1]) & (sip < hours[2]))
        whole, two = lasts.sum(), (bid > 0) & (ask > 0)
        assert lasts[two & (bid > ask)].sum() <= 0.001 * whole
        assert lasts[two & (bid == ask)].sum() <= 0.01 * whole
        assert lasts[~two].sum() <= 0.005 * whole
        plain = np.isin(tape[c.CODE], (0, 1, 2, 3)) & (tape[c.CORRECTION] == 0)
        place = np.searchsorted(sip, tape[c.SIP][plain], side="left") - 1
        price = tape[c.PRICE][plain]
        above = np.where(ask[place] > 0, ask[place], price)
        inside.append(((price >= bid[place]) & (price <= above)).mean())
    assert 0.95 <= np.mean(inside) <= 0.985


def test_mid_after_a_print_lies_at_its_price_on_average(market: SimulatedMarket) -> None:
    regrets = []
    for rows, tape, _ in _wild(market):
        bid, ask = rows[q.Q_BID], rows[q.Q_ASK]
        clean = (bid > 0) & (ask > bid)
        at, mid = rows[q.Q_SIP][clean], (bid[clean] + ask[clean]) / 2
        plain = (tape[c.CODE] < 4) & (tape[c.CORRECTION] == 0)
        sip, price = tape[c.SIP][plain][1:], tape[c.PRICE][plain][1:]
        before = mid[np.searchsorted(at, sip, side="left") - 1]
        after = mid[np.searchsorted(at, sip, side="right") - 1]
        side = np.sign(price - before)
        moved = (side * (after - before))[side != 0].mean()
        regrets.append((side * (after - price))[side != 0].mean() / moved)
    assert np.mean(regrets) == pytest.approx(0.0, abs=0.1)


def _flows(rows: np.ndarray, hours: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each minute but the last: order-flow imbalance, mean imbalance, the next one's move.

    The first and the last are in deviations of the 15 minutes so far.
    """
    keep = (rows[q.Q_BID] > 0) & (rows[q.Q_ASK] >= rows[q.Q_BID])
    keep &= (rows[q.Q_SIP] >= hours[1]) & (rows[q.Q_SIP] < hours[2])
    at, bid, ask, bids, asks = rows[:5, keep].astype(float)
    flow = (bid[1:] >= bid[:-1]) * bids[1:] - (bid[1:] <= bid[:-1]) * bids[:-1]
    flow += (ask[1:] >= ask[:-1]) * asks[:-1] - (ask[1:] <= ask[:-1]) * asks[1:]
    minute = ((at[1:] - hours[1]) // t.MINUTE).astype(int)
    counts, total = (np.bincount(minute, w, minlength=390) for w in (None, flow))
    lean = np.bincount(minute, ((bids - asks) / (bids + asks))[1:], minlength=390)
    ends = np.searchsorted(at, hours[1] + np.arange(1, 391) * t.MINUTE, side="left") - 1
    moves = np.diff(np.log((bid + ask)[np.maximum(ends, 0)]))
    sums = (np.convolve(x * x, np.ones(15))[: len(x)] for x in (total, np.append(0.0, moves)))
    widths = [np.sqrt(x / 15)[:-1] + 1e-9 for x in sums]
    used = (counts[:-1] >= 5) & (ends[:-1] >= 0) & (np.arange(389) >= 15) & (widths[1] > 1e-4)
    lean = (lean / np.maximum(counts, 1))[:-1]
    return (total[:-1] / widths[0])[used], lean[used], (moves / widths[1])[used]


def test_flow_foretells_the_next_move_only_with_an_edge(market: SimulatedMarket) -> None:
    """From the end of a minute on, so that no print of it is still to move the mid."""
    found = []
    for rows, _, hours in _wild(market, 60):
        flow, lean, moves = _flows(rows, hours)
        norms = [np.sqrt((x * x).mean()) for x in (flow, lean, moves)]
        found.append(
            [(x * moves).mean() / (n * norms[2]) for x, n in zip((flow, lean), norms, strict=False)]
        )
    means, errors = np.mean(found, axis=0), np.std(found, axis=0) / np.sqrt(len(found))
    if market.config.kind == "placebo":
        assert (np.abs(np.median(found, axis=0)) < 2.5 * 1.25 * errors).all()
    else:
        assert means[0] == pytest.approx(FLOW, abs=0.03) and means[0] > 3 * errors[0]
        assert means[1] == pytest.approx(IMBALANCE, abs=0.03) and means[1] > 3 * errors[1]


def test_depth_thins_when_prices_move(market: SimulatedMarket) -> None:
    shares = []
    for rows, _, hours in _wild(market):
        sip, bid, ask = rows[q.Q_SIP], rows[q.Q_BID], rows[q.Q_ASK]
        keep = (bid > 0) & (ask > 0) & (sip >= hours[1]) & (sip < hours[2])
        minute = (sip[keep] - hours[1]) // t.MINUTE
        mid, depth = (bid + ask)[keep] / 2, (rows[q.Q_BID_LOTS] + rows[q.Q_ASK_LOTS])[keep]
        counts = np.bincount(minute, minlength=390)
        last = np.searchsorted(minute, np.arange(len(counts)), side="right") - 1
        moves = np.abs(np.diff(np.log(mid[np.maximum(last, 0)])))
        mean = (np.bincount(minute, weights=depth, minlength=390) / np.maximum(counts, 1))[1:]
        quoted = counts[1:] > 0
        calm = moves <= np.median(moves[quoted])
        shares.append(mean[quoted & ~calm].mean() / mean[quoted & calm].mean())
    assert np.median(shares) < 1.0
