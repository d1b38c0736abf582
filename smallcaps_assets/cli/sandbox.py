"""`smallcaps sandbox`: the embedded market alone, for your own clients, its stream, its oracle."""

from __future__ import annotations

import importlib.util
import threading
from dataclasses import replace
from datetime import date

import click

from smallcaps_assets.cli.options import LakeOptions
from smallcaps_assets.cli.output import echo_json, echo_values
from smallcaps_assets.cli.setup import UserError, check_port, check_speed, names_of, settings_of
from smallcaps_assets.lake.selection import as_day
from smallcaps_assets.pipeline.market import market_of
from smallcaps_assets.settings import Settings


def run_sandbox(
    options: LakeOptions,
    action: str,
    port: int,
    day: str | None,
    tickers: str | None,
    speed: float,
    faults: tuple[str, ...],
    is_json: bool,
) -> int:
    """Serve the market, stream a session, or tell what can be foretold of the rows of a lake."""
    if action == "oracle":
        from smallcaps_assets.cli.oracle import run_oracle

        return run_oracle(settings_of(options), is_json)
    check_port(port, 0)
    settings = settings_of(replace(options, market=options.market or "simulated"))
    if action == "stream":
        names = names_of(tickers, "--tickers", "ticker")
        return _stream(settings, port, as_day(day, "--day"), names, speed, faults, is_json)
    return _serve(settings, port, is_json)


def _stream(
    settings: Settings,
    port: int,
    day: date | None,
    tickers: tuple[str, ...],
    speed: float,
    faults: tuple[str, ...],
    is_json: bool,
) -> int:
    """Serve a session over the vendor's WebSocket until interrupted."""
    if importlib.util.find_spec("websockets") is None:
        raise UserError('the stream needs websockets: pip install "smallcaps-assets[desk]"')
    from smallcaps_assets.sandbox.server.stream import PATH, StreamServer
    from smallcaps_assets.sandbox.server.stream_rows import most_traded, stream_rows

    market = market_of(settings)
    if not market.is_embedded:
        raise UserError("market polygon is streamed by the vendor; choose simulated or recorded")
    check_speed(speed)
    sandbox = market.server()
    session = day or sandbox.market.sessions[-1]
    chosen = tickers or most_traded(sandbox.market, session)
    rows = stream_rows(sandbox.market, session, chosen)
    if rows.is_empty():
        raise UserError(f"nothing was traded on {session}; choose another --day or other --tickers")
    key = sandbox.config.api_key
    with StreamServer(rows, speed or None, key, faults, port) as server:
        told = {"url": f"ws://{server.feed}{PATH}", "key": key, "session": str(session),
                "objects": rows.height}  # fmt: skip
        if is_json:
            echo_json(told)
        else:
            click.echo("\n".join(f"{name:<8} {value}" for name, value in told.items()))
            click.echo("begins with the first subscription; Ctrl-C stops it")
        threading.Event().wait()
    return 0


def _serve(settings: Settings, port: int, is_json: bool) -> int:
    """Serve the market on loopback until interrupted."""
    market = market_of(settings)
    if not market.is_embedded:
        raise UserError("market polygon is served by the vendor; choose simulated or recorded:DIR")
    with market.server(port) as served:
        from smallcaps_assets.sandbox.server.flatfiles import BUCKET

        answers = {
            "market": market.name,
            "url": served.url,
            "key": served.config.api_key,
            "flat_files": f"{served.url}/{BUCKET}",
        }
        if is_json:
            echo_json(answers)
        else:
            echo_values(answers, max(map(len, answers)) + 1)
            click.echo("Ctrl-C stops it")
        threading.Event().wait()
    return 0
