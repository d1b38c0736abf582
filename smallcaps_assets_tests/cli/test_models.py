"""`smallcaps models` and `smallcaps predict` on a lake of a made-up dataset of two real tickers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from smallcaps_assets.lake import Lake
from smallcaps_assets_tests.domain.models.rows import INFORMED
from smallcaps_assets_tests.end_to_end.command import Finished, smallcaps
from smallcaps_assets_tests.pipeline.model_lake import DAY, MONTH, listed, model_lake, remembering
from smallcaps_assets_tests.reports.page import Page

pytest.importorskip("lightgbm")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A lake whose March 2024 is predicted, and one of its tickers. Not to be changed."""
    root = tmp_path_factory.mktemp("models") / "lake"
    ticker, outcomes = model_lake(root)
    assert [outcome.error for outcome in outcomes] == [None] * 4
    told = outcomes[-1].metadata
    assert told["areas"].startswith("![AUC: sign_15m ensemble 0.")
    assert 0.5 < told["AUC sign_15m lightgbm"] <= 1
    return root, ticker


def done(lake: Path, *words: str, status: int = 0) -> Finished:
    found = smallcaps(words[0], "--lake", lake, *words[1:], cwd=lake.parent, COLUMNS="200")
    assert found.status == status, found
    return found


def refusal(lake: Path, *words: str) -> str:
    found = done(lake, *words, status=2)
    assert found.out == "" and found.error.count("\n") == 1
    return found.error


def test_models_are_judged_out_of_sample_in_json(made: tuple[Path, str]) -> None:
    found = json.loads(done(made[0], "models", "--json").out)
    scores = {(row["target"], row["algorithm"]): row for row in found["scores"]}
    assert set(scores) == {
        (target, algorithm)
        for target in ("sign_15m", "touch")
        for algorithm in ("ensemble", "lightgbm", "logistic")
    }
    stored = Lake(made[0]).read("predictions", MONTH)
    for (target, algorithm), row in scores.items():
        own = stored.filter(target=target, algorithm=algorithm, outcome=True).height
        assert row["rows"] * row["share"] == pytest.approx(own)
        assert row["auc"] > 0.7  # the planted feature
    assert [row["month"] for row in found["by_month"]] == [MONTH] * 6
    assert {row["is_unseen"] for row in found["by_company"]} == {False}
    assert found["features_of_sign_15m"][0]["feature"] == INFORMED[0]
    assert found["missing"] == []
    assert "shows the machinery, not an edge" in found["words"]


def test_a_model_that_knows_more_than_the_oracle_is_called_a_leak(made: tuple[Path, str]) -> None:
    shares = json.loads(done(made[0], "models", "--json").out)["against_oracle"]
    assert [(row["target"], row["algorithm"]) for row in shares] == [
        ("sign_15m", name) for name in ("ensemble", "lightgbm", "logistic")
    ]
    for row in shares:  # outcomes are made up: the oracle knows nothing of them, the models do
        assert abs(row["oracle_auc"] - 0.5) < 0.15
        assert row["share"] is None
        assert row["is_leak"]
    shown = done(made[0], "models").out
    assert "Against the oracle" in shown
    assert shown.count("leak: sign_15m") == 3


def test_the_page_has_every_table_and_plot(made: tuple[Path, str], tmp_path: Path) -> None:
    file = tmp_path / "models.html"
    assert f"page  {file}" in done(made[0], "models", "--html", str(file)).out
    page = Page(file.read_text(encoding="utf-8"))
    assert not page.open
    for words in ("Out of sample", "What the models look at", "Folds", "Against the oracle"):
        assert words in page.text
    assert "Every fold has all its models." in page.text
    assert len(page.of("img")) >= 6  # areas, reliability and features of two targets
    again = done(made[0], "models", "--html", str(tmp_path / "again.html"))
    assert again.status == 0
    assert (tmp_path / "again.html").read_bytes() == file.read_bytes()


def test_predict_shows_each_event_as_the_month_has_it(made: tuple[Path, str]) -> None:
    lake, ticker = made
    found = json.loads(done(lake, "predict", ticker, str(DAY), "--json").out)
    stored = Lake(lake).read("predictions", MONTH).filter(ticker=ticker, date=DAY)
    assert len(found) == stored.height == 4 * 6
    told = {(r["event_id"], r["target"], r["algorithm"]): r["probability"] for r in found}
    for row in stored.iter_rows(named=True):
        assert told[row["event_id"], row["target"], row["algorithm"]] == row["probability"]
    shown = done(lake, "predict", ticker, str(DAY)).out
    assert f"{ticker} on {DAY}, times in New York" in shown and "11:00:00" in shown
    csv = done(lake, "predict", ticker, str(DAY), "--csv").out
    assert csv.count("\n") == 25


def test_what_can_not_be_predicted_is_refused_in_one_line(made: tuple[Path, str]) -> None:
    lake, ticker = made
    assert "unknown ticker 'NOSUCH'" in refusal(lake, "predict", "NOSUCH", str(DAY))
    assert "DATE '12 March' is no date" in refusal(lake, "predict", ticker, "12 March")
    assert "daily_bars has nothing" in refusal(lake, "predict", ticker, "2024-02-06")


def test_a_lake_without_models_says_how_they_are_made(tmp_path: Path) -> None:
    work = remembering(tmp_path / "lake")
    line = refusal(tmp_path / "lake", "models")
    assert "has no predictions; make it with `smallcaps run`" in line
    listed(work, "A")
    line = refusal(tmp_path / "lake", "predict", "A", str(DAY))
    assert "the lake has no models; make them with `smallcaps run` (2024-03 was asked for)" in line
