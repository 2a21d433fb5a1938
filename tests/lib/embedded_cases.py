"""Tests shared by embedded stores."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import pytest
from embedded import WORKING, work_in_processes
from key_value.aio.errors import StoreSetupError
from rivals import version_of

if TYPE_CHECKING:
    from pathlib import Path

StoreT = TypeVar("StoreT", bound=Any)


class ContentionCases(Generic[StoreT]):
    """Concurrent conditional writes and deletions, on stores that processes can share."""

    beginning: ClassVar[str]
    """Code that defines `Store` for the programs."""
    increments: ClassVar[int]
    keys: ClassVar[int]

    def open(self, path: Path) -> StoreT:
        raise NotImplementedError

    def check_files(self, path: Path) -> None:
        """Check the files that remain besides the entry `count`."""

    async def work(self, path: Path, work: str, number: int) -> int:
        return await asyncio.to_thread(work_in_processes, self.beginning + WORKING, path, work, number)

    async def test_increments_of_four_processes_are_exact(self, tmp_path: Path) -> None:
        assert await self.work(tmp_path, "count", self.increments) == 4 * self.increments
        async with self.open(tmp_path) as store:
            assert await store.get("count") == {"n": 4 * self.increments}
        self.check_files(tmp_path)

    async def test_put_if_absent_in_four_processes_succeeds_once_for_each_key(self, tmp_path: Path) -> None:
        assert await self.work(tmp_path, "claim", self.keys) == self.keys

    async def test_delete_in_four_processes_succeeds_once_for_each_key(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as store:
            await store.put_many([f"key {each}" for each in range(self.keys)], [{"n": 1}] * self.keys)
            assert await self.work(tmp_path, "delete", self.keys) == self.keys

    async def test_one_of_fifty_concurrent_deletions_succeeds(self, tmp_path: Path) -> None:
        stores = [self.open(tmp_path) for _ in range(5)]
        await stores[0].put_many(["a", "b"], [{}, {}])
        version = await version_of(stores[0], "a")
        conditional = await asyncio.gather(*(stores[n % 5].delete_if_version("a", version) for n in range(50)))
        plain = await asyncio.gather(*(stores[n % 5].delete("b") for n in range(50)))
        assert sorted(conditional) == sorted(plain) == [False] * 49 + [True]
        await asyncio.gather(*(store.close() for store in stores))


class URLCases(Generic[StoreT]):
    """URLs of a store in one file or directory."""

    store_type: ClassVar[type[Any]]
    scheme: ClassVar[str]

    def check_shown(self, monkeypatch: pytest.MonkeyPatch, location: str, shown: str) -> None:
        monkeypatch.setattr("os.getcwd", lambda: "/here")
        monkeypatch.setenv("HOME", "/me")
        assert repr(self.store_type.from_url(f"{self.scheme}://{location}")) == f"{self.store_type.__name__}({shown})"

    @pytest.mark.parametrize(
        ("location", "shown"),
        [
            ("/var/lib/app.db?auto_create=false&default_collection=c", "/var/lib/app.db"),
            ("/a%20b", "/a b"),
            ("data/entries", "/here/data/entries"),
            ("~/entries", "/me/entries"),
        ],
    )
    def test_a_url_names_the_path(self, monkeypatch: pytest.MonkeyPatch, location: str, shown: str) -> None:
        self.check_shown(monkeypatch, location, shown)

    @pytest.mark.parametrize(
        ("location", "why"),
        [
            ("user@entries", "must name a path"),
            ("entries?mode=ro", "no options"),
            ("entries?path=other", "twice"),
            ("entries?auto_create=maybe", "true or false"),
            ("entries?seed=a", "no options"),
            ("entries?db=other", "no options"),
        ],
    )
    def test_an_invalid_url_is_refused(self, location: str, why: str) -> None:
        with pytest.raises(ValueError, match=why):
            self.store_type.from_url(f"{self.scheme}://{location}")


class TableCases(URLCases[StoreT]):
    """Options of a store in a table of an SQL database, which may be in memory.

    Needs the fixtures `raw`, a native client, and `path`, the path of its database.
    """

    def open(self, raw: Any, path: Path, **options: Any) -> StoreT:
        """Return a store on the database of `raw`."""
        raise NotImplementedError

    def rows(self, raw: Any, sql: str) -> list[tuple[Any, ...]]:
        raise NotImplementedError

    @pytest.mark.parametrize(
        "table_name",
        ["", "1a", "a-b", "a b", "main.a", 'a"; DROP TABLE b; --', "a`; DROP TABLE b; --", "ä", "a\n"],
    )
    def test_a_table_name_that_is_not_an_identifier_is_refused(self, table_name: str) -> None:
        with pytest.raises(ValueError, match="letters, digits and underscores"):
            self.store_type(table_name=table_name)

    @pytest.mark.parametrize("table_name", ["select", "Table1", "_", "order"])
    async def test_a_table_name_may_be_an_sql_keyword(self, raw: Any, path: Path, table_name: str) -> None:
        async with self.open(raw, path, table_name=table_name) as store:
            await store.put("a", {"n": 1})
        assert self.rows(raw, f'SELECT key FROM "{table_name}"') == [("a",)]  # noqa: S608 — our own name

    def test_a_constructor_opens_nothing(self, tmp_path: Path) -> None:
        self.store_type(database_path=tmp_path / "database")
        assert list(tmp_path.iterdir()) == []

    async def test_a_seed_is_stored_once(self, path: Path) -> None:
        store = self.store_type(database_path=path, seed={"users": {"ada": {"n": 1}}})
        assert await store.get("ada", collection="users") == {"n": 1}
        await store.put("ada", {"n": 2}, collection="users")
        await store.close()
        assert await store.get("ada", collection="users") == {"n": 2}
        await store.close()

    async def test_a_missing_table_is_named_if_it_may_not_be_created(self, raw: Any, path: Path) -> None:
        store = self.open(raw, path, auto_create=False)
        with pytest.raises(
            StoreSetupError, match=r"'kv_entries' .* does not exist; create it, or pass auto_create=True"
        ):
            await store.get("a")
        async with self.open(raw, path) as creator:
            await creator.setup()
        await store.put("a", {"n": 1})
        assert await store.get("a") == {"n": 1}
        await store.close()

    @pytest.mark.parametrize("query", ["", "?table_name=sessions"])
    def test_a_url_without_a_path_is_in_memory(self, monkeypatch: pytest.MonkeyPatch, query: str) -> None:
        self.check_shown(monkeypatch, query, ":memory:")

    def test_a_url_with_an_invalid_table_name_is_refused(self) -> None:
        with pytest.raises(ValueError, match="letters, digits and underscores"):
            self.store_type.from_url(f"{self.scheme}://entries?table_name=a-b")
