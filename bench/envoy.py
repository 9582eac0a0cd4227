"""A real Envoy on the load generator's core, with listeners that ask us, the constant server, and nobody.

It answers by itself, so that no backend is measured.
"""

import json
import urllib.request
from pathlib import Path
from typing import Any, Final

from bench.servers import LOAD_CORE, Server, Servers, free_port
from demo.stack import envoy_binary

_TYPE: Final = "type.googleapis.com/envoy.extensions"


def start_envoy(
    servers: Servers, asked: dict[str, list[str]], *, concurrency: int = 1, core: str = LOAD_CORE
) -> tuple[Server, dict[str, str]]:
    """Start Envoy with a listener for each name in ``asked``, and give their addresses by name.

    ``asked``: addresses of the servers that a listener asks; none: it does not ask. Raises StartFailed.
    """
    addresses = {name: f"127.0.0.1:{free_port()}" for name in asked}
    admin = f"127.0.0.1:{free_port()}"
    bootstrap: dict[str, Any] = {
        "admin": {"address": _socket(admin)},
        "node": {"id": "bench", "cluster": "bench"},
        "static_resources": {
            "listeners": [_listener(name, addresses[name], bool(asked[name])) for name in asked],
            "clusters": [_cluster(name, endpoints) for name, endpoints in asked.items() if endpoints],
        },
    }
    file = servers.folder / f"envoy-{'-'.join(asked)}.json"
    file.write_text(json.dumps(bootstrap))
    name = file.stem
    command = [
        envoy_binary(),
        "-c",
        str(file),
        "--concurrency",
        str(concurrency),
        "--use-dynamic-base-id",
        "-l",
        "error",
    ]
    process, log = servers.run(name, command, core)
    servers.wait_ready(name, process, Path(log), f"http://{admin}/ready")
    return Server(name, admin, process), addresses


def requests_by_endpoint(admin: str) -> dict[str, int]:
    """How many checks Envoy has sent to each endpoint so far."""
    with urllib.request.urlopen(f"http://{admin}/clusters", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    parts = [line.split("::") for line in lines]
    return {part[1]: int(part[3]) for part in parts if len(part) == 4 and part[2] == "rq_total"}


def _listener(name: str, address: str, asks: bool) -> dict[str, Any]:
    router = {
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": f"{_TYPE}.filters.http.router.v3.Router"},
    }
    ext_authz = {
        "name": "envoy.filters.http.ext_authz",
        "typed_config": {
            "@type": f"{_TYPE}.filters.http.ext_authz.v3.ExtAuthz",
            "transport_api_version": "V3",
            "grpc_service": {"envoy_grpc": {"cluster_name": name, "authority": "extauthz"}, "timeout": "5s"},
            "with_request_body": {"max_request_bytes": 1_048_576, "allow_partial_message": True, "pack_as_bytes": True},
            "encode_raw_headers": True,
            "validate_mutations": True,
        },
    }
    manager = {
        "@type": f"{_TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "use_remote_address": True,
        "http_filters": [ext_authz, router] if asks else [router],
        "route_config": {
            "virtual_hosts": [
                {"name": name, "domains": ["*"],
                 "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 200}}]}
            ]
        },
    }  # fmt: skip
    network_filter = {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}
    return {"name": name, "address": _socket(address), "filter_chains": [{"filters": [network_filter]}]}


def _cluster(name: str, endpoints: list[str]) -> dict[str, Any]:
    protocol = {
        "@type": f"{_TYPE}.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "lb_policy": "LEAST_REQUEST",
        "circuit_breakers": {"thresholds": [{"max_requests": 10_000, "max_pending_requests": 10_000}]},
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": protocol},
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(one)}} for one in endpoints]}],
        },
    }


def _socket(address: str) -> dict[str, Any]:
    host, _, port = address.rpartition(":")
    return {"socket_address": {"address": host, "port_value": int(port)}}


def _address(address: str) -> dict[str, Any]:
    return {"pipe": {"path": address.removeprefix("unix:")}} if address.startswith("unix:") else _socket(address)
