"""The decision: which API, by which network, with which proof, and may they."""

from ipaddress import ip_network

import pytest

from extauthz.auth import METHODS
from extauthz.decide.pipeline import decide
from extauthz.domain import reason
from extauthz.domain.api import ApiGroup, AppCodeMode, AuthMethod
from extauthz.domain.app import App, Grant
from extauthz.domain.decision import Allow
from extauthz.domain.ip import IpControl
from extauthz.domain.request import Network, Stage
from extauthz.domain.settings import Settings
from tests.unit.auth.token_making import bearer, plugin
from tests.unit.building import (
    APP,
    APP_CODE,
    CODE,
    DIGEST,
    JWT,
    KEY,
    NONE,
    NOW_MS,
    SECRET,
    api,
    policy,
    request,
    signed,
    snapshot,
)

APPCODE = {"authorization": f"APPCODE {CODE}"}


def outcome(sent, *apis, now_ms=NOW_MS, **known):
    """``allowed``, ``anonymous`` or the label of the reason."""
    decision = decide(sent, snapshot(*apis, **known), now_ms)
    return decision.label if isinstance(decision, Allow) else decision.reason.label


# Which API.


def test_envoys_route_and_our_matcher_must_mean_the_same_api():
    orders, report = api(NONE, id="orders", path="/v1/orders"), api(NONE, id="report", path="/report")
    assert outcome(request(), orders, report) == "anonymous"
    assert outcome(request(context={"extauthz.api": "orders"}), orders, report) == "anonymous"
    assert outcome(request(context={"extauthz.api": "report"}), orders, report) == "api_not_found"
    assert outcome(request(context={"extauthz.api": "nothing"}), orders, report) == "api_not_found"


def test_an_api_without_a_path_is_found_by_envoys_route_only():
    only_named = api(NONE, id="named", path=None)
    assert outcome(request(), only_named) == "host_invalid"
    assert outcome(request(context={"extauthz.api": "named"}), only_named) == "anonymous"
    assert outcome(request("BREW", context={"extauthz.api": "named"}), only_named) == "api_not_found"


def test_an_ambiguous_path_is_refused_even_where_envoys_route_names_an_open_api():
    only_named = api(NONE, id="named", path=None)
    sent = request(target="/v1/../admin", context={"extauthz.api": "named"})
    assert outcome(sent, only_named) == "path_invalid"


def test_an_unknown_host_is_told_apart_from_an_unknown_path():
    mine = api(NONE, group=ApiGroup("g", frozenset({"api.example.com"})), path="/v1/orders")
    assert outcome(request(host="other.example.com"), mine) == "host_invalid"
    assert outcome(request(target="/v1/nothing"), mine) == "api_not_found"
    assert outcome(request("BREW"), mine) == "api_not_found"


# Which stage.


@pytest.mark.parametrize(
    ("asked", "expected"),
    [("TEST", "anonymous"), ("test", "anonymous"), (" Test ", "anonymous"), ("", "anonymous"),
     ("PRE", "stage_invalid"), ("prod", "stage_invalid"), ("RELEASE,TEST", "stage_invalid")],
)  # fmt: skip
def test_the_stage_is_what_the_client_asks_for_in_any_letter_case(asked, expected):
    assert outcome(request(headers={"x-ca-stage": asked}), api(NONE)) == expected


@pytest.mark.parametrize(
    ("asked", "pinned", "expected"),
    [("", "TEST", "anonymous"), ("TEST", "TEST", "anonymous"), (" test ", "TEST", "anonymous"),
     ("RELEASE", "TEST", "stage_invalid"), ("test", "RELEASE", "stage_invalid"), ("x", "TEST", "stage_invalid"),
     ("", "RELEASE", "anonymous"), ("", "staging", "stage_invalid"), ("", "", "stage_invalid")],
)  # fmt: skip
def test_a_stage_that_envoy_pins_is_the_only_one_that_its_route_serves(asked, pinned, expected):
    sent = request(headers={"x-ca-stage": asked} if asked else {}, context={"extauthz.stage": pinned})
    assert outcome(sent, api(NONE)) == expected


def test_a_call_that_asks_for_test_is_not_delivered_by_a_route_of_release():
    """Envoy's `exact: TEST` does not match `test`, so the catch-all took the call; we used to decide it in TEST."""
    known = [Grant(APP.id, "orders", Stage.TEST)]
    sent = signed(headers={"X-Ca-Stage": "test"}, context={"extauthz.stage": "RELEASE"})
    assert outcome(sent, api(DIGEST), grants=known) == "stage_invalid"


