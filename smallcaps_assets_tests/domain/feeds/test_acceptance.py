"""Which clock EDGAR's times of acceptance are on: told by other filings, never by later ones."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, time, timedelta

import polars as pl
import pytest

from smallcaps_assets.domain.feeds.acceptance import (
    ERA,
    LEAST_FILINGS,
    filing_known_at,
    shown_clock,
    with_acceptance,
)
from smallcaps_assets.domain.market.calendar import NEW_YORK, sessions

END = date(2024, 12, 31)
Row = tuple[str, str, str]


def frame(rows: list[Row], cik: str = "0000000001") -> pl.DataFrame:
    """Filings of form, filing date and raw time."""
    columns = ["form", "filing_date", "accepted_raw"]
    schema = dict.fromkeys(columns, pl.String)
    return (
        pl.DataFrame(rows, schema=schema, orient="row")
        .with_columns(pl.col("filing_date").str.to_date(), cik=pl.lit(cik))
        .with_row_index("accession_number")
        .with_columns(pl.col("accession_number").cast(pl.String))
        .with_columns(shown_clock().alias("shown_clock"))
    )


def shown(form: str, filed: str, raw: str) -> str | None:
    return frame([(form, filed, raw)])["shown_clock"][0]


@pytest.mark.parametrize(
    ("form", "filed", "raw", "clock"),
    [
        # By the hours: one reading is at night or on a Saturday.
        ("8-K", "2024-07-02", "2024-07-02T00:30:00.000Z", "utc"),  # 20:30 of the day before
        ("4", "2024-07-01", "2024-07-02T00:30:00.000Z", "utc"),
        ("8-K", "2024-01-08", "2024-01-06T02:59:00.000Z", "utc"),  # Friday 21:59, standard time
        ("8-K", "2024-07-02", "2024-07-02T09:50:00.000Z", "new_york"),  # 05:50 if UTC
        ("8-K", "2024-01-02", "2024-01-02T10:50:00.000Z", "new_york"),  # 05:50 in winter
        # By the date: what is accepted after 17:30 has the next business day's.
        ("8-K", "2024-07-01", "2024-07-01T20:15:00.000Z", "utc"),  # 16:15, dated the same day
        ("8-K", "2024-07-02", "2024-07-01T20:15:00.000Z", "new_york"),
        ("8-K", "2024-07-05", "2024-07-03T18:15:00.000Z", "new_york"),  # over the holiday
        # Either could be.
        ("8-K", "2024-07-01", "2024-07-01T16:15:00.000Z", None),  # 12:15 or 16:15
        ("8-K", "2024-07-01", "2024-07-01T17:45:00.000Z", None),  # begun before 17:30
        ("4", "2024-07-01", "2024-07-01T20:15:00.000Z", None),  # insiders have until 22:00
        ("SC 13G/A", "2024-07-01", "2024-07-01T20:15:00.000Z", None),
        # Neither, or no witness.
        ("EFFECT", "2024-07-01", "2024-07-02T04:15:00.000Z", None),  # released at 00:15
        ("EFFECT", "2024-07-01", "2024-07-02T00:15:00.000Z", None),
        ("CORRESP", "2024-07-01", "2024-07-01T20:15:00.000Z", None),
        ("8-K", "2024-07-01", "2024-07-01T00:00:00.000Z", None),
        ("8-K", "2024-07-01", "", None),
    ],
)
def test_filing_shows_the_clock_that_alone_is_possible(
    form: str, filed: str, raw: str, clock: str | None
) -> None:
    assert shown(form, filed, raw) == clock


def test_real_filings_of_a_company_on_new_york_time() -> None:
    """Tesla's, 2018 to 2022, as EDGAR delivers them."""
    rows = [
        ("8-K", "2022-10-03", "2022-10-03T06:05:40.000Z"),
        ("10-Q", "2022-10-24", "2022-10-24T06:08:50.000Z"),
        ("4", "2022-11-08", "2022-11-08T20:18:10.000Z"),
        ("DEFA14A", "2022-08-01", "2022-08-01T06:11:39.000Z"),
        ("8-K", "2022-08-05", "2022-08-05T16:11:22.000Z"),
        ("CORRESP", "2021-04-27", "2021-04-27T21:19:51.000Z"),
        ("EFFECT", "2020-05-10", "2020-05-13T00:15:27.000Z"),
    ]
    read = with_acceptance(frame(rows), date(2022, 12, 31))
    assert set(read["accepted_clock"]) == {"new_york"}
    at = dict(read.select("filing_date", "accepted_at").iter_rows())
    assert at[date(2022, 8, 5)] == datetime(2022, 8, 5, 20, 11, 22, tzinfo=UTC)


# A filer over the years --------------------------------------------------------------------------
def history(is_utc: object, days: list[date], seed: int = 1) -> list[tuple[Row, datetime]]:
    """A filing a day, with the true moment; `is_utc` tells of each day how it is written."""
    rng, made = random.Random(seed), []
    for day in days:
        moment = datetime.combine(day, time(6)) + timedelta(seconds=rng.randrange(16 * 3600))
        late = moment.time() > time(17, 30)
        filed = next(d for d in sessions(day, day + timedelta(9)) if d > day or not late)
        true = moment.replace(tzinfo=NEW_YORK).astimezone(UTC)
        raw = true if is_utc(day) else moment  # type: ignore[operator]
        made.append((("8-K", str(filed), f"{raw:%Y-%m-%dT%H:%M:%S}.000Z"), true))
    return made


