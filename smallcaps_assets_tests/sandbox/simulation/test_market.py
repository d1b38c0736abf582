"""The simulated market as data: determinism, sums, listings, kinds of days."""

from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from smallcaps_assets.domain.market.calendar import session_hours
from smallcaps_assets.domain.market.metrics import daily_metrics, session_summary
from smallcaps_assets.sandbox import Sandbox, SandboxConfig, SimulatedMarket
from smallcaps_assets.sandbox.server.flatfiles import parse_key
from smallcaps_assets.sandbox.server.routes_actions import new_dividends
from smallcaps_assets.sandbox.simulation import tape as t
from smallcaps_assets.sandbox.simulation.facts import SimulatedFacts
from smallcaps_assets.sandbox.simulation.plan import Kind
from smallcaps_assets.schemas import TABLES
from smallcaps_assets.schemas.table import INSTANT
from smallcaps_assets.settings import MetricsSettings
from smallcaps_assets_tests.another_process import printed
from smallcaps_assets_tests.sandbox.conftest import halts_of

SMALL = SandboxConfig(
    tickers=30, start=date(2024, 11, 1), end=date(2024, 12, 6), season=25, pump_days=4
)
_PRINT = """
from datetime import date
from smallcaps_assets_tests.sandbox.simulation.test_market import SMALL, fingerprint
from smallcaps_assets.sandbox import SimulatedMarket
import sys
sys.stdout.write(fingerprint(SimulatedMarket(SMALL)))
"""


def fingerprint(market: SimulatedMarket) -> str:
    """A hash over a session's trades and everybody's daily and minute bars."""
    digest = hashlib.sha256()
    for day in (market.sessions[-1], market.sessions[3]):
        for frame in (market.session_trades(day), market.minute_bars(day), market.daily_bars(day)):
            digest.update(frame.write_csv().encode())
    return digest.hexdigest()


def _wild(market: SimulatedMarket, kind: Kind) -> list[tuple[str, date]]:
    by_number = {listing.number: listing for listing in market.listings}
    days = [
        (by_number[n], market.sessions[s]) for (n, s), k in market.wild_days.items() if k == kind
    ]
    return [(listing.ticker_on(day) or "", day) for listing, day in days]


def test_market_given_the_same_config_is_equal_in_another_process() -> None:
    assert printed(_PRINT) == fingerprint(SimulatedMarket(SMALL))


def test_tape_printed_alone_equals_the_tape_inside_the_chain() -> None:
    market, again = SimulatedMarket(SMALL), SimulatedMarket(SMALL)
    ticker, day = _wild(market, Kind.GAP)[0]
    market.daily_bars(day)
    assert market.trades(ticker, day).equals(again.trades(ticker, day))
    assert market.trades(ticker, day).height > 5_000


def test_default_market_has_enough_wild_days(market: SimulatedMarket) -> None:
    assert len(market.sessions) == 70
    trades = [
        market.trades(ticker, day).height for kind in Kind for ticker, day in _wild(market, kind)
    ]
    assert 140 <= len(trades) <= 170
    assert 2_000_000 < sum(trades) < 3_500_000
    assert max(trades) > 60_000


def _daily(market: SimulatedMarket) -> pl.DataFrame:
    """Daily bars with the close before, `change`, and volume over its mean of 20 sessions."""
    bars = pl.concat([market.daily_bars(d).with_columns(day=pl.lit(d)) for d in market.sessions])
    bars = bars.sort("ticker", "day")
    before = pl.col("close").shift(1).over("ticker")
    mean = pl.col("volume").rolling_mean(20).shift(1).over("ticker")
    return bars.with_columns(
        before=before, change=pl.col("close") / before - 1, rvol=pl.col("volume") / mean
    )


def _on(bars: pl.DataFrame, keys: list[tuple[str, date]]) -> pl.DataFrame:
    return bars.join(
        pl.DataFrame(keys, schema=["ticker", "day"], orient="row"), on=["ticker", "day"]
    )


