"""An object store for the lake's tests: a real S3 API on loopback."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

SECRET = "a-secret-of-the-test"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """The address of an S3 API with one bucket."""
    s3fs = pytest.importorskip("s3fs")
    boto3 = pytest.importorskip("boto3")
    server = pytest.importorskip("moto.server")
    with pytest.MonkeyPatch.context() as patch:
        moto = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        moto.start()
        host, port = moto.get_host_and_port()
        patch.setenv("AWS_ACCESS_KEY_ID", "key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        boto3.client("s3").create_bucket(Bucket="desk")
        yield f"http://{host}:{port}"
        moto.stop()
    s3fs.S3FileSystem.clear_instance_cache()  # the next one has another port
