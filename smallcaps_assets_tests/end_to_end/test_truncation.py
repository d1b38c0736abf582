"""Nothing of a row of the dataset, nor of its scores, was known after t0: both are the same from
inputs cut at t0.

Everything is made again from what a lake has of a ticker-session, its raw trades and quotes, its
halts, the feeds and the sessions before, without anything that came after a row's t0.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from smallcaps_assets.domain.bars.build import build_bars
from smallcaps_assets.domain.bars.features import SessionContext, bar_features, session_context
from smallcaps_assets.domain.bars.quote_features import (
    Quotes,
    no_quotes,
    quote_arrays,
    quote_features,
)
from smallcaps_assets.domain.feeds import asof
from smallcaps_assets.domain.feeds.asof import Feeds, asof_features, no_feeds
from smallcaps_assets.domain.market.calendar import session_hours
from smallcaps_assets.domain.market.volume_curve import volume_curve
from smallcaps_assets.domain.models.events import TARGETS, bar_rows
from smallcaps_assets.domain.models.scoring import predict, score_event, scorers
from smallcaps_assets.domain.models.training import train_target
from smallcaps_assets.domain.ticks.quotes import is_firm
from smallcaps_assets.domain.ticks.tape import prepare_ticks
from smallcaps_assets.pipeline.dataset import feeds_of
from smallcaps_assets.pipeline.halt_feed import halts_of
from smallcaps_assets.pipeline.usual_volume import UsualVolume
from smallcaps_assets.pipeline.workspace import Workspace
from smallcaps_assets.schemas.features import CATALOGUE
from smallcaps_assets.settings import ModelSettings, Settings
from smallcaps_assets_tests.domain.ticks import test_recorded_tape as ibm
from smallcaps_assets_tests.end_to_end.test_quality import workspace_of

ROWS = 3
QUICK = ModelSettings(
    targets=("sign_15m",), algorithms=("lightgbm", "logistic"), min_rows=50, rounds=20
)


@dataclass(frozen=True)
class Known:
    """What there is to make the rows of one ticker-session from."""

    day: date
    trades: pl.DataFrame
    quotes: pl.DataFrame
    halts: pl.DataFrame | None
    curve: np.ndarray | None
    context: SessionContext
    identity: str
    feeds: Feeds

    def until(self, t0: datetime) -> Known:
        """What of it was known at t0."""

        def cut(rows: pl.DataFrame, name: str) -> pl.DataFrame:
            if "known_at" in rows.columns:
                return rows.filter(pl.col("known_at") <= t0)
            if name in ("daily_metrics", "runners", "volatile"):
                return rows.filter(pl.col("date") < self.day)
            days = {"universe": "date", "splits": "execution_date", "listings": "first_date"}
            return rows.filter(pl.col(days[name]) <= self.day)

        frames = {f.name: getattr(self.feeds, f.name) for f in fields(Feeds)}
        seen = {n: cut(f, n) for n, f in frames.items() if isinstance(f, pl.DataFrame)}
        last = pl.min_horizontal("last_date", pl.lit(self.day)).alias("last_date")
        seen["listings"] = seen["listings"].with_columns(last)
        halts = self.halts
        if halts is not None:
            ended = pl.when(pl.col("halt_end") <= t0).then("halt_end").alias("halt_end")
            halts = halts.filter(pl.col("known_at") <= t0).with_columns(ended)
        return replace(
            self,
            trades=self.trades.filter(pl.col("sip_timestamp") <= t0),
            quotes=self.quotes.filter(pl.col("sip_timestamp") < t0),
            halts=halts,
            feeds=replace(self.feeds, **seen),
        )


def features(known: Known, settings: Settings, bar: int | None = None) -> pl.DataFrame:
    """bar_id, t0 and every feature of the ticker-session's bars, or of one of them."""
    hours = session_hours(known.day)
    tape = prepare_ticks(known.trades, hours, settings.ticks, known.halts, known.context.ticker)
    bars = build_bars(tape, "dollar_imbalance_bars", settings.bars)
    firm = known.quotes.with_columns(is_firm=is_firm(known.quotes["conditions"]))
    quotes = no_quotes() if firm.is_empty() else quote_arrays(firm, hours, tape.session_end)
    made = bar_features(tape.ticks, bars, known.context, hours, tape.halts, known.curve)
    of_quotes, _ = quote_features(tape, bars, quotes)
    wanted = made if bar is None else made.filter(bar_id=bar)
    rows = wanted.rename({"known_at": "t0"}).join(
        of_quotes.drop("known_at"), on=["ticker", "date", "bar_id"]
    )
    events = rows.with_columns(pl.lit(known.identity).alias("identity"))
    return asof_features(events, known.feeds).select("bar_id", "t0", *CATALOGUE)