def test_wild_days_end_on_both_sides_and_some_hold(market: SimulatedMarket) -> None:
    bars = _daily(market)
    for kind in Kind:
        changes = _on(bars, _wild(market, kind))["change"].to_numpy()
        assert 0.1 < (changes >= 0.15).mean() < 0.9, kind
        assert (changes < 0.0).mean() > 0.05, kind


def test_gaps_reach_from_a_fifth_to_three_times_with_busy_premarkets(
    market: SimulatedMarket,
) -> None:
    gaps, shares = [], []
    bars = _daily(market)
    for ticker, day in _wild(market, Kind.GAP):
        trades, hours = market.trades(ticker, day), market.hours(day)
        early = trades.filter(pl.col("sip_timestamp") < int(hours[1]))
        opening = trades.filter(pl.col("conditions") == "9,25")["price"][0]
        before = _on(bars, [(ticker, day)])["before"][0]
        gaps.append(opening / before - 1)
        shares.append(early["size"].to_numpy().sum() / trades["size"].to_numpy().sum())
    large = np.array(gaps) > 0.6
    assert (np.array(gaps) > 0.15).mean() > 0.6
    assert max(gaps) > 1.0 and large.sum() > 5
    assert 0.08 < np.median(np.array(shares)[large]) < 0.4


def test_busy_ticker_sessions_of_the_default_market_are_few(market: SimulatedMarket) -> None:
    assert market.config == SandboxConfig()
    assert isinstance(market.facts, SimulatedFacts)
    busy = market.facts.busy_quotes
    assert 0 < len(busy) <= 60 and len(set(busy)) == len(busy)
    assert min(market.quote_rows(*place).shape[1] for place in busy[:3]) >= 100_000


def test_day_after_a_wild_day_is_still_busy(market: SimulatedMarket) -> None:
    days = market.sessions
    after = [
        (ticker, days[days.index(day) + 1])
        for kind in Kind
        for ticker, day in _wild(market, kind)
        if day < days[-1]
    ]
    ratios = _on(_daily(market), after)["rvol"].drop_nulls().to_numpy()
    assert np.quantile(ratios, 0.25) < 3.0 < np.quantile(ratios, 0.75)
    assert ((ratios > 2) & (ratios < 10)).mean() > 0.35


def test_what_follows_a_wild_day_fades_within_two_sessions(market: SimulatedMarket) -> None:
    """Volume above the usual, as a share of that of the day itself: its half-life is below two."""
    bars = _daily(market).with_columns(
        pl.col("rvol").shift(-k).over("ticker").alias(f"after_{k}") for k in (1, 2, 4)
    )
    wild = _on(bars, [key for kind in Kind for key in _wild(market, kind)])
    shares = [
        wild.select(((pl.col(f"after_{k}") - 1) / (pl.col("rvol") - 1)).median()).item()
        for k in (1, 2, 4)
    ]
    assert 0.08 < shares[0] < 0.5 and shares[1] < shares[0]
    assert shares[1] < 0.25 and shares[2] < 0.05


def test_gaps_are_given_back_in_part_over_the_next_sessions(market: SimulatedMarket) -> None:
    bars = _daily(market).with_columns(later=pl.col("close").shift(-5).over("ticker"))
    gaps = _on(bars, _wild(market, Kind.GAP)).drop_nulls("later")
    up = gaps.filter(pl.col("open") > 1.2 * pl.col("before"))
    back = up.select((pl.col("later") / pl.col("close") - 1).median()).item()
    assert up.height > 20 and -0.6 < back < -0.1


