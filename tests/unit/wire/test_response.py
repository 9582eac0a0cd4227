"""Building a CheckResponse: whatever the facts, the answer is legal, bounded and, for a denial, a denial."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.domain import reason
from extauthz.domain.app import App
from extauthz.domain.decision import Allow, Deny, Extra, Subject
from extauthz.domain.header_value import is_header_value
from extauthz.domain.reason import ALLOWED, CATALOGUE, Answer
from extauthz.domain.request import Network
from extauthz.domain.settings import ErrorSettings, Generation, IdentityFact, Reveal, Settings
from extauthz.replay.memory import MemoryReplayStore
from extauthz.wire.error_text import MAX_MESSAGE_BYTES, header_text
from extauthz.wire.generated import ext_authz_pb2 as pb
from extauthz.wire.parts import carry, header_option
from extauthz.wire.response import Responder, check_response, tell_revision
from extauthz.wire.servicer import Servicer
from tests.unit.building import APP_CODE, CODE, NOW_MS, api, snapshot
from tests.unit.wire.checking import Notes, check_request, error_header
from tests.unit.wire.checking import answer as answer_of

CONTROL = re.compile(r"[\x00-\x1f\x7f]")
REASONS = st.sampled_from(list(CATALOGUE.values()))
FACTS = st.text(st.characters(), max_size=200) | st.sampled_from(
    ["a\r\nSet-Cookie: x=1", "\x00", "é" * 5000, "\ud800", "x" * 100_000, "{fact}", "\x7f", "\u2028", "😀" * 2000]
)
STAND_IN, REQUEST_ID = "00000000-0000-4000-8000-00000000000A", "11111111-1111-4111-8111-11111111111B"
HELP = "https://docs.example.com/reasons/"
ERRORS = st.builds(
    ErrorSettings,
    generation=st.sampled_from(Generation),
    reveal=st.sampled_from(Reveal),
    help_url=st.sampled_from(["", HELP]),
)


def answer(decision, errors=None, grpc_caller=False):
    """The CheckResponse to a decision, as it goes on the wire."""
    responder = Responder(snapshot(settings=Settings(errors=errors or ErrorSettings())).gateway, STAND_IN)
    for _ in range(2):  # the second comes out of the cache
        built = responder.respond(decision, Network.INTERNET, REQUEST_ID, grpc_caller, tell_revision("r1"))
        assert STAND_IN.encode() not in built
    return pb.CheckResponse.FromString(built)


@given(REASONS, FACTS, ERRORS, st.booleans())
def test_every_denial_is_a_denial_in_legal_and_bounded_header_bytes(why, fact, errors, grpc_caller):
    response = answer(Deny(why, Subject(), fact, "detail"), errors, grpc_caller)
    assert response.WhichOneof("http_response") == "denied_response"
    assert response.status.code != 0
    assert 400 <= response.denied_response.status.code <= 599
    sent = {one.header.key: one.header.value for one in response.denied_response.headers}
    assert len(sent) == len(response.denied_response.headers)
    for name, value in sent.items():
        assert not CONTROL.search(value), name
    assert len(sent["X-Ca-Error-Message"].encode()) <= MAX_MESSAGE_BYTES
    assert sum(len(name) + len(value.encode()) for name, value in sent.items()) < 3 * MAX_MESSAGE_BYTES
    body = response.denied_response.body
    assert sent["X-Ca-Request-Id"] == REQUEST_ID
    assert ("grpc-status" in sent) is grpc_caller
    if grpc_caller:
        assert sent["grpc-status"] == str(why.grpc_status.value) != "0"
        assert sent["grpc-message"].isascii()
        assert not re.search(r"%(?![0-9A-F]{2})", sent["grpc-message"])
        assert sent["X-Ca-Error-Message"].startswith(body)  # Envoy makes it the grpc-message
        assert len(body.encode()) <= 1024
    else:
        told = json.loads(body)
        assert (told["message"], told["request_id"]) == (sent["X-Ca-Error-Message"], REQUEST_ID)
    assert '"detail"' not in body


@given(FACTS)
def test_header_text_is_idempotent(text):
    assert header_text(header_text(text)) == header_text(text)


@given(st.lists(st.tuples(st.sampled_from(["x-a", "x-b"]), FACTS), max_size=3))
def test_what_goes_upstream_goes_as_it_is_or_not_at_all(headers):
    allow = Allow(ALLOWED, Subject(), Extra(tuple(headers), ("x_c",)))
    if not all(is_header_value(value) for _, value in headers):
        with pytest.raises(ValueError, match="not a header value"):
            answer(allow)
        return
    response = answer(allow)
    assert response.status.code == 0
    told = [(one.header.key, one.header.value) for one in response.ok_response.headers]
    assert told[len(told) - len(headers) :] == headers
    assert list(response.ok_response.headers_to_remove)[-1] == "x_c"
    for option in [*response.ok_response.headers, *response.ok_response.response_headers_to_add]:
        assert option.HasField("append")
        assert not option.append.value
        assert option.append_action == 2


def test_an_owner_that_no_header_can_hold_denies_and_is_not_repaired():
    settings = Settings(identity_headers=(("x-owner", IdentityFact.OWNER),))
    known = snapshot(api(APP_CODE), app=App("demo-app", "own\ner"), settings=settings)
    sent = check_request(path="/v1/orders", headers={"authorization": f"APPCODE {CODE}"})
    response = answer_of(sent, Servicer(known, MemoryReplayStore(10), Notes(), lambda: NOW_MS))
    assert (response.status.code, response.denied_response.status.code) == (7, 503)


@pytest.mark.parametrize("something", [None, "allow", Subject(), True, ()])
def test_what_is_no_decision_is_never_an_allow(something):
    with pytest.raises((TypeError, ValueError, AttributeError)):
        check_response(something, REQUEST_ID, None)


@pytest.mark.parametrize("status", [0, 200, 301, 399, 600, -1])
def test_no_override_turns_a_denial_into_something_else(status):
    errors = ErrorSettings(overrides={"nonce_used": Answer("", status, "x")})
    response = answer(Deny(reason.NONCE_USED, Subject()), errors)
    assert response.denied_response.status.code == 403


def test_a_failure_to_decide_is_a_503_denial_and_never_an_error_that_envoy_may_open_on():
    for why in (one for one in CATALOGUE.values() if one.failure):
        response = answer(Deny(why, Subject()))
        assert response.denied_response.status.code == 503
        assert response.status.code == 7


def test_minimal_answers_do_not_tell_an_unknown_key_from_a_wrong_signature():
    errors = ErrorSettings(reveal=Reveal.MINIMAL)
    unknown = answer(Deny(reason.APP_KEY_UNKNOWN, Subject()), errors)
    wrong = answer(Deny(reason.SIGNATURE_MISMATCH, Subject(), "GET###/secret"), errors)
    assert unknown.denied_response == wrong.denied_response
    assert unknown.status == wrong.status


def test_the_string_to_sign_is_told_with_number_signs_as_the_sdks_expect():
    denied = answer(Deny(reason.SIGNATURE_MISMATCH, Subject(), "GET####/a"))
    assert error_header(denied, "X-Ca-Error-Message") == "Invalid Signature, Server StringToSign:`GET####/a`"
    assert error_header(denied, "X-Ca-Error-Code") == "A403SG"


def test_classic_instances_have_no_error_codes():
    errors = ErrorSettings(generation=Generation.LEGACY)
    denied = answer(Deny(reason.APP_CODE_UNKNOWN, Subject()), errors)
    assert "X-Ca-Error-Code" not in [one.header.key for one in denied.denied_response.headers]
    assert error_header(denied, "X-Ca-Error-Message") == "Invalid AppCode `not exists`"


LENGTHS = [1, 3, 4, 5, 8, 13, 64, 126, 127, 128, 129, 130, 257, 258, 300]
CHARACTERS = st.characters(categories=["L", "N"], include_characters="._-")


@given(
    st.sampled_from(LENGTHS).flatmap(lambda length: st.text(CHARACTERS, min_size=length, max_size=length)),
    st.sampled_from([0, *LENGTHS]).flatmap(lambda length: st.text(CHARACTERS, min_size=length, max_size=length)),
    st.booleans(),
)
def test_whatever_an_app_and_its_owner_are_called_the_answer_tells_it_as_it_is(app_id, owner, tells_owner):
    named = {"x-app": IdentityFact.APP_ID, "x-id": IdentityFact.REQUEST_ID}
    headers = named | ({"x-owner": IdentityFact.OWNER} if tells_owner else {})
    responder = Responder(snapshot(settings=Settings(identity_headers=tuple(headers.items()))).gateway, STAND_IN)
    about = Subject(api("orders"), method="digest", app=App(app_id, owner))
    for decision in (Allow(ALLOWED, about), Deny(reason.NOT_GRANTED, about)):
        built = responder.respond(decision, Network.INTERNET, REQUEST_ID, False, tell_revision("r1"))
        told = pb.CheckResponse.FromString(built)
        assert told.dynamic_metadata["app_id"] == app_id
        assert told.WhichOneof("http_response") == ("ok_response" if isinstance(decision, Allow) else "denied_response")
        assert (told.status.code == 0) is isinstance(decision, Allow)
        if isinstance(decision, Allow):
            values = {one.header.key: one.header.value for one in told.ok_response.headers}
            assert values == {"x-app": app_id, "x-id": REQUEST_ID} | (
                {"x-owner": owner} if tells_owner and owner else {}
            )
            assert ("x-owner" in told.ok_response.headers_to_remove) is (tells_owner and not owner)
            assert "x-app" not in told.ok_response.headers_to_remove


HEADER_TEXT = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x2FF, exclude_characters="\x7f"), max_size=300)


@given(
    st.lists(st.tuples(st.from_regex(r"[a-z-]{1,140}", fullmatch=True), HEADER_TEXT.filter(is_header_value))),
    st.lists(st.from_regex(r"[a-z-]{1,140}", fullmatch=True)),
)
def test_what_one_request_carries_is_written_as_protobuf_writes_it(headers, misspelled):
    options = [header_option(name, value) for name, value in headers]
    changes = pb.OkHttpResponse(headers=options, headers_to_remove=misspelled)
    assert carry(tuple(headers), tuple(misspelled)) == pb.CheckResponse(ok_response=changes).SerializeToString()


@given(st.text(st.characters(), max_size=20))
def test_what_no_header_can_hold_is_not_carried(value):
    if not is_header_value(value):
        with pytest.raises(ValueError, match="header value"):
            carry((("x-name", value),), ())


@pytest.mark.parametrize("grpc_caller", [False, True])
def test_a_denial_links_to_its_page_where_the_operator_has_some(grpc_caller):
    deny = Deny(reason.PATH_INVALID, Subject(), "x" * 9000)
    plain, linked = answer(deny, grpc_caller=grpc_caller), answer(deny, ErrorSettings(help_url=HELP), grpc_caller)
    assert HELP not in str(plain)
    message = error_header(linked, "X-Ca-Error-Message")
    assert message.endswith(f" See {HELP}path_invalid")
    assert len(message.encode()) <= MAX_MESSAGE_BYTES
    if not grpc_caller:
        assert json.loads(linked.denied_response.body)["help"] == f"{HELP}path_invalid"


def test_a_link_does_not_tell_apart_what_reveal_minimal_makes_alike():
    errors = ErrorSettings(reveal=Reveal.MINIMAL, help_url=HELP)
    bodies = [
        answer(Deny(one, Subject(), "the string"), errors).denied_response.body
        for one in (reason.APP_KEY_UNKNOWN, reason.SIGNATURE_MISMATCH)
    ]
    assert bodies[0] == bodies[1]
    assert f"{HELP}signature_mismatch" in bodies[0]
