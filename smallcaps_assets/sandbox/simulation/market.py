"""The simulated market: prices, and the facts that follow from them."""

from __future__ import annotations

from smallcaps_assets.sandbox.config import SandboxConfig
from smallcaps_assets.sandbox.market import Market
from smallcaps_assets.sandbox.simulation.facts import SimulatedFacts
from smallcaps_assets.sandbox.simulation.prices import SimulatedPrices


class SimulatedMarket(SimulatedPrices, Market):
    """Deterministic from the configuration; the kinds "simulated" and "placebo"."""

    def __init__(self, config: SandboxConfig) -> None:
        super().__init__(config)
        self.facts = SimulatedFacts(self)
