"""`smallcaps desk`: the kill switch, what stands, the first day with DAS, the broker's own list.

None of these needs a running desk. A running one hears of the switch within a second; where none
answers, `kill` cancels and closes by itself.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import click
import msgspec

from smallcaps_assets.cli.options import LakeOptions
from smallcaps_assets.cli.output import echo_json, echo_values, write_file
from smallcaps_assets.cli.setup import UserError, settings_of
from smallcaps_assets.desk.control import Control
from smallcaps_assets.desk.core import Desk
from smallcaps_assets.desk.das.broker import DasBroker, Permission, permit
from smallcaps_assets.desk.das.commands import Login
from smallcaps_assets.desk.das.words import LineError, check_tick, number
from smallcaps_assets.desk.events import Fill, Level
from smallcaps_assets.desk.journal import Journal, is_open, read
from smallcaps_assets.desk.limits import SECOND
from smallcaps_assets.desk.runtime import Runtime
from smallcaps_assets.desk.state import Rules
from smallcaps_assets.domain.market.calendar import NEW_YORK
from smallcaps_assets.settings import DAS_PASSWORD_VARIABLE, Settings, secret_of

_HEARING, _ACTING = 3.0, 60.0  # seconds that a running desk, and the command itself, may take
_OWN_ORIGIN = 9
JOURNAL = "journal.jsonl"


def throw(options: LakeOptions, level: str, reason: str, account: str | None, is_live: bool) -> int:
    """Throw the switch; where no desk hears of it, cancel and close from here.

    The switch stays thrown, whatever else fails.
    """
    settings = settings_of(options)
    wanted = Level[level.upper()]
    control = Control(settings.desk_folder)
    state = control.throw(wanted, reason, time.time_ns())
    click.echo(f"kill switch at {state.level.name.lower()}: {state.reason}")
    if wanted not in (Level.CANCEL, Level.FLATTEN) or _is_heard(settings, control, wanted):
        return 0
    click.echo("no desk has heard of it; acting from here")
    permission = permit(account or "", settings.desk.accounts, is_live, settings.desk.account)
    return _act(settings, control, wanted, permission)


def _is_heard(settings: Settings, control: Control, level: Level) -> bool:
    """Whether a desk runs and has read the switch."""
    deadline = time.monotonic() + _HEARING
    while is_open(_today(settings) / JOURNAL) and time.monotonic() < deadline:
        if control.heard() >= level:
            click.echo("the running desk has heard of it and acts")
            return True
        time.sleep(0.1)
    return False


def _act(settings: Settings, control: Control, level: Level, permission: Permission) -> int:
    """Cancel all, and close all for FLATTEN, over an own connection, until DAS says so."""
    journal = Journal(_today(settings) / f"kill-{time.time_ns()}.jsonl")
    desk = Desk(datetime.now(NEW_YORK).timetuple().tm_yday, _OWN_ORIGIN, _rules(settings))
    runtime = Runtime(desk, journal, control, tell=click.echo)
    broker = _broker(settings, runtime, permission).start()
    runtime.broker = broker

    def is_over() -> bool:
        is_flat = level < Level.FLATTEN or not any(desk.held.values())
        is_known = desk.level >= level and desk.link.is_ready
        is_done = is_known and is_flat and not desk.resting()
        return is_done or desk.link.is_refused or time.monotonic() > deadline

    deadline = time.monotonic() + _ACTING
    try:
        runtime.run(is_over)
    finally:
        broker.close()
        journal.close()
    left = {symbol: net for symbol, net in desk.held.items() if net}
    click.echo(f"resting orders: {len(desk.resting())}; positions: {left or 'none'}")
    is_left = desk.resting() or (left and level >= Level.FLATTEN) or not desk.link.is_ready
    return 1 if is_left else 0


def reset(options: LakeOptions) -> int:
    """Lower the switch again."""
    Control(settings_of(options).desk_folder).reset(time.time_ns())
    click.echo("kill switch reset")
    return 0


def accept(options: LakeOptions, symbol: str) -> int:
    """Let a symbol be traded again after a mismatch."""
    Control(settings_of(options).desk_folder).accept(symbol, time.time_ns())
    click.echo(f"{symbol}: accepted as it stands at the broker")
    return 0


def status(options: LakeOptions, day: str | None, is_json: bool) -> int:
    """The switch, whether a desk runs, and orders and positions of a session's journal."""
    settings = settings_of(options)
    state = Control(settings.desk_folder).read()
    path = _session(settings, day) / JOURNAL
    desk = restored(path)
    told = {
        "kill_switch": state.level.name.lower(),
        "reason": state.reason,
        "is_running": is_open(path),
        "orders": [{"token": o.token, "line": o.command.line(), "state": o.state,
                    "filled": o.filled} for o in desk.orders.values()],
        "positions": {symbol: net for symbol, net in desk.held.items() if net},
        "paused": desk.paused,
        "fills": len(desk.fills),
    }  # fmt: skip
    if is_json:
        echo_json(told)
        return 0
    for order in told.pop("orders"):
        click.echo(f"{order['state']:<15} {order['filled']:>7}  {order['line']}")
    echo_values(told, 12)
    return 0


