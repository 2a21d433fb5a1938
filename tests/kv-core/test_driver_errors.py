"""Translation of driver exceptions, and the reason in the message."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from typing import TYPE_CHECKING

import pytest
from key_value.aio.core.driver_errors import reason_of, reraise
from key_value.aio.errors import (
    BaseKeyValueError,
    KeyValueStoreError,
    StoreConnectionError,
    StoreSetupError,
    StoreTimeoutError,
)

if TYPE_CHECKING:
    from key_value.aio.core.driver_errors import DriverErrors

SECRET = "hunter2"  # noqa: S105 — looked for in messages


class DriverError(Exception):
    pass


class WrongPasswordError(DriverError):
    pass


class CodedError(Exception):
    pass


TABLE: DriverErrors = {
    CodedError: lambda error: (StoreSetupError, "no right") if error.args[0] == "denied" else StoreConnectionError,
    DriverError: (KeyValueStoreError, lambda error: f"code {error.args[0]}"),
    WrongPasswordError: (StoreSetupError, "wrong user name or password"),
}


def raised_for(
    error: Exception, table: DriverErrors = TABLE, otherwise: type[BaseKeyValueError] | None = None
) -> Exception:
    with pytest.raises(Exception) as caught:  # noqa: PT011 — the type is the result
        reraise(error, table, "Store(host)", otherwise=otherwise)
    return caught.value


def refused_certificate() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, f"certificate verify failed {SECRET}")
    error.verify_message = "self-signed certificate"
    return error


def failed_tls() -> ssl.SSLError:
    error = ssl.SSLError(1, SECRET)
    error.reason = "WRONG_VERSION_NUMBER"
    return error


def around(cause: ssl.SSLError) -> ssl.SSLError:
    """Wrap the error as aiohttp does: the same class and number, without the library's message."""

    class AiohttpError(type(cause)):
        def __init__(self) -> None:
            self.errno = cause.errno

    error = AiohttpError()
    error.__cause__ = cause
    return error


def caused_by(cause: Exception) -> ConnectionError:
    error = ConnectionError(SECRET)
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (
            ConnectionRefusedError(errno.ECONNREFUSED, SECRET),
            StoreConnectionError,
            "cannot be reached: connection refused",
        ),
        (socket.gaierror(-2, SECRET), StoreConnectionError, "cannot be reached: unknown host"),
        (caused_by(socket.gaierror(-2, SECRET)), StoreConnectionError, "cannot be reached: unknown host"),
        (caused_by(ConnectionResetError(errno.ECONNRESET, SECRET)), StoreConnectionError, "connection reset by peer"),
        (
            refused_certificate(),
            StoreSetupError,
            "cannot be used: the certificate was refused: self-signed certificate",
        ),
        (caused_by(refused_certificate()), StoreSetupError, "the certificate was refused: self-signed certificate"),
        (failed_tls(), StoreConnectionError, "cannot be reached: TLS failed: wrong version number"),
        (around(failed_tls()), StoreConnectionError, "cannot be reached: TLS failed: wrong version number"),
        (around(refused_certificate()), StoreSetupError, "the certificate was refused: self-signed certificate"),
        (around(ssl.SSLError()), StoreConnectionError, "cannot be reached: TLS failed: unknown reason"),
        (TimeoutError(SECRET), StoreTimeoutError, "did not answer in time: TimeoutError"),
        (asyncio.TimeoutError(SECRET), StoreTimeoutError, "did not answer in time: TimeoutError"),
        (OSError(errno.EMFILE, SECRET), StoreConnectionError, "cannot be reached: too many open files"),
        (ConnectionError(SECRET), StoreConnectionError, "cannot be reached: ConnectionError"),
        (DriverError(7), KeyValueStoreError, "failed: code 7"),
        (CodedError("denied"), StoreSetupError, "cannot be used: no right"),
        (CodedError(SECRET), StoreConnectionError, "cannot be reached: CodedError"),
        (WrongPasswordError(SECRET), StoreSetupError, "cannot be used: wrong user name or password"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_an_error_gives_the_reason_and_no_secret(error: Exception, kind: type[Exception], message: str) -> None:
    raised = raised_for(error)
    assert type(raised) is kind
    assert raised.__cause__ is error
    assert str(raised).startswith("Store(host) ")
    assert str(raised).endswith(message)
    assert SECRET not in str(raised)


def test_our_own_errors_and_bugs_are_raised_unchanged() -> None:
    for error in (StoreSetupError("ours"), ZeroDivisionError(), AttributeError()):
        assert raised_for(error) is error


def test_an_error_missing_from_the_table_becomes_the_callers_default_type() -> None:
    raised = raised_for(ZeroDivisionError(SECRET), otherwise=StoreSetupError)
    assert (type(raised), str(raised)) == (StoreSetupError, "Store(host) cannot be used: ZeroDivisionError")


def test_a_cyclic_chain_of_causes_is_cut() -> None:
    first, second = ValueError(), ValueError()
    first.__cause__, second.__cause__ = second, first
    assert reason_of(first) == "ValueError"


async def test_a_host_with_several_refusing_addresses_reports_their_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    with socket.socket() as bound:  # it does not listen
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]

        async def two_addresses(*_: object, **__: object) -> list[tuple[object, ...]]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (f"127.0.0.{n}", port)) for n in (1, 2)]

        monkeypatch.setattr(loop, "getaddrinfo", two_addresses)
        with pytest.raises(OSError, match="Multiple exceptions") as caught:
            await loop.create_connection(asyncio.Protocol, "two.invalid", port)
    assert reason_of(caught.value) == "connection refused"
