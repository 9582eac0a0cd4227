"""AppCode: the code in header or query, and what is no code at all."""

from extauthz.auth import appcode
from extauthz.domain import reason
from extauthz.domain.api import AppCodeMode
from extauthz.domain.decision import Proof
from tests.unit.building import APP, APP_CODE, CODE, NOW_MS, api, request, snapshot

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
    refusal = authenticate(request(target=f"/v1/orders?appcode={CODE}&appcode={CODE}&appcode={CODE}"))
    assert (refusal.reason, refusal.detail) == (reason.CREDENTIAL_AMBIGUOUS, "3 AppCodes")
    assert CODE not in repr(refusal)
