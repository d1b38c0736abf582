"""A paper session: what is known when it begins, the feed, and its decisions beside the tape's.

What the desk knows beside the feed is read from the lake before the session; of a lake that lacks
it, nothing is known, but the close before, which is asked for.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from smallcaps_assets.desk import session as feed
from smallcaps_assets.desk.checks import Chain
from smallcaps_assets.desk.control import Control
from smallcaps_assets.desk.core import Desk
from smallcaps_assets.desk.events import Link, Snapshot
from smallcaps_assets.desk.journal import Journal
from smallcaps_assets.desk.paper import Book, PaperBroker, PaperRules
from smallcaps_assets.desk.runtime import Runtime
from smallcaps_assets.desk.scanner import Decision, Scanner, TickerScan
from smallcaps_assets.desk.session import RULES, Session
from smallcaps_assets.desk.trading import Chooser, Company, Facts, Trader
from smallcaps_assets.domain.bars.arrays import new_rows
from smallcaps_assets.domain.bars.build import activity_target, dollar_imbalance_bars
from smallcaps_assets.domain.bars.features import SessionContext, bar_features, session_context
from smallcaps_assets.domain.bars.quote_features import no_quotes, quote_arrays, quote_features
from smallcaps_assets.domain.execution.account import Account
from smallcaps_assets.domain.execution.rules import TIER_1, TIER_2
from smallcaps_assets.domain.execution.signals import StrategyError
from smallcaps_assets.domain.feeds.asof import asof_features, changes
from smallcaps_assets.domain.market.calendar import SessionHours, session_hours
from smallcaps_assets.domain.market.volume_curve import volume_curve
from smallcaps_assets.domain.models.scoring import scorers
from smallcaps_assets.domain.patterns.events import pattern_events
from smallcaps_assets.domain.ticks.quotes import is_firm
from smallcaps_assets.domain.ticks.tape import TickError, prepare_ticks
from smallcaps_assets.pipeline.backtest import Run
from smallcaps_assets.pipeline.dataset import feeds_of
from smallcaps_assets.pipeline.usual_volume import UsualVolume
from smallcaps_assets.pipeline.workspace import Workspace
from smallcaps_assets.schemas.model_columns import BARS, PATTERNS
from smallcaps_assets.schemas.table import INSTANT
from smallcaps_assets.schemas.tables import ASOF_COLUMNS
from smallcaps_assets.settings import Period, Settings
from smallcaps_assets.sources.errors import SourceError
from smallcaps_assets.sources.polygon.stream import Band, Batch, Nbbo, Print

MS = 1_000_000
HALTED, RESUMED = 17, 18
LOT = 100
_Key = tuple[str, str, str, int, int]  # of a decision, and the side


@dataclass(frozen=True)
class Known:
    """What is known of some tickers before a session: contexts, usual volumes, companies."""

    day: date
    contexts: Mapping[str, SessionContext]
    curves: Mapping[str, np.ndarray | None]
    companies: Mapping[str, Company]

    @property
    def hours(self) -> SessionHours:
        return session_hours(self.day)

    @property
    def without_close(self) -> list[str]:
        """Tickers of which neither the lake nor the vendor told the close before."""
        return [name for name, known in self.contexts.items() if known.previous_close is None]


def known_of(work: Workspace, day: date, tickers: Sequence[str]) -> Known:
    """What the lake knows of some tickers before a session, each with its figures of that day, or
    of the newest session before."""
    rows = _metrics(work, day)
    closes = {} if all(t in rows for t in tickers) else _closes(work, day)
    contexts, curves = {}, {}
    usual = UsualVolume(work, {ticker: [day] for ticker in tickers})
    for ticker in tickers:
        row = rows.get(ticker, {"previous_close": closes.get(ticker)})
        contexts[ticker] = session_context(ticker, day, row)
        curves[ticker] = volume_curve(usual.minutes(ticker, day))
    return Known(day, contexts, curves, _companies(work, day, tickers))


def _metrics(work: Workspace, day: date) -> dict[str, dict[str, Any]]:
    """By ticker its row of the session; of the one before its close is the close before."""
    lake, key = work.lake, day.isoformat()
    if lake.exists("daily_metrics", key):
        return {row["ticker"]: row for row in lake.read("daily_metrics", key).to_dicts()}
    before = work.sessions_before(day, 1)
    if not before or not lake.exists("daily_metrics", before[0]):
        return {}
    rows = lake.read("daily_metrics", before[0]).to_dicts()
    return {row["ticker"]: {**row, "previous_close": row["close"]} for row in rows}


def _closes(work: Workspace, day: date) -> dict[str, float]:
    """Closes of the session before, from the vendor; none where it can't tell."""
    before = work.sessions_before(day, 1)
    if not before:
        return {}
    try:
        bars = work.clients.polygon.daily_bars(date.fromisoformat(before[0]))
    except SourceError:
        return {}
    return dict(bars.select("ticker", "close").iter_rows())


