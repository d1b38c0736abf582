"""Quotes: widths, depth, and what they tell of the mid; estimates, no real quotes were at hand."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import numpy as np
import pytest

from smallcaps_assets.sandbox import SandboxConfig, SimulatedMarket
from smallcaps_assets.sandbox.simulation import quotes as q
from smallcaps_assets.sandbox.simulation import tape as t

DAYS = 16
SPAN = {"tickers": 60, "start": date(2024, 10, 1), "end": date(2024, 11, 15), "pump_days": 60}


@pytest.fixture(scope="module", params=["simulated", "placebo"])
def market(request: pytest.FixtureRequest) -> SimulatedMarket:
    return SimulatedMarket(SandboxConfig(kind=request.param, season=34, **SPAN))


def _wild(market: SimulatedMarket) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(quotes, tape, hours) of some wild ticker-sessions."""
    by_number = {listing.number: listing for listing in market.listings}
    for number, s in list(market.wild_days)[:DAYS]:
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
        plain = np.isin(tape[t.CODE], (0, 1, 2, 3)) & (tape[t.CORRECTION] == 0)
        place = np.searchsorted(sip, tape[t.SIP][plain], side="left") - 1
        price = tape[t.PRICE][plain]
        above = np.where(ask[place] > 0, ask[place], price)
        inside.append(((price >= bid[place]) & (price <= above)).mean())
    assert 0.95 <= np.mean(inside) <= 0.985


def test_mid_after_a_print_lies_at_its_price_on_average(market: SimulatedMarket) -> None:
    for rows, tape, _ in list(_wild(market))[:4]:
        bid, ask = rows[q.Q_BID], rows[q.Q_ASK]
        clean = (bid > 0) & (ask > bid)
        at, mid = rows[q.Q_SIP][clean], (bid[clean] + ask[clean]) / 2
        plain = (tape[t.CODE] < 4) & (tape[t.CORRECTION] == 0)
        sip, price = tape[t.SIP][plain][1:], tape[t.PRICE][plain][1:]
        before = mid[np.searchsorted(at, sip, side="left") - 1]
        after = mid[np.searchsorted(at, sip, side="right") - 1]
        side = np.sign(price - before)
        moved = (side * (after - before))[side != 0].mean()
        assert (side * (after - price))[side != 0].mean() == pytest.approx(0.0, abs=0.1 * moved)


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


def test_busy_ticker_sessions_of_the_default_market_are_few() -> None:
    assert len(SimulatedMarket(SandboxConfig()).facts.busy_quotes) <= 60
