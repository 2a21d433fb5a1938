"""BaseEncryptionWrapper: encryption of values with any pair of functions."""

from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from typing import Any

from key_value.aio.core.codec import EncodedDict, load_object
from key_value.aio.core.type_checks import warn_types
from key_value.aio.core.wrappers import BaseValueWrapper
from key_value.aio.errors import CorruptedDataError, DecryptionError, DeserializationError, EncryptionError
from key_value.aio.protocols import AsyncKeyValue

__all__ = ["BaseEncryptionWrapper", "DecryptionFn", "EncryptionFn"]

EncryptionFn = Callable[[bytes], bytes]
DecryptionFn = Callable[[bytes, int], bytes]
"""Decrypts the stored data (bytes); the second argument is the version stored with it."""

_DATA = "__encrypted_data__"
_VERSION = "__encryption_version__"


class BaseEncryptionWrapper(BaseValueWrapper):
    """Encrypts values with your own functions. Names, sizes and times to live stay visible.

    Unencrypted values are returned unchanged unless `require_encrypted` is set. Without it, anyone with write access
    to the store can replace an encrypted value with an unencrypted one.
    """

    @warn_types
    def __init__(
        self,
        key_value: AsyncKeyValue,
        encryption_fn: EncryptionFn,
        decryption_fn: DecryptionFn,
        encryption_version: int,
        raise_on_decryption_error: bool = True,  # noqa: FBT001, FBT002 — positional in earlier versions too
        *,
        require_encrypted: bool = False,
    ) -> None:
        """`encryption_version` is stored with each value and passed to `decryption_fn`.

        A value that cannot be decrypted raises DecryptionError, or reads as absent if `raise_on_decryption_error` is
        False. With `require_encrypted`, so does an unencrypted value.
        """
        self._encrypt = encryption_fn
        self._decrypt = decryption_fn
        self._version = encryption_version
        self.raise_on_decryption_error = raise_on_decryption_error
        self.require_encrypted = require_encrypted
        super().__init__(key_value)

    def _inner_value(self, value: Mapping[str, Any]) -> Mapping[str, Any]:
        _, encoded = EncodedDict.of(value)
        try:
            data = b64encode(self._encrypt(encoded if isinstance(encoded, bytes) else encoded.encode()))
        except Exception as exc:
            message = f"encrypting the value failed: {type(exc).__qualname__}"
            raise EncryptionError(message) from exc
        return EncodedDict(
            {_DATA: data.decode(), _VERSION: self._version},
            b'{"%b":"%b","%b":%d}' % (_DATA.encode(), data, _VERSION.encode(), self._version),
        )

    def _outer_value(self, inner_value: dict[str, Any]) -> dict[str, Any] | None:
        if not self.require_encrypted and _DATA not in inner_value and _VERSION not in inner_value:
            return inner_value
        try:
            return self._decrypted(inner_value)
        except EncryptionError:
            if self.raise_on_decryption_error:
                raise
            return None

    def _decrypted(self, inner_value: dict[str, Any]) -> dict[str, Any]:
        data, version = inner_value.get(_DATA), inner_value.get(_VERSION)
        if data is None and version is None:
            message = "the stored value is not encrypted"
            raise DecryptionError(message)
        if type(data) is not str or type(version) is not int:
            message = f"the stored value has no string in {_DATA}, or no integer in {_VERSION}"
            raise CorruptedDataError(message)
        try:
            encrypted = b64decode(data, validate=True)
        except ValueError as exc:
            message = f"the stored {_DATA} is not base64"
            raise CorruptedDataError(message) from exc
        try:
            octets = self._decrypt(encrypted, version)
        except DecryptionError:
            raise
        except Exception as exc:
            message = f"the value cannot be decrypted: {type(exc).__qualname__}"
            raise DecryptionError(message) from exc
        try:
            return load_object(octets, "the decrypted value")
        except (DeserializationError, TypeError) as exc:
            message = "the decrypted value is not a JSON object"
            raise CorruptedDataError(message) from exc
