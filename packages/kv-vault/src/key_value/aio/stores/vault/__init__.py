"""A store on a KV version 2 secrets engine of HashiCorp Vault or OpenBao."""

from key_value.aio.stores.vault.store import VaultStore

__all__ = ["VaultStore"]
