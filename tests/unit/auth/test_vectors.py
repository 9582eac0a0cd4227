"""The signature vectors: those that vendor SDKs produced, and those that we ship."""

import base64
import hmac
import json
from pathlib import Path
from urllib.parse import parse_qsl, unquote

import pytest

from extauthz.auth import digest
from extauthz.auth.string_to_sign import StringToSign, signed_names
from extauthz.decide.pipeline import decide
from extauthz.decide.replay import settle
from extauthz.domain.api import DigestRules, Strictness
from extauthz.domain.app import HMAC_SHA1, HMAC_SHA256
from extauthz.domain.decision import Allow, Proof, Refusal
from extauthz.domain.reason import CATALOGUE, SIGNATURE_MISMATCH
from extauthz.replay.memory import MemoryReplayStore
from tests.unit.building import NOW_MS, api, from_vector, snapshot
from vectors import generate

DATA = Path(__file__).parent.parent.parent / "data" / "signature-vectors.json"
SDK = json.loads(DATA.read_text(encoding="utf-8"))["vectors"]
OURS = json.loads(generate.FILE.read_text(encoding="utf-8"))["vectors"]
ALLOWED = [one for one in OURS if one["expect"] == "allow"]


def named(vectors):
    return pytest.mark.parametrize("vector", vectors, ids=[one["id"] for one in vectors])


def rules_of(vector):
    rules = vector.get("rules", {})
    return DigestRules(
        algorithms=frozenset(rules.get("algorithms", [HMAC_SHA256, HMAC_SHA1])),
        require_nonce=rules.get("require_nonce", False),
        strict=Strictness(rules.get("strict", "off")),
    )


def snapshot_for(vector, secret=None):
    keys = {vector["app_key"]: secret or vector["app_secret"]}
    return snapshot(api(digest=rules_of(vector)), keys=keys)


def play(vector):
    """The reason label or ``allow`` of the last of the sends, through the whole pipeline."""
    known, store, decision = snapshot_for(vector), MemoryReplayStore(10), None
    for attempt in range(vector["send"]):
        sent = from_vector(vector)._replace(stream_id=f"stream-{attempt}")
        decision = decide(sent, known, vector["clock_ms"])
        if isinstance(decision, Allow):
            for use in decision.uses:
                decision = settle(decision, use, store.record(use, vector["clock_ms"]))
    return ("allow" if isinstance(decision, Allow) else decision.reason.label), decision


def independent_string(vector):
    """A second implementation of the scheme (vendor doc 29475), sharing nothing with the first but the document."""
    sent = {}
    for name, value in vector["headers"]:
        sent.setdefault(name.lower(), value)
    text = vector["method"].upper() + "\n"
    for fixed in "accept", "content-md5", "content-type", "date":
        text += sent.get(fixed, "") + "\n"
    never = {"x-ca-signature", "x-ca-signature-headers", "accept", "content-md5", "content-type", "date"}
    for name in sorted({one.strip() for one in sent.get("x-ca-signature-headers", "").split(",")} - {""}):
        if name.lower() not in never:
            text += f"{name}:{sent.get(name.lower(), '').strip()}\n"
    path, _, query = vector["target"].partition("?")
    in_query = parse_qsl(query, keep_blank_values=True)
    in_form = []
    if sent.get("content-type", "").lower().split(";")[0].strip() == "application/x-www-form-urlencoded":
        in_form = parse_qsl(base64.b64decode(vector["body_base64"]).decode(), keep_blank_values=True)
    pairs = in_query + in_form if "query_wins" in vector.get("reading", "") else in_form + in_query
    if "decoded_path" in vector.get("reading", ""):
        path = unquote(path)
    pool = {}
    for key, value in pairs:
        pool.setdefault(key, value)
    listed = [f"{key}={pool[key]}" if pool[key] else key for key in sorted(pool, key=lambda k: k.encode("utf-16-be"))]
    return text + path + ("?" + "&".join(listed) if listed else "")


def independent_signature(vector, string):
    return base64.b64encode(
        hmac.new(vector["app_secret"].encode(), string.encode(), vector["algorithm"].removeprefix("Hmac")).digest()
    ).decode()


@named(SDK)
def test_what_a_vendor_sdk_signed_is_what_we_verify(vector):
    sent = from_vector(vector)
    string = StringToSign(sent, signed_names(sent.headers.get("x-ca-signature-headers", b"")))
    strings = [string.primary(), *(other.string() for other in string.others())]
    assert vector["string_to_sign"].encode() in strings
    proof = digest.authenticate(sent, api(), snapshot_for(vector), vector["clock_ms"])
    assert isinstance(proof, Proof)


@named([one for one in SDK if "QUERY-wins" not in one["id"]])
def test_a_wrong_secret_is_told_the_string_that_the_vendor_would_tell(vector):
    refusal = digest.authenticate(from_vector(vector), api(), snapshot_for(vector, "other"), vector["clock_ms"])
    assert isinstance(refusal, Refusal)
    assert refusal.reason is SIGNATURE_MISMATCH
    told = SIGNATURE_MISMATCH.vpc.message.replace("{fact}", refusal.fact)
    assert told == vector["message_when_wrong"]


def test_the_shipped_vectors_are_current():
    assert generate.FILE.read_text(encoding="utf-8") == generate.text(), "run `make vectors`"


def test_the_shipped_vectors_have_unique_ids_and_known_reasons():
    assert len({one["id"] for one in OURS}) == len(OURS)
    assert {one["expect"] for one in OURS} - {"allow"} <= set(CATALOGUE)


@named(OURS)
def test_a_shipped_vector_ends_as_it_says(vector):
    label, decision = play(vector)
    assert label == vector["expect"]
    if label == "allow":
        assert decision.reading == vector["reading"]


@named(ALLOWED)
def test_a_second_implementation_agrees_with_a_shipped_vector(vector):
    string = independent_string(vector)
    assert string == vector["string_to_sign"]
    assert independent_signature(vector, string) == vector["signature"]
    assert ["X-Ca-Signature", vector["signature"]] in vector["headers"]


@named([one for one in OURS if one["expect"] == "signature_mismatch"])
def test_a_refused_vector_echoes_the_string_that_the_second_implementation_computes(vector):
    _, decision = play(vector)
    string = independent_string({**vector, "reading": "primary"})
    assert string == vector["server_string_to_sign"]
    assert decision.fact == string.replace("\n", "#")


def test_the_error_message_echoes_the_primary_reading_even_for_a_client_of_another():
    vector = next(one for one in OURS if one["id"] == "W02-path-decoded")
    decision = decide(from_vector(vector), snapshot_for(vector, "other"), vector["clock_ms"])
    assert "/v1/orders/%E8%8C%B6?a=1" in decision.fact


@named([one for one in ALLOWED if one["reading"] != "primary"])
def test_strict_mode_takes_the_primary_reading_only(vector):
    strict = {**vector, "rules": {"strict": "on"}}
    assert play(strict)[0] == "signature_mismatch"


@pytest.mark.parametrize("skew_ms", [-900_000, 900_000])
def test_the_last_millisecond_of_the_window_is_inside(skew_ms):
    vector = {**OURS[0], "clock_ms": NOW_MS + skew_ms}
    assert play(vector)[0] == "allow"


@pytest.mark.parametrize("skew_ms", [-900_001, 900_001])
def test_the_first_millisecond_past_the_window_is_outside(skew_ms):
    vector = {**OURS[0], "clock_ms": NOW_MS + skew_ms}
    assert play(vector)[0] == "timestamp_expired"
