"""The worked example of docs/signing.md: what it says is sent, signed and accepted."""

import base64
import hashlib
import hmac
import re

from extauthz.auth import digest
from extauthz.client import Credentials, OutgoingRequest, SigningOptions, sign, string_to_sign
from extauthz.domain.decision import Proof
from tests.unit.building import api, request, snapshot
from tests.unit.envoy.doctor.seeds import ROOT

PAGE = (ROOT / "docs" / "signing.md").read_text().partition("### A worked example")[2]
SECRET = "docs-only-app-secret-0001"


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)\n```", PAGE, re.DOTALL)
    assert found
    return found[1]


def sent() -> tuple[str, dict[str, str]]:
    first, *lines = block("http").splitlines()
    headers = dict(line.split(": ", 1) for line in lines)
    return first.split(" ")[1], headers


def test_the_signer_sends_what_the_worked_example_sends():
    target, headers = sent()
    outgoing = OutgoingRequest("GET", target, {"Accept": headers["Accept"]})
    credentials = Credentials(headers["X-Ca-Key"], SECRET)
    options = SigningOptions(timestamp_ms=int(headers["X-Ca-Timestamp"]), nonce=headers["X-Ca-Nonce"])
    signed = sign(outgoing, credentials, options)
    assert signed == headers
    assert string_to_sign(outgoing, signed) == block("text")


def test_the_signature_of_the_worked_example_is_what_its_command_prints():
    assert f"-sha256 -hmac {SECRET} -binary" in block("sh")
    made = hmac.new(SECRET.encode(), block("text").encode(), hashlib.sha256).digest()
    assert base64.b64encode(made).decode() == sent()[1]["X-Ca-Signature"]


def test_the_worked_example_is_accepted_and_no_other_parameter_is():
    target, headers = sent()
    orders = api()
    known = snapshot(orders, keys={headers["X-Ca-Key"]: SECRET})
    now_ms = int(headers["X-Ca-Timestamp"])
    assert isinstance(digest.authenticate(request("GET", target, headers), orders, known, now_ms), Proof)
    other = request("GET", target.replace("two", "three"), headers)
    assert not isinstance(digest.authenticate(other, orders, known, now_ms), Proof)
