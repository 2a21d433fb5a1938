"""Lua scripts, which the server executes atomically."""

from hashlib import sha1

__all__ = ["DELETE_IF_DIGEST", "PUT_IF_ABSENT", "PUT_IF_DIGEST", "SET_EACH", "Script"]


class Script:
    """A script, and the digest that identifies it on a server that has cached it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.digest: str = sha1(text.encode()).hexdigest()  # noqa: S324 — required by EVALSHA


# Scripts are not rolled back. A conditional one ends with its only write, so that it cannot fail after writing.
# https://redis.io/docs/latest/develop/programmability/eval-intro/

PUT_IF_ABSENT = Script("""
local stored = redis.call('GET', KEYS[1])
if stored then return stored end
redis.call('SET', KEYS[1], unpack(ARGV))
return false
""")
"""Arguments: those of SET after the key. Returns nil if it stored them, else the existing string, which it keeps."""

PUT_IF_DIGEST = Script("""
local stored = redis.call('GET', KEYS[1])
if not stored or redis.sha1hex(stored) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], unpack(ARGV, 2))
return 1
""")
"""Arguments: the digest of the expected string, then those of SET after the key. Returns 1 if stored, else 0."""

DELETE_IF_DIGEST = Script("""
local stored = redis.call('GET', KEYS[1])
if not stored or redis.sha1hex(stored) ~= ARGV[1] then return 0 end
return redis.call('UNLINK', KEYS[1])
""")
"""Argument: the digest of the expected string. Returns 1 if removed, else 0."""

SET_EACH = Script("""
for number, name in ipairs(KEYS) do
    redis.call('SET', name, ARGV[number + 1], 'PX', ARGV[1])
end
""")
"""Arguments: the expiry in milliseconds, then a string for each key."""
