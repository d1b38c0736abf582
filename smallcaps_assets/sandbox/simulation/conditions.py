"""Trade conditions that occur on the simulated tape, and what the vendor's bars do with them.

A tape row carries one small code; a code stands for a combination of the vendor's condition ids.
The update rules per id are the vendor's consolidated rules. How a strategy should read the
conditions is not decided here.
"""

from __future__ import annotations

import numpy as np

# Rows of a tape (int64[ROWS, n]): price in 1e-4 dollars, size in 1e-6 shares, instants in UTC ns.
SIP, PARTICIPANT, PRICE, SIZE, CODE, EXCHANGE, CORRECTION, SEQUENCE, TRF_TIME = range(9)
ROWS = 9

FORM_T = 12

# id: (name, updates high/low, updates open/close, updates volume, CTA code, UTP code)
RULES: dict[int, tuple[str, bool, bool, bool, str, str]] = {
    1: ("Acquisition", True, True, True, "", "A"),
    2: ("Average Price Trade", False, False, True, "B", "W"),
    3: ("Automatic Execution", True, True, True, "E", ""),
    4: ("Bunched Trade", True, True, True, "", "B"),
    5: ("Bunched Sold Trade", True, False, True, "", "G"),
    6: ("CAP Election", True, True, True, "I", ""),
    7: ("Cash Sale", False, False, True, "C", "C"),
    8: ("Closing Prints", True, True, True, "", "6"),
    9: ("Cross Trade", True, True, True, "X", "X"),
    10: ("Derivatively Priced", True, False, True, "4", "4"),
    12: ("Form T", False, False, True, "T", "T"),
    14: ("Intermarket Sweep", True, True, True, "F", "F"),
    15: ("Market Center Official Close", False, False, False, "M", "M"),
    16: ("Market Center Official Open", False, False, False, "Q", "Q"),
    25: ("Opening Prints", True, True, True, "", "O"),
    28: ("Re-Opening Prints", True, True, True, "", "5"),
    32: ("Sold (Out of Sequence)", True, False, True, "Z", "Z"),
    37: ("Odd Lot Trade", False, False, True, "I", "I"),
    38: ("Corrected Consolidated Close", True, True, False, "9", "9"),
    41: ("Trade Thru Exempt", True, True, True, "8", ""),
}

# Codes 0-7 are bits: 1 odd lot, 2 intermarket sweep, 4 outside regular hours (Form T).
ODD_BIT, SWEEP_BIT, EXTENDED_BIT = 1, 2, 4
AVERAGE, AVERAGE_EXTENDED, DERIVATIVE, OUT_OF_SEQUENCE = 8, 9, 10, 11
OPENING, OFFICIAL_OPEN, CLOSING, OFFICIAL_CLOSE, REOPENING = 12, 13, 14, 15, 16


def _bit_combination(code: int) -> tuple[int, ...]:
    ids = ((EXTENDED_BIT, FORM_T), (SWEEP_BIT, 14), (ODD_BIT, 37), (SWEEP_BIT, 41))
    return tuple(condition for bit, condition in ids if code & bit)


COMBINATIONS: tuple[tuple[int, ...], ...] = (
    *(_bit_combination(code) for code in range(8)),
    (2,),
    (2, 12),
    (10,),
    (32,),
    (9, 25),
    (16,),
    (8, 9),
    (15,),
    (9, 28),
)
CONDITION_TEXT = tuple(",".join(str(i) for i in ids) for ids in COMBINATIONS)

HIGH_LOW, OPEN_CLOSE, VOLUME = 1, 2, 4


def update_flags(ids: tuple[int, ...], form_t_counts: bool) -> int:
    """Bits HIGH_LOW, OPEN_CLOSE, VOLUME of a combination: every id has to allow an update.

    `form_t_counts`: in minute bars outside regular hours Form T trades do set prices.
    """
    rules = [RULES[i] for i in ids if not (form_t_counts and i == FORM_T)]
    bits = enumerate((HIGH_LOW, OPEN_CLOSE, VOLUME), start=1)
    return sum(bit for place, bit in bits if all(rule[place] for rule in rules))


REGULAR_FLAGS = np.array([update_flags(ids, False) for ids in COMBINATIONS], dtype=np.int64)
EXTENDED_FLAGS = np.array([update_flags(ids, True) for ids in COMBINATIONS], dtype=np.int64)
