"""Every golden case, through the public functions; alpha 0.2 and kappa 4 where none is named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from smallcaps_assets.domain.bars.arrays import BarKind, bars_from_arrays, tick_rule
from smallcaps_assets.domain.bars.series import cusum_events, fracdiff_weights, vpin
from smallcaps_assets.domain.labels import weights
from smallcaps_assets.domain.labels.triple_barrier import triple_barrier_arrays
from smallcaps_assets.domain.minute_fallback import bar_outcomes

GOLDEN = Path(__file__).parents[1] / "golden"
KINDS = {
    "dollar": BarKind.DOLLAR,
    "volume": BarKind.VOLUME,
    "dib": BarKind.DOLLAR_IMBALANCE,
    "vib": BarKind.VOLUME_IMBALANCE,
}
BAR_NAMES = {
    "first": "first_tick",
    "last": "last_tick",
    "open_ts": "open_timestamp",
    "close_ts": "close_timestamp",
    "dollar": "dollar_volume",
}
LABEL_NAMES = {"ret": "label_return", "touch": "touch_tick", "path": "path_ticks"}


def cases(name, *functions):
    loaded = json.loads((GOLDEN / f"{name}.json").read_text())
    chosen = [c for c in loaded if not functions or c["fn"] in functions]
    return pytest.mark.parametrize("case", chosen, ids=[c["name"] for c in chosen])


def golden_bars(given):
    return bars_from_arrays(
        given["ts"],
        given["px"],
        given["sz"],
        KINDS[given["kind"]],
        given["target"],
        session=given["session"],
        price_forming=given.get("pf"),
        alpha=given.get("alpha", 0.2),
        gamma=given.get("gamma", 1.0),
        kappa=given.get("kappa", 4.0),
        final=given.get("final", True),
    )


@cases("tick_rule")
def test_tick_rule_golden(case):
    given = case["input"]
    signs = tick_rule(given["px"], given["session"], given["b0"])
    assert signs.tolist() == case["expected"]


@cases("bars", "bars")
def test_bars_golden(case):
    frame, _ = golden_bars(case["input"])
    assert frame.height == len(case["expected"])
    for row, expected in zip(frame.to_dicts(), case["expected"], strict=True):
        found = {name: row[BAR_NAMES.get(name, name)] for name in expected}
        numbers = {n: v for n, v in expected.items() if not isinstance(v, str)}
        assert {n: found[n] for n in numbers} == pytest.approx(numbers, rel=1e-12)
        assert found["reason"] == expected["reason"] if "reason" in expected else True


@cases("bars", "bars_state")
def test_bar_state_golden(case):
    _, state = golden_bars(case["input"])
    found = {"thr": state.threshold, "ET": state.expected_ticks, "EI": state.expected_imbalance}
    assert found == pytest.approx(case["expected"], rel=1e-12)


@cases("triple_barrier", "triple_barrier_ticks")
def test_triple_barrier_golden(case):
    given = case["input"]
    frame = triple_barrier_arrays(
        given["ts"],
        given["px"],
        given["events"],
        given["session_end"],
        given["pt"],
        given["sl"],
        given["timeout"],
        price_forming=given.get("pf"),
    )
    assert frame.height == len(case["expected"])
    for row, expected in zip(frame.to_dicts(), case["expected"], strict=True):
        found = {name: row[LABEL_NAMES.get(name, name)] for name in expected}
        found["touch"] = -1 if found["touch"] is None else found["touch"]
        assert found == pytest.approx(expected, rel=1e-12)


@cases("triple_barrier", "triple_barrier_bars")
def test_triple_barrier_on_bars_golden(case):
    given, event = case["input"], case["input"]["i"]
    prices = {name: np.array(given[name[0]], float) for name in ("open", "high", "low", "close")}
    closes = np.array(given["close_ts"])
    vertical = min(closes[event] + given["timeout"], given["session_end"])
    found = bar_outcomes(
        prices,
        closes,
        np.array([event + 1]),
        prices["close"][[event]],
        np.array([vertical]),
        np.array([given["pt"]]),
        np.array([given["sl"]]),
    )
    expected = case["expected"]
    assert found["label"][0] == expected["label"]
    assert found["t1"][0] == expected["t1"]
    assert found["label_return"][0] == pytest.approx(expected["ret"])
    assert found["is_ambiguous"][0] == expected["ambiguous"]


def weigh(function, given):
    if function == "label_span":
        return weights.label_spans(given["close_ts"], [given["i0"]], [given["t1"]])[0]
    if function == "return_attribution":
        spans = given["i0"], given["i1"]
        return weights.normalise(weights.return_attribution(given["close"], *spans))
    if function == "time_decay":
        return weights.time_decay(given["u"], given["c"])
    if function == "class_weights":
        return weights.class_weights(given["y"], given["w"])
    spans = given["nbars"], given["i0"], given["i1"]
    if function == "seq_bootstrap_probs":
        return weights.sequential_bootstrap_probabilities(*spans, given["drawn"])
    return getattr(weights, function)(*spans)


@cases("weights")
def test_weights_golden(case):
    assert weigh(case["fn"], case["input"]) == pytest.approx(case["expected"], rel=1e-9)


@cases("features_cv", "cusum")
def test_cusum_golden(case):
    found = cusum_events(case["input"]["r"], case["input"]["h"])
    assert found.tolist() == case["expected"]


@cases("features_cv", "fracdiff_weights")
def test_fracdiff_golden(case):
    found = fracdiff_weights(case["input"]["d"], case["input"]["tau"])
    assert found == pytest.approx(case["expected"], rel=1e-12)


@cases("features_cv", "vpin")
def test_vpin_golden(case):
    found = vpin(case["input"]["buy"], case["input"]["sell"], case["input"]["n"])
    expected = [np.nan if v is None else v for v in case["expected"]]
    assert found == pytest.approx(expected, nan_ok=True)
