"""One public library on the inputs of `peers.py`; run by that, inside the library's environment.

    python peer_worker.py LIBRARY inputs.npz answers.json

Writes per kernel the seconds of the fastest of three calls after a first, and the results. Needs
nothing of this project, whose dependencies the library's environment lacks.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

warnings.simplefilter("ignore")
Kernel = Callable[[], Any]
REPEATS = 3


class Inputs:
    """The arrays of `peers.py`, and the pandas objects that the libraries take."""

    def __init__(self, path: str) -> None:
        for name, array in np.load(path).items():
            setattr(self, name, array)
        self.index = pd.DatetimeIndex(self.times.astype("M8[ns]"))
        self.close = pd.Series(self.prices, self.index)
        self.event_times = self.index[self.events]
        self.verticals = pd.Series(self.vertical.astype("M8[ns]"), self.event_times)
        self.ends = pd.Series(self.index[self.span_ends], self.index[self.span_starts])

    def touches(self, moments: pd.Series) -> list[int]:
        """Index of the tick at each event's end, -1 where that is the vertical barrier."""
        ends = pd.DatetimeIndex(moments)
        places = self.index.get_indexer(ends)
        return np.where(ends < self.verticals.to_numpy(), places, -1).tolist()


# Adapters ----------------------------------------------------------------------------------------
def mlfinpy(given: Inputs) -> dict[str, Kernel]:
    from mlfinpy.data_structure.imbalance_bars import get_ema_dollar_imbalance_bars
    from mlfinpy.data_structure.standard_bars import get_dollar_bars
    from mlfinpy.labeling.labeling import get_events
    from mlfinpy.sample_weights.attribution import _apply_weight_by_return
    from mlfinpy.sampling.bootstrapping import seq_bootstrap
    from mlfinpy.sampling.concurrent import _get_average_uniqueness, num_concurrent_events

    ticks = pd.DataFrame({"date": given.index, "price": given.prices, "volume": given.sizes})

    def dollar_bars() -> list[int]:
        bars = get_dollar_bars(ticks, threshold=float(given.target), verbose=False)
        return given.index.get_indexer(pd.DatetimeIndex(bars["date_time"])).tolist()

    def imbalance_bars() -> int:
        bars, _ = get_ema_dollar_imbalance_bars(
            ticks, num_prev_bars=9, expected_imbalance_window=500, exp_num_ticks_init=200,
            verbose=False,
        )  # fmt: skip
        return len(bars)

    def labels() -> list[int]:
        width = pd.Series(0.05, given.event_times)
        found = get_events(
            given.close, given.event_times, [3, 2], width, 0.0, 1,
            vertical_barrier_times=given.verticals, verbose=False,
        )  # fmt: skip
        return given.touches(found["t1"].reindex(given.event_times))

    def uniqueness() -> list[float]:
        counts = num_concurrent_events(given.index, given.ends, given.ends.index)
        return _get_average_uniqueness(given.ends, counts, given.ends.index).tolist()

    def attribution() -> list[float]:
        counts = num_concurrent_events(given.index, given.ends, given.ends.index)
        found = _apply_weight_by_return(given.ends, counts, given.close, given.ends.index)
        return found.tolist()

    some = slice(0, 300)
    starts, ends = given.span_starts[some], given.span_ends[some]
    bars = np.arange(ends.max() + 1)[:, None]
    matrix = ((bars > starts) & (bars <= ends)).astype(np.float64)

    def bootstrap() -> int:
        return len(seq_bootstrap(matrix, random_state=np.random.RandomState(1)))

    return {
        "dollar bars": dollar_bars,
        "dollar imbalance bars": imbalance_bars,
        "triple barrier": labels,
        "average uniqueness": uniqueness,
        "return attribution": attribution,
        "sequential bootstrap": bootstrap,
    }


