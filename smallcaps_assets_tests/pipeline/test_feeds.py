"""Assets of feeds on the embedded market: rows, resume, and what a spoiled source leaves behind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, time, tzinfo
from pathlib import Path

import polars as pl
import pytest

from smallcaps_assets.defs.feed_schedules import feeds_due, open_halts
from smallcaps_assets.domain.market.calendar import NEW_YORK
from smallcaps_assets.domain.quality.coverage import coverage
from smallcaps_assets.lake import Failures
from smallcaps_assets.pipeline.clients import Regulators
from smallcaps_assets.pipeline.coverage import _of_feed, _of_session
from smallcaps_assets.pipeline.feed_partitions import needed_halves, published_halves
from smallcaps_assets.pipeline.halt_feed import halts_digest, halts_of
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets.pipeline.workspace import Workspace
from smallcaps_assets.sandbox import SandboxConfig, SimulatedMarket
from smallcaps_assets.schemas import OPS, TABLES
from smallcaps_assets.settings import TickSettings
from smallcaps_assets.sources.errors import (
    BadAnswer,
    MissingContact,
    NotFound,
    SourceUnavailable,
)
from smallcaps_assets.sources.http.throttle import Throttle
from smallcaps_assets.sources.regulators.halts import HaltFeed
from smallcaps_assets.sources.regulators.sec import SecClient
from smallcaps_assets_tests.pipeline.bench import BUILDS, make_sessions, reference, workspace
from smallcaps_assets_tests.sources.loopback import Loopback, Reply
from smallcaps_assets_tests.sources.regulators import test_halts

LONG = {"sandbox": {"end": "2024-12-06", "tickers": 20, "pump_days": 4}}
KEYS = {
    "halts": "2024-11-01",
    "facility_short_volume": "2024-11-01",
    "polygon_short_volume": "2024-11-01",
    "short_interest": "2024-10-16",
    "fails_to_deliver": "2024-10-01",
    "filings": "2024-10",
    "news": "2024-10",
    "balance_sheets": "2024",
    "income_statements": "2024",
    "cash_flow_statements": "2024",
    "free_float": "",
    "ticker_events": "NXVL",
}


def made(work: Workspace, table: str, key: str, is_resumed: bool = True) -> Outcome:
    run = replace(work, skip_complete=is_resumed)
    return run.make(table, key or None, lambda: BUILDS[table](run, table, key))


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """A market of two months, so that fails and short interest are published."""
    found = workspace(
        tmp_path_factory.mktemp("feeds") / "lake", short={"facilities": "FNSQ,FNRA"}, **LONG
    )
    reference(found)
    yield found


@pytest.mark.parametrize("table", KEYS)
def test_feed_table_expected_rows_with_known_at_and_resume(work: Workspace, table: str) -> None:
    key = KEYS[table]
    outcome = made(work, table, key)
    assert outcome.error is None
    stored = work.lake.read(table, key or None)
    assert stored.height > 0 or table == "halts"
    assert stored["known_at"].null_count() == 0
    assert TABLES[table].validate(stored).equals(stored)
    assert made(work, table, key).is_reused


def test_filings_expected_at_their_true_moment_on_either_clock(tmp_path: Path) -> None:
    """Against the wall clock of the simulation, which the client never sees."""
    work = workspace(tmp_path / "lake", sandbox={"end": "2024-10-31", "tickers": 40})
    reference(work)
    outcome = made(work, "filings", "2024-10")
    assert outcome.error is None
    (told,) = [f.found for f in outcome.findings if f.name == "acceptance"]
    assert "accepted by UTC" in told and "0 without a time" in told
    values = {**work.settings.sandbox.model_dump(), "faults": ()}
    truth = {
        (x.cik, x.accession): (x.accepted.replace(tzinfo=NEW_YORK), x.is_utc)
        for x in SimulatedMarket(SandboxConfig(kind="simulated", **values)).facts.submissions
    }
    late: dict[str, list[bool]] = {}
    for row in work.lake.read("filings", "2024-10").to_dicts():
        accepted, is_utc = truth[row["cik"], row["accession_number"]]
        clock = row["accepted_clock"]
        assert clock == "unknown" or (clock == "utc") == is_utc
        late.setdefault(clock, []).append(row["accepted_at"] > accepted)
        opening = datetime.combine(row["filing_date"], time(6), NEW_YORK)
        assert row["accepted_at"] >= accepted
        assert row["known_at"] == max(row["accepted_at"], opening)
    assert len(late["utc"]) > len(late["new_york"]) > 0
    assert not any(late["utc"] + late["new_york"])


def test_coverage_expected_to_tell_of_the_feeds_that_a_session_can_know(work: Workspace) -> None:
    day = "2024-10-31"
    keys = work.span.session_keys(work.span.start, date.fromisoformat(day))
    made_lists = make_sessions(work, ["tickers", "daily_bars", "universe"], keys)
    assert not [outcome for outcome in made_lists.values() if outcome.error]
    for table, key in {
        "halts": day,
        "facility_short_volume": day,
        "filings": "2024-10",
    }.items():
        assert made(work, table, key).error is None
    told = {row["table"]: row for row in _of_session(work, day).frame.to_dicts()}
    assert told["halts"]["expected"] == told["daily_bars"]["expected"] > 0
    for table in ("halts", "facility_short_volume", "filings"):
        assert told[table]["got"] + told[table]["empty"] == told[table]["expected"], table
    assert told["facility_short_volume"]["got"] > 0
    assert "fails_to_deliver" not in told  # its first half-month comes out a day later
    assert "exchange_short_volume" not in told  # left out by the main job, and never tried


def test_short_interest_of_finra_expected_like_polygons(work: Workspace, tmp_path: Path) -> None:
    other = workspace(tmp_path / "lake", short={"interest_source": "finra"}, **LONG)
    ours = made(work, "short_interest", "2024-10-16").preview
    made(other, "short_interest", "2024-10-16")
    columns = ["settlement_date", "short_interest", "avg_daily_volume", "days_to_cover", "known_at"]
    theirs = other.lake.read("short_interest", "2024-10-16")
    assert ours is not None
    polygon = work.lake.read("short_interest", "2024-10-16").select(columns)
    assert theirs.select(columns).sort(columns).equals(polygon.sort(columns))
    assert "BCPRC" in set(theirs["symbol"])


def test_halts_expected_from_the_feed_for_the_tape(work: Workspace) -> None:
    keys = work.span.session_keys(work.span.start, work.span.end)
    for key in keys:
        made(work, "halts", key)
    rows = work.lake.read_many("halts", keys)
    assert rows.height > 0
    ticker, day = rows.select("ticker", "date").row(0)
    found = halts_of(work.lake, ticker, day)
    assert found is not None and found.height >= 1
    nobody = halts_of(work.lake, "NOBODY", day)
    assert nobody is not None and nobody.is_empty()
    ticks = work.settings.ticks
    assert halts_digest(work.lake, ticker, day, ticks) != halts_digest(
        work.lake, "NOBODY", day, ticks
    )


def coverage_counts(work: Workspace, key: str, table: str) -> dict[str, int]:
    """Coverage of a table of a session, in a universe of one ticker."""
    reading = _of_feed(work.lake, table, key, {"GEVO"})
    return coverage(date.fromisoformat(key), [reading]).to_dicts()[0]


def test_halts_out_of_reach_expected_no_feed_and_stored_ones_kept(
    work: Workspace, tmp_path: Path
) -> None:
    feed = HaltFeed(url="http://127.0.0.1:9", today=lambda: date(2026, 7, 1))
    later = workspace(tmp_path / "lake", **LONG)
    later.clients.regulators = Regulators(SecClient(contact="a b@c.de"), feed)
    outcome = made(later, "halts", "2024-11-01")
    assert outcome.error is None
    assert halts_of(later.lake, "GEVO", date(2024, 11, 1)) is None
    (told,) = [found for found in outcome.findings if found.name == "halt feed"]
    assert (told.is_good, told.is_error) == (False, False)
    counts = coverage_counts(later, "2024-11-01", "halts")
    assert counts["missing"] == counts["expected"] == 1
    ticks = later.settings.ticks
    assert halts_digest(later.lake, "GEVO", date(2024, 11, 1), ticks) == "no halt feed"

    key = next(k for k in work.lake.keys("halts") if work.lake.rows("halts", k))
    again = workspace(work.lake.root, short={"facilities": "FNSQ,FNRA"}, **LONG)  # type: ignore[arg-type]
    again.clients.regulators = later.clients.regulators
    before = work.lake.read("halts", key)
    assert made(again, "halts", key, is_resumed=False).error is None
    assert work.lake.read("halts", key).equals(before)
    assert halts_of(work.lake, before["ticker"][0], before["date"][0]) is not None


def test_unpublished_half_expected_not_found_and_not_expected(work: Workspace) -> None:
    start, end = work.span.start, work.span.end
    assert published_halves("fails_to_deliver", start, end) == [
        *("2024-10-01", "2024-10-16", "2024-11-01"),
    ]
    assert published_halves("short_interest", start, end) == [
        *("2024-10-01", "2024-10-16", "2024-11-01"),
    ]
    late = date(2024, 11, 29)  # what was settled on 15 November was published on the 26th
    assert needed_halves("short_interest", work.span, late, end) == ["2024-11-01"]
    for table in ("short_interest", "fails_to_deliver"):
        outcome = made(work, table, "2024-11-16")
        assert isinstance(outcome.error, NotFound)
        assert not work.lake.exists(table, "2024-11-16")
        assert Failures(work.lake).find(table, "2024-11-16") is not None


def test_exchanges_expected_not_configured_then_read_then_read_again(tmp_path: Path) -> None:
    key, files = "2024-10-02", tmp_path / "files"
    files.mkdir()
    bare = workspace(tmp_path / "bare")
    outcome = made(bare, "exchange_short_volume", key)
    assert outcome.error is None
    assert "short.exchange_dir" in outcome.metadata["source"]

    work = workspace(tmp_path / "lake", short={"exchange_dir": str(files)})
    assert made(work, "exchange_short_volume", key).error is None
    assert work.lake.rows("exchange_short_volume", key) == 0
    file = files / "NQBXshvol20241002.txt"
    file.write_text("DATE|SYMBOL|SHORT VOLUME|TOTAL VOLUME|MARKET\n20241002|A|1|2|B\n")
    assert not made(work, "exchange_short_volume", key).is_reused
    assert work.lake.rows("exchange_short_volume", key) == 1
    file.write_text("<html>")
    assert made(work, "exchange_short_volume", key).error is not None
    assert work.lake.rows("exchange_short_volume", key) == 1


@pytest.mark.parametrize(
    ("fault", "table", "kind"),
    [
        ("cut_gzip@halts", "halts", BadAnswer),
        ("502@halts", "halts", SourceUnavailable),
        ("reset@fails", "fails_to_deliver", SourceUnavailable),
        ("503@edgar", "filings", SourceUnavailable),
        ("cut_gzip@finra_query", "short_interest", BadAnswer),
        ("null_results@short_interest", "short_interest", NotFound),
        ("cut_gzip@short_volume", "facility_short_volume", BadAnswer),
    ],
)
def test_spoiled_source_expected_named_error_and_nothing_stored(
    tmp_path: Path, fault: str, table: str, kind: type[Exception]
) -> None:
    source = "finra" if "finra" in fault else "polygon"
    short = {"facilities": "FNSQ", "interest_source": source}
    work = workspace(tmp_path / "lake", fault, short=short, **LONG)
    if table == "filings":
        reference(work)
    outcome = made(work, table, KEYS[table])
    assert isinstance(outcome.error, kind)
    assert outcome.written is None
    assert not work.lake.exists(table, KEYS[table])
    failure = Failures(work.lake).find(table, KEYS[table])
    assert failure is not None
    assert failure.reason == str(outcome.error)


def test_sec_without_contact_expected_refused_only_for_the_vendor_market(tmp_path: Path) -> None:
    work = workspace(tmp_path / "lake", **LONG)
    assert made(work, "fails_to_deliver", "2024-10-01").error is None
    work = workspace(tmp_path / "other", **LONG)
    work.clients.regulators = Regulators(SecClient(), HaltFeed())
    outcome = made(work, "fails_to_deliver", "2024-10-01")
    assert isinstance(outcome.error, MissingContact)
    assert "sec.contact" in str(outcome.error)


def test_corrected_short_volume_expected_noticed_by_its_hash(tmp_path: Path) -> None:
    work = workspace(tmp_path / "lake")
    key = "2024-10-02"
    make_sessions(work, ["short_volume"], [key])
    stamp = work.lake.stamp("short_volume", key)
    assert stamp is not None
    assert stamp.source.startswith("CNMS ")
    rows = work.lake.read("short_volume", key).with_columns(pl.col("short_volume") + 1)
    spoiled = stamp.__class__(**{**stamp.__dict__, "source": "CNMS 0000"})
    work.lake.write("short_volume", key, rows, spoiled)
    again = make_sessions(work, ["short_volume"], [key], is_resumed=False)
    assert "corrected" in again["short_volume", key].metadata
    assert work.lake.stamp("short_volume", key) == stamp


def test_schedule_expected_what_is_out_and_not_stored(tmp_path: Path) -> None:
    fresh = workspace(tmp_path / "lake", **LONG)
    keys = fresh.span.session_keys(fresh.span.start, fresh.span.end)
    due = feeds_due(fresh, keys[-20:])
    assert due["fails_to_deliver"] == ["2024-10-01", "2024-10-16", "2024-11-01"]
    assert due["news"] == ["2024-12"]
    assert "halts" not in due  # of sessions that are stored only
    assert made(fresh, "fails_to_deliver", "2024-10-16").error is None
    assert feeds_due(fresh, keys[-20:])["fails_to_deliver"] == ["2024-10-01", "2024-11-01"]
    assert due["statements"] == ["2024"] and "ticker_events" not in due
    assert list(feeds_due(fresh, keys[:6])) == ["news", "statements"]


def test_schedule_expected_statements_until_all_three_are_stored_and_symbols_once_a_month(
    tmp_path: Path,
) -> None:
    work = workspace(tmp_path / "lake", **LONG)
    keys = work.span.session_keys(work.span.start, work.span.end)
    due = lambda: feeds_due(work, keys[-1:], ["AAC", "ABM"])  # noqa: E731
    assert due()["statements"] == [keys[-1][:4]] and due()["ticker_events"] == ["AAC", "ABM"]
    for table in OPS["statements"].tables:
        assert "statements" in due()
        assert made(work, table, keys[-1][:4]).error is None
    assert made(work, "ticker_events", "AAC").error is None
    assert "statements" not in due() and due()["ticker_events"] == ["ABM"]


def test_schedule_expected_every_partition_missed_since_the_newest_stored(tmp_path: Path) -> None:
    work = workspace(tmp_path / "lake", **LONG)
    keys = work.span.session_keys(work.span.start, work.span.end)
    for table, key in [("news", "2024-10"), *(("daily_bars", key) for key in keys[:40])]:
        frame = TABLES[table].empty()
        work.lake.write(table, key, frame, work.stamp(table, key))
    for key in keys[:3]:
        work.lake.write("halts", key, TABLES["halts"].empty(), work.stamp("halts", key))
    due = feeds_due(work, keys)
    assert due["halts"] == keys[3:40]
    assert due["news"][-2:] == ["2024-11", "2024-12"]  # and an empty month is read again


def test_halt_left_open_expected_read_again_until_it_has_its_end(work: Workspace) -> None:
    keys = work.span.session_keys(date(2024, 10, 15), date(2024, 11, 15))
    for key in keys:
        made(work, "halts", key)
    halted = next(key for key in reversed(keys) if work.lake.rows("halts", key))
    newest = date.fromisoformat(halted)
    whole, stamp = work.lake.read("halts", halted), work.lake.stamp("halts", halted)
    assert stamp is not None
    assert halted not in open_halts(work, newest)
    cut = whole.with_columns(halt_end=pl.lit(None, whole.schema["halt_end"]))
    work.lake.write("halts", halted, cut, stamp)
    assert halted in open_halts(work, newest)
    assert made(work, "halts", halted, is_resumed=False).error is None
    assert work.lake.read("halts", halted).equals(whole)
    assert halted not in open_halts(work, newest)


def of_the_feed(work: Workspace, body: bytes, key: str) -> Outcome:
    """`halts` of a session made from a feed's answer."""
    with Loopback(Reply(body)) as server:
        feed = HaltFeed(url=server.url, throttle=Throttle(1000.0), today=lambda: date(2026, 7, 2))
        work.clients.regulators = Regulators(SecClient(contact="a b@c.de"), feed)
        return made(replace(work), "halts", key, is_resumed=False)


