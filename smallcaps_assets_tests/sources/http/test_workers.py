"""Many items at once: every answer, or each item's own failure."""

from __future__ import annotations

import pytest

from smallcaps_assets.sources.errors import BadAnswer, NotEntitled, SourceError, Unauthorized
from smallcaps_assets.sources.http.workers import gather, in_parallel


def _fail(kind: type[Exception]):
    def work(item: int) -> int:
        if item == 3:
            raise kind("no")
        return item * 10

    return work


def test_in_parallel_given_items_expected_answers_in_their_order() -> None:
    assert in_parallel(lambda n: n * 10, range(50), 8) == [n * 10 for n in range(50)]


def test_in_parallel_given_a_failure_expected_raised() -> None:
    with pytest.raises(BadAnswer):
        in_parallel(_fail(BadAnswer), range(50), 8)


def test_gather_given_one_bad_item_expected_the_others_and_its_failure() -> None:
    found, failed = gather(_fail(BadAnswer), range(6), 2)
    assert found == {n: n * 10 for n in (0, 1, 2, 4, 5)}
    assert list(failed) == [3]
    assert isinstance(failed[3], SourceError)


@pytest.mark.parametrize("kind", [Unauthorized, NotEntitled, ZeroDivisionError])
def test_gather_given_what_concerns_all_items_expected_raised(kind: type[Exception]) -> None:
    with pytest.raises(kind):
        gather(_fail(kind), range(6), 2)
