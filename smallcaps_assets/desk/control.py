"""What people tell the desk from outside: the kill switch and accepted mismatches, on disk.

The switch is latched: it only goes up until a person resets it. Any process may throw it; a running
desk reads the file with every beat and writes which level it has heard of.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
from msgspec import Struct

from smallcaps_assets.desk.events import Level
from smallcaps_assets.desk.journal import sync_folder

FILE, HEARD = "control.json", "heard.json"


class State(Struct, frozen=True):
    """The switch: its level, why, since when (UTC ns), and symbols that a person has accepted."""

    level: Level = Level.NONE
    reason: str = ""
    at: int = 0
    accepted: dict[str, int] = msgspec.field(default_factory=dict)


class Heard(Struct, frozen=True):
    """What a running desk last read."""

    level: Level


class Control:
    """The files of one desk folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self) -> State:
        """The present state. One that can't be read stops entries: somebody had thrown it."""
        try:
            return msgspec.json.decode((self._folder / FILE).read_bytes(), type=State)
        except FileNotFoundError:
            return State()
        except (OSError, msgspec.MsgspecError) as error:
            return State(Level.SOFT, f"{FILE} can't be read: {error}")

    def throw(self, level: Level, reason: str, t: int) -> State:
        """Raise the switch; a lower level than it has changes nothing."""
        state = self.read()
        if level > state.level:
            state = msgspec.structs.replace(state, level=level, reason=reason, at=t)
            self._write(FILE, state)
        return state

    def reset(self, t: int) -> None:
        """Lower the switch to NONE, for a person who has looked."""
        self._write(FILE, State(Level.NONE, "reset", t, self.read().accepted))

    def accept(self, symbol: str, t: int) -> None:
        """Let a symbol be traded again after its mismatch."""
        state = self.read()
        self._write(FILE, msgspec.structs.replace(state, accepted={**state.accepted, symbol: t}))

    def hear(self, level: Level) -> None:
        """A running desk has acted on this level."""
        self._write(HEARD, Heard(level))

    def heard(self) -> Level:
        try:
            return msgspec.json.decode((self._folder / HEARD).read_bytes(), type=Heard).level
        except (OSError, msgspec.MsgspecError):
            return Level.NONE

    def _write(self, name: str, state: State | Heard) -> None:
        """Whole or not at all, also after a power cut. (`lake.files` does so too, but loads the
        lake, for which nobody who throws the switch should wait.)"""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f".{name}-{os.getpid()}"
        with path.open("wb") as file:
            file.write(msgspec.json.encode(state))
            file.flush()
            os.fsync(file.fileno())
        path.replace(self._folder / name)
        sync_folder(self._folder)
