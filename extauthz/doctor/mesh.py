"""Cutting Istio's and Envoy Gateway's resources into the parts that the rules look at."""

from collections.abc import Iterator
from typing import Any, Final

import yaml

from extauthz.decide.network import NETWORK_KEY
from extauthz.doctor.file import snake_case
from extauthz.doctor.material import Asking, Json, Mark, Material, Path, Platform, Policy, dig, mappings, merged

_ISTIO: Final = {
    "failure_mode_allow": ("failOpen",),
    "grpc_service.timeout": ("timeout",),
    "status_on_error": ("statusOnError",),
    "with_request_body": ("includeRequestBodyInCheck",),
    "with_request_body.max_request_bytes": ("includeRequestBodyInCheck", "maxRequestBytes"),
    "with_request_body.pack_as_bytes": ("includeRequestBodyInCheck", "packAsBytes"),
    "clear_route_cache": ("clearRouteCache",),
}
_GATEWAY: Final = {
    "failure_mode_allow": ("failOpen",),
    "grpc_service.timeout": ("timeout",),
    "status_on_error": ("statusOnError",),
    "with_request_body": ("bodyToExtAuth",),
    "with_request_body.max_request_bytes": ("bodyToExtAuth", "maxRequestBytes"),
    "with_request_body.pack_as_bytes": ("bodyToExtAuth",),
    "allowed_headers": ("headersToExtAuth",),
    "clear_route_cache": ("recomputeRoute",),
}


def read_resources(documents: list[tuple[Path, Any]], material: Material) -> None:
    """Add Istio's and Envoy Gateway's resources to the material.

    Patches (EnvoyFilter, EnvoyPatchPolicy) are laid over every provider or policy of the file, whatever they select.
    """
    resources = [(path, document) for path, document in documents if isinstance(document, dict)]
    filters: dict[str, Any] = {}
    patches: dict[str, Any] = {}
    for _, resource in resources:
        if resource.get("kind") == "EnvoyFilter":
            filters = merged(filters, _envoy_filter(resource))
        elif resource.get("kind") == "EnvoyPatchPolicy":
            patches = merged(patches, _patch_policy(resource))
    for path, resource in resources:
        for mesh_path, mesh in _mesh_configs(path, resource):
            _read_providers(mesh_path, mesh, filters, material)
        spec = resource.get("spec")
        match resource.get("kind"):
            case "AuthorizationPolicy" if dig(spec, "action") == "CUSTOM":
                provider = str(dig(spec, "provider", "name") or "")
                material.policies.append(Policy((*path, "spec"), provider, dig(spec, "rules")))
            case "SecurityPolicy" if isinstance(spec, dict) and dig(spec, "extAuth", "grpc") is not None:
                material.askings.append(_security_policy((*path, "spec", "extAuth"), spec["extAuth"], patches))
            case "ClientTrafficPolicy" if isinstance(spec, dict):
                material.client_policies.append(((*path, "spec"), spec))


def _mesh_configs(path: Path, resource: Json) -> Iterator[tuple[Path, Json]]:
    """MeshConfig as a file of its own, in Helm values or an IstioOperator, and in istiod's ConfigMap."""
    for way in ((), ("meshConfig",), ("spec", "meshConfig"), ("spec", "values", "meshConfig")):
        mesh = dig(resource, *way)
        if isinstance(mesh, dict) and "extensionProviders" in mesh:
            yield (*path, *way), mesh
    text = dig(resource, "data", "mesh")
    if isinstance(text, str):
        try:
            mesh = yaml.safe_load(text)
        except yaml.YAMLError:
            return
        if isinstance(mesh, dict) and "extensionProviders" in mesh:
            yield (*path, "data", "mesh"), mesh


