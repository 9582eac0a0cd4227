"""The steps of a decision: the same outcome whether anybody records them or not, and an entry for each that ran."""

import time
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo.calls import demo_calls
from extauthz.decide.pipeline import STEPS, Entry, decide, decide_recorded
from extauthz.decide.progress import FINDINGS
from extauthz.domain import reason
from extauthz.domain.api import ApiGroup, DomainBinding
from extauthz.domain.app import Grant
from extauthz.domain.decision import Allow
from extauthz.domain.ip import IpControl
from extauthz.domain.request import Network, Stage
from extauthz.wire.request import read_request
from tests.unit.auth.test_vectors import OURS, SDK, snapshot_for
from tests.unit.auth.token_making import bearer, plugin
from tests.unit.building import (
    APP_CODE,
    CODE,
    DIGEST,
    GROUP,
    JWT,
    KEY,
    NONE,
    NOW_MS,
    api,
    from_vector,
    policy,
    request,
    signed,
    snapshot,
)
from tests.unit.wire.checking import check_request, demo
from tests.unit.wire.test_sdk_cases import CASES, LENIENT, message_of

NAMES = [step.name for step in STEPS]


def played(sent, known, now_ms=NOW_MS):
    """The decision, and the entries of the steps that led to it, once they are known to be right."""
    entries: list[Entry] = []
    decision = decide(sent, known, now_ms)
    assert decide_recorded(sent, known, now_ms, entries.append) == decision
    assert [entry.step for entry in entries] == NAMES[: len(entries)]
    *passed, last = entries
    assert all(entry.refusal is None for entry in passed)
    if isinstance(decision, Allow):
        assert len(entries) == len(NAMES)
        assert last.refusal is None
    else:
        assert last.refusal == (decision.reason, decision.fact, decision.detail)
    return decision, entries


def refused_by(sent, *apis, **known):
    """The name of the step that refuses; empty when none does."""
    decision, entries = played(sent, snapshot(*apis, **known))
    return "" if isinstance(decision, Allow) else entries[-1].step


@pytest.mark.parametrize("vector", SDK, ids=[one["id"] for one in SDK])
def test_a_vendors_vector_is_decided_alike_with_and_without_a_recorder(vector):
    assert isinstance(played(from_vector(vector), snapshot_for(vector), vector["clock_ms"])[0], Allow)


@pytest.mark.parametrize("vector", OURS, ids=[one["id"] for one in OURS])
def test_a_vector_of_ours_is_decided_alike_with_and_without_a_recorder(vector):
    played(from_vector(vector), snapshot_for(vector), vector["clock_ms"])


@pytest.mark.parametrize("name", CASES)
def test_a_real_clients_request_is_decided_alike_with_and_without_a_recorder(name):
    case, (known, _) = CASES[name], demo(lenient=name in LENIENT)
    sent = read_request(message_of(case), None, known.gateway.settings)
    assert isinstance(played(sent, known, case["clock_ms"])[0], Allow) is (case["expect"] == "allow")


