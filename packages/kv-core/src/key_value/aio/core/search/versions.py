"""Versions of entries as text: `sequence.term` of the document, or `sequence.term@expiry` for one that expires.

A version is tagged with its index, because each index counts from zero.
"""

import re

from key_value.aio.core.clock import microseconds_now, to_microseconds
from key_value.aio.core.entry import ManagedEntry
from key_value.aio.core.marks import marked, unmarked
from key_value.aio.core.search.indices import SequenceNumber

__all__ = ["sequence_number_of", "version_of"]

_VERSION = re.compile(r"([0-9]{1,19})\.([0-9]{1,19})(?:@(-?[0-9]{1,20}))?", re.ASCII)


def version_of(seq_no: SequenceNumber, entry: ManagedEntry, index: str) -> str:
    expiry = to_microseconds(entry.expires_at)
    return marked(f"{seq_no.number}.{seq_no.primary_term}{'' if expiry is None else f'@{expiry}'}", index)


def sequence_number_of(version: str, index: str) -> SequenceNumber | None:
    """Return the sequence number in a version; None if the version has expired, which the server does not check.

    Raises ValueError for a version that `version_of` cannot return for this index.
    """
    found = _VERSION.fullmatch(unmarked(version, index) or "")
    if found is None:
        message = "version does not come from an entry of this store"
        raise ValueError(message)
    sequence, term, expiry = found.groups()
    if expiry is not None and int(expiry) <= microseconds_now():
        return None
    return SequenceNumber(int(sequence), int(term))