def test_some_days_of_a_session_are_large_movers(market: SimulatedMarket) -> None:
    """Those that the default rules would select by their close: 15 % and 5 million dollars."""
    bars = _daily(market).filter(pl.col("before").is_not_null())
    is_large = (pl.col("change").abs() >= 0.15) & (pl.col("vwap") * pl.col("volume") >= 5e6)
    counts = bars.group_by("day").agg(is_large.sum().alias("large"), pl.len().alias("all"))
    share = counts["large"].to_numpy().sum() / counts["all"].to_numpy().sum()
    assert 0.008 < share < 0.035
    assert (counts["large"] > 0).mean() > 0.5 and counts["large"].max() <= 12  # pyright: ignore


def test_shorts_sell_less_where_rule_201_is_in_force(market: SimulatedMarket) -> None:
    """From a fall of 10 % below the close before on, and on the next session."""
    bars = _daily(market).with_columns(is_fallen=pl.col("low") <= 0.9 * pl.col("before"))
    bars = bars.with_columns(
        is_restricted=pl.col("is_fallen") | pl.col("is_fallen").shift(1).over("ticker")
    )
    parts = [market.short_volume(day) for day in market.sessions]
    short = pl.concat(
        [
            part.select(
                pl.lit(day).alias("day"), "Symbol", pl.col("ShortVolume") / pl.col("TotalVolume")
            )
            for day, part in zip(market.sessions, parts, strict=True)
            if part is not None
        ]
    )
    calm = bars.join(short, left_on=["day", "ticker"], right_on=["day", "Symbol"]).filter(
        pl.col("change") <= 0
    )
    means = dict(calm.group_by("is_restricted").agg(pl.col("ShortVolume").mean()).iter_rows())
    assert means[True] / means[False] == pytest.approx(0.65, abs=0.05)


def test_market_moves_as_one_a_little(market: SimulatedMarket) -> None:
    changes = _daily(market).pivot("ticker", index="day", values="change").drop("day")
    usual = changes.select(pl.when(pl.all().abs() < 0.1).then(pl.all()))
    full = usual.select([c.name for c in usual if c.null_count() < 5]).to_numpy().astype(float)
    assert full.shape[1] > 60
    with np.errstate(invalid="ignore"):
        pairs = np.ma.corrcoef(np.ma.masked_invalid(full), rowvar=False)
    above = np.triu_indices(full.shape[1], 1)
    assert 0.05 < np.ma.median(pairs[above]) < 0.15
    worst = np.sort(np.nanmedian(full[1:], axis=1))
    assert worst[0] < -0.015


def test_daily_volume_is_at_least_minutes_at_least_eligible_trades(market: SimulatedMarket) -> None:
    for day in (market.sessions[20], date(2024, 11, 29)):
        daily = market.daily_bars(day).select("ticker", "volume", "high", "low")
        minutes = market.minute_bars(day).group_by("ticker").agg(pl.col("volume").sum())
        trades = market.session_trades(day)
        plain = trades.filter(
            (pl.col("correction") == 0)
            & (
                pl.col("conditions").is_null()
                | pl.col("conditions").is_in(["14,41", "8,9", "9,25"])
            )
        )
        eligible = plain.group_by("ticker").agg(pl.col("size").sum(), pl.col("price").max())
        sums = daily.join(minutes, on="ticker", how="left", suffix="_minutes")
        sums = sums.join(eligible, on="ticker", how="left")
        assert (sums["volume"] >= sums["volume_minutes"]).all()
        assert (sums["volume_minutes"] >= sums["size"]).all()
        assert (sums["high"] >= sums["price"]).all()


