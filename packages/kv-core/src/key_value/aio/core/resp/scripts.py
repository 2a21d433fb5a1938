"""What is done on the server in one piece."""

from hashlib import sha1

__all__ = ["DELETE_IF_DIGEST", "PUT_IF_ABSENT", "PUT_IF_DIGEST", "SET_EACH", "Script"]


class Script:
    """A script, and the digest by which a server that has seen it knows it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.digest: str = sha1(text.encode()).hexdigest()  # noqa: S324 — by which servers know scripts


# A script that has written does not fail afterwards: each ends with its one write.
# https://redis.io/docs/latest/develop/programmability/eval-intro/

PUT_IF_ABSENT = Script("""
local stored = redis.call('GET', KEYS[1])
if stored then return stored end
redis.call('SET', KEYS[1], unpack(ARGV))
return false
""")
"""Arguments: those of SET after the key. Nothing, or what is stored and therefore stays."""

PUT_IF_DIGEST = Script("""
local stored = redis.call('GET', KEYS[1])
if not stored or redis.sha1hex(stored) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], unpack(ARGV, 2))
return 1
""")
"""Arguments: the digest of what must be stored, then those of SET after the key. Whether it was put."""

DELETE_IF_DIGEST = Script("""
local stored = redis.call('GET', KEYS[1])
if not stored or redis.sha1hex(stored) ~= ARGV[1] then return 0 end
return redis.call('UNLINK', KEYS[1])
""")
"""Argument: the digest of what must be stored. Whether it was removed."""

SET_EACH = Script("""
for number, name in ipairs(KEYS) do
    redis.call('SET', name, ARGV[number + 1], 'PX', ARGV[1])
end
""")
"""Arguments: milliseconds until they expire, then a string for each key."""
