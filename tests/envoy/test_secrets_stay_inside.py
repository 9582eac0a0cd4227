"""After every kind of call: no secret in the decision log, the service's output, the metrics, or Envoy's access log."""

import urllib.request
from pathlib import Path

from demo.calls import demo_calls, play
from demo.keys import make_token
from tests.gateway import CODE, FORM_TYPE, Gateway, signed_headers


def test_no_credential_is_written_anywhere(gateway: Gateway):
    token = make_token(gateway.private_jwk, sub="alice")
    signed = signed_headers("GET", "/v1/orders?a=1")
    signature = str(dict(signed)["X-Ca-Signature"])
    wrong = signed_headers("POST", "/v1/orders", content_type=FORM_TYPE, secret="wrong-secret-0001")
    calls = [
        gateway.call("GET", "/v1/orders?a=1", signed),
        gateway.call("GET", "/v1/orders?a=1", signed),
        gateway.call("POST", "/v1/orders", wrong, b"password=form-password-0001"),
        gateway.call("GET", "/internal/report", [("Authorization", CODE)], network="vpc"),
        gateway.call("GET", "/internal/report?appCode=demo-app-code-0001", network="vpc"),
        gateway.call("GET", "/internal/report?appCode=wrong-code-0001", network="vpc"),
        gateway.call("GET", "/internal/report", [("Authorization", "APPCODE wrong-code-0002")], network="vpc"),
        gateway.call("GET", "/web/profile", [("Authorization", f"Bearer {token}")]),
        gateway.call("GET", "/web/profile", [("Authorization", f"Bearer {token}x")]),
        gateway.call("GET", "/web/profile", [("Authorization", f"Basic {token}")]),
    ]
    list(play(gateway.stack, demo_calls(gateway.private_jwk)))
    last = gateway.call("GET", "/public/ping")
    gateway.decision(last), gateway.access_line(last)  # so that every line before it is written, too
    assert all(answer.request_id for answer in calls)

    secrets = [
        *(f"demo-app-secret-000{n}" for n in range(1, 5)),
        *(f"demo-app-code-000{n}" for n in range(1, 5)),
        *(token.split(".")[part] for part in (1, 2)),
        signature, "wrong-secret-0001", "wrong-code-0001", "wrong-code-0002", "form-password-0001",
    ]  # fmt: skip
    folder = gateway.stack.folder
    with urllib.request.urlopen(f"http://127.0.0.1:{gateway.stack.ports.operations}/metrics", timeout=5) as answer:
        metrics = answer.read().decode()
    places = {
        "decision log": (folder / "decisions.jsonl").read_text(),
        "access log": (folder / "access.log").read_text(),
        "output of the service": gateway.stack.log("service"),
        "metrics": metrics,
        "process arguments": Path(f"/proc/{gateway.stack.pid('service')}/cmdline").read_text(),
    }
    assert last.request_id in places["decision log"]
    found = {(place, secret) for place, text in places.items() for secret in secrets if secret in text}
    assert found == set()


def test_metrics_have_no_label_that_a_client_chooses(gateway: Gateway):
    for name in ("made-up-by-a-client",):
        gateway.call("GET", f"/{name}", host=f"{name}.example")
        gateway.call(name.upper(), "/v1/orders")
        gateway.signed("GET", f"/v1/orders?{name}", key=name, nonce=name, stage=name)
        gateway.call("GET", "/internal/report", [("Authorization", f"APPCODE {name}")], network="vpc")
    with urllib.request.urlopen(f"http://127.0.0.1:{gateway.stack.ports.operations}/metrics", timeout=5) as answer:
        metrics = answer.read().decode().lower()
    assert "extauthz_checks_total{" in metrics
    assert "made-up-by-a-client" not in metrics
