"""When EDGAR accepted a filing: which clock a company's acceptance times are written in.

`acceptanceDateTime` is marked Z for every company, but only most of them are in UTC; the others are
New York time, the same for all filings of a company over years. A filing can show which: EDGAR
accepts from 06:00 to 22:00 New York on weekdays, and dates what it accepts after 17:30 to the next
business day. A filing that shows nothing is read as those around it; where they disagree or are too
few the later moment counts, which is that of New York.
"""

from __future__ import annotations

from datetime import date, time, timedelta

import polars as pl

from smallcaps_assets.domain.market.calendar import NEW_YORK
from smallcaps_assets.schemas.table import INSTANT

ERA = timedelta(days=3 * 365)
"""How far before a month's end the filings reach that tell the clock of the month's."""
LEAST_FILINGS = 3
"""Filings in a row that must show the same clock before another is read by it."""
PUBLIC_FROM, CLOSE = time(6), time(22)
_CUTOFF = time(17, 30)
_CUTOFF_LATEST, _CLOSE_LATEST = time(18), time(22, 30)
"""What was begun in time may be accepted some minutes later."""
_LONGEST_WAIT = 7
"""Days from acceptance to the next business day, over Christmas at most."""
# Letters and what the SEC's staff files keep neither hours nor dates.
_NO_WITNESS = r"^(CORRESP|UPLOAD|DRS.*|ARS|EFFECT|LETTER|NO ACT|CT ORDER|SEC STAFF.*)(/A)?$"
# Regulation S-T, rule 13(a): these keep the day's date until 22:00.
_UNTIL_CLOSE = r"^(3|4|5|144|SC(HEDULE)? 1(3[DG]|4N).*|.*MEF)(/A)?$"
_ZONE = str(NEW_YORK)
_WALL = pl.col("accepted_raw").str.slice(0, 19).str.to_datetime("%Y-%m-%dT%H:%M:%S", strict=False)


def shown_clock() -> pl.Expr:
    """The clock that a filing shows by itself, from its form, filing_date and accepted_raw.

    utc or new_york; null when it could be either, or neither.
    """
    in_hours = {clock: _in_hours(reading) for clock, reading in _readings().items()}
    in_date = {clock: _has_its_date(reading) for clock, reading in _readings().items()}
    by_date = pl.when(in_hours["utc"] & in_hours["new_york"]).then(_only(in_date))
    is_witness = _time_is_known() & ~pl.col("form").str.contains(_NO_WITNESS)
    return pl.when(is_witness).then(pl.coalesce(_only(in_hours), by_date))


def with_acceptance(filings: pl.DataFrame, end: date) -> pl.DataFrame:
    """`filings` with accepted_at and accepted_clock, in order of company and time.

    Needs cik, accession_number, filing_date, accepted_raw (EDGAR's text) and shown_clock (see
    there). Only filings dated from ERA before `end` up to `end` are looked at and returned, so
    that later ones change nothing. accepted_clock is utc or new_york when the nearest filings on
    both sides that show a clock are of one run of at least LEAST_FILINGS, else unknown.
    accepted_at is null when the text has no time, or 00:00:00.
    """
    inside = filings.filter(pl.col("filing_date").is_between(end - ERA, end))
    ordered = inside.sort("cik", _WALL, "shown_clock", "accession_number", nulls_last=True)
    shown, company = pl.col("shown_clock"), "cik"
    before = shown.forward_fill().shift(1).over(company)
    is_first = shown.is_not_null() & shown.ne_missing(before)
    runs = ordered.with_columns(is_first.cum_sum().over(company).cast(pl.Int64).alias("_run"))
    runs = runs.with_columns(
        pl.when(pl.col("_run") > 0).then("_run").alias("_last"),
        pl.when(shown.is_not_null()).then("_run").backward_fill().over(company).alias("_next"),
    ).with_columns(pl.coalesce("_last", "_next").alias("_run"))
    is_inside = (pl.col("_last") == pl.col("_next")).fill_null(True)
    is_long = shown.count().over(company, "_run") >= LEAST_FILINGS
    clock = pl.when(_time_is_known() & is_inside & is_long).then(shown.max().over(company, "_run"))
    told = runs.with_columns(clock.fill_null("unknown").alias("accepted_clock"))
    return told.with_columns(_accepted_at().alias("accepted_at")).drop("_run", "_last", "_next")


def filing_known_at() -> pl.Expr:
    """When a filing was public, from accepted_at and filing_date.

    From acceptance, or from 06:00 of its date if that is later; without a time from 22:00.
    """
    opening, closing = (_at(pl.col("filing_date").dt.combine(t)) for t in (PUBLIC_FROM, CLOSE))
    accepted = pl.col("accepted_at")
    return pl.when(accepted.is_null()).then(closing).otherwise(pl.max_horizontal(accepted, opening))


def _accepted_at() -> pl.Expr:
    moments = {clock: reading.cast(INSTANT) for clock, reading in _readings().items()}
    later = pl.max_horizontal(moments["utc"], moments["new_york"])
    read = pl.when(pl.col("accepted_clock") == "utc").then(moments["utc"]).otherwise(later)
    return pl.when(_time_is_known()).then(read)


def _time_is_known() -> pl.Expr:
    return (_WALL.dt.time() != time(0)).fill_null(False)


def _readings() -> dict[str, pl.Expr]:
    """The moments that a text can mean, on the clock of New York."""
    utc = _WALL.dt.replace_time_zone("UTC").dt.convert_time_zone(_ZONE)
    return {"utc": utc, "new_york": _in_new_york(_WALL)}


def _in_new_york(wall: pl.Expr) -> pl.Expr:
    """New York time; an hour that the change of clocks leaves out counts as the next one."""
    there = wall.dt.replace_time_zone(_ZONE, ambiguous="latest", non_existent="null")
    after = wall.dt.offset_by("1h").dt.replace_time_zone(
        _ZONE, ambiguous="latest", non_existent="null"
    )
    return pl.coalesce(there, after)


def _at(wall: pl.Expr) -> pl.Expr:
    return _in_new_york(wall).dt.convert_time_zone("UTC").cast(INSTANT)


def _in_hours(reading: pl.Expr) -> pl.Expr:
    return reading.dt.time().is_between(PUBLIC_FROM, _CLOSE_LATEST) & (reading.dt.weekday() < 6)


def _has_its_date(reading: pl.Expr) -> pl.Expr:
    """Whether the filing has the date that EDGAR gives what it accepts at that moment."""
    days = (pl.col("filing_date") - reading.dt.date()).dt.total_days()
    is_same, is_later = days == 0, days.is_between(1, _LONGEST_WAIT)
    in_time = (reading.dt.time() <= _CUTOFF_LATEST) | pl.col("form").str.contains(_UNTIL_CLOSE)
    return (is_same & in_time) | (is_later & (reading.dt.time() >= _CUTOFF))


def _only(is_possible: dict[str, pl.Expr]) -> pl.Expr:
    """The one clock of two that is possible."""
    utc, new_york = is_possible["utc"], is_possible["new_york"]
    return (
        pl.when(utc & ~new_york).then(pl.lit("utc")).when(new_york & ~utc).then(pl.lit("new_york"))
    )
