"""Walking the user's file: keys, lists and mappings of which none need be there, or be what it should."""

from collections.abc import Iterator, Mapping
from typing import Any

Path = tuple[str | int, ...]
"""Keys and list positions from the top of the file; with several documents the first part names the document."""
Json = Mapping[str, Any]


def dig(node: Any, *keys: str | int) -> Any:
    """Follow keys and positions; None where the way ends."""
    for key in keys:
        if isinstance(key, int):
            if not isinstance(node, list) or key >= len(node):
                return None
            node = node[key]
        else:
            if not isinstance(node, Mapping):
                return None
            node = node.get(key)
    return node


def mappings(node: Any) -> Iterator[tuple[int, Json]]:
    """The mappings of a list, each with its position; nothing where there is no list."""
    if isinstance(node, list):
        for index, item in enumerate(node):
            if isinstance(item, Mapping):
                yield index, item


def items(node: Any) -> Iterator[tuple[str, Any]]:
    """Keys and values of a mapping; nothing where there is none."""
    if isinstance(node, Mapping):
        yield from node.items()


def is_false(value: Any) -> bool:
    """A boolean that is written down as false."""
    return value is False or (isinstance(value, Mapping) and value.get("value", False) is False)


def merged(base: Json, over: Json) -> dict[str, Any]:
    """Two mappings as one, the second winning key by key, at every depth."""
    result = dict(base)
    for key, value in over.items():
        below = result.get(key)
        result[key] = merged(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return result
