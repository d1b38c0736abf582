"""Realistic frames for the report's tests: one market's worth, made from a seed.

Every frame passes the contract of its table. The prices are a random walk with a pump or a fade
laid over it; labels are found on that path by plain search.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import polars as pl

from smallcaps_assets.domain.market.calendar import SessionHours, session_hours, sessions
from smallcaps_assets.reports.days import DayView
from smallcaps_assets.reports.run_report import RunReport
from smallcaps_assets.schemas import TABLES
from smallcaps_assets.schemas.table import INSTANT

DAY = date(2024, 11, 6)
MINUTE = 60_000_000_000
RULE_SHARES = {"info_rich": 0.5, "intraday_trigger": 0.85, "premarket_gap": 0.3, "follow_up": 0.2}


def make_day(
    ticker: str = "PUMP", is_fader: bool = False, trades: int = 60_000, seed: int = 1
) -> DayView:
    """A ticker-session with ticks, bars, labels, a halt and a late eligible_from."""
    rng, hours = np.random.default_rng(seed), session_hours(DAY)
    halt = (hours.open + 41 * MINUTE, hours.open + 46 * MINUTE)
    ticks = make_ticks(rng, hours, trades, is_fader, halt)
    bars = make_bars(ticker, ticks, hours)
    return DayView(
        ticker=ticker,
        date=DAY,
        ticks=ticks,
        bars=bars,
        labels=make_labels(bars, ticks, hours),
        hours=hours,
        halts=pl.DataFrame({"halt_start": [halt[0]], "halt_end": [halt[1]]}).cast(INSTANT),
        metrics={
            "previous_close": 2.05,
            "pct_change": ticks["price"][-1] / 2.05 - 1,
            "rvol30": 14.2,
            "dollar_volume": (ticks["price"] * ticks["size"]).sum(),
        },
        eligible_from=datetime.fromtimestamp((hours.open + 11 * MINUTE) / 1e9, UTC),
        rules="intraday_trigger" if is_fader else "info_rich,intraday_trigger",
        identity="BBG00EXAMPLE",
        name="Example Biosciences Inc.",
    )


def make_ticks(
    rng: np.random.Generator,
    hours: SessionHours,
    trades: int,
    is_fader: bool,
    halt: tuple[int, int],
) -> pl.DataFrame:
    span = hours.close - hours.premarket_open
    share = np.sort(
        np.concatenate([rng.random(trades // 6), 0.45 + 0.55 * rng.beta(0.9, 1.8, trades)])
    )
    times = (hours.premarket_open + share * (span - 1)).astype(np.int64)
    keep = (times < halt[0]) | (times > halt[1])
    times, share = times[keep], share[keep]
    rise = 1 / (1 + np.exp(-(share - 0.52) * 40))
    drift = 0.9 * rise - (0.8 / (1 + np.exp(-(share - 0.68) * 25)) if is_fader else 0)
    noise = np.cumsum(rng.normal(0, 0.22 / np.sqrt(len(share)), len(share)))
    price = np.round(2.1 * np.exp(drift + noise + rng.normal(0, 0.002, len(share))), 4)
    segment = np.where(times < hours.open, "premarket", "regular")
    return pl.DataFrame(
        {
            "sip_timestamp": pl.Series(times).cast(INSTANT),
            "price": price,
            "size": rng.choice([10.0, 100.0, 100.0, 300.0, 1500.0], len(times)),
            "is_price_forming": rng.random(len(times)) > 0.25,
            "segment": segment,
        }
    )


def make_bars(
    ticker: str, ticks: pl.DataFrame, hours: SessionHours, count: int = 150
) -> pl.DataFrame:
    """`count` bars of equal dollars in the columns of dollar_imbalance_bars."""
    dollars = (pl.col("price") * pl.col("size")).cum_sum()
    group = (dollars / dollars.last() * count).floor().clip(0, count - 1).cast(pl.Int32)
    price, size = pl.col("price"), pl.col("size")
    bars = (
        ticks.with_row_index("tick")
        .with_columns(bar_id=group)
        .group_by("bar_id")
        .agg(
            first_tick=pl.col("tick").first(),
            last_tick=pl.col("tick").last(),
            open_timestamp=pl.col("sip_timestamp").first(),
            close_timestamp=pl.col("sip_timestamp").last(),
            known_at=pl.col("sip_timestamp").last(),
            segment=pl.col("segment").last(),
            open=price.first(),
            high=price.max(),
            low=price.min(),
            close=price.last(),
            vwap=(price * size).sum() / size.sum(),
            volume=size.sum(),
            dollar_volume=(price * size).sum(),
            ticks=pl.len(),
        )
        .sort("bar_id")
    )
    side = pl.when(pl.col("close") >= pl.col("open")).then(1).otherwise(-1)
    last = pl.col("bar_id") == count - 1
    filled = bars.with_columns(
        ticker=pl.lit(ticker),
        date=pl.lit(hours.date),
        source=pl.lit("trades"),
        reason=pl.when(last).then(pl.lit("session")).otherwise(pl.lit("threshold")),
        buy_volume=pl.col("volume") * 0.55,
        sell_volume=pl.col("volume") * 0.45,
        unsigned_volume=pl.lit(0.0),
        theta=side * 51_000.0,
        threshold=pl.lit(50_000.0),
        expected_ticks=pl.lit(300.0),
        expected_imbalance=pl.lit(160.0),
        is_clamped=pl.lit(False),
    )
    return TABLES["dollar_imbalance_bars"].validate(filled)


def make_labels(bars: pl.DataFrame, ticks: pl.DataFrame, hours: SessionHours) -> pl.DataFrame:
    """Triple-barrier labels by plain search on the ticks."""
    times, prices = ticks["sip_timestamp"].cast(pl.Int64).to_numpy(), ticks["price"].to_numpy()
    rows = [
        _label(row, times, prices, hours)
        for row in bars.filter(pl.col("reason") == "threshold").iter_rows(named=True)
    ]
    frame = pl.DataFrame(rows, infer_schema_length=None).with_columns(
        pl.col("t0", "t1", "vertical_barrier", "entry_timestamp").cast(INSTANT)
    )
    return TABLES["triple_barrier_labels"].validate(frame)


def _label(
    bar: dict[str, Any], times: np.ndarray, prices: np.ndarray, hours: SessionHours
) -> dict[str, Any]:
    start, entry = bar["last_tick"], bar["close"]
    t0 = int(times[start])
    limit = min(t0 + 15 * MINUTE, hours.close)
    path = slice(start + 1, int(np.searchsorted(times, limit, side="right")))
    moves = prices[path] / entry - 1
    touch = np.flatnonzero((moves >= 0.15) | (moves <= -0.10))
    at = int(touch[0]) if len(touch) else None
    label = 0 if at is None else int(np.sign(moves[at]))
    last = at if at is not None else len(moves) - 1
    return {
        **{name: bar[name] for name in ("ticker", "date", "bar_id")},
        "t0": t0,
        "t1": limit if at is None else int(times[start + 1 + at]),
        "vertical_barrier": limit,
        "price_at_t0": entry,
        "base_price": entry,
        "label": label,
        "label_return": float(moves[last]) if len(moves) else None,
        "touch_tick": None if at is None else start + 1 + at,
        "path_ticks": len(moves),
        "has_path": len(moves) > 0,
        "is_touch_confirmed": None if at is None else True,
        "is_session_cut": limit == hours.close,
        "is_halt_cut": False,
        "is_ambiguous": False,
        "entry_timestamp": None,
        "entry_price": None,
        "return_from_entry": None,
        "take_profit": 0.15,
        "stop_loss": 0.10,
        **dict.fromkeys(
            f"forward_{kind}_{h}m" for kind in ("return", "label", "staleness") for h in (5, 15)
        ),
    }


def make_watchlist(
    start: date = date(2024, 10, 1), end: date = date(2025, 1, 10), seed: int = 2
) -> pl.DataFrame:
    """A few selected ticker-days per session, each under some rules."""
    rng, rows = np.random.default_rng(seed), []
    for day in sessions(start, end):
        for number in range(int(rng.poisson(4))):
            for rule, share in RULE_SHARES.items():
                if rng.random() < share:
                    rows.append(_watched(f"T{number:03d}", day, rule, rng))
    return TABLES["watchlist"].validate(pl.DataFrame(rows))


def _watched(ticker: str, day: date, rule: str, rng: np.random.Generator) -> dict[str, Any]:
    return {
        "date": day,
        "ticker": ticker,
        "rule": rule,
        "identity": f"FIGI-{ticker}",
        "known_at": datetime(day.year, day.month, day.day, 20, tzinfo=UTC),
        "price": 3.0,
        "change": float(rng.uniform(0.15, 1.2)),
        "relative_volume": float(rng.uniform(2, 40)),
        "dollar_volume": float(5e6 * rng.pareto(1.5) + 5e6),
    }


def make_dataset(rows: int = 20_000, seed: int = 3) -> pl.DataFrame:
    """Labelled events over 15 sessions, two thirds of them with known selection."""
    rng = np.random.default_rng(seed)
    days = sessions(date(2024, 11, 1), date(2024, 11, 29))
    number = rng.integers(0, len(days), rows)
    opens = np.array([session_hours(day).premarket_open for day in days])[number]
    t0 = opens + (rng.beta(2.2, 1.6, rows) * 12 * 60 * MINUTE).astype(np.int64)
    known = rng.random(rows) < 0.66
    uniqueness = rng.beta(1.3, 5, rows).clip(0.01, 1)
    frame = pl.DataFrame(
        {
            "ticker": [f"T{n % 40:03d}" for n in range(rows)],
            "date": [days[n] for n in number],
            "bar_id": np.arange(rows, dtype=np.int32),
            "t0": pl.Series(t0).cast(INSTANT),
            "t1": pl.Series(t0 + 5 * MINUTE).cast(INSTANT),
            "label": rng.choice([-1, 0, 1], rows, p=[0.24, 0.62, 0.14]),
            "label_return": rng.normal(0, 0.05, rows),
            "is_selection_known": known,
            "uniqueness": uniqueness,
            "uniqueness_eligible": pl.Series(
                np.where(known, uniqueness.clip(0, 0.9) + 0.1, np.nan)
            ).fill_nan(None),
            "return_attribution": np.abs(rng.normal(0, 0.01, rows)),
            "time_decay": np.linspace(0.5, 1, rows),
            "selection_rule": rng.choice(["info_rich", "intraday_trigger"], rows, p=[0.2, 0.8]),
        }
    )
    return TABLES["ml_dataset"].validate(_fill(frame, "ml_dataset"))


def _fill(frame: pl.DataFrame, table: str) -> pl.DataFrame:
    """The other columns of a table: null where allowed, else a plain value of its type."""
    values: dict[pl.DataType, Any] = {pl.String(): "x", pl.Boolean(): False}
    columns = TABLES[table].schema.columns()
    missing = []
    for name, dtype in TABLES[table].columns.items():
        if name not in frame.columns:
            filler = datetime(2024, 11, 1, tzinfo=UTC) if dtype == INSTANT else values.get(dtype, 1)
            missing.append(pl.lit(None if columns[name].nullable else filler, dtype).alias(name))
    return frame.with_columns(missing)


def make_metrics(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """daily_metrics with the columns of interest given."""
    return TABLES["daily_metrics"].validate(_fill(pl.DataFrame(rows), "daily_metrics"))


def make_selected_metrics(watchlist: pl.DataFrame) -> pl.DataFrame:
    """daily_metrics of the watched ticker-days."""
    days = watchlist.unique(["ticker", "date"], maintain_order=True)
    return make_metrics(days.select("ticker", "date", "dollar_volume").to_dicts())


def make_report(**changes: Any) -> RunReport:
    """A full report; keyword arguments replace fields."""
    fields: dict[str, Any] = {
        "title": "smallcaps run",
        "market": "simulated",
        "start": date(2024, 10, 1),
        "end": date(2025, 1, 10),
        "summary": [
            ("daily_bars", 70, 8_400, 512_000, 1.9, 0),
            ("minute_bars", 70, 1_210_000, 31_000_000, 8.1, 0),
            ("daily_metrics", 70, 8_300, 1_900_000, 3.0, 0),
            ("trades", 112, 4_812_345, 96_000_000, 21.4, 1),
            ("triple_barrier_labels", 111, 14_321, 1_100_000, None, 0),
            ("ml_dataset", 1, 13_902, 3_200_000, 0.8, 0),
        ],
        "watchlist": make_watchlist(),
        "metrics": make_selected_metrics(make_watchlist()),
        "dataset": make_dataset(),
        "meta": {"period": "v1", "features": ["gap", "spread_roll"], "counts": {"rows": 13_902}},
        "pump": make_day("PUMP"),
        "fader": make_day("FADE", is_fader=True, seed=5),
        "failures": ["trades T003_2024-11-06: the vendor answered 500 five times"],
        "settings": {"labels": {"take_profit": 0.15, "stop_loss": 0.1}},
        "dataset_path": "data/processed/ml_dataset/period=v1/ml_dataset.parquet",
    }
    return RunReport(**{**fields, **changes})
