"""Creation, required shape and required privileges of the table."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from key_value.aio.errors import StoreConnectionError, StoreSetupError
from key_value.aio.stores.postgresql import PostgreSQLStore
from workspace import run

if TYPE_CHECKING:
    from conftest import Raw

PASSWORD = "pass-of-app"  # noqa: S105 — a role of the test
PRIVILEGES = ("SELECT", "INSERT", "UPDATE", "DELETE")

# The statement with which py-key-value-aio 0.5 creates the table.
PREDECESSOR_TABLE = """
CREATE TABLE kv_test (collection TEXT NOT NULL, key TEXT NOT NULL, value JSONB NOT NULL, ttl DOUBLE PRECISION,
    created_at TIMESTAMPTZ, expires_at TIMESTAMPTZ, PRIMARY KEY (collection, key))
"""


_CREATE_APP = f"""
DO $$ BEGIN
    CREATE ROLE app LOGIN PASSWORD '{PASSWORD}'; EXCEPTION WHEN duplicate_object THEN NULL;
END $$
"""


@pytest.fixture
def app(url: str, raw: Raw) -> str:
    """The URL of a user without any privilege."""
    raw.run("DROP SCHEMA IF EXISTS kv_schema CASCADE", _CREATE_APP, "DROP OWNED BY app CASCADE")
    place = urlsplit(url)
    return f"postgresql://app:{PASSWORD}@{place.hostname}:{place.port}{place.path}"


async def use_everything(store: PostgreSQLStore) -> None:
    """Run every statement of the store."""
    await store.setup()
    await store.put("a", {"n": 1})
    await store.put_many(["b", "c"], [{"n": 2}] * 2, ttl=1000)
    assert await store.get("a") == {"n": 1}
    assert await store.get_many(["b", "d"]) == [{"n": 2}, None]
    assert await store.put_if_absent("a", {"n": 2}) is False
    version = (await store.get_versioned("a")).version
    assert version is not None
    assert await store.put_if_version("a", {"n": 3}, version) is True
    assert await store.delete_if_version("a", version) is False
    assert await store.delete("a") is True
    assert await store.delete_many(["b"]) == 1
    assert await store.keys() == ["c"]
    assert await store.collections() == ["default_collection"]
    await store.cull()
    assert await store.destroy_collection("default_collection") is True
    assert await store.destroy() is True


# Creation


async def test_stores_starting_concurrently_create_one_table(url: str, raw: Raw) -> None:
    for _ in range(5):
        await raw.fetch("DROP TABLE IF EXISTS kv_test")
        stores = [PostgreSQLStore(url=url, table_name="kv_test", max_connections=1) for _ in range(12)]
        await asyncio.gather(*(store.put(f"{number}", {"n": number}) for number, store in enumerate(stores)))
        assert len(await stores[0].keys()) == 12
        await asyncio.gather(*(store.close() for store in stores))
        sql = "SELECT string_agg(indexname, ' ' ORDER BY indexname) FROM pg_indexes WHERE tablename = 'kv_test'"
        indexes = await raw.value(sql)
        assert indexes == "idx_kv_test_expires_at kv_test_pkey"


def test_processes_starting_concurrently_create_one_table(url: str, raw: Raw) -> None:
    program = f"""
import asyncio, os, sys
from key_value.aio.stores.postgresql import PostgreSQLStore

async def main(name):
    async with PostgreSQLStore(url={url!r}, table_name="kv_test") as store:
        await store.put(name, {{"n": 1}})

children = []
for number in range(4):
    child = os.fork()
    if not child:
        asyncio.run(main(str(number)))
        os._exit(0)
    children.append(child)
