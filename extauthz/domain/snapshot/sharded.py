"""Mappings in shards: no operation on one takes longer because it is large.

A dictionary of a million entries holds the interpreter, and with it every check, for tens of milliseconds when it
grows or is copied.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")

_SHARD_SIZE: Final = 1024
"""Entries of a shard, about: a change copies one shard and the list of all of them, so neither may be long."""
_MAX_SHARDS: Final = 4096
_GROWING_SHARDS: Final = 256
"""Of a map whose size nobody knows beforehand. A million entries are 4,000 in each, and one grows in 0.2 ms."""


class GrowingMap(Generic[Key, Value]):
    """Entries by key, in shards: no step of its growing takes long. Belongs to whoever fills it."""

    __slots__ = ("_shards",)

    def __init__(self, entries: Iterable[tuple[Key, Value]] = ()) -> None:
        self._shards: list[dict[Key, Value]] = [{} for _ in range(_GROWING_SHARDS)]
        for key, value in entries:
            self[key] = value

    def __setitem__(self, key: Key, value: Value) -> None:
        self._shards[hash(key) & (_GROWING_SHARDS - 1)][key] = value

    def __getitem__(self, key: Key) -> Value:
        return self._shards[hash(key) & (_GROWING_SHARDS - 1)][key]

    def __contains__(self, key: object) -> bool:
        return key in self._shards[hash(key) & (_GROWING_SHARDS - 1)]

    def __len__(self) -> int:
        return sum([len(shard) for shard in self._shards])

    def get(self, key: Key) -> Value | None:
        """The value of a key, or None."""
        return self._shards[hash(key) & (_GROWING_SHARDS - 1)].get(key)

    def setdefault(self, key: Key, value: Value) -> Value:
        """The value of a key, which becomes this one where there was none."""
        return self._shards[hash(key) & (_GROWING_SHARDS - 1)].setdefault(key, value)

    def __iter__(self) -> Iterator[Key]:
        for shard in self._shards:
            yield from shard

    def parts(self) -> list[dict[Key, Value]]:
        """The shards."""
        return self._shards.copy()


class ShardedMap(Generic[Key, Value]):
    """Entries by key, in shards. A changed copy shares every shard that it leaves alone.

    Readers hold one map and see all of a change or none of it, without a lock: the copy is another object.
    """

    __slots__ = ("_length", "_mask", "_shards")

    def __init__(self, entries: Mapping[Key, Value], expected: int = 0) -> None:
        """``expected`` is how many entries there will be, where many are going to be added by changes."""
        shards = 1
        while shards * _SHARD_SIZE < max(len(entries), expected) and shards < _MAX_SHARDS:
            shards *= 2
        self._mask = shards - 1
        self._length = len(entries)
        self._shards: list[dict[Key, Value]] = [dict(entries)] if shards == 1 else self._distribute(entries, shards)

    @classmethod
    def taking(cls, grown: GrowingMap[Key, Value]) -> "ShardedMap[Key, Value]":
        """A map of what has grown, whose shards it takes: nobody may fill ``grown`` any further."""
        if len(grown) <= _SHARD_SIZE:
            return cls({key: value for shard in grown.parts() for key, value in shard.items()})
        return cls._of(grown.parts(), _GROWING_SHARDS - 1, len(grown))

    @staticmethod
    def _distribute(entries: Mapping[Key, Value], shards: int) -> list[dict[Key, Value]]:
        parts: list[dict[Key, Value]] = [{} for _ in range(shards)]
        for key, value in entries.items():
            parts[hash(key) & (shards - 1)][key] = value
        return parts

    def get(self, key: Key) -> Value | None:
        """The value of a key, or None."""
        shards = self._shards
        if self._mask == 0:
            return shards[0].get(key)
        return shards[hash(key) & self._mask].get(key)

    def __len__(self) -> int:
        return self._length

    def items(self) -> Iterator[tuple[Key, Value]]:
        """Every entry, in no order."""
        for shard in self._shards:
            yield from shard.items()

    def parts(self) -> list[dict[Key, Value]]:
        """The shards."""
        return self._shards.copy()

    def changed(self, changes: Iterable[tuple[Key, Value | None]]) -> "ShardedMap[Key, Value]":
        """A copy with these entries set, or removed where the value is None. The last change of a key counts."""
        copied: dict[int, dict[Key, Value]] = {}
        length = self._length
        for key, value in changes:
            index = hash(key) & self._mask
            shard = copied.get(index)
            if shard is None:
                shard = copied[index] = self._shards[index].copy()
            length -= len(shard)
            if value is None:
                shard.pop(key, None)
            else:
                shard[key] = value
            length += len(shard)
        shards = self._shards.copy()
        for index, shard in copied.items():
            shards[index] = shard
        return self._of(shards, self._mask, length)

    @classmethod
    def _of(cls, shards: list[dict[Key, Value]], mask: int, length: int) -> "ShardedMap[Key, Value]":
        made = cls({})
        if length > 2 * _SHARD_SIZE * len(shards) and len(shards) < _MAX_SHARDS:
            return cls({key: value for shard in shards for key, value in shard.items()})
        made._shards, made._mask, made._length = shards, mask, length
        return made
