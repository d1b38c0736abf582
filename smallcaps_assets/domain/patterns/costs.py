"""What a round trip at an event's moment costs in spread, from what was known then.

Fees, and fills against a quote as it changes, are not in it.
"""

from __future__ import annotations

import numpy as np

from smallcaps_assets.domain.bars.quote_features import Quotes
from smallcaps_assets.domain.columns import floats
from smallcaps_assets.domain.labels.paths import SECOND, Path, path_of
from smallcaps_assets.domain.ticks.tape import TickTape

WINDOW = 300 * SECOND
LEAST_REVERSALS = 20
HALF_TICK, HALF_TICK_BELOW_ONE = 0.005, 0.00005


def round_trip_costs(tape: TickTape, times: np.ndarray, quotes: Quotes) -> np.ndarray:
    """The spread at each time (int64 ns): the quoted one, without a clean quote the modelled."""
    quoted, ticks = quoted_spread(quotes, times), tape.ticks
    path = path_of(tape.times, floats(ticks["price"]), ticks["in_label_path"].to_numpy())
    unknown = np.isnan(quoted)
    quoted[unknown] = modelled_spread(path, times[unknown])
    return quoted


def quoted_spread(quotes: Quotes, times: np.ndarray) -> np.ndarray:
    """(ask - bid) / mid of the quote in force at each time (int64 ns), NaN without a clean one."""
    places = np.searchsorted(quotes.times, times, "right") - 1
    known = np.flatnonzero(places >= 0)
    bid, bid_size, ask, ask_size = (side[places[known]] for side in quotes.arrays[1:])
    is_clean = (bid > 0) & (bid_size > 0) & (ask >= bid) & (ask_size > 0)
    spread = np.full(times.size, np.nan)
    chosen = known[is_clean]
    spread[chosen] = 2 * (ask - bid)[is_clean] / (ask + bid)[is_clean]
    return spread


def modelled_spread(path: Path, times: np.ndarray) -> np.ndarray:
    """A spread as a fraction of the last price at each time, estimated from prints alone.

    The median change from a print to the next that reverses the change before it, over the last
    five minutes, or the session so far where these have fewer than 20; a tick at least. NaN without
    a print.
    """
    changes = np.diff(path.prices)
    reversals = np.flatnonzero(changes[1:] * changes[:-1] < 0) + 1
    moved, steps = path.times[reversals + 1], np.abs(changes[reversals])
    spread = np.full(times.size, np.nan)
    for k, time in enumerate(times):
        place = int(np.searchsorted(path.times, time, "right")) - 1
        if place < 0:
            continue
        last, price = int(np.searchsorted(moved, time, "right")), path.prices[place]
        first = int(np.searchsorted(moved, time - WINDOW, "right"))
        recent = steps[first if last - first >= LEAST_REVERSALS else 0 : last]
        least = 2 * (HALF_TICK if price >= 1 else HALF_TICK_BELOW_ONE)
        spread[k] = max(float(np.median(recent)) if recent.size else 0.0, least) / price
    return spread
