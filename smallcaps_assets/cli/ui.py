"""`smallcaps ui`: Dagster's web server and daemon on a lake."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from smallcaps_assets.cli.setup import ready_lake, settings_of


def open_ui(
    market: str | None,
    lake: str | None,
    overrides: tuple[str, ...],
    config: str | None,
    port: int,
    host: str,
) -> int:
    """Run `dagster dev` on the lake's own instance until it is interrupted."""
    from smallcaps_assets.orchestration.instance import instance_home, workspace_file

    settings = settings_of(market, lake, overrides, config)
    ready_lake(settings)
    root = Path(settings.lake.root).resolve()
    home = instance_home(root)
    environment = {**os.environ, "DAGSTER_HOME": str(home), "SMALLCAPS_LAKE_ROOT": str(root)}
    command = [sys.executable, "-m", "dagster", "dev", "--workspace", str(workspace_file(home))]
    return _serve([*command, "--host", host, "--port", str(port)], environment)


def _serve(command: list[str], environment: Mapping[str, str]) -> int:
    """Dagster's exit status; it stops its own children, so it is always waited for.

    Ctrl-C reaches it through the terminal, a termination is passed on.
    """
    with subprocess.Popen(command, env=environment) as child:
        signal.signal(signal.SIGTERM, lambda *_: child.terminate())
        while True:
            try:
                return child.wait()
            except KeyboardInterrupt:
                continue
