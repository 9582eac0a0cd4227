"""The promise: bytes in, a CheckResponse out, whatever happens; and nothing protected opens without a proof."""

import json
import random
import uuid
from concurrent.futures import ThreadPoolExecutor

import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extauthz.client import Credentials, OutgoingRequest, SigningOptions, sign
from extauthz.decide.replay import Outcome
from extauthz.domain import reason
from extauthz.domain.decision import Deny
from extauthz.domain.request import Network
from extauthz.later import Later
from extauthz.replay.memory import MemoryReplayStore
from extauthz.wire import request_id
from extauthz.wire.generated import ext_authz_pb2 as pb
from extauthz.wire.request_id import new_request_id
from tests.unit.building import CODE, FORM, KEY, NOW_MS, NOW_S, SECRET
from tests.unit.wire.checking import Notes, answer, check_request, demo, error_header, servicer

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
NAMES = st.sampled_from(
    ["x-ca-key", "x-ca-signature", "x-ca-signature-headers", "x-ca-signature-method", "x-ca-timestamp", "x-ca-nonce",
     "x-ca-stage", "authorization", "content-type", "content-length", "content-md5", "accept", "cookie", "upgrade",
     "x_ca_app_id", "x-ca-app-id", "x-token-sub", "x-envoy-auth-partial-body", "x-envoy-external-address"]
)  # fmt: skip
VALUES = (
    st.sampled_from([KEY, "demo-app-key-0002", str(NOW_MS), "HmacSHA1", "X-Ca-Key,X-Ca-Nonce", "TEST", "release",
                     "APPCODE demo-app-code-9999", "APPCODE " + "x" * 200, "Bearer a.b.c", "Basic YTpi", FORM, "0", "7",
                     "application/grpc", "true", "", " ", "eyJhbGciOiJub25lIn0.e30.", "A" * 44])
    | TEXT
)  # fmt: skip
PATHS = st.sampled_from(
    ["/public/ping", "/internal/report", "/internal/report?appCode=demo-app-code-9999", "/v1/orders", "/v1/orders/42",
     "/v1/orders?a=1&a=2", "/web/profile", "/v1//orders", "/v1/../public/ping", "/public%2Fping", "/v1/orders;x", "",
     "*", "/public/ping/", "/%70ublic/ping", "/v1/orders/%00", "/v1/orders/%", "http://evil/public/ping"]
) | TEXT  # fmt: skip
PROTECTED = {"report", "orders", "order", "profile"}


@st.composite
def check_requests(draw):
    """Well-formed and odd CheckRequests over the demo's configuration, none of them with a valid proof."""
    message = pb.CheckRequest()
    attributes = message.attributes
    if draw(st.integers(0, 19)):
        http = attributes.request.http
        http.id = draw(st.sampled_from(["", "7"]))
        http.method = draw(st.sampled_from(["GET", "POST", "PUT", "DELETE", "CONNECT", "get", ""]) | TEXT)
        http.path = draw(PATHS)
        http.host = draw(st.sampled_from(["api.example.com", "", "[::1]:80", "*"]) | TEXT)
        http.scheme = draw(st.sampled_from(["http", "https", ""]))
        http.size = draw(st.sampled_from([0, -1, 5, 2**62]))
        pairs = draw(st.lists(st.tuples(NAMES | TEXT, VALUES), max_size=6))
        if draw(st.booleans()):
            for name, value in pairs:
                extra = draw(st.sampled_from([b"", b"", b"\xff", b"\r\n"]))
                http.header_map.headers.add(key=name, raw_value=value.encode() + extra)
        else:
            http.headers.update(dict(pairs))
        body = draw(st.sampled_from([b"", b"a=1&b=2", b"{}", b"\xff\x00"]))
        if draw(st.booleans()):
            http.raw_body = body
        else:
            http.body = body.decode("latin-1")
    if draw(st.booleans()):
        names = ["extauthz.network", "extauthz.api", "extauthz.stage", "extauthz.body"]
        words = ["vpc", "internet", "ping", "orders", "profile", "report", "TEST", "unbuffered", "nonsense"]
        chosen = draw(st.dictionaries(st.sampled_from(names), st.sampled_from(words), max_size=4))
        attributes.context_extensions.update(chosen)
    if draw(st.booleans()):
        attributes.source.address.socket_address.address = draw(st.sampled_from(["192.0.2.1", "::1", ""]) | TEXT)
        attributes.destination.address.socket_address.port_value = draw(st.integers(0, 2**32 - 1))
    return message


def assert_explicit(response):
    """Allowed on purpose or denied on purpose; nothing between."""
    if response.WhichOneof("http_response") == "ok_response":
        assert response.status.code == 0
        assert response.dynamic_metadata.fields["decision"].string_value == "allow"
    else:
        assert response.WhichOneof("http_response") == "denied_response"
        assert response.status.code != 0
        assert 400 <= response.denied_response.status.code <= 599


