"""What stored partitions are told apart by stays the same from version to version."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

from smallcaps_assets.settings import Settings, load_settings
from smallcaps_assets_tests.end_to_end.command import SMALL_MARKET
from smallcaps_assets_tests.end_to_end.conftest import PERIODS
from smallcaps_assets_tests.golden.digests import DIGESTS_FILE, digests


def settings_of_small_lake() -> Settings:
    """The settings with which the small lake is made."""
    chosen = load_settings([f"{name}={value}" for name, value in SMALL_MARKET.items()])
    return Settings.model_validate(chosen.model_dump() | tomllib.loads(PERIODS))


def test_settings_and_inputs_of_every_table_are_those_of_stored_lakes(small_lake: Path) -> None:
    """Update the file on purpose, by golden/digests.py, and say in CHANGELOG what is made anew."""
    assert digests(small_lake, settings_of_small_lake()) == json.loads(DIGESTS_FILE.read_text())
