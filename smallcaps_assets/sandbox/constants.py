"""Reference tables that are the same for every market: ticker types, exchanges, conditions.

Ids, codes and rules are the vendor's. Rows that depend on a market belong to reference.py.
"""

from __future__ import annotations

import csv
from importlib.resources import files

from smallcaps_assets.sandbox.market import Row
from smallcaps_assets.sandbox.simulation.conditions import RULES

_QUOTE_CONDITIONS = {12: "Manual Bid, Automated Ask", 41: "Quote With Settlement Of Cash Only"}


def _table(name: str) -> list[Row]:
    """Rows of a table in this folder, without cells that are empty."""
    text = files("smallcaps_assets.sandbox").joinpath(f"{name}.csv").read_text(encoding="utf-8")
    return [{k: v for k, v in row.items() if v} for row in csv.DictReader(text.splitlines())]


def ticker_types() -> list[Row]:
    return [row | {"asset_class": "stocks", "locale": "us"} for row in _table("ticker_types")]


def exchanges() -> list[Row]:
    common = {"asset_class": "stocks", "locale": "us"}
    return [row | {"id": int(row["id"])} | common for row in _table("exchanges")]


def conditions() -> list[Row]:
    """Trade conditions, and two quote conditions that share their ids with other data types."""
    common = {"asset_class": "stocks", "sip_mapping": {}, "data_types": ["bbo", "nbbo"]}
    quotes = [
        {"id": condition, "type": "quote_condition", "name": name, **common}
        for condition, name in _QUOTE_CONDITIONS.items()
    ]
    trades = [_trade_condition(condition) for condition in sorted(RULES)]
    return sorted([*trades, *quotes], key=lambda row: row["id"])


def _trade_condition(condition: int) -> Row:
    name, high_low, open_close, volume, cta, utp = RULES[condition]
    rules = {
        "updates_high_low": high_low,
        "updates_open_close": open_close,
        "updates_volume": volume,
    }
    row: Row = {
        "id": condition,
        "type": "trade_thru_exempt" if condition == 41 else "sale_condition",
        "name": name,
        "asset_class": "stocks",
        "sip_mapping": {k: v for k, v in (("CTA", cta), ("UTP", utp)) if v},
        "update_rules": {"consolidated": rules, "market_center": rules},
        "data_types": ["trade"],
    }
    return row | ({"legacy": True} if condition == 6 else {})
