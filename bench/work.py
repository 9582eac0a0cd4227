"""Counted work: what a call makes the interpreter do, the same on every machine and under any load.

Neither time nor instructions, but a model in nanoseconds of a slow machine. Every line that runs has a price, and a
loop runs its lines again and again; so has every call of a function in C, and more for each byte that it may have read,
every byte that is hashed or held at once, and every check of an asymmetric signature. That is enough to notice what
grows faster than what is sent. On the compiled build there are no lines to be counted.
"""

import hashlib
import hmac
import re
import sys
import tracemalloc
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

LINE: Final = 200.0
CALL_OF_C: Final = 60.0
BYTE_READ: Final = 1.0
BYTE_MATCHED: Final = 8.0
"""By a regular expression."""
ITEM_READ: Final = 60.0
BYTE_HASHED: Final = 3.0
BYTE_HELD: Final = 0.3
SIGNATURE_CHECKED: Final = 500_000.0
_FREE: Final = frozenset({"len", "isinstance", "append", "get", "add", "next", "iter", "hasattr", "getattr"})
_TEXT: Final = (bytes, bytearray, str)
_ITEMS: Final = (list, tuple, dict, set, frozenset)


class _Counter:
    def __init__(self) -> None:
        self.lines = 0
        self.calls_of_c = 0
        self.price = 0.0

    def trace(self, frame: FrameType, event: str, argument: Any) -> Any:
        self.lines += 1
        return self.trace

    def profile(self, frame: FrameType, event: str, argument: Any) -> None:
        if event != "c_call":
            return
        self.calls_of_c += 1
        name = argument.__name__
        if name == "verify":
            self.price += SIGNATURE_CHECKED
        elif name not in _FREE:
            self.price += self._reach(frame, argument)

    def _reach(self, frame: FrameType, function: Any) -> float:
        """The price of what a function in C may have read: its own object, else the largest that its caller holds."""
        owner = getattr(function, "__self__", None)
        if isinstance(owner, _TEXT) and function.__name__ != "join":
            return len(owner) * BYTE_READ
        held = frame.f_locals.values()
        each = BYTE_MATCHED if isinstance(owner, re.Pattern) else BYTE_READ
        text = max((len(one) for one in held if isinstance(one, _TEXT)), default=0)
        items = max((len(one) for one in held if isinstance(one, _ITEMS)), default=0)
        return text * each + items * ITEM_READ


def work_of(call: Callable[[], object]) -> float:
    """What ``call`` costs in the model's nanoseconds."""
    counter, hashed = _Counter(), [0]
    restore = _count_hashing(hashed)
    tracemalloc.start()
    held = tracemalloc.get_traced_memory()[0]
    sys.setprofile(counter.profile)
    sys.settrace(counter.trace)
    try:
        call()
    finally:
        sys.settrace(None)
        sys.setprofile(None)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        restore()
    counted = counter.lines * LINE + counter.calls_of_c * CALL_OF_C + counter.price
    return counted + hashed[0] * BYTE_HASHED + (peak - held) * BYTE_HELD


def _count_hashing(hashed: list[int]) -> Callable[[], None]:
    """Count the bytes that go into an HMAC or a hash, until the function that is returned is called."""
    digest, new, sha256, md5 = hmac.digest, hmac.new, hashlib.sha256, hashlib.md5

    def count(data: Any) -> None:
        hashed[0] += len(data or b"")

    class CountedHmac(hmac.HMAC):
        def update(self, msg: Any) -> None:
            count(msg)
            super().update(msg)

    def counted_digest(key: Any, msg: Any, digest_name: Any) -> bytes:
        count(msg)
        return digest(key, msg, digest_name)

    replaced: dict[str, Any] = {"digest": counted_digest, "new": CountedHmac}
    for name, function in replaced.items():
        setattr(hmac, name, function)
    hashlib.sha256, hashlib.md5 = _counted_hash(sha256, hashed), _counted_hash(md5, hashed)

    def restore() -> None:
        hmac.digest, hmac.new = digest, new
        hashlib.sha256, hashlib.md5 = sha256, md5

    return restore


def _counted_hash(function: Any, hashed: list[int]) -> Any:
    def counted(data: Any = b"", **more: Any) -> Any:
        hashed[0] += len(data)
        return function(data, **more)

    return counted
