"""Explaining ends as serving does, for every request that the suite has, and tells each step that led there."""

import base64
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import extauthz.auth
from demo.calls import demo_calls
from extauthz.decide.pipeline import STEPS
from extauthz.domain import reason
from extauthz.domain.api import ApiGroup, DomainBinding
from extauthz.domain.app import Grant
from extauthz.domain.decision import Allow
from extauthz.domain.request import Network, Stage
from extauthz.domain.snapshot.directory import DirectoryUnavailable
from extauthz.explain.explained import Asked, as_dict, differences, explain, outcome_of
from extauthz.explain.fact import Verdict
from extauthz.explain.proofs import ROWS
from extauthz.explain.reading import UnreadableRequest, read_request
from extauthz.wire.asking import Entrance, HttpRequest, question
from tests.mistaken_client import MADE, Call, signed_by, variants_of
from tests.unit.auth.test_vectors import OURS, SDK, snapshot_for
from tests.unit.auth.token_making import bearer, plugin
from tests.unit.building import (
    APP_CODE,
    CODE,
    DIGEST,
    JWT,
    NONE,
    NOW_MS,
    api,
    policy,
    request,
    signed,
    snapshot,
)
from tests.unit.decide.test_shadow import shadowed
from tests.unit.wire.checking import Notes, answer, demo, servicer
from tests.unit.wire.test_sdk_cases import CASES, LENIENT, message_of

REQUEST_ID = "X-Ca-Request-Id"


def served(payload, known, now_ms, binding=None):
    """What a service answers, and why."""
    notes = Notes()
    response = answer(payload, servicer(notes, now_ms=lambda: now_ms, known=known), binding)
    return response, notes.records[0]


def explained_as_served(payload, known, now_ms=NOW_MS, binding=None):
    """The explanation of a check, once it is known to end as the service ends it."""
    response, record = served(payload, known, now_ms, binding)
    explained = explain(Asked(payload, binding), known, now_ms)
    assert outcome_of(explained.way.decision) == outcome_of(record.decision)
    assert explained.way.decision == record.decision
    answered = explained.way.answered
    assert answered.allowed is (response.status.code == 0)
    if not answered.allowed:
        assert answered.status == response.denied_response.status.code
        theirs = {(one.header.key, one.header.value) for one in response.denied_response.headers}
        assert {one for one in answered.set_headers if one[0] != REQUEST_ID} == {
            one for one in theirs if one[0] != REQUEST_ID
        }
    told(explained)
    return explained


def told(explained):
    """Every step is told, in order; the one that refuses is the last that was reached; all of it becomes JSON."""
    assert [step.step for step in explained.steps] == [step.name for step in STEPS]
    verdicts = [step.verdict for step in explained.steps if step.verdict is not Verdict.NOT_REACHED]
    if explained.way.entries:
        refused = explained.way.denied is not None
        assert verdicts == [Verdict.PASSED] * (len(verdicts) - refused) + [Verdict.REFUSED] * refused
    assert as_dict(explained)["outcome"] == ("allow" if isinstance(explained.way.decision, Allow) else "deny")


def http(vector):
    headers = tuple((name, value.encode()) for name, value in vector["headers"] if name.lower() != "host")
    return HttpRequest(
        vector["method"], vector["target"], "api.example.com", headers, base64.b64decode(vector["body_base64"])
    )


@pytest.mark.parametrize("vector", [*SDK, *OURS], ids=lambda one: one["id"])
def test_a_vector_is_explained_as_it_is_served(vector):
    payload = question(http(vector), Entrance())
    explained = explained_as_served(payload, snapshot_for(vector), vector["clock_ms"])
    if "expect" in vector and vector["expect"] != "nonce_used":
        assert outcome_of(explained.way.decision).startswith("allow") is (vector["expect"] == "allow")


@pytest.mark.parametrize("name", CASES)
def test_a_recorded_client_is_explained_as_it_is_served(name):
    known = demo(lenient=name in LENIENT)[0]
    explained_as_served(message_of(CASES[name]).SerializeToString(), known, CASES[name]["clock_ms"])


def test_the_calls_of_the_demo_are_explained_as_they_are_served():
    known, private = demo()
    for call in demo_calls(private):
        headers = tuple((name, value.encode()) for name, value in call.headers.items())
        sent = HttpRequest(call.method, call.path, "127.0.0.1:8080", headers, call.body)
        now_ms = int(call.headers.get("X-Ca-Timestamp", NOW_MS))
        payload = question(sent, Entrance({"extauthz.network": call.network}))
        explained_as_served(payload, known, now_ms)


