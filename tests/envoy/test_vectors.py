"""Requests that real clients signed, replayed to the byte through Envoy with the service's clock set to their time."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.stack import ROOT
from tests.gateway import (
    Answer,
    Gateway,
    connection_manager,
    patient_bootstrap,
    running_gateway,
    shipped_config,
    signed_headers,
)
from tests.transports import ALL

DATA = json.loads((ROOT / "tests" / "data" / "signature-vectors.json").read_text())
VECTORS: dict[str, dict[str, Any]] = {vector["id"]: vector for vector in DATA["vectors"]}
V01, V04, V05 = (next(v for name, v in VECTORS.items() if name.startswith(n)) for n in ("V01", "V04", "V05"))
WINDOW_MS = 900_000


class ClockedGateway(Gateway):
    """A gateway whose service believes what it is told about the time."""

    clock: Path

    def set_clock(self, now_ms: int) -> None:
        """Set the clock, after letting every nonce that was used so far expire."""
        far = now_ms + 100 * WINDOW_MS
        self.clock.write_text(str(far))
        # The store drops what has expired when it records the next one.
        assert self.signed("GET", "/expiry", timestamp_ms=far).status == 200
        self.clock.write_text(str(now_ms))

    def replay(self, vector: dict[str, Any], host: str = "vectors.example", **changed: Any) -> Answer:
        sent = {**vector, **changed}
        headers = [(name, text) for name, text in sent["headers"]]
        return self.call(sent["method"], sent["target"], headers, base64.b64decode(sent["body_base64"]), host=host)


@pytest.fixture(scope="module", params=ALL)
def clocked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClockedGateway]:
    folder = tmp_path_factory.mktemp("clocked")
    clock = folder / "clock"
    clock.write_text("")
    serve = [str(ROOT / "tests" / "envoy" / "serve_with_clock.py"), "--clock", str(clock)]
    with running_gateway(folder, bootstrap_without_api_names(), vector_config(request.param), serve=serve) as running:
        gateway = ClockedGateway(running.stack, running.private_jwk)
        gateway.clock = clock
        yield gateway


@pytest.mark.parametrize("vector", VECTORS.values(), ids=VECTORS.keys())
def test_a_request_signed_by_a_real_client_passes_once(clocked: ClockedGateway, vector: dict[str, Any]):
    clocked.set_clock(vector["clock_ms"])
    answer = clocked.replay(vector)
    assert answer.seen["path"] == vector["target"]
    assert clocked.decision(answer)["reading"] == vector["reading"]
    assert answer.seen["body"].encode() == base64.b64decode(vector["body_base64"])
    has_nonce = any(name.lower() == "x-ca-nonce" for name, _ in vector["headers"])
    again = clocked.replay(vector)
    assert again.status == (403 if has_nonce else 200)
    if has_nonce:
        assert clocked.reason(again) == "nonce_used"


@pytest.mark.parametrize("vector", VECTORS.values(), ids=VECTORS.keys())
def test_with_another_signature_its_caller_is_told_the_string_to_sign(clocked: ClockedGateway, vector: dict[str, Any]):
    clocked.set_clock(vector["clock_ms"])
    headers = [(n, "x" + text[1:] if n.lower() == "x-ca-signature" else text) for n, text in vector["headers"]]
    answer = clocked.replay(vector, headers=headers)
    assert (answer.status, clocked.reason(answer)) == (403, "signature_mismatch")
    assert answer.message == vector["message_when_wrong"]


def test_n01_lower_cased_names_are_another_signature(clocked: ClockedGateway):
    clocked.set_clock(V01["clock_ms"])
    lower = [(n, text.lower() if n == "X-Ca-Signature-Headers" else text) for n, text in V01["headers"]]
    assert clocked.reason(clocked.replay(V01, headers=lower)) == "signature_mismatch"


def test_n02_a_wrong_secret_is_told_the_string_to_sign(clocked: ClockedGateway):
    clocked.set_clock(V01["clock_ms"])
    stamp = {"nonce": "11111111-2222-4333-8444-555555555555", "timestamp_ms": V01["clock_ms"]}
    wrong = signed_headers("GET", V01["target"], resource="/v1/orders?a=1&b=2", secret="demo-app-secret-0002",
                           content_type="application/json", **stamp)  # fmt: skip
    answer = clocked.call("GET", V01["target"], wrong, host="vectors.example")
    assert (answer.status, answer.code, clocked.reason(answer)) == (403, "A403SG", "signature_mismatch")
    assert answer.message == V01["message_when_wrong"]


def test_n03_a_changed_body_fails_on_content_md5(clocked: ClockedGateway):
    clocked.set_clock(V04["clock_ms"])
    body = bytearray(base64.b64decode(V04["body_base64"]))
    body[-2] ^= 1
    answer = clocked.replay(V04, body_base64=base64.b64encode(bytes(body)).decode())
    assert (answer.status, answer.code, clocked.reason(answer)) == (400, "I400I5", "content_md5_invalid")


def test_n04_a_nonce_passes_once_for_one_key_and_api(clocked: ClockedGateway):
    clocked.set_clock(V01["clock_ms"])
    assert clocked.replay(V01).status == 200
    again = clocked.replay(V01)
    assert (again.status, again.code, again.message) == (403, "S403NU", "Nonce Used")
    clocked.clock.write_text(str(V01["clock_ms"] + WINDOW_MS))
    assert clocked.reason(clocked.replay(V01)) == "nonce_used"
    shared = {"nonce": "11111111-2222-4333-8444-555555555555", "timestamp_ms": V01["clock_ms"]}
    other_key = {"key": "appKey", "secret": "appSecret"}
    assert clocked.signed("GET", "/v1/orders", host="vectors.example", **shared, **other_key).status == 200
    assert clocked.signed("GET", "/v1/items", host="vectors.example", **shared).status == 200


@pytest.mark.parametrize(
    ("skew_ms", "status"),
    [(WINDOW_MS, 200), (WINDOW_MS + 1, 403), (-WINDOW_MS, 200), (-WINDOW_MS - 1, 403)],
)
def test_n05_a_timestamp_holds_for_fifteen_minutes_either_way(clocked: ClockedGateway, skew_ms: int, status: int):
    clocked.set_clock(V01["clock_ms"] + skew_ms)
    answer = clocked.replay(V01)
    assert answer.status == status
    if status != 200:
        assert (answer.code, clocked.reason(answer)) == ("S403TE", "timestamp_expired")


def test_n06_sha1_is_refused_where_the_api_does_not_list_it(clocked: ClockedGateway):
    clocked.set_clock(V05["clock_ms"])
    refused = clocked.replay(V05, host="sha256.example")
    assert (refused.status, clocked.reason(refused)) == (400, "signature_method_refused")
    assert clocked.replay(V05).status == 200
    assert clocked.replay(V01, host="sha256.example").status == 200


def test_every_negative_case_of_the_file_has_its_test():
    tested = {name.split("_")[1] for name in globals() if name.startswith("test_n")}
    assert {case["id"][:3].lower() for case in DATA["negative"]} == tested


def vector_config(transport: str) -> dict[str, Any]:
    config = shipped_config()
    config["transport"] = transport
    config["groups"] += [
        {"id": "vectors", "domains": ["vectors.example"]},
        {"id": "sha256", "domains": ["sha256.example"]},
    ]
    paths = sorted({(vector["method"], vector["target"].partition("?")[0]) for vector in VECTORS.values()})
    paths += [("GET", "/v1/items")]
    digest = {"auth": {"internet": "digest"}, "digest": {"algorithms": ["HmacSHA256", "HmacSHA1"]}}
    added = []
    for path in sorted({path for _, path in paths}):
        methods = [method for method, its in paths if its == path]
        added.append(
            {"id": "v" + path.replace("/", "-"), "group": "vectors", "methods": methods, "path": path, **digest}
        )
    sha256 = {"algorithms": ["HmacSHA256"]}
    added.append(
        {"id": "sha256-only", "group": "sha256", "methods": ["GET"], "path": "/v1/orders",
         "auth": {"internet": "digest"}, "digest": sha256}
    )  # fmt: skip
    added.append({"id": "expiry", "group": "demo", "methods": ["GET"], "path": "/expiry", **digest})
    config["apis"] += added
    config["apps"].append({"id": "published", "keys": [{"app_key": "appKey", "app_secret": "appSecret"}]})
    for app in ("demo-app", "published"):
        config["grants"].append({"app": app, "apis": [api["id"] for api in added], "granted_by": "demo"})
    return config


def bootstrap_without_api_names() -> dict[str, Any]:
    """The shipped Envoy, whose routes leave it to the service to find the API by host, method and path."""
    bootstrap = patient_bootstrap()
    for listener in bootstrap["static_resources"]["listeners"]:
        for host in connection_manager(listener)["route_config"]["virtual_hosts"]:
            host["routes"] = host["routes"][-1:]
    return bootstrap
