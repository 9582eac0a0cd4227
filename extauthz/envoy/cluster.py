"""The Envoy clusters of a service: every socket of every worker, and the settings that a drain depends on."""

from typing import Any, Final

from extauthz.config.place import Place
from extauthz.config.schema import ConfigFile
from extauthz.config.sections.listen.certificates import Tls
from extauthz.domain.address import Address
from extauthz.wire.servicer import SERVICE

_HTTP2: Final = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

_TLS: Final = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
TLS_FILES: Final = {name: f"/etc/envoy/extauthz/{name}.pem" for name in ("ca", "cert", "key")}
"""Where Envoy finds who signed our certificate, and its own: to be replaced where they lie elsewhere."""

_EJECTING: Final[dict[str, Any]] = {
    # A killed worker refuses connections at once, and so looks least busy: out with it until health checks speak.
    "outlier_detection": {
        "split_external_local_origin_errors": True,
        "consecutive_local_origin_failure": 1,
        "enforcing_consecutive_local_origin_failure": 100,
        "enforcing_consecutive_5xx": 0,
        "enforcing_consecutive_gateway_failure": 0,
        "enforcing_success_rate": 0,
        "enforcing_local_origin_success_rate": 0,
        "interval": "1s",
        "base_ejection_time": "1s",
        "max_ejection_percent": 50,
    }
}


def envoy_clusters(file: ConfigFile, workers: int, host: str = "") -> list[dict[str, Any]]:
    """One cluster for each network that listeners are bound to, ``extauthz`` for listeners that are bound to none.

    Listeners that speak TLS get a cluster of their own, with the places of Envoy's certificates in TLS_FILES.
    ``host`` is where Envoy reaches a listener that is bound to every interface; by default its own machine.
    """
    endpoints: dict[str, list[dict[str, Any]]] = {}
    sockets: dict[str, dict[str, Any]] = {}
    for index in range(workers):
        for listen in file.listen:
            name = "extauthz" + (f"-{listen.network}" if listen.network else "") + ("-tls" if listen.tls else "")
            address = Address.parse(Place(index, workers).address(listen.address))
            endpoints.setdefault(name, []).append({"endpoint": {"address": _address(address, host)}})
            if listen.tls is not None:
                sockets[name] = _tls(listen.tls)
    ejecting = _EJECTING if workers > 1 else {}
    # A little below what a worker lets wait: Envoy ends what is too much with a 503 that costs the worker nothing.
    most = max(1, file.limits.in_flight * 4 // 5) * workers
    breaker = {"max_requests": most, "max_pending_requests": most, "max_retries": 100}
    return [_cluster(name, found, breaker) | ejecting | sockets.get(name, {}) for name, found in endpoints.items()]


def _tls(tls: Tls) -> dict[str, Any]:
    context: dict[str, Any] = {
        "alpn_protocols": ["h2"],
        "validation_context": {"trusted_ca": {"filename": TLS_FILES["ca"]}},
    }
    if tls.client_ca is not None:
        own = {"certificate_chain": {"filename": TLS_FILES["cert"]}, "private_key": {"filename": TLS_FILES["key"]}}
        context["tls_certificates"] = [own]
    return {
        "transport_socket": {
            "name": "envoy.transport_sockets.tls",
            "typed_config": {"@type": f"type.googleapis.com/{_TLS}", "common_tls_context": context},
        }
    }


def _cluster(name: str, endpoints: list[dict[str, Any]], breaker: dict[str, int]) -> dict[str, Any]:
    return {
        "name": name,
        "type": "STRICT_DNS" if any(_needs_dns(entry) for entry in endpoints) else "STATIC",
        "connect_timeout": "0.25s",
        "lb_policy": "LEAST_REQUEST",
        # Otherwise Envoy goes on asking a worker that drains, once half of them say NOT_SERVING.
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        "circuit_breakers": {"thresholds": [breaker]},
        "typed_extension_protocol_options": {
            _HTTP2: {
                "@type": f"type.googleapis.com/{_HTTP2}",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        },
        "health_checks": [
            {
                "timeout": "1s",
                "interval": "1s",
                "no_traffic_interval": "1s",
                "unhealthy_threshold": 1,
                "healthy_threshold": 1,
                "grpc_health_check": {"service_name": SERVICE},
            }
        ],
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
    }


def _address(address: Address, host: str) -> dict[str, Any]:
    if address.path:
        return {"pipe": {"path": address.path}}
    asked = address.host
    if address.is_every_interface:
        asked = host.strip("[]") or ("::1" if ":" in asked else "127.0.0.1")
    return {"socket_address": {"address": asked, "port_value": address.port}}


def _needs_dns(entry: dict[str, Any]) -> bool:
    host = entry["endpoint"]["address"].get("socket_address", {}).get("address", "")
    return any(character.isalpha() for character in host) and ":" not in host
