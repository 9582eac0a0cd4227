"""What operators paste becomes the request that was sent, byte for byte."""

import json

import pytest

from extauthz.client import Credentials, OutgoingRequest, sign
from extauthz.client.curl import curl_line
from extauthz.explain.reading import UnreadableRequest, read_request
from extauthz.wire.asking import Entrance, HttpRequest, question, written_by_envoy
from extauthz.wire.request import read_request as read_question
from tests.unit.building import KEY, SECRET, Settings


def headers(sent):
    return {name.lower(): value for name, value in sent.headers}


@pytest.mark.parametrize("body", [b"", b"a=1&b=%20", '{"item": "茶\'s"}'.encode()])
def test_our_own_curl_line_is_the_request_that_it_stands_for(body):
    method = "POST" if body else "GET"
    outgoing = OutgoingRequest(method, "https://api.example.com/v1/orders?a=1&b=%41", {"X-Empty": ""}, body)
    signed = sign(outgoing, Credentials(KEY, SECRET))
    sent = read_request((curl_line(outgoing, signed) + "\n\nHTTP 200\n").encode())
    assert (sent.method, sent.host, sent.target, sent.body) == (method, "api.example.com", "/v1/orders?a=1&b=%41", body)
    for name, value in signed.items():
        assert headers(sent)[name.lower()] == value.encode()


def test_curl_adds_what_curl_adds_and_leaves_out_what_it_is_told_to():
    sent = read_request(
        b"curl -H 'Accept:' -H 'X-Tenant: north' -d a=1 -d 'b=2 3' --data-urlencode 'c=x y' http://h:81/x"
    )
    assert (sent.method, sent.host, sent.target) == ("POST", "h:81", "/x")
    assert sent.body == b"a=1&b=2 3&c=x+y"
    assert "accept" not in headers(sent)
    assert headers(sent)["content-type"] == b"application/x-www-form-urlencoded"
    assert headers(sent)["user-agent"].startswith(b"curl/")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("curl h", ("GET", "h", "/", b"")),
        ("curl https://u:p@h:443/a#b", ("GET", "h", "/a", b"")),
        ("curl 'http://h/a?b#c'", ("GET", "h", "/a?b", b"")),
        ("curl -I http://h/a", ("HEAD", "h", "/a", b"")),
        ("curl -G -d a=1 --data b=2 'http://h/a?c=3'", ("GET", "h", "/a?c=3&a=1&b=2", b"")),
        ("curl -XPUT --data-binary=x --url http://h", ("PUT", "h", "/", b"x")),
        ("curl \\\n  -sS -o out.txt \\\n  -X DELETE http://h/a", ("DELETE", "h", "/a", b"")),
        ("curl http://h/a --data-raw $'a\\u0021\\x41\\'\\n\\xe8\\x8c\\xb6'", ("POST", "h", "/a", "a!A'\n茶".encode())),
        ("curl http://h/a -H 'Host: other' --compressed", ("GET", "other", "/a", b"")),
        ("curl http://h/a --json '{\"a\":1}'", ("POST", "h", "/a", b'{"a":1}')),
        ('curl http://h/a -H "X: a \\"b\\" \'c\'"', ("GET", "h", "/a", b"")),
    ],
)
def test_a_curl_line_is_read_as_curl_reads_it(line, expected):
    sent = read_request(line.encode())
    assert (sent.method, sent.host, sent.target, sent.body) == expected


