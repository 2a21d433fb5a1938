"""Opaque tokens that callers receive and pass back: cursors and versions."""

from hashlib import sha1
from zlib import crc32

__all__ = ["digest", "marked", "unmarked"]


def marked(text: str, *owner: str) -> str:
    """Return the text prefixed with a checksum of its owner, a sequence of names."""
    return _prefix(owner) + text


def unmarked(marked_text: str, *owner: str) -> str | None:
    """Return the text without the prefix, or None if the prefix is missing or belongs to another owner."""
    prefix = _prefix(owner)
    return marked_text[len(prefix) :] if marked_text.startswith(prefix) else None


def _prefix(owner: tuple[str, ...]) -> str:
    # Detects mistakes, not forgery. Takes 0.6 µs, a cryptographic digest 2.0 µs.
    return f"{crc32(chr(0).join(owner).encode()):08x}-"


def digest(*parts: bytes | str | int | None) -> str:
    """Return a digest of the stored parts of an entry, as its version in a backend without versions."""
    encoded = [part if isinstance(part, bytes) else str(part).encode() for part in parts]
    # Length prefixes make the encoding of the list unambiguous.
    text = b"".join(b"%d:%b" % (len(part), part) for part in encoded)
    return sha1(text).hexdigest()  # noqa: S324 — detects concurrent writes, not forgery
