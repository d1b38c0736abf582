"""A strategy's account: its events in order of time, session by session, through the risk rules.

Sizes follow the equity of the moment, so each trade depends on those before; what a size would have
got is known already (`trades.py`). Equity, open positions and a latched kill go on from session to
session. The result is the tables `backtest_trades` and `backtest_days`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from typing import Any

import numpy as np
import polars as pl

from smallcaps_assets.domain.execution.fills import LAST_ENTRY, MILLISECOND
from smallcaps_assets.domain.execution.risk import Book, Limits, Position
from smallcaps_assets.domain.execution.sizing import position_size
from smallcaps_assets.domain.execution.trades import STEP, Trade, trade_of
from smallcaps_assets.domain.market.calendar import SessionHours
from smallcaps_assets.schemas import TABLES
from smallcaps_assets.schemas.backtest_columns import FEES
from smallcaps_assets.schemas.table import INSTANT
from smallcaps_assets.settings import Strategy, TradingRules

_WANTED = ("t0", "ticker", "event_id", "date", "month", "pattern", "rule", "score", "side")
_NOTHING = {
    **dict.fromkeys((*FEES, "spread_cost", "slippage", "gross_profit", "net_profit"), 0.0),
    **dict.fromkeys(("max_adverse", "max_favourable", "participation"), 0.0),
    "has_halt": False,
    "shares": 0,
}
_KEY = ("ticker", "date", "sample", "event_id", "side")


@dataclass
class Account:
    """One strategy's account. `notes` has, by month, why there could be no trade in it."""

    strategy: Strategy
    rules: TradingRules
    equity: float
    locate_shares: int = 0
    notes: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.book = Book(self.equity, self._limits(self.equity, None))
        self.trades: list[dict[str, Any]] = []
        self.days: list[dict[str, Any]] = []
        self._held: dict[int, Trade] = {}
        self._booked = 0
        self._peak = self.equity

    def walk(
        self, hours: Sequence[SessionHours], wanted: Mapping[date, Sequence[Mapping[str, Any]]]
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Trades and days of some sessions in order.

        `wanted` has, by session, the events that the strategy wants in order of t0, each joined
        with its row of `backtest_candidates` (instants as integers); one without has `refusal`.
        """
        for session in hours:
            self._session(session, wanted.get(session.date, ()))
        frames = []
        for name, rows in (("backtest_trades", self.trades), ("backtest_days", self.days)):
            table = TABLES[name]
            given = pl.DataFrame(rows, schema=_physical(table.columns), orient="row")
            frames.append(table.conform(given))
        return frames[0], frames[1]

    def _limits(self, equity: float, close: int | None) -> Limits:
        rules = self.rules
        last = None if close is None else close - LAST_ENTRY
        return Limits(
            rules.max_positions, rules.max_day_loss * max(equity, 0.0),
            rules.latency_ms * MILLISECOND, rules.max_drawdown, last,
        )  # fmt: skip

    def _session(self, hours: SessionHours, rows: Sequence[Mapping[str, Any]]) -> None:
        book, first = self.book, len(self.trades)
        start, located = book.equity, {}
        book.begin_session(self._limits(start, hours.close))
        opened = [position.name for position in book.open]
        for row in rows:
            book.advance(row["t0"])
            self._decide(row, located)
        book.advance(hours.postmarket_close)
        closed = book.closed[self._booked :]
        self._booked = len(book.closed)
        for position in closed:
            self._book_trade(position)
        taken = [n for n in range(first, len(self.trades)) if n in self._held]
        path = self._marked_path(hours, start, [*opened, *taken])
        self._add_day(hours.date, len(self.trades) - first, len(taken), closed, path)

    def _decide(self, row: Mapping[str, Any], located: dict[str, int]) -> None:
        """Add the trade of an event, or why there is none."""
        refused = "long_only" if self.rules.long_only and row["side"] < 0 else None
        refused = refused or self.book.refusal(row["t0"], row["ticker"]) or row["refusal"]
        shares, size = 0, 0
        if refused is None:
            size, refused = self._size(row, located)
        if refused is None:
            shares = min(size, row["most_shares"])
            self._open(trade_of({**row, **row["fills"]()}, shares, self.rules), located)
        known = {name: row[name] for name in _WANTED}
        self.trades.append(
            {
                **_NOTHING,
                **known,
                "strategy": self.strategy.name,
                "source": row["source"],
                "refused_by": refused,
                "shares_wanted": size,
                "fill_source": row["fill_source"],
            }
        )

    def _size(self, row: Mapping[str, Any], located: dict[str, int]) -> tuple[int, str | None]:
        rules, entry, side = self.rules, row["price"], row["side"]
        size = position_size(
            max(self.book.equity, 0.0), rules.risk, entry, entry * (1 - side * rules.stop_loss),
            row["atr"], rules.atr_multiple, rules.account_share, row["trailing_volume"],
            rules.participation,
        )  # fmt: skip
        if size.by_volume < 1:
            return 0, "no_volume"
        if size.shares < 1:
            return 0, "size"
        left = self.locate_shares - located.get(row["ticker"], 0)
        if side < 0 and self.locate_shares and left < size.shares:
            return size.shares, "no_locate"
        return size.shares, None

    def _open(self, trade: Trade, located: dict[str, int]) -> None:
        row, number = trade.row, len(self.trades)
        times, marks = trade.marks()
        self._held[number] = trade
        if trade.side < 0:
            located[row["ticker"]] = located.get(row["ticker"], 0) + trade.shares

        def close_at(time: int) -> float:
            self._held[number] = trade.flattened(time)
            return self._held[number].net

        is_late = trade.exit.reasons[-1] == "trapped"
        self.book.add(
            Position(
                number, row["t0"], trade.exit.times[-1], trade.net, times, marks, row["ticker"],
                row["trapped_from"] if is_late else None, close_at,
            )
        )  # fmt: skip

    def _book_trade(self, position: Position) -> None:
        trade = self._held[position.name]
        self.trades[position.name].update(trade.told())

    def _marked_path(self, hours: SessionHours, start: float, numbers: Sequence[int]) -> np.ndarray:
        """Equity at each step of the session's clock, open positions at what closing brings."""
        clock = np.arange(hours.premarket_open, hours.postmarket_close + STEP, STEP)
        path = np.full(clock.size, float(start))
        for number in numbers:
            trade = self._held[number]
            times, marks = trade.marks()
            place = np.searchsorted(np.array(times, np.int64), clock, "right")
            path += np.where(
                clock >= trade.exit.times[-1], trade.net, np.array([0.0, *marks])[place]
            )
        return path

    def _add_day(
        self, day: date, decided: int, taken: int, closed: Sequence[Position], path: np.ndarray
    ) -> None:
        """The session's row; figures are of the positions closed in it."""
        book, rows = self.book, [self.trades[position.name] for position in closed]
        marked = max(1 - float(path.min()) / self._peak, 0.0)
        self._peak = max(self._peak, book.equity)
        month = day.isoformat()[:7]
        self.days.append(
            {
                "strategy": self.strategy.name,
                "date": day,
                "month": month,
                "note": self.notes.get(month),
                "trades": taken,
                "refused": decided - taken,
                "gross_profit": sum(row["gross_profit"] for row in rows),
                "spread_cost": sum(row["spread_cost"] for row in rows),
                "fees": sum(row[name] for row in rows for name in FEES),
                "net_profit": sum(row["net_profit"] for row in rows),
                "equity": book.equity,
                "drawdown": max(1 - book.equity / self._peak, 0.0),
                "marked_drawdown": marked,
                "open_positions": len(book.open),
                "is_killed": book.killed_at is not None,
            }
        )


def _physical(columns: Mapping[str, pl.DataType]) -> dict[str, Any]:
    """Types with instants as integers, as rows have them."""
    return {
        name: pl.Int64() if isinstance(kind, pl.Datetime) else kind
        for name, kind in columns.items()
    }


def with_candidates(
    wanted: pl.DataFrame, candidates: pl.DataFrame
) -> dict[date, list[dict[str, Any]]]:
    """The wanted events by session in order of t0, each with its candidate's columns.

    `wanted` has ticker, date, event_id, sample, t0, side, score, pattern, rule, source; an event
    without a candidate is refused as `no_ticks`. Instants become integers. Lists of fills, which
    only a trade needs, are what `fills` gives when it is called.
    """
    plain = [name for name, kind in candidates.schema.items() if not isinstance(kind, pl.List)]
    lists = as_integers(candidates.select(pl.exclude(*plain)))
    held = candidates.select(plain).drop("t0", "month").with_row_index("place")
    joined = wanted.join(held, on=_KEY, how="left").with_columns(
        month=pl.col("date").dt.strftime("%Y-%m"),
        refusal=pl.when(pl.col("place").is_not_null())
        .then(pl.col("refusal"))
        .otherwise(pl.lit("no_ticks")),
    )
    found: dict[date, list[dict[str, Any]]] = {}
    for row in as_integers(joined.sort("t0", "ticker", "event_id")).iter_rows(named=True):
        row["fills"] = partial(lists.row, row["place"], named=True)
        found.setdefault(row["date"], []).append(row)
    return found


def as_integers(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with instants as integers, in lists too."""
    kinds = {INSTANT: pl.Int64, pl.List(INSTANT): pl.List(pl.Int64)}
    return frame.with_columns(
        pl.col(name).cast(kinds[kind]) for name, kind in frame.schema.items() if kind in kinds
    )
