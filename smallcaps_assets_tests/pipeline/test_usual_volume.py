"""The minutes that relative volume at the time of day looks back on."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import polars as pl

from smallcaps_assets.pipeline.inputs import input_digests
from smallcaps_assets.pipeline.usual_volume import UsualVolume
from smallcaps_assets.pipeline.workspace import Workspace
from smallcaps_assets_tests.domain.market_frames import frame
from smallcaps_assets_tests.pipeline.bench import workspace
from smallcaps_assets_tests.pipeline.small_dataset import put

DAY = date(2024, 10, 9)
KEY = f"AAME_{DAY}"


def minutes(day: date, *tickers: str) -> pl.DataFrame:
    start = pl.Series([day]).cast(pl.Datetime("ns", "UTC"))[0] + timedelta(hours=14)
    rows = [{"date": day, "ticker": name, "window_start": start} for name in tickers]
    return frame("minute_bars", rows, open=5.0, high=5.0, low=5.0, close=5.0, volume=100.0)


def lake_of(root: Path) -> Workspace:
    work = workspace(root)
    for key in work.span.session_keys(work.span.start, work.span.end):
        put(work, "minute_bars", key, minutes(date.fromisoformat(key), "AAME", "OTHER"))
    row = {"ticker": "AAME", "date": DAY, "partition_key": KEY, "identity": "A"}
    row |= {"rules": "info_rich", "selection_rule": "info_rich", "is_qualified": True}
    at = pl.Series([DAY]).cast(pl.Datetime("ns", "UTC"))[0]
    put(work, "ticker_sessions", None, frame("ticker_sessions", [row], eligible_from=at))
    split = {"year": 2024, "ticker": "AAME", "execution_date": date(2024, 10, 7)}
    rows = frame("splits", [split], split_from=10.0, split_to=1.0)
    put(work, "splits", "2024", rows)
    return work


def test_minutes_are_of_the_sessions_before_on_the_share_basis_of_the_day(tmp_path: Path):
    found = UsualVolume(lake_of(tmp_path)).minutes("AAME", DAY)
    days = found.select("date", "volume").rows()
    assert [day.day for day, _ in days] == [1, 2, 3, 4, 7, 8]
    assert [volume for _, volume in days] == [10.0] * 4 + [100.0] * 2


def test_minutes_of_an_earlier_day_know_no_later_split_nor_session(tmp_path: Path):
    found = UsualVolume(lake_of(tmp_path)).minutes("AAME", date(2024, 10, 3))
    assert found["volume"].to_list() == [100.0, 100.0]


def test_symbol_without_minutes_has_none(tmp_path: Path):
    work = lake_of(tmp_path)
    assert UsualVolume(work).minutes("NONE", DAY).is_empty()
    assert UsualVolume(work).minutes("AAME", work.span.start).is_empty()


def test_features_are_out_of_date_when_the_minutes_before_change_and_not_their_own(tmp_path: Path):
    work = lake_of(tmp_path)

    def digests() -> list[str]:
        return list(input_digests(work, "bar_features", KEY))

    before = digests()
    put(work, "minute_bars", str(DAY), minutes(DAY, "AAME"))
    assert digests() == before
    put(work, "minute_bars", "2024-10-08", minutes(date(2024, 10, 8), "AAME"))
    assert digests() != before
