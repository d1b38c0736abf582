"""The address of a PostgreSQL history: what is wrong with it is told, its password never."""

from pathlib import Path

import pytest

from smallcaps_assets.orchestration.instance import POSTGRES_VARIABLE, instance_home
from smallcaps_assets.settings import SettingsError


@pytest.mark.parametrize(
    "address",
    [
        "postgresql+psycopg2://me:hunter2@host:five/lake",
        "postgresql+psycopg2://me:one@hunter2@host:5432/lake",
        "postgresql+psycopg2://me:one\r\nhunter2@host:5432/lake",
        "postgresql://me:hunter2@host:5432/lake",
        "hunter2",
    ],
)
def test_address_that_is_none_is_refused_without_showing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv(POSTGRES_VARIABLE, address)
    with pytest.raises(SettingsError, match=POSTGRES_VARIABLE) as error:
        instance_home(tmp_path)
    assert "hunter2" not in str(error.value)


def test_address_with_an_escaped_password_is_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(POSTGRES_VARIABLE, "postgresql+psycopg2://me:one%40two@host:5432/lake")
    assert "PostgresStorage" in (instance_home(tmp_path) / "dagster.yaml").read_text()