def differing(known: Known, settings: Settings, whole: pl.DataFrame, rows: int) -> dict[str, Any]:
    """Features that are other than those of `whole` when inputs end at t0, each with its values."""
    found: dict[str, Any] = {}
    for n in np.unique(np.linspace(0, whole.height - 1, rows).astype(int)):
        row = whole.row(int(n), named=True)
        (again,) = features(known.until(row["t0"]), settings, row["bar_id"]).to_dicts()
        found |= {name: (row[name], again[name]) for name in CATALOGUE if row[name] != again[name]}
    return found


# Simulated ---------------------------------------------------------------------------------------
def stored(work: Workspace, key: str) -> Known:
    """A ticker-session of a lake."""
    lake = work.lake
    registry = lake.read("ticker_sessions").filter("is_qualified")
    row = registry.row(by_predicate=pl.col("partition_key") == key, named=True)
    ticker, day = row["ticker"], row["date"]
    period = next(p for p in work.settings.dataset.periods if p.covers(day))
    metrics = lake.read("daily_metrics", str(day)).filter(pl.col("ticker") == ticker)
    return Known(
        day,
        lake.read("trades", key),
        lake.read("quotes", key),
        halts_of(lake, ticker, day),
        volume_curve(UsualVolume(work).minutes(ticker, day)),
        session_context(ticker, day, metrics.row(0, named=True)),
        row["identity"],
        feeds_of(
            work, period, registry.filter(pl.col("date").is_between(period.start, period.last))
        ),
    )


@pytest.fixture(scope="module")
def work(small_lake: Path) -> Workspace:
    return workspace_of(small_lake)


@pytest.fixture(scope="module")
def dataset(work: Workspace) -> pl.DataFrame:
    return work.lake.read("ml_dataset", "union")


@pytest.fixture(scope="module")
def busiest(work: Workspace, dataset: pl.DataFrame) -> list[Known]:
    """The two ticker-sessions with the most rows, the first one first."""
    rows = dataset.group_by("ticker", "date").len().sort("len", "ticker", descending=True)
    return [stored(work, f"{ticker}_{day}") for ticker, day, _ in rows.head(2).iter_rows()]


def test_rows_of_the_dataset_expected_from_what_was_known_at_t0(work, dataset, busiest) -> None:
    told: set[str] = set()
    for known in busiest:
        rows = dataset.filter(ticker=known.context.ticker, date=known.day).sort("bar_id")
        assert differing(known, work.settings, rows, ROWS) == {}
        told |= {name for name in CATALOGUE if rows[name].null_count() < rows.height}
    assert len(told) > 0.8 * len(CATALOGUE), sorted(CATALOGUE.keys() - told)


