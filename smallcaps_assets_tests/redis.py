"""A real Redis server for the length of a test."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

PASSWORD = "a-secret-of-the-broker"


class RedisServer:
    """A server with a password, which keeps what it holds when it is told to."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port = found.getsockname()[1]
        self.url = f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"
        self._server: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = ["--bind", "127.0.0.1", "--requirepass", PASSWORD, "--dir", str(self._folder)]
        command = ["redis-server", "--port", str(self.port), *options, "--save", "3600", "1"]
        self._server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        end = time.monotonic() + 20
        while time.monotonic() < end:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as found:
                found.sendall(b"PING\r\n")
                if found.recv(100):
                    return
            time.sleep(0.05)
        raise TimeoutError("redis-server does not answer")

    def stop(self, keeps: bool = True) -> None:
        """End it, by a kill and with the loss of all that it held unless it `keeps` that."""
        assert self._server is not None
        if keeps:
            self._server.terminate()
        else:
            self._server.kill()
            (self._folder / "dump.rdb").unlink(missing_ok=True)
        self._server.wait(20)

    def restart(self, keeps: bool = True) -> None:
        """Stop it and start it again at the same address."""
        self.stop(keeps)
        self.start()


@contextmanager
def redis_server() -> Iterator[RedisServer]:
    """A running server; the test is skipped where there can be none."""
    pytest.importorskip("redis", reason="install smallcaps-assets[celery]")
    if shutil.which("redis-server") is None:
        pytest.skip("no Redis server; install Debian's package redis-server")
    folder = Path(tempfile.mkdtemp(prefix="redis-"))
    server = RedisServer(folder)
    try:
        server.start()
        yield server
        server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
