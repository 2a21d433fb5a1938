"""Exchange of data with py-key-value-aio 0.5.0, on one emulator."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import exchange
import pytest
from key_value.aio.stores.azure_tables import AzureTablesSanitizationStrategy, AzureTablesStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from predecessor import Predecessor

    from .conftest import Raw

# Names that Azure accepts. The predecessor stores them unchanged.
LEGAL = [
    *(
        "plain",
        "a b",
        "höme é 🌍",
        "a%2Fb",
        "a%b",
        "100%",
        "a'b",
        "a::b",
        "H_abc",
        "S_abc",
        "a+b",
        "a&b=c",
        "%~",
        "..",
        "!",
    ),
    *("a\xadb", " lead", "trail ", "k" * 512, "🌍" * 256),
]
# Names that its strategy replaces by a digest, and some at the edge that it keeps.
HASHED = [
    "a/b",
    "https://example.com/client?id=1#x",
    "a\\b",
    "a\x7fb",
    "a\x80b",
    "k" * 256,
    "k" * 257,
    "🌍" * 256,
    "plain",
]

STRATEGIES = (
    "key_sanitization_strategy=AzureTablesSanitizationStrategy(), "
    "collection_sanitization_strategy=AzureTablesSanitizationStrategy()"
)


@pytest.fixture(scope="module")
def predecessor(predecessor_of: Callable[[str], Predecessor]) -> Predecessor:
    installed = predecessor_of("azure_tables")
    # The predecessor's extra omits a dependency of the driver.
    installed.environment.install("aiohttp")
    return installed


def expression(place: dict[str, Any], more: str = "") -> str:
    options = ", ".join(f"{name}={value!r}" for name, value in place.items())
    return f"AzureTablesStore({options}, {more})"


def strategies() -> dict[str, Any]:
    return {
        "key_sanitization_strategy": AzureTablesSanitizationStrategy(),
        "collection_sanitization_strategy": AzureTablesSanitizationStrategy(),
    }


def puts(names: list[str]) -> list[tuple[str, dict[str, Any]]]:
    """Each name as a key, and as a collection."""
    by_key = [("put", {"key": name, "value": {"key": name}, "collection": "c", "ttl": 1000}) for name in names]
    by_collection = [("put", {"key": "k", "value": {"collection": name}, "collection": name}) for name in names]
    return by_key + by_collection


def gets(names: list[str]) -> list[tuple[str, dict[str, Any]]]:
    return [("get", {"key": put["key"], "collection": put["collection"]}) for _, put in puts(names)]


each_way = pytest.mark.parametrize(
    ("names", "more", "options"),
    [(LEGAL, "", dict), (HASHED, STRATEGIES, strategies)],
    ids=["legal names", "strategies"],
)


@each_way
async def test_this_store_reads_and_replaces_what_the_predecessor_wrote(
    place: dict[str, Any],
    raw: Raw,
    predecessor: Predecessor,
    *,
    names: list[str],
    more: str,
    options: Callable[[], dict[str, Any]],
) -> None:
    predecessor.call(expression(place, more), *puts(names))
    stored = raw.names()
    async with AzureTablesStore(**place, **options()) as store:
        for _, asked in puts(names):
            value, ttl = await store.ttl(asked["key"], collection=asked["collection"])
            assert value == asked["value"]
            assert (ttl is not None and 500 < ttl <= 1000) is ("ttl" in asked)
            await store.put(**asked)
    assert raw.names() == stored


@each_way
async def test_the_predecessor_reads_and_replaces_what_this_store_wrote(
    place: dict[str, Any],
    raw: Raw,
    predecessor: Predecessor,
    *,
    names: list[str],
    more: str,
    options: Callable[[], dict[str, Any]],
) -> None:
    async with AzureTablesStore(**place, **options()) as store:
        for _, asked in puts(names):
            await store.put(**asked)
    stored = raw.names()
    # Its strategy refuses a name that begins like a digest.
    found = predecessor.call(expression(place, more), *gets(names), *puts(names))
    assert found[: len(gets(names))] == [asked["value"] for _, asked in puts(names)]
    assert raw.names() == stored


async def test_a_write_of_the_predecessor_changes_the_version(place: dict[str, Any], predecessor: Predecessor) -> None:
    async with AzureTablesStore(**place) as store:
        await exchange.check_versions(store, partial(predecessor.call, expression(place)))
