"""SQL statements. See docs/backends/disk.md for the table."""

PUT = """
INSERT INTO entries (collection, key, created_at, expires_at, value, used_at, revision) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (collection, key) DO UPDATE SET
    created_at = excluded.created_at, expires_at = excluded.expires_at, value = excluded.value,
    used_at = excluded.used_at, revision = excluded.revision
"""
FIND = "SELECT id, key, expires_at, value FROM entries WHERE collection = ?"
FIND_ONE = f"{FIND} AND key = ?"
FIND_VERSIONED = "SELECT id, key, expires_at, value, created_at, revision FROM entries WHERE collection = ? AND key = ?"
# Uses the index of collection and key. Given two lower bounds, SQLite would start at the first and scan to the other.
KEYS = """
SELECT key FROM entries
WHERE collection = ? AND key >= ? AND key < ? AND (expires_at IS NULL OR expires_at > ?) ORDER BY key LIMIT ?
"""
NEXT_COLLECTION = """
SELECT collection FROM entries WHERE collection > ? AND (expires_at IS NULL OR expires_at > ?)
ORDER BY collection LIMIT 1
"""
DELETE = "DELETE FROM entries WHERE collection = ? AND key = ? AND (expires_at IS NULL OR expires_at > ?)"
SWEEP = "DELETE FROM entries WHERE id IN (SELECT id FROM entries WHERE expires_at <= ? LIMIT ?)"
# Excludes the most recently used entry, which is never evicted, however large.
LEAST_RECENTLY_USED = """
SELECT id, length(key) + length(value) FROM entries
WHERE used_at < (SELECT max(used_at) FROM entries) ORDER BY used_at
"""
