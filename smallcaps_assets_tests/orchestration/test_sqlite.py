"""Dagster's SQLite connections: settings applied, a bounded number held, nothing else touched."""

from pathlib import Path

from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from smallcaps_assets.orchestration import sqlite


def synchronous(path: Path) -> int:
    """The level of a new connection: 1 is NORMAL, 2 is FULL."""
    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)
    with engine.connect() as connection:
        return int(connection.execute(text("PRAGMA synchronous")).scalar_one())


def test_ease_commits_called_twice_applies_once(tmp_path: Path):
    sqlite.ease_commits()
    sqlite.ease_commits()
    assert synchronous(tmp_path / "one.db") == 1


def test_ease_commits_holds_a_bounded_number_of_connections(tmp_path: Path):
    sqlite.ease_commits()
    for number in range(40):
        synchronous(tmp_path / f"{number}.db")
    held = list(sqlite._HELD)
    assert len(held) == 16
    assert held[-1] == str(tmp_path / "39.db")