def listed(work: Workspace, day: date) -> list[str]:
    """The tickers that the registry has of a session."""
    if not work.lake.exists("ticker_sessions", None):
        return []
    rows = work.lake.read("ticker_sessions").filter(pl.col("date") == day)
    return rows["ticker"].unique().sort().to_list()


def _companies(work: Workspace, day: date, tickers: Sequence[str]) -> dict[str, Company]:
    """Those that the registry admits from their instant on; others are admitted as they are named,
    from the start."""
    found = {ticker: Company() for ticker in tickers}
    if not work.lake.exists("ticker_sessions", None):
        return found
    rows = work.lake.read("ticker_sessions").filter(
        pl.col("date") == day, pl.col("ticker").is_in(tickers)
    )
    facts = _facts(work, day, rows)
    instants = rows.with_columns(pl.col("eligible_from").cast(INSTANT).to_physical())
    for row in instants.iter_rows(named=True):
        ticker = row["ticker"]
        known = facts.get(ticker, Facts())
        found[ticker] = Company(row["selection_rule"], row["eligible_from"], known)
    return found


def _facts(work: Workspace, day: date, registry: pl.DataFrame) -> dict[str, Facts]:
    """Features beside the tape through the session, by what the lake has of it when it begins."""
    if registry.is_empty():
        return {}
    hours, period = session_hours(day), Period(name=f"session-{day}", start=day, end=day)
    feeds = feeds_of(work, period, registry)
    times = [hours.premarket_open, *changes(feeds, hours.premarket_open, hours.close)]
    instants = pl.DataFrame({"t0": times}).cast({"t0": INSTANT})
    told = asof_features(registry.select("ticker", "date", "identity").join(instants, how="cross"),
                         feeds)  # fmt: skip
    since = [name for name in ASOF_COLUMNS if name.startswith("days_since_")]
    found = {}
    for (ticker,), of_ticker in told.group_by("ticker"):
        rows = of_ticker.sort("t0").select(ASOF_COLUMNS).to_dicts()
        steps: list[tuple[int, dict[str, Any], dict[str, int]]] = []
        for t, row in zip(times, rows, strict=True):
            events = {name: _instant(t, row[name]) for name in since if row[name] is not None}
            fixed = {name: None if name in events else value for name, value in row.items()}
            if not steps or (fixed, events) != steps[-1][1:]:
                steps.append((t, fixed, events))
        found[str(ticker)] = Facts(*zip(*steps, strict=True))
    return found


def _instant(time: int, days: float) -> int:
    """When an event was that is so many days old at a time: instants of events are whole us."""
    return round((time - round(days * 86_400 * 10**9)) / 1000) * 1000