def test_tape_is_ordered_and_inside_the_session(market: SimulatedMarket) -> None:
    ticker, day = _wild(market, Kind.GAP)[0]
    trades, hours = market.trades(ticker, day), session_hours(day)
    keys = trades.select("sip_timestamp", "sequence_number")
    assert keys.equals(keys.sort("sip_timestamp", "sequence_number"))
    assert trades["sequence_number"].is_unique().all() and trades["id"].is_unique().all()
    assert trades["sip_timestamp"].is_between(hours.premarket_open, hours.postmarket_close).all()
    assert (trades["participant_timestamp"] < trades["sip_timestamp"]).all()
    off = trades.filter(pl.col("exchange") == 4)
    late = (off["sip_timestamp"] - off["participant_timestamp"]).max()
    assert off["trf_timestamp"].null_count() == 0 and late > 5_000_000_000  # pyright: ignore
    outside = trades.filter(pl.col("sip_timestamp") < hours.open)["conditions"]
    assert outside.str.contains("12").all()


def test_crosses_print_once_and_the_close_after_the_bell(market: SimulatedMarket) -> None:
    ticker, day = _wild(market, Kind.GAP)[0]
    trades, hours = market.trades(ticker, day), session_hours(day)
    closing = trades.filter(pl.col("conditions") == "8,9")
    assert closing.height == 1 and hours.close < closing["sip_timestamp"][0] < hours.close + 10**10
    assert trades.filter(pl.col("conditions") == "9,25").height == 1
    bar = market.daily_bars(day).filter(pl.col("ticker") == ticker)
    assert bar["close"][0] == closing["price"][0]


def test_halts_are_silent_and_end_with_a_reopening_print(market: SimulatedMarket) -> None:
    halted = [(x, d) for k in Kind for x, d in _wild(market, k) if halts_of(market, x, d)]
    assert len(halted) > 20
    for ticker, day in halted:
        trades, hours = market.trades(ticker, day), session_hours(day)
        for begin, end in halts_of(market, ticker, day):
            assert trades.filter(pl.col("sip_timestamp").is_between(begin, end - 1)).is_empty()
            late = pl.col("participant_timestamp").is_between(begin, end - 1)
            assert trades.filter(late & (pl.col("sip_timestamp") >= end)).is_empty()
            after = trades.filter(pl.col("sip_timestamp") >= end)["conditions"]
            expected = "8,9" if end == hours.close else "9,28"
            assert after.is_empty() or after[0] == expected


def test_early_close_ends_at_one_and_five(market: SimulatedMarket) -> None:
    day = date(2024, 11, 29)
    hours, minutes = session_hours(day), market.minute_bars(day)
    assert hours.is_early_close
    assert minutes["window_start"].max() < hours.postmarket_close  # pyright: ignore
    crosses = market.session_trades(day).filter(pl.col("conditions") == "8,9")
    assert crosses["sip_timestamp"].is_between(hours.close, hours.close + 10**10).all()


def test_reused_symbol_is_two_companies_with_a_gap(market: SimulatedMarket) -> None:
    days = market.sessions
    old, new = (market.ticker_details("RUSE", d) for d in (days[0], days[-1]))
    assert (
        old and new and old["composite_figi"] != new["composite_figi"] and old["cik"] != new["cik"]
    )
    assert market.ticker_details("RUSE", days[35]) is None
    assert market.trades("RUSE", days[35]).is_empty()
    both = market.daily_bars_of("RUSE", days[0], days[-1])
    assert 30 < both.height < 60
    gone = [row for row in market.tickers(days[30], False) if row["ticker"] == "RUSE"]
    assert gone[0]["composite_figi"] == old["composite_figi"] and gone[0]["delisted_utc"]


def test_renamed_ticker_keeps_its_identity(market: SimulatedMarket) -> None:
    events = market.ticker_events("NXVL")
    assert events and [e["ticker_change"]["ticker"] for e in events["events"]] == ["NXVL", "VLDX"]
    assert market.ticker_events(events["composite_figi"]) == events
    change = date.fromisoformat(events["events"][0]["date"])
    names = {row["ticker"] for row in market.tickers(market.sessions[0], True)}
    assert "VLDX" in names and "NXVL" not in names
    assert market.trades("VLDX", change).is_empty() and market.trades("NXVL", change).height


