"""Made-up figures for the density and the quality report."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import polars as pl

from smallcaps_assets.cli.quality_figures import EMPTY
from smallcaps_assets.domain.bars.diagnostics import EXCLUDED
from smallcaps_assets.domain.market.calendar import sessions
from smallcaps_assets.domain.quality.figures import label_balance
from smallcaps_assets.domain.selection import density
from smallcaps_assets.reports.density_measures import DensityFigures
from smallcaps_assets.reports.quality_measures import QualityFigures
from smallcaps_assets.reports.spans import Span
from smallcaps_assets.schemas import TABLES
from smallcaps_assets_tests.reports.report_frames import make_watchlist

FIRST = Span("first", date(2024, 10, 1), date(2024, 11, 15))
SECOND = Span("second", date(2024, 11, 18), date(2025, 1, 10))
FAILED = ["table", "key", "kind", "reason"]
CHECKED = {
    **dict.fromkeys(("table", "check", "key"), pl.String),
    "is_good": pl.Boolean,
    "is_error": pl.Boolean,
    "text": pl.String,
}
RECONCILED = ("daily", "minutes", "compared", "more", "traded", "without_minutes")
BARS = {
    **dict.fromkeys(("clamped_share", "spacing_seconds", "tape_share"), pl.Float64),
    **dict.fromkeys(("is_often_clamped", "is_slow", "is_scarce"), pl.Boolean),
}


def make_density(span: Span, seed: int = 1, **changes: Any) -> DensityFigures:
    """Figures of a span from random metrics; keyword arguments replace fields."""
    days, rng = sessions(span.start, span.end), np.random.default_rng(seed)
    watchlist = make_watchlist(span.start, span.end, seed)
    metrics = pl.DataFrame(
        [
            (day, f"T{n:03d}", float(np.expm1(rng.normal(0, 0.1))), float(rng.lognormal()), 1e6)
            for day in days
            for n in range(20)
        ],
        schema=["date", "ticker", "pct_change", "rvol30", "dollar_volume"],
        orient="row",
    )
    near = density.rvol_near(metrics, metrics.filter(pl.col("ticker") == "T001"))
    fields: dict[str, Any] = {
        "span": span,
        "sessions": pl.Series("date", days),
        "watchlist": watchlist,
        "tails": density.change_tails(metrics, "1y"),
        "counts": density.change_counts(metrics),
        "histogram": density.change_histogram(metrics),
        "dollars": density.dollars_traded(watchlist, metrics, "1mo"),
        "around": {"halts": density.rvol_summary(near), "splits": density.rvol_summary(near)},
        "cost": density.TickCost(47, 51, 0.02, 0.17, 0.001),
    }
    return DensityFigures(**{**fields, **changes})


def no_density(span: Span) -> DensityFigures:
    """Figures of a span without anything."""
    schema = {"date": pl.Date, "ticker": pl.String, "pct_change": pl.Float64, "rvol30": pl.Float64}
    metrics = pl.DataFrame(schema={**schema, "dollar_volume": pl.Float64})
    watchlist = TABLES["watchlist"].empty()
    nothing = density.rvol_summary(density.rvol_near(metrics, metrics))
    return make_density(
        span,
        sessions=pl.Series("date", [], pl.Date),
        watchlist=watchlist,
        tails=density.change_tails(metrics, "1y"),
        counts=density.change_counts(metrics),
        histogram=density.change_histogram(metrics),
        dollars=density.dollars_traded(watchlist, metrics, "1mo"),
        around={"halts": nothing, "splits": nothing},
        cost=density.TickCost(0, 0, 0.0, 0.0, 0.0),
    )


def make_quality(span: Span, seed: int = 1, **changes: Any) -> QualityFigures:
    """Figures of a span with a gap, a failure, checks and a suspect; fields can be replaced."""
    days, rng = sessions(span.start, span.end), np.random.default_rng(seed)
    rows = [
        (day, table, 10, got, 9 - got, 0, 1, 0, None)
        for day in days
        for table in ("halts", "trades")
        for got in (int(rng.integers(5, 10)),)
    ]
    checks = [
        ("daily_metrics", "quality", days[0].isoformat(), True, False, ""),
        ("daily_metrics", "quality", days[1].isoformat(), False, False, "1 suspect; look"),
        ("watchlist", "coverage", "", False, True, "2 missing; run again"),
    ]
    shares = rng.random(30)
    labels = {
        "date": [days[n] for n in rng.integers(0, len(days), 300)],
        "label": rng.choice([-1, 0, 1], 300, p=[0.1, 0.8, 0.1]),
        "is_selection_known": [True] * 300,
    }
    excluded = [("average price trade", 20, 400.0, 0.04), ("correction", 2, 100.0, 0.01)]
    fields: dict[str, Any] = {
        "span": span,
        "coverage": pl.DataFrame(rows, schema=TABLES["coverage"].columns, orient="row"),
        "failures": pl.DataFrame(
            [("minute_bars", days[2].isoformat(), "MissingTickers", "2 of 88 failed")],
            schema=FAILED, orient="row",
        ),
        "checks": pl.DataFrame(checks, schema=CHECKED, orient="row"),
        "gaps": pl.DataFrame(
            [("watchlist", 34, 2, "2024-10-08 to 2024-10-09 (2)"), ("trades", 47, 0, "")],
            schema=["table", "expected", "missing", "runs"], orient="row",
        ),
        "suspects": pl.DataFrame(
            [(days[1], "RVSP", 8.83, "a factor of 10 without a known split")],
            schema=["date", "ticker", "pct_change", "suspect_reason"], orient="row",
        ),
        "metric_days": 2_990,
        "reconciled": pl.DataFrame(
            [(day, 1e6, 9.9e5, 88, 0, 90, 2) for day in days],
            schema=["date", *RECONCILED], orient="row",
        ),
        "bars": pl.DataFrame(
            {
                "clamped_share": shares,
                "spacing_seconds": 600 * shares,
                "tape_share": shares,
                "is_often_clamped": shares > 0.2,
                "is_slow": shares > 0.5,
                "is_scarce": shares > 0.9,
            }
        ),
        "labels": label_balance(pl.DataFrame(labels), "1mo"),
        "excluded": pl.DataFrame(excluded, schema=EXCLUDED, orient="row"),
        "short": pl.DataFrame({"key": ["A_2024-10-08"], "found": ["0 of 9 shares"]}),
        "outside": pl.DataFrame({"key": ["B_2024-10-09", "C_2024-10-09"], "events": [30, 12]}),
        "empties": pl.DataFrame(
            [("splits", "2013", [], False, "splits 2013: unconfirmed")],
            schema=EMPTY, orient="row",
        ),
        "tapes": 40,
        "stored_tapes": 47,
    }  # fmt: skip
    return QualityFigures(**{**fields, **changes})


def no_quality(span: Span) -> QualityFigures:
    """Figures of a span of an empty lake."""
    full = make_quality(span)
    frames = {name: value.clear() for name, value in vars(full).items() if hasattr(value, "clear")}
    return make_quality(span, **frames, metric_days=0, tapes=0, stored_tapes=0)
