"""Shadow: judged as ever and let pass, until its end; told of nobody unproven; out of reach of any request."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.decide.pipeline import decide, decide_recorded
from extauthz.decide.replay import Outcome, settle
from extauthz.decide.shadow import SHADOWED
from extauthz.domain import reason
from extauthz.domain.app import App, Grant
from extauthz.domain.decision import Allow, Deny
from extauthz.domain.header_names import X_CA_WOULD_DENY
from extauthz.domain.ip import IpControl
from extauthz.domain.reason import CATALOGUE, WOULD_DENY
from extauthz.domain.request import Network, Stage
from extauthz.domain.settings import IdentityFact, Settings
from extauthz.domain.shadow import ApiShadow, Shadow
from extauthz.domain.snapshot import Snapshot
from extauthz.wire.generated import ext_authz_pb2 as pb
from extauthz.wire.response import Responder, tell_revision
from tests.unit.auth.token_making import bearer, plugin
from tests.unit.building import APP_CODE, CODE, DIGEST, JWT, NOW_MS, api, policy, request, signed, snapshot

UNTIL_MS = NOW_MS + 1000
ALL = frozenset[str]()
STAND_IN = "0A1B2C3D-1E2F-4A5B-8C6D-7E8F9A0B1C2D"
FACTS = tuple((f"x-fact-{fact.value.replace('_', '-')}", fact) for fact in IdentityFact)


def shadowed(known: Snapshot, api_id: str = "orders", methods=ALL, app: str = "") -> Snapshot:
    """The snapshot with something in shadow."""
    shadow = Shadow({} if app else {api_id: (ApiShadow(UNTIL_MS, methods),)}, {app: UNTIL_MS} if app else {})
    settings = replace(known.gateway.settings, marks_shadow=True)
    return Snapshot(replace(known.gateway, shadow=shadow, settings=settings), known.directory)


def upstream(sent, known: Snapshot, decision) -> tuple[dict[str, str], pb.CheckResponse]:
    """The headers that the backend sees, and the answer."""
    network = sent.network
    raw = Responder(known.gateway, STAND_IN).respond(
        decision, network, STAND_IN[::-1], False, tell_revision(known.revision)
    )
    answer = pb.CheckResponse.FromString(raw)
    kept = {name: value.decode("latin-1") for name, value in sent.headers.items()}
    kept.update({one.header.key.lower(): one.header.value for one in answer.ok_response.headers})
    return {name: value for name, value in kept.items() if name not in answer.ok_response.headers_to_remove}, answer


STRANGER = signed(secret="another-secret-of-nobody")
IP_CONTROL = IpControl("office", True, (), {})
CASES = [
    (STRANGER, api(), {}, reason.SIGNATURE_MISMATCH),
    (request(), api(), {}, reason.CREDENTIAL_MISSING),
    (signed(key="nobody"), api(), {}, reason.APP_KEY_UNKNOWN),
    (signed(), api(), {"grants": []}, reason.NOT_GRANTED),
    (signed(), api(), {"grants": [Grant("demo-app", "orders", Stage.RELEASE, NOW_MS)]}, reason.GRANT_EXPIRED),
    (signed(), api(), {"app": App("demo-app", disabled=True)}, reason.APP_DISABLED),
    (signed(network=Network.VPC), api(auth={Network.INTERNET: policy(DIGEST)}), {}, reason.VPC_REFUSED),
    (signed(), api(auth={Network.VPC: policy(DIGEST)}), {}, reason.INTERNET_DISABLED),
    (signed(), api(ip_control=IP_CONTROL), {}, reason.IP_REFUSED),
    (request(headers={"Authorization": "APPCODE wrong-code-0001"}), api(APP_CODE), {}, reason.APP_CODE_UNKNOWN),
    (request(headers={"Authorization": "Bearer x.y.z"}), api(JWT, jwt=plugin()), {}, reason.JWT_MALFORMED),
]


@pytest.mark.parametrize(("sent", "one", "changes", "cause"), CASES, ids=[case[3].label for case in CASES])
def test_what_would_be_denied_passes_and_the_reason_is_kept(sent, one, changes, cause):
    known = snapshot(one, **changes)
    denied = decide(sent, known, NOW_MS)
    assert isinstance(denied, Deny)
    assert denied.reason is cause
    allowed = decide(sent, shadowed(known), NOW_MS)
    assert isinstance(allowed, Allow)
    assert (allowed.label, allowed.would_deny) == (WOULD_DENY, denied)
    assert decide_recorded(sent, shadowed(known), NOW_MS, lambda _: None) == allowed


@pytest.mark.parametrize(("sent", "one", "changes", "cause"), CASES, ids=[case[3].label for case in CASES])
def test_from_its_end_on_it_denies_again(sent, one, changes, cause):
    known = snapshot(one, **changes)
    assert decide(sent, shadowed(known), UNTIL_MS) == decide(sent, known, UNTIL_MS)
    assert isinstance(decide(sent, shadowed(known), UNTIL_MS - 1), Allow)


@pytest.mark.parametrize(("sent", "one", "changes", "cause"), CASES, ids=[case[3].label for case in CASES])
def test_nobody_is_named_to_the_backend_who_was_not_proven(sent, one, changes, cause):
    known = shadowed(snapshot(one, settings=Settings(identity_headers=FACTS), **changes))
    forged = {name: b"forged" for name, _ in FACTS} | {name.replace("-", "_"): b"forged" for name, _ in FACTS}
    sent = sent._replace(headers={**sent.headers, **forged, X_CA_WOULD_DENY: b"forged"})
    told, answer = upstream(sent, known, decide(sent, known, NOW_MS))
    assert "forged" not in told.values()
    proven = cause in (reason.NOT_GRANTED, reason.GRANT_EXPIRED, reason.APP_DISABLED, reason.IP_REFUSED)
    assert told.get("x-fact-app-id", "") == ("demo-app" if proven else "")
    assert told["x-fact-auth-method"] == ("digest" if proven else "none")
    assert ("x-ca-signature" in told) == proven, "a signature or token that was not verified never arrives"
    assert "authorization" not in told
    assert told[X_CA_WOULD_DENY] == cause.label
    facts = answer.dynamic_metadata.fields
    assert (facts["decision"].string_value, facts["would_deny"].string_value) == ("allow", cause.label)


def test_a_credential_of_another_network_does_not_arrive_unverified_either():
    one = api(auth={Network.INTERNET: policy(DIGEST), Network.VPC: policy(JWT)}, jwt=plugin())
    sent = request(headers={"Authorization": "Bearer forged.by.client"})
    told, _ = upstream(sent, known := shadowed(snapshot(one)), decide(sent, known, NOW_MS))
    assert "authorization" not in told


def test_what_is_allowed_anyway_goes_upstream_as_without_shadow():
    for sent, one in ((signed(), api()), (request(headers={"authorization": bearer()}), api(JWT, jwt=plugin()))):
        plain, known = snapshot(one), shadowed(snapshot(one))
        without, with_it = decide(sent, plain, NOW_MS), decide(sent, known, NOW_MS)
        assert with_it.would_deny is None
        assert upstream(sent, plain, without)[0] == upstream(sent, known, with_it)[0]


def test_a_nonce_that_was_used_passes_and_proves_nobody():
    sent = signed()
    plain, known = snapshot(api()), shadowed(snapshot(api()))
    (use,) = decide(sent, plain, NOW_MS).uses
    assert isinstance(settle(decide(sent, plain, NOW_MS), use, Outcome.USED), Deny)
    passed = settle(decide(sent, known, NOW_MS), use, Outcome.USED)
    assert isinstance(passed, Allow)
    assert passed.would_deny.reason is reason.NONCE_USED
    told, _ = upstream(sent, known, passed)
    assert "x-ca-app-id" not in told
    assert "x-ca-signature" not in told


@pytest.mark.parametrize("outcome", [Outcome.FULL, Outcome.SHARE_FULL, Outcome.UNAVAILABLE])
def test_a_store_that_cannot_tell_denies_in_shadow_too(outcome):
    for changes in ({}, {"grants": []}):
        decision = decide(signed(), shadowed(snapshot(api(), **changes)), NOW_MS)
        assert isinstance(settle(decision, decision.uses[0], outcome), Deny)


def test_a_replay_of_a_call_without_a_grant_is_still_told_by_its_first_reason_and_names_nobody():
    decision = decide(signed(), shadowed(snapshot(api(), grants=[])), NOW_MS)
    passed = settle(decision, decision.uses[0], Outcome.USED)
    assert (passed.would_deny.reason, passed.about.app) == (reason.NOT_GRANTED, None)


@pytest.mark.parametrize(
    ("sent", "cause"),
    [
        (signed(target="/v1//orders"), reason.PATH_INVALID),
        (signed(host="user@host"), reason.HOST_INVALID),
        (signed(method="PURGE"), reason.API_NOT_FOUND),
        (signed(headers={"X-Ca-Stage": "NOWHERE"}), reason.STAGE_INVALID),
        (signed()._replace(repeated=frozenset({"x-ca-key"}), firsts={"x-ca-key": b"other"}), reason.HEADER_REPEATED),
        (signed(unread="a byte that is not UTF-8"), reason.PATH_INVALID),
    ],
    ids=lambda value: getattr(value, "label", ""),
)
def test_what_is_no_judgement_on_a_caller_stays_a_denial(sent, cause):
    denied = decide(sent, shadowed(snapshot(api())), NOW_MS)
    assert (type(denied), denied.reason) == (Deny, cause)


def test_no_failure_is_ever_let_pass():
    assert not [one.label for one in SHADOWED if one.failure]
    stays = {label for label, one in CATALOGUE.items() if one not in SHADOWED and not one.failure}
    assert stays == {
        "request_invalid", "url_too_large", "path_invalid", "host_invalid", "api_not_found", "stage_invalid",
        "header_repeated", "identity_invalid", "replay_share_full",
    }  # fmt: skip


def test_an_identity_that_cannot_be_told_stays_a_denial():
    settings = Settings(identity_headers=(("x-client", IdentityFact.CLIENT_IP),))
    denied = decide(STRANGER._replace(peer="@unix"), shadowed(snapshot(api(), settings=settings)), NOW_MS)
    assert isinstance(denied, Deny)


def test_shadow_of_some_methods_leaves_the_others_alone():
    known = shadowed(snapshot(api()), methods=frozenset({"GET"}))
    assert isinstance(decide(request(), known, NOW_MS), Allow)
    assert isinstance(decide(request(method="POST"), known, NOW_MS), Deny)


def test_an_app_in_shadow_passes_once_it_has_proved_itself_and_no_stranger_with_its_key():
    known = shadowed(snapshot(api(), grants=[]), app="demo-app")
    assert decide(signed(), known, NOW_MS).would_deny.reason is reason.NOT_GRANTED
    assert isinstance(decide(STRANGER, known, NOW_MS), Deny)
    assert isinstance(decide(request(), known, NOW_MS), Deny)


WORDS = st.sampled_from([b"", b"true", b"shadow", b"orders", b"demo-app", b"would_deny", b"digest", b"2099-01-01"])
NAMES = st.sampled_from(
    ["x-ca-would-deny", "x-ca-shadow", "x-shadow", "x-ca-stage", "x-ca-key", "x-ca-app-id", "x-http-method-override",
     "x-envoy-force-trace", "authorization", "cookie", "x-ca-signature", "x-forwarded-for", "extauthz.api"]
)  # fmt: skip


@given(
    headers=st.dictionaries(NAMES, WORDS, max_size=6),
    query=st.sampled_from(["", "shadow=true", "api=orders", "AppCode=" + CODE]),
    body=WORDS,
    method=st.sampled_from(["GET", "POST", "DELETE"]),
    path=st.sampled_from(["/open/orders", "/open", "/open/x", "/other"]),
    base=st.sampled_from([request(), signed(), STRANGER]),
)
def test_no_request_brings_itself_into_shadow_or_out_of_it(headers, query, body, method, path, base):
    watched, other = api(id="orders", path="/open/*"), api(id="other", path="/other")
    plain = snapshot(watched, other, grants=[])
    known = shadowed(plain, methods=frozenset({"GET"}))
    sent = base._replace(headers={**base.headers, **headers}, query=query, body=body, method=method, path=path)
    without, with_it = decide(sent, plain, NOW_MS), decide(sent, known, NOW_MS)
    found = without.about.api is watched and without.about.stage is not None
    in_shadow = found and method == "GET" and isinstance(without, Deny) and without.reason in SHADOWED
    assert isinstance(with_it, Allow) == (isinstance(without, Allow) or in_shadow)
    if not in_shadow:
        assert (type(with_it), with_it.about) == (type(without), without.about)
    assert decide(sent, known, UNTIL_MS) == decide(sent, plain, UNTIL_MS)
