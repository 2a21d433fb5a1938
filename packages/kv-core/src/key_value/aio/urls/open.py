"""`open_store`: creates a store from a URL."""

from collections.abc import Iterable
from dataclasses import fields
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Protocol, cast

from key_value.aio.core.capabilities import Capabilities
from key_value.aio.core.operations import OPERATIONS, operations_of
from key_value.aio.core.urls import parse_url
from key_value.aio.protocols import AsyncKeyValue, AsyncLifecycleProtocol, CapabilitiesProtocol
from key_value.aio.urls.distributions import DISTRIBUTIONS

__all__ = ["OpenedStore", "open_store"]

_ENTRY_POINT_GROUP = "key_value.stores"


class OpenedStore(AsyncKeyValue, AsyncLifecycleProtocol, CapabilitiesProtocol, Protocol):
    """A store with `setup`, `close` and `capabilities`; use `isinstance` to check for the optional protocols."""


def open_store(url: str, *, require: Iterable[str] = (), **options: Any) -> OpenedStore:
    """Create the store of a URL, such as `redis://localhost:6379/0?timeout=2`. Its first use contacts the backend.

    The scheme selects one of the installed packages; docs/open-by-url.md lists the schemes. The rest of the URL gives
    the location of the data, and its query gives options of the store's constructor by name. `options` adds further
    constructor options, of any type. `require` names capabilities, such as "durable", and operations, such as "scan",
    that the store must have. `url` may also be an object that represents a URL, such as pydantic's URLs and SecretStr.

    Raises TypeError if `url` is neither a str nor represents a URL. Raises ValueError for text that does not look like
    scheme://…; for a scheme without an installed package, naming the package to install; for a part of the URL that the
    store does not use; for an option that is unknown, of the wrong type, or given twice; and for a requirement that the
    store does not meet. Messages show no password and no option value.
    """
    parsed = parse_url(url)
    required = _checked_requirements(require)
    store: OpenedStore = _store_class(parsed.scheme).from_url(parsed.url, **options)
    missing = [name for name in required if not _promises(store, name)]
    if missing:
        message = f"{store!r} does not promise {missing}"
        raise ValueError(message)
    return store


def _store_class(scheme: str) -> Any:
    installed = entry_points(group=_ENTRY_POINT_GROUP)
    found = {entry_point.value: entry_point for entry_point in installed if entry_point.name == scheme}
    if not found:
        schemes = sorted({entry_point.name for entry_point in installed})
        hint = f"; pip install {DISTRIBUTIONS[scheme]}" if scheme in DISTRIBUTIONS else ""
        provided = (
            f"Installed packages provide {schemes}"
            if schemes
            else "No store package is installed; install one, for example with pip install kv-redis"
        )
        others = sorted(DISTRIBUTIONS.keys() - schemes)
        more = "" if hint or not others else f"; other kv-* packages provide {others}"
        message = f"no package for {scheme}:// is installed{hint}. {provided}{more}"
        raise ValueError(message)
    if len(found) > 1:
        names = sorted(_distribution(entry_point) for entry_point in found.values())
        message = f"several packages provide {scheme}://: {names}; uninstall all but one"
        raise ValueError(message)
    return next(iter(found.values())).load()


def _distribution(entry_point: EntryPoint) -> str:
    return "unknown" if entry_point.dist is None else entry_point.dist.name


def _checked_requirements(require: Iterable[str]) -> list[str]:
    if isinstance(require, str):
        message = "require must be a collection of names, such as {'durable'}, not a str"
        raise TypeError(message)
    known = _CAPABILITIES | OPERATIONS.keys()
    required = list(require)
    unknown = [name for name in required if name not in known]
    if unknown:
        message = f"require has unknown names {unknown}; known names are {sorted(known)}"
        raise ValueError(message)
    return required


_CAPABILITIES = {field.name for field in fields(Capabilities) if isinstance(field.default, bool)}


def _promises(store: OpenedStore, name: str) -> bool:
    if name in _CAPABILITIES:
        return cast("bool", getattr(store.capabilities, name))
    return hasattr(AsyncKeyValue, name) or OPERATIONS[name] in operations_of(store)
