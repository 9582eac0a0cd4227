"""Envoy writes `!` for bytes that are no UTF-8: what is decided is what the upstream gets, or nothing is decided."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.domain.request import Network
from extauthz.domain.settings import IdentityFact, Settings
from extauthz.wire.request import read_request
from tests.unit.wire.checking import answer, check_request

EDGE = Settings(identity_headers=(("x-ca-scheme", IdentityFact.SCHEME),), trust_external_address=True)
NO_EDGE = Settings(identity_headers=EDGE.identity_headers)


def sent(raw: bytes, *, raw_headers: bool = True, **http: str):
    """A request with this target, as Envoy 1.40 tells of it: sanitized in `path`, exact in `:path`."""
    told = raw.decode("utf-8", "replace").replace("\ufffd", "!")
    message = check_request(path=told, headers={"accept": "*/*"}, raw=raw_headers, protocol="HTTP/2", **http)
    if raw_headers:
        message.attributes.request.http.header_map.headers.add(key=":path", raw_value=raw)
    return message


def reason_of(message) -> str:
    return answer(message).dynamic_metadata.fields["reason"].string_value


def test_the_target_is_taken_from_the_raw_bytes():
    read = read_request(sent("/public/茶?a=茶".encode()), None, Settings())
    assert (read.path, read.query, read.unread, read.lossy) == ("/public/茶", "a=茶", "", False)


@pytest.mark.parametrize(
    "raw", [b"/public/ping?msg=hello\xff", b"/files/\xc0\xae\xc0\xae/x", b"/\xff", b"/public/ping?\xed\xa0\x80=1"]
)
def test_a_target_that_is_no_utf8_is_refused_on_the_most_open_api(raw):
    assert reason_of(sent(raw)) == "path_invalid"


def test_an_exclamation_mark_is_itself_where_the_bytes_say_so():
    assert reason_of(sent(b"/public/ping?msg=hello!")) == "anonymous"
    assert read_request(sent(b"/a!b"), None, Settings()).unread == ""


def test_without_raw_headers_a_mark_in_an_http2_path_may_stand_for_any_byte():
    assert reason_of(sent(b"/files/\xc0\xae\xc0\xae/x", raw_headers=False)) == "path_invalid"
    assert reason_of(sent(b"/public/ping!", raw_headers=False)) == "path_invalid"
    http1 = sent(b"/public/ping!", raw_headers=False)
    http1.attributes.request.http.protocol = "HTTP/1.1"
    assert reason_of(http1) == "api_not_found", "Envoy itself answers 400 to raw bytes over HTTP/1"


def test_a_list_of_allowed_headers_that_keeps_the_raw_target_back_counts_as_none():
    message = check_request(path="/public/ping!", headers={"accept": "*/*"}, protocol="HTTP/2")
    assert reason_of(message) == "path_invalid"
    assert read_request(message, None, Settings()).lossy


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (":path", b"/admin"),
        (":path", b"/public/ping,/admin"),
        (":authority", b"other.example.com"),
        (":authority", b"\xff"),
    ],
)
def test_what_envoy_tells_twice_must_agree(name, value):
    message = check_request(path="/public/ping", headers={":path": "/public/ping", ":authority": "api.example.com"})
    for header in message.attributes.request.http.header_map.headers:
        if header.key == name:
            header.raw_value = value
    assert reason_of(message) == "path_invalid"


@given(st.binary(max_size=12))
def test_no_bytes_are_decided_as_other_bytes(rest):
    """What is read is, encoded, what the upstream gets; or it is refused."""
    raw = b"/public/ping" + rest
    read = read_request(sent(raw), None, Settings())
    target = f"{read.path}?{read.query}" if b"?" in raw else read.path
    assert read.unread or target.encode() == raw


def test_a_body_that_came_as_text_is_known_to_be_lossy():
    as_text = check_request("POST", headers={":path": "/public/ping"})
    as_text.attributes.request.http.body = "hello!"
    assert read_request(as_text, None, Settings()).lossy
    as_bytes = check_request("POST", headers={":path": "/public/ping"}, body=b"hello\xff")
    assert not read_request(as_bytes, None, Settings()).lossy


@pytest.mark.parametrize(
    ("settings", "context", "proto", "told"),
    [(NO_EDGE, "", "https", ""), (EDGE, "", "https", "https"), (EDGE, "", "http", "http"), (EDGE, "", "wss", ""),
     (EDGE, "", "https,http", ""), (EDGE, "", "", ""), (NO_EDGE, "http", "https", "http"),
     (EDGE, "https", "http", "https"), (EDGE, "ftp", "https", "")],
)  # fmt: skip
def test_the_scheme_is_envoys_own_or_the_operators_and_never_the_clients_claim(settings, context, proto, told):
    message = check_request(headers={"x-forwarded-proto": proto} if proto else {}, scheme="https")
    if context:
        message.attributes.context_extensions["extauthz.scheme"] = context
    assert read_request(message, Network.INTERNET, settings).scheme == told


def test_a_forwarded_scheme_that_came_twice_is_nobodys():
    message = check_request(headers=[("x-forwarded-proto", "https"), ("x-forwarded-proto", "https")])
    assert read_request(message, None, EDGE).scheme == ""
