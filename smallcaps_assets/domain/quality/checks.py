"""What is looked at in a stored partition: findings, each with what was found and what to do.

The contract (types, unique rows, positive prices, ordered ranges) is enforced before a partition is
stored and is not repeated here. These are the things that a contract can't refuse: sums that don't
reconcile, prices that jump, labels that are all alike, knowledge from the future. Pure functions;
which table gets which, and the events made of them, are elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import polars as pl

from smallcaps_assets.domain.bars.diagnostics import bar_diagnostics
from smallcaps_assets.domain.market.calendar import session_hours, sessions
from smallcaps_assets.domain.quality.tape_totals import Totals, is_short
from smallcaps_assets.settings import Period

# The vendor rounds fractional shares per bar; eligible volume may exceed a coarser bar by that.
VOLUME_TOLERANCE = 0.001
# After-hours minutes and ineligible volume are not on our tape: what is left of the coarser sum.
MIN_VOLUME_SHARE = 0.5
MIN_SESSION_SHARE = 0.5
MIN_ANSWERED_SHARE = 0.98
MAX_RELATIVE_VOLUME = 1000.0
MIN_BALANCED_LABELS = 200
MAX_LABEL_SHARE = 0.995
SHOWN_STALE = 5


@dataclass(frozen=True)
class Finding:
    """One thing looked at: its name, whether it is good, what was found, and the remedy if not.

    `is_error` tells a defect of the data from something to have a look at. `figures` are the counts
    and shares (fractions) behind `found`, by what they measure; one that can't be had is left out.
    """

    name: str
    is_good: bool
    found: str
    remedy: str = ""
    is_error: bool = True
    figures: Mapping[str, int | float] = field(default_factory=dict)

    def text(self) -> str:
        """What was found, and what to do about it when it is not good."""
        return self.found if self.is_good else f"{self.found}; {self.remedy}"


def has_rows(frame: pl.DataFrame, what: str, remedy: str) -> Finding:
    """A table that is derived from others has something in it."""
    found = f"{frame.height:,} {what}"
    figures = {what: frame.height}
    return Finding("rows", not frame.is_empty(), found, remedy, is_error=False, figures=figures)


def price_ranges(frame: pl.DataFrame) -> Finding:
    """No low above its high, no open or close outside of them."""
    outside = frame.filter(
        (pl.col("low") > pl.col("high"))
        | ~pl.col("close").is_between(pl.col("low"), pl.col("high"))
        | ~pl.col("open").is_between(pl.col("low"), pl.col("high"))
    )
    return Finding(
        "price ranges",
        outside.is_empty(),
        f"{outside.height:,} of {frame.height:,} rows outside their own range{_first(outside)}",
        "materialize the partition again; if it stays, the vendor's bar is wrong: report it",
        figures={"rows outside their own range": outside.height},
    )


def session_share(frame: pl.DataFrame, before: int | None, what: str) -> Finding:
    """A session has at least half as many rows as the one before."""
    share = frame.height / before if before else 1.0
    compared = f"{before:,} in the session before" if before else "nothing to compare with"
    return Finding(
        "session completeness",
        share >= MIN_SESSION_SHARE and frame.height > 0,
        f"{frame.height:,} {what}, {compared}",
        "the listing was probably cut short: materialize the partition again",
        figures={"rows, share of the session before": share} if before else {},
    )


def minutes_complete(summary: pl.DataFrame) -> Finding:
    """Every ticker that traded has minutes, when the session has any."""
    traded = summary.filter(pl.col("volume") > 0)
    without = traded.filter(pl.col("minute_count").fill_null(0) == 0)
    is_good = len(without) <= (1 - MIN_SESSION_SHARE) * len(traded) or len(without) == len(traded)
    return Finding(
        "minute completeness",
        is_good,
        f"{len(without):,} of {len(traded):,} traded tickers have no minutes{_first(without)}",
        "materialize minute_bars of this session again, then what follows from it",
        figures={"traded tickers without minutes": len(without)},
    )


def volumes_reconcile(summary: pl.DataFrame) -> Finding:
    """Daily volume >= the sum of the minutes, and the minutes are not a small part of it."""
    both = summary.filter(pl.col("volume_source") == "daily", pl.col("minute_volume").is_not_null())
    more = both.filter(pl.col("minute_volume") > pl.col("volume") * (1 + VOLUME_TOLERANCE))
    share = float(both["minute_volume"].sum()) / max(float(both["volume"].sum()), 1.0)
    is_good = more.is_empty() and (both.is_empty() or share >= MIN_VOLUME_SHARE)
    figures = {} if both.is_empty() else {"minutes, share of the daily volume": share}
    return Finding(
        "daily volume >= minutes",
        is_good,
        f"minutes hold {share:.1%} of the daily volume;"
        f" {more.height:,} of {both.height:,} tickers hold more than their day{_first(more)}",
        "materialize daily_bars and minute_bars of this session again; one of them is stale",
        is_error=False,
        figures={**figures, "tickers with more in minutes than in their day": more.height},
    )


def tape_reconciles(bars: pl.DataFrame, minute_volume: float | None) -> Finding:
    """Sum of the minutes >= the sum of the eligible trades, which are most of it."""
    name, volume = "minutes >= eligible trades", float(bars["volume"].sum())
    if not minute_volume:
        return Finding(name, True, f"{volume:,.0f} shares; no minutes to compare with")
    share = volume / minute_volume
    return Finding(
        name,
        MIN_VOLUME_SHARE <= share <= 1 + VOLUME_TOLERANCE,
        f"eligible trades hold {share:.1%} of the minutes' volume",
        "materialize trades of this ticker-session again with all that follows; below "
        f"{MIN_VOLUME_SHARE:.0%} pages are missing, above 100 % the minutes are stale",
        is_error=False,
        figures={"eligible trades, share of the minutes' volume": share},
    )


def trades_reconcile(tape: Totals, day: Totals | None) -> Finding:
    """The trades of a selected ticker-session are most of its day; it was selected for trading."""
    held = f"{tape.shares:,.0f} shares in the trades"
    told = f"{held}, {day.shares:,.0f} in the day's bar" if day else f"{held}, no day's bar"
    dollars = f" of {day.dollars:,.0f} dollars" if day and day.dollars else ""
    is_good = tape.shares > 0 if day is None else not is_short(tape, day)
    figures = {"shares in the trades": tape.shares}
    if day and day.shares:
        figures["trades, share of the day's volume"] = tape.shares / day.shares
    return Finding(
        "day's bar ~ trades",
        is_good,
        told + dollars,
        "the vendor's answer was empty or cut: ask again with"
        " `smallcaps backfill tick_chain --keys` and this key; until then nothing of the day is in"
        " the dataset that can be relied on",
        figures=figures,
    )


def bars_where_traded(bars: pl.DataFrame, day: Totals | None) -> Finding:
    """A selected ticker-session has bars: without any it would leave the dataset unseen."""
    volume, traded = float(bars["volume"].sum()), day.shares if day else None
    compared = "no day's bar to compare with" if traded is None else f"{traded:,.0f} in the day's"
    return Finding(
        "bars where the day traded",
        volume > 0 or traded == 0,
        f"{volume:,.0f} shares in the bars, {compared}",
        "no trade of this ticker-session can be used: look at the check of its trades",
        figures={"shares in the bars": volume},
    )


def in_some_period(day: date, periods: Sequence[Period]) -> Finding:
    """The session lies in a period, so that its events are in some dataset."""
    found = [period.name for period in periods if period.covers(day)]
    return Finding(
        "in a period of the dataset",
        bool(found),
        f"{day} lies in {found[0]}" if found else f"{day} lies in no period",
        "its events are in no dataset: widen a period of dataset.periods, or add one",
        is_error=False,
        figures={"periods that cover the session": len(found)},
    )


def suspect_actions(metrics: pl.DataFrame) -> Finding:
    """No undecided jump that looks like a split which the vendor's list lacks."""
    open_ones = metrics.filter(pl.col("suspect_decision").is_null())
    suspects = open_ones.filter(pl.col("is_suspect_at_open") | pl.col("is_suspect_at_close"))
    at_open, at_close = suspects["is_suspect_at_open"].sum(), suspects["is_suspect_at_close"].sum()
    return Finding(
        "suspect actions",
        suspects.is_empty(),
        f"{suspects.height:,} tickers look like a missing split, {at_open:,} at the open,"
        f" {at_close:,} at the close{_first(suspects)}",
        "the rules judged then leave them out; compare with the company's filings and write real or"
        " split into suspects.csv, or materialize splits of this year again once it is listed",
        is_error=False,
        figures={"suspect tickers": suspects.height},
    )


