"""LoggingWrapper logs operations without values and never interferes with them."""

from __future__ import annotations

import asyncio
import json
import logging
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.errors import InvalidTTLError, SerializationError, StoreConnectionError
from key_value.aio.stores.memory import MemoryStore
from key_value.aio.testing import WrapperTests
from key_value.aio.testing.inner_stores import FailingStore, ForeignStore, FullStore
from key_value.aio.testing.stateful import check_against_dict
from key_value.aio.testing.wrapper import EVERY_CALL, ExampleCall
from key_value.aio.wrappers.logging import LoggingWrapper

if TYPE_CHECKING:
    from key_value.aio.protocols import AsyncKeyValue

SECRET = "hunter2"  # noqa: S105 — looked for in the log


class SecretiveStore(FullStore):
    def __repr__(self) -> str:
        return f"SecretiveStore(password={SECRET!r})"


class TestLoggingWrapper(WrapperTests):
    def wrap(self, store: AsyncKeyValue) -> LoggingWrapper:
        return LoggingWrapper(store)


class TestLoggingWrapperAtWork(WrapperTests):
    def wrap(self, store: AsyncKeyValue) -> LoggingWrapper:
        return LoggingWrapper(store, log_level=logging.ERROR, log_values=True, structured_logs=True)


def test_it_behaves_like_a_dict() -> None:
    check_against_dict(lambda: LoggingWrapper(MemoryStore()))


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, logger="key_value.logging")
    return caplog


def structured(store: AsyncKeyValue, *, log_values: bool = False) -> LoggingWrapper:
    return LoggingWrapper(store, structured_logs=True, log_values=log_values)