print([os.waitpid(child, 0)[1] for child in children])
"""
    assert run(sys.executable, "-c", program) == "[0, 0, 0, 0]\n"
    assert asyncio.run(raw.value("SELECT count(*) FROM kv_test")) == 4


async def test_a_table_of_a_schema_is_found_by_both_names(url: str, raw: Raw) -> None:
    await raw.fetch("DROP SCHEMA IF EXISTS kv_schema CASCADE")
    await raw.fetch("CREATE SCHEMA kv_schema")
    async with PostgreSQLStore(url=url, table_name="kv_schema.Select") as store:
        await use_everything(store)
        await store.put("a", {"n": 1})
    assert await raw.value('SELECT key FROM kv_schema."Select"') == "a"


@pytest.mark.parametrize(
    "name", ["", " ", "a b", "1a", 'a"', "a;b", "a.b.c", ".a", "a.", "a" * 64, "é", "a\0", "a\n"], ids=repr
)
def test_an_invalid_table_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="table_name must be"):
        PostgreSQLStore(table_name=name)


async def test_a_missing_table_is_created_only_with_auto_create(url: str, raw: Raw) -> None:
    assert raw.url == url
    store = PostgreSQLStore(url=url, table_name="kv_test", auto_create=False)
    with pytest.raises(StoreSetupError, match=r"kv_test does not exist; create it, or pass auto_create=True"):
        await store.get("a")
    await raw.fetch(PREDECESSOR_TABLE)
    assert await store.get("a") is None
    await store.close()


async def test_setup_recreates_a_dropped_table(url: str, raw: Raw) -> None:
    async with PostgreSQLStore(url=url, table_name="kv_test") as store:
        await store.put("a", {"n": 1})
        await raw.fetch("DROP TABLE kv_test")
        with pytest.raises(StoreSetupError, match="does not exist any more"):
            await store.get("a")
        await store.setup()
        assert await store.get("a") is None


# Required shape


@pytest.mark.parametrize(
    ("create", "reason"),
    [
        ("CREATE TABLE kv_test (key TEXT PRIMARY KEY, value JSONB)", "columns .*'collection'.*are missing"),
        (PREDECESSOR_TABLE.replace("JSONB", "JSON"), r"columns \['value'\] are missing or of another type"),
        (PREDECESSOR_TABLE.replace(", PRIMARY KEY (collection, key)", ""), "no primary key"),
        (PREDECESSOR_TABLE.replace("PRIMARY KEY (collection, key)", "PRIMARY KEY (key)"), "no primary key"),
        ("CREATE VIEW kv_test AS SELECT 1 AS key", "is not a table"),
    ],
)
async def test_a_table_with_a_different_shape_is_a_setup_error(url: str, raw: Raw, create: str, reason: str) -> None:
    await raw.fetch(create)
    store = PostgreSQLStore(url=url, table_name="kv_test")
    with pytest.raises(StoreSetupError, match=reason):
        await store.get("a")
    await store.close()
    await raw.fetch("DROP VIEW kv_test" if "VIEW" in create else "DROP TABLE kv_test")


async def test_a_database_with_another_encoding_is_a_setup_error(url: str, raw: Raw) -> None:
    await raw.fetch("DROP DATABASE IF EXISTS kv_latin1")
    await raw.fetch("CREATE DATABASE kv_latin1 ENCODING LATIN1 TEMPLATE template0 LOCALE 'C'")
    store = PostgreSQLStore(url=urlsplit(url)._replace(path="/kv_latin1").geturl())
    with pytest.raises(StoreSetupError, match="encoding LATIN1"):
        await store.get("a")
    await store.close()


async def test_all_keys_are_listed_under_a_linguistic_collation(url: str, raw: Raw) -> None:
    await raw.fetch("DROP DATABASE IF EXISTS kv_english")
    await raw.fetch("CREATE DATABASE kv_english TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US' LOCALE 'C'")
    english = urlsplit(url)._replace(path="/kv_english").geturl()
    elsewhere = type(raw)(english)
    await elsewhere.fetch(PREDECESSOR_TABLE)
    keys = [
        "a",
        "A",
        "b",
        "B",
        "ä",
        "a b",
        "a-b",
        "ab",
        "aB",
        "_",
        "\n",
        "é",
        "e\u0301",
        "z",
        "Z",
        "\U0010ffff",
        "a\0b",
    ]
    async with PostgreSQLStore(url=english, table_name="kv_test") as store:
        await store.put_many(keys, [{"n": 1}] * len(keys))
        assert sorted(await pages(store, "")) == sorted(keys)
        assert sorted(await pages(store, "a")) == sorted(key for key in keys if key.startswith("a"))
        assert sorted(await pages(store, "\U0010ffff")) == ["\U0010ffff"]
        await store.put("x", {"n": 1}, collection="Other")
        assert sorted(await store.collections()) == ["Other", "default_collection"]
        assert await store.destroy_collection("default_collection") is True
        assert await store.collections() == ["Other"]
        await store.destroy()
        assert await elsewhere.value("SELECT count(*) FROM kv_test") == 0


async def pages(store: PostgreSQLStore, prefix: str) -> list[str]:
    keys: list[str] = []
    cursor = None
    while True:
        page = await store.scan(prefix=prefix, cursor=cursor, limit=2)
        keys += page.keys
        cursor = page.cursor
        if cursor is None:
            return keys


# Privileges


async def test_the_documented_privileges_suffice(app: str, raw: Raw) -> None:
    await raw.fetch(PREDECESSOR_TABLE)
    await raw.fetch(f"GRANT {', '.join(PRIVILEGES)} ON kv_test TO app")
    async with PostgreSQLStore(url=app, table_name="kv_test") as store:
        await use_everything(store)


async def test_the_documented_privileges_suffice_to_create_the_table(app: str, raw: Raw) -> None:
    await raw.fetch("CREATE SCHEMA kv_schema")
    await raw.fetch("GRANT USAGE, CREATE ON SCHEMA kv_schema TO app")
    async with PostgreSQLStore(url=app, table_name="kv_schema.kv_test") as store:
        await use_everything(store)


@pytest.mark.parametrize("missing", PRIVILEGES)
async def test_setup_reports_which_privilege_is_missing(app: str, raw: Raw, missing: str) -> None:
    await raw.fetch(PREDECESSOR_TABLE)
    await raw.fetch(f"GRANT {', '.join(each for each in PRIVILEGES if each != missing)} ON kv_test TO app")
    store = PostgreSQLStore(url=app, table_name="kv_test")
    with pytest.raises(StoreSetupError, match=rf"the user app lacks {missing} on it") as refusal:
        await store.setup()
    assert PASSWORD not in f"{refusal.value!r}"
    await store.close()


async def test_an_operation_denied_to_the_user_is_a_setup_error(app: str, raw: Raw) -> None:
    await raw.fetch(PREDECESSOR_TABLE)
    await raw.fetch("GRANT SELECT ON kv_test TO app")
    store = PostgreSQLStore(url=app, table_name="kv_test")
    assert await store.get("a") is None
    with pytest.raises(StoreSetupError, match="lacks a required right"):
        await store.put("a", {"n": 1})
    await store.close()


async def test_a_missing_privilege_to_create_the_table_is_reported(app: str, raw: Raw) -> None:
    await raw.fetch("CREATE SCHEMA kv_schema")
    await raw.fetch("GRANT USAGE ON SCHEMA kv_schema TO app")
    for name in ("kv_test", "kv_schema.kv_test"):
        store = PostgreSQLStore(url=app, table_name=name)
        with pytest.raises(StoreSetupError, match=f"{name} does not exist, and this user has no right to create it"):
            await store.setup()
        await store.close()


async def test_a_read_only_server_is_reported_by_setup(app: str, raw: Raw) -> None:
    await raw.fetch(PREDECESSOR_TABLE)
    await raw.fetch(f"GRANT {', '.join(PRIVILEGES)} ON kv_test TO app")
    store = PostgreSQLStore(url=f"{app}?default_transaction_read_only=on", table_name="kv_test")
    with pytest.raises(StoreConnectionError, match="read-only"):
        await store.setup()
    with pytest.raises(StoreConnectionError, match="read-only"):
        await store.put("a", {"n": 1})
    assert await store.get("a") is None
    await store.close()
