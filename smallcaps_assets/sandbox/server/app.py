"""The local HTTP server: routes, keys, compression, and its life in a thread.

What an answer says belongs to the routes; which faults spoil it to faults.py.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from smallcaps_assets.sandbox.config import SandboxConfig, SandboxError
from smallcaps_assets.sandbox.market import Market
from smallcaps_assets.sandbox.recorded import NotRecordedError, RecordedMarket
from smallcaps_assets.sandbox.server import (
    flatfiles,
    routes_actions,
    routes_bars,
    routes_facts,
    routes_reference,
    routes_regulators,
    routes_snapshots,
)
from smallcaps_assets.sandbox.server.answers import (
    MINIMUM_TO_COMPRESS,
    Answer,
    ApiError,
    compress,
    not_found,
)
from smallcaps_assets.sandbox.server.faults import Fault, FaultPlan, parse_fault
from smallcaps_assets.sandbox.server.flatfiles import FlatFiles
from smallcaps_assets.sandbox.server.requestlog import RequestLog
from smallcaps_assets.sandbox.server.routes_ticks import quotes, trades
from smallcaps_assets.sandbox.server.spoiling import FaultyApp
from smallcaps_assets.sandbox.simulation.market import SimulatedMarket

START_TIMEOUT = 20.0
Handler = Callable[..., Answer]


class SandboxServerError(SandboxError, RuntimeError):
    """The server could not be started or stopped."""


# Public paths and what answers them; {braces} are path parameters, which keep their case and are
# arguments of the function, after the market and the query. TABLES can also be had as CSV.
_AGGREGATES = "/v2/aggs/ticker/{ticker}"
ROUTES: dict[str, Handler] = {
    "/v3/reference/tickers": routes_reference.tickers,
    "/v3/reference/tickers/types": routes_reference.ticker_types,
    "/v3/reference/tickers/{ticker}": routes_reference.ticker_details,
    "/vX/reference/tickers/{ticker}/events": routes_reference.ticker_events,
    "/v3/reference/splits": routes_actions.old_splits,
    "/stocks/v1/splits": routes_actions.new_splits,
    "/v3/reference/dividends": routes_actions.old_dividends,
    "/stocks/v1/dividends": routes_actions.new_dividends,
    "/v3/reference/conditions": routes_reference.conditions,
    "/v3/reference/exchanges": routes_reference.exchanges,
    "/v1/marketstatus/now": routes_reference.market_now,
    "/v1/marketstatus/upcoming": routes_reference.market_upcoming,
    _AGGREGATES + "/prev": routes_bars.previous_day,
    "/v1/open-close/{ticker}/{date}": routes_bars.open_close,
    f"{routes_snapshots.PATH}/tickers": routes_snapshots.tickers,
    f"{routes_snapshots.PATH}/tickers/{{ticker}}": routes_snapshots.ticker,
    f"{routes_snapshots.PATH}/{{direction}}": routes_snapshots.movers,
    routes_snapshots.UNIFIED_PATH: routes_snapshots.unified,
    routes_facts.NEWS_PATH: routes_facts.news,
    routes_facts.FINANCIALS_PATH: routes_facts.financials,
    "/stocks/financials/v1/ratios": routes_facts.ratios,
    "/stocks/financials/v1/{name}": routes_facts.statements,
    "/stocks/vX/float": routes_facts.free_float,
    "/stocks/v1/short-interest": routes_facts.short_interest,
    "/stocks/v1/short-volume": routes_facts.short_volume,
}
TABLES: dict[str, Handler] = {
    _AGGREGATES + "/range/{multiplier}/{timespan}/{start}/{end}": routes_bars.aggregate_range,
    "/v2/aggs/grouped/locale/us/market/stocks/{day}": routes_bars.grouped,
    "/v3/trades/{ticker}": trades,
    "/v3/quotes/{ticker}": quotes,
}


def make_market(config: SandboxConfig) -> Market:
    """The market of a configuration."""
    if config.kind == "recorded":
        assert config.recorded_dir is not None
        return RecordedMarket(config.recorded_dir)
    return SimulatedMarket(config)


class _Api:
    """Endpoints bound to one market and one configuration."""

    def __init__(self, market: Market, files: FlatFiles, config: SandboxConfig) -> None:
        self._market = market
        self._files = files
        self._config = config

    def routes(self) -> list[Route]:
        return [
            *[Route(path, self._rest(handler, False)) for path, handler in ROUTES.items()],
            *[Route(path, self._rest(handler, True)) for path, handler in TABLES.items()],
            *[Route(path, self._public(h)) for path, h in routes_regulators.ROUTES.items()],
            Route(routes_regulators.QUERY_PATH, self._query, methods=["POST"]),
            Route(f"/{flatfiles.BUCKET}", self._bucket),
            Route(f"/{flatfiles.BUCKET}/", self._bucket),
            Route(f"/{flatfiles.BUCKET}/{{key:path}}", self._file, methods=["GET", "HEAD"]),
            Route("/{rest:path}", self._unknown),
        ]

    def _check_key(self, request: Request) -> None:
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
        key = bearer or request.query_params.get("apiKey", "")
        if not key:
            raise ApiError(401, "API Key was not provided")
        if key != self._config.api_key:
            raise ApiError(401, "Unknown API Key")

    def _rest(self, handler: Handler, is_table: bool) -> Callable[[Request], Response]:
        # A plain function: Starlette runs it in a thread, so that slow answers block nobody.
        def endpoint(request: Request) -> Response:
            try:
                self._check_key(request)
                options = dict(request.path_params)
                if is_table:
                    options["is_csv"] = request.headers.get("accept", "").startswith("text/csv")
                answer = handler(self._market, request.query_params, **options)
            except ApiError as refusal:
                answer = refusal.answer()
            except NotRecordedError as error:
                # As the vendor does outside a plan's history: final for this range, no retry.
                answer = ApiError(403, str(error), "NOT_AUTHORIZED", "message").answer()
            except SandboxError as error:
                answer = ApiError(500, str(error)).answer()
            return _response(request, answer)

        return endpoint

    def _unknown(self, request: Request) -> Response:
        return _response(request, not_found("The requested resource was not found.").answer())

    def _bucket(self, request: Request) -> Response:
        query = request.query_params
        is_v2 = query.get("list-type") == "2"
        after = query.get("continuation-token") or query.get("start-after") or query.get("marker")
        limit = int(query.get("max-keys") or flatfiles.MAXIMUM_KEYS)
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        answer = self._files.listing(prefix, after or "", delimiter, limit, is_v2)
        return _response(request, answer)

    def _file(self, request: Request) -> Response:
        key, byte_range = request.path_params["key"], request.headers.get("range")
        return _response(request, self._files.get(key, byte_range, request.method == "HEAD"))

    def _public(self, handler: routes_regulators.Handler) -> Callable[[Request], Response]:
        def endpoint(request: Request) -> Response:
            return _response(request, handler(self._market, request))

        return endpoint

    async def _query(self, request: Request) -> Response:
        body = await request.body()
        answer = await run_in_threadpool(routes_regulators.finra_query, self._market, request, body)
        return _response(request, answer)


def _response(request: Request, answer: Answer) -> Response:
    """Compressed when the client takes gzip and it is worth it; files are compressed already."""
    headers = dict(answer.headers)
    body = answer.body
    accepts = "gzip" in request.headers.get("accept-encoding", "")
    is_file = answer.media_type == "application/gzip"
    if accepts and not is_file and len(body) >= MINIMUM_TO_COMPRESS:
        body = compress(body)
        headers["Content-Encoding"] = "gzip"
    return Response(body, answer.status, headers, media_type=answer.media_type)


class Sandbox:
    """A market behind a local server. Use as a context manager, or start() and stop()."""

    def __init__(self, config: SandboxConfig | None = None, market: Market | None = None) -> None:
        self.config = config or SandboxConfig()
        self.faults = FaultPlan(self.config.seed, self.config.faults)
        self.market = market or make_market(self.config)
        self.requests = RequestLog()
        self.files = FlatFiles(
            self.market, self.config.model_dump_json(exclude={"port", "faults", "end"})
        )
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self._socket: socket.socket | None = None

    @property
    def port(self) -> int:
        if self._socket is None:
            raise SandboxServerError("the sandbox is not running; call start() first")
        return self._socket.getsockname()[1]

    @property
    def url(self) -> str:
        """Base of all that is served, without a trailing slash."""
        return f"http://127.0.0.1:{self.port}"

    def inject(self, fault: Fault | str) -> None:
        """Add a fault while running."""
        self.faults.add(parse_fault(fault) if isinstance(fault, str) else fault)

    def clear_faults(self) -> None:
        self.faults.clear()

    def app(self) -> FaultyApp:
        """The ASGI application: routes inside, faults outside."""
        routes = _Api(self.market, self.files, self.config).routes()
        return FaultyApp(Starlette(routes=routes), self.faults, self.requests, self.files)

    def start(self) -> Sandbox:
        """Bind 127.0.0.1 and serve in a daemon thread; returns when requests are answered."""
        if self._thread is not None:
            return self
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind(("127.0.0.1", self.config.port))
        except OSError as error:
            self._socket.close()
            self._socket = None
            raise SandboxServerError(
                f"port {self.config.port} is taken ({error}); choose another, or 0 for a free one"
            ) from error
        # Without log_config=None uvicorn clears the process's log handlers, Dagster's among them.
        settings = uvicorn.Config(
            self.app(),
            log_config=None,
            log_level="critical",
            lifespan="off",
            access_log=False,
            http="h11",
        )
        self._server = uvicorn.Server(settings)
        run, sockets = self._server.run, [self._socket]
        self._thread = threading.Thread(target=run, args=(sockets,), name="sandbox", daemon=True)
        self._thread.start()
        self._wait_until_ready()
        return self

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while self._server is not None and not self._server.started:
            if time.monotonic() > deadline or not (self._thread and self._thread.is_alive()):
                self.stop()
                raise SandboxServerError(f"the server did not start within {START_TIMEOUT} s")
            time.sleep(0.005)

    def stop(self) -> None:
        """Stop serving; harmless when not running."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._server.force_exit = True
            self._thread.join(START_TIMEOUT)
        if self._socket is not None:
            self._socket.close()
        self._server = self._thread = self._socket = None

    def __enter__(self) -> Sandbox:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
