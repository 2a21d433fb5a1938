"""The crash tests, on a store that keeps acknowledged writes and on one that loses them."""

from __future__ import annotations

import sys
from textwrap import dedent
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from key_value.aio.testing import CrashTests
from key_value.aio.testing.writers import step, written

if TYPE_CHECKING:
    from pathlib import Path

JOURNAL = """
    import json
    import os

    from key_value.aio.core.envelope import dump_entry, load_entry
    from key_value.aio.stores.base import BaseStore


    class JournalStore(BaseStore):
        \"\"\"Writes a line for each put and each deletion.\"\"\"

        buffers = False

        def __init__(self, path):
            super().__init__()
            self._path = path
            self._lines = []
            self._size, self._read = 0, {}

        def _append(self, key, text):
            # A killed process can leave an incomplete last line.
            self._lines.append(b"\\n" + json.dumps([key, text]).encode() + b"\\n")
            # A buffering store acknowledges some writes before they have left the process.
            if not self.buffers or len(self._lines) == 50:
                with open(self._path, "ab", buffering=0) as file:
                    file.write(b"".join(self._lines))
                self._lines = []

        def _entries(self):
            size = os.path.getsize(self._path) if os.path.exists(self._path) else 0
            if size != self._size:
                self._size, self._read = size, {}
                with open(self._path, "rb") as file:
                    for line in file:
                        if line.endswith(b"]\\n"):
                            key, text = json.loads(line)
                            self._read[key] = text
            return self._read

        async def _get_managed_entry(self, *, collection, key):
            text = self._entries().get(key)
            return text and load_entry(text)

        async def _get_managed_entries(self, *, collection, keys):
            entries = self._entries()
            return [entries.get(key) and load_entry(entries[key]) for key in keys]

        async def _put_managed_entry(self, *, collection, key, managed_entry):
            self._append(key, dump_entry(managed_entry).decode())

        async def _delete_managed_entry(self, *, collection, key):
            self._append(key, None)
            return True


    class BufferingStore(JournalStore):
        buffers = True
"""


class JournalCrashes(CrashTests):
    crashes: ClassVar[int] = 5

    @pytest.fixture(autouse=True)
    def _module(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "journal.py").write_text(dedent(JOURNAL))
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        # The journal is fast: half a second is thousands of calls.
        monkeypatch.setenv("KV_TEST_SOAK_SECONDS", "0.5")
        monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])

    def store_options(self, directory: Path) -> dict[str, Any]:
        return {"path": str(directory / "journal")}


class TestJournalStore(JournalCrashes):
    store_path = "journal:JournalStore"


class TestBufferingStore(JournalCrashes):
    store_path = "journal:BufferingStore"

    @pytest.mark.xfail(raises=AssertionError, strict=True, reason="it loses what it acknowledged")
    def test_what_a_killed_process_was_told_is_written_is_there_and_whole(self, tmp_path: Path) -> None:
        super().test_what_a_killed_process_was_told_is_written_is_there_and_whole(tmp_path)

    @pytest.mark.xfail(raises=AssertionError, strict=True, reason="it loses what it acknowledged")
    def test_what_several_processes_write_at_once_is_all_there(self, tmp_path: Path) -> None:
        super().test_what_several_processes_write_at_once_is_all_there(tmp_path)


class TestExclusiveStore(JournalCrashes):
    store_path = "journal:JournalStore"
    crashes = 1
    shared_by_processes = False


def test_a_writer_puts_deletes_and_overwrites() -> None:
    calls = [step("w", number) for number in range(140)]
    assert {len(changes) for changes in calls} == {1, 20}
    assert any(None in changes.values() for changes in calls)
    assert sum("w again" in changes for changes in calls) > 1
    assert written("w", 140).items() >= calls[139].items()