def test_halt_that_ends_before_it_begins_expected_named_beside_the_others(tmp_path: Path) -> None:
    work, day = workspace(tmp_path / "lake", **LONG), date(2026, 7, 2)
    backward = test_halts.item("BRK/B", ResumptionTradeTime="09:00:00")
    outcome = of_the_feed(work, test_halts.feed(test_halts.item(), backward), str(day))
    assert outcome.error is None
    assert work.lake.read("halts", str(day))["ticker"].to_list() == ["GEVO"]
    name = "BRK.B 2026-07-02 09:35:44 to 2026-07-02 09:00:00"
    assert name in outcome.metadata["source"]
    for found in (outcome, made(work, "halts", str(day))):  # when made, and when found there
        (finding,) = [f for f in found.findings if f.name == "halts end after they begin"]
        assert (finding.is_good, finding.is_error, name in finding.found) == (False, False, True)
    # The feed can't be believed for that ticker: its halts come from the tape.
    assert halts_of(work.lake, "BRK.B", day) is None
    assert halts_digest(work.lake, "BRK.B", day, work.settings.ticks) == "no halt feed"
    assert halts_of(work.lake, "BRK", day) is not None
    assert open_halts(work, day)[-1:] == [str(day)]  # looked at again in the evenings

    work.clients.regulators = Regulators(
        SecClient(contact="a b@c.de"), HaltFeed(today=lambda: date(2028, 1, 3))
    )
    outcome = made(replace(work), "halts", str(day), is_resumed=False)
    assert outcome.error is None
    assert halts_of(work.lake, "BRK.B", day) is None

    outcome = of_the_feed(
        work, test_halts.feed(test_halts.item(), test_halts.item("BRK/B")), str(day)
    )
    assert work.lake.rows("halts", str(day)) == 2
    assert open_halts(work, day) == []
    assert all(f.is_good for f in outcome.findings)


