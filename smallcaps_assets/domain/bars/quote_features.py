"""Quotes and signed flow of dollar imbalance bars: what the national best bid and offer told.

Holds the tables `quote_features` and `quote_quality`. Each is computed from
prints up to a bar's last tick and from quotes before its instant. What trades alone tell is in
`features.py`; which raw quotes are firm, and in which unit their sizes are, is settled before.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from smallcaps_assets.domain.columns import floats, frame_of, integers
from smallcaps_assets.domain.guards import grown, read_only
from smallcaps_assets.domain.market.calendar import SessionHours
from smallcaps_assets.domain.ticks.tape import TickTape
from smallcaps_assets.kernels import quotes as kernel
from smallcaps_assets.kernels.checks import first_descent
from smallcaps_assets.schemas.tables import TABLES

SECOND = 1_000_000_000
HORIZON_SECONDS = (5, 300)
NULL_REASONS = (None, "no_quote_yet", "no_clean_quote_at_close")
MEASURES = kernel.COLUMNS[:-1]
SIDES = ("bid_price", "bid_size", "ask_price", "ask_size")


class QuoteError(ValueError):
    """Quotes, or bars to join them with, that can't be used."""


@dataclass(frozen=True)
class Quotes:
    """Quotes of one session in order: times (int64 ns), prices in USD, sizes in shares.

    A missing or unusable side is NaN or 0.
    """

    times: np.ndarray
    bids: np.ndarray
    bid_sizes: np.ndarray
    asks: np.ndarray
    ask_sizes: np.ndarray

    @property
    def arrays(self) -> tuple[np.ndarray, ...]:
        """The five, as the kernels take them."""
        return self.times, self.bids, self.bid_sizes, self.asks, self.ask_sizes


def quote_arrays(quotes: pl.DataFrame, hours: SessionHours, session_end: int) -> Quotes:
    """The quotes of a session from its rows of the quotes table, in any order.

    Those outside the session are left out; where there is a column is_firm, a quote that isn't has
    no side. Raises QuoteError on a missing instant.
    """
    if quotes["sip_timestamp"].null_count():
        raise QuoteError("a quote has no sip_timestamp; download this ticker-session again")
    if first_descent(read_only(integers(quotes["sip_timestamp"]))) >= 0 or not _in_sequence(quotes):
        quotes = quotes.sort("sip_timestamp", "sequence_number", maintain_order=True)
    times = integers(quotes["sip_timestamp"])
    part = slice(
        int(np.searchsorted(times, hours.premarket_open, "left")),
        int(np.searchsorted(times, session_end, "right")),
    )
    sides = [floats(quotes[name])[part] for name in SIDES]
    if "is_firm" in quotes.columns:
        is_firm = quotes["is_firm"].fill_null(False).to_numpy()[part]
        sides = [np.where(is_firm, side, np.nan) for side in sides]
    return Quotes(*(np.ascontiguousarray(array) for array in (times[part], *sides)))


def _in_sequence(quotes: pl.DataFrame) -> bool:
    """Whether quotes of one instant are in order of sequence number."""
    times, numbers = (integers(quotes[n]) for n in ("sip_timestamp", "sequence_number"))
    return not ((np.diff(times) == 0) & (np.diff(numbers) < 0)).any()


def no_quotes() -> Quotes:
    """Those of a session of which none are known."""
    return Quotes(np.empty(0, np.int64), *(np.empty(0) for _ in SIDES))


