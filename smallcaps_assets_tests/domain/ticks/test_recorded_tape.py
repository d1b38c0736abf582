"""The chain on the real trades of one session; see golden/recorded/README.md for their origin."""

from __future__ import annotations

from datetime import date
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest

from smallcaps_assets.domain.bars.arrays import BarKind, bars_from_arrays
from smallcaps_assets.domain.bars.build import build_bars
from smallcaps_assets.domain.bars.sweep import BarSetting, sweep_tape
from smallcaps_assets.domain.labels.triple_barrier import triple_barrier_labels
from smallcaps_assets.domain.labels.weights import sample_weights
from smallcaps_assets.domain.market.calendar import session_hours
from smallcaps_assets.domain.ticks.intervals import coarser_bars, time_bars
from smallcaps_assets.domain.ticks.tape import prepare_ticks
from smallcaps_assets.schemas import TABLES
from smallcaps_assets.settings import Settings

DAY = date(2013, 10, 7)
FOLDER = Path(__file__).parents[2] / "golden" / "recorded"
SETTINGS = Settings()


def recorded_trades():
    """IBM's trades of the day, as the contract wants them."""
    stored = pl.read_parquet(FOLDER / "ibm_2013-10-07_trades.parquet").with_row_index("row")
    when = pl.col("sip_milliseconds").cast(pl.Datetime("ms", "UTC")).cast(pl.Datetime("ns", "UTC"))
    code = pl.col("conditions").str.split(",")
    frame = stored.select(
        "size",
        "exchange",
        "tape",
        ticker=pl.lit("IBM"),
        date=pl.lit(DAY),
        sip_timestamp=when,
        participant_timestamp=when,
        trf_timestamp=pl.lit(None),
        sequence_number="row",
        id=pl.col("row").cast(pl.String),
        trf_id=0,
        correction=0,
        price=pl.col("price"),
        conditions=code.list.eval(pl.element().filter(pl.element() != "").cast(pl.Int16)),
    )
    return TABLES["trades"].validate(frame)


@pytest.fixture(scope="module")
def raw():
    """They."""
    return recorded_trades()


@pytest.fixture(scope="module")
def tape(raw):
    """Its ticks."""
    return prepare_ticks(raw, session_hours(DAY), SETTINGS.ticks)


def test_volume_reconciles_and_only_messages_late_and_foreign_prices_are_left_out(raw, tape):
    assert tape.ticks["size"].sum() + tape.audit["volume"].sum() == raw["size"].sum()
    assert dict(tape.audit.select("reason", "volume").rows()) == {
        "after the session": 6574.0,
        "average price trade": 28200.0,
        "cash sale": 220.0,
        "derivatively priced": 23651.0,
        "form T in regular hours": 600.0,
        "market center official close": 22.0,
        "market center official open": 64.0,
        "next day": 230.0,
        "sold last": 300.0,
    }


def test_real_tape_has_no_flood_of_zero_signs(tape):
    regular = tape.ticks.filter((pl.col("segment") == "regular") & ~pl.col("is_auction"))
    zeros = (regular["sign"] == 0).sum()
    assert zeros < 0.001 * regular.height


def test_closing_auction_is_flow_of_the_session_but_no_label_path(tape):
    auction = tape.ticks.filter(pl.col("is_auction") & ~pl.col("in_label_path"))
    assert auction["size"].max() == 151_665.0
    assert auction["segment"].unique().to_list() == ["regular"]


def test_dollar_bars_equal_those_of_an_independent_tool(raw):
    hours = session_hours(DAY)
    time = pl.col("sip_timestamp").to_physical()
    regular = raw.filter((time >= hours.open) & (time < hours.close))
    bars, _ = bars_from_arrays(
        regular["sip_timestamp"].to_physical().to_numpy(),
        regular["price"].to_numpy(),
        regular["size"].to_numpy(),
        BarKind.DOLLAR,
        5_000_000,
        final=False,
    )
    wanted = pl.read_csv(FOLDER / "ibm_2013-10-07_dollar_bars_5000000.csv")
    assert bars.height == wanted.height == 132
    for ours, theirs in (
        ("open", "open"),
        ("high", "high"),
        ("low", "low"),
        ("close", "close"),
        ("volume", "volume"),
        ("ticks", "cum_ticks"),
        ("dollar_volume", "cum_dollar_value"),
        ("buy_volume", "cum_buy_volume"),
    ):
        assert bars[ours].to_list() == pytest.approx(wanted[theirs].to_list()), ours
    closes = wanted["date_time"].str.to_datetime(time_zone="America/New_York", time_unit="ns")
    found = bars["close_timestamp"].cast(pl.Datetime("ns", "UTC"))
    assert found.to_list() == closes.dt.convert_time_zone("UTC").to_list()


