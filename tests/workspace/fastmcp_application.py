"""A FastMCP application on our packages. Arguments: the URL of a store on a server, and a directory."""

# FastMCP is installed where this runs but not where it is type-checked.
# pyright: reportMissingImports=false, reportUntypedFunctionDecorator=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownParameterType=false, reportUnknownVariableType=false

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet
from fastmcp import Client, Context, FastMCP
from fastmcp.client.auth.oauth import TokenStorageAdapter
from fastmcp.server.event_store import EventStore
from fastmcp.server.middleware.caching import ResponseCachingMiddleware
from key_value.aio.stores.filetree import (
    FileTreeStore,
    FileTreeV1CollectionSanitizationStrategy,
    FileTreeV1KeySanitizationStrategy,
)
from key_value.aio.stores.memory import MemoryStore
from key_value.aio.urls import open_store
from key_value.aio.wrappers.encryption import FernetEncryptionWrapper
from mcp.shared.auth import OAuthClientInformationFull, OAuthToken

SECRET = "token-hunter2"  # noqa: S105 — must not be readable on disk


def opened(url: str) -> Any:
    return open_store(url, require=("keys", "destroy"))


async def answer_from_the_cache(url: str) -> None:
    calls: list[int] = []
    async with opened(url) as store:
        middleware = ResponseCachingMiddleware(cache_storage=store)
        server: Any = FastMCP("cached", middleware=[middleware])

        @server.tool
        def double(number: int) -> dict[str, int]:
            calls.append(number)
            return {"twice": 2 * number}

        for _ in range(2):
            async with Client(server) as client:
                assert [tool.name for tool in await client.list_tools()] == ["double"]
                answer = await client.call_tool("double", {"number": 21})
                assert answer.data == {"twice": 42}, answer
        assert calls == [21], calls
        statistics = middleware.statistics()
        assert statistics.call_tool is not None
        assert (statistics.call_tool.get.hit, statistics.call_tool.get.miss) == (1, 1), statistics
        assert await store.destroy() is True


def texts_in(directory: Path) -> list[str]:
    return [path.read_text() for path in directory.rglob("*.json")]


async def keep_tokens_encrypted(directory: Path) -> None:
    files = FileTreeStore(
        data_directory=directory,
        key_sanitization_strategy=FileTreeV1KeySanitizationStrategy(directory),
        collection_sanitization_strategy=FileTreeV1CollectionSanitizationStrategy(directory),
    )
    for store in (files, MemoryStore()):
        encrypted = FernetEncryptionWrapper(
            key_value=store, fernet=Fernet(Fernet.generate_key()), raise_on_decryption_error=False
        )
        tokens = TokenStorageAdapter(encrypted, "https://example.com/mcp")
        assert await tokens.get_tokens() is None
        await tokens.set_tokens(OAuthToken(access_token=SECRET, expires_in=3600))
        await tokens.set_client_info(
            OAuthClientInformationFull.model_validate(
                {"client_id": "me", "redirect_uris": ["http://127.0.0.1:1/callback"]}
            )
        )
        found = await tokens.get_tokens()
        assert found is not None
        assert found.access_token == SECRET
        client = await tokens.get_client_info()
        assert client is not None
        assert client.client_id == "me"
    written = texts_in(directory)
    assert len(written) >= 2
    assert not any(SECRET in text for text in written)
    await files.close()


async def replay_events(url: str) -> None:
    async with opened(url) as store:
        events = EventStore(storage=store)
        ids = [await events.store_event("stream", None) for _ in range(3)]
        replayed: list[Any] = []

        async def send(message: Any) -> None:
            replayed.append(message)

        assert await events.replay_events_after(ids[0], send) == "stream"
        assert len(await store.keys("fastmcp_events")) == len(ids)
        assert await store.destroy() is True


async def remember_in_a_session() -> None:
    store = MemoryStore()
    server: Any = FastMCP("stateful", session_state_store=store)

    @server.tool
    async def remember(context: Context, fact: str) -> str:
        await context.set_state("fact", {"fact": fact})
        return (await context.get_state("fact"))["fact"]

    async with Client(server) as client:
        assert (await client.call_tool("remember", {"fact": "blue"})).data == "blue"
    (collection,) = await store.collections()
    assert len(await store.keys(collection)) == 1


async def main() -> None:
    url, directory = sys.argv[1], Path(sys.argv[2])
    await answer_from_the_cache(url)
    await keep_tokens_encrypted(directory)
    await replay_events(url)
    await remember_in_a_session()
    print(json.dumps("all of it"))  # noqa: T201 — read by the test


if __name__ == "__main__":
    asyncio.run(main())