def events(log: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """Return the logged events without durations; check that each has one."""
    found = [json.loads(message) for message in log.messages]
    for event in found:
        if event["status"] != "start":
            assert 0 <= event["extra"].pop("duration_ms") < 60_000
    log.clear()
    return found


async def filled() -> FullStore:
    store = SecretiveStore()
    await store.put("key", {"a": SECRET}, collection="shelf")
    return store


async def test_a_call_is_logged_when_it_starts_and_when_it_finishes(log: pytest.LogCaptureFixture) -> None:
    await structured(await filled()).get("key", collection="shelf")
    assert events(log) == [
        {"status": "start", "action": "GET", "collection": "shelf", "keys": "key", "extra": {}},
        {"status": "finish", "action": "GET", "collection": "shelf", "keys": "key", "extra": {"hit": True}},
    ]
    assert log.records == []


@pytest.mark.parametrize(
    ("name", "keys", "extra"),
    [
        ("get", "key", {"hit": True}),
        ("ttl", "key", {"hit": True, "ttl": None}),
        ("get_many", ["key", "other"], {"hits": 1, "misses": 1}),
        ("ttl_many", ["key", "other"], {"hits": 1, "misses": 1}),
        ("put", "key", {"ttl": None}),
        ("put_many", ["key", "other"], {"ttl": None}),
        ("delete", "key", {"deleted": True}),
        ("delete_many", ["key", "other"], {"deleted": 1}),
        ("keys", None, {"count": 1}),
        ("collections", None, {"count": 1}),
        ("destroy", None, {"destroyed": True}),
        ("destroy_collection", None, {"destroyed": True}),
        ("cull", None, {}),
    ],
)
async def test_every_call_logs_its_outcome(
    name: str, keys: object, extra: dict[str, Any], log: pytest.LogCaptureFixture
) -> None:
    await EVERY_CALL[name](structured(await filled()))
    start, finish = events(log)
    assert (start["status"], finish["status"]) == ("start", "finish")
    for event in (start, finish):
        assert event["action"] == name.upper()
        assert event["collection"] == (None if name in ("collections", "destroy", "cull") else "shelf")
        assert event.get("keys") == keys
        assert "value" not in event
    assert finish["extra"] == extra


async def test_the_ttl_is_logged(log: pytest.LogCaptureFixture) -> None:
    wrapper = structured(MemoryStore())
    await wrapper.put("key", {"a": 1}, ttl=90)
    await wrapper.put_many(["key"], [{"a": 1}], ttl=90.5)
    await wrapper.ttl("key")
    assert [event["extra"].get("ttl") for event in events(log)[:4]] == [90, 90, 90.5, 90.5]
    await wrapper.ttl("key")
    assert 0 < events(log)[-1]["extra"]["ttl"] <= 90.5


@pytest.mark.parametrize("structured_logs", [False, True])
@pytest.mark.parametrize("call", EVERY_CALL.values(), ids=EVERY_CALL)
async def test_no_value_and_no_repr_is_logged_by_default(
    call: ExampleCall, log: pytest.LogCaptureFixture, *, structured_logs: bool
) -> None:
    wrapper = LoggingWrapper(await filled(), structured_logs=structured_logs)
    await wrapper.put("key", {"a": SECRET}, collection="shelf")
    await wrapper.put_many(["key"], [{"a": SECRET}], collection="shelf")
    await call(wrapper)
    assert len(log.messages) == 6
    assert SECRET not in log.text


@pytest.mark.parametrize("call", EVERY_CALL.values(), ids=EVERY_CALL)
async def test_only_the_class_of_an_error_is_logged(call: ExampleCall, log: pytest.LogCaptureFixture) -> None:
    error = StoreConnectionError(f"redis://:{SECRET}@localhost is down")
    with pytest.raises(StoreConnectionError) as raised:
        await call(structured(FailingStore(error), log_values=True))
    assert raised.value is error
    start, end = events(log)
    assert (start["status"], end["status"]) == ("start", "error")
    assert end["extra"]["error"] == "StoreConnectionError"
    assert SECRET not in str(end)


async def test_a_cancellation_is_logged_and_raised(log: pytest.LogCaptureFixture) -> None:
    class Hanging(ForeignStore):
        async def get(self, key: str, *, collection: str | None = None) -> None:  # noqa: ARG002
            await asyncio.Event().wait()

    call = asyncio.create_task(structured(Hanging()).get("key"))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert events(log)[-1]["extra"] == {"error": "CancelledError"}


async def test_values_are_logged_on_request(log: pytest.LogCaptureFixture) -> None:
    wrapper = structured(MemoryStore(), log_values=True)
    await wrapper.put("key", MappingProxyType({"a": [1]}))
    await wrapper.put_many(["other"], [{"b": 2}])
    await wrapper.get("key")
    await wrapper.ttl("key")
    await wrapper.get_many(["key", "absent"])
    await wrapper.ttl_many(["other"])
    await wrapper.get("absent")
    assert [(event["action"], event["value"]) for event in events(log) if event.get("value")] == [
        ("PUT", {"a": [1]}),
        ("PUT", {"a": [1]}),
        ("PUT_MANY", [{"b": 2}]),
        ("PUT_MANY", [{"b": 2}]),
        ("GET", {"a": [1]}),
        ("TTL", {"a": [1]}),
        ("GET_MANY", [{"a": [1]}, None]),
        ("TTL_MANY", [{"b": 2}]),
    ]


async def test_text_logs_are_readable(log: pytest.LogCaptureFixture) -> None:
    wrapper = LoggingWrapper(MemoryStore(), log_values=True)
    await wrapper.put("key", {"a": 1}, collection="shelf", ttl=90)
    start, finish = log.messages
    assert start == "Start PUT collection='shelf' keys='key' value={'a': 1} ttl=90"
    assert finish.startswith("Finish PUT collection='shelf' keys='key' value={'a': 1} ttl=90 duration_ms=")


@pytest.mark.parametrize("structured_logs", [False, True])
async def test_no_name_can_forge_a_line(log: pytest.LogCaptureFixture, *, structured_logs: bool) -> None:
    forged = "key\nFinish DELETE keys='other'\r\u2028 %s %(name)s \x1b[2J"
    wrapper = LoggingWrapper(MemoryStore(), structured_logs=structured_logs)
    await wrapper.get(forged, collection=forged)
    await wrapper.get_many([forged])
    assert len(log.messages) == 4
    for message in log.messages:
        assert message.splitlines() == [message]
        assert "\x1b" not in message


def cyclic() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["a"] = value
    return value


def deep() -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(100_000):
        value = {"a": value}
    return value


class Unprintable(str):
    __slots__ = ()

    def __repr__(self) -> str:
        message = SECRET
        raise ValueError(message)


UNUSUAL_VALUES: dict[str, dict[Any, Any]] = {
    "a cycle": cyclic(),
    "nested deeply": deep(),
    "a long integer": {"a": 10**5000},
    "a key that is no str": {(1, 2): 3},
    "not a number": {"a": float("nan")},
    "a set": {"a": {SECRET}},
}


@pytest.mark.parametrize("structured_logs", [False, True])
@pytest.mark.parametrize("value", UNUSUAL_VALUES.values(), ids=UNUSUAL_VALUES)
async def test_an_invalid_value_raises_the_same_error_through_the_wrapper(
    value: dict[str, Any], log: pytest.LogCaptureFixture, *, structured_logs: bool
) -> None:
    plain = MemoryStore()
    wrapper = LoggingWrapper(plain, log_values=True, structured_logs=structured_logs)
    for store, lines in ((plain, 0), (wrapper, 2)):
        with pytest.raises(SerializationError):
            await store.put("key", value)
        assert len(log.messages) == lines


@pytest.mark.parametrize("structured_logs", [False, True])
@pytest.mark.parametrize(
    ("error", "arguments"),
    [
        pytest.param(InvalidTTLError, {"key": "key", "ttl": 10**5000}, id="a ttl beyond printing"),
        pytest.param(TypeError, {"key": "key", "ttl": SECRET}, id="a ttl that is not a number"),
        pytest.param(TypeError, {"key": 10**5000}, id="a key beyond printing"),
        pytest.param(TypeError, {"key": object()}, id="a key that is not a str"),
        pytest.param(TypeError, {"key": "key", "collection": 10**5000}, id="a collection beyond printing"),
    ],
)
async def test_an_invalid_call_raises_the_same_error_through_the_wrapper(
    error: type[Exception], arguments: dict[str, Any], log: pytest.LogCaptureFixture, *, structured_logs: bool
) -> None:
    plain = MemoryStore()
    wrapper = LoggingWrapper(plain, structured_logs=structured_logs)
    for store, lines in ((plain, 0), (wrapper, 2)):
        with pytest.raises(error):
            await store.put(value={"a": 1}, **arguments)
        assert len(log.messages) == lines


async def test_an_argument_that_json_does_not_support_is_shown_as_its_type(log: pytest.LogCaptureFixture) -> None:
    await structured(MemoryStore()).put("key", {"a": 1}, ttl=Decimal(90))
    assert events(log)[1]["extra"] == {"ttl": "Decimal"}


async def test_a_name_that_cannot_be_shown_is_shown_as_its_type(log: pytest.LogCaptureFixture) -> None:
    await LoggingWrapper(MemoryStore()).get(Unprintable("key"), collection="shelf")
    assert log.messages[0] == "Start GET collection='str' keys='Unprintable'"


@pytest.mark.parametrize("call", EVERY_CALL.values(), ids=EVERY_CALL)
async def test_nothing_is_computed_while_the_level_is_disabled(call: ExampleCall) -> None:
    class Silent(logging.Logger):
        asked = 0

        def isEnabledFor(self, level: int) -> bool:  # noqa: N802 — overrides logging
            assert level == logging.DEBUG
            self.asked += 1
            return False

        def log(self, *_: object, **__: object) -> None:
            pytest.fail("logged")

    logger = Silent("silent")
    await call(LoggingWrapper(await filled(), logger, logging.DEBUG, log_values=True, structured_logs=True))
    assert logger.asked == 1


async def test_it_logs_to_the_given_logger_at_the_given_level(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("of the caller")
    await LoggingWrapper(MemoryStore(), logger=logger, log_level=logging.CRITICAL).get("key")
    assert [(record.name, record.levelno) for record in caplog.records] == [("of the caller", logging.CRITICAL)] * 2


async def test_it_logs_at_info_by_default(log: pytest.LogCaptureFixture) -> None:
    await LoggingWrapper(MemoryStore()).get("key")
    assert [(record.name, record.levelno) for record in log.records] == [("key_value.logging", logging.INFO)] * 2


@pytest.mark.parametrize("level", ["INFO", None, True, 20.0])
@pytest.mark.filterwarnings("ignore::key_value.aio.core.type_checks.TypeViolationWarning")
def test_a_level_that_is_not_a_number_is_refused(level: Any) -> None:
    with pytest.raises(ValueError, match=r"^log_level must be a number such as logging\.INFO"):
        LoggingWrapper(MemoryStore(), log_level=level)


@pytest.mark.parametrize("method", ["get", "delete"])
async def test_a_failure_is_logged_even_if_calls_are_not(method: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, logger="key_value.logging")
    with pytest.raises(StoreConnectionError):
        await getattr(structured(FailingStore(StoreConnectionError("hunter2"))), method)("key")
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert json.loads(record.getMessage())["extra"]["error"] == "StoreConnectionError"


async def test_the_level_of_failures_can_be_chosen(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, logger="key_value.logging")
    with pytest.raises(StoreConnectionError):
        await LoggingWrapper(FailingStore(StoreConnectionError("hunter2")), error_level=logging.INFO).get("key")
    assert caplog.records == []
