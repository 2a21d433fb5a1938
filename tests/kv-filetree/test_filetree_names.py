"""Names and their files: spelling, and no file outside the tree."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from key_value.aio.core.sanitization import (
    AlwaysHashStrategy,
    HybridSanitizationStrategy,
    PassthroughStrategy,
    SanitizationStrategy,
)
from key_value.aio.errors import InvalidKeyError, KeyValueStoreError
from key_value.aio.stores.filetree import (
    FileTreeStore,
    FileTreeV1CollectionSanitizationStrategy,
    FileTreeV1KeySanitizationStrategy,
)
from key_value.aio.testing.names import NASTY_NAMES
from typing_extensions import override

if TYPE_CHECKING:
    from pathlib import Path

LONG = "n" * 300


def stored(tree: Path) -> set[str]:
    """Return every file, relative to the tree."""
    return {path.relative_to(tree).as_posix() for path in tree.rglob("*") if path.is_file()}


class ConstantStrategy(SanitizationStrategy):
    """Returns the same stored name for every name."""

    def __init__(self, stored: str) -> None:
        self._stored = stored

    @override
    def sanitize(self, value: str) -> str:
        return self._stored


# The strategies of format v1, against names from py-key-value-aio 0.5.0


@pytest.mark.parametrize(
    ("name", "stored_name"),
    [
        ("alice", "alice"),
        ("höme/é 🌍", "S_h_me_-960c5b71"),
        ("a::b", "S_a_b-78f0be89"),
        ("https://example.com/client?id=1#x", "S_https_example_com_client_id_1_x-074bbb06"),
        ("S_", "S_"),
        ("H_a", "H_a"),
        ("S_a b", "S_S_a_b-0c543c7e"),
        ("H_a b", "S_H_a_b-b1148de6"),
        ("S_a-12345678", "S_S_a_12345678-d8b36354"),
        ("-a-", "S__a_-a75a468f"),
        ("éééééééééé", "S_-c229567b"),
        ("..", "S_-5ec1f7e7"),
        ("a.b", "S_a_b-2e7336dc"),
    ],
)
def test_a_v1_strategy_returns_the_same_names_as_earlier_versions(name: str, stored_name: str) -> None:
    assert FileTreeV1KeySanitizationStrategy("/tmp").sanitize(name) == stored_name  # noqa: S108 — it is not accessed
    assert FileTreeV1CollectionSanitizationStrategy(directory="x").sanitize(name) == stored_name


@pytest.mark.parametrize(
    ("strategy", "longest"),
    [(FileTreeV1KeySanitizationStrategy("."), 250), (FileTreeV1CollectionSanitizationStrategy("."), 245)],
)
def test_a_v1_strategy_leaves_room_for_the_suffix(strategy: HybridSanitizationStrategy, longest: int) -> None:
    assert strategy.sanitize("a" * longest) == "a" * longest
    assert strategy.sanitize("a" * 400) == "S_" + "a" * (longest - 11) + "-abd5e54b"
    assert len(strategy.sanitize("a/" * 400)) == longest


def test_a_v1_strategy_restores_the_names_that_it_kept_unchanged() -> None:
    strategy = FileTreeV1KeySanitizationStrategy(".")
    assert strategy.try_unsanitize("S_alice") == "S_alice"
    assert strategy.try_unsanitize("S_a_b-78f0be89") is None


# The default


@pytest.mark.parametrize(
    ("name", "stored_name"),
    [
        ("alice", "alice"),
        ("Alice é 🌍", "Alice é 🌍"),
        ("mcp:oauth", "mcp:oauth"),
        ("a.json", "a.json"),
        ("a%b", "a%b"),
        ("a/b", "a%2Fb"),
        ("../../etc/passwd", "%2E.%2F..%2Fetc%2Fpasswd"),
        ("a\\b", "a%5Cb"),
        ("a\nb\0", "a%0Ab%00"),
        (".hidden", "%2Ehidden"),
        ("a%2Fb", "a%252Fb"),
    ],
)
async def test_only_names_that_would_leave_the_directory_are_escaped(
    tmp_path: Path, name: str, stored_name: str
) -> None:
    async with FileTreeStore(data_directory=tmp_path) as store:
        await store.put(name, {"a": 1}, collection="shelf")
        await store.put("key", {"a": 1}, collection=name)
    assert stored(tmp_path) == {
        f"shelf/{stored_name}.json",
        f"{stored_name}/key.json",
        "shelf-info.json",
        f"{stored_name}-info.json",
    }


@pytest.mark.parametrize(
    ("name", "stored_name"),
    [
        ("alice", "alice"),
        ("Alice", "%41lice"),
        ("é", "%C3%A9"),
        ("mcp:oauth", "mcp%3Aoauth"),
        ('<>"|?*', "%3C%3E%22%7C%3F%2A"),
        ("con", "%63on"),
        ("com1.txt", "%63om1.txt"),
        ("nul .txt", "%6Eul .txt"),
        ("conin$", "%63onin$"),
        ("contact", "contact"),
        ("a.", "a%2E"),
        ("a ", "a%20"),
        ("longna~1", "longna%7E1"),
        ("..", "%2E%2E"),
    ],
)
async def test_portable_names_are_legal_on_every_platform(tmp_path: Path, name: str, stored_name: str) -> None:
    async with FileTreeStore(data_directory=tmp_path, portable_names=True) as store:
        await store.put(name, {"a": 1}, collection="shelf")
        await store.put("key", {"a": 1}, collection=name)
    assert {f"shelf/{stored_name}.json", f"{stored_name}/key.json", f"{stored_name}-info.json"} < stored(tmp_path)


@pytest.mark.parametrize("portable", [False, True])
async def test_every_file_of_every_name_is_in_its_collection(tmp_path: Path, portable: bool) -> None:  # noqa: FBT001
    tree = tmp_path / "tree"
    async with FileTreeStore(data_directory=tree, portable_names=portable) as store:
        for name in NASTY_NAMES:
            await store.put(name, {"a": 1}, collection="shelf")
            await store.put("key", {"a": 1}, collection=name)
    assert all(path.startswith("tree/") for path in stored(tmp_path))
    depths = {path.count("/") for path in stored(tree) if not path.endswith("-info.json")}
    assert depths <= {0, 1}
    assert len(list((tree / "shelf").iterdir())) == len(NASTY_NAMES)
    assert len([path for path in tree.iterdir() if path.is_dir()]) == len(NASTY_NAMES) + 1


async def test_a_name_that_is_too_long_ends_in_its_hash_and_is_found_and_listed(tmp_path: Path) -> None:
    async with FileTreeStore(data_directory=tmp_path) as store:
        await store.put_many([LONG, LONG + "m"], [{"n": 1}, {"n": 2}], collection=LONG)
        assert await store.get_many([LONG, LONG + "m"], collection=LONG) == [{"n": 1}, {"n": 2}]
        assert sorted(await store.keys(LONG)) == [LONG, LONG + "m"]
        assert await store.collections() == [LONG]
    assert all(len(name) <= 255 for path in stored(tmp_path) for name in path.split("/"))


async def test_an_entry_under_the_hash_of_another_key_is_never_returned(tmp_path: Path) -> None:
    async with FileTreeStore(data_directory=tmp_path) as store:
        await store.put(LONG, {"n": 1}, collection="shelf")
        (file,) = (tmp_path / "shelf").iterdir()
        file.write_text(file.read_text().replace(LONG, LONG[1:] + "m"))
        assert await store.get(LONG, collection="shelf") is None
        assert await store.keys("shelf") == []


async def test_a_collection_may_be_named_like_the_information_about_another(tmp_path: Path) -> None:
    async with FileTreeStore(data_directory=tmp_path) as store:
        for number, name in enumerate(["users-info.json", "users", "users-info"]):
            await store.put("key", {"n": number}, collection=name)
        found = [await store.get("key", collection=name) for name in ("users-info.json", "users", "users-info")]
        assert found == [{"n": 0}, {"n": 1}, {"n": 2}]
        assert sorted(await store.collections()) == ["users", "users-info", "users-info.json"]


async def test_a_collection_may_be_named_like_the_metadata_directory(tmp_path: Path) -> None:
    async with FileTreeStore(data_directory=tmp_path, metadata_directory=tmp_path / "Meta") as store:
        for name in ("Meta", "meta", "other"):
            await store.put("key", {"name": name}, collection=name)
        assert sorted(await store.collections()) == ["Meta", "meta", "other"]
        assert await store.keys("Meta") == ["key"]
        assert await store.destroy() is True
    assert stored(tmp_path) == set()


# Strategies of the user


@pytest.mark.parametrize("name", ["../x", "a/b", "/etc/passwd", "..", ".", "", "a\\b", "a\0b", "x" * 251])
async def test_a_strategy_cannot_name_a_file_outside_the_collection(tmp_path: Path, name: str) -> None:
    tree = tmp_path / "tree"
    for store in (
        FileTreeStore(data_directory=tree, key_sanitization_strategy=ConstantStrategy(name)),
        FileTreeStore(data_directory=tree, collection_sanitization_strategy=ConstantStrategy(name)),
    ):
        for call in (store.put("key", {"a": 1}), store.get("key"), store.delete("key"), store.put_many(["key"], [{}])):
            with pytest.raises(InvalidKeyError):
                await call
    assert not tree.exists()


async def test_a_strategy_cannot_name_a_directory_like_a_file_of_the_tree(tmp_path: Path) -> None:
    store = FileTreeStore(data_directory=tmp_path, collection_sanitization_strategy=ConstantStrategy("users-info.json"))
    with pytest.raises(InvalidKeyError):
        await store.put("key", {"a": 1})


async def test_a_passthrough_strategy_is_the_default(tmp_path: Path) -> None:
    passthrough = PassthroughStrategy()
    async with FileTreeStore(
        data_directory=tmp_path,
        key_sanitization_strategy=passthrough,
        collection_sanitization_strategy=passthrough,
    ) as store:
        await store.put("../key", {"a": 1}, collection="..")
        assert (await store.keys(".."), await store.collections()) == (["../key"], [".."])
    assert stored(tmp_path) == {"%2E./%2E.%2Fkey.json", "%2E.-info.json"}


async def test_names_hashed_by_a_strategy_are_listed(tmp_path: Path) -> None:
    hashes = AlwaysHashStrategy()
    async with FileTreeStore(
        data_directory=tmp_path, key_sanitization_strategy=hashes, collection_sanitization_strategy=hashes
    ) as store:
        await store.put_many(["one", "two"], [{"n": 1}, {"n": 2}], collection="shelf")
        assert sorted(await store.keys("shelf")) == ["one", "two"]
        assert await store.collections() == ["shelf"]


async def test_two_keys_with_the_same_stored_name_are_never_confused(tmp_path: Path) -> None:
    async with FileTreeStore(data_directory=tmp_path, key_sanitization_strategy=ConstantStrategy("same")) as store:
        await store.put("one", {"n": 1})
        await store.put("two", {"n": 2})
        assert await store.get_many(["one", "two"]) == [None, {"n": 2}]


async def test_listing_fails_for_an_entry_with_an_unknown_name(tmp_path: Path) -> None:
    (tmp_path / "users").mkdir()
    file = tmp_path / "users" / "S_a_b-c14cddc0.json"
    file.write_text('{"version": 1, "created_at": "2026-11-23T09:03:14+00:00", "value": {"n": 1}}')
    async with FileTreeStore(
        data_directory=tmp_path, key_sanitization_strategy=FileTreeV1KeySanitizationStrategy(tmp_path)
    ) as store:
        with pytest.raises(KeyValueStoreError, match=r"S_a_b-c14cddc0\.json"):
            await store.keys("users")
        assert await store.get("a/b", collection="users") == {"n": 1}
        await store.put("a/b", {"n": 2}, collection="users")
        assert await store.keys("users") == ["a/b"]


# File systems


async def test_names_that_a_file_system_confuses_are_kept_apart(folding_directory: Path) -> None:
    async with FileTreeStore(data_directory=folding_directory) as store:
        for number, name in enumerate(NASTY_NAMES):
            await store.put(name, {"n": number}, collection="shelf")
            await store.put("key", {"n": number}, collection=name)
        for number, name in enumerate(NASTY_NAMES):
            assert await store.get(name, collection="shelf") == {"n": number}
            assert await store.get("key", collection=name) == {"n": number}
        assert sorted(await store.keys("shelf")) == sorted(NASTY_NAMES)
        assert sorted(await store.collections()) == sorted([*NASTY_NAMES, "shelf"])


async def test_an_entry_is_not_returned_for_a_key_that_the_file_system_confuses_with_its_own(
    folding_directory: Path,
) -> None:
    async with FileTreeStore(
        data_directory=folding_directory, key_sanitization_strategy=FileTreeV1KeySanitizationStrategy(".")
    ) as store:
        await store.put("alice", {"n": 1})
        await store.put("Alice", {"n": 2})
        assert await store.get_many(["alice", "Alice"]) == [None, {"n": 2}]


async def test_a_tree_with_portable_names_is_read_and_replaced_with_exact_ones(
    tmp_path: Path,
) -> None:
    async with FileTreeStore(data_directory=tmp_path / "old", portable_names=True) as store:
        await store.put("Alice é", {"n": 1}, collection="Users")
    (tmp_path / "old").rename(tmp_path / "new")
    async with FileTreeStore(data_directory=tmp_path / "new") as store:
        assert await store.get("Alice é", collection="Users") == {"n": 1}
        await store.put("Alice é", {"n": 2}, collection="Users")
        assert await store.keys("Users") == ["Alice é"]
        assert await store.collections() == ["Users"]


async def test_a_tree_with_exact_names_is_read_replaced_and_emptied_with_portable_ones(tmp_path: Path) -> None:
    names = ["alice", "Alice", "a/B", "../x", LONG]
    async with FileTreeStore(data_directory=tmp_path) as store:
        for name in names:
            await store.put_many(names, [{"n": 1}] * len(names), collection=name)
    async with FileTreeStore(data_directory=tmp_path, portable_names=True) as store:
        assert sorted(await store.collections()) == sorted(names)
        for name in names:
            assert await store.get_many(names, collection=name) == [{"n": 1}] * len(names)
            await store.put(names[1], {"n": 2}, collection=name)
            assert sorted(await store.keys(name)) == sorted(names)
            assert await store.get(names[1], collection=name) == {"n": 2}
            assert await store.delete_many(names, collection=name) == len(names)
            assert await store.keys(name) == []
