"""Clients created by FirestoreStore or passed in: their lifetimes, and forks."""

from __future__ import annotations

import asyncio
import gc
import sys
from typing import TYPE_CHECKING, Any

import pytest
from google.cloud import firestore
from key_value.aio.errors import StoreSetupError
from key_value.aio.stores.firestore import FirestoreStore
from key_value.aio.testing.contract import eventually
from workspace import run

from .conftest import Credentials

if TYPE_CHECKING:
    from .conftest import Raw

Firestore: Any = firestore  # its clients are untyped


def test_a_synchronous_client_is_refused() -> None:
    client: Any = Firestore.Client(project="p", credentials=Credentials())
    with pytest.raises(TypeError, match=r"client must be google\..*AsyncClient, not google.*\.Client"):
        FirestoreStore(client)


async def test_a_client_that_was_passed_in_is_used_and_not_closed(raw: Raw) -> None:
    client = raw.async_client()
    async with FirestoreStore(client) as store:
        await store.put("key", {"n": 1})
        assert await store.get_many(["key", "absent"]) == [{"n": 1}, None]
        assert await store.keys() == ["key"]
        assert await store.collections() == ["default_collection"]
        version = (await store.get_versioned("key")).version
        assert await store.put_if_version("key", {"n": 2}, version) is True
        assert await store.delete_many(["key"]) == 1
    assert not (await client.document("default_collection", "key").get()).exists
    await store.put("key", {"n": 3})
    assert (await client.document("default_collection", "key").get()).exists
    await client._firestore_api.transport.close()  # noqa: SLF001 — the client has no other way to close
    with pytest.raises(StoreSetupError, match="has been closed"):
        await store.get("key")


async def test_credentials_that_were_passed_in_are_used(raw: Raw, place: dict[str, Any]) -> None:
    async with FirestoreStore(**place, credentials=Credentials()) as store:
        await store.put("key", {"n": 1})
    assert raw.ids() == [("default_collection", "key")]


async def test_closing_ends_the_connection_and_the_next_use_opens_another(raw: Raw) -> None:
    begun = ended = 0

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while octets := await reader.read(65_536):
            writer.write(octets)
        writer.close()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal begun, ended
        begun += 1
        host, _, port = raw.address.rpartition(":")
        server = await asyncio.open_connection(host, int(port))
        await asyncio.gather(pump(reader, server[1]), pump(server[0], writer), return_exceptions=True)
        ended += 1

    async with await asyncio.start_server(forward, "127.0.0.1") as proxy:
        port = proxy.sockets[0].getsockname()[1]
        store = FirestoreStore(project=raw.project, emulator_host=f"127.0.0.1:{port}")
        for number in range(1, 4):
            await store.put("key", {"n": number})
            assert await store.get("key") == {"n": number}
            assert (begun, ended) == (number, number - 1)
            await store.close()

            async def has_ended(number: int = number) -> bool:
                return ended == number

            assert await eventually(has_ended, within=60)


def test_a_client_ends_with_its_event_loop(store: FirestoreStore) -> None:
    for number in range(3):
        asyncio.run(store.put("key", {"n": number}))
        assert asyncio.run(store.get("key")) == {"n": number}
    gc.collect()


FORKING = """
import asyncio, os, signal, sys, threading
from key_value.aio.errors import StoreSetupError
from key_value.aio.stores.firestore import FirestoreStore

kind, place = sys.argv[1], dict(project=sys.argv[2], emulator_host=sys.argv[3])
store = FirestoreStore(**place)

def use_in_child(run):
    child = os.fork()
    if child == 0:
        # Only a child that hangs meets it.
        signal.alarm(120)
        try:
            run()
        except StoreSetupError as exc:
            print("refused" if "fork" in str(exc) else str(exc), flush=True)
        else:
            print("used", flush=True)
        sys.exit()
    assert os.waitpid(child, 0)[1] == 0

if kind == "unused":
    use_in_child(lambda: asyncio.run(store.put("child", {"n": 1})))
elif kind == "running loop":
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    asyncio.run_coroutine_threadsafe(store.put("parent", {"n": 1}), loop).result()
    use_in_child(lambda: asyncio.run(store.get("parent")))
    assert asyncio.run_coroutine_threadsafe(store.get("parent"), loop).result() == {"n": 1}
else:
    asyncio.run(store.put("parent", {"n": 1}))
    used = FirestoreStore(**place) if kind == "other store" else store
    use_in_child(lambda: asyncio.run(used.get("parent")))
asyncio.run(store.put("after", {"n": 1}))
asyncio.run(store.close())
print("parent", flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
@pytest.mark.parametrize(
    ("kind", "told"),
    [("unused", "used"), ("same store", "refused"), ("other store", "refused"), ("running loop", "refused")],
)
def test_a_child_has_a_client_of_its_own_unless_its_parent_has_used_one(raw: Raw, kind: str, told: str) -> None:
    printed = run(sys.executable, "-W", "ignore", "-c", FORKING, kind, raw.project, raw.address)
    # gRPC prints in the child that it does not handle the fork.
    assert [line for line in printed.splitlines() if "fork_posix" not in line] == [told, "parent"]
