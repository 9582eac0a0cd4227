"""Matcher trees (xds.type.matcher.v3 and its older twin): every outcome that a request can come to."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from extauthz.envoy.doctor.reading.typed import Typed, unwrap
from extauthz.envoy.doctor.tree import Json, Path, dig, items, mappings

_KNOWN: Final = frozenset({"matcher_list", "matcher_tree", "on_no_match"})
_MAPS: Final = ("exact_match_map", "prefix_match_map")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a tree comes to: an action, nothing at all, or something that was not understood."""

    path: Path
    action: Typed | None = None
    understood: bool = True


def outcomes(tree: Any, path: Path) -> Iterator[Outcome]:
    """Every action that the tree may choose, and one outcome without action where it may choose none."""
    if not isinstance(tree, dict) or not tree.keys() <= _KNOWN:
        yield Outcome(path, understood=False)
        return
    for index, one in mappings(dig(tree, "matcher_list", "matchers")):
        place = (*path, "matcher_list", "matchers", index, "on_match")
        yield from _on_match(one.get("on_match"), place)
    if "matcher_tree" in tree:
        yield from _branches(tree["matcher_tree"], (*path, "matcher_tree"))
    if "on_no_match" in tree:
        yield from _on_match(tree["on_no_match"], (*path, "on_no_match"))
    else:
        yield Outcome(path)


def _branches(tree: Any, path: Path) -> Iterator[Outcome]:
    found = False
    for kind in _MAPS:
        for key, on_match in items(dig(tree, kind, "map")):
            found = True
            yield from _on_match(on_match, (*path, kind, "map", key))
    if isinstance(tree, dict) and "custom_match" in tree:
        for place, on_match in _inside(tree["custom_match"], (*path, "custom_match")):
            found = True
            yield from _on_match(on_match, place)
    if not found:
        yield Outcome(path, understood=False)


def _inside(node: Any, path: Path) -> Iterator[tuple[Path, Json]]:
    """Matchers of ranges, domains or tries keep their branches under ``on_match``, at different depths."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "on_match" and isinstance(value, dict):
                yield (*path, key), value
            else:
                yield from _inside(value, (*path, key))
    elif isinstance(node, list):
        for index, item in enumerate(node):
            yield from _inside(item, (*path, index))


def _on_match(on_match: Any, path: Path) -> Iterator[Outcome]:
    if not isinstance(on_match, dict):
        yield Outcome(path, understood=False)
    elif "matcher" in on_match:
        for outcome in outcomes(on_match["matcher"], (*path, "matcher")):
            # Where a nested tree chooses nothing, Envoy goes on in the tree around it.
            if outcome.action is not None or not outcome.understood:
                yield outcome
    elif "action" in on_match:
        action = on_match["action"]
        config = action.get("typed_config") if isinstance(action, dict) else None
        yield Outcome((*path, "action"), unwrap(config, (*path, "action", "typed_config")), isinstance(config, dict))
    else:
        yield Outcome(path, understood=False)
