"""Reference tables that are the same for every market: ticker types, exchanges, conditions.

Ids, codes and rules are the vendor's. Rows that depend on a market belong to reference.py.
"""

from __future__ import annotations

from smallcaps_assets.sandbox.market import Row
from smallcaps_assets.sandbox.simulation.conditions import RULES

_TYPES = {
    "CS": "Common Stock",
    "PFD": "Preferred Stock",
    "WARRANT": "Warrant",
    "RIGHT": "Rights",
    "BOND": "Corporate Bond",
    "ETF": "Exchange Traded Fund",
    "ETN": "Exchange Traded Note",
    "ETV": "Exchange Traded Vehicle",
    "SP": "Structured Product",
    "ADRC": "American Depository Receipt Common",
    "ADRP": "American Depository Receipt Preferred",
    "ADRW": "American Depository Receipt Warrants",
    "ADRR": "American Depository Receipt Rights",
    "FUND": "Fund",
    "BASKET": "Basket",
    "UNIT": "Unit",
    "LT": "Liquidating Trust",
    "OS": "Ordinary Shares",
    "GDR": "Global Depository Receipts",
    "OTHER": "Other Security Type",
    "NYRS": "New York Registry Shares",
    "AGEN": "Agency Bond",
    "EQLK": "Equity Linked Bond",
    "ETS": "Single-security ETF",
    "INDEX": "Index",
}

# (id, type, name, MIC, operating MIC, participant)
_EXCHANGES = (
    (1, "exchange", "NYSE American, LLC", "XASE", "XNYS", "A"),
    (2, "exchange", "Nasdaq OMX BX, Inc.", "XBOS", "XNAS", "B"),
    (3, "exchange", "NYSE National, Inc.", "XCIS", "XNYS", "C"),
    (4, "TRF", "FINRA NYSE TRF", "FINY", "XNYS", "D"),
    (4, "TRF", "FINRA Nasdaq TRF Carteret", "FINN", "FINR", "D"),
    (4, "TRF", "FINRA Nasdaq TRF Chicago", "FINC", "FINR", "D"),
    (4, "TRF", "FINRA Alternative Display Facility", "XADF", "FINR", "D"),
    (5, "SIP", "Unlisted Trading Privileges", None, "XNAS", "E"),
    (6, "TRF", "International Securities Exchange, LLC - Stocks", "XISE", "XNAS", "I"),
    (7, "exchange", "Cboe EDGA", "EDGA", "XCBO", "J"),
    (8, "exchange", "Cboe EDGX", "EDGX", "XCBO", "K"),
    (9, "exchange", "NYSE Chicago, Inc.", "XCHI", "XNYS", "M"),
    (10, "exchange", "New York Stock Exchange", "XNYS", "XNYS", "N"),
    (11, "exchange", "NYSE Arca, Inc.", "ARCX", "XNYS", "P"),
    (12, "exchange", "Nasdaq", "XNAS", "XNAS", "T"),
    (13, "SIP", "Consolidated Tape Association", None, "XNYS", "S"),
    (14, "exchange", "Long-Term Stock Exchange", "LTSE", "LTSE", "L"),
    (15, "exchange", "Investors Exchange", "IEXG", "IEXG", "V"),
    (16, "TRF", "Cboe Stock Exchange", "CBSX", "XCBO", "W"),
    (17, "exchange", "Nasdaq Philadelphia Exchange LLC", "XPHL", "XNAS", "X"),
    (18, "exchange", "Cboe BYX", "BATY", "XCBO", "Y"),
    (19, "exchange", "Cboe BZX", "BATS", "XCBO", "Z"),
    (20, "exchange", "MIAX Pearl", "EPRL", "MIHI", "H"),
    (21, "exchange", "Members Exchange", "MEMX", "MEMX", "U"),
)


def ticker_types() -> list[Row]:
    return [
        {"code": code, "description": text, "asset_class": "stocks", "locale": "us"}
        for code, text in _TYPES.items()
    ]


def exchanges() -> list[Row]:
    keys = ("id", "type", "name", "mic", "operating_mic", "participant_id")
    rows = [dict(zip(keys, values, strict=True)) for values in _EXCHANGES]
    common = {"asset_class": "stocks", "locale": "us"}
    return [{k: v for k, v in row.items() if v is not None} | common for row in rows]


def conditions() -> list[Row]:
    """Trade conditions, and two quote conditions that share their ids with other data types."""
    rows = [_trade_condition(condition) for condition in sorted(RULES)]
    rows.append(_quote_condition(12, "Manual Bid, Automated Ask"))
    rows.append(_quote_condition(41, "Quote With Settlement Of Cash Only"))
    return sorted(rows, key=lambda row: row["id"])


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


def _quote_condition(condition: int, name: str) -> Row:
    return {
        "id": condition,
        "type": "quote_condition",
        "name": name,
        "asset_class": "stocks",
        "sip_mapping": {},
        "data_types": ["bbo", "nbbo"],
    }
