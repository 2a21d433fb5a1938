"""Valid names of databases and collections: https://www.mongodb.com/docs/manual/reference/limits/"""

import re
from string import ascii_letters, digits

from key_value.aio.core.sanitization import EscapingStrategy, HybridSanitizationStrategy, SanitizationStrategy

__all__ = ["MongoDBV1CollectionSanitizationStrategy", "check_database_name", "collection_names"]

# Database name, dot and collection name together.
_MAX_NAMESPACE_BYTES = 255

_DATABASE_NAME = re.compile(r'[^/\\. "$*<>:|?\0]+')
_MAX_DATABASE_BYTES = 63

# Dollar sign, NUL, leading, trailing and double dots, and the start of names of system collections.
_INVALID = r"[$\0]|\A\.|\.\Z|\.(?=\.)|(?<![^.])s(?=ystem\.)"


class MongoDBV1CollectionSanitizationStrategy(HybridSanitizationStrategy):
    """Stores collections like earlier versions with this strategy.

    A name with other characters than ASCII letters, digits and underscores, or with over 200 characters, is stored as
    `S_{text}-{hash fragment}`.
    """

    def __init__(self) -> None:
        super().__init__(max_length=200, allowed_characters=f"{ascii_letters}{digits}_")


def check_database_name(name: str) -> None:
    """Raise ValueError for a database name that is not valid on all platforms."""
    if not _DATABASE_NAME.fullmatch(name) or len(name.encode(errors="replace")) > _MAX_DATABASE_BYTES:
        message = (
            "db_name must be a valid database name: 1 to 63 bytes, without spaces, NUL and the characters "
            r'/ \ . " $ * < > : | ?'
        )
        raise ValueError(message)


def collection_names(database: str) -> SanitizationStrategy:
    """Return the strategy for collections in this database, which escapes names that MongoDB rejects."""
    return EscapingStrategy(_INVALID, _MAX_NAMESPACE_BYTES - len(f"{database}.".encode()))