def test_listing_is_unknown_before_it_begins(market: SimulatedMarket) -> None:
    new = [x for x in market.listings if x.listed > market.sessions[0] and x.number > 8]
    assert new
    ticker = new[0].symbols[0].ticker
    assert market.ticker_details(ticker, market.sessions[0]) is None
    bars = market.daily_bars_of(ticker, market.sessions[0], market.sessions[-1])
    first = bars["window_start"].min()
    assert first >= session_hours(new[0].listed).open - 10 * 3600 * 10**9  # pyright: ignore


def test_tickers_that_differ_by_case_are_two(market: SimulatedMarket) -> None:
    day = market.sessions[5]
    types = {row["ticker"]: row["type"] for row in market.tickers(day, True)}
    assert types["BCPC"] == "CS" and types["BCpC"] == "PFD"
    prices = dict(market.daily_bars(day).select("ticker", "close").iter_rows())
    assert prices["BCPC"] < 12 < prices["BCpC"]


def test_unpublished_split_moves_the_price_but_not_the_table(market: SimulatedMarket) -> None:
    assert "RVSP" not in {row["ticker"] for row in market.splits()}
    closes = market.daily_bars_of("RVSP", market.sessions[0], market.sessions[-1])["close"]
    jump = (closes / closes.shift(1)).max()
    assert 8 < jump < 12  # pyright: ignore[reportOperatorIssue]


def test_unpublished_split_is_suspect_at_the_open(market: SimulatedMarket) -> None:
    (split,) = (event for event in market.split_events if not event.is_published)
    place = market.sessions.index(split.day)
    days = market.sessions[place - 20 : place + 1]
    summaries = []
    for day in days:
        member = pl.DataFrame({"date": [day], "ticker": ["RVSP"], "identity": ["RVSP"]})
        daily = market.daily_bars_of("RVSP", day, day).with_columns(date=pl.lit(day))
        minutes = market.minute_bars_of("RVSP", day, day).with_columns(
            pl.col("window_start").cast(INSTANT), date=pl.lit(day)
        )
        summaries.append(session_summary(member, daily, minutes, session_hours(day)))
    factors, settings = TABLES["adjustment_factors"].empty(), MetricsSettings()
    found = daily_metrics(pl.concat(summaries), factors, None, days, split.day, settings)
    assert found.select("jump_ratio", "is_suspect_at_open").row(0) == (10.0, True)


def test_published_split_moves_the_price_by_its_ratio(market: SimulatedMarket) -> None:
    split = next(row for row in market.splits() if row["ticker"] == "FWSP")
    day = date.fromisoformat(split["execution_date"])
    before = market.sessions[market.sessions.index(day) - 1]
    two = market.daily_bars_of("FWSP", before, day)
    assert two["close"][0] / two["open"][1] == pytest.approx(3.0, rel=0.1)


def test_special_dividend_is_at_least_five_percent(market: SimulatedMarket) -> None:
    special = next(row for row in market.dividends() if row["dividend_type"] == "SC")
    day = date.fromisoformat(special["ex_dividend_date"])
    before = market.sessions[market.sessions.index(day) - 1]
    close = market.daily_bars_of(special["ticker"], before, before)["close"][0]
    assert special["cash_amount"] / close >= 0.05


def test_shares_are_whole_before_and_fractional_in_the_fractional_era() -> None:
    config = SandboxConfig(tickers=20, start=date(2026, 2, 19), end=date(2026, 2, 26), pump_days=0)
    market = SimulatedMarket(config)
    whole, fractional = (
        market.session_trades(date(2026, 2, 20)),
        market.session_trades(date(2026, 2, 24)),
    )
    assert (whole["size"] % 1 == 0).all()
    assert 0.005 < (fractional["size"] % 1 > 0).mean() < 0.2  # pyright: ignore
    assert (market.daily_bars(date(2026, 2, 24))["volume"] % 1 > 0).any()


