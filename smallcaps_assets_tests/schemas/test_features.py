"""The catalogue of features: every one says what it is, and nothing else gets in."""

from __future__ import annotations

import pytest

from smallcaps_assets.domain.dataset import KEY
from smallcaps_assets.kernels import patterns as kernel
from smallcaps_assets.schemas import TABLES
from smallcaps_assets.schemas.columns import PATTERNS
from smallcaps_assets.schemas.features import (
    CATALOGUE,
    FAMILIES,
    FeatureChoiceError,
    feature_columns,
)
from smallcaps_assets.settings import PATTERN_NAMES


def test_catalogue_has_the_columns_of_the_dataset_that_are_not_marked():
    table = TABLES["ml_dataset"]
    assert set(CATALOGUE) == set(table.columns) - table.no_features.keys()
    assert feature_columns() == tuple(n for n in table.columns if n in CATALOGUE)


@pytest.mark.parametrize("name", CATALOGUE)
def test_feature_says_what_it_is_and_what_null_means(name: str):
    feature, column = CATALOGUE[name], TABLES["ml_dataset"].schema.columns()[name]
    assert feature.formula and feature.family in FAMILIES and "t0" in feature.known
    assert bool(feature.null) == column.nullable


def test_feature_columns_are_those_of_families_and_names_in_order():
    assert feature_columns(["context"], ["gap"]) == (
        *("gap", "minutes_from_open", "is_premarket", "is_ssr", "halts_so_far"),
    )
    assert "microprice" not in feature_columns(["quotes"])


@pytest.mark.parametrize("name", [*TABLES["ml_dataset"].no_features, "null_reason", "close"])
def test_what_is_no_feature_is_refused(name: str):
    with pytest.raises(FeatureChoiceError, match=name):
        feature_columns(names=["gap", name])


def test_refusal_says_why():
    with pytest.raises(FeatureChoiceError, match="rules is not a feature: known at the close"):
        feature_columns(names=["rules"])
    with pytest.raises(
        FeatureChoiceError, match="unknown family 'price_volume'; choose from price"
    ):
        feature_columns(["price_volume"])


def test_no_label_or_key_is_a_feature():
    told = set(TABLES["triple_barrier_labels"].columns) - {"take_profit", "stop_loss"}
    assert not {*told, *KEY} & set(CATALOGUE)


def test_patterns_are_named_as_the_kernel_numbers_them():
    assert PATTERNS == kernel.PATTERNS == PATTERN_NAMES
