"""CompressionWrapper: stored formats, reading, damaged data and data that expands too far."""

from __future__ import annotations

import gzip
import json
from base64 import b64decode
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.errors import (
    DeserializationError,
    ValueTooLargeError,
)
from key_value.aio.stores.memory import MemoryStore
from key_value.aio.testing import WrapperTests
from key_value.aio.wrappers.compression import CompressionWrapper
from typing_extensions import override

from .value_wrappers import LARGE, outcomes_of_damage

if TYPE_CHECKING:
    from key_value.aio.protocols import AsyncKeyValue


class TestCompressionWrapper(WrapperTests):
    @override
    def wrap(self, store: AsyncKeyValue) -> AsyncKeyValue:
        return CompressionWrapper(store, 0)


# Stored formats


async def test_compressed_values_are_stored_in_the_first_format() -> None:
    inner = MemoryStore()
    await CompressionWrapper(inner, 10).put("key", {"text": "x" * 100})
    await CompressionWrapper(inner, 10).put("small", {"n": 1})
    stored = await inner.get("key")
    assert stored is not None
    data = stored.pop("__compressed_data__")
    assert stored == {"__compression_algorithm__": "gzip", "__compression_version__": 1}
    assert json.loads(gzip.decompress(b64decode(data))) == {"text": "x" * 100}
    assert await inner.get("small") == {"n": 1}


async def test_a_value_that_looks_compressed_is_returned_unchanged() -> None:
    store = CompressionWrapper(MemoryStore())
    value = {"__compressed_data__": "AAAA", "__compression_algorithm__": "gzip"}
    await store.put("key", value)
    assert await store.get("key") == value


async def test_each_algorithm_is_read_with_either_configured() -> None:
    inner = MemoryStore()
    one, other = CompressionWrapper(inner, 0), CompressionWrapper(inner, 0, algorithm="zstd")
    await one.put("gzip", LARGE)
    await other.put("zstd", LARGE)
    assert await one.get("zstd") == await other.get("gzip") == LARGE


# Damage


@pytest.mark.parametrize("algorithm", ["gzip", "zstd"])
async def test_damaged_compressed_data_is_an_error_and_never_another_value(algorithm: Any) -> None:
    inner = MemoryStore()
    store = CompressionWrapper(inner, 0, algorithm=algorithm)
    value = {"text": "some text", "n": [1, 2, 3]}
    await store.put("key", value)
    stored = await inner.get("key") or {}
    for outcome in await outcomes_of_damage(inner, store, stored, "__compressed_data__"):
        # Some header bits have no effect: the time stamp and the operating system.
        assert outcome == value or isinstance(outcome, DeserializationError)


# Configuration


ALGORITHMS: list[Any] = ["gzip", "zstd"]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_data_is_not_expanded_beyond_the_limit(algorithm: Any) -> None:
    inner = MemoryStore()
    await CompressionWrapper(inner, algorithm=algorithm).put("bomb", {"a": "0" * 10_000_000})
    store = CompressionWrapper(inner, algorithm=algorithm, max_expanded_size=100_000)
    with pytest.raises(DeserializationError, match="more than 100000 bytes"):
        await store.get("bomb")
    with pytest.raises(ValueTooLargeError):
        await store.put("bomb", {"a": "0" * 10_000_000})
    await store.put("fits", {"a": "0" * 99_000})
    assert await store.get("fits") == {"a": "0" * 99_000}
