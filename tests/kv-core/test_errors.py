"""The exception classes, and the translation of driver errors."""

import asyncio
import pickle

import pytest
from key_value.aio import errors
from key_value.aio.core.driver_errors import DriverErrors, reraise
from key_value.aio.errors import (
    BaseKeyValueError,
    EntryTooLargeError,
    InvalidTTLError,
    KeyValueStoreError,
    MissingKeyError,
    SerializationError,
    StoreConnectionError,
    StoreSetupError,
    StoreTimeoutError,
    ValueTooLargeError,
)


class DriverError(Exception):
    pass


class DriverTimeoutError(DriverError):
    pass


TABLE: DriverErrors = {DriverError: KeyValueStoreError, DriverTimeoutError: StoreTimeoutError}


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (StoreConnectionError, ConnectionError),
        (StoreTimeoutError, TimeoutError),
        (StoreTimeoutError, ConnectionError),
        (StoreTimeoutError, StoreConnectionError),
        (SerializationError, ValueError),
        (MissingKeyError, KeyError),
    ],
)
def test_errors_are_subclasses_of_the_matching_builtins(error: type[Exception], builtin: type[Exception]) -> None:
    assert issubclass(error, builtin)


@pytest.mark.parametrize("name", [name for name in errors.__all__ if name != "ExtraInfoType"])
def test_every_error_derives_from_the_base_class(name: str) -> None:
    assert issubclass(getattr(errors, name), BaseKeyValueError)


@pytest.mark.parametrize(
    "error",
    [
        StoreTimeoutError("late", {"seconds": 5}),
        MissingKeyError("get", collection="users", key="alice"),
        ValueTooLargeError(size=2, max_size=1),
        InvalidTTLError(10**5000),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_can_be_pickled(error: BaseKeyValueError) -> None:
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 — pickled on this line
    assert (type(copy), str(copy), copy.extra_info) == (type(error), str(error), error.extra_info)


def test_a_message_ends_with_its_facts() -> None:
    assert str(EntryTooLargeError(size=9, max_size=5, key="a")).endswith(
        "(size=9, max_size=5, collection=None, key='a')"
    )


def test_the_message_of_a_missing_key_is_not_quoted_like_a_key_error() -> None:
    assert str(MissingKeyError("get")).startswith("There is no entry")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (DriverError("x"), KeyValueStoreError),
        (DriverTimeoutError("x"), StoreTimeoutError),
        (TimeoutError(), StoreTimeoutError),
        (asyncio.TimeoutError(), StoreTimeoutError),
        (ConnectionResetError(), StoreConnectionError),
        (OSError(24, "too many open files"), StoreConnectionError),
    ],
    ids=repr,
)
def test_a_drivers_error_is_translated_by_its_closest_class(error: Exception, expected: type[Exception]) -> None:
    with pytest.raises(BaseKeyValueError) as caught:
        reraise(error, TABLE, "Store(host)")
    assert type(caught.value) is expected
    assert caught.value.__cause__ is error


def test_the_message_names_the_backend_without_the_drivers_message() -> None:
    with pytest.raises(StoreTimeoutError) as caught:
        reraise(DriverTimeoutError("password=hunter2"), TABLE, "Store(host)")
    assert str(caught.value) == "Store(host) did not answer in time: DriverTimeoutError"


@pytest.mark.parametrize("error", [SerializationError("x"), ZeroDivisionError()], ids=repr)
def test_our_errors_and_unknown_errors_are_raised_unchanged(error: Exception) -> None:
    with pytest.raises(type(error)) as caught:
        reraise(error, TABLE, "Store(host)")
    assert caught.value is error


def test_an_unknown_error_in_setup_becomes_a_setup_error() -> None:
    with pytest.raises(StoreSetupError) as caught:
        reraise(ZeroDivisionError(), TABLE, "Store(host)", otherwise=StoreSetupError)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