def test_digest_of_halts_expected_to_change_only_with_the_tape(tmp_path: Path) -> None:
    work, day = workspace(tmp_path / "lake", **LONG), date(2026, 7, 2)
    ticks = work.settings.ticks

    def digest(*items: str, settings: TickSettings = ticks) -> str:
        of_the_feed(work, test_halts.feed(*items), str(day))
        return halts_digest(work.lake, "GEVO", day, settings)

    nothing = digest()
    assert nothing != "no halt feed"
    evening = test_halts.item(HaltTime="19:50:00", ResumptionTradeTime="20:00:00")
    assert digest(evening) == nothing
    assert digest(test_halts.item("AAME")) == nothing
    open_end = {"ResumptionTradeTime": "", "ResumptionQuoteTime": ""}
    until_tomorrow = {"ResumptionDate": "07/06/2026"}
    still_on = digest(test_halts.item(**open_end))
    assert still_on != nothing
    assert digest(test_halts.item(**until_tomorrow)) == still_on
    assert digest(test_halts.item()) not in (nothing, still_on)
    late = ticks.model_copy(update={"after_hours": True})
    assert digest(evening, settings=late) != digest(settings=late)
    no_feed = ticks.model_copy(update={"halt_sources": ("inferred",)})
    assert digest(test_halts.item(), settings=no_feed) == "no halt feed"


def test_halts_read_during_the_session_expected_read_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from smallcaps_assets.pipeline import feed_inputs

    work, key = workspace(tmp_path / "lake", **LONG), "2024-11-01"

    def at(clock: str) -> None:
        class Clock(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> datetime:
                return datetime.fromisoformat(f"{key}T{clock}").replace(tzinfo=tz)

        monkeypatch.setattr(feed_inputs, "datetime", Clock)

    at("18:45")
    assert not made(work, "halts", key).is_reused
    assert made(work, "halts", key).is_reused
    at("20:30")
    assert not made(work, "halts", key).is_reused
    assert made(work, "halts", key).is_reused
