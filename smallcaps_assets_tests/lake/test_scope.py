"""Scopes behave like the sets of tickers that they stand for."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallcaps_assets.lake import Scope

ALPHABET = "ABCD"
WORLD = frozenset(ALPHABET + "Z")  # Z stands for every ticker that is never named
scopes = st.builds(Scope, st.booleans(), st.frozensets(st.sampled_from(ALPHABET)))


def members(scope: Scope) -> frozenset[str]:
    return frozenset(ticker for ticker in WORLD if ticker in scope)


@given(scopes, scopes)
def test_scope_given_two_expected_set_algebra(one: Scope, other: Scope) -> None:
    assert members(one.union(other)) == members(one) | members(other)
    assert one.covers(other) == (members(one) >= members(other))


@given(scopes, st.frozensets(st.sampled_from(ALPHABET)))
def test_without_given_tickers_expected_difference(scope: Scope, tickers: frozenset[str]) -> None:
    assert members(scope.without(tickers)) == members(scope) - tickers


@given(scopes)
def test_text_given_scope_expected_the_same_back(scope: Scope) -> None:
    assert Scope.parse(str(scope)) == scope


@given(scopes)
def test_selects_given_rows_expected_those_of_the_members(scope: Scope) -> None:
    frame = pl.DataFrame({"ticker": sorted(WORLD)})
    assert set(frame.filter(scope.selects("ticker"))["ticker"]) == members(scope)


@pytest.mark.parametrize(
    ("scope", "text"),
    [
        (Scope(), "all"),
        (Scope.only(["B", "A"]), "A,B"),
        (Scope.only([]), "all"),
        (Scope().without(["B", "A"]), "all but A,B"),
        (Scope.nothing(), ""),
    ],
)
def test_text_given_kinds_expected_words(scope: Scope, text: str) -> None:
    assert str(scope) == text
