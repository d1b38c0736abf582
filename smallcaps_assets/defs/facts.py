"""Facts beside prices: short data, fails, halts, filings, news, fundamentals, ticker events.

Each asset is cut as its source delivers: halts and short volume by session, settlements by
half-month, filings and news by month, statements by year of filing, ticker events by ticker.
FINRA's consolidated short volume is made with the other tables of a session.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import partial
from itertools import chain

import dagster as dg
import polars as pl

from smallcaps_assets.defs import halt_feed
from smallcaps_assets.defs.common import RESOURCES, Location, make
from smallcaps_assets.defs.fact_inputs import month_reach
from smallcaps_assets.domain import fact_tables
from smallcaps_assets.domain.publication import half_month_end
from smallcaps_assets.lake import Scope
from smallcaps_assets.orchestration.checks import quality_specs
from smallcaps_assets.orchestration.describe import asset_spec
from smallcaps_assets.orchestration.pools import VENDOR
from smallcaps_assets.orchestration.runner import (
    RunConfig,
    in_threads,
    materialize,
    partition_keys,
    selected_tables,
)
from smallcaps_assets.orchestration.workspace import (
    OFFERED_TABLES,
    Built,
    Outcome,
    Workspace,
)
from smallcaps_assets.schemas import TABLES
from smallcaps_assets.sources.errors import (
    NotConfigured,
    NotEntitled,
    NotFound,
    NotOffered,
    RefusedRequest,
)
from smallcaps_assets.sources.exchanges import exchange_short_volume
from smallcaps_assets.sources.finra import FIRST_DAY as FINRA_START

STATEMENTS = ("balance_sheets", "income_statements", "cash_flow_statements")
NOT_OFFERED = (403, 404, 405, 410, 501)
"""Statuses by which a vendor says that it, or the plan, has no such endpoint."""
Build = Callable[[Workspace, str, str], Built]


@dataclass(frozen=True)
class Group:
    """Tables that one op makes of one source; `per_run` partitions go in a run."""

    name: str
    tables: tuple[str, ...]
    build: Build
    per_run: int
    pool: str | None = VENDOR


def fact_assets(location: Location) -> list[dg.AssetsDefinition]:
    """One op for each group."""
    return [_op(location, group) for group in GROUPS]


def _op(location: Location, group: Group) -> dg.AssetsDefinition:
    cut = location.cuts.of(TABLES[group.tables[0]])

    @dg.multi_asset(
        name=group.name,
        specs=[asset_spec(name, [dg.AssetDep(u) for u in TABLES[name].upstream])
               for name in group.tables],
        check_specs=quality_specs(group.tables, location.cuts),
        partitions_def=cut,
        can_subset=True,
        required_resource_keys=RESOURCES,
        pool=group.pool,
        backfill_policy=(
            dg.BackfillPolicy.multi_run(max_partitions_per_run=group.per_run) if cut else None
        ),
    )  # fmt: skip
    def _facts(context: dg.AssetExecutionContext, config: RunConfig) -> Iterator[dg.Output[None]]:
        work = location.workspace(context, config)
        keys = sorted(partition_keys(context, config)) if cut else [""]
        tables = [table for table in group.tables if table in selected_tables(context)]

        def one(table: str, key: str) -> Outcome:
            return make(work, config, table, key or None, lambda: _offered(group, work, table, key))

        threads = location.settings.run.threads
        outcomes = chain.from_iterable(in_threads(partial(one, t), keys, threads) for t in tables)
        yield from materialize(context, outcomes, location.observer, location.settings.run)

    return _facts


def _offered(group: Group, work: Workspace, table: str, key: str) -> Built:
    """What the group builds. Raises NotOffered where the vendor has no such endpoint."""
    try:
        return group.build(work, table, key)
    except (NotEntitled, NotFound, RefusedRequest) as refusal:
        if table not in OFFERED_TABLES or refusal.status not in NOT_OFFERED:
            raise
        place = {"status": refusal.status, "path": refusal.path.partition("?")[0]}
        raise NotOffered(f"the vendor does not offer {table}", **place) from None


def op_groups() -> dict[str, tuple[str, ...]]:
    """The tables of each op."""
    return {group.name: group.tables for group in GROUPS}


# By session --------------------------------------------------------------------------------------
def _halts(work: Workspace, table: str, key: str) -> Built:
    day, feed = date.fromisoformat(key), work.regulators.halts
    told, session = "none: the feed reaches one year back", halt_feed.session_halts(work.lake, day)
    if feed.reaches(day):
        refused: list[str] = []
        rows = feed.halts(day, refused.append)
        session = halt_feed.SessionFeed(rows, tuple(dict.fromkeys(refused)))  # asked twice at times
        told = session.source
    elif session is not None:  # read when the feed still had it
        told = "as stored before"
    source = session.source if session else ""
    rows = session.rows if session else TABLES[table].empty()
    # Whole even in a run of some tickers: a ticker without rows has had no halt.
    return Built(rows, {"source": told}, asked=Scope(), source=source)


def _facility_short_volume(work: Workspace, table: str, key: str) -> Built:
    """The files of the facilities in the settings; a facility without a file had no trades."""
    day, facilities = date.fromisoformat(key), work.settings.short.facilities
    frames, hashes, missing = [TABLES[table].empty()], {}, []
    for name in facilities if day >= FINRA_START else ():
        try:
            found = work.finra.facility_short_volume(name, day)
        except NotFound as error:
            missing.append((name, error))
            continue
        frames.append(found.frame)
        hashes[name] = found.sha256
    if missing and len(missing) == len(facilities):
        raise missing[0][1]
    source = ", ".join(hashes) or "not configured: short.facilities"
    return Built(pl.concat(frames), {"source": source, "sha256": str(hashes)}, source=_told(hashes))


def _exchange_short_volume(work: Workspace, table: str, key: str) -> Built:
    folder = work.settings.short.exchange_dir
    try:
        frame, hashes = exchange_short_volume(folder, date.fromisoformat(key))
    except (NotConfigured, NotFound) as nothing:
        return Built(TABLES[table].empty(), {"source": f"none: {nothing}"})
    return Built(frame, {"source": ", ".join(hashes)}, source=_told(hashes))


def _told(hashes: dict[str, str]) -> str:
    return " ".join(f"{name} {digest}" for name, digest in sorted(hashes.items()))


def _polygon_short_volume(work: Workspace, table: str, key: str) -> Built:
    day = date.fromisoformat(key)
    return Built(fact_tables.polygon_short_volume(work.polygon.short_volume(day, day), day))


# By half-month -----------------------------------------------------------------------------------
def _short_interest(work: Workspace, table: str, key: str) -> Built:
    half, source = date.fromisoformat(key), work.settings.short.interest_source
    first, last = half, half_month_end(half)
    if source == "finra":
        found = work.finra.short_interest(first, last)
    else:
        found = work.polygon.short_interest(first, last).rename({"ticker": "symbol"})
    if found.is_empty():
        raise NotFound(
            f"no short interest settled from {first} to {last}",
            remedy="it is published seven business days after its settlement date, the 15th and"
            " the month's last day; FINRA has it from 2017-12-29 on",
        )
    return Built(fact_tables.short_interest(found, half, source), {"source": source})


def _fails(work: Workspace, table: str, key: str) -> Built:
    frame = work.regulators.sec.fails(date.fromisoformat(key))
    return Built(frame, {"shares": float(frame["quantity"].sum())})


# By month ----------------------------------------------------------------------------------------
def _filings(work: Workspace, table: str, key: str) -> Built:
    month = date.fromisoformat(f"{key}-01")
    details = work.lake.read("ticker_details", key, ["cik"])
    ciks = details["cik"].drop_nulls().str.zfill(10).unique().sort().to_list()
    frame = work.regulators.sec.filings(month, ciks, month_reach(work, key))
    counts = frame["form"].value_counts().sort("form").iter_rows()
    return Built(frame, {"companies": len(ciks), **{f"form {form}": n for form, n in counts}})


def _news(work: Workspace, table: str, key: str) -> Built:
    month = date.fromisoformat(f"{key}-01")
    return Built(fact_tables.news(work.polygon.news(month, month_reach(work, key)), month))


# By year, by ticker, whole -----------------------------------------------------------------------
def _statements(work: Workspace, table: str, key: str) -> Built:
    fetch = getattr(work.polygon, table)
    frame = fetch(date(int(key), 1, 1), date(int(key), 12, 31))
    return Built(fact_tables.statements(frame, table, int(key)))


def _ticker_events(work: Workspace, table: str, key: str) -> Built:
    return Built(fact_tables.ticker_events(work.polygon.ticker_events(key), key))


def _free_float(work: Workspace, table: str, key: str) -> Built:
    held = work.lake.read(table) if work.lake.exists(table) else TABLES[table].empty()
    newest = work.polygon.free_float()
    doubted = Scope() if newest.is_empty() else Scope.nothing()
    return Built(fact_tables.free_float(newest, held), doubted=doubted)


GROUPS = (
    Group("halts", ("halts",), _halts, 250, None),
    Group("facility_short_volume", ("facility_short_volume",), _facility_short_volume, 250, None),
    Group("exchange_short_volume", ("exchange_short_volume",), _exchange_short_volume, 1000, None),
    Group("polygon_short_volume", ("polygon_short_volume",), _polygon_short_volume, 250),
    Group("short_interest", ("short_interest",), _short_interest, 1000),
    Group("fails_to_deliver", ("fails_to_deliver",), _fails, 1000, None),
    Group("filings", ("filings",), _filings, 24, None),
    Group("news", ("news",), _news, 12),
    Group("statements", STATEMENTS, _statements, 100),
    Group("ticker_events", ("ticker_events",), _ticker_events, 1000),
    Group("free_float", ("free_float",), _free_float, 1),
)