def chooser_of(work: Workspace, name: str, known: Known) -> Chooser:
    """A declared strategy, with the models of its month. Raises StrategyError."""
    settings = work.settings.backtest
    declared = {one.name: one for one in settings.every}
    if name not in declared:
        choice = ", ".join(declared)
        raise StrategyError(f"no strategy {name!r} is declared; choose from {choice}")
    strategy, month, models, logistic = declared[name], known.day.isoformat()[:7], None, None
    if strategy.asks_models:
        if not work.lake.exists("models", month):
            raise StrategyError(
                f"strategy {name!r} asks models, and the lake has none of {month}; make them with"
                " `smallcaps run`, or choose another strategy, such as every_pattern"
            )
        models = scorers(work.lake.read("models", month))
    if strategy.signal == "logistic":
        run = Run(work)
        logistic = run.month(month).logistic if month in run.months else None
        if logistic is None:
            raise StrategyError(f"there are no rows before {month} to fit strategy {name!r} on")
    return Chooser(strategy, settings.seed, known.companies, models, logistic)


def paper_session(
    settings: Settings, known: Known, chooser: Chooser, folder: Path, control: Path,
    tell: Callable[[str], None] = lambda text: None,
) -> Session:  # fmt: skip
    """A session ready to take messages, its journal in `folder`."""
    chosen, strategy = settings.backtest, chooser.strategy
    rules, hours = chosen.rules_of(strategy), known.hours
    books = {
        ticker: Book(hours, context.previous_close, context.is_ssr_carried,
                     TIER_1 if ticker in chosen.tier_1 else TIER_2)
        for ticker, context in known.contexts.items()
    }  # fmt: skip
    account = Account(strategy, rules, chosen.equity, chosen.locate_shares)
    trader = Trader(account, chooser, books, hours, chosen.most_value)
    desk = Desk(known.day.timetuple().tm_yday, rules=RULES, chain=Chain([trader.check]))
    journal = Journal(folder / "journal.jsonl")
    runtime = Runtime(desk, journal, Control(control), lambda: trader.now, tell)
    trader.connect(runtime, PaperBroker(books, lambda: trader.now, PaperRules.of(rules)))
    trader.now = hours.premarket_open
    for event in (Link(True), Snapshot((), (), ())):
        runtime.step(trader.now, event)
    room = new_rows()
    scans = {
        ticker: TickerScan(context, hours, settings, known.curves[ticker], True, room,
                           known.companies[ticker].eligible_from)
        for ticker, context in known.contexts.items()
    }  # fmt: skip
    return Session(Scanner(scans), trader)


def messages_of(batch: Batch, unit: int) -> Iterator[feed.Message]:
    """Messages of the feed, as a session takes them; `unit` is the shares in one of its sizes."""
    for m in batch.messages:
        if isinstance(m, Print):
            yield feed.Traded(m.sym, m.t * MS, m.p, m.size, m.x, m.c, m.z)
        elif isinstance(m, Nbbo):
            codes = (m.c,) if m.c else ()
            sides = (m.bp, m.bs * unit, m.ap, m.as_ * unit)
            yield feed.Shown(m.sym, m.t * MS, *sides, codes)
        elif isinstance(m, Band) and (HALTED in m.i or RESUMED in m.i):
            yield feed.Halted(m.T, m.t * MS, HALTED in m.i)


def unit_of(settings: Settings, day: date) -> int:
    """The shares in one unit of the feed's quote sizes."""
    return 1 if day >= settings.polygon.quote_shares_since else LOT


# Beside the tape ---------------------------------------------------------------------------------
@dataclass(frozen=True)
class Agreement:
    """Live decisions that a strategy wanted, beside those of the tape that was fetched later.

    `reasons` counts them: `agrees`, or why not; `differences` names the others.
    """

    reasons: Mapping[str, int]
    differences: Sequence[str]

    def write(self, file: Path) -> None:
        """Store it beside the journal."""
        told = {"reasons": dict(self.reasons), "differences": list(self.differences)}
        file.write_text(json.dumps(told, indent=1) + "\n")


