"""What goes upstream: our identity headers, never the client's copies, under no spelling."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.decide.pipeline import decide
from extauthz.decide.upstream import upstream_changes
from extauthz.domain import reason
from extauthz.domain.decision import Deny, Upstream
from extauthz.domain.request import Network
from extauthz.domain.settings import IdentityFact, Settings
from tests.unit.auth.token_making import bearer, plugin
from tests.unit.building import APP_CODE, CODE, DIGEST, JWT, NONE, NOW_MS, api, request, signed, snapshot

IDENTITY = [name for name, _ in Settings().identity_headers]
EVERY_FACT = Settings(identity_headers=tuple((f"x-fact-{fact.value.replace('_', '-')}", fact) for fact in IdentityFact))


def changes(sent, one, settings=None):
    known = snapshot(one, settings=settings)
    allow = decide(sent, known, NOW_MS)
    carried = tuple(name for name, _ in allow.extra.headers)
    settled = upstream_changes(allow.about, sent.network, "ID", carried, known.gateway.settings)
    return Upstream(
        settled.set_headers + allow.extra.headers,
        settled.remove_headers + allow.extra.misspelled,
    )


def arrives(sent, upstream):
    """The headers that the upstream sees: set ones overwrite, removed ones go (measured on Envoy 1.40)."""
    kept = {name: value.decode("latin-1") for name, value in sent.headers.items()}
    kept.update(upstream.set_headers)
    return {name: value for name, value in kept.items() if name not in upstream.remove_headers}


def test_an_app_is_named_to_the_upstream():
    told = arrives(sent := signed(), changes(sent, api()))
    assert told["x-ca-app-id"] == "demo-app"
    assert told["x-ca-network"] == "internet"
    assert told["x-ca-request-id"] == "ID"


@pytest.mark.parametrize("name", IDENTITY)
def test_a_forged_copy_never_arrives(name):
    forged = request(headers={name: "forged", name.replace("-", "_"): "forged", name.replace("-", "_", 1): "forged"})
    with_code = forged._replace(headers={**forged.headers, "authorization": f"APPCODE {CODE}".encode()})
    for sent, one in (forged, api(NONE)), (with_code, api(APP_CODE)):
        assert "forged" not in arrives(sent, changes(sent, one)).values()


def test_an_anonymous_call_has_no_app():
    sent = request(headers={"x-ca-app-id": "admin"})
    assert "x-ca-app-id" not in arrives(sent, changes(sent, api(NONE)))


@given(st.dictionaries(st.sampled_from([n.replace("-", sep) for n in IDENTITY for sep in "-_"]), st.just("forged")))
def test_no_set_of_forged_headers_arrives(headers):
    sent = request(headers=headers)
    assert "forged" not in arrives(sent, changes(sent, api(NONE))).values()


def test_every_fact_can_be_told():
    sent = signed(network=Network.VPC)
    told = arrives(sent, changes(sent, api(owner="shop"), EVERY_FACT))
    assert {name.removeprefix("x-fact-"): value for name, value in told.items() if name.startswith("x-fact-")} == {
        "app-id": "demo-app", "client-ip": "192.0.2.1", "domain": "api.example.com", "request-id": "ID",
        "request-time": "Tue, 14 Nov 2023 22:13:20 GMT", "scheme": "https", "proxy": "extauthz", "network": "vpc",
        "stage": "RELEASE", "api-id": "orders", "owner": "demo", "auth-method": "digest",
    }  # fmt: skip


def test_the_subject_of_a_token_is_told_and_an_app_is_not_invented():
    sent = request(headers={"authorization": bearer(), "x-fact-app-id": "forged"})
    told = arrives(sent, changes(sent, api(JWT, jwt=plugin()), EVERY_FACT))
    assert told["x-fact-subject"] == "alice"
    assert "x-fact-app-id" not in told


@pytest.mark.parametrize("strip", [True, False])
def test_credentials_are_taken_off_where_told_to(strip):
    sent = signed()
    left = arrives(sent, changes(sent, api(strip_credentials=strip)))
    assert ("x-ca-signature" in left) is not strip
    sent = request(headers={"authorization": f"APPCODE {CODE}"})
    left = arrives(sent, changes(sent, api(APP_CODE, strip_credentials=strip)))
    assert ("authorization" in left) is not strip


WITH_TOKEN = plugin(parameter="x-token", bypass_empty_token=True)
CREDENTIALS = ("authorization", "x-ca-key", "x-ca-signature", "x-ca-signature-headers", "x-ca-nonce", "x-ca-timestamp")


@pytest.mark.parametrize("value", ["Basic x", "Basic x y", "Digest a=b", ""])
def test_on_a_pass_without_proof_nothing_stands_where_a_proof_could_have_stood(value):
    sent = request(headers={"Authorization": value, "x-ca-nonce": "1", "x-other": "stays"})
    for one in api(JWT, jwt=plugin(bypass_empty_token=True)), api(JWT, NONE, jwt=plugin()), api(APP_CODE, NONE):
        left = arrives(sent, changes(sent, one))
        assert "authorization" not in left
        assert left["x-other"] == "stays"
    left = arrives(sent, changes(sent, api(DIGEST, NONE)))
    assert not set(CREDENTIALS) - {"authorization"} & set(left)


def test_an_api_that_asks_for_nothing_leaves_everything_to_its_backend():
    sent = request(headers={"Authorization": "Basic x", "x-ca-nonce": "1"})
    assert {"authorization", "x-ca-nonce"} <= set(arrives(sent, changes(sent, api(NONE))))


def test_a_twin_of_a_header_that_carries_a_credential_never_arrives():
    good = bearer()
    twins = {
        "x_token": "forged",
        "x_ca_key": "forged",
        "X-Ca_Signature": "forged",
        "x_ca_anything": "forged",
        "ca_version": "1",
    }
    for sent in request(headers={"x-token": good, **twins}), request(headers=twins):
        left = arrives(sent, changes(sent, api(JWT, jwt=WITH_TOKEN)))
        assert "forged" not in left.values()
        assert left["ca_version"] == "1", "the vendor's Java SDK sends this one"


TELLING = Settings(
    identity_headers=(
        ("x-ip", IdentityFact.CLIENT_IP),
        ("x-domain", IdentityFact.DOMAIN),
        ("x-scheme", IdentityFact.SCHEME),
    ),
    trust_external_address=True,
)


@given(st.text(max_size=20), st.binary(max_size=20), st.sampled_from(["peer", "external", "host", "scheme"]))
def test_an_identity_arrives_as_it_is_or_the_request_is_refused(value, encoded, place):
    sent = request()
    if place == "external":
        sent = sent._replace(headers={"x-envoy-external-address": encoded})
    else:
        sent = sent._replace(**{place: value})
    decision = decide(sent, snapshot(api(NONE), settings=TELLING), NOW_MS)
    if isinstance(decision, Deny):
        assert decision.reason in (reason.IDENTITY_INVALID, reason.HOST_INVALID)
        return
    told = dict(decision.extra.headers)
    wanted = {"peer": "x-ip", "external": "x-ip", "host": "x-domain", "scheme": "x-scheme"}[place]
    if place == "external":
        assert told.get(wanted, "192.0.2.1").encode() == (encoded or b"192.0.2.1")
    else:
        assert told.get(wanted, "") == value


@pytest.mark.parametrize("address", ["192.0.2.1,10.0.0.1", "unknown", "192.0.2.1 ", "a\tb", "<script>", "1", "::1]"])
def test_what_is_no_address_is_told_to_nobody(address):
    sent = request(headers={"x-envoy-external-address": address})
    decision = decide(sent, snapshot(api(NONE), settings=TELLING), NOW_MS)
    assert decision.reason is reason.IDENTITY_INVALID


@pytest.mark.parametrize(
    "subject", ["al\nice", "al\x1bice", " alice", "alice ", "al\x7fice", "al\u0085ice", "x" * 4097]
)
def test_a_subject_that_would_arrive_as_another_is_refused(subject):
    sent = request(headers={"authorization": bearer(sub=subject)})
    for settings in EVERY_FACT, Settings():
        decision = decide(sent, snapshot(api(JWT, jwt=plugin()), settings=settings), NOW_MS)
        assert (decision.reason, decision.reason.vpc.status) == (reason.JWT_INVALID, 403)


@pytest.mark.parametrize("subject", ["al\tice", "Zoë", "张伟", "a@b;c,d", "x" * 4096])
def test_a_subject_that_is_legal_arrives_unchanged(subject):
    sent = request(headers={"authorization": bearer(sub=subject)})
    told = changes(sent, api(JWT, jwt=plugin()), EVERY_FACT)
    assert dict(told.set_headers)["x-fact-subject"] == subject