def _read_providers(path: Path, mesh: Json, patch: Json, material: Material) -> None:
    for index, provider in mappings(mesh.get("extensionProviders")):
        grpc = provider.get("envoyExtAuthzGrpc")
        if not isinstance(grpc, dict):
            continue
        settings: dict[str, Any] = {"failure_mode_allow": grpc.get("failOpen"), "grpc_service": {}}
        if "timeout" in grpc:
            settings["grpc_service"]["timeout"] = grpc["timeout"]
        if "statusOnError" in grpc:
            settings["status_on_error"] = {"code": grpc["statusOnError"]}
        if "includeRequestBodyInCheck" in grpc:
            settings["with_request_body"] = snake_case(grpc["includeRequestBodyInCheck"])
        if "clearRouteCache" in grpc:
            settings["clear_route_cache"] = grpc["clearRouteCache"]
        port = grpc.get("port")
        asking = Asking(
            Platform.ISTIO,
            (*path, "extensionProviders", index, "envoyExtAuthzGrpc"),
            merged(settings, patch),
            _ISTIO,
            service_ports=(port,) if isinstance(port, int) else (),
            clusters=(str(grpc.get("service", "")),),
        )
        material.askings.append(asking)
        material.providers[str(provider.get("name", ""))] = asking


def _security_policy(path: Path, ext_auth: Json, patch: Json) -> Asking:
    settings: dict[str, Any] = {"failure_mode_allow": ext_auth.get("failOpen"), "grpc_service": {}}
    if "timeout" in ext_auth:
        settings["grpc_service"]["timeout"] = ext_auth["timeout"]
    if "statusOnError" in ext_auth:
        settings["status_on_error"] = {"code": ext_auth["statusOnError"]}
    if "bodyToExtAuth" in ext_auth:
        settings["with_request_body"] = snake_case(ext_auth["bodyToExtAuth"])
    if ext_auth.get("headersToExtAuth"):
        settings["allowed_headers"] = ext_auth["headersToExtAuth"]
    if "recomputeRoute" in ext_auth:
        settings["clear_route_cache"] = ext_auth["recomputeRoute"]
    network = next(
        (str(one.get("value")) for _, one in mappings(ext_auth.get("contextExtensions"))
         if one.get("name") == NETWORK_KEY), None
    )  # fmt: skip
    references = [*(one for _, one in mappings(dig(ext_auth, "grpc", "backendRefs")))]
    if isinstance(dig(ext_auth, "grpc", "backendRef"), dict):
        references.append(ext_auth["grpc"]["backendRef"])
    return Asking(
        Platform.ENVOY_GATEWAY,
        path,
        merged(settings, patch),
        _GATEWAY,
        (Mark((*path, "contextExtensions"), network),),
        service_ports=tuple(one["port"] for one in references if isinstance(one.get("port"), int)),
        clusters=tuple(str(one.get("name", "")) for one in references),
    )


def _envoy_filter(resource: Json) -> dict[str, Any]:
    """What an EnvoyFilter merges into the ext_authz filter."""
    result: dict[str, Any] = {}
    for _, patch in mappings(dig(resource, "spec", "configPatches")):
        value = dig(patch, "patch", "value")
        config = dig(value, "typed_config") or dig(value, "typedConfig")
        if patch.get("applyTo") == "HTTP_FILTER" and str(dig(config, "@type")).endswith(".ExtAuthz"):
            result = merged(result, snake_case(config))
    return result


def _patch_policy(resource: Json) -> dict[str, Any]:
    """What an EnvoyPatchPolicy adds to the ext_authz filter."""
    result: dict[str, Any] = {}
    for _, patch in mappings(dig(resource, "spec", "jsonPatches")):
        operation = dig(patch, "operation")
        where = str(dig(operation, "jsonPath") or "") + str(dig(operation, "path") or "")
        if "ext_authz" not in where and "http_filters" not in where:
            continue
        fields = str(dig(operation, "path") or "").rpartition("/typed_config/")[2].strip("/").split("/")
        value: Any = dig(operation, "value")
        for key in reversed(fields):
            value = {key: value}
        result = merged(result, snake_case(value))
    return result