def RiskLabAI(given: Inputs) -> dict[str, Kernel]:  # noqa: N802
    from RiskLabAI.data.labeling.labeling import triple_barrier
    from RiskLabAI.data.structures.imbalance_bars import ExpectedImbalanceBars
    from RiskLabAI.data.structures.standard_bars import StandardBars
    from RiskLabAI.data.weights.sample_weights import (
        calculate_average_uniqueness,
        calculate_time_decay,
        sample_weight_absolute_return_meta_labeling,
    )
    from RiskLabAI.utils.constants import CUMULATIVE_DOLLAR

    rows = list(zip(given.index, given.prices.tolist(), given.sizes.tolist(), strict=True))

    def dollar_bars() -> list[int]:
        bars = StandardBars(CUMULATIVE_DOLLAR, float(given.target))
        return [bar[1] - 1 for bar in bars.construct_bars_from_data(rows)]

    def imbalance_bars() -> int:
        bars = ExpectedImbalanceBars("dollar_imbalance", 9, 200, 500)
        return len(bars.construct_bars_from_data(rows))

    def labels() -> list[int]:
        events = pd.DataFrame({"End Time": given.verticals, "Base Width": 0.05})
        found = triple_barrier(given.close, events, [3, 2], list(given.event_times))
        return given.touches(found["End Time"])

    bars = np.arange(len(given.index))[:, None]
    inside = (bars > given.span_starts) & (bars <= given.span_ends)
    matrix = pd.DataFrame(inside.astype(float))
    unique = pd.Series(given.uniqueness)

    return {
        "dollar bars": dollar_bars,
        "dollar imbalance bars": imbalance_bars,
        "triple barrier": labels,
        "average uniqueness": lambda: calculate_average_uniqueness(matrix).tolist(),
        "return attribution": lambda: sample_weight_absolute_return_meta_labeling(
            given.ends, given.close, given.ends.index
        ).tolist(),
        "time decay": lambda: calculate_time_decay(unique, 0.5).tolist(),
    }


def finmlkit(given: Inputs) -> dict[str, Kernel]:
    from finmlkit.bar.logic import _dollar_bar_indexer
    from finmlkit.bar.utils import comp_trade_side_vector
    from finmlkit.label.tbm import triple_barrier
    from finmlkit.label.weights import average_uniqueness, return_attribution, time_decay

    width = np.full(given.events.size, 0.05)

    def dollar_bars() -> list[int]:
        return list(_dollar_bar_indexer(given.prices, given.sizes, float(given.target)))[1:]

    def labels() -> list[int]:
        found = triple_barrier(
            given.times, given.prices, given.events, width, (2.0, 3.0), 900.0, 0.0, None, 0.0
        )
        last = np.searchsorted(given.times, given.vertical, "right") - 1
        return np.where(found[1] == last, -1, found[1]).tolist()

    def uniqueness() -> list[float]:
        return average_uniqueness(given.times, given.span_starts, given.span_ends)[0].tolist()

    def attribution() -> list[float]:
        counts = average_uniqueness(given.times, given.span_starts, given.span_ends)[1]
        found = return_attribution(given.span_starts, given.span_ends, given.prices, counts, False)
        return found.tolist()

    return {
        "tick rule": lambda: comp_trade_side_vector(given.prices).tolist(),
        "dollar bars": dollar_bars,
        "triple barrier": labels,
        "average uniqueness": uniqueness,
        "return attribution": attribution,
        "time decay": lambda: time_decay(given.uniqueness, 0.5).tolist(),
    }


# Run ---------------------------------------------------------------------------------------------
def measured(call: Kernel) -> dict[str, Any]:
    """Seconds and results of a kernel, or why there are none."""
    try:
        results, seconds = call(), []
        for _ in range(REPEATS):
            start = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - start)
    except Exception as failure:  # noqa: BLE001  (a library's own failure is a result)
        return {"failure": f"{type(failure).__name__}: {failure}"[:200]}
    return {"seconds": min(seconds), "results": results}


def main() -> None:
    library, inputs, answers = sys.argv[1:]
    adapters = {"mlfinpy": mlfinpy, "RiskLabAI": RiskLabAI, "finmlkit": finmlkit}
    kernels = adapters[library](Inputs(inputs))
    with open(answers, "w") as file:  # noqa: PTH123
        json.dump({name: measured(call) for name, call in kernels.items()}, file)


if __name__ == "__main__":
    main()
