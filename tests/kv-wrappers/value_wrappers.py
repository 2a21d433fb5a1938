"""Wrappers that change the stored value, with keys and values for their tests."""

from __future__ import annotations

import asyncio
import random
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any

from cryptography.fernet import Fernet
from key_value.aio.wrappers.compression import CompressionWrapper
from key_value.aio.wrappers.encryption import BaseEncryptionWrapper, FernetEncryptionWrapper
from key_value.aio.wrappers.limit_size import LimitSizeWrapper
from key_value.aio.wrappers.ttl_clamp import TTLClampWrapper

if TYPE_CHECKING:
    from collections.abc import Callable

    from key_value.aio.stores.memory import MemoryStore

FERNET = Fernet(b64encode(b"01234567890123456789012345678901"))
OTHER_FERNET = Fernet(b64encode(b"x" * 32))
LARGE: dict[str, Any] = {"rows": [{"id": number, "name": f"user {number}"} for number in range(1000)], "é": 2**70}

SEED = 20261123


def reverse(octets: bytes) -> bytes:
    return octets[::-1]


def reverse_of(octets: bytes, version: int) -> bytes:
    assert version == 7
    return octets[::-1]


WRAPPERS: dict[str, Callable[[Any], Any]] = {
    "gzip": lambda store: CompressionWrapper(store, 0),
    "zstd": lambda store: CompressionWrapper(store, 0, algorithm="zstd"),
    "large alone": CompressionWrapper,
    "Fernet": lambda store: FernetEncryptionWrapper(store, fernet=FERNET),
    "own functions": lambda store: BaseEncryptionWrapper(store, reverse, reverse_of, 7),
    "size": lambda store: LimitSizeWrapper(store, max_size=1_000_000_000),
    "ttl": lambda store: TTLClampWrapper(store, 1e-9, 2e11),
}


async def outcomes_of_damage(inner: MemoryStore, store: Any, stored: dict[str, Any], field: str) -> list[Any]:
    """Return the results or errors of reading with a bit of the field flipped, its end cut off, or an invalid text."""
    draw = random.Random(SEED)  # noqa: S311 — not for secrets
    octets = b64decode(stored[field])
    texts: list[Any] = [None, 5, "", "!", stored[field][:-1]]
    for _ in range(300):
        damaged = bytearray(octets)
        damaged[draw.randrange(len(octets))] ^= 1 << draw.randrange(8)
        texts.append(b64encode(damaged).decode())
        texts.append(b64encode(octets[: draw.randrange(len(octets))]).decode())
    outcomes: list[Any] = []
    for text in texts:
        await inner.put("key", {**stored, field: text})
        calls: list[Any] = [store.get("key")]
        outcomes.extend(await asyncio.gather(*calls, return_exceptions=True))
    return outcomes
