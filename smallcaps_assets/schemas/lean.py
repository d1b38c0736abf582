"""dataframely without SQLAlchemy, whose loading would take longer than all the rest of a command.

dataframely imports it to write schemas as SQL tables, which nobody does here, and does without it
where it is not installed. A process that has it already, such as Dagster's, is left as it is.
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
