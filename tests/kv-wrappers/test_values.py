"""Wrappers that change or refuse values: common behaviour, sizes, defaults and ttls."""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.fernet import Fernet
from key_value.aio.core import codec
from key_value.aio.core.type_checks import TypeViolationWarning
from key_value.aio.core.wrappers import BaseValueWrapper
from key_value.aio.errors import (
    DecryptionError,
    EntryTooLargeError,
    EntryTooSmallError,
    InvalidTTLError,
    SerializationError,
)
from key_value.aio.stores.memory import MemoryStore
from key_value.aio.testing import FakeClock, WrapperTests
from key_value.aio.testing.inner_stores import ForeignStore
from key_value.aio.wrappers.compression import CompressionWrapper
from key_value.aio.wrappers.default_value import DefaultValueWrapper
from key_value.aio.wrappers.encryption import FernetEncryptionWrapper
from key_value.aio.wrappers.limit_size import LimitSizeWrapper
from key_value.aio.wrappers.ttl_clamp import TTLClampWrapper
from typing_extensions import override

from .value_wrappers import FERNET, LARGE, WRAPPERS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from key_value.aio.protocols import AsyncKeyValue

DEFAULT = {"default": True}

UNKNOWN_ALGORITHM: Any = "lz4"


class WithoutDefault(BaseValueWrapper):
    """Turns the default back into absence, as the kit expects."""

    @override
    def _outer_value(self, inner_value: dict[str, Any]) -> dict[str, Any] | None:
        return None if inner_value == DEFAULT else inner_value


class TestDefaultValueWrapper(WrapperTests):
    @override
    def wrap(self, store: AsyncKeyValue) -> AsyncKeyValue:
        return WithoutDefault(DefaultValueWrapper(store, DEFAULT))


class TestLimitSizeWrapper(WrapperTests):
    @override
    def wrap(self, store: AsyncKeyValue) -> AsyncKeyValue:
        return LimitSizeWrapper(store, max_size=1_000_000)


class TestTTLClampWrapper(WrapperTests):
    @override
    def wrap(self, store: AsyncKeyValue) -> AsyncKeyValue:
        return TTLClampWrapper(store, 1, 1e9)


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
@pytest.mark.parametrize("make", [MemoryStore, ForeignStore])
async def test_values_are_returned_as_they_were_put(wrap: Callable[[Any], Any], make: Callable[[], Any]) -> None:
    store = wrap(make())
    await store.put("large", LARGE)
    await store.put_many(["a", "b"], [{"n": 1}, LARGE], ttl=1000)
    assert await store.get("large") == LARGE
    assert await store.get_many(["a", "b", "c"]) == [{"n": 1}, LARGE, None]
    assert (await store.ttl_many(["b", "c"]))[1] == (None, None)