def agreement(work: Workspace, known: Known, session: Session) -> Agreement:
    """Compare a session's decisions with the batch over the vendor's tape, by ticker."""
    reasons: Counter[str] = Counter()
    differences: list[str] = []
    for ticker, scan in session.scanner.scans.items():
        live = {(*key, side) for key, side in session.trader.wanted if key[0] == ticker}
        try:
            tapes = _tape(work, known, ticker)
            there, rounded = (
                _wanted_of(work.settings, known, session.trader.chooser, scan, *tape)
                for tape in (tapes, [_in_milliseconds(frame) for frame in tapes])
            )
        except (SourceError, TickError) as error:
            reasons["no tape"] += len(live)
            differences.append(f"{ticker}: {error}")
            continue
        reasons["agrees"] += len(live & there)
        for key in sorted(live ^ there):
            reason = _reason(key, live, rounded, scan, tapes[0])
            reasons[reason] += 1
            side = "only live" if key in live else "only on the tape"
            differences.append(f"{' '.join(map(str, key))}: {side}, {reason}")
    return Agreement(reasons, differences)


def _reason(
    key: _Key, live: set[_Key], rounded: set[_Key], scan: TickerScan, trades: pl.DataFrame
) -> str:
    """Why a decision is on one side only; the first that may explain it."""
    if (key in live) == (key in rounded):
        return "instants in milliseconds"
    if scan.counts["late"] or scan.counts["quotes late"]:
        return "late messages"
    if trades["correction"].fill_null(0).max():
        return "corrected prints"
    return "missed or another order of arrival"


def _tape(work: Workspace, known: Known, ticker: str) -> list[pl.DataFrame]:
    """The vendor's trades and quotes of a ticker-session."""
    client = work.clients.polygon
    trades = client.trades(ticker, known.day)
    return [trades, client.quotes(ticker, known.day)]


def _in_milliseconds(frame: pl.DataFrame) -> pl.DataFrame:
    whole = pl.col("sip_timestamp").dt.truncate("1ms")
    return frame.with_columns(whole) if frame.height else frame


def _wanted_of(
    settings: Settings, known: Known, chooser: Chooser, scan: TickerScan, trades: pl.DataFrame,
    quotes: pl.DataFrame,
) -> set[_Key]:  # fmt: skip
    found = tape_decisions(settings, known, scan, trades, quotes)
    return {(*d.key, chosen["side"]) for d in found for chosen in chooser(d)}


def tape_decisions(
    settings: Settings, known: Known, scan: TickerScan, trades: pl.DataFrame, quotes: pl.DataFrame
) -> list[Decision]:
    """The decisions of a ticker-session by the tables' own functions on its whole tape."""
    context, hours = scan.context, known.hours
    tape = prepare_ticks(trades, hours, settings.ticks, scan.told_halts, context.ticker)
    target = activity_target(context.median_dollar_volume20, settings.bars)
    bars = dollar_imbalance_bars(tape, settings.bars, target)
    features = bar_features(tape.ticks, bars, context, hours, tape.halts, scan.curve)
    firm = quotes.with_columns(is_firm=is_firm(quotes["conditions"])) if quotes.height else quotes
    given = quote_arrays(firm, hours, tape.session_end) if quotes.height else no_quotes()
    told = quote_features(tape, bars, given)[0]
    events = pattern_events(tape, context, settings.patterns, scan.eligible_from)
    found = [
        Decision(context.ticker, known.day, BARS, row["bar_id"], t0, 0.0, row | more)
        for row, more, t0 in zip(
            features.to_dicts(), told.to_dicts(), _instants(features["known_at"]), strict=True
        )
    ]
    times = [bar.t0 for bar in found]
    for row, t0 in zip(events.to_dicts(), _instants(events["t0"]), strict=True):
        place = int(np.searchsorted(times, t0, "right")) - 1
        bar = found[place] if place >= 0 else None
        found.append(Decision(context.ticker, known.day, PATTERNS, row["event_id"], t0,
                              row["price"], row, bar))  # fmt: skip
    return found


def _instants(values: pl.Series) -> Iterable[int]:
    return values.cast(INSTANT).to_physical().to_list()
