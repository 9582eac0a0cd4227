"""For each reason of the catalogue what provokes it: a call through Envoy, or a test that sets the scene elsewhere."""

import base64
import json
import time
from collections.abc import Callable
from typing import Any, Final

from demo.keys import make_token
from tests.gateway import (
    FORM_TYPE,
    Answer,
    Gateway,
    Header,
    connection_manager,
    patient_bootstrap,
    shipped_config,
    signed_headers,
    with_value,
)

NETWORKS: Final = {"internet": "digest", "vpc": "digest"}
APPS: Final = ("off", "late", "poor", "flood")
HOST: Final = "127.0.0.1"
UNTIL_S: Final = 5 * 86_400


def config() -> dict[str, Any]:
    """APIs and apps, each of which refuses for one reason."""
    made = shipped_config()
    made["groups"] = [{"id": "demo", "domains": [HOST]}]
    made["identity_headers"] = {"X-Ca-App-Id": "app_id", "X-Subject": "subject"}
    made["replay"] = {"capacity": 64}
    tokens = made["plugins"][0]
    made["plugins"] = [
        tokens | {"audiences": ["shop"]},
        tokens | {"id": "once", "audiences": [], "prevent_jti_replay": True, "claim_headers": {}},
        {"id": "office", "type": "ip_control", "allow": ["10.9.9.9"]},
    ]
    entries: dict[str, dict[str, Any]] = {
        "ping": {"path": "/public/ping", "auth": {"internet": "none", "vpc": "none"}},
        "plain": {},
        "inside": {"auth": {"vpc": "digest"}},
        "outside": {"auth": {"internet": "digest"}},
        "office": {"plugins": ["office"]},
        "either": {"auth": {"internet": {"any_of": ["digest", "jwt"]}}, "plugins": [tokens["id"]]},
        "code": {"auth": {"internet": "appcode"}},
        "web": {"auth": {"internet": "jwt"}, "plugins": [tokens["id"]]},
        "once": {"auth": {"internet": "jwt"}, "plugins": ["once"]},
        "timed": {"digest": {"require_timestamp": True}},
        "nonced": {"digest": {"require_nonce": True}},
        "listed": {"digest": {"require_signed": ["X-Tenant"]}},
        "strict": {"digest": {"strict": "on"}},
        "watched": {"auth": {"internet": "digest"}},
    }
    shared = {"group": "demo", "methods": ["GET", "POST"], "auth": NETWORKS}
    made["apis"] = [{**shared, "id": name, "path": f"/{name}", **entry} for name, entry in entries.items()]
    made["apps"] = [
        {"id": "demo-app", "keys": [{"app_key": "demo-app-key-0001", "app_secret": "demo-app-secret-0001"}]}
    ]
    made["apps"] += [
        {"id": name, "disabled": name == "off", "keys": [{"app_key": f"{name}-key-1", "app_secret": secret_of(name)}]}
        for name in APPS
    ]
    made["grants"] = [
        {"app": "demo-app", "apis": list(entries)},
        {"app": "off", "apis": ["plain"]},
        {"app": "late", "apis": ["plain"], "until": "2020-01-01T00:00:00Z"},
        {"app": "flood", "apis": ["plain"]},
    ]
    end = time.strftime("%Y-%m-%dT00:00:00Z", time.gmtime(time.time() + UNTIL_S))
    made["shadow"] = [{"api": "watched", "until": end}]
    return made


def bootstrap() -> dict[str, Any]:
    """The shipped Envoy with one route for everything, which takes more headers and removes none by itself."""
    made = patient_bootstrap()
    for listener in made["static_resources"]["listeners"]:
        manager = connection_manager(listener)
        manager.pop("early_header_mutation_extensions", None)
        manager["common_http_protocol_options"] = {
            "headers_with_underscores_action": "ALLOW",
            "max_headers_count": 2000,
        }
        for host in manager["route_config"]["virtual_hosts"]:
            host["routes"] = [{"match": {"prefix": "/"}, "route": {"cluster": "backend"}}]
    return made


def secret_of(app: str) -> str:
    return f"b7f0c1d29e834a56-{app}"


def _as(app: str, target: str = "/plain") -> Callable[[Gateway], Answer]:
    return lambda gateway: gateway.signed("GET", target, key=f"{app}-key-1", secret=secret_of(app))


def _signed(target: str = "/plain", method: str = "GET", **parts: Any) -> Callable[[Gateway], Answer]:
    return lambda gateway: gateway.signed(method, target, **parts)


def _called(target: str, *headers: tuple[str, str], **parts: Any) -> Callable[[Gateway], Answer]:
    return lambda gateway: gateway.call("GET", target, headers, **parts)


def _changed(name: str, value: str, target: str = "/plain") -> Callable[[Gateway], Answer]:
    return lambda gateway: gateway.call("GET", target, with_value(signed_headers("GET", target), name, value))


def _token(target: str = "/web", lifetime_s: int = 600, **claims: Any) -> Callable[[Gateway], Answer]:
    def call(gateway: Gateway) -> Answer:
        token = make_token(gateway.private_jwk, lifetime_s, **claims)
        return gateway.call("GET", target, [("Authorization", f"Bearer {token}")])

    return call


def _another_key(gateway: Gateway) -> Answer:
    token = make_token(gateway.private_jwk, sub="x", aud="shop")
    head = json.loads(base64.urlsafe_b64decode(token.partition(".")[0] + "=="))
    other = base64.urlsafe_b64encode(json.dumps(head | {"kid": "other"}).encode()).rstrip(b"=").decode()
    return gateway.call("GET", "/web", [("Authorization", f"Bearer {other}.{token.partition('.')[2]}")])


