"""Which tables the main job and a backfill leave out of a market."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from smallcaps_assets.jobs.backfill import Backfill, Request, tables_of
from smallcaps_assets.jobs.run import MainJob
from smallcaps_assets.lake import Lake
from smallcaps_assets.pipeline.market import SEC_TABLES, market_of
from smallcaps_assets.settings import Settings

DAY = date(2024, 12, 20)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Of the vendor's market, where the SEC can't be told who asks."""
    given = {"lake": {"root": str(tmp_path)}, "market": {"name": "polygon"}}
    return Settings.model_validate(given)


def test_main_job_that_is_forced_asks_the_sec_no_more_than_another(settings: Settings) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        arguments: Any = (settings, Lake(settings.lake.root), instance, DAY, DAY)
        asked, forced = (MainJob(*arguments, is_forced=is_forced) for is_forced in (False, True))
        named = Backfill(*arguments, request=Request(SEC_TABLES))
        assert asked.left_out == forced.left_out >= {*SEC_TABLES}
        assert not named.left_out & {*SEC_TABLES}


def test_backfill_that_names_no_table_is_of_those_of_the_main_job(settings: Settings) -> None:
    tables = tables_of([], market_of(settings).left_out)
    assert "daily_bars" in tables
    assert not {*tables} & {*SEC_TABLES, "news"}
    assert tables_of(["news", "filings"], market_of(settings).left_out) == ("filings", "news")
