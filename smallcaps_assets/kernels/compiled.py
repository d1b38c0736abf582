"""How a kernel is compiled: at its first call, without the GIL, and kept on disk.

numba keeps compiled code until the file of that function changes. A kernel holds those of other
files that it calls, so here any change of a file beside it or below, or of any module here, means
another folder.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

import numba
from llvmlite import binding
from numba import config, njit

PACKAGE = Path(__file__).parents[1]
KERNELS = Path(__file__).parent
F = TypeVar("F", bound=Callable[..., Any])
_lock = Lock()


def compiled(function: F) -> F:
    """The function as a kernel; its code is below NUMBA_CACHE_DIR, else in its own room."""
    return _kept(function, "never")


def inlined(function: F) -> F:
    """A kernel that becomes part of those that call it: for the few lines of an inner loop."""
    return _kept(function, "always")


def folder(room: Path = KERNELS) -> Path:
    """Where a room's compiled code is kept, that of these sources alone."""
    given = config.CACHE_DIR  # type: ignore[attr-defined]
    return Path(given or room / "__pycache__") / sources_digest(room)


def mark() -> Path:
    """A file that is there once all kernels are compiled, for this processor and these versions.

    The folder of the sources counts too: numba looks compiled code up by it.
    """
    processor = (config.CPU_NAME, config.CPU_FEATURES) if config.CPU_NAME else _host()  # type: ignore[attr-defined]
    words = (KERNELS, sys.version, numba.__version__, *processor)
    return folder() / f"all-{hashlib.sha256(repr(words).encode()).hexdigest()[:16]}"


@lru_cache
def sources_digest(room: Path) -> str:
    """A name for the Python files of a room and of the kernels, another one when any changes."""
    found = hashlib.sha256()
    for part in dict.fromkeys((KERNELS, room)):
        for file in sorted(part.rglob("*.py")):
            name = str(file.relative_to(part)).encode()
            found.update(hashlib.sha256(name + b"\0" + file.read_bytes()).digest())
    return f"kernels-{found.hexdigest()[:16]}"


def _kept(function: F, inline: str) -> F:
    room = _room(Path(function.__code__.co_filename))
    with _lock:
        given = config.CACHE_DIR  # type: ignore[attr-defined]
        config.CACHE_DIR = str(folder(room))  # type: ignore[attr-defined]
        try:
            return njit(cache=True, nogil=True, inline=inline)(function)  # type: ignore[return-value]
        finally:
            config.CACHE_DIR = given  # type: ignore[attr-defined]


def _room(module: Path) -> Path:
    """The part of the package that a module lies in; for one of elsewhere, its folder."""
    if PACKAGE not in module.parents:
        return module.parent
    return PACKAGE / module.relative_to(PACKAGE).parts[0]


def _host() -> tuple[str, str]:
    return binding.get_host_cpu_name(), binding.get_host_cpu_features().flatten()
