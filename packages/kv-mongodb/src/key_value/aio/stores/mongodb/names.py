"""Names of databases and collections as MongoDB takes them: https://www.mongodb.com/docs/manual/reference/limits/"""

import re
from string import ascii_letters, digits

from key_value.aio.core.sanitization import EscapingStrategy, HybridSanitizationStrategy, SanitizationStrategy

__all__ = ["MongoDBV1CollectionSanitizationStrategy", "check_database_name", "collection_names"]

# Of the database, a dot and the collection.
_MAX_NAMESPACE_BYTES = 255

_DATABASE_NAME = re.compile(r'[^/\\. "$*<>:|?\0]+')
_MAX_DATABASE_BYTES = 63

# A dot at either end or beside another, and what begins the name of a system collection.
_REFUSED = r"[$\0]|\A\.|\.\Z|\.(?=\.)|(?<![^.])s(?=ystem\.)"


class MongoDBV1CollectionSanitizationStrategy(HybridSanitizationStrategy):
    """Stores a collection with other characters than ASCII letters, digits and underscores, or over 200 of them, as
    `S_{text}-{hash fragment}`, as earlier versions did with it.
    """

    def __init__(self) -> None:
        super().__init__(max_length=200, allowed_characters=f"{ascii_letters}{digits}_")


def check_database_name(name: str) -> None:
    """Raise ValueError for a name that a database cannot have on every platform."""
    if not _DATABASE_NAME.fullmatch(name) or len(name.encode(errors="replace")) > _MAX_DATABASE_BYTES:
        message = (
            "db_name must be the name of a database: 1 to 63 bytes, without spaces, NUL and the characters "
            r'/ \ . " $ * < > : | ?'
        )
        raise ValueError(message)


def collection_names(database: str) -> SanitizationStrategy:
    """Names of collections in this database: each as it is where MongoDB takes it, and otherwise escaped."""
    return EscapingStrategy(_REFUSED, _MAX_NAMESPACE_BYTES - len(f"{database}.".encode()))
