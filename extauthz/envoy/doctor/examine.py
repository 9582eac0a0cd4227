"""The examination: the parts of a file against every rule of the registry."""

from collections.abc import Iterable
from typing import Any, Final

from extauthz.envoy.doctor.file import UnreadableError
from extauthz.envoy.doctor.finding import Finding, Rule, Severity
from extauthz.envoy.doctor.material import Material
from extauthz.envoy.doctor.reading.envoy import is_envoy, read_envoy
from extauthz.envoy.doctor.reading.mesh import read_resources
from extauthz.envoy.doctor.rules import (
    asking,
    body,
    cluster,
    gateway,
    istio,
    listener,
    neighbours,
    patches,
    route,
    service_call,
    timing,
)
from extauthz.envoy.doctor.service import ServiceFacts
from extauthz.envoy.doctor.tree import Path

RULES: Final[tuple[Rule, ...]] = (
    *asking.RULES,
    *service_call.RULES,
    *body.RULES,
    *neighbours.RULES,
    *listener.RULES,
    *route.RULES,
    *istio.RULES,
    *gateway.RULES,
    *patches.RULES,
    *timing.RULES,
    *cluster.RULES,
)
"""Everything that the doctor looks for."""


def examine(documents: list[Any], service: ServiceFacts, ignore: Iterable[str] = ()) -> list[Finding]:
    """Examine the documents of one file: errors first, then warnings and notes, each in the order of the registry.

    Raises UnreadableError when there is nothing in them that the doctor knows.
    """
    material = gather(documents)
    if not material:
        if not any(documents):
            raise UnreadableError("nothing to examine: it is empty")
        if any(isinstance(document, dict) and "listen" in document for document in documents):
            raise UnreadableError(
                "is a configuration of the service, which `extauthz check-config` examines; "
                "give this command that of Envoy, and the service's with --config"
            )
        raise UnreadableError(
            "nothing to examine: no Envoy bootstrap or config dump with an HttpConnectionManager, no Istio extension "
            "provider or CUSTOM AuthorizationPolicy, no Envoy Gateway SecurityPolicy with extAuth.grpc"
        )
    left_out = set(ignore)
    found = [
        Finding(rule, spot) for rule in RULES if rule.id not in left_out for spot in rule.examine(material, service)
    ]
    return sorted(found, key=lambda finding: tuple(Severity).index(finding.severity))


def gather(documents: list[Any]) -> Material:
    """Cut the documents into the parts that the rules look at. Paths begin with the document's position."""
    material = Material()
    resources: list[tuple[Path, Any]] = []
    for index, document in enumerate(documents):
        if is_envoy(document):
            read_envoy(document, (index,), material)
        elif isinstance(document, dict) and document.get("kind") == "List":
            items = document.get("items")
            resources.extend(((index, "items", number), item) for number, item in enumerate(items or []))
        else:
            resources.append(((index,), document))
    read_resources(resources, material)
    return material
