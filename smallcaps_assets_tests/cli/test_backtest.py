"""`smallcaps backtest`: tables, JSON, page and comparison of stored backtests; refusals."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import polars as pl
import pytest

from smallcaps_assets.lake import Lake
from smallcaps_assets_tests.end_to_end.command import Finished, listing, smallcaps
from smallcaps_assets_tests.pipeline.backtest_lake import backtest_lake
from smallcaps_assets_tests.reports.page import Page

HALVES = "2024-09-03:2024-09-20", "2024-09-21:2024-10-31"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return backtest_lake(tmp_path_factory.mktemp("lake") / "lake")


@pytest.fixture(autouse=True)
def one_worst_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """Charts take most of the time."""
    monkeypatch.setattr(import_module("smallcaps_assets.cli.backtest"), "WORST_DAYS", 1)


def backtest(lake: Lake, *options: str, status: int = 0) -> Finished:
    root = Path(str(lake.root))
    done = smallcaps("backtest", "--lake", root, *options, cwd=root.parent, COLUMNS="250")
    assert done.status == status, done
    return done


def test_strategy_is_told_with_verdict_figures_and_trials(lake: Lake) -> None:
    done = backtest(lake, "model")
    for text in (
        "it survives its costs", "beats the best baseline, always_long", "4 strategies were tried",
        "no place for research", "expectancy after costs", "159 sessions",
        "By pattern", "By hour", "By price", "By halt", "By rule", "Slippage against the model",
        "Capacity", "All strategies", "Refused",
    ):  # fmt: skip
        assert text.replace("159", "30") in done.out, text


def test_strategy_that_beats_nothing_is_said_not_to(lake: Lake) -> None:
    words = json.loads(backtest(lake, "gap_and_go", "--json").out)["spans"][0]["words"]
    assert "can't be told from no edge" in words or "does not survive its costs" in words
    assert "It does not beat the best baseline, always_long, after costs" in words


def test_json_has_what_the_lake_holds(lake: Lake) -> None:
    (told,) = json.loads(backtest(lake, "model", "--json").out)["spans"]
    trades = lake.read("backtest_trades", "model").filter(pl.col("shares") > 0)
    expectancy = told["figures"]["expectancy"]
    assert expectancy["value"] == pytest.approx(trades["net_profit"].mean())
    assert expectancy["low"] < expectancy["value"] < expectancy["high"]
    assert told["figures"]["overfitting"]["value"] is None
    assert told["figures"]["overfitting"]["reason"] == "30 sessions, fewer than 160"
    assert sum(row["trades"] for row in told["by_hour"]) == trades.height
    assert told["trials"] == 4 and told["outcome"] == "survives"
    assert told["refused"] == [{"refused_by": "positions", "trades": 30}]
    part = json.loads(backtest(lake, "model", "--json", "--to", "2024-09-20").out)["spans"][0]
    cut = trades.filter(pl.col("date") <= pl.date(2024, 9, 20))
    assert sum(row["trades"] for row in part["months"]) == cut.height < trades.height


def test_two_spans_stand_beside_each_other(lake: Lake, tmp_path: Path) -> None:
    page = tmp_path / "two.html"
    done = backtest(lake, "random_side", "--compare", *HALVES, "--html", str(page))
    assert "change" in done.out and "hit rate" in done.out
    assert "Side by side" in page.read_text()
    spans = json.loads(backtest(lake, "model", "--compare", *HALVES, "--json").out)["spans"]
    assert [span["end"] for span in spans] == ["2024-09-20", "2024-10-31"]


def test_page_leads_to_the_worst_days(lake: Lake, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    backtest(lake, "random_side", "--html", str(page))
    first = page.read_text()
    backtest(lake, "random_side", "--html", str(page))
    assert page.read_text() == first
    assert "smallcaps show AB" in Page(first).text
    (link,) = [a["href"] for a in Page(first).of("a") if not a["href"].startswith("#")]
    days = [path.resolve() for path in Path(str(lake.root)).glob("reports/days/*.html")]
    assert (page.parent / link).resolve() in days


def test_all_strategies_are_listed_without_one(lake: Lake) -> None:
    before = listing(Path(str(lake.root)))
    done = backtest(lake)
    assert "survive their costs: model (+" in done.out
    assert "beat the best baseline after costs: model" in done.out
    assert "don't survive their costs: random_side" in done.out.replace("always_long", "")
    told = json.loads(backtest(lake, "--json").out)
    assert told["trials"] == 4 and len(told["strategies"]) == 4
    assert listing(Path(str(lake.root))) == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("nothing",), "'nothing' has no backtest; choose from always_long, gap_and_go"),
        (("model", "--from", "2025-01-01"), "the backtests are of 2024-09-03 to 2024-10-14"),
        (("model", "--from", "2024-10-02", "--to", "2024-10-01"), "swap them"),
        (("model", "--from", "soon"), "write it as YYYY-MM-DD"),
        (("model", "--to", "2024-10-01", "--compare", *HALVES), "leave out --from and --to"),
        (("model", "--html", "page.pdf"), "end its name in .html"),
        (("--compare", *HALVES), "name it: backtest STRATEGY"),
    ],
)
def test_what_means_nothing_is_refused_in_one_line(lake: Lake, options, words) -> None:
    done = backtest(lake, *options, status=2)
    assert words in done.error and done.error.count("\n") == 1 and done.out == ""


def test_lake_without_backtests_says_how_to_make_them(tmp_path: Path, lake: Lake) -> None:
    from smallcaps_assets.lake import open_lake
    from smallcaps_assets.pipeline.market import market_of
    from smallcaps_assets.settings import Settings

    empty = open_lake(tmp_path / "empty", market_of(Settings()).identity)
    done = backtest(empty, "model", status=2)
    assert "has no backtest_days; make it with `smallcaps run`" in done.error
