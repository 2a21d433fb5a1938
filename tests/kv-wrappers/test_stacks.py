"""Stacks of wrappers: those of one base class keep every contract, and random stacks behave like a dict."""

from __future__ import annotations

import logging
import random
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.fernet import Fernet, MultiFernet
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from key_value.aio.stores.memory import MemoryStore
from key_value.aio.testing import StoreTests
from key_value.aio.testing.stateful import store_machine
from key_value.aio.wrappers.compression import CompressionWrapper
from key_value.aio.wrappers.encryption import BaseEncryptionWrapper, FernetEncryptionWrapper
from key_value.aio.wrappers.fallback import FallbackWrapper
from key_value.aio.wrappers.limit_size import LimitSizeWrapper
from key_value.aio.wrappers.logging import LoggingWrapper
from key_value.aio.wrappers.passthrough_cache import PassthroughCacheWrapper
from key_value.aio.wrappers.prefix_collections import PrefixCollectionsWrapper
from key_value.aio.wrappers.prefix_keys import PrefixKeysWrapper
from key_value.aio.wrappers.retry import RetryWrapper
from key_value.aio.wrappers.routing import CollectionRoutingWrapper, RoutingWrapper
from key_value.aio.wrappers.single_collection import SingleCollectionWrapper
from key_value.aio.wrappers.statistics import StatisticsWrapper
from key_value.aio.wrappers.timeout import TimeoutWrapper
from key_value.aio.wrappers.ttl_clamp import TTLClampWrapper

if TYPE_CHECKING:
    from collections.abc import Callable

    from key_value.aio.protocols import AsyncKeyValue

FERNET = Fernet(Fernet.generate_key())
OTHER_FERNET = Fernet(Fernet.generate_key())
STACK_COUNT = 20
MAX_LAYERS = 6

# Wrappers that do not change results, unlike ReadOnlyWrapper and DefaultValueWrapper.
LAYERS: list[Callable[[Any], Any]] = [
    lambda store: BaseEncryptionWrapper(store, lambda text: text[::-1], lambda text, _: text[::-1], 7),
    lambda store: CollectionRoutingWrapper({"routed": MemoryStore()}, store),
    lambda store: CompressionWrapper(store, 0),
    lambda store: CompressionWrapper(store, 50, algorithm="zstd"),
    lambda store: FallbackWrapper(store, MemoryStore()),
    lambda store: FernetEncryptionWrapper(store, fernet=FERNET),
    lambda store: LimitSizeWrapper(store, max_size=10**9),
    LoggingWrapper,
    lambda store: PassthroughCacheWrapper(store, MemoryStore()),
    lambda store: PrefixCollectionsWrapper(store, "t1__x"),
    lambda store: PrefixKeysWrapper(store, "t1"),
    RetryWrapper,
    lambda store: RoutingWrapper(lambda _: None, store),
    lambda store: SingleCollectionWrapper(store, "one"),
    StatisticsWrapper,
    TimeoutWrapper,
    lambda store: TTLClampWrapper(store, 1e-9, 2e11),
]


def of_calls() -> AsyncKeyValue:
    logger = logging.Logger("its own", logging.INFO)  # noqa: LOG001 — without a handler, so that no record is kept
    logged = LoggingWrapper(MemoryStore(), logger=logger, log_values=True, structured_logs=True)
    return StatisticsWrapper(TimeoutWrapper(RetryWrapper(logged), 50))


def of_names() -> AsyncKeyValue:
    return PrefixKeysWrapper(PrefixCollectionsWrapper(MemoryStore(), "a__b"), "p")


def of_values() -> AsyncKeyValue:
    compressed = CompressionWrapper(LimitSizeWrapper(MemoryStore(), max_size=1_000_000_000), 0)
    encrypted = FernetEncryptionWrapper(compressed, fernet=MultiFernet([FERNET, OTHER_FERNET]))
    return TTLClampWrapper(encrypted, 1e-9, 2e11)


class TestStoreBehindEveryCallWrapper(StoreTests[Any]):
    example = of_calls()

    @pytest.fixture
    def store(self) -> AsyncKeyValue:
        return of_calls()


class TestStoreBehindEveryPrefix(StoreTests[Any]):
    example = of_names()
    max_name_bytes = 65_536 - 200

    @pytest.fixture
    def store(self) -> AsyncKeyValue:
        return of_names()


class TestStoreBehindEveryValueWrapper(StoreTests[Any]):
    example = of_values()

    @pytest.fixture
    def store(self) -> AsyncKeyValue:
        return of_values()


@pytest.mark.parametrize("seed", range(STACK_COUNT))
def test_a_stack_behaves_like_a_dict(seed: int) -> None:
    draw = random.Random(seed)  # noqa: S311 — not for secrets
    layers = draw.choices(LAYERS, k=draw.randint(2, MAX_LAYERS))

    def make() -> Any:
        store: Any = MemoryStore()
        for wrap in layers:
            store = wrap(store)
        return store

    few = settings(
        max_examples=5,
        stateful_step_count=25,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
        database=None,
    )
    run_state_machine_as_test(store_machine(make), settings=few)