def test_a_call_of_the_demo_is_decided_alike_with_and_without_a_recorder():
    known, private = demo()
    for call in demo_calls(private):
        message = check_request(call.method, call.path, call.headers, call.body, network=call.network)
        sent = read_request(message, None, known.gateway.settings)
        decision, _ = played(sent, known, time.time_ns() // 1_000_000)
        replayed = call.code == "S403NU"  # found by the store, behind the last step
        assert isinstance(decision, Allow) is (call.status == 200 or replayed), call.shows


HEADERS = st.dictionaries(
    st.sampled_from(["authorization", "x-ca-key", "x-ca-signature", "x-ca-stage", "x-ca-timestamp", "x_ca_app_id"]),
    st.sampled_from(
        [f"APPCODE {CODE}", "APPCODE nobodys", bearer(), "Bearer a.b.c", KEY, "TEST", "PRE", str(NOW_MS), ""]
    ),
)
BESIDE_A_SIGNATURE = st.dictionaries(
    st.sampled_from(["authorization", "x_ca_app_id"]), st.sampled_from([f"APPCODE {CODE}", bearer(), "Bearer a.b.c"])
)
ALTERNATIVES = st.lists(
    st.sampled_from([NONE, APP_CODE, DIGEST, JWT, frozenset({DIGEST, JWT}), frozenset({APP_CODE, JWT})]), min_size=1
)
CONTROLS = st.sampled_from(
    [
        None,
        IpControl("here", True, (ip_network("192.0.2.0/24"),)),
        IpControl("elsewhere", True, (ip_network("198.51.100.0/24"),)),
        IpControl("bound", True, (), {"demo-app": (ip_network("192.0.2.1/32"),)}),
    ]
)
BINDINGS = st.sampled_from([{}, {"*": DomainBinding(Network.VPC)}, {"*": DomainBinding(None, Stage.TEST)}])
TARGETS = st.sampled_from(["/v1/orders", "/v1/../orders", "/v1/orders;a", "/v1/%6frders", "/else", "/v1/orders?a=b"])


@given(
    sent=st.one_of(
        st.builds(request, target=TARGETS, headers=HEADERS, network=st.sampled_from(Network)),
        st.builds(signed, target=TARGETS, headers=BESIDE_A_SIGNATURE, network=st.sampled_from(Network)),
    ),
    context=st.sampled_from([{}, {"extauthz.stage": "TEST"}, {"extauthz.api": "orders"}, {"extauthz.api": "gone"}]),
    alternatives=ALTERNATIVES,
    control=CONTROLS,
    bindings=BINDINGS,
    path=st.sampled_from(["/*", "/v1/{name}", None]),
    lenient=st.booleans(),
)
def test_a_generated_request_is_decided_alike_with_and_without_a_recorder(
    sent, context, alternatives, control, bindings, path, lenient
):
    opened = policy(*alternatives)
    known = snapshot(
        api(
            group=ApiGroup("g", GROUP.domains, bindings),
            auth={Network.INTERNET: opened},
            ip_control=control,
            path=path,
            jwt=plugin(),
            lenient_path_parameters=lenient,
        )
    )
    played(sent._replace(context=context), known)


@pytest.mark.parametrize(
    ("step", "sent", "changes"),
    [
        ("spelling", request(target="/v1/../admin"), {}),
        ("spelling", request(host="a,b"), {}),
        ("api", request("BREW"), {}),
        ("api", request(target="/v1/%6frders"), {"path": "/v1/orders"}),
        ("domain", request(), {"group": ApiGroup("g", frozenset({"*"}), {"*": DomainBinding(Network.VPC)})}),
        ("stage", request(headers={"x-ca-stage": "PRE"}), {}),
        ("network", request(), {"auth": {Network.VPC: policy(NONE)}}),
        ("network", request(network=Network.VPC), {"vpc_ids": frozenset({"vpc-1"})}),
        ("address", request(), {"ip_control": IpControl("c", True, (ip_network("198.51.100.0/24"),))}),
        ("credential", request(), {}),
        ("proof", signed(secret="wrong"), {}),
        ("grant", signed(), {"stages": frozenset({Stage.RELEASE})}),
        ("app_address", signed(), {"ip_control": IpControl("c", True, (), {"demo-app": (ip_network("8.8.8.8/32"),)})}),
    ],
)
def test_a_refusal_carries_the_name_of_its_rule(step, sent, changes):
    grants = [Grant("demo-app", "orders", Stage.TEST)] if step == "grant" else None
    assert refused_by(sent, api(DIGEST, **changes), grants=grants) == step


def test_an_entry_tells_what_its_step_has_found_and_no_other():
    orders = api(DIGEST)
    decision, entries = played(signed(), snapshot(orders))
    found = {entry.step: entry.found for entry in entries}
    assert found["api"] == {"api": orders}
    assert found["stage"] == {"stage": Stage.RELEASE}
    assert found["credential"] == {"methods": {DIGEST}}
    assert found["proof"]["app"] is decision.about.app
    assert found["grant"] == found["address"] == {}
    told = [name for entry in entries for name in entry.found]
    assert len(told) == len(set(told)), "a fact is found once"
    assert set(told) <= set(FINDINGS)


def test_of_a_refused_proof_the_method_is_known_and_no_app():
    decision, entries = played(signed(secret="wrong"), snapshot(api(DIGEST)))
    assert decision.reason is reason.SIGNATURE_MISMATCH
    assert entries[-1].found == {"method": "digest"}
    assert decision.about.method == "digest"
    assert decision.about.app is None
