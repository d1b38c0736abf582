"""The `smallcaps` command: declarations of its commands, which load their modules when called.

Nothing heavy is imported here, so that `--help`, completion and usage errors are quick.

Bad input ends with one line (what, value, remedy) and exit status 2, failed partitions with 1.
"""

from __future__ import annotations

import gc
import io
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click

from smallcaps_assets import __version__, interrupts
from smallcaps_assets.cli import completion
from smallcaps_assets.cli.options import (
    as_comparison,
    as_csv,
    as_json,
    as_page,
    as_queued,
    lake_options,
    tables_argument,
)

# Allocations between garbage collections: with Python's 700 a command starts a tenth slower.
_OBJECTS = 50_000
_RULES = ("info_rich", "intraday_trigger", "premarket_gap", "follow_up")  # as in schemas.RULES


class _Program(click.Group):
    """The group of commands; called without arguments it is the program, which handles signals."""

    def main(self, args: Sequence[str] | None = None, *others: Any, **options: Any) -> Any:
        """As in click."""
        if args is None:
            interrupts.install()
        return super().main(args, *others, **options)


@click.group(cls=_Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """US small-cap market data, from vendor files to a labelled dataset.

    Completion in bash (zsh and fish alike):
    eval "$(_SMALLCAPS_COMPLETE=bash_source smallcaps)"
    """


@main.command()
@lake_options
@click.option("--from", "start", metavar="DATE", help="first session; default the market's first")
@click.option("--to", "end", metavar="DATE", help="last session; default the market's last")
@click.option("--period", metavar="NAME", help="the sessions of one of the dataset's periods")
@click.option(
    "--until",
    metavar="TABLE",
    help="stop once this table is made, e.g. watchlist",
    shell_complete=completion.tables,
)
@click.option("--tickers", help="comma-separated, or @FILE; other tickers' rows stay as they are")
@click.option("--force", is_flag=True, help="make everything again")
@click.option(
    "--dry-run", "is_dry", is_flag=True, help="show what is missing and out of date; make nothing"
)
@as_queued
@click.option("--report/--no-report", "is_reported", default=True, help="write the HTML report")
def run(**parameters: Any) -> None:
    """Materialize the whole graph, from tickers to the dataset."""
    _exit("run", "run_main_job", parameters)


@main.command()
@lake_options
@tables_argument(completion.tables_and_groups)
@click.option("--from", "start", metavar="DATE", help="first session; default the lake's first")
@click.option("--to", "end", metavar="DATE", help="last session; default the newest begun")
@click.option("--tickers", help="comma-separated, or @FILE; a session's other rows stay")
@click.option("--keys", help="comma-separated partition keys, or @FILE with one a line")
@click.option("--missing", "is_missing", is_flag=True, help="only what is not stored")
@click.option("--failed", "is_failed", is_flag=True, help="only what Dagster shows as failed")
@click.option("--dry-run", "is_dry", is_flag=True, help="show the runs and make nothing")
@as_queued
def backfill(**parameters: Any) -> None:
    """Make partitions of TABLES, or of groups such as tick_chain, again."""
    _exit("backfill", "run_backfill", parameters)


@main.command()
@lake_options
@click.option("--by", type=click.Choice(["year", "month"]), default="year", show_default=True)
@as_page
@as_comparison
@as_json
def density(**parameters: Any) -> None:
    """How many days the rules select, and what fetching their ticks would cost."""
    _exit("density", "show_density", parameters)


@main.command()
@lake_options
@click.option(
    "--stale", "is_stale", is_flag=True, help="also count what is out of date; opens every file"
)
@as_json
def status(**parameters: Any) -> None:
    """Per table: partitions expected, present, missing and failed, and the latest date."""
    _exit("status", "show_status", parameters)


@main.command()
@lake_options
@click.option("--csv", metavar="FILE", help="write every session and table to a CSV file instead")
@as_json
def coverage(**parameters: Any) -> None:
    """For how many tickers each vendor table has rows, and why the others have none."""
    _exit("coverage", "show_coverage", parameters)


@main.command()
@lake_options
@click.option(
    "--all", "is_all", is_flag=True, help="also events before their day had been selected"
)
@as_page
@as_json
def patterns(**parameters: Any) -> None:
    """How often pattern events came off: hit rates by pattern, rule and year."""
    _exit("patterns", "show_patterns", parameters)


@main.command()
@lake_options
@as_page
@as_json
def models(**parameters: Any) -> None:
    """How good the models' predictions were, out of sample, and what they look at."""
    _exit("models", "show_models", parameters)


@main.command()
@lake_options
@as_page
@as_json
def families(**parameters: Any) -> None:
    """Families of selected days that look alike, and how stable they are over the years."""
    _exit("families", "show_families", parameters)


@main.command()
@lake_options
@click.argument("ticker")
@click.argument("day", metavar="DATE")
@as_json
@as_csv
def predict(**parameters: Any) -> None:
    """What the models say of each event of TICKER on DATE, as it came."""
    _exit("models", "show_predictions", parameters)


@main.command()
@lake_options
@click.argument("strategy", required=False)
@click.option("--from", "start", metavar="DATE", help="first session; default the first traded")
@click.option("--to", "end", metavar="DATE", help="last session; default the last traded")
@as_page
@as_comparison
@as_json
def backtest(**parameters: Any) -> None:
    """What STRATEGY would have earned after costs, and how sure that is; all without one."""
    _exit("backtest", "show_backtest", parameters)


@main.command()
@lake_options
@as_page
@as_comparison
@click.option(
    "--tapes", default=40, show_default=True, type=click.IntRange(0),
    help="ticker-sessions whose left-out volume is looked at",
)  # fmt: skip
@as_json
def quality(**parameters: Any) -> None:
    """Coverage, gaps, failures, checks, and whether bars, minutes and trades agree."""
    _exit("quality", "show_quality", parameters)


@main.command()
@lake_options
@tables_argument()
@click.option("--deep", "is_deep", is_flag=True, help="check every rule of the contracts again")
@click.option("--repair", "is_repaired", is_flag=True, help="mark what is bad for rebuilding")
def verify(**parameters: Any) -> None:
    """Check every stored file of some TABLES, or of all, and Dagster's record of them."""
    _exit("verify", "run_verify", parameters)


@main.command()
@click.argument("first")
@click.argument("second")
@tables_argument()
def diff(**parameters: Any) -> None:
    """Which partitions of the lakes FIRST and SECOND differ, and how."""
    _exit("versions", "show_diff", parameters)


@main.command()
@lake_options
def migrate(**parameters: Any) -> None:
    """Rewrite raw files of an older contract under the current one."""
    _exit("versions", "run_migrate", parameters)


@main.command()
@lake_options
@click.argument("table", shell_complete=completion.tables)
@click.argument("key")
@click.option("--version", metavar="NAME", help="the version to restore, or a prefix of its name")
def restore(**parameters: Any) -> None:
    """List the replaced versions of a raw partition, or restore one."""
    _exit("versions", "run_restore", parameters)


@main.command()
@lake_options
@click.argument("ticker")
@click.argument("day", metavar="DATE")
@click.option("--out", metavar="FILE", help="file of the chart, .png or .html; default in the lake")
@click.option("--chart/--no-chart", "has_chart", default=True, help="draw the chart")
@as_json
def show(**parameters: Any) -> None:
    """A ticker's session: what happened, what was selected and labelled, and a chart."""
    _exit("show", "show_day", parameters)


@main.command()
@lake_options
@click.argument("day", metavar="[DATE]", required=False)
@click.option("--rule", "rules", multiple=True, type=click.Choice(_RULES), help="one rule's days")
@as_json
@as_csv
def watchlist(**parameters: Any) -> None:
    """What the rules selected on a session, by default the newest, and when they knew it."""
    _exit("lists", "show_watchlist", parameters)


@main.command()
@lake_options
@click.argument("day", metavar="[DATE]", required=False)
@as_json
@as_csv
def runners(**parameters: Any) -> None:
    """The tickers most often info-rich in the 12 months to a session, by default the newest."""
    _exit("lists", "show_runners", parameters)


@main.command()
@lake_options
@click.argument("day", metavar="[DATE]", required=False)
@as_json
@as_csv
def volatile(**parameters: Any) -> None:
    """The tickers that gapped, traded and ranged most in the 12 months to a session."""
    _exit("lists", "show_volatile", parameters)


@main.command()
@lake_options
@click.argument("query")
@click.argument("values", nargs=-1)
@click.option("--unsafe", "is_unsafe", is_flag=True, help="let it write and read other files")
@as_json
@as_csv
def sql(**parameters: Any) -> None:
    """Query the lake in SQL; VALUES fill the parameters ? or $1 of the QUERY.

    One statement that reads: SELECT, WITH, FROM, VALUES, DESCRIBE, SHOW, SUMMARIZE, EXPLAIN.
    """
    _exit("query", "run_sql", parameters)


@main.command()
@lake_options
@click.argument("table", shell_complete=completion.tables)
@click.argument("file", type=click.Path(dir_okay=False))
@click.option("--tickers", help="comma-separated, or @FILE; default all")
@click.option("--from", "start", metavar="DATE", help="first day; default the first stored")
@click.option("--to", "end", metavar="DATE", help="last day; default the last stored")
@click.option("--adjusted", "is_adjusted", is_flag=True, help="bars on one share basis")
@click.option("--as-of", metavar="DATE", help="day of that basis; default the last day")
@click.option("--replace", "is_replaced", is_flag=True, help="overwrite an existing file")
def export(**parameters: Any) -> None:
    """Write rows of a TABLE to a FILE that ends in .parquet, .csv or .arrow."""
    _exit("export", "run_export", parameters)


@main.command()
@lake_options
@click.argument("action", type=click.Choice(["serve", "stream", "oracle"]), default="serve")
@click.option("--port", default=0, help="port on 127.0.0.1; default a free one")
@click.option("--day", metavar="DATE", help="session of the stream; default the market's last")
@click.option("--tickers", help="tickers of the stream, comma-separated, or @FILE")
@click.option("--speed", default=1.0, help="pace of the stream; 0: as fast as clients read")
@click.option(
    "--fault", "faults", multiple=True, metavar="KIND@OBJECT[*COUNT]",
    help="trouble in the stream, such as abnormal_close@500*20",
)  # fmt: skip
@as_json
def sandbox(**parameters: Any) -> None:
    """Serve the embedded market on this machine, for your own clients.

    With stream: a session over the vendor's WebSocket, from the first subscription on. With
    oracle: the best that any model can reach on the dataset of a simulated lake.
    """
    _exit("sandbox", "run_sandbox", parameters)


@main.command()
@lake_options
@click.option("--port", default=3000, show_default=True, help="port of the web server")
@click.option("--host", default="127.0.0.1", show_default=True, help="address it listens on")
def ui(**parameters: Any) -> None:
    """Open the Dagster web server on a lake."""
    _exit("ui", "open_ui", parameters)


@main.command()
@lake_options
@click.option("--name", help="its name among the workers; default from host and process")
@click.option(
    "--run", metavar="ID", help="one queued run, and then end: what a Kubernetes pod does"
)
def worker(**parameters: Any) -> None:
    """Work on runs of a lake in an object store, handed out by Celery (run.launcher=celery).

    One run at a time; SIGTERM ends it after its run. Start one for each machine, or more.
    """
    _exit("worker", "run_worker", parameters)


@main.command()
@lake_options
@click.argument("action", type=click.Choice(["on", "off", "status"]), default="status")
@as_json
def automation(**parameters: Any) -> None:
    """Switch schedules and sensors on or off, or show what each is waiting for.

    `on` switches on all that make what `run` makes. They need a running daemon, as `ui` starts.
    """
    _exit("automation", "run_automation", parameters)


@main.command()
@lake_options
@click.argument("day", metavar="DATE")
@click.option("--strategy", default="model", show_default=True, help="one that has a backtest")
@click.option("--speed", default=0.0, help="factor on the session's pace; 0: as fast as it goes")
@as_json
def replay(**parameters: Any) -> None:
    """A stored session through the desk: the same signals, fills and trades as the backtest?"""
    _exit("replay", "run_replay", parameters)


@main.command(
    epilog="""Examples:

    \b
    smallcaps paper --market simulated --date 2024-12-18 --strategy every_pattern --speed 600
    smallcaps paper --market polygon --tickers ABCD,EFGH --strategy gap_and_go --on-exit flatten
    """
)
@lake_options
@click.option("--date", "day", metavar="DATE", help="session; default the market's last, or today")
@click.option("--strategy", default="every_pattern", show_default=True, help="a declared one")
@click.option("--tickers", help="comma-separated, or @FILE; default those selected, or most traded")
@click.option("--feed", metavar="URL", help="the vendor's WebSocket; default the market's own")
@click.option("--speed", default=1.0, show_default=True, help="pace of an embedded market; 0: full")
@click.option(
    "--on-exit", type=click.Choice(["flatten", "cancel", "keep"]), default="flatten",
    show_default=True, help="what Ctrl-C does with orders and positions",
)  # fmt: skip
@click.option("--plain", "is_plain", is_flag=True, help="lines for a log instead of a dashboard")
@as_json
def paper(**parameters: Any) -> None:
    """Trade a live feed, or a session of an embedded market, on paper.

    Orders are filled by the backtest's rules as quotes and prints come. Afterwards the decisions
    are compared with those of the whole tape.
    """
    _exit("paper", "run_paper", parameters)


@main.group()
def desk() -> None:
    """The trading desk: its kill switch, what stands, and what the broker says of a day."""


_day = click.option("--day", metavar="DATE", help="session; default today in New York")
_live = click.option("--live", "is_live", is_flag=True, help="send orders; without it none is")


@desk.command()
@lake_options
@click.argument("level", type=click.Choice(["soft", "cancel", "flatten", "hard"]))
@click.option("--reason", default="by hand", show_default=True, help="why, for the record")
@click.option("--account", help="account to act on, where no desk is running")
@_live
def kill(**parameters: Any) -> None:
    """Throw the kill switch: no entries, cancel all, close all, or send nothing more.

    A running desk acts on it. Where none answers, cancel and flatten act from here, for which the
    account and --live are needed. `cancel` also cancels orders that are not the desk's.
    """
    _exit("desk", "throw", parameters)


@desk.command()
@lake_options
def reset(**parameters: Any) -> None:
    """Lower the kill switch again."""
    _exit("desk", "reset", parameters)


@desk.command()
@lake_options
@click.argument("symbol")
def accept(**parameters: Any) -> None:
    """Let SYMBOL be traded again, as it stands at the broker, after a mismatch."""
    _exit("desk", "accept", parameters)


@desk.command("status")
@lake_options
@_day
@as_json
def desk_status(**parameters: Any) -> None:
    """The kill switch, and orders, fills and positions of a session."""
    _exit("desk", "status", parameters)


@desk.command()
@lake_options
@click.argument("file")
@_day
@as_json
def reconcile(**parameters: Any) -> None:
    """Compare a session's fills with FILE, the broker's list of executions; - for stdin."""
    _exit("desk", "reconcile", parameters)


@desk.command("export")
@lake_options
@click.argument("layout", type=click.Choice(["tradervue", "tradersync"]))
@click.argument("file", type=click.Path(dir_okay=False))
@_day
def desk_export(**parameters: Any) -> None:
    """Write a session's fills to FILE for a trading journal."""
    _exit("desk", "export", parameters)


@desk.command()
@lake_options
@click.argument("symbol")
@click.option("--price", required=True, help="a buying price far below the market")
@click.option("--out", "file", default="probe.json", show_default=True, help="file of the answers")
@click.option("--quiet", default=2.0, show_default=True, help="seconds that end an answer")
@_live
def probe(**parameters: Any) -> None:
    """The first day with DAS: find out what no manual tells, each step confirmed.

    With --live also what takes orders, of one or two shares of SYMBOL.
    """
    _exit("desk", "probe", parameters)


def _exit(module: str, command: str, parameters: dict[str, Any]) -> None:
    """Load a command and run it; an error that the user can fix becomes one line and status 2."""
    gc.set_threshold(_OBJECTS)
    _accept_all_characters()
    try:
        loaded = import_module(f"{__name__}.{module}")
        # polars' handler restarts system calls, so that a waiting thread would sleep on
        signal.siginterrupt(signal.SIGINT, True)
        with interrupts.working():
            status = getattr(loaded, command)(**parameters)
    except KeyboardInterrupt:
        status = None
    except Exception as error:
        status = 2
        if not interrupts.is_received() and not _is_reported(error):
            raise
    if status is None or interrupts.is_received():
        if line := interrupts.tell():
            click.echo(line, err=True)
        status = interrupts.status()
    sys.exit(status)


def _accept_all_characters() -> None:
    """Show characters that a terminal lacks as ?, and in a pipe or file as escapes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace" if stream.isatty() else "backslashreplace")


def _is_reported(error: Exception) -> bool:
    """Report in one line what the user can fix; False for a defect."""
    from smallcaps_assets.cli.setup import line_of

    line = line_of(error)
    if line is not None:
        click.echo(f"smallcaps: {line}", err=True)
    return line is not None
