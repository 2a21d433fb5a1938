"""Tests of the durability of a local store when the writing process is killed."""

import os
import random
import time
from pathlib import Path
from typing import Any, ClassVar

import pytest
from key_value.aio.protocols import AsyncPutIfAbsentProtocol, AsyncVersionedProtocol
from key_value.aio.testing.contenders import CONTESTS, ROUNDS, contend, contested_count, prepare
from key_value.aio.testing.contract import capabilities_of
from key_value.aio.testing.running import AsyncTests, closed_after, closing
from key_value.aio.testing.writers import COLLECTION, Writers, open_store, step, writers_of, written

__all__ = ["CrashTests"]

SEED = int(os.environ.get("KV_TEST_SEED", "0"))

posix_only: pytest.MarkDecorator = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")


class CrashTests(AsyncTests):
    """Tests for stores in a directory or file. Linux and macOS only."""

    store_path: ClassVar[str]
    """The store class, as `module:class`."""

    shared_by_processes: ClassVar[bool] = True
    """Whether several processes may open the same directory at the same time."""

    crashes: ClassVar[int] = 100
    """The number of writers that are started and killed, one after another."""

    def store_options(self, directory: Path) -> dict[str, Any]:
        """Return JSON-serializable keyword arguments for a store with its data in the existing directory."""
        raise NotImplementedError

    @posix_only
    def test_what_a_killed_process_was_told_is_written_is_there_and_whole(self, tmp_path: Path) -> None:
        moments = random.Random(SEED)  # noqa: S311 — not for secrets
        options = self.store_options(tmp_path)
        with writers_of(self.store_path, options) as writers:
            for number in range(self.crashes):
                writers.start(f"writer{number}")
                time.sleep(moments.uniform(0, 0.04))
                writers.kill(f"writer{number}")
                self.run(self._check(options, writers, [f"writer{number}"]))
            self.run(self._check(options, writers, list(writers.acknowledged)))

    @posix_only
    def test_what_several_processes_write_at_once_is_all_there(self, tmp_path: Path) -> None:
        if not self.shared_by_processes:
            pytest.skip(f"{self.store_path} supports only one process at a time")
        options = self.store_options(tmp_path)
        names = [f"writer{number}" for number in range(4)]
        with writers_of(self.store_path, options) as writers:
            for name in names:
                writers.start(name)
            time.sleep(float(os.environ.get("KV_TEST_SOAK_SECONDS", "3")))
            for name in names:
                writers.wait(name, calls=2)
            writers.kill(names[0])
            for name in names[1:]:
                writers.stop(name)
            self.run(self._check(options, writers, names))

    @posix_only
    def test_conditional_writes_of_several_processes_have_one_winner_each(self, tmp_path: Path) -> None:
        options = self.store_options(tmp_path)
        store = open_store(self.store_path, options)
        contests = [name for name in CONTESTS if self._applies(name, store)]
        if not self.shared_by_processes or not contests:
            pytest.skip(f"{self.store_path} supports only one process at a time, or no conditional writes")
        self.run(closed_after(store, prepare(store)))
        for contest in contests:
            assert sum(contend(self.store_path, options, contest)) == (4 if contest == "increment" else 1) * ROUNDS
            self.run(closed_after(store, prepare(store)))
        if "increment" in contests:
            assert self.run(closed_after(store, contested_count(store))) == 4 * ROUNDS

    def _applies(self, contest: str, store: object) -> bool:
        capabilities = capabilities_of(store)
        if contest == "delete":
            return capabilities.atomic_delete
        protocol = AsyncPutIfAbsentProtocol if contest == "put_if_absent" else AsyncVersionedProtocol
        return capabilities.conditional_writes and isinstance(store, protocol)

    async def _check(self, options: dict[str, Any], writers: Writers, names: list[str]) -> None:
        store = open_store(self.store_path, options)
        async with closing(store):
            for name in names:
                steps = writers.acknowledged[name]
                # The call in flight when the writer was killed may have taken effect or not, a batch also in part.
                acknowledged, in_flight = written(name, steps), step(name, steps)
                keys = list(acknowledged | in_flight)
                wrong: list[str] = []
                for start in range(0, len(keys), 500):
                    page = keys[start : start + 500]
                    values = await store.get_many(page, collection=COLLECTION)
                    wrong += [
                        key
                        for key, value in zip(page, values, strict=True)
                        if value != acknowledged.get(key) and (key not in in_flight or value != in_flight[key])
                    ]
                if capabilities_of(store).atomic_put_many and len(in_flight) > 1:
                    stored = [
                        value is not None for value in await store.get_many(list(in_flight), collection=COLLECTION)
                    ]
                    assert len(set(stored)) == 1, "atomic_put_many is declared, but a batch was stored in part"
                # Limit the number of entries that pytest shows.
                assert wrong[:5] == []