def test_two_stages_are_refused():
    assert outcome(request(headers=[("x-ca-stage", "TEST"), ("x-ca-stage", "TEST")]), api(NONE)) == "header_repeated"


# Which network, which address.


def test_a_network_that_the_api_does_not_list_may_not_call_it():
    vpc_only = api(auth={Network.VPC: policy(APP_CODE)})
    internet_only = api(auth={Network.INTERNET: policy(APP_CODE)})
    assert outcome(request(headers=APPCODE), vpc_only) == "internet_disabled"
    assert outcome(request(headers=APPCODE, network=Network.VPC), vpc_only) == "allowed"
    assert outcome(request(headers=APPCODE, network=Network.VPC), internet_only) == "vpc_refused"


def test_each_network_has_its_own_methods():
    both = api(auth={Network.INTERNET: policy(DIGEST), Network.VPC: policy(APP_CODE)})
    assert outcome(request(headers=APPCODE), both) == "method_refused"
    assert outcome(request(headers=APPCODE, network=Network.VPC), both) == "allowed"
    assert outcome(signed(), both) == "allowed"
    assert outcome(signed(network=Network.VPC), both) == "method_refused"


def test_only_listed_vpcs_may_call():
    listed = api(NONE, vpc_ids=frozenset({"vpc-1"}))
    from_vpc = request(network=Network.VPC)
    assert outcome(from_vpc, listed) == "vpc_refused"
    assert outcome(from_vpc._replace(context={"extauthz.vpc_id": "vpc-2"}), listed) == "vpc_refused"
    assert outcome(from_vpc._replace(context={"extauthz.vpc_id": "vpc-1"}), listed) == "anonymous"
    assert outcome(request(), listed) == "anonymous"


def test_ip_control_reads_the_peer_and_no_header_unless_the_configuration_trusts_it():
    inside = api(NONE, ip_control=IpControl("office", True, (ip_network("192.0.2.0/24"),)))
    forged = {"x-forwarded-for": "192.0.2.9", "x-real-ip": "192.0.2.9", "x-envoy-external-address": "192.0.2.9"}
    assert outcome(request(), inside) == "anonymous"
    assert outcome(request(headers=forged, peer="203.0.113.5"), inside) == "ip_refused"
    assert outcome(request(peer=""), inside) == "ip_refused"
    trusting = Settings(trust_external_address=True)
    assert outcome(request(headers=forged, peer="203.0.113.5"), inside, settings=trusting) == "anonymous"
    twice = [("x-envoy-external-address", "192.0.2.9"), ("x-envoy-external-address", "192.0.2.9")]
    assert outcome(request(headers=twice, peer="203.0.113.5"), inside, settings=trusting) == "ip_refused"


# Which credential.


def test_an_open_api_asks_nobody():
    assert outcome(request(), api(NONE)) == "anonymous"
    assert outcome(request(headers={"authorization": "APPCODE wrong"}), api(NONE)) == "anonymous"


@pytest.mark.parametrize("method", [APP_CODE, DIGEST])
def test_without_a_credential_nothing_opens(method):
    assert outcome(request(), api(method)) == "credential_missing"
    assert outcome(request(), api(JWT, jwt=plugin())) == "jwt_missing"


def test_an_app_key_without_a_signature_is_told_so():
    assert outcome(request(headers={"x-ca-key": KEY}), api(DIGEST)) == "signature_missing"


def test_an_app_key_beside_an_app_code_is_an_app_code_call():
    sent = request(headers={**APPCODE, "x-ca-key": KEY})
    assert outcome(sent, api(APP_CODE)) == "allowed"
    assert outcome(sent, api(APP_CODE, DIGEST)) == "allowed"
    assert outcome(sent, api(DIGEST)) == "method_refused"


def test_a_signature_is_never_bypassed_by_an_app_code_beside_it():
    sent = signed(headers={"Authorization": f"APPCODE {CODE}"}, secret="wrong")
    assert outcome(sent, api(APP_CODE, DIGEST)) == "signature_mismatch"
    either = api(auth={Network.INTERNET: policy(APP_CODE, DIGEST), Network.VPC: policy(APP_CODE)})
    assert outcome(sent, either) == "signature_mismatch"
    assert outcome(sent._replace(network=Network.VPC), either) == "allowed"


