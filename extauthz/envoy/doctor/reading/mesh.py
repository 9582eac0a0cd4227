"""Cutting Istio's and Envoy Gateway's resources into the parts that the rules look at."""

from collections.abc import Iterator
from typing import Any, Final

import yaml

from extauthz.domain.context_keys import NETWORK_KEY
from extauthz.envoy.doctor.file import snake_case
from extauthz.envoy.doctor.material import Asking, Mark, Material, Platform
from extauthz.envoy.doctor.tree import Json, Path, dig, mappings, merged

_ISTIO: Final = {
    "failure_mode_allow": ("failOpen",),
    "grpc_service.timeout": ("timeout",),
    "status_on_error": ("statusOnError",),
    "with_request_body": ("includeRequestBodyInCheck",),
    "with_request_body.max_request_bytes": ("includeRequestBodyInCheck", "maxRequestBytes"),
    "with_request_body.pack_as_bytes": ("includeRequestBodyInCheck", "packAsBytes"),
    "clear_route_cache": ("clearRouteCache",),
}
_RETRY: Final = ("grpc", "backendSettings", "retry")
_GATEWAY: Final = {
    "failure_mode_allow": ("failOpen",),
    "grpc_service.timeout": ("timeout",),
    "grpc_service.retry_policy": _RETRY,
    "grpc_service.retry_policy.retry_on": (*_RETRY, "retryOn"),
    "grpc_service.retry_policy.retry_back_off.base_interval": (*_RETRY, "perRetry", "backOff", "baseInterval"),
    "grpc_service.retry_policy.retry_back_off.max_interval": (*_RETRY, "perRetry", "backOff", "maxInterval"),
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
    material.resources.extend((path, document) for path, document in documents if isinstance(document, dict))
    filters: dict[str, Any] = {}
    patches: dict[str, Any] = {}
    for path, resource in material.resources:
        if resource.get("kind") == "EnvoyFilter":
            for place, patch in _listed(path, resource, "configPatches"):
                material.patches.append((place, patch))
                filters = merged(filters, _envoy_filter(place, patch, material))
        elif resource.get("kind") == "EnvoyPatchPolicy":
            for place, patch in _listed(path, resource, "jsonPatches"):
                material.patches.append((place, patch))
                patches = merged(patches, _json_patch(patch, material))
    for path, resource in material.resources:
        for mesh_path, mesh in _mesh_configs(path, resource):
            _read_providers(mesh_path, mesh, filters, material)
        spec = resource.get("spec")
        if resource.get("kind") == "SecurityPolicy" and isinstance(dig(spec, "extAuth", "grpc"), dict):
            material.askings.append(_security_policy((*path, "spec", "extAuth"), resource["spec"]["extAuth"], patches))


def _listed(path: Path, resource: Json, field: str) -> Iterator[tuple[Path, Json]]:
    for index, patch in mappings(dig(resource, "spec", field)):
        yield (*path, "spec", field, index), patch


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
    retry = dig(ext_auth, *_RETRY)
    if isinstance(retry, dict):
        settings["grpc_service"]["retry_policy"] = _retry_policy(retry)
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


def _retry_policy(retry: Json) -> dict[str, Any]:
    triggers = dig(retry, "retryOn", "triggers")
    policy: dict[str, Any] = {"retry_on": ",".join(map(str, triggers)) if isinstance(triggers, list) else ""}
    back_off = dig(retry, "perRetry", "backOff")
    if isinstance(back_off, dict):
        policy["retry_back_off"] = snake_case(back_off)
    return policy


def _envoy_filter(path: Path, patch: Json, material: Material) -> dict[str, Any]:
    """What one patch of an EnvoyFilter merges into the ext_authz filter, or into every connection manager."""
    key = "typed_config" if dig(patch, "patch", "value", "typed_config") is not None else "typedConfig"
    config = dig(patch, "patch", "value", key)
    kind, operation = str(dig(config, "@type")).rpartition(".")[2], str(dig(patch, "patch", "operation"))
    if kind == "HttpConnectionManager":
        _patch_manager(Platform.ISTIO, snake_case(config), material)
    if patch.get("applyTo") != "HTTP_FILTER" or kind != "ExtAuthz":
        return {}
    if operation.startswith(("INSERT", "ADD")):
        settings = snake_case(config)
        place = (*path, "patch", "value", key)
        material.askings.append(Asking(Platform.ISTIO, place, settings))
        return {}
    return dict(snake_case(config))


def _json_patch(patch: Json, material: Material) -> dict[str, Any]:
    """What one patch of an EnvoyPatchPolicy adds to the ext_authz filter, or to a connection manager."""
    operation = dig(patch, "operation")
    where, path = str(dig(operation, "jsonPath") or ""), str(dig(operation, "path") or "")
    value: Any = snake_case(dig(operation, "value"))
    for key in reversed(path.rpartition("/typed_config/")[2].strip("/").split("/")):
        value = {key: value}
    if dig(operation, "op") == "remove":
        return {}
    if "ext_authz" in where + path or "http_filters" in where + path:
        return dict(value)
    if "http_connection_manager" in where + path or "/typed_config/" in path:
        _patch_manager(Platform.ENVOY_GATEWAY, value, material)
    return {}


def _patch_manager(platform: Platform, value: Json, material: Material) -> None:
    material.patched_managers[platform] = merged(material.patched_managers.get(platform, {}), value)
