"""The configuration file as others read it: its JSON Schema for editors, and docs/configuration.md for people."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from extauthz.config.schema import ConfigFile

Node = dict[str, Any]
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_EXAMPLE: Final = re.compile(r"```yaml\n(.*?)\n```", re.DOTALL)
_SECRETS: Final = ("FromFile", "FromEnvironment")
"""Forms that stand in so many places that the page explains them once."""
_FORMATS: Final = {
    "duration": "duration",
    "path": "path",
    "date-time": "time with zone",
    "ipnetwork": "address or network",
    "password": "text",
}
_HEAD: Final = """\
# Configuration

Every key of the configuration file, its type, its default, and an example. This page is printed by
`extauthz schema --markdown`; `extauthz schema` prints the same as a JSON Schema, for editors: begin the file with
`# yaml-language-server: $schema=FILE`. What `extauthz check-config` finds beyond it is in
[configuration-checks.md](configuration-checks.md).

- Unknown keys are mistakes. A path counts from the folder of the configuration file.
- A *duration* is a number of seconds (`0.5`, `900`) or ISO 8601 (`PT15M`); a *time with zone* is
  `2027-12-31T00:00:00Z`.
- A *secret* is `{file: PATH}`, `{env: NAME}` or the text itself, see [below](#secrets). Take files: they can change
  while the service runs.
- A reload applies everything but what [operations.md](operations.md#changing-the-configuration-while-it-runs) lists.
"""


def json_schema() -> Node:
    """The JSON Schema of the configuration file."""
    schema = {"$schema": DIALECT, **ConfigFile.model_json_schema()}
    _let_durations_be_numbers(schema)
    return schema


def examples(description: str) -> list[str]:
    """The YAML examples in the description of a section."""
    return _EXAMPLE.findall(description)


def markdown() -> str:
    """The page docs/configuration.md."""
    return "\n".join(_Page(json_schema()).lines()) + "\n"


def _let_durations_be_numbers(node: Any) -> None:
    """A duration is also read from a number of seconds, which the library's schema does not say."""
    for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        _let_durations_be_numbers(inner)
    if isinstance(node, dict) and node.get("format") == "duration":
        node["type"] = ["string", "number"]


class _Page:
    def __init__(self, schema: Node) -> None:
        self._root = schema
        self._sections: Node = schema["$defs"]
        self._places: dict[str, list[str]] = {}
        """By section: where it may stand, in the order of the file."""
        for key, node in schema["properties"].items():
            self._find(node, key)

    def lines(self) -> Iterator[str]:
        """The page, line by line."""
        yield _HEAD
        yield "## The file"
        yield from self._section(self._root)
        for name in self._places:
            if name not in _SECRETS:
                yield f"\n## {self._title(name)}"
                yield from self._section(self._sections[name])
        yield "\n## Secrets"
        for name in _SECRETS:
            yield from self._section(self._sections[name])

    def _find(self, node: Node, place: str) -> None:
        """Note which sections may stand at ``place``, and below it."""
        name = node.get("$ref", "").rpartition("/")[2]
        section = self._sections.get(name, {})
        if "properties" in section:
            is_new = name not in self._places
            places = self._places.setdefault(name, [])
            if place not in places:
                places.append(place)
            for key, inner in section["properties"].items() if is_new else ():
                self._find(inner, f"{place}.{key}")
        for kind in ("anyOf", "oneOf"):
            for inner in node.get(kind, ()):
                self._find(inner, place)
        if "items" in node:
            self._find(node["items"], f"{place}[]")
        for inner in (node.get("additionalProperties"), *node.get("patternProperties", {}).values()):
            if isinstance(inner, dict):
                self._find(inner, f"{place}.NAME")

    def _title(self, name: str) -> str:
        kind = self._sections[name]["properties"].get("type", {}).get("const")
        shown = self._first_places(name)
        if kind:
            shown.append(f"type: {kind}")
        elif any(self._first_places(other) == shown for other in self._places if other not in (name, *_SECRETS)):
            shown = [*shown, next(iter(self._sections[name]["properties"]))]
        return ", ".join(f"`{one}`" for one in shown)

    def _first_places(self, name: str) -> list[str]:
        return sorted(self._places[name], key=len)[:2]

    def _section(self, section: Node) -> Iterator[str]:
        told: str = section["description"]
        yield f"\n{_EXAMPLE.sub('', told).strip()}\n"
        for example in examples(told):
            yield f"```yaml\n{example}\n```\n"
        yield "| key | type | default | |"
        yield "|---|---|---|---|"
        required = section.get("required", ())
        for key, node in section["properties"].items():
            default = "required" if key in required else self._default(node)
            what = node.get("description", "").replace("|", "\\|")
            yield f"| `{key}` | {self._type(node)} | {default} | {what} |"

    def _default(self, node: Node) -> str:
        default = node.get("default")
        if default in (None, "") or (isinstance(default, dict) and "$ref" in node):
            return ""
        text = json.dumps(default, ensure_ascii=False)
        return f"`{text.strip(chr(34))}`" if isinstance(default, str) else f"`{text}`"

    def _type(self, node: Node) -> str:
        for kind in ("anyOf", "oneOf"):
            if kind in node:
                return self._either([one for one in node[kind] if one.get("type") != "null"])
        if "$ref" in node:
            return self._named(node["$ref"].rpartition("/")[2])
        if "const" in node:
            return f"`{node['const']}`"
        if "enum" in node:
            return ", ".join(f"`{one}`" for one in node["enum"])
        return self._plain(node)

    def _either(self, choices: list[Node]) -> str:
        names = {one.get("$ref", "").rpartition("/")[2] for one in choices}
        if names >= set(_SECRETS):
            return "[secret](#secrets)"
        return " or ".join(dict.fromkeys(self._type(one) for one in choices))

    def _named(self, name: str) -> str:
        section = self._sections[name]
        if "properties" not in section:
            return self._type(section)
        if name in _SECRETS:
            return "`{file: PATH}`" if name == "FromFile" else "`{env: NAME}`"
        title = self._title(name)
        return f"[{title.partition(',')[0]}](#{_anchor(title)})"

    def _plain(self, node: Node) -> str:
        kind = node.get("type", "")
        if kind == "array":
            return f"list: {self._type(node['items'])}"
        if kind == "object":
            values = next(iter(node.get("patternProperties", {}).values()), node.get("additionalProperties"))
            return f"name: {self._type(values)}" if isinstance(values, dict) else "mapping"
        if kind in ("integer", "number"):
            return f"{kind}{_bounds(node)}"
        if kind == "boolean":
            return "`true`, `false`"
        return _FORMATS.get(node.get("format", ""), "text")


def _bounds(node: Node) -> str:
    low = node.get("minimum", node.get("exclusiveMinimum"))
    high = node.get("maximum")
    if low is None:
        return ""
    above = "over " if "exclusiveMinimum" in node else ""
    return f", {above}{low}" + (f" to {high}" if high is not None else " or more" if not above else "")


def _anchor(title: str) -> str:
    """The name that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
