"""The embedded market: a local server that speaks the vendor's API, with no key and no network.

Three kinds: simulated (deterministic from a seed), placebo (the same tape statistics without any
edge) and recorded (a folder of real flat files). Clients need only its URLs; nothing here knows
of the client or of the orchestrator.
"""

from smallcaps_assets.sandbox.config import SandboxConfig, SandboxConfigError, SandboxError
from smallcaps_assets.sandbox.market import Market
from smallcaps_assets.sandbox.recorded import NotRecordedError, RecordedDataError, RecordedMarket
from smallcaps_assets.sandbox.server.app import Sandbox, SandboxServerError
from smallcaps_assets.sandbox.server.faults import Fault, FaultError, parse_fault
from smallcaps_assets.sandbox.simulation.market import SimulatedMarket

__all__ = [
    "Fault",
    "FaultError",
    "Market",
    "NotRecordedError",
    "RecordedDataError",
    "RecordedMarket",
    "Sandbox",
    "SandboxConfig",
    "SandboxConfigError",
    "SandboxError",
    "SandboxServerError",
    "SimulatedMarket",
    "parse_fault",
]
