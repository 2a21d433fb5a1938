"""Users and passwords, like in the Enterprise Edition."""

from __future__ import annotations

import struct
from typing import NamedTuple

from servers._fake_aerospike.wire import Code

__all__ = ["Security", "User"]

_HEADER_BYTES = 16
_AUTHENTICATE, _LOGIN = 0, 20
_USER, _CREDENTIAL, _TOKEN, _TOKEN_SECONDS = 0, 3, 5, 6
_NOT_ENABLED = 52


class User(NamedTuple):
    name: bytes
    credential: bytes
    """The credential that the client derives from the password: bcrypt with a constant salt."""
    may_write: bool


class Security:
    """The users that may log in. Without users, no login is needed."""

    def __init__(self, users: list[User]) -> None:
        self.is_enabled = bool(users)
        self._users = {user.name: user for user in users}

    def answer(self, octets: bytes) -> tuple[bytes, User | None]:
        """Return the reply to a login, and the user."""
        command, count = octets[2], octets[3]
        fields = _parse_fields(octets, count)
        user = self._users.get(fields.get(_USER, b""))
        if not self.is_enabled:
            return _reply(_NOT_ENABLED), None
        if command == _LOGIN and user is not None and fields.get(_CREDENTIAL) == user.credential:
            return _reply(Code.OK, {_TOKEN: _token(user), _TOKEN_SECONDS: struct.pack(">I", 3600)}), user
        if command == _AUTHENTICATE and user is not None and fields.get(_TOKEN) == _token(user):
            return _reply(Code.OK), user
        return _reply(Code.INVALID_CREDENTIAL), None


def _token(user: User) -> bytes:
    return b"token of " + user.name


def _parse_fields(octets: bytes, count: int) -> dict[int, bytes]:
    fields: dict[int, bytes] = {}
    offset = _HEADER_BYTES
    for _ in range(count):
        size, kind = struct.unpack_from(">IB", octets, offset)
        fields[kind] = octets[offset + 5 : offset + 4 + size]
        offset += 4 + size
    return fields


def _reply(code: int, fields: dict[int, bytes] | None = None) -> bytes:
    sent = [struct.pack(">IB", len(value) + 1, kind) + value for kind, value in (fields or {}).items()]
    return b"".join((bytes([0, code, 0, len(sent)]).ljust(_HEADER_BYTES, b"\0"), *sent))
