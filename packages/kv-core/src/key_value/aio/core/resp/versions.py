"""Versions of entries, as text: `digest` of what is stored, or `digest@expiry` where it expires."""

from hashlib import sha1

from key_value.aio.core.clock import microseconds_now, to_microseconds
from key_value.aio.core.entry import ManagedEntry

__all__ = ["digest_of", "live_digest", "version_of"]


def digest_of(stored: bytes) -> str:
    """As the server computes it."""
    return sha1(stored).hexdigest()  # noqa: S324 — against mistakes of concurrent writers, not against forgery


def version_of(entry: ManagedEntry, stored: bytes) -> str:
    expiry = to_microseconds(entry.expires_at)
    return digest_of(stored) if expiry is None else f"{digest_of(stored)}@{expiry}"


def live_digest(version: str) -> str | None:
    """The digest of the entry that has this version; None when that has expired.

    The server keeps it for up to a millisecond longer, and for as long as its clock is behind. Raises ValueError for
    a version that `version_of` does not give.
    """
    digest, _, expiry = version.partition("@")
    return None if expiry and int(expiry) <= microseconds_now() else digest
