"""Labels of random tapes against plain loops over their ticks: halts, odd lots, closing prints."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from tick_frames import SECOND, at, halts_frame, tape_of, trade

from smallcaps_assets.domain.bars import dollar_imbalance_bars
from smallcaps_assets.domain.labels import triple_barrier_labels
from smallcaps_assets.settings import Settings

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


def label_of(bar, ticks):
    """One label from the definition, as a dictionary of what the table holds."""
    t0, base = bar["close_timestamp"], bar["close"]
    vertical = min(t0 + 900 * SECOND, END)
    path = [
        (n, t, p)
        for n, (t, p, is_path) in enumerate(ticks)
        if is_path and n > bar["last_tick"] and t <= END
    ]
    inside = [(n, t, p) for n, t, p in path if t <= vertical]
    touches = [
        (n, t, p) for n, t, p in inside if p >= base * 1.03 - 1e-9 or p <= base * 0.98 + 1e-9
    ]
    result = {"label": 0, "t1": vertical, "touch_tick": None, "is_halt_cut": False}
    price = inside[-1][2] if inside else None
    if touches:
        n, t, price = touches[0]
        result |= {"label": 1 if price > base else -1, "t1": t, "touch_tick": n}
    else:
        for start, end in HALTS.select(pl.all().to_physical()).rows():
            if start < vertical and (end is None or vertical < end):
                result["is_halt_cut"] = True
                after = [(t, p) for _, t, p in path if end is not None and t >= end]
                if after:
                    result["t1"], price = after[0]
    entry = [(t, p) for _, t, p in path if t >= t0 + SECOND]
    return result | {
        "label_return": None if price is None else price / base - 1,
        "has_path": price is not None,
        "entry_timestamp": entry[0][0] if entry else None,
        "entry_price": entry[0][1] if entry else None,
        **forward_of(t0, base, ticks, 5),
        **forward_of(t0, base, ticks, 15),
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


@pytest.mark.parametrize("seed", range(4))
def test_labels_given_a_random_tape_equal_plain_loops(seed):
    tape = random_tape(seed)
    bars = dollar_imbalance_bars(tape, SETTINGS.bars, 6_000)
    found = triple_barrier_labels(tape, bars, LABELS)
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
        wanted = label_of(bar, ticks)
        numbers = {n: v for n, v in wanted.items() if isinstance(v, float)}
        others = {n: v for n, v in wanted.items() if not isinstance(v, float)}
        assert {n: row[n] for n in others} == others
        assert {n: row[n] for n in numbers} == pytest.approx(numbers, rel=1e-9, abs=1e-12)
