"""What kind of market the sandbox holds, and how large it is.

Holds the configuration and its errors. How a market is generated from it belongs to companies.py,
plan.py and tape.py; the grammar of faults to faults.py.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

DEFAULT_KEY = "sandbox"


class SandboxError(Exception):
    """Base of the sandbox's errors."""


class SandboxConfigError(SandboxError, ValueError):
    """A configuration that cannot make a market."""


class SandboxConfig(BaseModel):
    """Settings of the embedded market. The same settings give the same market everywhere.

    Another `end` gives the same sessions up to the earlier of both: what happens is planned by
    seasons from the start, and what the market tells is what is known on its last session.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["simulated", "placebo", "recorded"] = "simulated"
    seed: Annotated[int, Field(ge=0, description="seed of the generated markets")] = 7
    tickers: Annotated[int, Field(ge=20, le=20_000, description="listings")] = 120
    start: Annotated[date, Field(description="first session on or after this day")] = date(
        2024, 10, 1
    )
    end: Annotated[date, Field(description="last session on or before this day")] = date(
        2025, 1, 10
    )
    season: Annotated[int, Field(ge=3, description="sessions that are planned together")] = 70
    pump_days: Annotated[
        int | None, Field(ge=0, description="wild ticker-sessions a season; None: by its size")
    ] = None
    trades_scale: Annotated[float, Field(gt=0, le=100, description="factor on trades")] = 1.0
    edge: Annotated[
        float, Field(ge=0, le=10, description="scale of what can be foretold; 0: nothing")
    ] = 1.0
    recorded_dir: Annotated[Path | None, Field(description="folder of the recorded market")] = None
    faults: Annotated[tuple[str, ...], Field(description="see the grammar in faults.py")] = ()
    api_key: Annotated[str, Field(description="the key that the server accepts")] = DEFAULT_KEY
    port: Annotated[int, Field(ge=0, le=65535, description="0 finds a free one")] = 0

    @model_validator(mode="after")
    def _complete(self) -> SandboxConfig:
        if self.end < self.start:
            raise ValueError(f"end {self.end} is before start {self.start}; swap them")
        if self.kind == "recorded" and self.recorded_dir is None:
            raise ValueError(
                "the recorded market needs recorded_dir, a folder with us_stocks_sip/ in it"
            )
        return self
