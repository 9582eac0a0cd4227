"""Rules for patches: what an EnvoyFilter or EnvoyPatchPolicy takes away from what the control plane wrote."""

from collections.abc import Iterator
from typing import Any, Final

from extauthz.envoy.doctor.file import snake_case
from extauthz.envoy.doctor.finding import Rule, Severity, Spot, rule
from extauthz.envoy.doctor.material import Material, Platform
from extauthz.envoy.doctor.reading.typed import mentions, said
from extauthz.envoy.doctor.service import ServiceFacts
from extauthz.envoy.doctor.tree import Json, Path, dig, items, mappings

_NAME: Final = "ext_authz"
_PER_FILTER: Final = "typed_per_filter_config"


@rule(
    "patch-opens",
    Severity.ERROR,
    why="This patch takes ext_authz away, switches it off, or brings a listener without it: where it applies, requests "
    "pass without a check.",
    instead="no such patch: let the service open the API (auth: none)",
)
def patch_opens(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    for path, patch in material.patches:
        if "applyTo" in patch:
            found, platform = _of_envoy_filter(patch), Platform.ISTIO
        else:
            found, platform = _of_json_patch(patch), Platform.ENVOY_GATEWAY
        for place, detail in found:
            yield Spot((*path, *place), detail, platform)


def _of_envoy_filter(patch: Json) -> Iterator[tuple[Path, str]]:
    operation = str(dig(patch, "patch", "operation"))
    value = snake_case(dig(patch, "patch", "value"))
    matched = str(dig(patch, "match", "listener", "filterChain", "filter", "subFilter", "name"))
    about_ours = _NAME in matched or mentions(value, ".ExtAuthz")
    if patch.get("applyTo") in ("HTTP_FILTER", "EXTENSION_CONFIG"):
        if operation == "REMOVE" and _NAME in matched:
            yield ("patch", "operation"), "removes ext_authz"
        elif operation == "REPLACE" and _NAME in matched and not mentions(value, ".ExtAuthz"):
            yield ("patch", "value"), "replaces ext_authz"
        if about_ours and dig(value, "disabled") is True:
            yield ("patch", "value", "disabled"), ""
    elif operation in ("ADD", "REPLACE") or operation.startswith("INSERT"):
        chain = mentions(value, ".HttpConnectionManager") and "http_filters" in str(value)
        if chain and not mentions(value, ".ExtAuthz"):
            yield ("patch", "value"), "a connection manager without ext_authz"
    yield from _switched_off(value, ("patch", "value"))


def _of_json_patch(patch: Json) -> Iterator[tuple[Path, str]]:
    operation = dig(patch, "operation")
    pointer = str(dig(operation, "path") or "")
    where = (str(dig(operation, "jsonPath") or "") + pointer).replace("~1", "/")
    value = snake_case(dig(operation, "value"))
    about_ours = _NAME in where or _PER_FILTER in where or "typedPerFilterConfig" in where
    if dig(operation, "op") == "remove" and (about_ours or pointer.rstrip("/0123456789").endswith("http_filters")):
        yield ("operation", "op"), "removes ext_authz, or what a route says to it"
    elif about_ours and pointer.endswith("/disabled") and value is True:
        yield ("operation", "value"), ""
    elif _PER_FILTER in pointer and _NAME in pointer and isinstance(value, dict):
        if _is_off(value):
            yield ("operation", "value"), ""
    else:
        key = _PER_FILTER if pointer.endswith(_PER_FILTER) else "value"
        yield from _switched_off({key: value}, ("operation",))


def _switched_off(node: Any, path: Path) -> Iterator[tuple[Path, str]]:
    """Every place inside that switches ext_authz off for a route, a host or a weighted cluster."""
    for name, entry in items(dig(node, _PER_FILTER)):
        if _NAME in name and _is_off(entry):
            yield (*path, _PER_FILTER, name), ""
    for key, value in items(node):
        if key != _PER_FILTER:
            yield from _switched_off(value, (*path, key))
    for index, item in mappings(node):
        yield from _switched_off(item, (*path, index))


def _is_off(entry: Any) -> bool:
    here = said(_NAME, [((), {_PER_FILTER: {_NAME: entry}})])
    config = here.config
    if here.enabled is False or config is None:
        return here.enabled is False
    foreign = config.type not in ("", "ExtAuthzPerRoute")
    return foreign or config.config.get("disabled") is True or "http_service" in here.check


RULES: Final[tuple[Rule, ...]] = (patch_opens,)
