"""A store in the desktop keyring: Secret Service, KWallet, macOS Keychain, Windows Credential Manager."""

from key_value.aio.stores.keyring.store import KeyringStore

__all__ = ["KeyringStore"]
