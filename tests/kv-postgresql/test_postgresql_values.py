"""Values that JSONB would change or refuse, and names too long for an index."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.stores.postgresql import PostgreSQLStore

if TYPE_CHECKING:
    from conftest import Raw

# Values


def exact(value: object) -> str:
    """Return a text that distinguishes 1 from 1.0 and 0.0 from -0.0."""
    return json.dumps(value, sort_keys=True)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"n": 1e22}, '{"n": 10000000000000000000000.0}'),
        ({"n": -1.5e16}, '{"n": -15000000000000000.0}'),
        ({"n": 1e15}, '{"n": 1000000000000000.0}'),
        ({"n": 1e-7}, '{"n": 0.0000001}'),
        ({"n": 10**30}, '{"n": 1000000000000000000000000000000}'),
        ({"token": "3e5-1E9", "n": 2}, '{"n": 2, "token": "3e5-1E9"}'),
        ({'"3e5': "\\\\", "n": 1e16}, '{"n": 10000000000000000.0, "\\"3e5": "\\\\\\\\"}'),
        ({"n": -0.05}, '{"n": -0.05}'),
        ({"path": "C:\\u0000"}, '{"path": "C:\\\\u0000"}'),
    ],
)
async def test_a_value_is_stored_as_json_readable_by_sql_and_other_programs(
    url: str, raw: Raw, value: Any, text: str
) -> None:
    async with PostgreSQLStore(url=url, table_name="kv_test") as store:
        for put in (lambda: store.put("a", value), lambda: store.put_many(["a"], [value])):
            await put()
            assert await raw.value("SELECT value::text FROM kv_test") == text
            assert exact(await store.get("a")) == exact(value)


@pytest.mark.parametrize("number", [-0.0, 1.7976931348623157e308, -1e300, 5e-324, 2.2250738585072014e-308, 0.1 + 0.2])
async def test_a_float_is_restored_exactly_including_its_sign(url: str, raw: Raw, number: float) -> None:
    assert raw.url == url
    async with PostgreSQLStore(url=url, table_name="kv_test") as store:
        await store.put("a", {"n": number, "texts": ["-0.0", "1e400"]})
        found = await store.get("a")
        assert found is not None
        assert found["n"].hex() == number.hex()
        assert found["texts"] == ["-0.0", "1e400"]


async def test_a_value_with_nul_is_stored_as_a_string_that_contains_the_object(url: str, raw: Raw) -> None:
    value = {"\0": ["a\0b", "\\u0000", "\\\0"], "n": 1e22, "zero": -0.0}
    async with PostgreSQLStore(url=url, table_name="kv_test") as store:
        await store.put("a", value)
        assert await raw.value("SELECT jsonb_typeof(value) FROM kv_test") == "string"
        assert exact(await store.get("a")) == exact(value)


async def test_a_row_written_by_sql_is_an_entry(url: str, raw: Raw) -> None:
    async with PostgreSQLStore(url=url, table_name="kv_test", default_collection="c") as store:
        await raw.fetch("""INSERT INTO kv_test (collection, key, value) VALUES ('c', 'a', '{"n": [1, 2.50]}')""")
        await raw.fetch("INSERT INTO kv_test VALUES ('c', 'b', '{}', NULL, NULL, 'infinity')")
        await raw.fetch("INSERT INTO kv_test VALUES ('c', 'c', '{}', NULL, NULL, '-infinity')")
        assert await store.ttl("a") == ({"n": [1, 2.5]}, None)
        assert await store.get_many(["b", "c"]) == [{}, None]
        assert await store.keys() == ["a", "b"]


# Names


LONG = ["n" * 2001, "é" * 1100, "n" * 65_536, "\0" * 3000, "\U0010ffff" * 16_384, "\0\uffff" * 600]


@pytest.mark.parametrize("name", LONG, ids=lambda name: f"{name[:2]!r} {len(name)}")
async def test_a_name_too_long_for_an_index_is_found_and_listed(url: str, raw: Raw, name: str) -> None:
    assert raw.url == url
    async with PostgreSQLStore(url=url, table_name="kv_test", default_collection=name) as store:
        await store.put_many([name, f"{name[:-1]}x", "short"], [{"n": 1}, {"n": 2}, {"n": 3}])
        assert await store.get_many([name, f"{name[:-1]}x", "short"]) == [{"n": 1}, {"n": 2}, {"n": 3}]
        assert sorted(await store.keys()) == sorted([name, f"{name[:-1]}x", "short"])
        assert (await store.scan(prefix=name)).keys == [name]
        assert len((await store.scan(prefix=name[:-1])).keys) == 2
        assert len((await store.scan(prefix=name[:50])).keys) == 2
        assert await store.collections() == [name]
        version = (await store.get_versioned(name)).version
        assert version is not None
        assert await store.put_if_version(name, {"n": 4}, version) is True
        assert await store.delete_many([name, "short"]) == 2
        assert await store.destroy_collection(name) is True
        assert await raw.value("SELECT count(*) FROM kv_test") == 0


@pytest.mark.parametrize("name", ["a", "a::b", "é" * 1000, "n" * 2000, "\ufffe", " "])
async def test_a_name_that_fits_an_index_is_stored_unchanged(url: str, raw: Raw, name: str) -> None:
    async with PostgreSQLStore(url=url, table_name="kv_test") as store:
        await store.put(name, {"n": 1})
        assert await raw.value("SELECT key FROM kv_test") == name


async def test_no_two_names_collide(url: str, raw: Raw) -> None:
    names = ["\0", "\uffff", "\uffff0", "\uffff1", "\uffff#", "0", "#", "\0\0", "\uffff\0", "\0\uffff", "\uffff00"]
    async with PostgreSQLStore(url=url, table_name="kv_test") as store:
        await store.put_many(names, [{"name": name} for name in names])
        assert await store.get_many(names) == [{"name": name} for name in names]
        assert sorted(await store.keys()) == sorted(names)
        assert await raw.value("SELECT count(*) FROM kv_test") == len(names)
        for prefix in ("\0", "\uffff", "\uffff0"):
            found = (await store.scan(prefix=prefix)).keys
            assert sorted(found) == sorted(name for name in names if name.startswith(prefix))
