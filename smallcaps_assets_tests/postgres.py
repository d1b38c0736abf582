"""A real PostgreSQL server for the length of a test, from whatever binaries the machine has."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_PLACES = ("/usr/lib/postgresql/*/bin", "/usr/local/bin", "/usr/bin")
_USER = "nobody"
_OPTIONS = ["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]


def binaries() -> Path | None:
    """The folder of initdb and postgres; None when there is no server."""
    found = [
        Path(folder)
        for place in _PLACES
        for folder in sorted(map(str, Path("/").glob(place[1:])), reverse=True)
    ]
    return next((f for f in found if (f / "initdb").exists() and (f / "postgres").exists()), None)


@contextmanager
def postgres_server() -> Iterator[str]:
    """The address of a database named `lake`; the test is skipped where there can be none."""
    pytest.importorskip("dagster_postgres", reason="install smallcaps-assets[postgres]")
    bin_folder = binaries()
    if bin_folder is None:
        pytest.skip("no PostgreSQL server; install Debian's package postgresql")
    user = _USER if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    if user:
        shutil.chown(folder, user)
        if subprocess.run(["test", "-w", folder], user=user, check=False).returncode:
            folder.rmdir()
            pytest.skip(f"{user} can't reach {folder}; set TMPDIR to a folder that all may enter")
    data, port = folder / "data", _free_port()
    make = [bin_folder / "initdb", "-D", data, "-U", "lake", "-A", "trust", "-E", "UTF8", "-N"]
    try:
        subprocess.run(make, user=user, check=True, capture_output=True, cwd=folder)
        run = [bin_folder / "postgres", "-D", data, "-p", str(port), "-k", folder, *_OPTIONS]
        with (
            (folder / "log").open("wb") as log,
            subprocess.Popen(run, user=user, stdout=log, stderr=log, cwd=folder) as server,
        ):
            try:
                yield _create_database(port)
            finally:
                server.send_signal(signal.SIGINT)  # fast: waits for no client
                server.wait(30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _create_database(port: int) -> str:
    import psycopg2

    end = time.monotonic() + 30
    while True:
        try:
            connection = psycopg2.connect(
                host="127.0.0.1", port=port, user="lake", dbname="postgres"
            )
            break
        except psycopg2.OperationalError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("create database lake")
    connection.close()
    return f"postgresql+psycopg2://lake@127.0.0.1:{port}/lake"


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]