def test_trades_scale_scales_trades() -> None:
    """The plans by the factor itself; what is printed of them is drawn."""
    days = {"tickers": 20, "start": date(2024, 10, 1), "end": date(2024, 10, 4)}
    one, two = (SimulatedMarket(SandboxConfig(**days, trades_scale=x)) for x in (1.0, 2.0))
    plans = [m.chain(m.listings[0]).plans[:, t.P_TRADES] for m in (one, two)]
    assert (plans[1] == 2 * plans[0]).all()
    counts = [sum(m.daily_bars(d)["transactions"].sum() for d in m.sessions) for m in (one, two)]
    assert counts[1] == pytest.approx(2 * counts[0], rel=0.1)


def test_short_volume_is_below_the_off_exchange_volume(market: SimulatedMarket) -> None:
    day = market.sessions[9]
    frame = market.short_volume(day)
    assert frame is not None
    assert (frame["ShortVolume"] < frame["TotalVolume"]).all()
    volumes = market.daily_bars(day).join(frame, left_on="ticker", right_on="Symbol")
    assert (volumes["TotalVolume"] < volumes["volume"]).all()
    assert "ZVZZT" not in frame["Symbol"].to_list()


def test_config_given_unknown_field_is_refused() -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        SandboxConfig(ticker=3)  # pyright: ignore[reportCallIssue]
    with pytest.raises(ValidationError, match="recorded_dir"):
        SandboxConfig(kind="recorded")


def test_seeds_give_different_markets() -> None:
    other = SimulatedMarket(SMALL.model_copy(update={"seed": 8}))
    assert fingerprint(other) != fingerprint(SimulatedMarket(SMALL))


def test_prices_never_reach_zero(market: SimulatedMarket) -> None:
    lows = [market.daily_bars(day)["low"].min() for day in market.sessions]
    assert min(lows) >= t.PRICE_FLOOR / 10_000 - 1e-9  # pyright: ignore
    assert np.isfinite(np.array(lows, dtype=float)).all()


# The end -----------------------------------------------------------------------------------------
def _ending(end: date) -> SimulatedMarket:
    """Sessions from 1 November 2024 in seasons of 25, two of which the longest has behind it."""
    start = date(2024, 11, 1)
    return SimulatedMarket(SandboxConfig(tickers=30, start=start, end=end, season=25, pump_days=5))


@pytest.fixture(scope="module")
def long_market() -> SimulatedMarket:
    return _ending(date(2025, 2, 7))


def told_of(market: SimulatedMarket, day: date) -> dict[str, Any]:
    """All that a market says of a session, and of what was listed on it."""
    listed = [row["ticker"] for row in market.tickers(day, True)]
    facts, short = market.facts, market.short_volume(day)
    return {
        "tickers": [market.tickers(day, is_active) for is_active in (True, False)],
        "details": [market.ticker_details(ticker, day) for ticker in listed],
        "bars": [market.daily_bars(day).write_csv(), market.minute_bars(day).write_csv()],
        "trades": market.session_trades(day).write_csv(),
        "quotes": facts.quotes("BCPC", day).write_csv(),
        "short": [facts.short_volume(day), [] if short is None else short.to_dicts()],
        "halts": facts.halts(day),
    }


@pytest.mark.parametrize("end", [date(2024, 11, 25), date(2024, 12, 27)])
def test_market_that_ends_earlier_tells_the_same_of_its_sessions(
    long_market: SimulatedMarket, end: date
) -> None:
    market = _ending(end)
    days = market.sessions
    assert days == [day for day in long_market.sessions if day <= end]
    for day in (days[5], days[-1]):
        assert told_of(market, day) == told_of(long_market, day)
    wild = {place: kind for place, kind in long_market.wild_days.items() if place[1] < len(days)}
    assert market.wild_days == wild


