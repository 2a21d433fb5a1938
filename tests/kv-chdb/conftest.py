"""Fixtures. A process can have only one chDB directory open, so each test module has its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from raw_chdb import RawChDB

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def module_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("chdb") / "database"


@pytest.fixture(scope="module")
def module_session(module_path: Path) -> Iterator[RawChDB]:
    with RawChDB(module_path) as raw:
        yield raw


@pytest.fixture
def raw(module_session: RawChDB) -> RawChDB:
    """Return a session on a database without tables."""
    module_session.drop_tables()
    return module_session


@pytest.fixture
def path(module_path: Path, raw: RawChDB) -> Path:  # noqa: ARG001 — which empties it
    """Return the directory of that database."""
    return module_path
