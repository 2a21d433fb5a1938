"""The checks of `setup`: the secrets engine, the token and its rights."""

import json

from key_value.aio.errors import StoreSetupError
from key_value.aio.stores.vault.engine import Engine, Requests

__all__ = ["check_setup"]

_OK = 200
_ALL_RIGHTS = frozenset({"root", "sudo"})

_NEEDED = {"data": ("create", "read", "update"), "destroy": ("update",)}


async def check_setup(engine: Engine, requests: Requests, path: str) -> None:
    """Raise StoreSetupError unless the engine is KV version 2 and the token may use the path. Writes nothing."""
    await requests.read(path)
    await _require_version_2(engine, requests)
    await _require_rights(engine, requests, path)


async def _require_version_2(engine: Engine, requests: Requests) -> None:
    answer = await requests.ask_system("GET", f"internal/ui/mounts/{engine.mount_point}")
    if answer.status != _OK:
        return  # not every token may request this
    options: dict[str, str] = answer.data.get("options") or {}
    if answer.data.get("type") != "kv" or options.get("version") != "2":
        message = f"the secrets engine at {engine.mount_point} is not KV version 2"
        raise StoreSetupError(message)


async def _require_rights(engine: Engine, requests: Requests, path: str) -> None:
    paths = {f"{engine.mount_point}/{kind}/{path}": needed for kind, needed in _NEEDED.items()}
    answer = await requests.ask_system("POST", "capabilities-self", json.dumps({"paths": list(paths)}).encode())
    if answer.status != _OK:
        return  # not every token may request this
    for full_path, needed in paths.items():
        rights: set[str] = set(answer.data.get(full_path) or ())
        missing = set(needed) - rights
        if missing and not _ALL_RIGHTS & rights:
            kind = full_path[: -len(path)].rstrip("/")
            message = f"the token lacks the right to {' and '.join(sorted(missing))} {kind}"
            raise StoreSetupError(message)
