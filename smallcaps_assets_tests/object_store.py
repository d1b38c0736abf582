"""A real S3 API on loopback with one bucket: what it was asked for, and how it fails."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.request import Request, urlopen

import pytest

BUCKET = "desk"
SECRET = "a-secret-of-the-test"
App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class ObjectStore:
    """moto's server. `calls` counts requests by method; while `is_out` all are answered by 503.

    The answers to as many writes as `loses_answers` says are lost after they were carried out.
    """

    def __init__(self, moto: Any) -> None:
        self._moto = moto
        self._moto.start()
        self.calls: Counter[str] = Counter()
        self.is_out = False
        self.loses_answers = 0
        host, port = moto.get_host_and_port()
        self.url = f"http://{host}:{port}"
        moto._server.app = self._watched(moto._server.app)

    def stop(self) -> None:
        """End the server; what it holds stays."""
        self._moto.stop()

    def _watched(self, app: App) -> App:
        def watched(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
            method = environ["REQUEST_METHOD"]
            self.calls["LIST" if "list-type" in environ["QUERY_STRING"] else method] += 1
            if self.is_out:
                environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
                start("503 Service Unavailable", [("Content-Length", "0")])
                return [b""]
            if method == "PUT" and self.loses_answers:
                self.loses_answers -= 1
                list(app(environ, lambda *_: None))
                start("500 Internal Server Error", [("Content-Length", "0")])
                return [b""]
            return app(environ, start)

        return watched


@contextmanager
def object_store() -> Iterator[ObjectStore]:
    """A running store without objects, whose address and keys are in the environment."""
    s3fs = pytest.importorskip("s3fs")
    boto3 = pytest.importorskip("boto3")
    server = pytest.importorskip("moto.server")
    with pytest.MonkeyPatch.context() as patch:
        moto = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        store = ObjectStore(moto)
        patch.setenv("AWS_ACCESS_KEY_ID", "key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_ENDPOINT_URL", store.url)
        # What servers of one process hold is held in common.
        urlopen(Request(f"{store.url}/moto-api/reset", method="POST"), timeout=30).close()
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        yield store
        store.stop()
    s3fs.S3FileSystem.clear_instance_cache()  # the next one has another port
