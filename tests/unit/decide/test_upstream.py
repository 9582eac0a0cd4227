"""What goes upstream: our identity headers, never the client's copies, under no spelling."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.decide.pipeline import decide
from extauthz.decide.upstream import upstream_changes
from extauthz.domain.decision import Upstream
from extauthz.domain.request import Network
from extauthz.domain.settings import IdentityFact, Settings
from tests.unit.auth.token_making import bearer, plugin
from tests.unit.building import APP_CODE, CODE, JWT, NONE, NOW_MS, api, request, signed, snapshot

IDENTITY = [name for name, _ in Settings().identity_headers]
EVERY_FACT = Settings(identity_headers=tuple((f"x-fact-{fact.value.replace('_', '-')}", fact) for fact in IdentityFact))


def changes(sent, one, settings=None):
    known = snapshot(one, settings=settings)
    allow = decide(sent, known, NOW_MS)
    carried = tuple(name for name, _ in allow.extra.headers)
    settled = upstream_changes(allow.about, sent.network, "ID", carried, known.settings)
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
