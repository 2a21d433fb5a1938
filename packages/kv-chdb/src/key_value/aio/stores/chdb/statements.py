"""The SQL statements on the table of entries.

Rows are never modified. A put adds a row, and a deletion adds one that has expired. Among the rows of an entry, the one
with the latest `inserted_at` counts, which FINAL selects. ClickHouse drops the others when it merges.
"""

import re
from typing import NamedTuple

__all__ = ["COLUMNS", "STATEMENTS", "Statement", "statement_on"]

COLUMNS = {
    "collection": "String",
    "key": "String",
    "value": "String",
    "created_at": "String",
    "expires_at": "String",
    "version": "Int32",
    "inserted_at": "DateTime64(9, 'UTC')",
}

_FRAGMENTS = {
    "into": f"INSERT INTO [table] ({', '.join(COLUMNS)})",
    "current": "FROM [table] FINAL WHERE",
    "entry": "collection = {collection:String} AND key = {key:String}",
    # With `IN {keys:Array(String)}` chDB 4.4 hangs from 76 000 keys on.
    "among": "collection = {collection:String} AND key IN (SELECT arrayJoin({keys:Array(String)}))",
    # All writers write UTC, so that ISO times sort in chronological order.
    "expired": "(expires_at != '' AND expires_at <= {now:String} AND endsWith(expires_at, '+00:00'))",
    "stamp": "fromUnixTimestamp64Nano({stamp:Int64}, 'UTC')",
    # The version is a digest of the stored values, so that any writer changes it.
    "digest": "lower(hex(MD5(concat(toString(inserted_at), '|', toString(version), '|', expires_at, '|', created_at, "
    "'|', value))))",
    "new": "{collection:String}, {key:String}, {value:String}, {created_at:String}, {expires_at:String}, 1, [stamp]",
    "deletion": "[into] SELECT collection, key, '{}', {now:String}, '1970-01-01T00:00:00+00:00', 1, [stamp] "
    "[current] NOT [expired] AND",
    "latest": "SELECT toString(toUnixTimestamp64Nano(max(inserted_at))) FROM [table]",
    "older": "inserted_at <= [stamp]",
    # Live rows that an expired row replaces. A mutation processes the parts of a table one by one: if it removed the
    # newer, expired row first, the older one would count again.
    "hidden": "NOT [expired] AND [older] AND (collection, key) IN (SELECT collection, key [current] [expired])",
    # Planning for several threads takes longer than reading with a single one.
    "alone": "SETTINGS max_threads = 1",
    "of the table": "database = {database:String} AND table = {table:String}",
    # Excludes the caller's own mutations.
    "removals": "[of the table] AND NOT is_done AND command LIKE '%endsWith(expires_at%'",
    "of collection": "collection = {collection:String} AND",
}


class Statement(NamedTuple):
    sql: str
    columns: str = ""
    """The types of the result's columns, for `load_rows`."""


STATEMENTS = {
    "create": Statement(
        "CREATE TABLE IF NOT EXISTS [table] (collection String, key String, value String, created_at String, "
        "expires_at String, version Int32, inserted_at DateTime64(9, 'UTC') DEFAULT now64(9)) "
        "ENGINE = ReplacingMergeTree(inserted_at) ORDER BY (collection, key)"
    ),
    "latest": Statement("[latest]", "s"),
    "latest in collection": Statement("[latest] WHERE collection = {collection:String}", "s"),
    "latest among": Statement("[latest] WHERE [among]", "s"),
    "get": Statement("SELECT value, version, expires_at [current] [entry] [alone]", "sis"),
    "get_many": Statement("SELECT key, value, version, expires_at [current] [among] [alone]", "ssis"),
    "get_versioned": Statement("SELECT value, version, expires_at, [digest] [current] [entry] [alone]", "siss"),
    "keys": Statement(
        "SELECT key [current] [of collection] key > {after:String} AND startsWith(key, {prefix:String}) "
        "AND NOT [expired] ORDER BY key LIMIT {limit:UInt64} [alone]",
        "s",
    ),
    "collections": Statement("SELECT DISTINCT collection [current] NOT [expired] LIMIT {limit:UInt64} [alone]", "s"),
    # The settings put all rows into one part, which makes the insert atomic. By default a part is limited to 256 MB.
    "put": Statement(
        "[into] [alone], max_insert_block_size = 1000000000, min_insert_block_size_rows = 1000000000, "
        "min_insert_block_size_bytes = 1000000000000"
    ),
    # Reads the value too, because its file may be truncated. PREWHERE would take 1 ms longer.
    "written": Statement(
        "SELECT value FROM [table] WHERE [entry] AND inserted_at >= [stamp] LIMIT 1 "
        "[alone], optimize_move_to_prewhere = 0",
        "s",
    ),
    "latest error": Statement("SELECT name FROM system.errors ORDER BY last_error_time DESC LIMIT 1", "s"),
    "put_if_absent": Statement(
        "[into] SELECT [new] WHERE (SELECT count() [current] [entry] AND NOT [expired]) = 0 [alone]"
    ),
    "put_if_version": Statement(
        "[into] SELECT [new] [current] [entry] AND [digest] = {digest:String} AND NOT [expired] [alone]"
    ),
    "delete": Statement("[deletion] [entry] [alone]"),
    "delete_many": Statement("[deletion] [among] [alone]"),
    "delete_if_version": Statement("[deletion] [entry] AND [digest] = {digest:String} [alone]"),
    "delete_collection": Statement("[deletion] collection = {collection:String}"),
    "has hidden": Statement("SELECT '' FROM [table] WHERE [hidden] LIMIT 1", "s"),
    "remove hidden": Statement("ALTER TABLE [table] DELETE WHERE [hidden] SETTINGS mutations_sync = 0"),
    "has expired": Statement("SELECT '' FROM [table] WHERE [expired] AND [older] LIMIT 1", "s"),
    "remove expired": Statement("ALTER TABLE [table] DELETE WHERE [expired] AND [older] SETTINGS mutations_sync = 0"),
    "removal": Statement(
        "SELECT toString(sum(parts_to_do) - "
        "assumeNotNull((SELECT sum(progress) FROM system.merges WHERE [of the table]))) FROM system.mutations "
        "WHERE [removals] HAVING count() > 0",
        "s",
    ),
    "kill removal": Statement("KILL MUTATION WHERE [removals]"),
    "destroy": Statement("TRUNCATE TABLE [table]"),
}

_FRAGMENT = re.compile(r"\[([a-z ]+)\]")


def statement_on(table: str, name: str) -> str:
    """Return the SQL text of a statement, for a quoted table name."""
    sql = STATEMENTS[name].sql
    while _FRAGMENT.search(sql):
        sql = _FRAGMENT.sub(lambda found: _FRAGMENTS.get(found[1], "\0"), sql)
    return sql.replace("\0", table)