def errors(made: list[tuple[Row, datetime]]) -> pl.DataFrame:
    """Of each filing, in order: its clock and how many hours late it counts as accepted."""
    found = frame([row for row, _ in made])
    truth = pl.Series("true", [true for _, true in made], dtype=pl.Datetime("ns", "UTC"))
    read = with_acceptance(found.with_columns(truth), END)
    late = (pl.col("accepted_at") - pl.col("true")).dt.total_seconds() / 3600
    return read.select("true", "accepted_clock", late.alias("late")).sort("true")


WEEKS = sessions(date(2023, 1, 3), END)[::5]


def test_filers_of_both_kinds_are_read_exactly_over_both_changes_of_the_clocks() -> None:
    for is_utc, clock in ((True, "utc"), (False, "new_york")):
        found = errors(history(lambda day, it=is_utc: it, WEEKS))
        assert set(found["accepted_clock"]) == {clock}
        assert set(found["late"]) == {0.0}


@pytest.mark.parametrize("was_utc", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_filer_that_changes_is_read_by_either_clock_and_never_early_for_long(
    was_utc: bool, seed: int
) -> None:
    change = date(2024, 2, 1)
    found = errors(history(lambda day: (day < change) == was_utc, WEEKS, seed))
    clocks = found["accepted_clock"].to_list()
    first, last = ("utc", "new_york") if was_utc else ("new_york", "utc")
    assert (clocks[0], clocks[-1]) == (first, last)
    assert found["late"].min() == 0.0
    assert found.filter(pl.col("late") > 0).height <= 5
    near = (pl.col("true") - change).dt.total_days().abs() < 90
    assert set(found.filter(pl.col("accepted_clock") == "unknown").select(near).to_series()) <= {
        True
    }


def test_later_filings_change_nothing() -> None:
    """Cut at any month's end, the filings up to it are read as if the later ones did not exist."""
    change = date(2024, 3, 15)
    rows = [row for row, _ in history(lambda day: day < change, WEEKS)]
    for end in (date(2023, 3, 31), date(2024, 3, 31), date(2024, 4, 30)):
        known = [row for row in rows if row[1] <= str(end)]
        cut = with_acceptance(frame(known), end)
        whole = with_acceptance(frame(rows), end)
        assert whole.equals(cut)
        assert cut.height == len(known)
    assert with_acceptance(frame(rows), END).height > cut.height


def test_a_few_that_contradict_are_read_late_and_do_not_change_the_others() -> None:
    made = history(lambda day: True, WEEKS)
    odd = [("8-K", "2024-05-07", "2024-05-07T07:00:00.000Z")] * (LEAST_FILINGS - 1)
    read = with_acceptance(frame([*(row for row, _ in made), *odd]), END)
    count = dict(read["accepted_clock"].value_counts().iter_rows())
    assert set(count) == {"utc", "unknown"}
    assert count["unknown"] < 12
    told = read.filter(pl.col("accepted_raw") == odd[0][2])
    assert set(told["accepted_clock"]) == {"unknown"}
    assert set(told["accepted_at"]) == {datetime(2024, 5, 7, 11, tzinfo=UTC)}


def test_filings_of_other_companies_and_other_years_tell_nothing() -> None:
    morning = [("8-K", "2024-12-02", "2024-12-02T12:00:00.000Z")]
    rows = [row for row, _ in history(lambda day: True, WEEKS)]
    both = pl.concat([frame(rows, "0000000002"), frame(morning)])
    read = with_acceptance(both, END).filter(pl.col("cik") == "0000000001")
    assert read["accepted_clock"].to_list() == ["unknown"]
    old = sessions(END - ERA - timedelta(200), END - ERA - timedelta(1))[::5]
    rows = [row for row, _ in history(lambda day: True, old)]
    read = with_acceptance(frame([*rows, *morning]), END)
    assert read["accepted_clock"].to_list() == ["unknown"]


@pytest.mark.parametrize(
    ("filed", "accepted", "known"),
    [
        ("2024-07-01", "2024-07-01T11:00", "2024-07-01T11:00"),  # 07:00, the same day
        ("2024-07-02", "2024-07-01T23:00", "2024-07-02T10:00"),  # in the evening: public at 06:00
        ("2024-01-08", "2024-01-05T23:00", "2024-01-08T11:00"),  # Friday evening, in winter
        ("2024-07-01", "2024-07-02T01:00", "2024-07-02T01:00"),  # an insider's, at 21:00
        ("2024-07-01", None, "2024-07-02T02:00"),  # when EDGAR closes
    ],
)
def test_filing_is_known_from_acceptance_or_from_06_00_of_its_date(
    filed: str, accepted: str | None, known: str
) -> None:
    moment = None if accepted is None else datetime.fromisoformat(accepted)
    rows = pl.DataFrame({"filing_date": [date.fromisoformat(filed)], "accepted_at": [moment]})
    rows = rows.with_columns(
        pl.col("accepted_at").cast(pl.Datetime("ns")).dt.replace_time_zone("UTC")
    )
    found = rows.select(filing_known_at()).to_series()[0]
    assert found == datetime.fromisoformat(known).replace(tzinfo=UTC)