def restored(path: Path) -> Desk:
    """A desk as its journal tells; a new one without a journal. Raises JournalError."""
    desk = Desk(1)
    for entry in read(path)[0]:
        desk.restore(entry.t, entry.kind, entry.data)
    return desk


def reconcile(options: LakeOptions, file: str, day: str | None, is_json: bool) -> int:
    """The broker's list of executions beside the journal's fills; 1 unless all agree."""
    from smallcaps_assets.desk.drop_copy import (
        compare,
        is_green,
        of_fills,
        read_drop_copy,
        totals,
    )

    settings = settings_of(options)
    ours = of_fills(_fills(settings, day))
    theirs = read_drop_copy(_text(file))
    matches = compare(ours, theirs)
    if is_json:
        sums = {"ours": totals(ours), "theirs": totals(theirs)}
        echo_json(msgspec.to_builtins({"matches": matches, "totals": sums}))
    else:
        for match in matches:
            if match.outcome != "matched":
                click.echo(f"{match.outcome} {match.field}: {match.ours} / {match.theirs}")
        agreed = sum(match.outcome == "matched" for match in matches)
        click.echo(f"{len(matches)} executions, {agreed} agree")
    return 0 if is_green(matches) else 1


def export(options: LakeOptions, layout: str, file: str, day: str | None) -> int:
    """Write the fills of a session for a trading journal."""
    from smallcaps_assets.desk.exports import FORMATS

    settings = settings_of(options)
    session = date.fromisoformat(_session(settings, day).name)
    write_file(file, FORMATS[layout](_fills(settings, day), session).encode(), "FILE")
    return 0


def probe(
    options: LakeOptions, symbol: str, price: str, file: str, is_live: bool, quiet: float
) -> int:
    """Go through the list of the first day, each step confirmed."""
    from smallcaps_assets.desk.das.probe import Finding, Probe

    settings = settings_of(options)
    try:
        far = check_tick(number(price, "--price"), "--price")
    except LineError as problem:
        raise UserError(str(problem)) from None
    permission = _ask_permission(settings, is_live) if is_live else None
    token = (_OWN_ORIGIN * 1000 + datetime.now(NEW_YORK).timetuple().tm_yday) * 100_000
    token += int(time.time()) % 86_400
    asked = Probe(symbol, far, settings.desk.route, token, click.confirm, quiet)
    broker = _broker(settings, None, permission, asked.hear).start()
    findings: list[Finding] = []
    try:
        for finding in asked.run(broker):
            findings.append(finding)
            click.echo("\n".join((f"-- {finding.name}", *finding.received)))
    finally:
        broker.close()
        write_file(file, msgspec.json.format(msgspec.json.encode(findings)), "--out")
    return 0


def _ask_permission(settings: Settings, is_live: bool) -> Permission:
    account = settings.desk.account
    typed = click.prompt(f"type the account to send orders of one share for {account}")
    return permit(account, settings.desk.accounts, is_live, typed)


def _broker(
    settings: Settings,
    runtime: Runtime | None,
    permission: Permission | None,
    hear: Callable[[str], None] = lambda line: None,
) -> DasBroker:
    """A connection to DAS. Raises UserError without a login."""
    desk = settings.desk
    password = secret_of(os.environ, DAS_PASSWORD_VARIABLE)
    if not (desk.trader and desk.account and password):
        raise UserError(f"set desk.trader, desk.account and {DAS_PASSWORD_VARIABLE} to log in")
    login = Login(desk.trader, password.get_secret_value(), desk.account)
    put = runtime.put if runtime is not None else lambda event: None
    return DasBroker((desk.host, desk.port), login, put, permission, hear=hear)


def _rules(settings: Settings) -> Rules:
    desk = settings.desk
    return Rules(
        oldest_feed=int(desk.oldest_feed_seconds * SECOND),
        oldest_signal=int(desk.oldest_signal_seconds * SECOND),
        unsettled=int(desk.unsettled_seconds * SECOND),
        collar=Decimal(str(desk.collar)),
        route=desk.route,
    )


def _today(settings: Settings) -> Path:
    return settings.desk_folder / str(datetime.now(NEW_YORK).date())


def _session(settings: Settings, day: str | None) -> Path:
    """The folder of a session. Raises UserError for what is no date."""
    if day is None:
        return _today(settings)
    try:
        return settings.desk_folder / str(date.fromisoformat(day))
    except ValueError:
        raise UserError(f"DATE {day!r} is not a date; write it as YYYY-MM-DD") from None


def _fills(settings: Settings, day: str | None) -> list[Fill]:
    path = _session(settings, day) / JOURNAL
    if not path.exists():
        raise UserError(
            f"no journal of {path.parent.name} in {settings.desk_folder}; name a session"
        )
    return list(restored(path).fills.values())


def _text(file: str) -> str:
    if file == "-":
        return sys.stdin.read()
    try:
        return Path(file).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: {error}; name the exported list of executions") from None