@pytest.mark.parametrize("name", MADE)
def test_what_mistaken_clients_send_is_explained_as_it_is_served(name):
    known = snapshot(api())
    for sent in variants_of(Call(query=[("b", ""), ("A", "x y")], headers={"X-Tenant": "north"}), name):
        payload = question(read_request(sent.raw()), Entrance())
        explained = explained_as_served(payload, known)
        if outcome_of(explained.way.decision) == f"deny, {reason.SIGNATURE_MISMATCH.label}":
            assert explained.diagnosis is not None


def test_what_is_no_question_is_explained_too():
    explained = explain(Asked(b"\xff\xff"), demo()[0], NOW_MS)
    assert outcome_of(explained.way.decision) == "deny, request_invalid"
    assert {step.verdict for step in explained.steps} == {Verdict.NOT_REACHED}
    assert as_dict(explained)["request"] is None


def ask(sent, known, **entrance):
    """A domain request, as Envoy would ask about it."""
    headers = tuple(sent.headers.items())
    target = f"{sent.path}?{sent.query}" if sent.query else sent.path
    payload = question(HttpRequest(sent.method, target, sent.host, headers, sent.body), Entrance(**entrance))
    return explained_as_served(payload, known)


def step_of(explained, name):
    return next(step for step in explained.steps if step.step == name)


def facts_of(explained, name):
    return " | ".join(f"{fact.test}: {fact.compared}" for fact in step_of(explained, name).facts)


def test_it_says_why_no_api_is_found():
    orders = api(path="/v1/orders", methods=frozenset({"GET"}))
    assert "orders takes GET" in facts_of(ask(request("POST"), snapshot(orders)), "api")
    assert "/v1/orders (API orders)" in facts_of(ask(request("GET", "/v1/order"), snapshot(orders)), "api")
    elsewhere = api(group=ApiGroup("shop", frozenset({"shop.example.com"})))
    assert "shop.example.com" in facts_of(ask(request(), snapshot(elsewhere)), "api")
    named = ask(request(), snapshot(orders), context={"extauthz.api": "nothing"})
    assert "names API 'nothing'" in facts_of(named, "api")


def test_it_says_by_which_network_a_call_came_and_why():
    internal = api(auth={Network.VPC: policy(DIGEST)}, vpc_ids=frozenset({"vpc-1"}))
    refused = ask(request(), snapshot(internal))
    assert step_of(refused, "network").refused_for.startswith("internet_disabled")
    assert "internet, as nobody states one" in facts_of(refused, "network")
    assert "vpc: digest" in facts_of(refused, "network")
    context = {"extauthz.network": "vpc", "extauthz.vpc_id": "vpc-2"}
    assert "vpc-2; whitelist: vpc-1" in facts_of(ask(request(), snapshot(internal), context=context), "network")
    payload = question(HttpRequest("GET", "/v1/orders", "h"), Entrance())
    by_listener = explain(Asked(payload, Network.VPC), snapshot(api()), NOW_MS)
    assert "stated by the listener" in facts_of(by_listener, "network")


def test_it_says_which_stage_a_route_or_domain_pins():
    tied = ApiGroup("shop", frozenset({"*"}), {"*": DomainBinding(stage=Stage.TEST)})
    refused = ask(request(), snapshot(api(group=tied)))
    assert "TEST" in facts_of(refused, "domain")
    pinned = ask(request(headers={"X-Ca-Stage": "PRE"}), snapshot(api()), context={"extauthz.stage": "TEST"})
    assert "serves TEST only" in facts_of(pinned, "stage")


def test_it_says_what_the_grant_is_or_that_there_is_none():
    known = snapshot(api(), grants=[Grant("demo-app", "orders", Stage.TEST, None, "alice")])
    refused = ask(signed(), known)
    assert "none for API orders in stage RELEASE; it has one for TEST" in facts_of(refused, "grant")
    ended = snapshot(api(), grants=[Grant("demo-app", "orders", Stage.RELEASE, NOW_MS, "alice")])
    assert "by alice, until 2023-11-14T22:13:20" in facts_of(ask(signed(), ended), "grant")


def test_it_says_what_goes_upstream_and_what_is_used_up():
    allowed = ask(signed(), snapshot(api(strip_credentials=True)))
    told = facts_of(allowed, "upstream")
    assert "x-ca-app-id: demo-app" in told
    assert "x-ca-signature" in told
    assert "nonce of demo-app" in told


def test_it_shows_no_app_code_and_no_token():
    code = api(APP_CODE)
    for headers in ({"Authorization": f"APPCODE {CODE}"}, {"Authorization": f"APPCODE {CODE}x"}):
        assert CODE not in str(as_dict(ask(request(headers=headers), snapshot(code))))
    token = bearer(sub="alice")
    explained = ask(request(headers={"Authorization": token}), snapshot(api(JWT, jwt=plugin())))
    assert token.rpartition(".")[2] not in str(as_dict(explained))
    assert "alg" in facts_of(explained, "proof")


