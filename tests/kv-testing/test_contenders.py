"""The multi-process tests, on a store that enforces conditions between processes and on a broken one."""

from __future__ import annotations

from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.stores.disk import DiskStore
from key_value.aio.testing.concurrency import ConcurrencyTests
from key_value.aio.testing.conditional_writes import ConditionalWriteTests
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

BROKEN = """
    import asyncio

    from key_value.aio.stores.disk import DiskStore


    class ComparesThenWrites(DiskStore):
        async def _put_managed_entry_if_version(self, *, version, **entry):
            found = await self._get_versioned_entry(collection=entry["collection"], key=entry["key"])
            if version != (found and found.version):
                return False
            await asyncio.sleep(0.001)
            await self._put_managed_entry(**entry)
            return True
"""


class TestDiskStore(ConditionalWriteTests[DiskStore], ConcurrencyTests[DiskStore]):
    path: Path
    store_path = "key_value.aio.stores.disk:DiskStore"

    @pytest.fixture
    def store(self, tmp_path: Path) -> DiskStore:
        self.path = tmp_path
        return DiskStore(directory=tmp_path)

    @override
    def reopen(self, store: DiskStore) -> DiskStore:
        return DiskStore(directory=self.path)

    @override
    def address(self, store: DiskStore) -> tuple[str, Mapping[str, Any]]:
        return self.store_path, {"directory": str(self.path)}


@pytest.mark.parametrize(
    "test", ["test_increments_of_several_processes_add_up", "test_one_of_several_processes_stores"]
)
def test_a_store_that_compares_and_then_writes_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, test: str
) -> None:
    (tmp_path / "broken_disk.py").write_text(dedent(BROKEN))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    tests = TestDiskStore()
    tests.path, tests.store_path = tmp_path / "data", "broken_disk:ComparesThenWrites"
    with pytest.raises(AssertionError, match="Concurrent conditional writes"):
        getattr(tests, test)(store=DiskStore(directory=tests.path))
