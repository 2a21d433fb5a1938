"""The distributions installed in the current environment, as documents."""

from __future__ import annotations

import re
from collections import defaultdict
from importlib import metadata

from catalog.framework import Dependents, Distribution, Module

__all__ = ["dependents", "distributions", "modules"]


def distributions() -> dict[str, Distribution]:
    return {name: _document(distribution) for name, distribution in _installed().items()}


def modules() -> dict[str, Module]:
    """Return every Python file listed in the record of a distribution, by path."""
    return {
        str(file): Module(
            distribution=name, path=str(file), bytes=file.size or 0, sha256=file.hash.value if file.hash else ""
        )
        for name, distribution in _installed().items()
        for file in distribution.files or ()
        if file.suffix == ".py"
    }


def dependents() -> dict[str, Dependents]:
    """Return the dependents of each required distribution, by name, whether it is installed or not."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for name, distribution in _installed().items():
        for requirement in distribution.requires or ():
            found[_normalized(re.split(r"[^\w.-]", requirement, maxsplit=1)[0])].add(name)
    return {required: Dependents(sorted(names)) for required, names in sorted(found.items())}


def _installed() -> dict[str, metadata.Distribution]:
    found = {_normalized(distribution.name): distribution for distribution in metadata.distributions()}
    return dict(sorted(found.items()))


def _document(distribution: metadata.Distribution) -> Distribution:
    files = distribution.files or []
    return Distribution(
        name=distribution.name,
        version=distribution.version,
        summary=_field(distribution, "Summary"),
        license=_field(distribution, "License-Expression") or _field(distribution, "License"),
        requires_python=_field(distribution, "Requires-Python"),
        requires=distribution.requires or [],
        classifiers=distribution.metadata.get_all("Classifier") or [],
        description=str(distribution.metadata.json.get("description", "")),
        files=len(files),
        bytes=sum(file.size or 0 for file in files),
    )


def _field(distribution: metadata.Distribution, name: str) -> str:
    values: list[str] = distribution.metadata.get_all(name) or []
    return values[0] if values else ""


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
