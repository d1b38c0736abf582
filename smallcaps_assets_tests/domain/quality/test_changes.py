"""Two readings of a partition: what was added, removed and changed."""

from __future__ import annotations

import polars as pl

from smallcaps_assets.domain.quality.changes import NOTHING_CHANGED, changes

OLD = pl.DataFrame(
    {
        "ticker": ["A", "A", "B"],
        "number": [1, 2, 1],
        "price": [1.0, None, 3.0],
        "conditions": [[1], [], [2, 3]],
    }
)
KEY = ("ticker", "number")


def test_changes_given_the_same_rows_expected_none() -> None:
    found = changes(OLD, OLD.clone(), KEY)
    assert not found
    assert str(found) == NOTHING_CHANGED


def test_changes_given_every_kind_expected_counts_columns_and_examples() -> None:
    new = pl.DataFrame(
        {
            "ticker": ["A", "A", "C"],
            "number": [1, 2, 1],
            "price": [1.0, 2.5, 9.0],
            "conditions": [[1, 37], [], []],
        }
    )
    found = changes(OLD, new, KEY)
    assert (found.added, found.removed, found.changed) == (1, 1, 2)
    assert found.columns == ("price", "conditions")
    assert found.examples == (
        "changed A 1: conditions [1] -> [1, 37]",
        "changed A 2: price None -> 2.5",
        "added C 1",
        "removed B 1",
    )
    assert str(found).startswith("1 rows added, 1 removed, 2 changed in price, conditions; ")


def test_changes_given_nulls_in_both_expected_equal() -> None:
    new = OLD.with_columns(
        pl.when(pl.col("ticker") == "B").then(4.0).otherwise("price").alias("price")
    )
    assert changes(OLD, new, KEY).changed == 1


def test_changes_given_an_empty_reading_expected_all_removed() -> None:
    found = changes(OLD, OLD.clear(), KEY)
    assert (found.added, found.removed, found.changed) == (0, 3, 0)
