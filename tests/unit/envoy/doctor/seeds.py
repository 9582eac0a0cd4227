"""For each finding of the doctor one change that makes a good file bad in exactly that way."""

import copy
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from extauthz.envoy.doctor import ServiceFacts

ROOT = Path(__file__).parents[4]
Documents = list[Any]


def good(name: str) -> Documents:
    """A configuration that we ship, as data that may be changed: what anchors share is copied."""
    return [_unshared(one) for one in _parsed(name)]


@cache
def _parsed(name: str) -> Documents:
    return list(yaml.safe_load_all((ROOT / "envoy" / name).read_text()))


def _unshared(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _unshared(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_unshared(item) for item in node]
    return node


def manager(documents: Documents) -> dict[str, Any]:
    """The HttpConnectionManager of the Internet listener."""
    chain = documents[0]["static_resources"]["listeners"][0]["filter_chains"][0]
    return chain["filters"][0]["typed_config"]


def ext_authz(documents: Documents) -> dict[str, Any]:
    """Its ext_authz filter."""
    return manager(documents)["http_filters"][1]["typed_config"]


def host(documents: Documents) -> dict[str, Any]:
    """Its virtual host."""
    return manager(documents)["route_config"]["virtual_hosts"][0]


def cluster(documents: Documents) -> dict[str, Any]:
    """The cluster through which the service is asked."""
    return documents[0]["static_resources"]["clusters"][0]


def resource(documents: Documents, kind: str) -> dict[str, Any]:
    """The first resource of a kind."""
    return next(one for one in documents if one.get("kind") == kind)


Change = Callable[[Documents], None]


def _set(find: Callable[[Documents], dict[str, Any]], *keys: str, to: Any) -> Change:
    def change(documents: Documents) -> None:
        node = find(documents)
        for key in keys[:-1]:
            node = node.setdefault(key, {})
        node[keys[-1]] = to

    return change


def _drop(find: Callable[[Documents], dict[str, Any]], *keys: str) -> Change:
    def change(documents: Documents) -> None:
        node = find(documents)
        for key in keys[:-1]:
            node = node[key]
        del node[keys[-1]]

    return change


def _filter(name: str, type_name: str, **config: Any) -> dict[str, Any]:
    return {"name": name, "typed_config": {"@type": f"type.googleapis.com/{type_name}", **config}}


def _lua_behind_ext_authz(documents: Documents) -> None:
    lua = _filter("lua", "envoy.extensions.filters.http.lua.v3.Lua", default_source_code={"inline_string": ""})
    manager(documents)["http_filters"].insert(2, lua)


def _behind_the_router(documents: Documents) -> None:
    filters = manager(documents)["http_filters"]
    filters.append(filters.pop(1))


def _no_ext_authz(documents: Documents) -> None:
    del manager(documents)["http_filters"][1]


def _bypass(documents: Documents) -> None:
    route = {"match": {"path": "/status"}, "route": {"cluster": "backend"}}
    route["typed_per_filter_config"] = {
        "envoy.filters.http.ext_authz": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute",
            "disabled": True,
        }
    }
    host(documents)["routes"].insert(0, route)


def _bypass_with_identity(documents: Documents) -> None:
    _bypass(documents)
    del manager(documents)["early_header_mutation_extensions"]


def _unbuffered(documents: Documents) -> None:
    route = copy.deepcopy(host(documents)["routes"][0])
    route["typed_per_filter_config"] = {
        "envoy.filters.http.ext_authz": {"check_settings": {"disable_request_body_buffering": True}}
    }
    host(documents)["routes"].insert(0, route)


def _shared_port(documents: Documents) -> None:
    providers = documents[0]["meshConfig"]["extensionProviders"]
    providers[1]["envoyExtAuthzGrpc"]["port"] = providers[0]["envoyExtAuthzGrpc"]["port"]


