"""What code prints in a process of its own, under other variables."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_SECONDS = 400


def printed(code: str, **variables: str) -> str:
    """The output of Python code in a fresh process, from the root of the tests' package."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=_SECONDS,
        cwd=Path(__file__).parents[1],
        env={**os.environ, **variables},
    )
    return done.stdout
