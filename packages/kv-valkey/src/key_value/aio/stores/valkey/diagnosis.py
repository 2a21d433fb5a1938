"""Diagnosis of failed connections: valkey-glide reports only "timed out", so this module connects without it."""

import ssl
from asyncio import StreamReader, StreamWriter, open_connection, wait_for
from asyncio import TimeoutError as AsyncioTimeoutError
from typing import Any

from key_value.aio.stores.valkey.driver import Configuration, EndedError, RequestError, UnusableError, is_cluster

__all__ = ["diagnose"]

_TIMEOUT_SECONDS = 1.0
_ENDED = "the server closed the connection before it answered; it may require TLS (ssl=True)"
_NO_TLS = "the server does not support TLS"
_NO_HANDSHAKE = "no answer to the TLS handshake; the server may not support TLS"


async def diagnose(config: Configuration) -> Exception | None:
    """Connect to the first address; return the failure as an exception, None if there is none."""
    address = config.addresses[0]
    if address.unix_socket_path is not None:
        return None
    try:
        return await wait_for(_try(config, address.host, address.port), _TIMEOUT_SECONDS)
    except AsyncioTimeoutError:
        return EndedError(_NO_HANDSHAKE) if config.use_tls else None
    except EOFError:
        return EndedError(_ENDED)
    except OSError as exc:
        refused = isinstance(exc, ssl.SSLError) and not isinstance(exc, ssl.SSLCertVerificationError)
        return UnusableError(_NO_TLS) if refused else exc


async def _try(config: Configuration, host: str, port: int) -> Exception | None:
    reader, writer = await open_connection(host, port, ssl=_tls_of(config))
    try:
        for command in _commands_of(config):
            error = await _error_of(reader, writer, command)
            if error is not None:
                # The driver raises the same class for an error reply.
                return RequestError(error)
        return None
    finally:
        writer.transport.abort()


def _commands_of(config: Configuration) -> list[list[str]]:
    credentials: Any = config.credentials
    commands: list[list[str]] = []
    if credentials is not None and credentials.password is not None:
        commands.append(["AUTH", credentials.username or "default", credentials.password])
    if config.database_id:
        commands.append(["SELECT", str(config.database_id)])
    # The driver sends these to connect.
    return [*commands, ["CLUSTER", "SLOTS"] if is_cluster(config) else ["INFO", "REPLICATION"]]


async def _error_of(reader: StreamReader, writer: StreamWriter, command: list[str]) -> str | None:
    words = [word.encode() for word in command]
    writer.write(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words))
    first = await reader.readexactly(1)
    line = await reader.readline()
    # The rest of the reply to the last command is not needed.
    return line.decode(errors="replace").strip() if first == b"-" else None


def _tls_of(config: Configuration) -> ssl.SSLContext | None:
    if not config.use_tls:
        return None
    tls = config.advanced_config.tls_config if config.advanced_config is not None else None
    authorities = None if tls is None or tls.root_pem_cacerts is None else tls.root_pem_cacerts.decode()
    context = ssl.create_default_context(cadata=authorities)
    if tls is not None and tls.use_insecure_tls:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls is not None and tls.client_cert_path is not None:
        context.load_cert_chain(tls.client_cert_path, tls.client_key_path)
    return context
