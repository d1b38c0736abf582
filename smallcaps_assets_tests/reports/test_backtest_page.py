"""A backtest's page and words: whole, honest about what is absent, readable on a phone."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import polars as pl
import pytest

from smallcaps_assets.domain.evidence.comparison import standings
from smallcaps_assets.domain.evidence.summary import evidence_of
from smallcaps_assets.domain.evidence.trials import trial_of
from smallcaps_assets.reports.backtest_grids import FIGURES, WorstDay, figure_grid
from smallcaps_assets.reports.backtest_page import BacktestFigures, backtest_page
from smallcaps_assets.reports.backtest_words import outcome_lines, strategy_metadata, verdict
from smallcaps_assets.reports.spans import Span
from smallcaps_assets.reports.sparkline import MOST_CHARACTERS, equity_sparkline
from smallcaps_assets_tests.domain.evidence.backtests import make_days, make_trades
from smallcaps_assets_tests.reports.page import HOSTILE, Page, look
from smallcaps_assets_tests.reports.report_frames import make_day

SPAN = Span("2024-09-03 to 2024-10-14", date(2024, 9, 3), date(2024, 10, 14))


def make_backtest(name: str = "model", edge: float = 0.4) -> BacktestFigures:
    """A strategy beside a baseline and one that never traded, with a latency and a worst day."""
    idle = make_trades("idle", "pattern", seed=4).with_columns(
        shares=pl.lit(0, pl.Int64), net_profit=pl.lit(0.0), refused_by=pl.lit("ssr")
    )
    parts = [make_trades(name, edge=edge, seed=1), make_trades("always_long", "baseline", seed=2)]
    trades = pl.concat([*parts, idle], how="vertical_relaxed")
    days = make_days(trades)
    trials = [trial_of(n, days.filter(strategy=n)) for n in (name, "always_long", "idle")]
    variant = {"part": "latency", "value": "1000 ms", "trades": 36, "expectancy": -1.0}
    return BacktestFigures(
        span=SPAN,
        market="simulated",
        evidence=evidence_of(name, trades, days, trials),
        standings=standings(trades, days["strategy"].unique().sort().to_list()),
        variants=pl.DataFrame([variant | {"error": 0.5, "net_profit": -36.0}]),
        worst=[WorstDay(make_day(), 2, -123.4, "days/PUMP_2024-12-13.html")],
    )


@pytest.fixture(scope="module")
def page() -> str:
    return backtest_page([make_backtest()])


def test_every_figure_is_on_the_page_with_error_or_reason(page):
    shown = Page(page)
    assert not shown.open and all(words in shown.text for words in FIGURES.values())
    figures = make_backtest().evidence.figures
    assert set(figures) == set(FIGURES)
    for row in figure_grid(figures, 3).rows:
        assert row[1] != "–" or row[-1], row
    for text in ("12 sessions, fewer than 160", "3 strategies were tried", "A model: every trade",
                 "above 5 % of the minute", "1000 ms", "it survives its costs",
                 "no place for research"):  # fmt: skip
        assert text in shown.text + page, text


def test_worst_day_leads_to_its_page_and_asks_nothing_of_the_network(page):
    shown = Page(page)
    links = [a["href"] for a in shown.of("a") if not a["href"].startswith("#")]
    assert links == ["days/PUMP_2024-12-13.html"]
    assert "smallcaps show" in shown.text and "-123.40" in shown.text
    assert "http" not in page.replace("http://www.w3.org", "")


def test_page_given_no_trade_explains_each_gap():
    found = make_backtest()
    nothing = replace(
        found,
        evidence=replace(
            evidence_of("idle", found.evidence.trades.clear(), found.evidence.days, []),
            strategy="idle",
        ),
        worst=(),
    )
    text = Page(backtest_page([nothing])).text
    assert "idle took no trade of the 48 that it wanted" in text
    assert "no trade was taken" in text and "No trade was made." in text


def test_page_given_hostile_names_escapes_them():
    html = backtest_page([make_backtest(HOSTILE)])
    assert "<script" not in html and "<script>alert(1)</script>" in Page(html).text


def test_page_of_two_spans_compares_them():
    two = [make_backtest(), replace(make_backtest(edge=-0.4), span=replace(SPAN, name="worse"))]
    text = Page(backtest_page(two)).text
    assert "Side by side" in text and "Figures: worse" in text
    assert "worse: model made -" in text


@pytest.mark.parametrize("width", [390, 1280])
def test_page_given_browser_width_fits_without_errors(browser, tmp_path, page, width):
    path = tmp_path / "page.html"
    path.write_text(page, encoding="utf-8")
    seen = look(browser, path, width, "light")
    assert (seen.messages, seen.outside, seen.broken_images) == ([], [], 0)
    assert seen.overflow <= 0
    assert bool(seen.narrow_images) == (width == 390)


# Words -------------------------------------------------------------------------------------------
def test_strategy_that_beats_no_baseline_is_said_not_to():
    found = make_backtest(edge=-0.5)
    words = found.words
    assert "it does not survive its costs" in words
    assert "It does not beat the best baseline, always_long, after costs: -" in words
    assert words.endswith("The simulated market is no place for research.")
    alone = found.standings.filter(strategy="model").with_columns(baseline=None)
    row = alone.row(0, named=True)
    assert "nothing to beat. 1 strategy was tried" in verdict(row, 1)


def test_run_lines_say_which_survive_and_which_dont():
    parts = [make_trades("model", edge=-0.5, seed=1), make_trades("always_long", "baseline")]
    trades = pl.concat(parts, how="vertical_relaxed")
    lines = list(outcome_lines(trades, make_days(trades), 7))
    assert lines[0].startswith("backtest 2 strategies over 12 sessions; 7 strategies were tried")
    assert lines[1] == "survive their costs: none"
    assert lines[2].startswith("can't be told from no edge after costs: ")
    assert lines[3].startswith("don't survive their costs: ") and "model (-" in lines[3]
    assert sum("always_long (" in line for line in lines[2:4]) == 1
    assert lines[-1] == "beat the best baseline after costs: none"
    (none,) = outcome_lines(trades, make_days(trades).clear(), 0)
    assert "needs a test month" in none


def test_ui_shows_equity_expectancy_and_the_share_of_costs():
    trades = make_trades(edge=0.4, seed=1)
    told = strategy_metadata(trades, make_days(trades))
    assert told["equity"].startswith("![12 sessions, ") and " ± " in told["expectancy"]
    assert told["costs' share"].endswith(" %") and told["trades"] == "36 taken, 12 refused"
    lost = make_trades(edge=-0.9, seed=1)
    assert strategy_metadata(lost, make_days(lost))["costs' share"] == "nothing earned before costs"
    idle = trades.with_columns(shares=pl.lit(0))
    assert strategy_metadata(idle, make_days(idle))["expectancy"] == "no trade was taken"


def test_equity_sparkline_fits_the_ui_and_tells_nothing_of_no_session():
    rows = [(n, 25_000.0 + n * 37 % 1_000) for n in range(2_000)]
    days = pl.DataFrame(rows, schema=["date", "equity"], orient="row")
    drawn = equity_sparkline(days)
    assert len(drawn) <= MOST_CHARACTERS and "2000 sessions, 25,000 to " in drawn
    assert "no sessions" in equity_sparkline(days.clear())
