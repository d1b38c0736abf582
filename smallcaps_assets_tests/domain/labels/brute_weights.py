"""The weights of a session by plain loops over bars and labels."""

from __future__ import annotations

import math


def session_weights(labels, bars, eligible):
    """Columns of the weights' table as lists."""
    closes, times = bars["close"].to_list(), bars["close_timestamp"].to_physical().to_list()
    rows = []
    columns = labels.select("bar_id", "has_path").with_columns(
        t0=labels["t0"].to_physical(), t1=labels["t1"].to_physical()
    )
    for bar, has_path, t0, t1 in columns.iter_rows():
        later = [j for j in range(bar + 1, len(times)) if times[j] >= t1]
        end = later[0] if later else len(times) - 1
        if has_path and end > bar:
            rows.append((bar, end, t0 >= eligible))
    unique, attributed = weigh([(s, e) for s, e, _ in rows], closes)
    some_unique, some_attributed = weigh([(s, e) for s, e, known in rows if known], closes)
    known = [k for *_, k in rows]
    return {
        "span_start": [s for s, *_ in rows],
        "span_end": [e for _, e, _ in rows],
        "is_selection_known": known,
        "uniqueness": unique,
        "uniqueness_eligible": spread(known, some_unique),
        "return_attribution": attributed,
        "return_attribution_eligible": spread(known, some_attributed),
    }


def weigh(spans, closes):
    """Uniqueness and attribution of spans among themselves."""
    counts = [sum(s < t <= e for s, e in spans) for t in range(len(closes))]
    unique = [sum(1 / counts[t] for t in range(s + 1, e + 1)) / (e - s) for s, e in spans]
    attributed = [
        abs(sum(math.log(closes[t] / closes[t - 1]) / counts[t] for t in range(s + 1, e + 1)))
        for s, e in spans
    ]
    return unique, attributed


def spread(mask, values):
    """Values where the mask holds, None elsewhere."""
    remaining = iter(values)
    return [next(remaining) if is_known else None for is_known in mask]
