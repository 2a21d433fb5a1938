"""Run the fake in the foreground: `python -m servers._fake_aerospike --port PORT`. Options are named as in Aerospike.

It runs until it is ended by a signal.
"""

from __future__ import annotations

import argparse
import asyncio
import struct
import time
from typing import cast

from servers._fake_aerospike.commands import Commands
from servers._fake_aerospike.info import Info
from servers._fake_aerospike.records import Namespace, Options
from servers._fake_aerospike.security import Security, User
from servers._fake_aerospike.wire import ADMIN, INFO, MESSAGE, Code, answer, framed

_HEADER_BYTES = 8
_LENGTH_MASK = (1 << 48) - 1


class Fake:
    def __init__(self, options: argparse.Namespace) -> None:
        namespace = Namespace(
            Options(options.namespace, options.nsup_period, options.default_ttl, options.max_record_size)
        )
        self.commands = Commands(namespace)
        self.info = Info(namespace, self.commands.counts, options.host, options.port)
        self.security = Security([_user(text) for text in options.user])
        self.ready_at = time.monotonic() + options.starting


class Connection(asyncio.Protocol):
    def __init__(self, fake: Fake) -> None:
        self._fake = fake
        self._received = bytearray()
        self._user: User | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        # Like a real server that has opened its port but does not know its partitions yet.
        if time.monotonic() < self._fake.ready_at:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._received += data
        while len(self._received) >= _HEADER_BYTES:
            (header,) = struct.unpack_from(">Q", self._received)
            end = _HEADER_BYTES + (header & _LENGTH_MASK)
            if len(self._received) < end:
                return
            body = bytes(self._received[_HEADER_BYTES:end])
            del self._received[:end]
            kind = header >> 48 & 0xFF
            self._transport.write(framed(kind, self._answer(kind, body)))

    def _answer(self, kind: int, body: bytes) -> bytes:
        fake = self._fake
        if kind == ADMIN:
            reply, user = fake.security.answer(body)
            self._user = user or self._user
            return reply
        if kind == INFO:
            return fake.info.answer(body)
        if kind != MESSAGE:
            message = f"the fake does not support messages of type {kind}"
            raise ValueError(message)
        if fake.security.is_enabled and self._user is None:
            return answer(Code.NOT_AUTHENTICATED)
        return fake.commands.run(body, may_write=self._user is None or self._user.may_write)


def _user(text: str) -> User:
    name, credential, rights = text.split(":")
    return User(name.encode(), credential.encode(), rights == "read-write")


async def serve(options: argparse.Namespace) -> None:
    fake = Fake(options)
    server = await asyncio.get_running_loop().create_server(lambda: Connection(fake), options.host, options.port)
    async with server:
        await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--namespace", default="test")
    parser.add_argument("--nsup-period", type=int, default=0)
    parser.add_argument("--default-ttl", type=int, default=0)
    parser.add_argument("--max-record-size", type=int, default=1024 * 1024)
    parser.add_argument("--user", action="append", default=[], help="NAME:CREDENTIAL:read or read-write")
    parser.add_argument("--starting", type=float, default=0.0, help="seconds between opening the port and serving")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
