"""`smallcaps ui`: Dagster's web server and daemon on a lake."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import click

from smallcaps_assets import interrupts
from smallcaps_assets.cli.options import LakeOptions
from smallcaps_assets.cli.setup import (
    UserError,
    check_launcher,
    check_port,
    overrides_of,
    ready_lake,
    settings_of,
)
from smallcaps_assets.orchestration.location import hand_over
from smallcaps_assets.pipeline.market import market_of

_LAST_SECONDS, _PAUSE = 5.0, 0.2
# `dg dev`, for which Dagster gives this command up, wants a project of its own around it.
_SUPERSEDED = "ignore:Function `dev_command` is superseded"
_QUIET = ("--log-level", "error", "--code-server-log-level", "error")
_COMMAND = (sys.executable, "-W", _SUPERSEDED, "-m", "dagster", "dev", *_QUIET)


def open_ui(options: LakeOptions, port: int, host: str) -> int:
    """Run `dagster dev` on the lake's own instance until interrupted."""
    settings = settings_of(options)
    check_address(host, port)
    check_launcher(settings)
    ready_lake(settings)

    from smallcaps_assets.orchestration.fleet import declare_served, digest_of
    from smallcaps_assets.orchestration.instance import (
        choose_launcher,
        open_instance,
        workspace_file,
    )
    from smallcaps_assets.orchestration.maintenance import maintain

    choose_launcher(settings.lake.local, settings.run)
    with open_instance(settings.lake.local) as instance:
        home = Path(instance.root_directory)
        maintain(instance, settings.run)
        if settings.run.launcher != "in_process":
            declare_served(instance, digest_of(settings))
    handed = hand_over(overrides_of(options), options.config, settings.lake)
    where = ["--host", host, "--port", str(port), "--workspace", str(workspace_file(home))]
    with market_of(settings).served() as shared_market:
        environment = {**os.environ, "DAGSTER_HOME": str(home), **handed, **shared_market}
        return Service(host, port).run([*_COMMAND, *where], environment)


def check_address(host: str, port: int) -> None:
    """Try to listen on an address. Raises UserError when that fails."""
    check_port(port, 1)
    try:
        if not host:
            raise socket.gaierror(socket.EAI_NONAME, "it is empty")
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, _, _, _, address in found:
            with socket.create_server(address[:2], family=family):
                pass
    except (socket.gaierror, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"--host {host!r} is not an address: {reason}; give one of this machine, as 127.0.0.1"
        ) from None
    except OSError as error:
        is_taken = error.errno in (errno.EADDRINUSE, errno.EACCES)
        remedy = "choose another --port" if is_taken else "give an address of this machine"
        reason = os.strerror(error.errno or 0)
        raise UserError(f"can't listen on {host} port {port}: {reason}; {remedy}") from None


class Service:
    """Dagster's web server and daemon as a process group, of which nothing remains at the end."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._child: subprocess.Popen[bytes] | None = None
        self._is_over = False

    def run(self, command: list[str], environment: Mapping[str, str]) -> int:
        """Serve until a signal comes. Raises UserError when a part stops unexpectedly."""
        interrupts.hand_over(self._stop)
        signal.signal(signal.SIGHUP, self._stop)  # the terminal is closed
        self._child = subprocess.Popen(command, env=environment, start_new_session=True)
        if self._is_over:
            self._child.terminate()
        self._print_address(self._child)
        status = self._child.wait()
        _end_group(self._child.pid)
        if self._is_over:
            return 0
        raise UserError(f"the web server or the daemon stopped unexpectedly (status {status})")

    def _print_address(self, child: subprocess.Popen[bytes]) -> None:
        """Print the web server's address once it answers."""
        while child.poll() is None and not self._is_over:
            with suppress(OSError), socket.create_connection((self._host, self._port), 1):
                host = f"[{self._host}]" if ":" in self._host else self._host
                click.echo(f"serving at http://{host}:{self._port}; Ctrl-C ends it")
                return
            time.sleep(_PAUSE)

    def _stop(self, *_: object) -> None:
        """Dagster ends its own children first."""
        self._is_over = True
        if self._child is not None:
            self._child.terminate()


def _end_group(group: int) -> None:
    """End what is left of a process group: SIGTERM first, then SIGKILL."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + _LAST_SECONDS
        with suppress(ProcessLookupError):
            os.killpg(group, number)
            while number is signal.SIGTERM and time.monotonic() < deadline:
                os.killpg(group, 0)
                time.sleep(0.05)
