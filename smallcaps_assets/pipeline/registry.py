"""The registry: which ticker-days get their ticks."""

from smallcaps_assets.domain.selection import rules as selection
from smallcaps_assets.pipeline.density import density_metadata
from smallcaps_assets.pipeline.outcome import BuildResult, Outcomes
from smallcaps_assets.pipeline.workspace import Workspace, stored_rows


def registry(work: Workspace, tables: list[str], keys: list[str]) -> Outcomes:
    """The outcome of `ticker_sessions`, which is made whole."""
    yield work.store("ticker_sessions", None, lambda: _registry(work))


def _registry(work: Workspace) -> BuildResult:
    known, seal = stored_rows(work, "ticker_sessions")
    watchlist = work.lake.scan("watchlist").collect()
    frame = selection.ticker_sessions(
        watchlist,
        known if seal else None,
        work.settings.selection,
    )
    counts = {"qualified": int(frame["is_qualified"].sum())}
    return BuildResult(
        frame,
        {**counts, **density_metadata(watchlist, work.lake.keys("watchlist"), frame)},
        over=seal,
    )
