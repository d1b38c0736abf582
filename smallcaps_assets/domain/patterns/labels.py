"""The table `pattern_labels`: what became of each pattern event, by the triple barrier from its t0.

The barriers, the path and the halts are those of `domain.labels`; here they are turned to the
event's side. What it would have cost is in `costs.py`.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from smallcaps_assets.domain.columns import floats, frame_of, integers, where_known
from smallcaps_assets.domain.labels.paths import SECOND, LabelError, path_of
from smallcaps_assets.domain.labels.triple_barrier import (
    Events,
    after_halts,
    confirmed_touches,
    entries_of,
    entry_columns,
    events_of,
    judge,
    outcome_columns,
)
from smallcaps_assets.domain.ticks.tape import TickTape
from smallcaps_assets.schemas.tables import TABLES
from smallcaps_assets.settings import LabelSettings


def pattern_labels(
    tape: TickTape, events: pl.DataFrame, settings: LabelSettings, costs: np.ndarray | None = None
) -> pl.DataFrame:
    """Labels of a session's pattern events, a row each.

    Of an event of side -1 the barriers are mirrored: its profit is `take_profit` below the base,
    its stop `stop_loss` above. `label` is 1 for profit, -1 for stop; `label_return` is that of the
    price, whatever the side. The raw ones are by the unmirrored barriers. `meta_label` is 1 where
    side x return is above 0, `meta_label_after_cost` where it is above the round trip's cost, a
    fraction of the price per event (NaN: unknown, null). Raises LabelError.
    """
    ticks = tape.ticks
    triggers = integers(events["trigger_tick"])
    if triggers.size and triggers.max() >= ticks.height:
        raise LabelError(
            f"pattern events of {tape.ticker} {tape.date} begin at tick {triggers.max()}, the tape "
            f"has {ticks.height} ticks; find them again on this tape"
        )
    path = path_of(tape.times, floats(ticks["price"]), ticks["in_label_path"].to_numpy())
    times, sides = integers(events["t0"]), integers(events["side"])
    starts = np.searchsorted(path.ticks, triggers, "right")
    entries = entries_of(path, times, starts, int(settings.entry_delay_seconds * SECOND))
    verticals = np.minimum(times + int(settings.timeout_seconds * SECOND), tape.session_end)

    def decided(turned: np.ndarray) -> Events:
        up = np.where(turned, settings.stop_loss, settings.take_profit)
        down = np.where(turned, settings.take_profit, settings.stop_loss)
        basis = entries if settings.is_from_entry else None
        barriers = up, down, verticals
        return events_of(path, times, floats(events["price"]), starts, basis, barriers)

    mirrored, plain = decided(sides < 0), decided(np.zeros(sides.size, bool))
    outcome, is_halt_cut = after_halts(path, mirrored, judge(path, mirrored), tape.halts)
    raw, _ = after_halts(path, plain, judge(path, plain), tape.halts)
    measured, unmirrored = (
        outcome_columns(path, *pair) for pair in ((mirrored, outcome), (plain, raw))
    )
    confirmed = confirmed_touches(path, mirrored, outcome, settings)
    gains = sides * floats(measured["label_return"])
    cost = np.full(times.size, np.nan) if costs is None else costs
    columns = {
        **{name: events[name] for name in ("event_id", "pattern", "side", "t0")},
        **measured,
        **entry_columns(path, entries, outcome.deciding),
        "ticker": events["ticker"],
        "date": events["date"],
        "t1": outcome.known,
        "vertical_barrier": verticals,
        "price_at_t0": events["price"],
        "base_price": pl.Series(mirrored.bases, nan_to_null=True),
        "label": sides * outcome.labels,
        "raw_label": raw.labels,
        "raw_t1": raw.known,
        "raw_return": unmirrored["label_return"],
        "meta_label": where_known(~np.isnan(gains), gains > 0, pl.Int8()),
        "round_trip_cost": pl.Series(cost, nan_to_null=True),
        "meta_label_after_cost": where_known(~np.isnan(gains - cost), gains > cost, pl.Int8()),
        "is_touch_confirmed": where_known(outcome.touches >= 0, confirmed, pl.Boolean()),
        "is_session_cut": verticals >= tape.session_end,
        "is_halt_cut": is_halt_cut,
    }
    table = TABLES["pattern_labels"]
    return table.validate(frame_of(columns, table.columns))
