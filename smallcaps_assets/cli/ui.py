"""`smallcaps ui`: Dagster's web server and daemon on a lake."""

from __future__ import annotations

import os
import subprocess
import sys
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
    from smallcaps_assets.orchestration.instance import instance_home

    settings = settings_of(market, lake, overrides, config)
    ready_lake(settings)
    root = Path(settings.lake.root).resolve()
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(instance_home(root)),
        "SMALLCAPS_LAKE_ROOT": str(root),
    }
    command = [
        sys.executable,
        "-m",
        "dagster",
        "dev",
        "--module-name",
        "smallcaps_assets.definitions",
    ]
    return subprocess.call([*command, "--host", host, "--port", str(port)], env=environment)
