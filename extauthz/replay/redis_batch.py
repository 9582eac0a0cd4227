"""What one round trip to the shared store asks about many values, and what its replies mean.

A script does for all keys of a batch what two commands would do for each: on our side a command of the client library
costs some twenty times what a key of the script costs. A script cannot be run over several nodes of a Cluster, and not
by a user who may not: there the two commands it is.
"""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from extauthz.decide.replay import REPEAT_MS, Outcome
from extauthz.domain.decision import OneTimeUse
from extauthz.later import Later

CLOCKS_MS: Final = 10_000
"""How far the clocks of two replicas may lie apart, in milliseconds. A replica whose clock is behind still accepts a
proof that has expired for the others, so values are kept for so much longer."""
_SCRIPT: Final = b"""\
local told, stored = {""}, {}
for number, key in ipairs(KEYS) do
  if redis.call("SET", key, ARGV[2 * number - 1], "NX", "PX", ARGV[2 * number]) then
    stored[number] = "1"
  else
    stored[number] = "0"
    local found = redis.pcall("GET", key)
    told[#told + 1] = type(found) == "string" and found or ""
  end
end
told[1] = table.concat(stored)
return told
"""
_SHA1: Final = hashlib.sha1(_SCRIPT, usedforsecurity=False).hexdigest().encode()
_FIRST: Final = (True, None)


class Asked(NamedTuple):
    """One value that is to be recorded."""

    use: OneTimeUse
    now_ms: int
    keys: tuple[bytes, ...]
    """Where the store keeps it."""
    outcome: Later[Outcome]

    def value(self) -> bytes:
        """What is kept at each of its keys."""
        return b"%d:%s" % (self.now_ms, self.use.fingerprint.hex().encode())

    def lives_ms(self) -> int:
        """How long it is kept."""
        return max(0, self.use.expires_ms - self.now_ms) + CLOCKS_MS


Answer = Sequence[tuple[Any, Any]]
"""For each key of a value whether it was stored now, and what was there if not."""


def put_script(pipe: Any, batch: list[Asked], is_known: bool) -> None:
    """One command for the whole batch. ``is_known``: the store has the script already."""
    keys = [key for asked in batch for key in asked.keys]
    arguments: list[bytes] = []
    for asked in batch:
        both = (asked.value(), b"%d" % asked.lives_ms())
        arguments += both * len(asked.keys)
    run = (b"EVALSHA", _SHA1) if is_known else (b"EVAL", _SCRIPT)
    pipe.execute_command(*run, len(keys), *keys, *arguments)


def take_script(batch: list[Asked], reply: Any) -> list[Answer]:
    """What the script's reply says of each value. Raises it where it is an error."""
    if isinstance(reply, Exception):
        raise reply
    stored, *found = reply
    if b"0" not in stored:
        return [(_FIRST,) * len(asked.keys) for asked in batch]
    flags, others = iter(stored.decode()), iter(found)
    return [[_FIRST if next(flags) == "1" else (None, next(others)) for _ in asked.keys] for asked in batch]


def put_commands(pipe: Any, batch: list[Asked]) -> None:
    """Two commands for each key."""
    for asked in batch:
        for key in asked.keys:
            pipe.set(key, asked.value(), nx=True, px=asked.lives_ms())
            pipe.get(key)


def take_commands(batch: list[Asked], replies: Iterator[Any]) -> list[Answer]:
    """What their replies say of each value."""
    return [[(next(replies), next(replies)) for _ in asked.keys] for asked in batch]


def outcome_of(asked: Asked, answer: Answer) -> Outcome:
    """What the replies for one value mean: it is new only where each of its keys is."""
    outcomes = {_outcome_of_key(asked, stored, found) for stored, found in answer}
    return next(
        one for one in (Outcome.UNAVAILABLE, Outcome.USED, Outcome.ASKED_AGAIN, Outcome.FIRST) if one in outcomes
    )


def _outcome_of_key(asked: Asked, stored: Any, found: Any) -> Outcome:
    if isinstance(stored, Exception):
        return Outcome.UNAVAILABLE
    if stored:
        return Outcome.FIRST
    if not isinstance(found, bytes):  # it expired between the two commands, or cannot be read: it was there
        return Outcome.USED
    first_ms, _, fingerprint = found.partition(b":")
    same = bool(asked.use.fingerprint) and fingerprint == asked.use.fingerprint.hex().encode()
    # Two replicas' clocks may differ, so the first one may lie in the future.
    again = same and first_ms.isdigit() and abs(asked.now_ms - int(first_ms)) <= REPEAT_MS
    return Outcome.ASKED_AGAIN if again else Outcome.USED
