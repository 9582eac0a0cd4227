"""Rules for the body: what of it reaches the service, and the three limits that belong together."""

from collections.abc import Iterator
from typing import Any, Final

from extauthz.envoy.doctor.finding import Rule, Severity, Spot, rule
from extauthz.envoy.doctor.material import Manager, Material, Platform
from extauthz.envoy.doctor.service import ServiceFacts
from extauthz.envoy.doctor.tree import Json, dig

SMALLEST_BODY_LIMIT: Final = 64 * 1024
HEADERS_BESIDE_BODY: Final = 128 * 1024
"""Bytes of a CheckRequest that are not the body: Envoy takes 60 KiB of headers, and they may be sent twice."""
DEFAULT_BUFFER: Final = 1024 * 1024
"""What a connection buffers where its listener says nothing."""


@rule(
    "body-missing",
    Severity.ERROR,
    why="Signed requests need the body: form parameters are part of the signature, and Content-MD5 must be checked "
    "against it. Without buffering the body never reaches the service and such requests are refused.",
    instead="with_request_body: { max_request_bytes: 1048576, allow_partial_message: true, pack_as_bytes: true }; "
    "if no API takes signed requests, show it with `--config`",
)
def body_missing(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    for asking in material.askings:
        if service.has_digest and not asking.get("with_request_body"):
            yield Spot(asking.at("with_request_body"))


@rule(
    "body-limit-small",
    Severity.WARNING,
    why="Larger bodies arrive cut, or not at all (413 from Envoy, without the service being asked): signed requests "
    "with such bodies are refused.",
    instead="max_request_bytes: 1048576, or what your largest signed request needs",
)
def body_limit_small(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    for asking in material.askings:
        limit = number(asking.get("with_request_body", "max_request_bytes"))
        if service.has_digest and asking.get("with_request_body") and limit < SMALLEST_BODY_LIMIT:
            yield Spot(asking.at("with_request_body", "max_request_bytes"), f"{limit} bytes")


@rule(
    "body-limit-large",
    Severity.ERROR,
    why="A message beyond what the service takes is refused unread, whatever it asks.",
    instead="a max_request_bytes that leaves room for headers below `limits: {message_mebibytes}` of the service, "
    "which is 2 unless its configuration says otherwise: show it with `--config`",
)
def body_limit_large(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    for asking in material.askings:
        limit = number(asking.get("with_request_body", "max_request_bytes"))
        if limit + HEADERS_BESIDE_BODY > service.max_message_bytes:
            yield Spot(asking.at("with_request_body", "max_request_bytes"), f"{limit} bytes")
    for manager in material.managers:
        for leaf in manager.leaves():
            own = dig(leaf.check, "with_request_body")
            limit = number(dig(own, "max_request_bytes"))
            if own is not None and leaf.asked and limit + HEADERS_BESIDE_BODY > service.max_message_bytes:
                yield Spot(leaf.path, f"{limit} bytes")


@rule(
    "body-as-text",
    Severity.ERROR,
    why="Without pack_as_bytes every byte of the body that is not UTF-8 arrives as `!`: no Content-MD5 of a binary "
    "body can match.",
    instead="pack_as_bytes: true (Istio: packAsBytes: true; Envoy Gateway has no such field: by EnvoyPatchPolicy)",
)
def body_as_text(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    for asking in material.askings:
        if service.has_digest and asking.get("with_request_body") and (
            asking.get("with_request_body", "pack_as_bytes") is not True
        ):  # fmt: skip
            yield Spot(asking.at("with_request_body", "pack_as_bytes"))


@rule(
    "body-cut-by-route",
    Severity.WARNING,
    why="This route has a with_request_body of its own, which replaces the filter's: bodies that others may send are "
    "cut here, or arrive as text.",
    instead="no with_request_body in check_settings, or one with the filter's max_request_bytes and pack_as_bytes: "
    "true",
)
def body_cut_by_route(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    for manager in material.managers:
        ours = manager.position("ExtAuthz")
        usual = manager.filters[ours].config.get("with_request_body") if ours is not None else None
        for leaf in manager.leaves():
            own = dig(leaf.check, "with_request_body")
            if own is None or not (leaf.asked and service.has_digest):
                continue
            limit = number(dig(own, "max_request_bytes"))
            wanted = number(dig(usual, "max_request_bytes"))
            if limit < max(SMALLEST_BODY_LIMIT, wanted) or dig(own, "pack_as_bytes") is not True:
                yield Spot(leaf.path, f"{limit} bytes", manager.platform)


@rule(
    "route-unbuffered",
    Severity.WARNING,
    why="On this route the body is not buffered, so signed requests with a body are refused here; and where the "
    "route matches by something that clients choose, such as the content type, they choose to hide the body.",
    instead="remove disable_request_body_buffering, or keep the route to an exact path of a streaming API",
)
def route_unbuffered(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    for manager in material.managers:
        for leaf in manager.leaves():
            if service.has_digest and leaf.asked and leaf.check.get("disable_request_body_buffering"):
                yield Spot(leaf.path, platform=manager.platform)


@rule(
    "buffer-below-body",
    Severity.WARNING,
    why="With allow_partial_message Envoy buffers no more than its connection buffer holds, 1 MiB where nothing is "
    "said: a body between that and max_request_bytes gets 413 from Envoy, and the service is not asked.",
    instead="per_connection_buffer_limit_bytes of the listener (or request_body_buffer_limit of the route) no less "
    "than max_request_bytes, and the same for a buffer filter before ext_authz",
    cures={
        Platform.ISTIO: "an EnvoyFilter for LISTENER that merges per_connection_buffer_limit_bytes, no less than "
        "maxRequestBytes",
    },
)
def buffer_below_body(material: Material, service: ServiceFacts) -> Iterator[Spot]:
    for manager in material.managers:
        ours = manager.position("ExtAuthz")
        if ours is None or not service.has_digest:
            continue
        body = manager.filters[ours].config.get("with_request_body")
        limit = number(dig(body, "max_request_bytes"))
        for one in manager.filters[:ours]:
            if one.type == "Buffer" and number(one.config.get("max_request_bytes")) < limit:
                yield Spot((*one.path, "max_request_bytes"), _beside(one.config.get("max_request_bytes"), limit))
        buffer = _connection_buffer(manager.listener)
        if dig(body, "allow_partial_message") is True and buffer < limit and not _raised_by_routes(manager, limit):
            place = (*manager.listener_path, "per_connection_buffer_limit_bytes")
            yield Spot(place, _beside(buffer, limit), manager.platform)
    for asking in material.askings:
        limit = number(asking.get("with_request_body", "max_request_bytes"))
        raised = any(
            number(dig(patch, "patch", "value", "per_connection_buffer_limit_bytes")) >= limit
            for _, patch in material.patches
        )
        if asking.platform is Platform.ISTIO and not asking.in_chain and limit > DEFAULT_BUFFER and not raised:
            place = asking.at("with_request_body", "max_request_bytes")
            yield Spot(place, _beside(DEFAULT_BUFFER, limit), Platform.ISTIO)


def _beside(buffer: Any, limit: int) -> str:
    return f"{buffer} bytes beside a body of {limit}"


def _connection_buffer(listener: Json) -> int:
    limit = listener.get("per_connection_buffer_limit_bytes")
    return DEFAULT_BUFFER if limit is None else number(dig(limit, "value") if isinstance(limit, dict) else limit)


def _raised_by_routes(manager: Manager, limit: int) -> bool:
    """Whether every route buffers more than its connection does."""
    leaves = [leaf for leaf in manager.leaves() if leaf.asked and leaf.forwards]
    return bool(leaves) and all(
        any(
            number(level.get(field)) >= limit
            for _, level in leaf.levels
            for field in ("request_body_buffer_limit", "per_request_buffer_limit_bytes")
        )
        for leaf in leaves
    )


def number(value: Any) -> int:
    """A whole number as protobuf's JSON may write it; 0 for anything else."""
    try:
        return int(value)
    except (TypeError, ValueError):
        return 0


RULES: Final[tuple[Rule, ...]] = (
    body_missing,
    body_limit_small,
    body_limit_large,
    body_as_text,
    body_cut_by_route,
    route_unbuffered,
    buffer_below_body,
)