def _on_the_network(documents: Documents) -> None:
    (locality,) = cluster(documents)["load_assignment"]["endpoints"]
    locality["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]["address"] = "10.0.0.7"


def _narrow_match(documents: Documents) -> None:
    host(documents)["routes"][-1]["match"] = {"prefix": "/v1/"}


def _stage_by_header(documents: Documents) -> None:
    match = {"prefix": "/", "headers": [{"name": "x-ca-stage", "string_match": {"exact": "TEST"}}]}
    host(documents)["routes"].insert(0, {"match": match, "route": {"cluster": "backend"}})


def _cache_first(documents: Documents) -> None:
    cache = _filter("cache", "envoy.extensions.filters.http.cache.v3.CacheConfig")
    manager(documents)["http_filters"].insert(0, cache)


def _cors_behind(documents: Documents) -> None:
    manager(documents)["http_filters"].insert(2, _filter("cors", "envoy.extensions.filters.http.cors.v3.Cors"))


def _grpc_web_first(documents: Documents) -> None:
    manager(documents)["http_filters"].insert(0, _filter("web", "envoy.extensions.filters.http.grpc_web.v3.GrpcWeb"))


def _tcp_beside(documents: Documents) -> None:
    proxy = _filter("tcp", "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", cluster="backend")
    chain = {"filter_chain_match": {"transport_protocol": "tls"}, "filters": [proxy]}
    documents[0]["static_resources"]["listeners"][0]["filter_chains"].append(chain)


def _body_of_its_own(documents: Documents) -> None:
    route = copy.deepcopy(host(documents)["routes"][0])
    own = {"max_request_bytes": 4096, "pack_as_bytes": True}
    route["typed_per_filter_config"] = {"envoy.filters.http.ext_authz": {"check_settings": {"with_request_body": own}}}
    host(documents)["routes"].insert(0, route)


def _matcher_that_nobody_knows(documents: Documents) -> None:
    del host(documents)["routes"]
    host(documents)["matcher"] = {"on_no_match": {"action": {"name": "x", "typed_config": {"@type": "x/y.Odd"}}}}


def _selector(documents: Documents) -> None:
    resource(documents, "AuthorizationPolicy")["spec"]["selector"] = {"matchLabels": {"app": "internet-gateway"}}


def _gateway_beside(documents: Documents) -> None:
    documents.append({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
                      "metadata": {"name": "third", "namespace": "elsewhere"},
                      "spec": {"gatewayClassName": "istio"}})  # fmt: skip


def _policy_on_a_route(documents: Documents) -> None:
    target = {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "shop"}
    spec = {"targetRefs": [target], "cors": {"allowOrigins": ["https://app.example"]}}
    documents.append({"kind": "SecurityPolicy", "metadata": {"name": "cors"}, "spec": spec})


def _patched_away(documents: Documents) -> None:
    value = {"typed_per_filter_config": {"envoy.filters.http.ext_authz": {
        "@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "disabled": True}}}  # fmt: skip
    patch = {"applyTo": "HTTP_ROUTE", "patch": {"operation": "MERGE", "value": value}}
    resource(documents, "EnvoyFilter")["spec"]["configPatches"].append(patch)


_MARK = ("typed_per_filter_config", "envoy.filters.http.ext_authz", "check_settings", "context_extensions")
_GRPC = ("grpc_service", "retry_policy")

SEEDS: dict[str, tuple[str, Change, set[str]]] = {
    # finding: the good file, the change, and the other findings that the same change cannot but bring
    "fails-open": ("static.yaml", _set(ext_authz, "failure_mode_allow", to=True), set()),
    "shadow-mode": ("static.yaml", _set(ext_authz, "shadow_mode", to=True), set()),
    "sampled": ("static.yaml", _set(ext_authz, "filter_enabled", to={"default_value": {"numerator": 50}}), set()),
    "headers-withheld": ("static.yaml", _set(ext_authz, "allowed_headers", to={"patterns": [{"prefix": "x-"}]}), set()),
    "headers-joined": ("static.yaml", _drop(ext_authz, "encode_raw_headers"), set()),
    "body-missing": ("static.yaml", _drop(ext_authz, "with_request_body"), set()),
    "body-limit-small": ("static.yaml", _set(ext_authz, "with_request_body", "max_request_bytes", to=4096), set()),
    "body-limit-large": ("static.yaml", _set(ext_authz, "with_request_body", "max_request_bytes", to=8388608),
                         {"buffer-below-body"}),
    "body-cut-by-route": ("static.yaml", _body_of_its_own, set()),
    "buffer-below-body": (
        "static.yaml",
        _set(lambda d: d[0]["static_resources"]["listeners"][0], "per_connection_buffer_limit_bytes", to=65536),
        set(),
    ),
    "body-as-text": ("static.yaml", _drop(ext_authz, "with_request_body", "pack_as_bytes"), set()),
    "outage-looks-like-denial": ("static.yaml", _drop(ext_authz, "status_on_error"), set()),
    "mutations-unchecked": ("static.yaml", _drop(ext_authz, "validate_mutations"), set()),
    "mutations-unlimited": ("static.yaml", _set(ext_authz, "decoder_header_mutation_rules", to={}), set()),
    "route-recomputed": ("static.yaml", _set(ext_authz, "clear_route_cache", to=True), set()),
    "denials-charged-to-backend": ("static.yaml", _drop(ext_authz, "charge_cluster_response_stats"), set()),
    "no-ext-authz": ("static.yaml", _no_ext_authz, set()),
    "answered-before-asked": ("static.yaml", _cache_first, set()),
    "passed-as-tcp": ("static.yaml", _tcp_beside, set()),
    "not-understood": ("static.yaml", _matcher_that_nobody_knows, set()),
    "stage-by-header": ("static.yaml", _stage_by_header, set()),
    "preflight-refused": ("static.yaml", _cors_behind, set()),
    "grpc-web-first": ("static.yaml", _grpc_web_first, set()),
    "header-letter-case": ("static.yaml", _drop(manager, "http_protocol_options"), set()),
    "internal-addresses": ("static.yaml", _drop(manager, "internal_address_config", "cidr_ranges"), set()),
    "selects-nothing": ("istio.yaml", _selector, set()),
    "gateway-unasked": ("istio.yaml", _gateway_beside, set()),
    "policy-replaces": ("envoy-gateway.yaml", _policy_on_a_route, set()),
    "patch-opens": ("istio.yaml", _patched_away, set()),
    "after-router": ("static.yaml", _behind_the_router, set()),
    "route-changed-afterwards": ("static.yaml", _lua_behind_ext_authz, set()),
    "upgrades-on": ("static.yaml", _set(manager, "upgrade_configs", to=[{"upgrade_type": "websocket"}]), set()),
    "client-address-forgeable": ("static.yaml", _drop(manager, "use_remote_address"), set()),
    "underscores-refused": (
        "static.yaml",
        _set(manager, "common_http_protocol_options", "headers_with_underscores_action", to="REJECT_REQUEST"),
        set(),
    ),
    "path-normalized": ("static.yaml", _set(manager, "normalize_path", to=True), set()),
    "escaped-slashes-pass": ("static.yaml", _drop(manager, "path_with_escaped_slashes_action"), set()),
    "identity-headers-pass": ("static.yaml", _bypass_with_identity, {"route-unchecked"}),
    "route-unchecked": ("static.yaml", _bypass, set()),
    "route-unbuffered": ("static.yaml", _unbuffered, set()),
    "no-catch-all": ("static.yaml", _narrow_match, set()),
    "network-unmarked": ("static.yaml", _drop(host, "typed_per_filter_config"), set()),
    "network-unknown": ("static.yaml", _set(host, *_MARK, "extauthz.network", to="intranet"), set()),
    "network-port-shared": ("istio.yaml", _shared_port, set()),
    "not-in-this-file": ("static.yaml", _set(lambda d: ext_authz(d)["grpc_service"]["envoy_grpc"], "cluster_name",
                                             to="elsewhere"), set()),
    "policy-leaves-gaps": (
        "istio.yaml",
        _set(lambda d: resource(d, "AuthorizationPolicy"), "spec", "rules",
             to=[{"to": [{"operation": {"paths": ["/v1/*"]}}]}]),
        set(),
    ),
    "provider-unknown": (
        "istio.yaml", _set(lambda d: resource(d, "AuthorizationPolicy"), "spec", "provider", "name", to="other"), set()
    ),
    "timeout-missing": ("static.yaml", _drop(ext_authz, "grpc_service", "timeout"), set()),
    "timeout-off": ("static.yaml", _set(ext_authz, "grpc_service", "timeout", to="0s"),
                    {"retry-max-interval-short"}),
    "timeout-long": ("static.yaml", _set(ext_authz, "grpc_service", "timeout", to="10s"),
                     {"retry-max-interval-short"}),
    "retry-ignored": (
        "static.yaml",
        _set(ext_authz, "grpc_service", "envoy_grpc", "retry_policy", to={"num_retries": 1}),
        set(),
    ),
    "retry-on-not-grpc": ("static.yaml", _set(ext_authz, *_GRPC, "retry_on", to="5xx,reset"), set()),
    "retry-max-interval-short": (
        "static.yaml", _set(ext_authz, *_GRPC, "retry_back_off", "max_interval", to="0.02s"), set()
    ),
    "retry-too-late": ("static.yaml", _drop(ext_authz, *_GRPC, "retry_back_off"), set()),
    "not-http2": ("static.yaml", _drop(cluster, "typed_extension_protocol_options"), set()),
    "plain-text": ("static.yaml", _on_the_network, set()),
    "no-health-check": ("static.yaml", _drop(cluster, "health_checks"), set()),
    "health-check-slow-when-quiet": (
        "static.yaml", _drop(lambda d: cluster(d)["health_checks"][0], "no_traffic_interval"), set()
    ),
    "panic-threshold": ("static.yaml", _drop(cluster, "common_lb_config"), set()),
    "fewer-endpoints-than-workers": (
        "static.yaml",
        lambda d: cluster(d)["load_assignment"]["endpoints"][0]["lb_endpoints"].pop(),
        set(),
    ),
}  # fmt: skip

TWO_WORKERS = ServiceFacts(workers=2)
