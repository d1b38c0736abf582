"""The desk's journals as tables: rows, absence, reconciliation, and what is charged from them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from functools import partial
from pathlib import Path

import msgspec
import polars as pl
import pytest

from smallcaps_assets.desk import events as e
from smallcaps_assets.desk.journal import Journal
from smallcaps_assets.domain.execution.slippage import (
    cost_profile,
    desk_slippage,
    excess_of,
    signal_of,
)
from smallcaps_assets.pipeline.desk_folder import DESK, ended_sessions
from smallcaps_assets.pipeline.desk_records import desk_records
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets.pipeline.workspace import Workspace
from smallcaps_assets.schemas import TABLES
from smallcaps_assets_tests.pipeline.bench import workspace
from smallcaps_assets_tests.pipeline.desk_session import D, DeskSession

DAY = date(2024, 10, 3)
KEY = str(DAY)


@pytest.fixture
def work(tmp_path: Path) -> Workspace:
    return workspace(tmp_path / "lake")


def made(work: Workspace, key: str = KEY) -> dict[str, Outcome]:
    return {o.table: o for o in desk_records(work, list(DESK), [key])}


def good(outcomes: dict[str, Outcome]) -> dict[str, bool]:
    assert {o.table: o.error for o in outcomes.values() if o.error} == {}
    return {name: all(f.is_good for f in o.findings) for name, o in outcomes.items()}


@pytest.fixture
def session(work: Workspace) -> Iterator[DeskSession]:
    yield DeskSession(work.settings.desk_folder, DAY)


def traded(session: DeskSession) -> list:
    """A buy of 300 in two fills, a sale of 100, and an order that a check refuses."""
    session.quote("ABCD", "4.00", "4.02")
    buy = session.want("ABCD-patterns-7-1", "ABCD", 300, "4.05", pattern="gap_and_go")
    assert buy is not None
    fills = [session.fill(buy, 100, "4.03", False), session.fill(buy, 200, "4.04")]
    assert session.want("late", "ABCD", 10, "4.0305") is None
    sale = session.want("exit-0", "ABCD", 100, "4.00", side="S", purpose="stop",
                        pattern="gap_and_go")  # fmt: skip
    assert sale is not None
    return [*fills, session.fill(sale, 100, "3.99")]


def test_rows_of_a_session(work: Workspace, session: DeskSession) -> None:
    fills = traded(session)
    session.close(*fills)
    assert set(good(made(work)).values()) == {True}
    read = partial(work.lake.read, key=KEY)
    orders = read("desk_orders").to_dicts()
    assert [(o["state"], o["filled"], o["pattern"], o["purpose"]) for o in orders] == [
        ("FILLED", 300, "gap_and_go", "entry"),
        ("FILLED", 100, "gap_and_go", "stop"),
    ]
    first = orders[0]
    assert first["average_price"] == pytest.approx((4.03 + 2 * 4.04) / 3) and first["fees"] == 0.6
    assert (first["signal_to_sent"], first["sent_to_acknowledged"]) == (3, 20)
    assert first["sent_to_first_fill"] == 50 and (first["bid"], first["ask"]) == (4.0, 4.02)
    assert first["closed_at"] == first["last_fill_at"] > first["first_fill_at"]
    decisions = read("desk_decisions")
    assert decisions["refused_by"].to_list() == [None, "line", None]
    assert decisions["token"].to_list() == [orders[0]["token"], None, orders[1]["token"]]
    assert "4.0305" in json.loads(decisions["checks"][1])["line"]
    told = read("desk_fills")
    assert told["shares"].to_list() == [100, 200, 100] and told["token"].null_count() == 0
    position = read("desk_positions").row(0, named=True)
    assert (position["held"], position["by_fills"], position["bought"]) == (200, 200, 300)
    assert position["realized"] == pytest.approx(100 * (3.99 - first["average_price"]))
    assert read("desk_reconciliation")["outcome"].to_list() == ["matched"] * 3
    slip = read("desk_slippage").rows_by_key("leg", named=True, unique=True)
    assert slip["entry"]["realized"] == pytest.approx(300 * (first["average_price"] - 4.01))
    assert slip["entry"]["modelled"] == pytest.approx(3.0)
    assert slip["exit"]["excess"] == pytest.approx((100 * (4.01 - 3.99) - 1) / 401)


def test_a_session_without_a_desk_says_so_and_is_no_error(work: Workspace) -> None:
    outcomes = made(work)
    assert set(good(outcomes).values()) == {True}
    for outcome in outcomes.values():
        assert outcome.written is not None and outcome.written.rows == 0
        assert "no desk ran" in outcome.metadata["journals"]
        assert "no desk ran" in outcome.findings[1].text()
    assert all(work.is_complete(table, KEY) for table in DESK)


@pytest.mark.parametrize(
    ("change", "outcomes"),
    [
        ("missing", ["matched", "matched", "only ours"]),
        ("price", ["matched", "matched", "differs"]),
        ("none", ["only ours"] * 3),
    ],
)
def test_the_check_is_red_unless_all_match(
    work: Workspace, session: DeskSession, change: str, outcomes: list[str]
) -> None:
    fills = traded(session)
    dear = msgspec.structs.replace(fills[2], price=D("3.90"))
    listed = {"missing": fills[:2], "price": [*fills[:2], dear], "none": []}[change]
    session.close(*listed)
    found = made(work)["desk_reconciliation"]
    check = found.findings[-1]
    assert not check.is_good and check.is_error
    assert check.figures[outcomes[-1]] == outcomes.count(outcomes[-1])
    assert work.lake.read("desk_reconciliation", KEY)["outcome"].to_list() == outcomes


def test_a_file_of_the_broker_takes_the_place_of_its_answers(
    work: Workspace, session: DeskSession
) -> None:
    session.close(*traded(session))
    assert good(made(work))["desk_reconciliation"]
    head = "Time,Symb,Side,Price,Qty\n"
    rows = "10:30:01,ABCD,B,4.03,100\n10:30:01,ABCD,B,4.04,200\n10:30:01,ABCD,S,3.99,100\n"
    path = work.settings.desk_folder / KEY / "drop_copy.csv"
    path.write_text(head + rows + "11:00:00,EFGH,B,2.00,5\n")
    assert not work.is_complete("desk_reconciliation", KEY)
    assert not good(made(work))["desk_reconciliation"]
    stored = work.lake.read("desk_reconciliation", KEY)
    assert stored["outcome"].to_list() == ["matched"] * 3 + ["only theirs"]
    assert stored["list"].unique().to_list() == ["drop_copy.csv"]
    path.write_text(head + rows)
    assert good(made(work))["desk_reconciliation"]
    path.write_text("Time,Symb\n")
    assert "no column for" in str(made(work)["desk_reconciliation"].error)
    assert work.lake.rows("desk_reconciliation", KEY) == 3


def test_a_command_that_closed_has_a_journal_of_its_own(
    work: Workspace, session: DeskSession
) -> None:
    fills = traded(session)
    session.close(*fills)
    closing = DeskSession(work.settings.desk_folder, DAY, "kill-1.jsonl", 9)
    closing.hear(all_told(fills), after_ms=60_000)
    token = closing.want("flatten", "ABCD", 200, "3.95", side="S", purpose="flatten")
    assert token is not None
    closing._trades = 950
    closing.close(*fills, closing.fill(token, 200, "3.97"))
    outcomes = made(work)
    assert good(outcomes)["desk_reconciliation"] and good(outcomes)["desk_fills"]
    assert work.lake.read("desk_orders", KEY)["journal"].to_list() == [
        *["journal.jsonl"] * 2, "kill-1.jsonl"
    ]  # fmt: skip
    assert work.lake.read("desk_fills", KEY).height == 4
    assert work.lake.read("desk_positions", KEY)["held"].to_list() == [0]


def all_told(fills: list) -> e.Snapshot:
    """Lists of the broker with the day's trades and the position that they make."""
    holding = e.Holding("ABCD", sum(fill.signed for fill in fills))
    return e.Snapshot((), tuple(fills), (holding,))


