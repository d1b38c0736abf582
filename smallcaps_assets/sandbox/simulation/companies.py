"""The listings of a simulated market: who is listed when, under which symbol and identifiers.

A listing is one company's security over one interval; a reused symbol is two listings, a renamed
one a single listing with two symbols. Prices and trades are not decided here (plan.py, tape.py),
corporate actions neither (actions.py).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

from smallcaps_assets.sandbox.randomness import mix, uniform

STREAM_COMPANY = 101
STREAM_TICKER = 102
TEST_TICKERS = ("ATEST", "NTEST", "ZVZZT", "ZWZZT")
UNREFERENCED_TESTS = frozenset({"ATEST", "NTEST"})
FIRST_TEST_NUMBER = 1_000_000
SECTORS = 8
_CONSONANTS = "BCDFGKLMNPRSTVX"
_VOWELS = "AEIOU"
_STEMS = (
    *("Aero", "Bio", "Cryo", "Delta", "Ener", "Flux", "Geno", "Helio", "Immu", "Kinet"),
    *("Litho", "Medi", "Nano", "Opti", "Petro", "Quant", "Robo", "Solar", "Thera", "Vita"),
)
_ENDS = ("dyne", "gen", "lytics", "matic", "nova", "path", "scape", "tech", "tron", "vance")
_FORMS = ("Inc.", "Corp.", "Holdings, Inc.", "Ltd.", "Therapeutics, Inc.")


@dataclass(frozen=True)
class Symbol:
    """A ticker string in use from `first` to `last`, both inclusive; last None: still in use."""

    ticker: str
    first: date
    last: date | None = None

    def covers(self, day: date) -> bool:
        return self.first <= day and (self.last is None or day <= self.last)


@dataclass(frozen=True)
class Listing:
    """One security of one company."""

    number: int
    symbols: tuple[Symbol, ...]
    name: str
    type: str
    primary_exchange: str
    cik: str | None
    composite_figi: str | None
    first_price: float
    shares: int | None
    daily_trades: float
    volatility: float
    is_pump_candidate: bool = False
    is_test: bool = False
    traits: frozenset[str] = field(default_factory=frozenset)

    @property
    def tape_letter(self) -> int:
        """The vendor's number of the SIP's tape: 1 New York, 2 the others, 3 Nasdaq."""
        return {"XNYS": 1, "XNAS": 3}.get(self.primary_exchange, 2)

    @property
    def listed(self) -> date:
        return self.symbols[0].first

    @property
    def last_day(self) -> date | None:
        """Last day of trading, None when still listed."""
        return self.symbols[-1].last

    def span(self, days: Sequence[date]) -> tuple[int, int]:
        """Place of the first of some ascending days on which it trades, and their number."""
        stop = len(days) if self.last_day is None else bisect_right(days, self.last_day)
        first = bisect_left(days, self.listed)
        return first, max(stop - first, 0)

    def ticker_on(self, day: date) -> str | None:
        return next((s.ticker for s in self.symbols if s.covers(day)), None)

    def known_on(self, day: date) -> Listing | None:
        """The listing as it is known after the close of a day; None before it begins."""
        symbols = [
            replace(s, last=None if s.last is None or s.last >= day else s.last)
            for s in self.symbols
            if s.first <= day
        ]
        return replace(self, symbols=tuple(symbols)) if symbols else None

    @property
    def share_class_figi(self) -> str | None:
        return self.composite_figi and "BBG001" + self.composite_figi[6:]


@dataclass(frozen=True)
class _Profile:
    """Ranges of a kind of security: type, price, shares in millions, trades a day, volatility."""

    type: str
    price: tuple[float, float]
    shares: tuple[float, float]
    trades: tuple[float, float]
    volatility: float
    venues: tuple[str, ...]


_NASDAQ = ("XNAS",) * 13 + ("XASE",) * 4 + ("XNYS",) * 3
_SMALL = _Profile("CS", (2.2, 9.5), (4, 90), (120, 480), 0.028, _NASDAQ)
# The share of each profile among 100 listings; small caps fill the rest.
_PROFILES: tuple[tuple[int, _Profile], ...] = (
    (4, _Profile("ETF", (18, 90), (5, 80), (300, 900), 0.009, ("ARCX", "BATS", "XNAS"))),
    (4, _Profile("CS", (60, 300), (400, 4000), (1200, 2600), 0.014, ("XNYS", "XNAS"))),
    (5, _Profile("ADRC", (2.5, 30), (10, 120), (80, 400), 0.025, ("XNAS", "XNYS"))),
    (3, _Profile("WARRANT", (0.2, 1.5), (3, 12), (8, 50), 0.05, ("XNAS",))),
    (2, _Profile("UNIT", (9.9, 10.6), (3, 20), (3, 30), 0.006, ("XNAS", "XNYS"))),
    (2, _Profile("PFD", (18, 26), (1, 12), (10, 60), 0.007, ("XNYS",))),
    (1, _Profile("FUND", (8, 20), (10, 50), (60, 200), 0.008, ("XNYS",))),
    (1, _Profile("RIGHT", (0.1, 0.6), (3, 10), (4, 25), 0.05, ("XNAS",))),
    (1, _Profile("", (1.0, 6.0), (4, 40), (60, 200), 0.03, ("",))),
    (10, _Profile("CS", (10, 45), (15, 60), (150, 500), 0.022, _NASDAQ)),
    (6, _Profile("CS", (0.35, 1.6), (20, 200), (120, 500), 0.035, _NASDAQ)),
)
_SECURITIES = {
    "WARRANT": "Warrants",
    "UNIT": "Units",
    "RIGHT": "Rights",
    "PFD": "Preferred Stock",
    "ADRC": "American Depositary Shares",
}
_SUFFIXES = {"WARRANT": "W", "UNIT": "U", "RIGHT": "R"}


def sector(seed: int, number: int) -> int:
    """A company's industry, as a place in the list of them."""
    return mix(seed, number, 77) % SECTORS


