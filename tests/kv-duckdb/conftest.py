"""Fixtures: a database in a file, and its owner's connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "entries.duckdb"


@pytest.fixture
def raw(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(path) as connection:
        yield connection


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make stores retry conflicts for longer than a busy machine stalls."""
    monkeypatch.setattr("key_value.aio.stores.duckdb.entries._CONFLICT_RETRY_SECONDS", 60)
