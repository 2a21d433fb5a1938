"""The table of entries: its statements and its required structure."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["Table"]

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_MAX_IDENTIFIER_LENGTH = 63

_COLUMN_TYPES = {
    "collection": {"text", "character varying"},
    "key": {"text", "character varying"},
    "value": {"jsonb"},
    "ttl": {"double precision"},
    "created_at": {"timestamp with time zone"},
    "expires_at": {"timestamp with time zone"},
}

# In byte order, unlike in a linguistic collation, a prefix is a range of the index.
_CREATE = """
CREATE TABLE {table} (
    collection TEXT COLLATE "C" NOT NULL, key TEXT COLLATE "C" NOT NULL, value JSONB NOT NULL, ttl DOUBLE PRECISION,
    created_at TIMESTAMPTZ, expires_at TIMESTAMPTZ, PRIMARY KEY (collection, key)
);
CREATE INDEX "{index}" ON {table} (expires_at) WHERE expires_at IS NOT NULL;
"""

# Returns a row for each column, none if the table does not exist.
_INSPECT = """
SELECT a.attname AS name, format_type(a.atttypid, NULL) AS type, c.relkind IN ('r', 'p') AS is_table,
    current_setting('server_encoding') AS encoding, current_setting('transaction_read_only') = 'on' AS is_read_only,
    current_user AS "user",
    ARRAY(SELECT r FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS r
        WHERE NOT has_table_privilege(c.oid, r)) AS missing_rights,
    EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL
        AND i.indnkeyatts = 2 AND ARRAY(SELECT k.attname::text FROM pg_attribute k WHERE k.attrelid = c.oid
            AND k.attnum = ANY(i.indkey::int2[]) ORDER BY 1) = ARRAY['collection', 'key']) AS has_key,
    CASE l.collprovider
        WHEN 'c' THEN l.collcollate IN ('C', 'POSIX')
        WHEN 'd' THEN CASE coalesce(to_jsonb(d) ->> 'datlocprovider', 'c')
            WHEN 'c' THEN d.datcollate IN ('C', 'POSIX') ELSE to_jsonb(d) ->> 'datlocprovider' = 'b' END
        ELSE l.collprovider::text = 'b'
    END AS is_bytewise
FROM pg_class c
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_database d ON d.datname = current_database()
    LEFT JOIN pg_collation l ON l.oid = a.attcollation
