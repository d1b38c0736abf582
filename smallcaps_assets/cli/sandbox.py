"""`smallcaps sandbox`: the embedded market alone, for your own clients, and its oracle."""

from __future__ import annotations

import threading
from dataclasses import replace

import click

from smallcaps_assets.cli.options import LakeOptions
from smallcaps_assets.cli.output import echo_json
from smallcaps_assets.cli.setup import UserError, check_port, settings_of
from smallcaps_assets.pipeline.market import market_of
from smallcaps_assets.settings import Settings


def run_sandbox(options: LakeOptions, action: str, port: int, is_json: bool) -> int:
    """Serve the market, or tell what it can foretell of the rows of a lake."""
    if action == "oracle":
        from smallcaps_assets.cli.oracle import run_oracle

        return run_oracle(settings_of(options), is_json)
    check_port(port, 0)
    settings = settings_of(replace(options, market=options.market or "simulated"))
    return _serve(settings, port, is_json)


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
            width = max(map(len, answers))
            for name, value in answers.items():
                click.echo(f"{name.replace('_', ' '):<{width}}  {value}")
            click.echo("Ctrl-C stops it")
        threading.Event().wait()
    return 0
