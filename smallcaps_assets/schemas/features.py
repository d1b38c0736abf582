"""The catalogue of features: what each column that a model may be given is, and since when known.

A feature is declared once, as a column with a family, in `columns.py` and `feed_columns.py`; this
page only reads those declarations. The dataset's other columns are no features, and say why.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from smallcaps_assets.schemas.columns import FEATURE_SCHEMAS
from smallcaps_assets.schemas.table import FAMILY, NO_FEATURE, NULL_MEANS
from smallcaps_assets.schemas.tables import TABLES

_KNOWN = {
    "BarFeatures": "close of the bar, t0",
    "QuoteFeatures": "close of the bar, t0, from quotes before that instant",
    "AsOfFeatures": "t0, from rows with known_at up to it",
}


class FeatureChoiceError(ValueError):
    """A family or column that there is not, or a column that is no feature."""


@dataclass(frozen=True)
class Feature:
    """A column that a model may be given: `null` says what its absence means, empty: never null."""

    name: str
    family: str
    formula: str
    unit: str
    known: str
    null: str


def _features() -> Iterable[Feature]:
    for schema in FEATURE_SCHEMAS:
        for name, column in schema.columns().items():
            marks = column.metadata or {}
            if FAMILY in marks and NO_FEATURE not in marks:
                unit, null = marks.get("unit", ""), marks.get(NULL_MEANS, "")
                formula, known = column.description or "", _KNOWN[schema.__name__]
                yield Feature(name, marks[FAMILY], formula, unit, known, null)


CATALOGUE = {feature.name: feature for feature in _features()}
FAMILIES = tuple(dict.fromkeys(feature.family for feature in CATALOGUE.values()))


def feature_columns(families: Iterable[str] = (), names: Iterable[str] = ()) -> tuple[str, ...]:
    """The features of some families and of some names, in the dataset's order; all of neither.

    Raises FeatureChoiceError for an unknown one, and for a column that is no feature: a label, a
    weight, what selects rows, what was known after t0.
    """
    families, names = tuple(families), tuple(names)
    for family in families:
        if family not in FAMILIES:
            raise FeatureChoiceError(
                f"unknown family {family!r}; choose from {', '.join(FAMILIES)}"
            )
    for name in names:
        _refuse(name)
    if not families and not names:
        return tuple(CATALOGUE)
    return tuple(n for n, feature in CATALOGUE.items() if feature.family in families or n in names)


def _refuse(name: str) -> None:
    if name in CATALOGUE:
        return
    why = TABLES["ml_dataset"].no_features.get(name)
    if why:
        raise FeatureChoiceError(f"{name} is not a feature: {why}; leave it out")
    raise FeatureChoiceError(
        f"unknown feature {name!r}; smallcaps_assets.schemas.features.CATALOGUE has them all"
    )