async def test_a_value_is_encoded_once_in_a_stack_of_wrappers(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[Any] = []
    orjson: Any = vars(codec)["orjson"]
    dumps = orjson.dumps

    def count(value: Any, *options: Any) -> bytes:
        encoded.append(value)
        return dumps(value, *options)

    store = LimitSizeWrapper(MemoryStore(), max_size=10**6)
    for wrap in WRAPPERS.values():
        store = wrap(store)
    await store.put("warm", {"n": 1})
    monkeypatch.setattr(orjson, "dumps", count)
    await store.put("key", {"n": 1})
    assert encoded == [{"n": 1}]
    assert await store.get("key") == {"n": 1}


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
async def test_a_value_that_is_not_json_is_refused_with_its_path(wrap: Callable[[Any], Any]) -> None:
    store = wrap(MemoryStore())
    with pytest.raises(SerializationError, match=r"value\.a"):
        await store.put("key", {"a": {1, 2}})
    with pytest.raises(SerializationError, match=r"value\.a"):
        await store.put_many(["key", "other"], [{}, {"a": {1, 2}}])
    assert await store.get_many(["key", "other"]) == [None, None]


# Stored formats


RECORDED: dict[str, Callable[[Any], Any]] = {
    "CompressionWrapper()": CompressionWrapper,
    "FernetEncryptionWrapper(fernet=)": WRAPPERS["Fernet"],
    "FernetEncryptionWrapper(source_material=, salt=)": lambda store: FernetEncryptionWrapper(
        store, source_material="correct horse battery staple", salt="sea salt"
    ),
}


@pytest.mark.parametrize(("name", "wrap"), RECORDED.items(), ids=["gzip", "Fernet", "derived"])
async def test_recorded_values_are_read(recorded: Path, name: str, wrap: Callable[[Any], Any]) -> None:
    entries: dict[str, dict[str, Any]] = json.loads((recorded / "wrappers.json").read_bytes())
    plain = entries["PrefixKeysWrapper(prefix='p')"]["col | p__k1"]
    inner = MemoryStore()
    for names, stored in entries[name].items():
        collection, _, key = names.partition(" | ")
        await inner.put(key, stored, collection=collection)
    async with wrap(inner) as store:
        assert await store.get("k1", collection="col") == plain


async def test_plain_values_are_read_unchanged() -> None:
    inner = MemoryStore()
    await inner.put("key", {"n": 1})
    for wrap in WRAPPERS.values():
        assert await wrap(inner).get("key") == {"n": 1}


# Sizes


async def test_a_value_outside_the_size_limits_is_an_error_and_stores_nothing() -> None:
    inner = MemoryStore()
    store = LimitSizeWrapper(inner, min_size=9, max_size=10, raise_on_too_small=True)
    with pytest.raises(EntryTooLargeError):
        await store.put("key", {"a": "bcd"})
    with pytest.raises(EntryTooSmallError):
        await store.put("key", {"a": 1})
    with pytest.raises(EntryTooLargeError):
        await store.put_many(["key", "other"], [{"a": "b"}, {"a": "bcd"}])
    await store.put("é", {"é": "b"})
    assert await inner.keys() == ["é"]


async def test_a_value_outside_the_size_limits_can_be_skipped() -> None:
    inner = MemoryStore()
    store = LimitSizeWrapper(inner, min_size=9, max_size=10, raise_on_too_large=False)
    await inner.put("key", {"old": True})
    await store.put("key", {"a": "bcd"})
    await store.put("key", {})
    await store.put_many(["key", "fits", "other"], [{}, {"a": "b"}, {"a": "bcd"}])
    assert await inner.get_many(["key", "fits", "other"]) == [{"old": True}, {"a": "b"}, None]


# Defaults and times to live


async def test_a_default_replaces_an_absent_value() -> None:
    inner = MemoryStore()
    store = DefaultValueWrapper(inner, {"items": []}, 5)
    await inner.put("key", {"n": 1})
    assert await store.get_many(["key", "absent"]) == [{"n": 1}, {"items": []}]
    assert await store.ttl("absent") == ({"items": []}, 5.0)
    assert await store.ttl_many(["key", "absent"]) == [({"n": 1}, None), ({"items": []}, 5.0)]
    default = await store.get("absent")
    assert default is not None
    default["items"].append(1)
    assert await store.get("absent") == {"items": []}
    assert await inner.keys() == ["key"]


@pytest.mark.parametrize(("ttl", "stored"), [(5, 10), (100, 20), (15, 15), (None, 15)])
async def test_a_ttl_is_clamped(ttl: float | None, stored: float) -> None:
    with FakeClock():
        store = TTLClampWrapper(MemoryStore(), 10, 20, 15)
        await store.put("key", {}, ttl=ttl)
        await store.put_many(["other"], [{}], ttl=ttl)
        assert await store.ttl_many(["key", "other"]) == [({}, stored)] * 2


async def test_a_put_without_ttl_has_none_if_missing_ttl_is_not_set() -> None:
    store = TTLClampWrapper(MemoryStore(), 10, 20)
    await store.put("key", {})
    assert await store.ttl("key") == ({}, None)


@pytest.mark.parametrize("ttl", [-1, 0, float("nan"), float("inf"), True])
async def test_an_invalid_ttl_is_not_clamped(ttl: float) -> None:
    store = TTLClampWrapper(MemoryStore(), 10, 20)
    with pytest.raises(InvalidTTLError):
        await store.put("key", {}, ttl=ttl)
    with pytest.raises(InvalidTTLError):
        await store.put_many(["key"], [{}], ttl=ttl)
    assert await store.get("key") is None


# Configuration


CONFIGURATIONS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "size below zero": (lambda store: CompressionWrapper(store, -1), "at least 0 bytes"),
    "algorithm": (lambda store: CompressionWrapper(store, algorithm=UNKNOWN_ALGORITHM), '"gzip" or "zstd"'),
    "level": (lambda store: CompressionWrapper(store, level=10), "from 0 to 9 for gzip"),
    "least size below zero": (lambda store: LimitSizeWrapper(store, min_size=-1), "at least 0 bytes"),
    "sizes": (lambda store: LimitSizeWrapper(store, min_size=2, max_size=1), "min_size must be at most max_size"),
    "ttls": (lambda store: TTLClampWrapper(store, 2, 1), "min_ttl must be at most max_ttl"),
    "ttl below zero": (lambda store: TTLClampWrapper(store, -1, 1), "min_ttl must be a finite number of seconds"),
    "ttls of zero": (lambda store: TTLClampWrapper(store, 0, 0), "max_ttl must be a finite number of seconds"),
    "ttl that is no number": (lambda store: TTLClampWrapper(store, 1, float("nan")), "max_ttl must be a finite number"),
    "default ttl": (lambda store: DefaultValueWrapper(store, {}, -1), "default_ttl must be a finite number"),
    "expanded size": (lambda store: CompressionWrapper(store, max_expanded_size=0), "whole number of at least 1"),
    "no key": (FernetEncryptionWrapper, "either fernet=, or source_material= with salt="),
    "no salt": (lambda store: FernetEncryptionWrapper(store, source_material="a"), "either fernet="),
    "two keys": (
        lambda store: FernetEncryptionWrapper(store, fernet=FERNET, source_material="a", salt="b"),
        "either fernet=",
    ),
    "empty": (lambda store: FernetEncryptionWrapper(store, source_material="", salt="b"), "must not be empty"),
    "short key": (
        lambda store: FernetEncryptionWrapper(store, fernet=Fernet(b"short")),
        "32 url-safe base64-encoded bytes",
    ),
}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_an_invalid_configuration_raises_a_value_error(name: str) -> None:
    make, message = CONFIGURATIONS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TypeViolationWarning)
        with pytest.raises(ValueError, match=message):
            make(MemoryStore())


