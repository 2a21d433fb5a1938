"""Encryption of values, with Fernet (needs `kv-wrappers[encryption]`) or with your own functions."""

from typing import TYPE_CHECKING, Any

from key_value.aio.wrappers.encryption.base import BaseEncryptionWrapper, DecryptionFn, EncryptionFn

if TYPE_CHECKING:
    from key_value.aio.wrappers.encryption.fernet import FernetEncryptionWrapper

__all__ = ["BaseEncryptionWrapper", "DecryptionFn", "EncryptionFn", "FernetEncryptionWrapper"]


def __getattr__(name: str) -> Any:
    if name != "FernetEncryptionWrapper":
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    try:
        from key_value.aio.wrappers.encryption.fernet import FernetEncryptionWrapper
    except ImportError as exc:
        message = "FernetEncryptionWrapper needs an extra package: pip install 'kv-wrappers[encryption]'"
        raise ImportError(message) from exc
    return FernetEncryptionWrapper