@pytest.mark.parametrize("kind", list(BarKind))
def test_chain_given_real_ticks_fulfils_every_contract(tape, kind):
    bars = build_bars(tape, kind, SETTINGS.bars)
    TABLES[kind].validate(bars)
    assert bars["volume"].sum() == tape.ticks["size"].sum()
    settings = SETTINGS.labels.model_copy(update={"take_profit": 0.003, "stop_loss": 0.002})
    labels = triple_barrier_labels(tape, bars, settings)
    TABLES["triple_barrier_labels"].validate(labels)
    assert set(labels["label"]) == {-1, 0, 1}
    weights = sample_weights(labels, bars, tape.hours.open)
    TABLES["sample_weights"].validate(weights)
    assert weights.height > 0.9 * labels.height


@pytest.fixture(scope="module")
def minutes():
    """The exchange's minute bars of the day."""
    stored = pl.read_parquet(FOLDER / "ibm_2013-10-07_minute_bars.parquet")
    instant = pl.col("window_start").cast(pl.Datetime("ns", "UTC"))
    return stored.with_columns(instant, ticker=pl.lit("IBM"))


def regular(frame):
    hours = session_hours(DAY)
    start = pl.col("window_start").to_physical()
    return frame.filter((start >= hours.open) & (start < hours.close))


def test_minute_volumes_are_those_of_ticks_and_left_out_trades_but_for_the_auction(raw, minutes):
    messages = pl.col("conditions").list.set_intersection([15, 16]).list.len() > 0
    every_trade = raw.filter(~messages).with_columns(is_price_forming=pl.lit(True))
    ours = time_bars(every_trade, "1m")
    assert ours["volume"].sum() == minutes["volume"].sum() == 3_960_266
    both = regular(minutes).join(ours, on="window_start", suffix="_ours")
    assert both.height == 390
    off = both.filter(pl.col("volume") != pl.col("volume_ours"))
    assert off["window_start"].to_physical().to_list() == [session_hours(DAY).close - 60 * 10**9]
    assert (off["volume"] - off["volume_ours"]).to_list() == [151_665.0]


def test_minute_prices_of_price_forming_ticks_agree_within_the_documented_share(tape, minutes):
    both = regular(minutes).join(time_bars(tape.ticks, "1m"), on="window_start", suffix="_ours")
    for name in ("open", "high", "low", "close"):
        agree = (both[name] == both[f"{name}_ours"]).mean()
        assert 0.77 <= agree <= 0.98, (name, agree)


def test_daily_figures_are_the_sums_of_the_regular_minutes(minutes):
    hourly = coarser_bars(regular(minutes).with_columns(vwap=None, transactions=None), "1h")
    assert hourly.height == 7
    day = {"volume": 3_908_081, "open": 182.0, "high": 183.3, "low": 181.85, "close": 182.01}
    # The daily volume counts a few late prints that no regular minute has: 0.08 %.
    assert hourly["volume"].sum() == pytest.approx(day["volume"], rel=0.001)
    assert hourly["volume"].sum() <= day["volume"]
    found = (hourly["open"][0], hourly["high"].max(), hourly["low"].min(), hourly["close"][-1])
    assert found == (day["open"], day["high"], day["low"], day["close"])


def test_ticks_add_up_to_minutes_hours_and_the_day_exactly(tape):
    volume = tape.ticks["size"].sum()
    for every in ("1s", "1m", "1h", "4h"):
        assert time_bars(tape.ticks, every)["volume"].sum() == volume
    for kind in BarKind:
        assert build_bars(tape, kind, SETTINGS.bars)["volume"].sum() == volume


def test_imbalance_bars_fall_strictly_as_the_target_grows_15_fold(tape):
    targets = [25_000.0 * factor for factor in (1, 1.5, 2.5, 4, 6, 10, 15)]
    counts = [
        (build_bars(tape, "dollar_imbalance_bars", SETTINGS.bars, target)["reason"] == "threshold")
        .sum()
        for target in targets
    ]  # fmt: skip
    assert all(more > fewer for more, fewer in pairwise(counts)), counts
    swept = sweep_tape(tape, "dollar_imbalance_bars").sweep([BarSetting(t) for t in targets])
    assert swept["bars"].to_list() == counts
