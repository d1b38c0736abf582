"""`smallcaps ui`: Dagster's web server and daemon on a lake."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from smallcaps_assets.cli.setup import ready_lake, settings_of
from smallcaps_assets.settings import LakeSettings


def open_ui(
    market: str | None,
    lake: str | None,
    overrides: tuple[str, ...],
    config: str | None,
    port: int,
    host: str,
) -> int:
    """Run `dagster dev` on the lake's own instance until it is interrupted."""
    from smallcaps_assets.orchestration.instance import open_instance, workspace_file
    from smallcaps_assets.orchestration.upkeep import put_in_order

    settings = settings_of(market, lake, overrides, config)
    ready_lake(settings)
    with open_instance(settings.lake.local) as instance:
        home = Path(instance.root_directory)
        put_in_order(instance, settings.run)
    environment = {**os.environ, "DAGSTER_HOME": str(home), **_places(settings.lake)}
    command = [sys.executable, "-m", "dagster", "dev", "--workspace", str(workspace_file(home))]
    return _serve([*command, "--host", host, "--port", str(port)], environment)


def _places(lake: LakeSettings) -> dict[str, str]:
    """The variables that tell the lake's place to processes of another working folder."""
    local, is_remote = str(Path(lake.local).resolve()), "://" in lake.root
    root = lake.root if is_remote else str(Path(lake.root).resolve())
    return {
        "SMALLCAPS_LAKE_ROOT": root,
        **({"SMALLCAPS_LAKE_HOME": local} if root != local else {}),
    }


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
