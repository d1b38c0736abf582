"""What kind of market the sandbox holds, and how large it is.

Holds the configuration and its errors. How a market is generated from it belongs to companies.py,
plan.py and tape.py; the grammar of faults to faults.py.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

DEFAULT_KEY = "sandbox"


class SandboxError(Exception):
    """Base of the sandbox's errors."""


class SandboxConfigError(SandboxError, ValueError):
    """A configuration that cannot make a market."""


class SandboxConfig(BaseModel):
    """Settings of the embedded market. The same settings give the same market everywhere."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["simulated", "placebo", "recorded"] = "simulated"
    seed: int = Field(7, ge=0, description="seed of the simulated and the placebo market")
    tickers: int = Field(120, ge=20, le=20_000, description="listings, test tickers not counted")
    start: date = Field(date(2024, 10, 1), description="first session on or after this day")
    end: date = Field(date(2025, 1, 10), description="last session on or before this day")
    pump_days: int | None = Field(
        None, ge=0, description="wild ticker-sessions; scaled with the market's size if not given"
    )
    trades_scale: float = Field(1.0, gt=0, le=100, description="factor on numbers of trades")
    recorded_dir: Path | None = Field(None, description="folder of the recorded market")
    faults: tuple[str, ...] = Field((), description="faults to inject, see faults.py")
    api_key: str = Field(DEFAULT_KEY, description="the key that the server accepts")
    require_key: bool = Field(True, description="answer 401 to any other key")
    port: int = Field(0, ge=0, le=65535, description="port to listen on; 0 finds a free one")

    @model_validator(mode="after")
    def _complete(self) -> SandboxConfig:
        if self.end < self.start:
            raise ValueError(f"end {self.end} is before start {self.start}; swap them")
        if self.kind == "recorded" and self.recorded_dir is None:
            raise ValueError(
                "the recorded market needs recorded_dir, a folder with us_stocks_sip/ in it"
            )
        return self
