"""Encryption wrappers: stored formats, and values that cannot be encrypted or decrypted."""

from __future__ import annotations

import json
from base64 import b64decode
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.fernet import Fernet, MultiFernet
from key_value.aio.errors import (
    CorruptedDataError,
    DecryptionError,
    EncryptionError,
)
from key_value.aio.stores.memory import MemoryStore
from key_value.aio.testing import WrapperTests
from key_value.aio.wrappers.encryption import BaseEncryptionWrapper, FernetEncryptionWrapper
from typing_extensions import override

from .value_wrappers import FERNET, OTHER_FERNET, outcomes_of_damage, reverse, reverse_of

if TYPE_CHECKING:
    from key_value.aio.protocols import AsyncKeyValue


class TestFernetEncryptionWrapper(WrapperTests):
    secrets = ("01234567890123456789012345678901", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")

    @override
    def wrap(self, store: AsyncKeyValue) -> AsyncKeyValue:
        return FernetEncryptionWrapper(store, fernet=FERNET)


class TestBaseEncryptionWrapper(WrapperTests):
    @override
    def wrap(self, store: AsyncKeyValue) -> AsyncKeyValue:
        return BaseEncryptionWrapper(store, reverse, reverse_of, 7)


# Stored formats


async def test_encrypted_values_are_stored_in_the_first_format() -> None:
    inner = MemoryStore()
    await FernetEncryptionWrapper(inner, fernet=FERNET).put("key", {"text": "é"})
    stored = await inner.get("key")
    assert stored is not None
    data = stored.pop("__encrypted_data__")
    assert stored == {"__encryption_version__": 1}
    assert json.loads(FERNET.decrypt(b64decode(data))) == {"text": "é"}


# Damage


async def test_damaged_encrypted_data_is_an_error_and_never_another_value() -> None:
    inner = MemoryStore()
    store = FernetEncryptionWrapper(inner, fernet=FERNET)
    lenient = FernetEncryptionWrapper(inner, fernet=FERNET, raise_on_decryption_error=False)
    await store.put("key", {"n": 1})
    stored = await inner.get("key") or {}
    for outcome in await outcomes_of_damage(inner, store, stored, "__encrypted_data__"):
        assert isinstance(outcome, DecryptionError)
    for outcome in await outcomes_of_damage(inner, lenient, stored, "__encrypted_data__"):
        assert outcome is None


@pytest.mark.parametrize(
    ("stored", "error"),
    [
        ({"__encrypted_data__": "!!!", "__encryption_version__": 7}, CorruptedDataError),
        ({"__encrypted_data__": 5, "__encryption_version__": 7}, CorruptedDataError),
        ({"__encrypted_data__": "AAAA"}, CorruptedDataError),
        ({"__encryption_version__": 7}, CorruptedDataError),
        ({"__encrypted_data__": "AAAA", "__encryption_version__": 8}, DecryptionError),
        ({"__encrypted_data__": "AAAA", "__encryption_version__": 7}, CorruptedDataError),
    ],
)
async def test_a_value_that_cannot_be_decrypted_is_an_error_or_none(
    stored: dict[str, Any], error: type[Exception]
) -> None:
    inner = MemoryStore()
    await inner.put("key", stored)
    strict = BaseEncryptionWrapper(inner, reverse, reverse_of, 7)
    with pytest.raises(error):
        await strict.get("key")
    with pytest.raises(error):
        await strict.get_many(["key"])
    lenient = BaseEncryptionWrapper(inner, reverse, reverse_of, 7, raise_on_decryption_error=False)
    assert await lenient.get("key") is None
    assert await lenient.ttl_many(["key"]) == [(None, None)]


async def test_a_wrong_key_is_a_decryption_error() -> None:
    inner = MemoryStore()
    await FernetEncryptionWrapper(inner, fernet=FERNET).put("key", {"secret": "hunter2"})
    with pytest.raises(DecryptionError) as caught:
        await FernetEncryptionWrapper(inner, fernet=OTHER_FERNET).get("key")
    assert "hunter2" not in str(caught.value)


async def test_a_failed_encryption_stores_nothing() -> None:
    def fail(_: bytes) -> bytes:
        message = "no key"
        raise OSError(message)

    inner = MemoryStore()
    with pytest.raises(EncryptionError, match="OSError"):
        await BaseEncryptionWrapper(inner, fail, reverse_of, 7).put("key", {"n": 1})
    assert await inner.get("key") is None


async def test_keys_are_rotated_with_a_multi_fernet() -> None:
    inner = MemoryStore()
    await FernetEncryptionWrapper(inner, fernet=FERNET).put("key", {"n": 1})
    store = FernetEncryptionWrapper(inner, fernet=MultiFernet([OTHER_FERNET, FERNET]))
    assert await store.get("key") == {"n": 1}
    await store.put("key", {"n": 2})
    assert await FernetEncryptionWrapper(inner, fernet=OTHER_FERNET).get("key") == {"n": 2}


# Configuration


async def test_a_plain_value_is_refused_with_require_encrypted() -> None:
    shared = MemoryStore()
    await shared.put("user", {"role": "admin"}, collection="users")
    strict = FernetEncryptionWrapper(shared, fernet=FERNET, require_encrypted=True)
    with pytest.raises(DecryptionError, match="not encrypted") as caught:
        await strict.get("user", collection="users")
    assert caught.value.extra_info == {"collection": "users", "key": "user"}
    assert "admin" not in str(caught.value)
    quiet = FernetEncryptionWrapper(shared, fernet=FERNET, require_encrypted=True, raise_on_decryption_error=False)
    assert await quiet.get("user", collection="users") is None
    await strict.put("user", {"role": "guest"}, collection="users")
    assert await strict.get("user", collection="users") == {"role": "guest"}


async def test_an_undecryptable_value_can_be_replaced_by_its_version() -> None:
    inner = MemoryStore()
    await FernetEncryptionWrapper(inner, fernet=Fernet(Fernet.generate_key())).put("key", {"a": 1})
    store: Any = FernetEncryptionWrapper(inner, fernet=FERNET, raise_on_decryption_error=False)
    value, ttl, version = await store.get_versioned("key")
    assert (value, ttl) == (None, None)
    assert await store.put_if_version("key", {"a": 2}, version)
    assert await store.get("key") == {"a": 2}
