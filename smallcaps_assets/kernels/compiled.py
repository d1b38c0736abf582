"""How a kernel is compiled: at its first call, without the GIL, and kept on disk.

numba keeps compiled code until the file of that function changes. A kernel holds those of other
files that it calls, so here any change of any kernel means another folder.
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

KERNELS = Path(__file__).parent
F = TypeVar("F", bound=Callable[..., Any])
_lock = Lock()


def compiled(function: F) -> F:
    """The function as a kernel; its code is below NUMBA_CACHE_DIR, else beside its module."""
    with _lock:
        given = config.CACHE_DIR  # type: ignore[attr-defined]
        config.CACHE_DIR = str(folder())  # type: ignore[attr-defined]
        try:
            return njit(cache=True, nogil=True)(function)  # type: ignore[return-value]
        finally:
            config.CACHE_DIR = given  # type: ignore[attr-defined]


def folder() -> Path:
    """Where compiled kernels are kept, those of these sources alone."""
    given = config.CACHE_DIR  # type: ignore[attr-defined]
    return Path(given or KERNELS / "__pycache__") / sources_digest(KERNELS)


def mark() -> Path:
    """A file that is there once all kernels are compiled, for this processor and these versions.

    The folder of the sources counts too: numba looks compiled code up by it.
    """
    processor = (config.CPU_NAME, config.CPU_FEATURES) if config.CPU_NAME else _host()  # type: ignore[attr-defined]
    words = (KERNELS, sys.version, numba.__version__, *processor)
    return folder() / f"all-{hashlib.sha256(repr(words).encode()).hexdigest()[:16]}"


def _host() -> tuple[str, str]:
    return binding.get_host_cpu_name(), binding.get_host_cpu_features().flatten()


@lru_cache
def sources_digest(folder: Path) -> str:
    """A name for the Python files of a folder, another one when any of them changes."""
    found = hashlib.sha256()
    for file in sorted(folder.glob("*.py")):
        found.update(hashlib.sha256(file.name.encode() + b"\0" + file.read_bytes()).digest())
    return f"kernels-{found.hexdigest()[:16]}"
