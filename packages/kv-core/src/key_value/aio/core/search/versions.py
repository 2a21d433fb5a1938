"""Versions of entries, as text: `sequence.term` of the document, or `sequence.term@expiry` where it expires.

Each is marked with its index, because every index counts from zero.
"""

import re

from key_value.aio.core.clock import microseconds_now, to_microseconds
from key_value.aio.core.entry import ManagedEntry
from key_value.aio.core.marks import marked, unmarked
from key_value.aio.core.search.indices import Place

__all__ = ["place_of", "version_of"]

_VERSION = re.compile(r"([0-9]{1,19})\.([0-9]{1,19})(?:@(-?[0-9]{1,20}))?", re.ASCII)


def version_of(place: Place, entry: ManagedEntry, index: str) -> str:
    expiry = to_microseconds(entry.expires_at)
    return marked(f"{place.sequence}.{place.term}{'' if expiry is None else f'@{expiry}'}", index)


def place_of(version: str, index: str) -> Place | None:
    """The place of the document of this version; None when that has expired, which the server does not know.

    Raises ValueError for a version that `version_of` does not give for this index.
    """
    found = _VERSION.fullmatch(unmarked(version, index) or "")
    if found is None:
        message = "the version is none of an entry of this store"
        raise ValueError(message)
    sequence, term, expiry = found.groups()
    if expiry is not None and int(expiry) <= microseconds_now():
        return None
    return Place(int(sequence), int(term))