def _profile(seed: int, number: int) -> _Profile:
    rank = uniform(seed, STREAM_COMPANY, number, 0) * 100
    for share, profile in _PROFILES:
        if rank < share:
            return profile
        rank -= share
    return _SMALL


def _between(bounds: tuple[float, float], u: float) -> float:
    """A point of [low, high] by powers, so that small values are as frequent as large ones."""
    low, high = bounds
    return round(low * (high / low) ** u, 4)


def _ticker_names(seed: int) -> Iterator[str]:
    """Distinct pronounceable strings of three or four letters, without an end."""
    seen: set[str] = set(TEST_TICKERS)
    attempt = 0
    while True:
        bits = mix(seed, STREAM_TICKER, attempt)
        attempt += 1
        letters = [_CONSONANTS[bits % 15], _VOWELS[bits // 15 % 5], _CONSONANTS[bits // 75 % 15]]
        if bits // 1125 % 5:
            letters.append((_CONSONANTS + _VOWELS)[bits // 5625 % 20])
        if bits // 112_500 % 2:
            letters[0], letters[1] = letters[1], letters[0]
        ticker = "".join(letters)
        if attempt > 20_000:
            ticker += _CONSONANTS[bits // 225_000 % 15]
        if ticker not in seen:
            seen.add(ticker)
            yield ticker


def _name(seed: int, number: int, kind: str) -> str:
    bits = mix(seed, STREAM_COMPANY, number, 1)
    stem = _STEMS[bits % 20] + _ENDS[bits // 20 % 10]
    if kind in ("ETF", "FUND"):
        return f"{stem} Income {'ETF' if kind == 'ETF' else 'Fund'}"
    return f"{stem} {_FORMS[bits // 200 % 5]} {_SECURITIES.get(kind, 'Common Stock')}"


def _figi(seed: int, number: int) -> str:
    alphabet = "BCDFGHJKLMNPQRSTVWXYZ0123456789"
    bits = mix(seed, STREAM_COMPANY, number, 2)
    return "BBG000" + "".join(alphabet[bits // 31**i % 31] for i in range(6))


def _build(seed: int, number: int, ticker: str, days: list[date], profile: _Profile) -> Listing:
    """A listing of the profile, listed over all sessions unless drawn otherwise."""
    u = [uniform(seed, STREAM_COMPANY, number, k) for k in range(10, 18)]
    listed = days[0] - timedelta(200 + int(u[0] * 6000))
    last: date | None = None
    if u[1] < 0.05 and len(days) > 30:
        listed = days[8 + int(u[2] * (len(days) - 30))]
    elif u[1] < 0.11 and len(days) > 30:
        last = days[20 + int(u[2] * (len(days) - 25))]
    return Listing(
        number=number,
        symbols=(Symbol(ticker, listed, last),),
        name=_name(seed, number, profile.type),
        type=profile.type,
        primary_exchange=profile.venues[int(u[3] * len(profile.venues))],
        cik=None if u[4] < 0.03 else f"{1_000_000 + mix(seed, number, 3) % 900_000:010d}",
        composite_figi=None if u[4] > 0.95 else _figi(seed, number),
        first_price=_between(profile.price, u[5]),
        shares=None if u[4] > 0.97 else int(_between(profile.shares, u[6]) * 1_000_000),
        daily_trades=_between(profile.trades, u[7]),
        volatility=profile.volatility,
        is_pump_candidate=profile is _SMALL,
    )


_QUIET: dict[str, object] = {"is_pump_candidate": False}


def _identity(seed: int, number: int) -> dict[str, object]:
    """Identifiers that are never missing, on a listing without wild days."""
    ids = {"composite_figi": _figi(seed, number), "cik": f"{1_700_000 + number:010d}"}
    return {**ids, **_QUIET}


def _cast(seed: int, days: list[date]) -> list[Listing]:
    """Listings with a part to play: each trap of a real security master once."""
    long_ago = days[0] - timedelta(2500)
    third = len(days) // 3
    build = [_build(seed, n, "X", days, _SMALL) for n in range(9)]
    first_end, second_start = days[third], days[min(2 * third, len(days) - 1)]
    change = days[len(days) // 2]
    specs: list[tuple[Listing, tuple[Symbol, ...], dict[str, object]]] = [
        (build[0], (Symbol("BCPC", long_ago),), {"name": "Balmont Chemical Corp. Common Stock"}),
        (
            _build(seed, 1, "X", days, _PROFILES[5][1]),
            (Symbol("BCpC", long_ago),),
            {"name": "Brunner Corp. 6.375% Preferred Stock C", "primary_exchange": "XNYS"},
        ),
        (build[2], (Symbol("RUSE", long_ago, first_end),), _identity(seed, 2)),
        (build[3], (Symbol("RUSE", second_start),), _identity(seed, 3)),
        (
            build[4],
            (Symbol("VLDX", long_ago, change - timedelta(1)), Symbol("NXVL", change)),
            _identity(seed, 4) | {"is_pump_candidate": True},
        ),
        (
            build[5],
            (Symbol("RVSP", long_ago),),
            {"traits": frozenset({"unpublished_split"}), "first_price": 1.35} | _QUIET,
        ),
        (
            build[6],
            (Symbol("SPDV", long_ago),),
            {"traits": frozenset({"special_dividend"})} | _QUIET,
        ),
        (build[7], (Symbol("FWSP", long_ago),), {"traits": frozenset({"forward_split"})}),
        (build[8], (Symbol("GONE", long_ago, days[0] - timedelta(90)),), dict(_QUIET)),
    ]
    return [replace(x, symbols=spans, **changes) for x, spans, changes in specs]  # pyright: ignore[reportArgumentType]


def _tests(seed: int, days: list[date]) -> list[Listing]:
    """Exchange test tickers: they print like real ones and belong to nobody."""
    long_ago = days[0] - timedelta(4000)
    quiet = _Profile("CS", (10, 30), (1, 2), (20, 60), 0.004, ("XNAS",))
    return [
        replace(
            _build(seed, FIRST_TEST_NUMBER + k, "X", days, quiet),
            symbols=(Symbol(ticker, long_ago),),
            name="NASDAQ TEST STOCK",
            cik=None,
            composite_figi=None,
            shares=None,
            is_test=True,
        )
        for k, ticker in enumerate(TEST_TICKERS)
    ]


def make_listings(seed: int, count: int, days: list[date]) -> list[Listing]:
    """All listings of a market: the cast, `count` in all, and the test tickers.

    days: the sessions of the first season, in which some come and go; afterwards none does.
    """
    listings = _cast(seed, days)
    names = _ticker_names(seed)
    taken = {s.ticker for listing in listings for s in listing.symbols}
    for number in range(len(listings), count):
        profile = _profile(seed, number)
        suffix = _SUFFIXES.get(profile.type, "")
        ticker = next(name + suffix for name in names if name + suffix not in taken)
        taken.add(ticker)
        listings.append(_build(seed, number, ticker, days, profile))
    return listings + _tests(seed, days)
