"""The usual volume by a minute of the day, and what today's is relative to."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest

from smallcaps_assets.domain.market.calendar import session_hours, sessions
from smallcaps_assets.domain.market.volume_curve import MINUTE, volume_curve

# Over the change to daylight saving time.
DAYS = sessions(date(2021, 1, 4), date(2021, 4, 30))


def minutes(days, volumes=((0, 10.0), (330, 100.0), (331, 50.0))):
    """Minute bars of (minute since 04:00, volume), the same on each day."""
    rows = [
        (day, session_hours(day).premarket_open + minute * MINUTE, volume)
        for day in days
        for minute, volume in volumes
    ]
    frame = pl.DataFrame(
        rows, {"date": pl.Date, "window_start": pl.Int64, "volume": pl.Float64}, orient="row"
    )
    return frame.cast({"window_start": pl.Datetime("ns", "UTC")})


def test_volume_curve_is_the_mean_of_cumulative_volumes_whatever_the_clock_does():
    curve = volume_curve(minutes(DAYS[:60]))
    assert curve is not None
    assert curve.shape == (960,)
    assert [curve[n] for n in (0, 329, 330, 331, 959)] == [10, 10, 110, 160, 160]


def test_volume_curve_takes_the_newest_sixty_sessions():
    rows = pl.concat([minutes(DAYS[:10], [(5, 1e6)]), minutes(DAYS[10:70], [(5, 40.0)])])
    curve = volume_curve(rows.sample(fraction=1.0, shuffle=True, seed=1))
    assert curve is not None
    assert curve[959] == 40


def test_volume_curve_needs_twenty_sessions_in_which_it_traded():
    assert volume_curve(minutes(DAYS[:19])) is None
    idle = pl.concat([minutes(DAYS[:19]), minutes(DAYS[19:40], [(3, 0.0)])])
    assert volume_curve(idle) is None
    assert volume_curve(minutes(DAYS[:0])) is None
    unequal = pl.concat([minutes(DAYS[:10]), minutes(DAYS[10:20], [(330, 20.0)])])
    curve = volume_curve(unequal)
    assert curve is not None
    assert curve[330] == pytest.approx((110 + 20) / 2)
