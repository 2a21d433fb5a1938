"""Eviction, freeing of space, and file sizes."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.errors import ValueTooLargeError
from key_value.aio.stores.disk import DiskStore, MultiDiskStore
from key_value.aio.testing import FakeClock

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Execute

FILE = "key-value.db"
MEGABYTE = 1_000_000
EMPTY: list[dict[str, Any]] = [{}]
VALUE: dict[str, Any] = {"text": "x" * 10_000}


def size_of(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


@pytest.mark.parametrize("size", [200, 5_000, 40_000])
@pytest.mark.parametrize("batch", [1, 20])
async def test_the_size_is_kept_within_5_percent(tmp_path: Path, size: int, batch: int) -> None:
    numbers = random.Random(size)  # noqa: S311 — not for secrets
    count = 3 * MEGABYTE // size
    async with DiskStore(directory=tmp_path, max_size=MEGABYTE) as store:
        for start in range(0, count, batch * 10):
            keys = [f"key {start + number}" for number in range(batch * 10)]
            values = [{"text": "x" * numbers.randrange(size // 2, size * 3 // 2)} for _ in keys]
            if batch > 1:
                await store.put_many(keys, values)
            else:
                for key, value in zip(keys, values, strict=True):
                    await store.put(key, value)
            assert (tmp_path / FILE).stat().st_size <= MEGABYTE * 1.05
    # One more entry would not have fitted.
    assert MEGABYTE * 0.95 - size * 1.5 <= size_of(tmp_path) <= MEGABYTE * 1.05


async def test_the_least_recently_used_entries_are_evicted(tmp_path: Path) -> None:
    async with DiskStore(directory=tmp_path, max_size=MEGABYTE) as store:
        keys = [f"key {number}" for number in range(50)]
        await store.put_many(keys, [VALUE] * 50)
        await store.get("key 0")
        await store.get_many(["key 1", "key 2"])
        await store.put("key 3", VALUE)
        for number in range(60):
            await store.put(f"new {number}", VALUE)
        kept = set(await store.keys()) & set(keys)
        assert kept >= {"key 0", "key 1", "key 2", "key 3", "key 49"}
        assert "key 4" not in kept
        # In order of last use.
        first = min(int(key.split()[1]) for key in kept - {"key 0", "key 1", "key 2", "key 3"})
        assert {f"key {number}" for number in range(first, 50)} <= kept


async def test_uses_are_known_after_reopening(tmp_path: Path) -> None:
    keys = [f"key {number}" for number in range(70)]
    async with DiskStore(directory=tmp_path, max_size=MEGABYTE) as store:
        await store.put_many(keys, [VALUE] * 70)
        assert await store.get("key 0") == VALUE
    async with DiskStore(directory=tmp_path, max_size=MEGABYTE) as store:
        for number in range(40):
            await store.put(f"new {number}", VALUE)
        assert await store.get("key 0") == VALUE
        assert await store.get("key 1") is None


async def test_many_reads_without_a_write_are_recorded(tmp_path: Path, execute: Execute) -> None:
    async with DiskStore(directory=tmp_path, max_size=MEGABYTE) as store:
        await store.put_many([str(number) for number in range(100)], EMPTY * 100)
        before = execute(tmp_path, "SELECT max(used_at) FROM entries")
        for _ in range(11):
            await store.get_many([str(number) for number in range(100)])
        assert execute(tmp_path, "SELECT max(used_at) FROM entries") > before


async def test_a_maximal_size_can_be_set_on_an_existing_store(tmp_path: Path) -> None:
    async with DiskStore(directory=tmp_path) as store:
        await store.put_many([str(number) for number in range(300)], [VALUE] * 300)
    async with DiskStore(directory=tmp_path, max_size=MEGABYTE) as store:
        await store.put("new", VALUE)
        assert 80 < len(await store.keys()) < 110
        assert await store.get("299") == VALUE
    assert size_of(tmp_path) <= MEGABYTE * 1.05


async def test_a_value_that_does_not_fit_is_refused_and_evicts_nothing(tmp_path: Path) -> None:
    async with DiskStore(directory=tmp_path, max_size=MEGABYTE) as store:
        largest = store.capabilities.max_value_bytes
        assert largest is not None
        await store.put("key", {"n": 1})
        with pytest.raises(ValueTooLargeError):
            await store.put("large", {"text": "x" * largest})
        with pytest.raises(ValueTooLargeError):
            await store.put_many(["small", "large"], [{}, {"text": "x" * largest}])
        assert await store.keys() == ["key"]
        await store.put("large", {"text": "x" * (largest - 20)})
        assert await store.get_many(["key", "large"]) == [{"n": 1}, {"text": "x" * (largest - 20)}]


async def test_each_collection_of_a_multi_disk_store_has_the_maximal_size(tmp_path: Path) -> None:
    async with MultiDiskStore(base_directory=tmp_path, max_size=MEGABYTE) as store:
        for collection in ("a", "b"):
            for number in range(150):
                await store.put(f"key {number}", VALUE, collection=collection)
            assert 80 < len(await store.keys(collection)) < 110
    assert 1.9 * MEGABYTE <= size_of(tmp_path) <= 2.1 * MEGABYTE


async def test_expired_entries_are_freed_without_being_read(tmp_path: Path, execute: Execute) -> None:
    with FakeClock() as clock:
        async with DiskStore(directory=tmp_path) as store:
            await store.put_many([str(number) for number in range(2500)], EMPTY * 2500, ttl=10)
            await store.put("forever", {})
            clock.advance(11)
            counts: list[int] = []
            for number in range(4):
                await store.put(f"new {number}", {})
                counts.append(execute(tmp_path, "SELECT count(*) FROM entries")[0][0])
    # A limited number at a time.
    assert counts == [2501 - 1000 + 1, 2501 - 2000 + 2, 4, 5]


async def test_expired_entries_are_freed_when_the_store_is_opened(tmp_path: Path, execute: Execute) -> None:
    with FakeClock() as clock:
        async with DiskStore(directory=tmp_path) as store:
            await store.put("soon", {}, ttl=10)
        clock.advance(11)
        async with DiskStore(directory=tmp_path):
            assert execute(tmp_path, "SELECT count(*) FROM entries") == [(0,)]


async def test_culling_releases_space(tmp_path: Path) -> None:
    with FakeClock() as clock:
        async with DiskStore(directory=tmp_path) as store:
            await store.put_many([str(number) for number in range(2000)], [{"text": "x" * 1000}] * 2000, ttl=10)
            await store.put("forever", {"n": 1})
            clock.advance(11)
            await store.cull()
            assert await store.get("forever") == {"n": 1}
        assert size_of(tmp_path) < 100_000


async def test_the_log_of_a_small_store_stays_small(tmp_path: Path) -> None:
    async with DiskStore(directory=tmp_path, max_size=2 * MEGABYTE) as store:
        for number in range(500):
            await store.put(f"key {number % 100}", VALUE)
        assert (tmp_path / f"{FILE}-wal").stat().st_size < 500_000
