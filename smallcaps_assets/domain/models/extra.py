"""What the extra `models` installs, imported when it is used."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

PACKAGES = ("lightgbm", "xgboost", "sklearn", "optuna")
INSTALL = 'pip install -c constraints.txt -e ".[models]"'
_OPENMP = "libgomp.so.1"


class ExtraError(ImportError):
    """A package of the extra `models`, or a library under it, that is not there."""


def is_installed() -> bool:
    """Whether all packages of the extra are there; none is imported."""
    return not missing()


def missing() -> list[str]:
    """The packages of the extra that are not there."""
    return [name for name in PACKAGES if find_spec(name) is None]


def require(name: str) -> Any:
    """A module of the extra. Raises ExtraError with the command that brings what is missing."""
    try:
        return import_module(name)
    except OSError as error:
        if _OPENMP not in str(error):
            raise
        raise ExtraError(
            f"{name.partition('.')[0]} needs the OpenMP library {_OPENMP}; install it with"
            " `apt-get install libgomp1`, or your system's package of that library"
        ) from None
    except ModuleNotFoundError as error:
        raise ExtraError(
            f"models need {error.name}, which is not installed; install it with `{INSTALL}`"
        ) from None
