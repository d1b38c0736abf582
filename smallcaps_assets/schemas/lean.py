"""dataframely without SQLAlchemy, which makes commands without Dagster start 40 % slower.

dataframely imports it to write schemas as SQL tables, which this package does not do, and works
without it where it is not installed. Where SQLAlchemy is loaded already, as by Dagster, nothing is
hidden. `benchmarks/startup.py` measures the difference.
"""

from __future__ import annotations

import sys
from importlib import import_module

_UNWANTED = "sqlalchemy"


def load_dataframely() -> None:
    """Import dataframely, telling it meanwhile that there is no SQLAlchemy."""
    if _UNWANTED in sys.modules or "dataframely" in sys.modules:
        return
    sys.modules[_UNWANTED] = None  # type: ignore[assignment]
    try:
        import_module("dataframely")
    finally:
        del sys.modules[_UNWANTED]
