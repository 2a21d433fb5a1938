"""FernetEncryptionWrapper: encryption of values with Fernet."""

import hashlib
from asyncio import to_thread
from base64 import urlsafe_b64encode

from cryptography.fernet import Fernet, MultiFernet
from key_value.aio.core.lifecycle import Once
from key_value.aio.core.type_checks import warn_types
from key_value.aio.errors import DecryptionError, EncryptionVersionError
from key_value.aio.protocols import AsyncKeyValue
from key_value.aio.wrappers.encryption.base import BaseEncryptionWrapper

__all__ = ["FernetEncryptionWrapper"]

_VERSION = 1
_PBKDF2_ITERATIONS = 1_200_000


class FernetEncryptionWrapper(BaseEncryptionWrapper):
    """Encrypts and authenticates values with Fernet: AES-128 in CBC mode and HMAC-SHA256.

    It detects a modified value, but not a value replaced with another encrypted value.
    """

    @warn_types
    def __init__(
        self,
        key_value: AsyncKeyValue,
        *,
        fernet: Fernet | MultiFernet | None = None,
        source_material: str | None = None,
        salt: str | None = None,
        raise_on_decryption_error: bool = True,
        require_encrypted: bool = False,
    ) -> None:
        """Encrypt with `fernet`, or with a key derived from `source_material` and `salt`.

        To rotate keys, pass a MultiFernet: it encrypts with its first key and decrypts with any. Deriving the key takes
        some tenths of a second; `setup` or the first call does it once, in a thread. A value that cannot be decrypted
        raises DecryptionError, or reads as absent if `raise_on_decryption_error` is False. An unencrypted value is
        returned unchanged, or treated like one that cannot be decrypted with `require_encrypted`.

        Raises ValueError unless exactly one is given: `fernet`, or a non-empty `source_material` with a non-empty
        `salt`.
        """
        if (fernet is None) is (source_material is None) or (salt is None) is not (source_material is None):
            message = "pass either fernet=, or source_material= with salt="
            raise ValueError(message)
        if fernet is None and not (source_material and salt):
            message = "source_material and salt must not be empty"
            raise ValueError(message)
        self._fernet = fernet
        self._source_and_salt = (source_material or "", salt or "")
        self._derivation = Once()
        self._ready = fernet is not None
        super().__init__(
            key_value,
            self._encrypt_token,
            self._decrypt_token,
            _VERSION,
            raise_on_decryption_error,
            require_encrypted=require_encrypted,
        )

    async def _prepare(self) -> None:
        await self._derivation.run(self._derive)

    async def _derive(self) -> None:
        material, salt = (part.encode() for part in self._source_and_salt)
        key = await to_thread(hashlib.pbkdf2_hmac, "sha256", material, salt, _PBKDF2_ITERATIONS)
        self._fernet = Fernet(urlsafe_b64encode(key))
        self._source_and_salt = ("", "")
        self._ready = True

    def _encrypt_token(self, octets: bytes) -> bytes:
        return self._key().encrypt(octets)

    def _decrypt_token(self, token: bytes, version: int) -> bytes:
        if version != _VERSION:
            message = f"the value was encrypted by version {version}; this library decrypts version {_VERSION}"
            raise DecryptionError(message) from EncryptionVersionError(message)
        return self._key().decrypt(token)

    def _key(self) -> Fernet | MultiFernet:
        assert self._fernet is not None  # noqa: S101 — `_prepare` has run
        return self._fernet