@pytest.mark.long
@settings(max_examples=400)
@given(check_requests(), st.sampled_from([None, *Network]))
def test_no_check_request_raises_or_opens_what_is_protected(message, binding):
    notes = Notes()
    response = answer(message, servicer(notes), binding)
    assert_explicit(response)
    ((_, _, decision),) = notes.decisions
    if response.status.code == 0:
        assert decision.about.api.id not in PROTECTED
    assert not (isinstance(decision, Deny) and decision.reason is reason.INTERNAL_ERROR), decision.detail


@pytest.mark.long
@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_no_bytes_raise_or_pass(payload):
    response = answer(payload)
    assert_explicit(response)
    assert response.status.code != 0


@pytest.mark.long
@settings(max_examples=200)
@given(check_requests(), st.data())
def test_no_damaged_message_raises(message, data):
    payload = bytearray(message.SerializeToString())
    for _ in range(data.draw(st.integers(1, 4)) if payload else 0):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    assert_explicit(answer(bytes(payload)))


VALID = {
    "AppCode": lambda: check_request(path="/internal/report", headers={"authorization": f"APPCODE {CODE}"},
                                     network="vpc"),
    "signature": lambda: check_request(path="/v1/orders", headers=signed_headers("/v1/orders")),
    "token": lambda: check_request(path="/web/profile", headers={"authorization": f"Bearer {token()}"}),
}  # fmt: skip


def signed_headers(path, nonce="nonce-1"):
    options = SigningOptions(timestamp_ms=NOW_MS, nonce=nonce)
    return sign(OutgoingRequest("GET", path), Credentials(KEY, SECRET), options)


def token(**claims):
    private = demo()[1]
    payload = {"sub": "alice", "iat": NOW_S, "exp": NOW_S + 600, **claims}
    return jwt.encode(payload, jwt.PyJWK(private).key, algorithm="RS256", headers={"kid": private["kid"]})


@pytest.mark.parametrize("method", VALID)
def test_a_valid_proof_opens(method):
    response = answer(VALID[method]())
    assert response.status.code == 0
    assert response.dynamic_metadata.fields["reason"].string_value == "allowed"


@pytest.mark.long
@settings(max_examples=200)
@given(st.sampled_from(list(VALID)), st.data())
def test_a_valid_proof_with_one_wrong_character_opens_nothing(method, data):
    message = VALID[method]()
    place = data.draw(st.sampled_from([
        one for one in message.attributes.request.http.header_map.headers
        if one.key in ("authorization", "x-ca-signature", "x-ca-key", "x-ca-nonce", "x-ca-timestamp")
    ]))  # fmt: skip
    value = place.raw_value
    start = value.index(b" ") + 1 if place.key == "authorization" else 0
    end = value.rindex(b".") if value.count(b".") == 2 else len(value)  # the last sextet of Base64 has spare bits
    index = data.draw(st.integers(start, end - 1))
    other = data.draw(st.sampled_from(b"abcXYZ019-_").filter(lambda byte: byte != value[index]))
    place.raw_value = value[:index] + bytes([other]) + value[index + 1 :]
    assert answer(message).status.code != 0


def test_a_check_without_an_http_request_is_denied():
    for message in pb.CheckRequest(), pb.CheckRequest(attributes={"request": {}}):
        response = answer(message)
        assert_explicit(response)
        assert response.denied_response.status.code == 400


def test_an_empty_http_request_is_denied():
    message = pb.CheckRequest()
    message.attributes.request.http.SetInParent()
    assert answer(message).status.code != 0


def test_every_answer_carries_its_own_request_id():
    serving, seen = servicer(), set()
    for _ in range(20):
        allowed = answer(check_request(), serving)
        (header,) = allowed.ok_response.response_headers_to_add
        upstream = {one.header.key: one.header.value for one in allowed.ok_response.headers}
        assert header.header.value == upstream["x-ca-request-id"]
        assert allowed.dynamic_metadata.fields["decision_id"].string_value == header.header.value
        denied = answer(check_request(path="/nowhere"), serving)
        assert json.loads(denied.denied_response.body)["request_id"] == error_header(denied, "X-Ca-Request-Id")
        seen |= {header.header.value, error_header(denied, "X-Ca-Request-Id")}
    assert len(seen) == 40


def test_no_request_id_can_be_foreseen_from_what_python_s_own_generator_gives():
    def ids():
        request_id._drawn.clear()
        random.seed(7)
        return [new_request_id() for _ in range(300)]

    assert not set(ids()) & set(ids())


def test_a_request_id_is_a_random_uuid_whichever_thread_takes_it():
    with ThreadPoolExecutor(8) as pool:
        drawn = [one for ids in pool.map(lambda _: [new_request_id() for _ in range(500)], range(16)) for one in ids]
    assert len(set(drawn)) == 8000
    assert {(uuid.UUID(one).version, uuid.UUID(one).variant) for one in drawn} == {(4, uuid.RFC_4122)}
    assert all(one == str(uuid.UUID(one)).upper() for one in drawn)


