"""What steps write to standard output and error, kept for the web server's page of a run.

The stock manager starts two `tail -F` and two watchers for each run, which outlive a killed one.
Here a thread does their work. A command's own runs are not captured at all: what they write is the
command's, and its progress is drawn only where it sees a terminal.
"""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from dagster._core.execution.compute_logs import redirect_to_file
from dagster._core.storage.compute_log_manager import CapturedLogContext, ComputeIOType
from dagster._core.storage.local_compute_log_manager import (
    IO_TYPE_EXTENSION,
    LocalComputeLogManager,
)
from dagster._serdes import ConfigurableClassData
from dagster._utils import ensure_file, touch_file

_SECONDS = 0.2  # between two looks at what has been written
_CHUNK = 1 << 16


class ComputeLogs(LocalComputeLogManager):
    """Output in files below an instance's folder, and also where it would have gone."""

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> ComputeLogs:
        """The manager of a dagster.yaml; `base_dir` is the instance's folder."""
        folder = str(Path(config_value["base_dir"]) / "storage")
        return cls(**{**config_value, "base_dir": folder}, inst_data=inst_data)

    @contextmanager
    def capture_logs(self, log_key: Sequence[str]) -> Iterator[CapturedLogContext]:
        """Capture both streams of this process, as far as they are files or terminals."""
        out, error = (
            self.get_captured_local_path(log_key, IO_TYPE_EXTENSION[kind])
            for kind in (ComputeIOType.STDOUT, ComputeIOType.STDERR)
        )
        with _captured(sys.stdout, out), _captured(sys.stderr, error):
            yield CapturedLogContext(log_key)
        touch_file(self.complete_artifact_path(log_key))


class Uncaptured(ComputeLogs):
    """Captures nothing, and shows what other processes have captured."""

    @contextmanager
    def capture_logs(self, log_key: Sequence[str]) -> Iterator[CapturedLogContext]:
        """Leave the mark that says there is nothing to wait for."""
        yield CapturedLogContext(log_key)
        mark = Path(self.complete_artifact_path(log_key))
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()


@contextmanager
def _captured(stream: TextIO, path: str) -> Iterator[None]:
    """Write a stream to a file, and to its own place in a thread."""
    try:
        number = stream.fileno()
    except io.UnsupportedOperation:
        yield
        return
    ensure_file(path)
    is_over = threading.Event()
    with os.fdopen(os.dup(number), "wb", buffering=0) as place, Path(path).open("rb") as file:
        file.seek(0, os.SEEK_END)
        thread = threading.Thread(target=_follow, args=(file, place, is_over), daemon=True)
        with redirect_to_file(stream, path):
            thread.start()
            yield
        is_over.set()
        thread.join()


def _follow(file: Any, place: Any, is_over: threading.Event) -> None:
    """Copy what is appended to a file, until it is over and all is copied."""
    while True:
        was_over = is_over.is_set()
        while data := file.read(_CHUNK):
            place.write(data)
        if was_over:
            return
        is_over.wait(_SECONDS)