def test_scores_expected_from_what_was_known_at_t0(work, dataset) -> None:
    """An event made of inputs cut at its t0 and scored alone has the bits of the batch."""
    pytest.importorskip("lightgbm")
    rows = bar_rows(dataset)
    first, second = rows["date"].unique().sort()[:2]
    train, validate = rows.filter(date=first), rows.filter(date=second)
    made = train_target(TARGETS["sign_15m"], train, validate, QUICK).models
    models = scorers(
        pl.DataFrame(made, infer_schema_length=None).with_columns(
            month=pl.lit("2024-12"), refusal=pl.lit(None, pl.String)
        )
    )
    ticker, day = rows.group_by("ticker", "date").len().sort("len", "ticker").row(-1)[:2]
    known, own = stored(work, f"{ticker}_{day}"), rows.filter(ticker=ticker, date=day)
    batch = predict(own, models, ["sign_15m"])
    assert batch["algorithm"].unique().sort().to_list() == ["ensemble", "lightgbm", "logistic"]
    for n in (0, own.height // 2, own.height - 1):
        row = own.row(n, named=True)
        (again,) = features(known.until(row["t0"]), work.settings, row["event_id"]).to_dicts()
        names = {name: row[name] for name in ("ticker", "date", "event_id")}
        told = score_event({**again, **names}, models)
        assert told.equals(batch.filter(event_id=row["event_id"]))


# Look-ahead that is planted -----------------------------------------------------------------------
def of_the_next_bar(patch: pytest.MonkeyPatch) -> str:
    made = bar_features

    def leaking(*given: Any) -> pl.DataFrame:
        return made(*given).with_columns(pl.col("bar_return").shift(-1))

    patch.setitem(globals(), "bar_features", leaking)
    return "bar_return"


def of_the_whole_day(patch: pytest.MonkeyPatch) -> str:
    made = bar_features

    def leaking(ticks: pl.DataFrame, *given: Any) -> pl.DataFrame:
        high = ticks["price"].max()
        return made(ticks, *given).with_columns(pl.lit(high).alias("return_from_open"))

    patch.setitem(globals(), "bar_features", leaking)
    return "return_from_open"


def of_quotes_after_the_close(patch: pytest.MonkeyPatch) -> str:
    made = quote_arrays

    def leaking(*given: Any) -> Quotes:
        quotes = made(*given)
        return replace(quotes, times=quotes.times - 2_000_000_000)

    patch.setitem(globals(), "quote_arrays", leaking)
    return "order_flow_imbalance"


def of_the_session_itself(patch: pytest.MonkeyPatch) -> str:
    before = asof._before

    def leaking(decisions: pl.DataFrame, rows: pl.DataFrame, by: str | None) -> pl.DataFrame:
        return before(decisions, rows.with_columns(pl.col("date").dt.offset_by("-1d")), by)

    patch.setattr(asof, "_before", leaking)
    return "previous_day_return"


@pytest.mark.parametrize(
    "plant",
    [of_the_next_bar, of_the_whole_day, of_quotes_after_the_close, of_the_session_itself],
)
def test_planted_look_ahead_expected_to_be_caught(plant, work, busiest, monkeypatch) -> None:
    name, known = plant(monkeypatch), busiest[0]
    whole = features(known, work.settings)
    assert set(differing(known, work.settings, whole, 1)) >= {name}


# Recorded ----------------------------------------------------------------------------------------
def test_features_of_a_recorded_session_expected_from_what_was_known_at_t0() -> None:
    """With quotes made of its prints: a cent to either side, sizes of theirs."""
    trades = ibm.recorded_trades()
    regular = trades.filter(pl.col("size") >= 100)
    cents = pl.Series(np.arange(regular.height) % 3 / 100)
    quotes = regular.select(
        "sip_timestamp",
        "sequence_number",
        conditions=pl.lit([1], pl.List(pl.Int16)),
        bid_price=pl.col("price") - cents,
        ask_price=pl.col("price") + 0.01,
        bid_size="size",
        ask_size=pl.col("size").shift(1, fill_value=100.0),
    )
    context = SessionContext("IBM", ibm.DAY, previous_close=184.1, mean_volume30=4e6)
    curve = np.linspace(1e3, 4e6, 960)
    known = Known(ibm.DAY, trades, quotes, None, curve, context, "IBM", no_feeds())
    settings = Settings.model_validate({"bars": {"dollar_imbalance_target": 500_000}})
    whole = features(known, settings)
    assert whole.height > 100
    assert differing(known, settings, whole, ROWS) == {}
    made = [name for name, feature in CATALOGUE.items() if feature.known.startswith("close")]
    told = {name for name in made if whole[name].null_count() < whole.height}
    assert {*made} - told <= {"distance_to_premarket_high"}