def test_curl_reads_a_body_from_a_file(tmp_path):
    file = tmp_path / "body"
    file.write_bytes(b"a=1\nb=2\n")
    assert read_request(f"curl http://h -d @{file}".encode()).body == b"a=1b=2"
    assert read_request(f"curl http://h --data-binary @{file}".encode()).body == b"a=1\nb=2\n"
    with pytest.raises(UnreadableRequest, match="no-such-file"):
        read_request(b"curl http://h -d @no-such-file")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("curl -H x", "no URL"),
        ("curl --no-such-option http://h", "--no-such-option"),
        ("curl -F a=b http://h", "boundary"),
        ("curl http://h -H", "no value"),
        ("curl 'http://h", "quotation"),
        ("hello", "not a curl command line"),
        ('{"a": 1}', "no HAR entry"),
        ("[]", "no such entry"),
        ("GET / HTTP/1.1\nnot a header", "is not a header line"),
        ("POST / HTTP/1.1\nContent-Length: 9\n\nabc", "Content-Length says 9"),
    ],
)
def test_what_cannot_be_read_is_told_in_words(line, message):
    with pytest.raises(UnreadableRequest, match=message):
        read_request(line.encode())


def har(**changes):
    posted = {"postData": {"mimeType": "text/plain", "text": "茶"}}
    sent = [{"name": ":authority", "value": "h2"}, {"name": "X-Tenant", "value": "north"}]
    return {"request": {"method": "POST", "url": "https://h/a?b=%20", "headers": sent, **posted, **changes}}


def test_a_har_entry_is_read_alone_and_in_its_file():
    whole = {"log": {"entries": [har(method="GET", postData=None), har()]}}
    for given, entry in ((har(), -1), (whole, -1), (whole, 1), (har()["request"], -1)):
        sent = read_request(json.dumps(given).encode(), entry)
        assert (sent.method, sent.host, sent.target, sent.body) == ("POST", "h2", "/a?b=%20", "茶".encode())
        assert headers(sent) == {"x-tenant": b"north"}
    assert read_request(json.dumps(whole).encode(), 0).method == "GET"


def test_a_har_body_may_be_base64_or_a_list_of_fields():
    encoded = {"text": "AP8=", "encoding": "base64"}
    assert read_request(json.dumps(har(postData=encoded)).encode()).body == b"\x00\xff"
    fields = {"params": [{"name": "a", "value": "x y"}]}
    assert read_request(json.dumps(har(postData=fields)).encode()).body == b"a=x+y"
    with pytest.raises(UnreadableRequest, match="base64"):
        read_request(json.dumps(har(postData={"text": "?", "encoding": "base64"})).encode())


def test_a_raw_request_may_have_any_line_ends_chunks_and_an_absolute_target():
    raw = b"POST http://h:80/a?x=1 HTTP/1.1\r\nHost: other\r\nContent-Length: 3\r\nX-A:  y \r\n\r\nabc"
    for given in (raw, raw.replace(b"\r\n", b"\n") + b"\n"):
        sent = read_request(given)
        assert (sent.method, sent.host, sent.target, sent.body) == ("POST", "other", "/a?x=1", b"abc")
    chunked = b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    assert read_request(chunked).body == b"abcde"


def test_envoy_trims_joins_and_lowers_as_it_does():
    sent = HttpRequest(
        "GET", "/a", "Api.Example.com:80",
        (("X-A", b" 1 "), ("X-A", b"2"), ("Accept", b"a"), ("Accept", b"b"), ("Connection", b"x"),
         ("X-Envoy-External-Address", b"192.0.2.9")), b"xy",
    )  # fmt: skip
    settings = Settings(trust_external_address=True)
    from extauthz.wire.generated import ext_authz_pb2 as pb

    read = read_question(pb.CheckRequest.FromString(question(sent, Entrance(peer="192.0.2.1"))), None, settings)
    assert (read.headers["x-a"], read.headers["accept"]) == (b"1,2", b"a,b")
    assert read.repeated == {"x-a"}
    assert read.headers["x-envoy-external-address"] == b"192.0.2.1"
    assert "connection" not in read.headers
    assert (read.host, read.body, read.lossy, read.unread) == ("api.example.com", b"xy", False, "")


def test_it_is_known_which_headers_envoy_writes():
    assert written_by_envoy(frozenset({"x-request-id", "x-envoy-peer", "x-ca-key"})) == ["x-envoy-peer", "x-request-id"]