class QuotePass:
    """A pass over a session's quotes and prints, resumed as they come.

    However quotes and prints are cut into calls, the rows are the same bits. `signs` are those of
    the prints by Lee and Ready; 0: an auction, or no clean quote. `horizons` are in seconds,
    ascending.
    """

    def __init__(
        self, hours: SessionHours, horizons: tuple[float, float] = HORIZON_SECONDS
    ) -> None:
        self.state = kernel.start(hours.open, hours.close)
        self.horizons = np.zeros(len(horizons), kernel.HORIZON)
        self.horizons["length"] = np.rint(np.array(horizons) * SECOND)
        if (self.horizons["length"] <= 0).any():
            raise QuoteError(f"horizons are {horizons}, expected seconds above 0")
        self.spreads = np.full(kernel.EXPANSION_BARS, np.nan)
        self._mids, self._signs = np.empty(0), np.empty(0, np.int8)

    @property
    def signs(self) -> np.ndarray:
        """A sign for each print so far, int8."""
        return self._signs[: self.state.ticks]

    def follow(
        self, quotes: Quotes, prints: tuple[np.ndarray, ...], lasts: np.ndarray
    ) -> np.ndarray:
        """Rows of `kernel.COLUMNS` of the bars that close with prints not seen yet.

        `quotes` and `prints` (see `print_arrays`) are those of the session so far; every quote
        before a print's instant must have come. `lasts` is the last print of every bar so far.
        """
        done, count = self.state.bars, prints[0].size
        self._mids, self._signs = grown(self._mids, count), grown(self._signs, count)
        out = np.empty((lasts.size, len(kernel.COLUMNS)))
        given = [read_only(array) for array in (*quotes.arrays, *prints, lasts)]
        kept = self.horizons, self.spreads, self._mids, self._signs
        self.state = kernel.follow(*[*given, self.state, *kept, out])
        return out[done : self.state.bars]

    def hours(self, quotes: Quotes) -> kernel.Hours:
        """Quality of the session's quotes up to its close, all of which are given."""
        given = [read_only(array) for array in quotes.arrays]
        return kernel.finish(*[*given, self.state])


def quote_features(
    tape: TickTape, bars: pl.DataFrame, quotes: Quotes
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The tables `quote_features` and `quote_quality` of a ticker-session.

    A row per bar of `bars` (all of the session's dollar imbalance bars) that its threshold closed.
    Without a clean quote at the close its columns of that are null and `null_reason` says why;
    without a print that met one, or whose horizon has passed, those of prints are. Raises
    QuoteError when a bar points beyond the tape.
    """
    path = bars.sort("bar_id")
    lasts = integers(path["last_tick"])
    if lasts.size and (lasts[-1] >= tape.ticks.height or (np.diff(lasts) <= 0).any()):
        raise QuoteError(
            f"bars of {tape.ticker} {tape.date} end at tick {lasts.max()}, the tape has "
            f"{tape.ticks.height} ticks; rebuild the bars from this tape"
        )
    whole = QuotePass(tape.hours)
    out = whole.follow(quotes, print_arrays(tape), lasts)
    keys = {"ticker": tape.ticker, "date": tape.date, "bar_id": path["bar_id"]}
    columns = keys | {"known_at": path["close_timestamp"]} | _measures(out)
    is_closed = (path["reason"] == "threshold").to_numpy()
    table = TABLES["quote_features"]
    features = table.validate(frame_of(columns, table.columns).filter(is_closed))
    return features, quality_of(tape, quotes, whole)


def print_arrays(tape: TickTape) -> tuple[np.ndarray, ...]:
    """Times, prices, sizes, and which prints form prices and are auctions."""
    ticks = tape.ticks
    return (
        tape.times, floats(ticks["price"]), floats(ticks["size"]),
        ticks["is_price_forming"].to_numpy(), ticks["is_auction"].to_numpy(),
    )  # fmt: skip


def _measures(out: np.ndarray) -> dict[str, pl.Series]:
    columns = np.asfortranarray(out).T
    found = {
        name: pl.Series(name, values, nan_to_null=True)
        for name, values in zip(MEASURES, columns, strict=False)
    }
    reasons = pl.Series(NULL_REASONS, dtype=pl.String)
    return found | {"null_reason": reasons.gather(columns[-1].astype(np.int64))}


def quality_of(tape: TickTape, quotes: Quotes, whole: QuotePass) -> pl.DataFrame:
    """The table `quote_quality`, one row, from the pass over all of a session's prints.

    `inside_share` is of price-forming prints that met a clean quote, the rest of regular hours.
    """
    table, hours, prints = TABLES["quote_quality"], whole.hours(quotes), whole.state.tape
    span = max(hours.close - hours.open, 1)
    row = {
        "ticker": tape.ticker,
        "date": tape.date,
        "quotes": quotes.times.size,
        "missing_share": hours.missing / span,
        "one_sided_share": hours.one_sided / span,
        "locked_share": hours.locked / span,
        "crossed_share": hours.crossed / span,
        "inside_share": prints.inside / prints.judged if prints.judged else None,
        "longest_silence_seconds": hours.silence / SECOND,
    }
    return table.validate(pl.DataFrame([row], schema=table.columns))
