"""Pure functions on polars frames: the algorithms of the project, usable without Dagster.

Nothing here reads a file, a clock, the network or an environment variable. What a researcher uses
in a notebook can be taken from here directly, as in

    from smallcaps_assets.domain import bars_from_arrays, prepare_ticks, triple_barrier_labels

and is listed in `__all__`; a module is imported when the first of its names is asked for. Arrays
or polars frames go in and come out; what can't be computed is refused by a ValueError that names
the value and the remedy. A kernel is compiled when it is first called, and kept on disk;
`compile_kernels` does all of them, in about 15 seconds once and in about 1 second in every later
process.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_MODULES = {
    "bars.arrays": "BarError BarKind BarState bars_from_arrays new_state tick_rule",
    "bars.build": """activity_target build_bars dollar_bars dollar_imbalance_bars
        volume_activity_target volume_bars volume_imbalance_bars""",
    "bars.features": "FeaturePass SessionContext",
    "bars.quote_features": "QuotePass Quotes quote_arrays quote_features",
    "market.calendar": "SessionHours session_hours",
    "ticks.conditions": "condition_differences condition_table",
    "labels.cross_validation": """CombinatorialPurged PurgedKFold SplitError Splitter UnseenTickers
        WalkForward purged_train""",
    "bars.diagnostics": """SessionDiagnostics against_poisson bar_diagnostics diagnostics_frame
        excluded_volume session_diagnostics warnings_about""",
    "labels.folds": "Fold fold_weights weighted_folds",
    "guards": "ArrayError",
    "ticks.intervals": "IntervalError coarser_bars time_bars",
    "patterns.costs": "modelled_spread quoted_spread",
    "patterns.events": "PatternPass pattern_events",
    "patterns.labels": "pattern_labels",
    "market.volume_curve": "volume_curve",
    "labels.forward_returns": "forward_return_arrays",
    "labels.paths": "LabelError",
    "labels.triple_barrier": "triple_barrier_arrays triple_barrier_labels",
    "minute_fallback": "bars_from_minutes minute_path minute_tape triple_barrier_on_bars",
    "parallel": "map_sessions",
    "bars.series": """SeriesError cusum_events fracdiff_weights fractional_difference vpin""",
    "bars.sweep": "BarSetting SweepTape setting_grid sweep_arrays sweep_tape",
    "ticks.tape": "TickError TickTape prepare_ticks",
    "warm_up": "compile_kernels",
    "labels.weights": """WeightError average_uniqueness class_weights concurrency label_spans
        normalise return_attribution sample_weights sequential_bootstrap
        sequential_bootstrap_probabilities time_decay""",
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names.split()}
__all__ = sorted(_HOMES)  # noqa: PLE0605  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"{__name__} has no {name!r}; it offers {', '.join(__all__)}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
