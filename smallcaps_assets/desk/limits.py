"""How many commands DAS takes in how long, kept to nine tenths, with a reserve for what protects.

The clock is given with each question; nothing waits here.
"""

from __future__ import annotations

from collections import defaultdict, deque

from smallcaps_assets.desk.das.words import Line

SECOND = 1_000_000_000
_MINUTE = 60 * SECOND
LIMITS = {"NEWORDER": (50, SECOND), "CANCEL": (100, _MINUTE), "REPLACE": (100, _MINUTE),
          "SLNEWORDER": (100, _MINUTE), "SLPRICEINQUIRE": (1, 3 * SECOND)}  # fmt: skip
"""By verb: commands in a span of ns, as DAS documents its defaults."""


class RateLimits:
    """Counts what was sent. `share` of each limit is used, and of that the last `reserve` only by
    urgent commands: cancels and closing orders of the kill switch."""

    def __init__(self, share: float = 0.9, reserve: float = 0.2) -> None:
        self._share, self._reserve = share, reserve
        self._sent: dict[str, deque[int]] = defaultdict(deque)

    def room(self, command: Line, t: int, is_urgent: bool = False) -> int:
        """How many such commands may be sent at `t`, in ns; a large number without a limit."""
        verb = command.VERBS[0].partition(" ")[0]
        if verb not in LIMITS:
            return 1_000_000
        most, span = LIMITS[verb]
        sent = self._sent[verb]
        while sent and sent[0] <= t - span:
            sent.popleft()
        allowed = max(int(most * self._share * (1 if is_urgent else 1 - self._reserve)), 1)
        return allowed - len(sent)

    def note(self, command: Line, t: int) -> None:
        """One was sent."""
        self._sent[command.VERBS[0].partition(" ")[0]].append(t)