@pytest.mark.parametrize("secret", [SECRET, "wrong"])
def test_on_an_api_that_takes_no_signatures_one_hides_no_app_code(secret):
    """The vendor's Java SDK signs every call, and some of its users send an AppCode beside the signature."""
    sent = signed(headers={"Authorization": f"APPCODE {CODE}"}, secret=secret)
    assert outcome(sent, api(APP_CODE)) == "allowed"
    in_query = signed(target=f"/v1/orders?AppCode={CODE}", secret=secret)
    assert outcome(in_query, api(APP_CODE, app_code=AppCodeMode.HEADER_QUERY)) == "allowed"
    assert outcome(sent, api(APP_CODE), codes=("another-code",)) == "app_code_unknown"


def test_a_signature_opens_no_app_code_only_api():
    assert outcome(signed(), api(APP_CODE)) == "method_refused"


@pytest.mark.parametrize(
    ("header", "expected"),
    [(f"APPCODE {CODE}", "allowed"), (f"appcode {CODE}", "allowed"), (f"APPCODE  {CODE} ", "allowed"),
     ("APPCODE wrong-code", "app_code_unknown"), ("APPCODE", "app_code_unknown"), ("APPCODE ", "app_code_unknown"),
     (f"APPCODE {CODE},APPCODE {CODE}", "app_code_unknown"), (f"APPCODE {CODE.upper()}", "app_code_unknown"),
     ("APPCODE " + "x" * 129, "app_code_unknown"), (CODE, "credential_missing"),
     (f"Bearer {CODE}", "credential_missing"), (f"APPCODE{CODE}", "credential_missing")],
)  # fmt: skip
def test_an_app_code_in_the_header(header, expected):
    assert outcome(request(headers={"authorization": header}), api(APP_CODE)) == expected


@pytest.mark.parametrize("name", ["appcode", "appCode", "APPCODE", "AppCode", "APPCode"])
def test_an_app_code_in_the_query_where_the_api_allows_it(name):
    in_query = api(APP_CODE, app_code=AppCodeMode.HEADER_QUERY)
    assert outcome(request(target=f"/v1/orders?a=1&{name}={CODE}"), in_query) == "allowed"
    assert outcome(request(target=f"/v1/orders?{name}={CODE}"), api(APP_CODE)) == "credential_missing"


def test_one_app_code_in_two_places_is_one_and_two_app_codes_are_refused():
    in_query = api(APP_CODE, app_code=AppCodeMode.HEADER_QUERY)
    assert outcome(request(target=f"/v1/orders?appcode={CODE}&AppCode={CODE}"), in_query) == "allowed"
    assert outcome(request(target=f"/v1/orders?appcode={CODE}", headers=APPCODE), in_query) == "allowed"
    for other in "wrong-code", CODE.upper(), CODE + "x", "":
        sent = request(target=f"/v1/orders?appcode={other}", headers=APPCODE)
        assert outcome(sent, in_query) == "credential_ambiguous"
        assert outcome(request(target=f"/v1/orders?appcode={CODE}&AppCode={other}"), in_query) == "credential_ambiguous"
    twice = [("authorization", f"APPCODE {CODE}"), ("authorization", f"APPCODE {CODE}")]
    assert outcome(request(headers=twice), api(APP_CODE)) == "header_repeated"


def test_every_code_of_an_app_opens():
    for code in "first-code", "second-code":
        sent = request(headers={"authorization": f"APPCODE {code}"})
        assert outcome(sent, api(APP_CODE), codes=["first-code", "second-code"]) == "allowed"


TOKEN = {"authorization": bearer()}
EITHER = api(DIGEST, JWT, jwt=plugin())
TOGETHER = api({DIGEST, JWT}, jwt=plugin())


def test_any_of_takes_one_or_the_other_but_not_both():
    assert outcome(signed(), EITHER) == "allowed"
    assert outcome(request(headers=TOKEN), EITHER) == "allowed"
    assert outcome(signed(headers=TOKEN), EITHER) == "credential_ambiguous"
    assert outcome(request(), EITHER) == "credential_missing"


def test_all_of_needs_every_one_of_them():
    assert outcome(signed(headers=TOKEN), TOGETHER) == "allowed"
    assert outcome(signed(), TOGETHER) == "credential_missing"
    assert outcome(request(headers=TOKEN), TOGETHER) == "credential_missing"
    assert outcome(signed(headers=TOKEN, secret="wrong"), TOGETHER) == "signature_mismatch"
    assert outcome(signed(headers={"authorization": bearer() + "x"}), TOGETHER) != "allowed"


