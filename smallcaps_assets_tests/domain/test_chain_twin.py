"""Labels of random tapes against plain loops over their ticks: halts, odd lots, closing prints."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from smallcaps_assets.domain.bars.build import dollar_imbalance_bars
from smallcaps_assets.domain.labels.triple_barrier import triple_barrier_labels
from smallcaps_assets.settings import Settings
from smallcaps_assets_tests.domain.tick_frames import SECOND, at, halts_frame, tape_of, trade

SETTINGS = Settings()
LABELS = SETTINGS.labels.model_copy(update={"take_profit": 0.03, "stop_loss": 0.02})
HALTS = halts_frame(("14:20:00", "14:31:00"), ("15:40:00", "15:45:00"), ("15:55:00", None))
END = at("16:00:00")


def random_tape(seed):
    """Three hours of prints, fewer around the halts; some odd lots; closing prints at the end."""
    rng = np.random.default_rng(seed)
    count = 1200
    times = at("13:10:00") + np.sort(rng.integers(0, 10_260, count)) * SECOND
    prices = np.round(4 * np.exp(0.003 * rng.standard_normal(count).cumsum()), 2)
    codes = [[], [], [37], [14]]
    rows = [
        trade(int(t), float(p), float(rng.integers(1, 900)), codes[rng.integers(4)])
        for t, p in zip(times, prices, strict=True)
        if not any(
            at(a) < t < at(b) for a, b in [("14:20:00", "14:31:00"), ("15:55:00", "17:00:00")]
        )
    ]
    rows += [trade("16:00:02", float(prices[-1] * 1.2), 5000.0, [8])]
    return tape_of(rows, halts=HALTS)


def label_of(bar, ticks, basis):
    """One label from the definition, as a dictionary of what the table holds."""
    t0, base = bar["close_timestamp"], bar["close"]
    vertical = min(t0 + 900 * SECOND, END)
    path = [
        (n, t, p)
        for n, (t, p, is_path) in enumerate(ticks)
        if is_path and n > bar["last_tick"] and t <= END
    ]
    entry = next(((n, t, p) for n, t, p in path if t >= t0 + SECOND), None)
    printed = path
    if basis == "entry":
        base = entry and entry[2]
        path = [(n, t, p) for n, t, p in path if entry and n > entry[0]]
    inside = [(n, t, p) for n, t, p in path if t <= vertical]
    touches = [
        (n, t, p) for n, t, p in inside if p >= base * 1.03 - 1e-9 or p <= base * 0.98 + 1e-9
    ]
    result = {"label": 0, "t1": vertical, "touch_tick": None, "is_halt_cut": False}
    place, _, price = inside[-1] if inside else (None, None, None)
    if touches:
        place, t, price = touches[0]
        n = place
        result |= {"label": 1 if price > base else -1, "t1": t, "touch_tick": n}
    else:
        for start, end in HALTS.select(pl.all().to_physical()).rows():
            if start < vertical and (end is None or vertical < end):
                result["is_halt_cut"] = True
                after = [tick for tick in printed if end is not None and tick[1] >= end]
                # A position that was entered after the halt did not live through it.
                if after and after[0] in path:
                    place, result["t1"], price = after[0]
    is_later = entry is not None and place is not None and place > entry[0]
    return result | {
        "base_price": base,
        "label_return": None if price is None else price / base - 1,
        "return_from_entry": price / entry[2] - 1 if is_later else None,
        "has_path": price is not None,
        "entry_timestamp": entry and entry[1],
        "entry_price": entry and entry[2],
        **forward_of(t0, bar["close"], ticks, 5),
        **forward_of(t0, bar["close"], ticks, 15),
    }


def forward_of(t0, base, ticks, minutes):
    """The forward label of one horizon."""
    target = t0 + minutes * 60 * SECOND
    names = [f"forward_{name}_{minutes}m" for name in ("return", "label", "staleness")]
    if target > END:
        return dict.fromkeys(names)
    time, price = [(t, p) for t, p, is_path in ticks if is_path and t <= target][-1]
    change = price / base - 1
    label = int(change >= 0.03 - 1e-9) - int(change <= -0.02 + 1e-9)
    return dict(zip(names, (change, label, (target - time) / SECOND), strict=True))


@pytest.mark.parametrize("basis", ["bar_close", "entry"])
@pytest.mark.parametrize("seed", range(4))
def test_labels_given_a_random_tape_equal_plain_loops(seed, basis):
    tape = random_tape(seed)
    bars = dollar_imbalance_bars(tape, SETTINGS.bars, 6_000)
    found = triple_barrier_labels(tape, bars, LABELS.model_copy(update={"from": basis}))
    ticks = tape.ticks.select(
        pl.col("sip_timestamp").to_physical(),
        "price",
        pl.col("is_price_forming") & (pl.col("sip_timestamp").to_physical() <= END),
    ).rows()
    events = bars.with_columns(pl.col("close_timestamp").to_physical()).filter(
        (pl.col("reason") == "threshold") & (pl.col("close_timestamp") < END)
    )
    assert found["bar_id"].to_list() == events["bar_id"].to_list()
    assert set(found["label"]) == {-1, 0, 1}
    assert found["is_halt_cut"].any()
    physical = found.with_columns(pl.col(pl.Datetime("ns", "UTC")).to_physical()).to_dicts()
    for row, bar in zip(physical, events.to_dicts(), strict=True):
        wanted = label_of(bar, ticks, basis)
        numbers = {n: v for n, v in wanted.items() if isinstance(v, float)}
        others = {n: v for n, v in wanted.items() if not isinstance(v, float)}
        assert {n: row[n] for n in others} == others
        assert {n: row[n] for n in numbers} == pytest.approx(numbers, rel=1e-9, abs=1e-12)