def decisions_found(metrics: pl.DataFrame, decisions: pl.DataFrame) -> Finding:
    """Every decision on a day of the session is about a ticker that traded."""
    lost = decisions.join(metrics, on=["ticker", "date"], how="anti")
    return Finding(
        "decisions",
        lost.is_empty(),
        f"{decisions.height:,} decisions of suspects.csv, {lost.height:,} of them on tickers"
        f" without a row{_first(lost)}",
        "mend the ticker or the date in suspects.csv",
        is_error=False,
        figures={"decisions without a row": lost.height},
    )


def outliers(metrics: pl.DataFrame) -> Finding:
    """No relative volume or change beyond belief that is not marked as suspect."""
    wild = metrics.filter(
        ~(pl.col("is_suspect_at_open") | pl.col("is_suspect_at_close")),
        (pl.col("rvol30") > MAX_RELATIVE_VOLUME)
        | ((pl.col("log_return").abs() > math.log(3)) & (pl.col("suspect_decision").is_null())),
    )
    return Finding(
        "outliers of change and volume",
        wild.is_empty(),
        f"{wild.height:,} tickers beyond a factor of 3 in price or"
        f" {MAX_RELATIVE_VOLUME:,.0f} in volume{_first(wild)}",
        "look at their splits, news and halts; a wrong share basis or a long halt in the mean"
        " explains most, and real in suspects.csv says that it is none",
        is_error=False,
        figures={"outliers": wild.height},
    )