def test_the_largest_alternative_that_was_presented_counts():
    layered = api(JWT, {DIGEST, JWT}, jwt=plugin())
    assert outcome(request(headers=TOKEN), layered) == "allowed"
    assert outcome(signed(headers=TOKEN), layered) == "allowed"
    assert outcome(signed(headers=TOKEN, secret="wrong"), layered) == "signature_mismatch"


def test_a_credential_that_is_wrong_never_falls_back_to_anonymous():
    optional = api(NONE, DIGEST)
    assert outcome(request(), optional) == "anonymous"
    assert outcome(signed(), optional) == "allowed"
    assert outcome(signed(secret="wrong"), optional) == "signature_mismatch"
    assert outcome(request(headers={"x-ca-key": KEY}), optional) == "signature_missing"


def test_an_empty_token_passes_only_where_the_plug_in_says_so_and_jwt_is_all_that_is_asked():
    bypassing = plugin(bypass_empty_token=True)
    assert outcome(request(), api(JWT, jwt=bypassing)) == "anonymous"
    assert outcome(request(headers={"authorization": "Bearer broken"}), api(JWT, jwt=bypassing)) == "jwt_malformed"
    assert outcome(request(), api(DIGEST, JWT, jwt=bypassing)) == "credential_missing"
    assert outcome(request(), api({DIGEST, JWT}, jwt=bypassing)) == "credential_missing"
    assert outcome(signed(), api({DIGEST, JWT}, jwt=bypassing)) == "credential_missing"


def test_every_method_but_none_is_in_the_registry():
    assert set(METHODS) == set(AuthMethod) - {NONE}


# May they.


def test_an_empty_list_of_grants_means_nobody():
    assert outcome(signed(), api(), grants=[]) == "not_granted"
    assert outcome(request(headers=APPCODE), api(APP_CODE), grants=[]) == "not_granted"


def test_a_grant_is_for_one_app_one_api_and_one_stage():
    for grant in Grant("other", "orders", Stage.RELEASE), Grant("demo-app", "other", Stage.RELEASE):
        assert outcome(signed(), api(), grants=[grant]) == "not_granted"


def test_a_grant_for_test_stage_does_not_open_release():
    grants = [Grant("demo-app", "orders", Stage.TEST)]
    in_test = request(headers={**APPCODE, "x-ca-stage": "TEST"})
    assert outcome(in_test, api(APP_CODE), grants=grants) == "allowed"
    assert outcome(request(headers=APPCODE), api(APP_CODE), grants=grants) == "not_granted"


def test_a_grant_ends_at_its_end():
    grants = [Grant("demo-app", "orders", Stage.RELEASE, until_ms=NOW_MS)]
    assert outcome(signed(), api(), grants=grants, now_ms=NOW_MS - 1) == "allowed"
    assert outcome(signed(), api(), grants=grants, now_ms=NOW_MS) == "grant_expired"


def test_a_disabled_app_may_nothing_although_its_proof_holds():
    disabled = App("demo-app", disabled=True)
    assert outcome(signed(), api(), app=disabled) == "app_disabled"
    assert outcome(signed(secret="wrong"), api(), app=disabled) == "signature_mismatch"
    assert outcome(request(headers=APPCODE), api(APP_CODE), app=disabled) == "app_disabled"


def test_without_a_grant_no_nonce_is_recorded():
    refused = decide(signed(), snapshot(api(), grants=[]), NOW_MS)
    allowed = decide(signed(), snapshot(api()), NOW_MS)
    assert not hasattr(refused, "uses")
    assert len(allowed.uses) == 1


def test_several_keys_of_one_app_carry_the_same_permissions():
    keys = {KEY: SECRET, "second-key": "second-secret"}
    assert outcome(signed(key="second-key", secret="second-secret"), api(), keys=keys) == "allowed"
    assert outcome(signed(key="second-key", secret=SECRET), api(), keys=keys) == "signature_mismatch"


def test_a_decision_names_what_it_was_about():
    decision = decide(signed(), snapshot(api()), NOW_MS)
    assert (decision.about.api.id, decision.about.stage, decision.about.method, decision.about.app) == (
        "orders", Stage.RELEASE, "digest", APP,
    )  # fmt: skip
    assert decision.label == reason.ALLOWED