def _two_proofs(gateway: Gateway) -> Answer:
    token = make_token(gateway.private_jwk, sub="x", aud="shop")
    return gateway.signed("GET", "/either", extra=[("Authorization", f"Bearer {token}")])


def _twice(make: Callable[[Gateway], list[Header]], target: str) -> Callable[[Gateway], Answer]:
    def call(gateway: Gateway) -> Answer:
        headers = make(gateway)
        first = gateway.call("GET", target, headers)
        assert first.status == 200, first.head
        return gateway.call("GET", target, headers)

    return call


def _once_token(gateway: Gateway) -> list[Header]:
    return [("Authorization", f"Bearer {make_token(gateway.private_jwk, sub='x', jti=str(time.time_ns()))}")]


def _flood(gateway: Gateway) -> Answer:
    answers = (_as("flood")(gateway) for _ in range(64))
    return next(answer for answer in answers if answer.status != 200)


def _body(size: int, **parts: Any) -> dict[str, Any]:
    return {"method": "POST", "body": b"x" * size, **parts}


CASES: Final[dict[str, Callable[[Gateway], Answer]]] = {
    "request_invalid": _called("/plain", *[(f"X-Header-{number}", "x") for number in range(1200)]),
    "url_too_large": _called("/plain/" + "x" * 17_000),
    "path_invalid": _called("//plain"),
    "host_invalid": _called("/plain", host="nobody.example.com"),
    "api_not_found": _called("/nothing"),
    "stage_invalid": _signed(stage="TEST"),
    "header_repeated": _signed(extra=[("X-Ca-Key", "another")]),
    "header_invalid": _changed("X-Ca-Signature-Headers", "X-Ca-Key,x-ca-key"),
    "internet_disabled": _signed("/inside"),
    "vpc_refused": _signed("/outside", network="vpc"),
    "ip_refused": _signed("/office"),
    "credential_missing": _called("/plain"),
    "method_refused": _called("/plain", ("Authorization", "APPCODE some-code-0001")),
    "credential_ambiguous": _two_proofs,
    "signature_missing": _called("/plain", ("X-Ca-Key", "demo-app-key-0001")),
    "app_key_unknown": _signed(key="nobody-has-this"),
    "signature_method_refused": _signed(extra=[("X-Ca-Signature-Method", "HmacMD5")]),
    "signature_mismatch": _signed(secret="another-secret-0001"),
    "timestamp_invalid": _changed("X-Ca-Timestamp", "yesterday"),
    "timestamp_required": _signed("/timed", timestamp_ms=0),
    "timestamp_expired": _signed(timestamp_ms=1_000_000_000_000),
    "nonce_required": _signed("/nonced", nonce=""),
    "nonce_used": _twice(lambda _: signed_headers("GET", "/plain"), "/plain"),
    "signed_header_required": _signed("/listed"),
    "strict_refused": _signed("/strict?a=1&a=2", resource="/strict?a=1"),
    "content_md5_invalid": _signed(**_body(10, md5="AAAAAAAAAAAAAAAAAAAAAA==", content_type="text/plain")),
    "body_too_large": _signed(**_body(1_100_000, md5="AAAAAAAAAAAAAAAAAAAAAA==", content_type="text/plain")),
    "body_unavailable": _signed(method="POST", body=b"a=1&" * 6000, content_type=FORM_TYPE),
    "app_code_unknown": _called("/code", ("Authorization", "APPCODE nobody-has-this")),
    "app_disabled": _as("off"),
    "not_granted": _as("poor"),
    "grant_expired": _as("late"),
    "jwt_missing": _called("/web"),
    "jwt_malformed": _called("/web", ("Authorization", "Bearer opaque")),
    "jwt_invalid": _token(sub="x", aud="another service"),
    "jwt_key_unknown": _another_key,
    "jwt_expired": _token(lifetime_s=-3600, sub="x", aud="shop"),
    "jti_required": _token("/once", sub="x"),
    "jti_used": _twice(_once_token, "/once"),
    "replay_share_full": _flood,
}
"""One call of the session, by label. Last the one that leaves no room for nonces."""
ELSEWHERE: Final[dict[str, str]] = {
    "identity_invalid": "tests/unit/decide/test_upstream.py::test_what_is_no_address_is_told_to_nobody",
    "jwt_keys_unavailable": "tests/oidc/test_provider.py::"
    "test_before_any_key_was_had_callers_get_503_and_the_first_fetch_is_retried",
    "replay_store_full": "tests/unit/decide/test_replay.py::test_what_is_not_recorded_is_denied",
    "replay_store_unavailable": "tests/stores/test_redis_store.py::"
    "test_a_redis_that_stalls_is_unavailable_in_time_and_right_again_afterwards",
    "overloaded": "tests/process/transport/test_transports.py::"
    "test_an_overloaded_service_denies_with_503_and_counts_it",
    "peer_refused": "tests/process/transport/test_tls.py::test_only_named_clients_may_ask_by_dns_name_or_spiffe_id",
    "audit_unavailable": "tests/process/serve/test_audit.py::"
    "test_while_a_required_record_cannot_be_written_every_check_gets_503",
    "registry_unavailable": "tests/stores/registry/test_serving.py::"
    "test_without_database_and_replica_the_registrys_apps_get_503_until_it_is_there",
    "internal_error": "tests/unit/wire/test_checked.py::test_an_internal_error_tells_a_grpc_caller_its_status",
}
"""The test that provokes what takes a fault: a provider, store, disk or peer that fails; or no address."""