WHERE c.oid = to_regclass($1)
"""

_FRAGMENTS = {
    "columns": "(collection, key, value, ttl, created_at, expires_at)",
    "replace": "ON CONFLICT (collection, key) DO UPDATE SET value = EXCLUDED.value, ttl = EXCLUDED.ttl, "
    "created_at = EXCLUDED.created_at, expires_at = EXCLUDED.expires_at",
    "entry": "collection = $1 AND key = $2",
    # The writing transaction and the physical location: each write creates another row version.
    "version": "xmin::text || ctid::text",
    "listed": "key, CASE WHEN strpos(key, '\uffff#') > 0 THEN value::text END AS named",
    # Rows are locked in a fixed order, so that two batches cannot deadlock.
    "locked": "ORDER BY collection, key FOR UPDATE",
    "delete": "DELETE FROM {table} AS t USING target WHERE t.collection = target.collection AND t.key = target.key",
}
_STATEMENTS = {
    "get": "SELECT value::text, expires_at FROM {table} WHERE {entry}",
    "get_many": "SELECT key, value::text, expires_at FROM {table} WHERE collection = $1 AND key = ANY($2::text[])",
    "get_versioned": "SELECT value::text, expires_at, {version} FROM {table} WHERE {entry}",
    # The parameter is cast from text because a caller's pool may have a custom codec for jsonb.
    "put": "INSERT INTO {table} {columns} VALUES ($1, $2, $3::text::jsonb, $4, $5, $6) {replace}",
    "put_many": "INSERT INTO {table} {columns} SELECT $1, key, value::jsonb, $4, $5, $6 "
    "FROM unnest($2::text[], $3::text[]) AS given (key, value) ORDER BY key {replace}",
    "put_if_absent": "INSERT INTO {table} AS t {columns} VALUES ($1, $2, $3::text::jsonb, $4, $5, $6) {replace} "
    "WHERE t.expires_at <= $5 RETURNING 1",
    "put_if_version": "UPDATE {table} SET value = $3::text::jsonb, ttl = $4, created_at = $5, expires_at = $6 "
    "WHERE {entry} AND {version} = $7 AND (expires_at IS NULL OR expires_at > $5) RETURNING 1",
    "delete": "DELETE FROM {table} WHERE {entry} RETURNING expires_at IS NULL OR expires_at > $3",
    "delete_many": "WITH target AS (SELECT collection, key FROM {table} WHERE collection = $1 "
    "AND key = ANY($2::text[]) {locked}) {delete} RETURNING t.expires_at IS NULL OR t.expires_at > $3",
    "delete_if_version": "DELETE FROM {table} WHERE {entry} AND {version} = $3 "
    "AND (expires_at IS NULL OR expires_at > $4) RETURNING 1",
    "keys_from": "SELECT {listed} FROM {table} WHERE collection = $1 AND key > $2 AND key >= $3 "
    "AND (expires_at IS NULL OR expires_at > $4) ORDER BY key LIMIT $5",
    "keys_between": "SELECT {listed} FROM {table} WHERE collection = $1 AND key > $2 AND key >= $3 AND key < $6 "
    "AND (expires_at IS NULL OR expires_at > $4) ORDER BY key LIMIT $5",
    "keys_starting": "SELECT {listed} FROM {table} WHERE collection = $1 AND key > $2 AND starts_with(key, $3) "
    "AND (expires_at IS NULL OR expires_at > $4) ORDER BY key LIMIT $5",
    # A loose index scan: jumps from collection to collection, however many entries each has.
    "collections": "WITH RECURSIVE each AS ((SELECT collection FROM {table} ORDER BY collection LIMIT 1) UNION ALL "
    "SELECT (SELECT t.collection FROM {table} AS t WHERE t.collection > each.collection ORDER BY t.collection LIMIT 1) "
    "FROM each WHERE each.collection IS NOT NULL) SELECT collection, CASE WHEN strpos(collection, '\uffff#') > 0 THEN "
    "(SELECT t.value::text FROM {table} AS t WHERE t.collection = each.collection ORDER BY t.key LIMIT 1) END AS named "
    "FROM each WHERE (SELECT true FROM {table} AS t WHERE t.collection = each.collection "
    "AND (t.expires_at IS NULL OR t.expires_at > $1) ORDER BY t.key LIMIT 1) LIMIT $2",
    "destroy_collection": "WITH target AS MATERIALIZED (SELECT collection, key FROM {table} WHERE collection = $1 "
    "AND key > $2 ORDER BY key LIMIT $3 FOR UPDATE), deleted AS ({delete} RETURNING t.expires_at) SELECT "
    "(SELECT max(key) FROM target), EXISTS (SELECT FROM deleted WHERE expires_at IS NULL OR expires_at > $4)",
    "destroy": "WITH target AS MATERIALIZED (SELECT collection, key FROM {table} WHERE (collection, key) > ($1, $2) "
    "ORDER BY collection, key LIMIT $3 FOR UPDATE), deleted AS ({delete}) "
    "SELECT collection, key FROM target ORDER BY collection DESC, key DESC LIMIT 1",
    "cull": "WITH target AS MATERIALIZED (SELECT collection, key FROM {table} WHERE expires_at <= $1 "
    "ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED), deleted AS ({delete} AND t.expires_at <= $1 RETURNING 1) "
    "SELECT count(*) FROM deleted",
}


class Table:
    """A table, named `table` or `schema.table`."""

    inspect = _INSPECT

    def __init__(self, name: str) -> None:
        """Raises ValueError for an invalid name."""
        parts = name.split(".")
        if len(parts) > 2 or not all(map(_IDENTIFIER.fullmatch, parts)):  # noqa: PLR2004 — schema and table
            message = (
                "table_name must be a name of up to 63 ASCII letters, digits and underscores that does not begin with "
                f"a digit, or two such names as in schema.table, not {name!r:.80}"
            )
            raise ValueError(message)
        self.name = name
        self.quoted: str = ".".join(f'"{part}"' for part in parts)
        self.create: str = _CREATE.format(
            table=self.quoted, index=f"idx_{parts[-1]}_expires_at"[:_MAX_IDENTIFIER_LENGTH]
        )
        fragments = {name: fragment.format(table=self.quoted) for name, fragment in _FRAGMENTS.items()}
        self.statements: dict[str, str] = {
            name: statement.format(table=self.quoted, **fragments) for name, statement in _STATEMENTS.items()
        }


def structure_error(columns: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the reason why a table with these columns cannot store entries, None if it can."""
    types = {column["name"]: column["type"] for column in columns}
    wrong = [name for name, accepted in _COLUMN_TYPES.items() if types.get(name) not in accepted]
    if not columns[0]["is_table"]:
        return "is not a table"
    if wrong:
        return f"is not a table of entries: its columns {wrong} are missing or of another type"
    if not columns[0]["has_key"]:
        return "is not a table of entries: it has no primary key (collection, key)"
    return None