def bars_suit(bars: pl.DataFrame) -> Finding:
    """Imbalance bars neither stand at the clamp, nor far apart, nor too few."""
    found = bar_diagnostics(bars)
    return Finding(
        "clamp share and spacing",
        not (found.is_often_clamped or found.is_slow or found.is_scarce),
        f"{found.bars:,} bars, {found.clamped_share:.0%} at the clamp, median"
        f" {found.median_spacing_seconds:.0f} s apart",
        "the target does not suit this ticker: choose a smaller one for slow or scarce bars, or"
        " bars.activity_scale, which follows the ticker's own volume",
        is_error=False,
        figures={
            "full bars": found.bars,
            "share of bars at the clamp": found.clamped_share,
            "median seconds between bars": found.median_spacing_seconds,
        },
    )


def known_in_time(features: pl.DataFrame, bars: pl.DataFrame) -> Finding:
    """Every feature row was known at its bar's close, the decision."""
    closes = bars.select("bar_id", t0="close_timestamp")
    late = features.join(closes, on="bar_id", how="left").filter(
        pl.col("t0").is_null() | (pl.col("known_at") > pl.col("t0"))
    )
    return Finding(
        "no look-ahead",
        late.is_empty(),
        f"{late.height:,} of {features.height:,} rows known after their decision{_first(late)}",
        "do not train on this ticker-session; this is a defect of the program: report it",
        figures={"rows known after their decision": late.height},
    )


def labels_in_session(labels: pl.DataFrame) -> Finding:
    """Decisions lie before the close, and labels become known within the session."""
    if labels.is_empty():
        return Finding("labels within the session", True, "no labels")
    hours = session_hours(labels["date"][0])
    end = pl.lit(hours.postmarket_close).cast(pl.Datetime("ns", "UTC"))
    outside = labels.filter((pl.col("t1") < pl.col("t0")) | (pl.col("t1") > end))
    return Finding(
        "labels within the session",
        outside.is_empty(),
        f"{outside.height:,} of {labels.height:,} labels become known before their decision or"
        f" after the session{_first(outside)}",
        "do not train on this ticker-session; this is a defect of the program: report it",
        figures={"labels outside the session": outside.height},
    )


def label_balance(labels: pl.DataFrame) -> Finding:
    """Many labels of one ticker-session are not all the same."""
    name = "label balance"
    if labels.is_empty():
        return Finding(name, True, "no labels")
    counts = dict(labels["label"].value_counts().sort("label").iter_rows())
    share = max(counts.values()) / labels.height
    shown = ", ".join(f"{label:+d}: {count:,}" for label, count in counts.items())
    return Finding(
        name,
        labels.height < MIN_BALANCED_LABELS or share <= MAX_LABEL_SHARE,
        shown,
        "the barriers are too far for this price path: look at the plot, then at labels.take_profit"
        " and labels.stop_loss",
        is_error=False,
        figures={"share of the most frequent label": share},
    )