async def test_a_lower_bound_of_zero_or_an_infinite_upper_bound_does_not_clamp() -> None:
    with FakeClock():
        inner = MemoryStore()
        await TTLClampWrapper(inner, 0, 10).put("short", {}, ttl=0.5)
        await TTLClampWrapper(inner, 1, float("inf")).put("long", {}, ttl=10**9)
        assert await inner.ttl_many(["short", "long"]) == [({}, 0.5), ({}, 10**9)]


async def test_an_error_names_the_affected_entry_of_a_batch() -> None:
    inner = MemoryStore()
    await FernetEncryptionWrapper(inner, fernet=Fernet(Fernet.generate_key())).put("old", {"a": 1}, collection="tokens")
    store = FernetEncryptionWrapper(inner, fernet=FERNET)
    await store.put_many(["one", "two"], [{}, {}], collection="tokens")
    with pytest.raises(DecryptionError, match="key='old'") as caught:
        await store.get_many(["one", "old", "two"], collection="tokens")
    assert caught.value.extra_info == {"collection": "tokens", "key": "old"}
    limited = LimitSizeWrapper(inner, max_size=10)
    with pytest.raises(EntryTooLargeError, match="key='large'"):
        await limited.put_many(["small", "large"], [{}, {"a": "b" * 10}], collection="tokens")


async def test_a_skipped_value_is_not_put_conditionally_either() -> None:
    inner = MemoryStore()
    store: Any = LimitSizeWrapper(inner, max_size=3, raise_on_too_large=False)
    assert not await store.put_if_absent("key", {"a": "too large"})
    assert not await store.put_if_version("key", {"a": "too large"}, None)
    assert await inner.get("key") is None
