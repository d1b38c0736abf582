"""`smallcaps replay`: a stored session through the desk, and whether it came to the same trades."""

from __future__ import annotations

from collections import Counter

import click

from smallcaps_assets.cli.options import LakeOptions
from smallcaps_assets.cli.output import echo_json, echo_values
from smallcaps_assets.cli.setup import check_speed, settings_of, stored_lake
from smallcaps_assets.lake.selection import as_day
from smallcaps_assets.pipeline.partition_keys import MarketSpan
from smallcaps_assets.pipeline.workspace import Workspace

_SHOWN = 20


def run_replay(options: LakeOptions, day: str, strategy: str, speed: float, is_json: bool) -> int:
    """Replay and compare; 1 where the desk and the backtest differ."""
    settings = settings_of(options)
    check_speed(speed)
    work = Workspace(settings, stored_lake(settings), MarketSpan.of_market(settings))
    session = as_day(day, "DATE")
    assert session is not None
    from smallcaps_assets.pipeline.replay import replay_session

    folder = settings.desk_folder / "replays" / f"{session}-{strategy}"
    found = replay_session(work, strategy, session, folder, speed)
    counts = Counter(found.refused.values())
    told = {
        "session": str(session),
        "strategy": strategy,
        "signals": len(found.refused),
        "trades": len(found.trades),
        "fills": found.fills,
        "refused": {reason: count for reason, count in counts.most_common() if reason},
        "net_profit": sum(trade["net_profit"] for trade in found.trades.values() if trade),
        "differences": list(found.differences),
        "journal": str(folder / "journal.jsonl"),
    }
    if is_json:
        echo_json(told)
    else:
        echo_values({name: told[name] for name in told if name != "differences"}, 11)
        click.echo("\n".join(found.differences[:_SHOWN]) or "equal to the backtest")
    return 1 if found.differences else 0
