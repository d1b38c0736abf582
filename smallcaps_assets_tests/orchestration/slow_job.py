"""A code location for the workers of a test: an asset that is made once it may be."""

import time
from pathlib import Path

import dagster as dg


class May(dg.Config):
    """`folder` has the file `go` once the asset may be made; `begun` is made in it before."""

    folder: str


@dg.asset
def slow(config: May) -> None:
    folder = Path(config.folder)
    (folder / "begun").touch()
    end = time.monotonic() + 60
    while not (folder / "go").exists() and time.monotonic() < end:
        time.sleep(0.05)


defs = dg.Definitions([slow], executor=dg.in_process_executor)
