"""Runtime keys: a layer of the bootstrap may say something else than the default that stands beside a key."""

from typing import Any

from extauthz.envoy.doctor.tree import Json, dig, items, mappings


def with_runtime(bootstrap: Json) -> Any:
    """The bootstrap with what its static layers say in the place of the defaults; later layers win."""
    said: dict[str, Any] = {}
    for _, layer in mappings(dig(bootstrap, "layered_runtime", "layers")):
        said.update(_flat("", layer.get("static_layer")))
    return _applied(bootstrap, said) if said else bootstrap


def _flat(prefix: str, layer: Any) -> dict[str, Any]:
    """``{a: {b: 1}}`` and ``{a.b: 1}`` name the same key. A fraction is a value."""
    found: dict[str, Any] = {}
    for key, value in items(layer):
        if isinstance(value, dict) and "numerator" not in value:
            found |= _flat(f"{prefix}{key}.", value)
        else:
            found[f"{prefix}{key}"] = value
    return found


def _applied(node: Any, said: dict[str, Any]) -> Any:
    if isinstance(node, list):
        return [_applied(item, said) for item in node]
    if not isinstance(node, dict):
        return node
    value = said.get(str(node.get("runtime_key")))
    if value is None or "default_value" not in node:
        return {key: _applied(item, said) for key, item in node.items()}
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = {"numerator": int(value), "denominator": "HUNDRED"}
    return node | {"default_value": value}