def test_what_is_in_shadow_is_explained_as_what_would_be_denied():
    known = shadowed(snapshot(api()))
    sent = read_request(signed_by(Call(query=[("b", "")]), "empty_as_equals").raw())
    explained = explained_as_served(question(sent, Entrance()), known)
    assert outcome_of(explained.way.decision) == "allow, would_deny (signature_mismatch)"
    assert explained.diagnosis.explanations[0][0].name == "empty_as_equals"
    assert "in shadow" in explained.notes[0]
    assert step_of(explained, "proof").verdict is Verdict.REFUSED
    assert (as_dict(explained)["would_deny"], as_dict(explained)["method"]) == ("signature_mismatch", "digest")
    ungranted = explained_as_served(question(read_request(signed_by(Call()).raw()), Entrance()),
                                    shadowed(snapshot(api(), grants=[])))  # fmt: skip
    assert "none for API orders in stage RELEASE" in facts_of(ungranted, "grant")


def test_an_anonymous_call_needs_no_grant():
    explained = ask(request(), snapshot(api(NONE)))
    assert "an anonymous call" in facts_of(explained, "credential")
    assert "no grant is needed" in facts_of(explained, "grant")


AUTH = Path(extauthz.auth.__file__).parent
SOURCES = {DIGEST: ["digest.py"], APP_CODE: ["appcode.py"], JWT: ["jwt.py", "jwt_claims.py", "jwt_token.py"]}


@pytest.mark.parametrize("method", SOURCES)
def test_each_refusal_of_a_method_belongs_to_one_of_its_tests(method):
    sources = "".join((AUTH / file).read_text() for file in SOURCES[method])
    used = set(re.findall(r"reason\.([A-Z0-9_]+)", sources))
    told = [one for row in ROWS[method] for one in row.reasons]
    used_up = {"NONCE_USED", "JTI_USED"}
    assert {getattr(reason, name) for name in used - used_up} <= set(told)
    assert len(told) == len(set(told))
    assert set(ROWS) == set(SOURCES)


class Damaged:
    """A directory of which nothing can be said."""

    revision = file_revision = "damaged"

    def __getattr__(self, name):
        def fail(*_):
            raise DirectoryUnavailable("the replica is damaged")

        return fail


def test_a_registry_that_cannot_be_asked_is_told_where_it_was_asked():
    known = snapshot(api(), api(APP_CODE, id="coded", path="/coded"))._replace(directory=Damaged())
    for sent in (signed(), request("GET", "/coded", {"Authorization": f"APPCODE {CODE}"})):
        explained = ask(sent, known)
        assert outcome_of(explained.way.decision) == "deny, registry_unavailable"
        assert "the replica is damaged" in step_of(explained, "proof").refused_for


@given(st.binary(max_size=200) | st.sampled_from([b"curl ", b"{", b"GET / HTTP/1.1\n"]).flatmap(
    lambda start: st.binary(max_size=100).map(lambda rest: start + rest)))  # fmt: skip
def test_whatever_is_pasted_is_explained_or_told_to_be_unreadable(pasted):
    try:
        payload = question(read_request(pasted), Entrance({"extauthz.api": "\udcff"}))
    except UnreadableRequest:
        return
    explained_as_served(payload, demo()[0])


@given(st.binary(max_size=100))
def test_whatever_is_asked_is_explained(payload):
    told(explain(Asked(payload), demo()[0], NOW_MS))


def test_an_old_request_is_told_how_it_ended_at_its_own_time():
    payload = question(read_request(signed_by(Call()).raw()), Entrance())
    explained = explain(Asked(payload), snapshot(api()), NOW_MS + 86_400_000)
    assert outcome_of(explained.way.decision) == "deny, timestamp_expired"
    assert explained.diagnosis.explanations[0][0].name == "request_is_old"
    assert f"it ends in: allow, allowed (--at {NOW_MS})" in explained.notes[0]


def test_two_configurations_differ_where_they_differ():
    payload = question(read_request(signed_by(Call()).raw()), Entrance())
    one = explain(Asked(payload), snapshot(api()), NOW_MS)
    other = explain(Asked(payload), snapshot(api(), grants=[]), NOW_MS)
    assert "grant" in {step for step, _, _ in differences(one, other)}
    assert "api" not in {step for step, _, _ in differences(one, other)}


def test_the_error_message_says_whether_the_service_saw_this_request():
    known, call = snapshot(api()), Call(query=[("a", "1")])
    sent = read_request(signed_by(call, "secret_ampersand").raw())
    payload = question(sent, Entrance())
    message = dict(explain(Asked(payload), known, NOW_MS).way.answered.set_headers)["X-Ca-Error-Message"]
    same = explain(Asked(payload, error_message=message), known, NOW_MS)
    assert "this very request" in same.notes[0]
    other = explain(Asked(payload, error_message=message.replace("a=1", "a=2")), known, NOW_MS)
    assert "another request than this one" in other.notes[0]
