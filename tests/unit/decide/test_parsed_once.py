"""Query and cookies are parsed once in a check, and what has too many parts to be read opens nothing."""

import pytest

from extauthz.auth import METHODS
from extauthz.auth.parameters import MAX_COOKIES, MAX_PARAMETERS, cookie_pairs, query_pairs
from extauthz.decide.pipeline import decide
from extauthz.domain import reason
from extauthz.domain.api import AppCodeMode
from extauthz.domain.decision import Allow
from extauthz.domain.request import Parsed
from extauthz.domain.tokens.jwt import TokenPlace
from tests.unit.auth import one_api
from tests.unit.building import APP_CODE, CODE, DIGEST, JWT, NONE, NOW_MS, api, request, signed, snapshot

IN_QUERY = one_api.plugin(place=TokenPlace.QUERY, parameter="token")
IN_COOKIE = one_api.plugin(place=TokenPlace.COOKIE, parameter="token")
MANY = "/v1/orders?" + "&" * MAX_PARAMETERS
CRUMBS = {"cookie": "; " * MAX_COOKIES + "token=a.b.c"}


def decided(sent, one):
    return decide(sent, snapshot(one), NOW_MS)


def test_all_methods_together_parse_the_query_once():
    one = api(DIGEST, APP_CODE, JWT, app_code=AppCodeMode.HEADER_QUERY, jwt=IN_QUERY)
    sent, kept = signed(target="/v1/orders?a=1", parsed=Parsed()), []
    for method in (APP_CODE, JWT, DIGEST):
        METHODS[method].is_presented(sent, one)
        METHODS[method].authenticate(sent, one, snapshot(one), NOW_MS)
        kept.append(sent.parsed.query)
    assert kept[0] == ("a=1", [(b"a", b"1")])
    assert kept[0] is kept[1] is kept[2]
    assert isinstance(decided(sent, one), Allow)
    assert sent.parsed.query is kept[0]


def test_a_method_that_reads_no_query_parses_none():
    sent = request(target="/v1/orders?a=1", headers={"authorization": f"APPCODE {CODE}"}, parsed=Parsed())
    assert isinstance(decided(sent, api(APP_CODE)), Allow)
    assert sent.parsed.query is sent.parsed.cookies is None


def test_a_request_with_another_query_or_cookie_never_gets_the_pairs_of_the_first():
    first = request(target="/?a=1", headers={"cookie": "a=1"}, parsed=Parsed())
    assert query_pairs(first) is query_pairs(first)
    assert cookie_pairs(first) is cookie_pairs(first)
    second = first._replace(query="b=2", headers={"cookie": b"b=2"})
    assert query_pairs(second) == cookie_pairs(second) == [(b"b", b"2")]
    assert query_pairs(first) == cookie_pairs(first) == [(b"a", b"1")]


@pytest.mark.parametrize(
    ("sent", "one", "cause"),
    [
        (request(target=MANY), api(APP_CODE, NONE, app_code=AppCodeMode.HEADER_QUERY), reason.REQUEST_INVALID),
        (request(target=MANY), api(APP_CODE, app_code=AppCodeMode.HEADER_QUERY), reason.REQUEST_INVALID),
        (request(target=MANY), api(JWT, NONE, jwt=IN_QUERY), reason.REQUEST_INVALID),
        (request(target=MANY),
         api(JWT, jwt=one_api.plugin(place=TokenPlace.QUERY, parameter="token", bypass_empty_token=True)),
         reason.REQUEST_INVALID),
        (request(headers=CRUMBS), api(JWT, NONE, jwt=IN_COOKIE), reason.HEADER_INVALID),
        (request(headers=CRUMBS),
         api(JWT, jwt=one_api.plugin(place=TokenPlace.COOKIE, parameter="token", bypass_empty_token=True)),
         reason.HEADER_INVALID),
        (request(target=MANY), api(APP_CODE, JWT, NONE, app_code=AppCodeMode.HEADER_QUERY, jwt=IN_QUERY),
         reason.CREDENTIAL_AMBIGUOUS),
    ],
)  # fmt: skip
def test_a_credential_among_more_parts_than_are_read_is_refused_and_never_taken_for_none(sent, one, cause):
    decision = decided(sent, one)
    assert getattr(decision, "reason", None) is cause


def test_too_many_parts_are_counted_and_not_decoded():
    sent = request(target=MANY, headers=CRUMBS, parsed=Parsed())
    decided(sent, api(DIGEST, JWT, APP_CODE, app_code=AppCodeMode.HEADER_QUERY, jwt=IN_QUERY))
    decided(sent, api(JWT, jwt=IN_COOKIE))
    assert sent.parsed.query == (sent.query, None)
    assert sent.parsed.cookies == (sent.headers["cookie"], None)


def test_as_many_parts_as_are_read_are_read():
    assert len(query_pairs(request(target="/?" + "a&" * (MAX_PARAMETERS - 1) + "b"))) == MAX_PARAMETERS
    assert len(cookie_pairs(request(headers={"cookie": "a;" * (MAX_COOKIES - 1) + "b"}))) == MAX_COOKIES
