"""Which source answers a request for minutes or trades, and why.

Daily bars have one route (a grouped call) and need no choice. The choice is by age, by what the
plan allows and by cost; settings can force it; the answer says which way it came. How each source
is read is in `polygon.py` and `flatfiles.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import polars as pl

from smallcaps_assets.domain.calendar import NEW_YORK
from smallcaps_assets.schemas.tables import TABLES
from smallcaps_assets.settings import PolygonSettings
from smallcaps_assets.sources.errors import NotEntitled, NotFound, SourceError
from smallcaps_assets.sources.flatfiles import FlatFiles, FlatFrame
from smallcaps_assets.sources.polygon import PolygonClient
from smallcaps_assets.sources.workers import in_parallel

PUBLISHED_AT = time(11)
DOWNLOAD_BYTES_PER_SECOND = 20e6
PARSE_BYTES_PER_SECOND = 60e6
CALLS_PER_TICKER_SESSION = 3
SECONDS_PER_CALL = 0.2


@dataclass(frozen=True)
class Routed:
    """A frame, the way it came (for metadata), and the ETag if it came from a file."""

    frame: pl.DataFrame
    route: str
    etag: str = ""


class Router:
    """Minutes and trades from whichever source is cheapest and allowed.

    `flat_files` is None when there are none; `now` is the present instant with a time zone.
    """

    def __init__(
        self,
        client: PolygonClient,
        flat_files: FlatFiles | None,
        settings: PolygonSettings,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client, self._flat_files, self._settings = client, flat_files, settings
        self._now = now

    def minute_bars(self, day: date, tickers: Sequence[str]) -> Routed:
        """MinuteBars of a session: its flat file once published, else REST per ticker.

        The file is preferred whatever the number of tickers: it has no vwap, REST has, and one
        ticker rebuilt alone should not differ from the rest of its session.
        """
        if not tickers:
            return Routed(TABLES["minute_bars"].empty(), "nothing asked")

        def flat(files: FlatFiles) -> FlatFrame:
            return files.minute_bars(day, tickers)

        def rest() -> pl.DataFrame:
            return self._client.minute_bars_of_session(day, tickers)

        return self._choose(self._settings.minute_route, day, flat, rest)

    def trades(self, ticker: str, day: date) -> Routed:
        """Trades of one ticker-session."""
        return self.trades_of_session(day, [ticker])

    def trades_of_session(self, day: date, tickers: Sequence[str]) -> Routed:
        """Trades of several tickers of a session, from the day's file if that is cheaper."""
        if not tickers:
            return Routed(TABLES["trades"].empty(), "nothing asked")

        def flat(files: FlatFiles) -> FlatFrame:
            return files.trades(day, tickers)

        def rest() -> pl.DataFrame:
            found = in_parallel(
                lambda ticker: self._client.trades(ticker, day),
                sorted(set(tickers)),
                self._settings.workers,
            )
            return TABLES["trades"].conform(pl.concat(found))

        wanted = self._settings.trade_route
        if wanted == "auto" and not self._is_file_cheaper(day, len(set(tickers))):
            return Routed(
                rest(), f"rest: {len(set(tickers))} tickers cost less than the day's file"
            )
        return self._choose(wanted, day, flat, rest)

    def _choose(
        self,
        wanted: str,
        day: date,
        flat: Callable[[FlatFiles], FlatFrame],
        rest: Callable[[], pl.DataFrame],
    ) -> Routed:
        if wanted == "rest":
            return Routed(rest(), "rest: forced by the settings")
        if wanted == "flatfile":
            found = flat(self._required_files())
            return Routed(found.frame, f"flatfile {found.key}: forced by the settings", found.etag)
        reason = self._why_no_file(day)
        if not reason and self._flat_files is not None:
            try:
                found = flat(self._flat_files)
            except (NotFound, NotEntitled) as refusal:
                reason = (
                    "the day has no file" if isinstance(refusal, NotFound) else "no right to it"
                )
            else:
                return Routed(found.frame, f"flatfile {found.key}", found.etag)
        return Routed(rest(), f"rest: {reason}")

    def _required_files(self) -> FlatFiles:
        if self._flat_files is None:
            raise SourceError(
                "flat files are forced by the settings, but there are none",
                remedy="set polygon.flatfiles_dir or flatfiles_url, or the route to auto or rest",
            )
        return self._flat_files

    def _why_no_file(self, day: date) -> str:
        """Why the day's file is out of the question; empty when it is not."""
        if self._flat_files is None:
            return "no flat files configured"
        due = datetime.combine(day + timedelta(days=1), PUBLISHED_AT, NEW_YORK)
        if not self._flat_files.is_local and self._now() < due:
            return f"the day's file is due at {due:%Y-%m-%d %H:%M} New York"
        return ""

    def _is_file_cheaper(self, day: date, tickers: int) -> bool:
        files = self._flat_files
        if files is None or self._why_no_file(day):
            return False
        if not files.is_local and self._rest_seconds(tickers) < 1e9 / DOWNLOAD_BYTES_PER_SECOND:
            return False  # a day of trades is a gigabyte or more: no need to look
        try:
            listed = files.listed("trades_v1", day)
        except SourceError:
            return False
        if listed is None:
            return False
        download = 0.0 if files.is_local else listed.size / DOWNLOAD_BYTES_PER_SECOND
        return download + listed.size / PARSE_BYTES_PER_SECOND < self._rest_seconds(tickers)

    def _rest_seconds(self, tickers: int) -> float:
        calls = tickers * CALLS_PER_TICKER_SESSION
        pace = min(self._client.throttle.rate, self._settings.workers / SECONDS_PER_CALL)
        return calls / pace
