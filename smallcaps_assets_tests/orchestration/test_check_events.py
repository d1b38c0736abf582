"""What Dagster is told of findings: each in words, and its figures as numbers that it can plot."""

import dagster as dg
import pytest

from smallcaps_assets.domain.quality.checks import Finding
from smallcaps_assets.orchestration.checks import evaluation, result

FINDINGS = [
    Finding("contract", True, "1,000 unique rows", figures={"row count": 1000}),
    Finding("coverage", False, "75 % stored", "fill it", False, figures={"share stored": 0.75}),
    Finding("halt feed", True, "the feed had the session"),
]


@pytest.mark.parametrize("made", [evaluation("halts", "2024-05-03", FINDINGS), result(FINDINGS)])
def test_findings_become_words_and_numbers(made: dg.AssetCheckEvaluation | dg.AssetCheckResult):
    assert made.metadata == {
        "contract": dg.TextMetadataValue("1,000 unique rows"),
        "row count": dg.IntMetadataValue(1000),
        "coverage": dg.TextMetadataValue("75 % stored; fill it"),
        "share stored": dg.FloatMetadataValue(0.75),
        "halt feed": dg.TextMetadataValue("the feed had the session"),
    }