def test_envoy_may_ask_twice_about_one_stream_and_nobody_else_may():
    serving = servicer()
    first = check_request(path="/v1/orders", headers=signed_headers("/v1/orders"))
    assert answer(first, serving).status.code == 0
    assert answer(first, serving).dynamic_metadata.fields["reason"].string_value == "asked_again"
    replay = check_request(path="/v1/orders", headers=signed_headers("/v1/orders"), id="8")
    assert error_header(answer(replay, serving), "X-Ca-Error-Code") == "S403NU"


class Exploding:
    """A store and a recorder that fail."""

    def record(self, *_):
        raise RuntimeError("it is gone")


class Shared:
    """A shared store: it answers when it is told to."""

    def __init__(self):
        self.outcome = Later()

    def record(self, use, now_ms):
        return self.outcome


def test_a_store_that_explodes_ends_in_an_explicit_503():
    response = answer(VALID["signature"](), servicer(store=Exploding()))
    assert_explicit(response)
    assert response.denied_response.status.code == 503


PAYLOADS = {
    "an allowed check": check_request().SerializeToString(),
    "a denied check": check_request(path="/nowhere").SerializeToString(),
    "no HTTP request": b"",
    "no CheckRequest": b"\xff\xff\xff",
}


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
def test_an_observer_that_explodes_ends_in_an_explicit_503(payload):
    response = answer(payload, servicer(Exploding()))
    assert_explicit(response)
    assert response.denied_response.status.code == 503


def test_refusing_a_check_unread_is_explicit_even_when_the_observer_explodes():
    for observer in Notes(), Exploding():
        response = pb.CheckResponse.FromString(servicer(observer).refuse(reason.OVERLOADED))
        assert_explicit(response)
        assert response.denied_response.status.code == 503


def test_a_clock_that_explodes_ends_in_an_explicit_503():
    def broken():
        raise OSError

    assert answer(check_request(), servicer(now_ms=broken)).denied_response.status.code == 503


@pytest.mark.parametrize(
    ("outcome", "status"),
    [(Outcome.FIRST, None), (Outcome.ASKED_AGAIN, None), (Outcome.USED, 403), (Outcome.FULL, 503),
     (Outcome.UNAVAILABLE, 503), (RuntimeError(), 503), ("nonsense", 503)],
)  # fmt: skip
def test_a_shared_store_decides_later_and_as_explicitly(outcome, status):
    store, answers = Shared(), []
    servicer(store=store).check(VALID["signature"]().SerializeToString()).then(answers.append)
    assert answers == []
    store.outcome.come(outcome)
    response = pb.CheckResponse.FromString(answers[0])
    assert_explicit(response)
    assert (response.denied_response.status.code if response.status.code else None) == status


def test_an_exception_is_logged_by_type_and_place_without_its_message(caplog):
    answer(VALID["signature"](), servicer(store=Exploding()))
    (record,) = caplog.records
    assert "RuntimeError at " in record.getMessage()
    assert "the store is gone" not in f"{record.getMessage()} {vars(record)}"


def test_a_grpc_caller_gets_a_grpc_status():
    response = answer(check_request("POST", "/v1/orders", {"content-type": "application/grpc"}))
    assert error_header(response, "grpc-status") == "16"


def test_a_reload_changes_what_the_next_check_reads():
    serving = servicer(store=MemoryReplayStore(10))
    before = serving.current
    serving.current = type(before).of(demo()[0])
    assert serving.current is not before
    assert answer(check_request(), serving).status.code == 0


def test_no_caller_gets_the_answer_of_another():
    """Answers are remembered for all checks of a kind; identity, request id and refusals must stay apart."""
    serving = servicer()
    for turn in range(3):
        for sub in "alice", "bob", "x" * 300:
            told = answer(
                check_request(path="/web/profile", headers={"authorization": f"Bearer {token(sub=sub)}"}), serving
            )
            assert upstream(told)["x-token-sub"] == sub
            assert "x-ca-app-id" in told.ok_response.headers_to_remove
        for network in "vpc", "internet":
            headers = signed_headers("/v1/orders", f"{network}-{turn}")
            told = answer(check_request(path="/v1/orders", headers=headers, network=network), serving)
            assert upstream(told)["x-ca-network"] == network
            assert upstream(told)["x-ca-app-id"] == "demo-app"
        for key in "demo-app-key-0002", "demo-app-key-0003", "unknown":
            told = answer(check_request(path="/v1/orders", headers={"x-ca-key": key, "x-ca-signature": "AA"}), serving)
            assert ("/v1/orders`" in error_header(told, "X-Ca-Error-Message")) is (key != "unknown")
        told = answer(check_request(headers={"x_ca_app_id": "admin"}), serving)
        assert "x_ca_app_id" in told.ok_response.headers_to_remove
        assert "x_ca_app_id" not in answer(check_request(), serving).ok_response.headers_to_remove


def upstream(response):
    return {one.header.key: one.header.value for one in response.ok_response.headers}
