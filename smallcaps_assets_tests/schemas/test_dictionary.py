"""The data dictionary in docs/ is the one that the declarations give."""

from pathlib import Path

import pytest

import smallcaps_assets
from smallcaps_assets.schemas import TABLES
from smallcaps_assets.schemas.dictionary import data_dictionary

PAGE = Path(smallcaps_assets.__file__).parents[1] / "docs" / "data_dictionary.md"


def test_page_is_current():
    """Update it: `python -m smallcaps_assets.schemas.dictionary > docs/data_dictionary.md`."""
    assert PAGE.read_text(encoding="utf-8") == data_dictionary()


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES.keys())
def test_every_table_says_whence_and_from_when(table):
    assert bool(table.source) == (table.layer == "raw")
    assert bool(table.known) != ("known_at" in table.columns)
