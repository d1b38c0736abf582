"""What the desk needs of a broker, whichever it is."""

from __future__ import annotations

from typing import Protocol

from smallcaps_assets.desk.das.words import Line


class NotConnectedError(ConnectionError):
    """Nothing was handed over: there is no connection, or the session may not send this."""


class Broker(Protocol):
    """Takes commands; what it answers comes as events to the runtime's inbox."""

    def send(self, command: Line) -> None:
        """Hand a command over. Raises NotConnectedError when it certainly was not, another
        OSError when nobody knows."""
        ...

    def sweep(self) -> None:
        """Ask for positions, orders and trades; they come as a Snapshot. Never raises."""
        ...

    def drop_writes(self) -> None:
        """From now on nothing can be sent."""
        ...

    def close(self) -> None:
        """End the connection."""
        ...
