"""A store in the keyring of the desktop: Secret Service, KWallet, macOS Keychain, Windows Credential Manager."""

from key_value.aio.stores.keyring.store import KeyringStore

__all__ = ["KeyringStore"]
