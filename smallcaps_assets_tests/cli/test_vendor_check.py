"""The key's check before a run, against vendors that lack its cheapest endpoint."""

from __future__ import annotations

import pytest

from smallcaps_assets.cli.setup import _check_key
from smallcaps_assets.sources.errors import SourceUnavailable, Unauthorized
from smallcaps_assets_tests.sources.conftest import make_client
from smallcaps_assets_tests.sources.loopback import Loopback, Reply

PAGE = Reply(b"<html>no such page</html>", headers={"Content-Type": "text/html"})


@pytest.mark.parametrize("reply", [*(Reply(b"", s) for s in (403, 404, 410, 501)), PAGE])
def test_key_check_given_no_market_status_expected_a_warning(
    reply: Reply, capsys: pytest.CaptureFixture[str]
) -> None:
    with Loopback(reply) as server, make_client(server.url) as client:
        _check_key(client)
    told = capsys.readouterr()
    assert told.out == "" and len(told.err.splitlines()) == 1
    assert told.err.startswith("warning: the vendor has no market status")


@pytest.mark.parametrize(("status", "kind"), [(401, Unauthorized), (503, SourceUnavailable)])
def test_key_check_given_a_bad_key_or_a_sick_host_expected_refused(
    status: int, kind: type[Exception]
) -> None:
    with (
        Loopback(Reply(b"", status)) as server,
        make_client(server.url, retry_budget=0.01) as client,
        pytest.raises(kind),
    ):
        _check_key(client)
