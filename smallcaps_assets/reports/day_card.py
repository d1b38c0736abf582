"""One ticker-session in words: its facts, a card for the terminal, and a page with its pictures."""

from __future__ import annotations

from collections import Counter

from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from smallcaps_assets.reports import human
from smallcaps_assets.reports.canvas import OUTCOMES
from smallcaps_assets.reports.day_plot import day_plot, events_plot, halt_minutes
from smallcaps_assets.reports.days import DayView
from smallcaps_assets.reports.pages import template


def day_facts(view: DayView) -> list[tuple[str, str]]:
    """(name, value) as shown beside the plots of a day."""
    value, label = view.metrics.get, view.labels["label"]
    eligible = human.new_york_clock(view.eligible_from, seconds=True)
    halted = view.halt_intervals
    halts = f"{len(halted)}, {halt_minutes(halted):,.0f} minutes" if halted else "none"
    return [
        ("previous close", human.price(value("previous_close"))),
        ("change at the close", human.percent(value("pct_change"), signed=True)),
        ("relative volume", human.multiple(value("rvol30"))),
        ("dollar volume", human.dollars(value("dollar_volume"))),
        ("trades", human.count(len(view.ticks)) if view.has_trades else "not stored"),
        ("dollar imbalance bars", human.count(len(view.bars))),
        ("labels +1 / 0 / -1", " / ".join(str(int((label == v).sum())) for v in OUTCOMES)),
        ("patterns", _patterns(view)),
        ("halts", halts),
        ("rules", view.rules.replace(",", ", ") or human.MISSING),
        ("eligible from", eligible if view.eligible_from is None else f"{eligible} New York"),
    ]


def _patterns(view: DayView) -> str:
    """Each pattern with how often it was seen, in the order of its first event."""
    if view.patterns.is_empty():
        return "none"
    counts = Counter(view.patterns["pattern"])
    return ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in counts.items())


def price_facts(view: DayView) -> list[tuple[str, str]]:
    """(name, value) of the day's own bar and its actions."""
    value = view.metrics.get
    bar = [(name, human.price(value(name))) for name in ("open", "high", "low", "close")]
    split, cash = value("split_factor") or 1.0, value("cash_dividend") or 0.0
    actions = [f"split, prices x {split:g}"] if split != 1 else []
    actions += [f"dividend {human.price(cash)}"] if cash else []
    return [
        *bar,
        ("volume", human.compact(value("volume"))),
        ("gap at the open", human.percent(value("gap"), signed=True)),
        ("premarket volume", human.compact(value("premarket_volume"))),
        ("actions", ", ".join(actions) or "none"),
    ]


def day_card(view: DayView) -> Panel:
    """The facts of a day for the terminal."""
    table = Table.grid(padding=(0, 2))
    whose = [("name", view.name or human.MISSING), ("identity", view.identity or human.MISSING)]
    for name, value in (*whose, *price_facts(view), *day_facts(view)):
        table.add_row(f"[dim]{escape(name)}[/]", escape(value))
    return Panel(table, title=f"[bold]{escape(view.ticker)}[/] {view.date}", expand=False)


def day_page(view: DayView) -> str:
    """A self-contained page: the facts and the pictures."""
    drawn = [] if view.ticks.is_empty() else [day_plot(view), events_plot(view)]
    facts, plots = [*price_facts(view), *day_facts(view)], [plot for plot in drawn if plot]
    return template("day.html").render(view=view, facts=facts, plots=plots)


__all__ = ["day_card", "day_facts", "day_page", "price_facts"]
