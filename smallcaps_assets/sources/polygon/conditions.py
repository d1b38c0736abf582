"""The vendor's list of trade conditions and their rules.

What a condition means for flow and price is decided in the domain, from a table that is shipped;
this list shows where the vendor has moved on.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
import polars as pl

from smallcaps_assets.domain.ticks.conditions import VENDOR_COLUMNS
from smallcaps_assets.sources.http.transport import Request, Transport
from smallcaps_assets.sources.polygon import pages

CONDITIONS_PATH = "/v3/reference/conditions"


class UpdateRules(msgspec.Struct):
    """What a trade under a condition may change in the vendor's bars."""

    updates_high_low: bool | None = None
    updates_open_close: bool | None = None
    updates_volume: bool | None = None


class RulesByTape(msgspec.Struct):
    """Rules of the consolidated tape; those of single venues are not read."""

    consolidated: UpdateRules | None = None


class ConditionRow(msgspec.Struct):
    """A row of /v3/reference/conditions."""

    id: Annotated[int, msgspec.Meta(ge=0, lt=1 << 15)]
    name: str
    update_rules: RulesByTape | None = None


def trade_conditions(transport: Transport) -> pl.DataFrame:
    """Conditions of stock trades by id, columns VENDOR_COLUMNS; rules are null where none is told.

    Of several rows of one id, which the vendor keeps for old spellings, the first holds.
    """
    query = {"asset_class": "stocks", "data_type": "trade", "limit": "1000", "sort": "id"}
    request = Request(CONDITIONS_PATH, query, expects_rows=True)
    found = pages.walk(transport, request, ConditionRow)
    rows = [(row.id, row.name, *_updates(row)) for page in found for row in page]
    frame = pl.DataFrame(rows, schema=VENDOR_COLUMNS, orient="row")
    return frame.unique("id", keep="first", maintain_order=True).sort("id")


def _updates(row: ConditionRow) -> tuple[bool | None, bool | None, bool | None]:
    rules = (row.update_rules and row.update_rules.consolidated) or UpdateRules()
    return rules.updates_high_low, rules.updates_open_close, rules.updates_volume
