"""Typed configuration: what is inside, and what the levels of routing say to one filter, as Envoy resolves it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from extauthz.envoy.doctor.tree import Json, Path, dig

FILTER_CONFIG: Final = "envoy.config.route.v3.FilterConfig"
"""Wraps any configuration of a route to switch the filter on or off."""


@dataclass(frozen=True, slots=True)
class Typed:
    """A message out of an Any, with its place."""

    name: str
    """Full name of the message, empty where the file does not say."""
    config: Json
    path: Path

    @property
    def type(self) -> str:
        """The last part of the name."""
        return self.name.rpartition(".")[2]


def unwrap(value: Any, path: Path) -> Typed:
    """A typed_config, taken out of a TypedStruct where it is in one."""
    if not isinstance(value, dict):
        return Typed("", {}, path)
    name = str(value.get("@type") or "").rpartition("/")[2]
    if name.rpartition(".")[2] == "TypedStruct":
        name, path, value = str(value.get("type_url") or "").rpartition("/")[2], (*path, "value"), value.get("value")
    return Typed(name, value if isinstance(value, dict) else {}, path)


def mentions(node: Any, text: str) -> bool:
    """Whether a type with this in its name is somewhere inside."""
    if isinstance(node, dict):
        named = (str(node.get("@type") or ""), str(node.get("type_url") or ""))
        return any(text in name for name in named) or any(mentions(value, text) for value in node.values())
    return isinstance(node, list) and any(mentions(item, text) for item in node)


@dataclass(slots=True)
class Said:
    """What the levels say to one filter. The most specific wins, but for what is merged."""

    enabled: bool | None = None
    """On or off; None where nobody says."""
    enabled_at: Path = ()
    config: Typed | None = None
    """The most specific configuration. It need not stand where ``enabled`` was said."""
    check: dict[str, Any] = field(default_factory=dict)
    """``check_settings`` of the most specific configuration, with the context_extensions of all."""


def said(name: str, levels: Sequence[tuple[Path, Json]]) -> Said:
    """Resolve what route configuration, virtual host, route and weighted cluster say to the filter of this name.

    Envoy 1.40, PerFilterConfigs: any entry switches the filter on; FilterConfig{disabled} switches it off and its
    configuration is ignored; a FilterConfig around an empty configuration switches it on and configures nothing.
    """
    result = Said()
    extensions: dict[str, Any] = {}
    for enabled, place, config in _entries(name, levels):
        result.enabled, result.enabled_at = enabled, place
        if config is None:
            continue
        result.config = config
        settings = config.config.get("check_settings")
        result.check = dict(settings) if isinstance(settings, dict) else {}
        more = result.check.get("context_extensions")
        extensions |= more if isinstance(more, dict) else {}
        if extensions:
            result.check["context_extensions"] = dict(extensions)
    return result


def _entries(name: str, levels: Sequence[tuple[Path, Json]]) -> Iterator[tuple[bool, Path, Typed | None]]:
    for level_path, level in levels:
        entry = dig(level, "typed_per_filter_config", name)
        if not isinstance(entry, dict):
            continue
        place = (*level_path, "typed_per_filter_config", name)
        outer = unwrap(entry, place)
        if outer.name != FILTER_CONFIG:
            yield True, place, outer
        elif outer.config.get("disabled") is True:
            yield False, (*outer.path, "disabled"), None
        else:
            inner = outer.config.get("config")
            yield True, place, unwrap(inner, (*outer.path, "config")) if inner else None