def weights_valid(weights: pl.DataFrame) -> Finding:
    """Uniqueness in (0, 1], and that among known rows exactly where the selection was known."""
    bad = weights.filter(
        ~pl.col("uniqueness").is_between(0, 1, closed="right")
        | (pl.col("uniqueness_eligible").is_not_null() != pl.col("is_selection_known"))
    )
    mean: Any = weights["uniqueness"].mean()
    return Finding(
        "uniqueness in (0, 1]",
        bad.is_empty(),
        f"mean {mean or 0.0:.3f}; {bad.height:,} of {weights.height:,} rows"
        f" out of range or out of step with the selection{_first(bad)}",
        "materialize sample_weights of this ticker-session again; if it stays, report it",
        figures={"rows with a wrong uniqueness": bad.height}
        | ({} if mean is None else {"mean uniqueness": mean}),
    )


def selection_consistent(rows: pl.DataFrame) -> Finding:
    """`is_selection_known` says exactly that the decision came after some rule had admitted it."""
    wrong = rows.filter(
        pl.col("is_selection_known") != (pl.col("t0") >= pl.col("eligible_from")).fill_null(False)
    )
    known = int(rows["is_selection_known"].sum())
    return Finding(
        "selection columns",
        wrong.is_empty(),
        f"{known:,} of {rows.height:,} rows known; {wrong.height:,} inconsistent{_first(wrong)}",
        "materialize sample_weights of these ticker-sessions again, then this period",
        figures={"known rows": known, "inconsistent rows": wrong.height},
    )


def coverage(expected: list[str], stored: set[str], least: float) -> Finding:
    """At least a share of the partitions between the first and the last stored one is stored."""
    missing = [key for key in expected if key not in stored]
    share = 1 - len(missing) / len(expected) if expected else 1.0
    shown = f", first {missing[0]}, last {missing[-1]}" if missing else ""
    return Finding(
        "coverage",
        share >= least,
        f"{share:.1%} of {len(expected):,} partitions stored, {len(missing):,} missing{shown}",
        "run `smallcaps backfill --missing`, or launch the missing partitions from the UI",
        is_error=False,
        figures={"share of partitions stored": share, "missing partitions": len(missing)},
    )


def up_to_date(stale: Sequence[str], looked_at: int, stored: int) -> Finding:
    """The newest partitions of a table, all of a small one, are as they would be made now.

    `stale` are the keys of those that are not, oldest first; the last of them are named.
    """
    of = f"{looked_at:,}" if looked_at == stored else f"the newest {looked_at:,} of {stored:,}"
    names = [key for key in stale[-SHOWN_STALE:][::-1] if key]
    more = f" and {len(stale) - len(names):,} more" if len(stale) > len(names) > 0 else ""
    shown = f": {', '.join(names)}{more}" if names else ""
    return Finding(
        "up to date",
        not stale,
        f"{len(stale):,} of {of} partitions out of date{shown}",
        "inputs or settings have changed since, or not all tickers were made: `smallcaps run` makes"
        " them again, its --dry-run shows what that would be; or launch them from the UI",
        is_error=False,
        figures={"partitions out of date": len(stale), "partitions looked at": looked_at},
    )


def vendor_coverage(rows: pl.DataFrame) -> Finding:
    """Of every vendor table of a session nearly all expected tickers have been answered for."""
    answered = pl.col("got") + pl.col("empty")
    short = rows.filter(answered < MIN_ANSWERED_SHARE * pl.col("expected"))
    shown = ", ".join(
        f"{row['table']} {row['got'] + row['empty']:,} of {row['expected']:,}"
        for row in rows.iter_rows(named=True)
    )
    return Finding(
        "vendor coverage",
        short.is_empty(),
        f"tickers answered for: {shown}",
        "the column `reason` says why; what failed is asked for again by the next run, what the"
        " plan does not cover needs another plan or route",
        is_error=False,
        figures={"tables short of answers": short.height},
    )


def freshness(newest: str | None, expected: date | None) -> Finding:
    """The newest session that the sources have is stored."""
    wanted = expected.isoformat() if expected else None
    figures = {}
    if newest and expected:
        later = sessions(date.fromisoformat(newest), expected)[1:]
        figures = {"sessions behind": len(later)}
    return Finding(
        "freshness",
        wanted is None or (newest is not None and newest >= wanted),
        f"newest stored session {newest or 'none'}, newest expected {wanted or 'none'}",
        "see that the daily schedule is on and its last runs succeeded, or run"
        " `smallcaps backfill --missing`",
        is_error=False,
        figures=figures,
    )


def _first(rows: pl.DataFrame) -> str:
    """The first offender, named by what identifies it."""
    names = [name for name in ("ticker", "date", "bar_id") if name in rows.columns]
    if rows.is_empty() or not names:
        return ""
    return ", first " + " ".join(str(value) for value in rows.select(names).row(0))
