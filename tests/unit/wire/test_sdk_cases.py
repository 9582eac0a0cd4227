"""Requests of real clients, recorded (``tests/data/sdk-cases``): each is answered as the vendor's gateway answers it.

Each is decided by the demo's configuration, at the time it was signed, as Envoy would ask about it.
"""

import base64
import json
from typing import Any

import pytest

from demo.stack import ROOT
from extauthz.domain.decision import Allow
from tests.unit.wire.checking import Notes, answer, check_request, demo, servicer

FOLDER = ROOT / "tests" / "data" / "sdk-cases"
CASES = {file.stem: json.loads(file.read_text()) for file in sorted(FOLDER.glob("*.json"))}
LENIENT = {"F7-path-question-core", "F7-path-semicolon-core"}
"""Answered so only where the API has ``lenient_path_parameters``: some upstreams read another path there."""
READINGS = {
    "F4-accept-twice-go": "first_values",
    "F4-repeated-signed-header-core": "first_values",
    "F7-path-question-core": "decoded_path",
}
"""The reading by which a signature is found right where it is not the primary one."""
JOINED_BY_ENVOY = {"accept"}


def message_of(case: dict[str, Any]) -> Any:
    """The question that Envoy 1.40 asks, with ``encode_raw_headers`` as shipped."""
    headers: list[tuple[str, str]] = []
    for name, value in case["headers"]:
        before = next((place for place, (known, _) in enumerate(headers) if known == name), None)
        if before is not None and name in JOINED_BY_ENVOY:
            headers[before] = (name, headers[before][1] + "," + value)
        else:
            headers.append((name, value))
    body = base64.b64decode(case.get("body_base64", ""))
    if "body_repeat" in case:
        body = (
            case.get("body_prefix", "").encode() + case["body_repeat"]["byte"].encode() * case["body_repeat"]["count"]
        )
    host = dict(headers).get("host", "api.example.com")
    sent = [(name, value) for name, value in headers if name != "host"]
    return check_request(case["method"], case["target"], sent, body, network=case["network"], host=host)


@pytest.mark.parametrize("name", CASES)
def test_a_real_client_is_answered_as_the_vendors_gateway_answers_it(name: str) -> None:
    case, notes = CASES[name], Notes()
    serving = servicer(notes, now_ms=lambda: case["clock_ms"], known=demo(lenient=name in LENIENT)[0])
    denied = answer(message_of(case), serving).status.code != 0
    ((_, _, decision),) = notes.decisions
    assert denied is (case["expect"] == "deny"), decision
    if isinstance(decision, Allow) and decision.about.method == "digest":
        assert decision.reading == READINGS.get(name, "primary")


@pytest.mark.parametrize("name", sorted(LENIENT))
def test_an_api_is_not_lenient_about_path_parameters_unless_it_is_told_to(name: str) -> None:
    case, notes = CASES[name], Notes()
    assert answer(message_of(case), servicer(notes, now_ms=lambda: case["clock_ms"])).status.code != 0
    assert notes.decisions[0][2].reason.label == "path_invalid"