def test_listing_that_is_about_to_end_trades_alike_whenever_the_market_ends() -> None:
    options = {"tickers": 60, "start": date(2024, 10, 1), "season": 40, "trades_scale": 0.1}
    whole = SimulatedMarket(SandboxConfig(end=date(2024, 11, 25), **options))
    days = whole.sessions
    ends = [x for x in whole.planned_listings if x.last_day and sum(x.span(days)) in range(25, 38)]
    assert ends
    for listing in ends:
        ticker, last = listing.symbols[-1].ticker, days[sum(listing.span(days)) - 2]
        earlier = SimulatedMarket(SandboxConfig(end=last, **options))
        told, known = (m.daily_bars_of(ticker, days[0], last) for m in (whole, earlier))
        assert told.height > 20 and told.equals(known)


def test_dividends_of_other_years_take_no_prices() -> None:
    market = SimulatedMarket(SMALL)
    assert b'"results":[]' in new_dividends(market, {"ex_dividend_date.lt": "2020-01-01"}).body
    assert not market._chains
    assert b"split_adjusted_cash_amount" in new_dividends(market, {}).body and market._chains


@pytest.mark.parametrize("end", [date(2024, 11, 25), date(2024, 12, 27)])
def test_market_tells_what_is_known_at_its_end(long_market: SimulatedMarket, end: date) -> None:
    market, one, two = _ending(end), _ending(end).facts, long_market.facts
    evening = session_hours(end).postmarket_close
    following = str(long_market.sessions[len(market.sessions)])
    splits = [row for row in long_market.splits() if row["execution_date"] <= following]
    assert market.splits() == splits
    known = [row for row in long_market.dividends() if row["declaration_date"] <= str(end)]
    assert market.dividends() == known
    moment = datetime.fromtimestamp(evening / 1e9, UTC)
    news = [row for row in two.news if datetime.fromisoformat(row["published_utc"]) <= moment]
    assert one.news == news
    assert one.submissions == [x for x in two.submissions if x.accepted.date() <= end]
    assert one.filings == [x for x in two.filings if x.head["filing_date"] <= str(end)]
    dates = {row["settlement_date"] for row in one.short_interest}
    assert one.short_interest == [x for x in two.short_interest if x["settlement_date"] in dates]
    assert [one.fails(half) for half in one.fails_halves] == [
        two.fails(half) for half in one.fails_halves
    ]
    assert market.tickers(None, True) == long_market.tickers(end, True)
    assert market.tickers(date(2025, 6, 2), True) == [
        row | {"last_updated_utc": "2025-06-02T00:00:00Z"} for row in market.tickers(None, True)
    ]


def test_rename_and_listing_to_come_are_not_told(long_market: SimulatedMarket) -> None:
    market = _ending(date(2024, 11, 8))
    events = market.ticker_events("VLDX")
    assert events and [e["ticker_change"]["ticker"] for e in events["events"]] == ["VLDX"]
    assert market.ticker_events("NXVL") is None and long_market.ticker_events("NXVL")
    assert len(market.listings) < len(long_market.listings)


def test_every_season_has_its_wild_days_and_splits(long_market: SimulatedMarket) -> None:
    """Of the third only its first sessions have been."""
    seasons = [s // 25 for _, s in long_market.wild_days]
    assert seasons.count(1) == 5 and set(seasons) == {0, 1, 2}
    days = [split.day for split in long_market.split_events]
    begins = long_market.sessions[25]
    assert any(day >= begins for day in days) and any(day < begins for day in days)


def test_flat_file_has_one_etag_whatever_the_end() -> None:
    key = "us_stocks_sip/day_aggs_v1/2024/11/2024-11-15.csv.gz"
    tags = set()
    for end in (date(2024, 11, 20), date(2024, 11, 25)):
        config = SandboxConfig(tickers=30, start=date(2024, 11, 1), end=end)
        identity = parse_key(key)
        assert identity is not None
        tags.add(Sandbox(config).files.etag(identity))
    assert len(tags) == 1
