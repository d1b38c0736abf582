"""Reasons of failed attempts, kept beside the tables."""

from __future__ import annotations

from pathlib import Path

from smallcaps_assets.lake import Failure, Failures, Lake

KEY = "2024-05-03"


def test_failures_given_a_record_expected_it_back_until_cleared(tmp_path: Path) -> None:
    failures = Failures(Lake(tmp_path))
    failure = Failure("MissingTickers", "1 of 3 failed", {"A": "BadAnswer: no"})
    assert failures.find("minute_bars", KEY) is None
    failures.record("minute_bars", KEY, failure)
    assert failures.find("minute_bars", KEY) == failure
    assert failures.find("minute_bars", "2024-05-06") is None
    failures.clear("minute_bars", KEY)
    failures.clear("minute_bars", KEY)
    assert failures.find("minute_bars", KEY) is None


def test_failures_given_a_damaged_record_expected_none(tmp_path: Path) -> None:
    failures = Failures(Lake(tmp_path))
    failures.record("splits", "2024", Failure("BadAnswer", "no"))
    (path,) = tmp_path.rglob("failure.json")
    path.write_text("{", encoding="utf-8")
    assert failures.find("splits", "2024") is None


def test_digest_given_another_failure_expected_another_text(tmp_path: Path) -> None:
    failures = Failures(Lake(tmp_path))
    seen = {failures.digest("splits", "2024")}
    for failure in (Failure("A", ""), Failure("B", ""), Failure("B", "", {"X": "why"})):
        failures.record("splits", "2024", failure)
        seen.add(failures.digest("splits", "2024"))
    assert len(seen) == 4


def test_all_given_failures_of_every_cut_expected_tables_and_keys(tmp_path: Path) -> None:
    failures = Failures(Lake(tmp_path))
    assert list(failures.all()) == []
    failure = Failure("BadAnswer", "no")
    known = [("free_float", ""), ("splits", "2024"), ("tickers", KEY), ("trades", f"BCpC_{KEY}")]
    for table, key in known:
        failures.record(table, key or None, failure)
    assert sorted(failures.all()) == [(table, key, failure) for table, key in known]
