"""What a sensor remembers of its last request."""

import pytest

from smallcaps_assets.orchestration.cursor import Cursor

ASKED = 1_000_000.0


@pytest.mark.parametrize(
    ("now", "waited"),
    [(ASKED, 0.0), (ASKED + 59, 59.0), (ASKED + 60, None), (ASKED - 3600, None)],
    ids=["at once", "within the quiet time", "after it", "the clock was set back"],
)
def test_wait_given_a_quiet_minute(now: float, waited: float | None) -> None:
    cursor = Cursor(None)
    cursor.set("requested", ASKED)
    assert Cursor(cursor.text).waited("requested", now, 60) == waited


def test_wait_given_nothing_was_asked_for_is_none() -> None:
    assert Cursor(None).waited("requested", ASKED, 60) is None