def test_running_damaged_and_lost_journals(work: Workspace, session: DeskSession) -> None:
    path = session.runtime.journal.path
    assert "in use" in str(made(work)["desk_orders"].error) and not ended_sessions(work.settings)
    session.close(*traded(session))
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"seq":')
    outcomes = made(work)
    assert set(good(outcomes).values()) == {True} and list(ended_sessions(work.settings)) == [KEY]
    assert outcomes["desk_fills"].metadata["cut by a kill"] == "live/journal.jsonl"
    path.write_bytes(whole.replace(b'"seq":3,', b'"seq":4,', 1))
    assert "line 3" in str(made(work)["desk_fills"].error)
    path.unlink()
    assert "has no journal of live any more" in str(made(work)["desk_orders"].error)
    paper = DeskSession(work.settings.desk_folder / "paper", DAY, folder=f"{KEY}-model")
    paper.close(*traded(paper))
    assert "has no journal of live any more" in str(made(work)["desk_orders"].error)
    assert work.lake.rows("desk_orders", KEY) == 2


def test_rows_up_to_a_moment_do_not_depend_on_what_follows(
    work: Workspace, session: DeskSession
) -> None:
    traded(session)
    session.close()
    path = session.runtime.journal.path
    lines = path.read_bytes().splitlines(keepends=True)
    assert set(good(made(work))) == {*DESK}
    whole = {n: work.lake.read(n, KEY) for n in ("desk_decisions", "desk_fills")}
    for count in (len(lines) // 2, len(lines) - 4):
        path.write_bytes(b"".join(lines[:count]))
        made(work)
        for name, frame in whole.items():
            part = work.lake.read(name, KEY)
            assert part.height and part.equals(frame.head(part.height))


def candidate(**more: object) -> pl.DataFrame:
    """Signal ABCD-patterns-7-1: 200 shares at 4.02, 200 more at 4.05, mid 4.01 at its decision."""
    kinds = TABLES["backtest_candidates"].columns
    row = {"ticker": "ABCD", "sample": "patterns", "event_id": 7, "side": 1, "date": DAY,
           "mid": 4.01, "entry_shares": [200, 400], "entry_prices": [4.02, 4.05],
           **more}  # fmt: skip
    given = {name: row.get(name) for name in kinds}
    return pl.DataFrame([given], schema=kinds, orient="row")


@pytest.mark.parametrize(
    ("more", "model", "modelled"),
    [
        ({}, "backtest", 200 * 4.02 + 100 * 4.05 - 300 * 4.01),
        ({"entry_shares": [100, 200]}, "quote", 3.0),
        ({"side": -1}, "quote", 3.0),
        ({"date": date(2024, 10, 4)}, "quote", 3.0),
    ],
)
def test_the_model_of_an_entry_is_its_candidate_for_as_many_shares(
    work: Workspace, session: DeskSession, more: dict, model: str, modelled: float
) -> None:
    session.close(*traded(session))
    made(work)
    orders = work.lake.read("desk_orders", KEY)
    rows = desk_slippage(DAY, orders, candidate(**more)).filter(pl.col("leg") == "entry")
    assert rows["model"].to_list() == [model]
    assert rows["modelled"].to_list() == [pytest.approx(modelled)]
    assert signal_of(candidate().row(0, named=True)) == orders["signal"][0]


def slippage_row(pattern: str, orders: int, realized: float, run: str = "live") -> dict:
    return {"date": DAY, "run": run, "pattern": pattern, "leg": "entry", "model": "quote",
            "orders": orders, "shares": 1.0, "value": 1000.0, "realized": realized, "modelled": 1.0,
            "excess": 0.0}  # fmt: skip


def test_profile_by_pattern_needs_orders_and_is_never_a_gift() -> None:
    table = TABLES["desk_slippage"]
    rows = [slippage_row("gap_and_go", 20, 6.0), slippage_row("bounce", 3, 31.0),
            slippage_row("flag", 50, 0.5),
            slippage_row("flag", 500, 99.0, run="2024-10-03-model")]  # fmt: skip
    found = cost_profile(table.of_rows(rows), 10)
    assert found == pytest.approx({"gap_and_go": 0.005, "flag": 0.0, "all": 34.5 / 3000})
    assert excess_of(found, "gap_and_go") == pytest.approx(0.005)
    assert excess_of(found, "bounce") == excess_of(found, None) == pytest.approx(34.5 / 3000)
    assert cost_profile(table.empty(), 1) == {} and excess_of({}, "flag") == 0.0


def test_sessions_on_paper_are_told_apart_and_may_use_the_same_numbers(
    work: Workspace, session: DeskSession
) -> None:
    session.close(*traded(session))
    paper = work.settings.desk_folder / "paper"
    other = DeskSession(paper, DAY, folder=f"{KEY}-model")
    assert "in use" in str(made(work)["desk_orders"].error) and not ended_sessions(work.settings)
    other.close(*traded(other))
    assert set(good(made(work)).values()) == {True} and list(ended_sessions(work.settings)) == [KEY]
    for table in DESK:
        counts = dict(work.lake.read(table, KEY)["run"].value_counts().iter_rows())
        assert counts["live"] == counts[f"{KEY}-model"] > 0, table


def test_journals_are_only_those_of_sessions(work: Workspace) -> None:
    folder = work.settings.desk_folder
    Journal(folder / "replays" / "2024-10-03-model" / "journal.jsonl").close()
    (folder / "20241003").mkdir()
    (folder / KEY).mkdir()
    assert ended_sessions(work.settings) == {}
