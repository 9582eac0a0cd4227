"""AppCode: the code in header or query, and what is no code at all."""

import pytest

from extauthz.auth import appcode
from extauthz.decide.pipeline import decide
from extauthz.domain import reason
from extauthz.domain.api import AppCodeMode
from extauthz.domain.decision import Proof
from tests.unit.building import APP, APP_CODE, CODE, NONE, NOW_MS, api, request, snapshot

API = api(APP_CODE, app_code=AppCodeMode.HEADER_QUERY)


def authenticate(sent, codes=(CODE,)):
    return appcode.authenticate(sent, API, snapshot(API, codes=codes), NOW_MS)


def test_a_code_of_128_bytes_is_the_longest_that_is_looked_up():
    longest, too_long = "x" * 128, "x" * 129
    codes = (longest, too_long)
    assert authenticate(request(headers={"authorization": f"APPCODE {longest}"}), codes) == Proof("appcode", APP)
    assert authenticate(request(target=f"/v1/orders?appcode={longest}"), codes) == Proof("appcode", APP)
    assert authenticate(request(headers={"authorization": f"APPCODE {too_long}"}), codes).reason is (
        reason.APP_CODE_UNKNOWN
    )


def test_without_an_authorization_header_there_is_no_code_in_it():
    assert appcode.header_code(request()) is None


def test_a_caller_with_two_authorization_headers_is_told_which_header_stood_twice():
    code = ("authorization", f"APPCODE {CODE}")
    refusal = authenticate(request(headers=[code, code]))
    assert (refusal.reason, refusal.fact) == (reason.HEADER_REPEATED, "Authorization")


def test_an_operator_is_told_how_many_codes_a_caller_sent():
    refusal = authenticate(request(target=f"/v1/orders?appcode={CODE}&appcode={CODE}1&appcode={CODE}2&AppCode={CODE}"))
    assert (refusal.reason, refusal.detail) == (reason.CREDENTIAL_AMBIGUOUS, "3 AppCodes")
    assert CODE not in repr(refusal)


@pytest.mark.parametrize("name", ["%20appcode", "appcode%20", "appcode[]", "appcode%00", "%2541ppCode"])
def test_a_code_under_a_name_that_others_read_as_appcode_is_refused_and_never_passed_over(name):
    open_too = api(APP_CODE, NONE, app_code=AppCodeMode.HEADER_QUERY)
    for query in f"{name}={CODE}", f"appcode={CODE}&{name}={CODE}":
        decision = decide(request(target=f"/v1/orders?{query}"), snapshot(open_too), NOW_MS)
        assert decision.reason in (reason.APP_CODE_UNKNOWN, reason.CREDENTIAL_AMBIGUOUS)
