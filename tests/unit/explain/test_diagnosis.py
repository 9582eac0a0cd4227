"""What a diagnosis says beside the search: timestamps, Content-MD5, AppKeys, and two strings side by side."""

import base64
import hashlib
import io

import pytest
from rich.console import Console

from extauthz.client import SigningOptions
from extauthz.domain.app import KeyPair
from extauthz.explain.diagnosis.body import diagnose_content_md5
from extauthz.explain.diagnosis.clock import diagnose_timestamp
from extauthz.explain.diagnosis.diagnose import diagnose, secrets_to_try
from extauthz.explain.diagnosis.strings import masked, side_by_side, visible, without_credentials
from extauthz.explain.explained import Asked, as_dict, explain
from extauthz.explain.reading import read_request
from extauthz.explain.terminal import print_explained
from extauthz.wire.asking import Entrance, question
from tests.mistaken_client import Call, signed_by
from tests.unit.building import APP, KEY, NOW_MS, SECRET, api, request, signed, snapshot
from tests.unit.wire.checking import demo
from tests.unit.wire.test_sdk_cases import CASES, message_of

HOUR_MS = 3_600_000


@pytest.mark.parametrize(
    ("stamp", "name", "certain"),
    [
        (str(NOW_MS // 1000), "timestamp_unit", True),
        (str(NOW_MS * 1000), "timestamp_unit", True),
        (str(NOW_MS * 1_000_000), "timestamp_unit", True),
        (str(NOW_MS + 8 * HOUR_MS), "time_zone", False),
        (str(NOW_MS - 5 * HOUR_MS - HOUR_MS // 2), "time_zone", False),
        (str(NOW_MS - 3 * 24 * HOUR_MS), "request_is_old", False),
        (str(NOW_MS - HOUR_MS // 3), "request_is_old", False),
        (str(NOW_MS + HOUR_MS // 3), "clock_is_ahead", False),
        ("1700000000.123", "timestamp_form", False),
        ("2023-11-14T22:13:20Z", "timestamp_form", False),
        ("9" * 60, "clock_is_ahead", False),
    ],
)
def test_a_refused_timestamp_is_told_what_is_wrong_with_it(stamp, name, certain):
    result = diagnose_timestamp(request(headers={"X-Ca-Timestamp": stamp}), NOW_MS, 900_000)
    ((finding,),) = result.explanations
    assert (finding.name, result.certain) == (name, certain)
    assert finding.cure


def md5(body):
    return base64.b64encode(hashlib.md5(body).digest())


@pytest.mark.parametrize(
    ("stated", "name"),
    [
        (hashlib.md5(b'{"a": 1}').hexdigest().encode(), "content_md5_spelling"),
        (base64.b64encode(hashlib.md5(b'{"a": 1}').hexdigest().encode()), "content_md5_spelling"),
        (base64.b64encode(hashlib.sha256(b'{"a": 1}').digest()), "content_md5_other_hash"),
        (md5(b'{"a":1}'), "content_md5_of_another_body"),
        (md5(b'{"a": 1}\n'), "content_md5_of_another_body"),
        (md5(b""), "content_md5_of_another_body"),
        (md5(b'{\n  "a": 1\n}'), "content_md5_of_another_body"),
    ],
)
def test_a_wrong_content_md5_is_told_what_it_is_of(stated, name):
    result = diagnose_content_md5(request("POST", headers={"Content-MD5": stated}, body=b'{"a": 1}'))
    ((finding,),) = result.explanations
    assert (finding.name, result.certain) == (name, True)


def test_a_content_md5_of_nothing_known_is_a_suspicion():
    result = diagnose_content_md5(request("POST", headers={"Content-MD5": md5(b"other")}, body=b"{not json"))
    assert not result.explanations
    assert "changed after it was hashed" in result.suspicions[0]


def test_an_app_key_that_differs_in_letter_case_is_told_so():
    explained = explain(asked(Call(), '"secret_ampersand"', replace=(KEY, f'"{KEY.upper()}"')), snapshot(api()), NOW_MS)
    assert f"AppKey {KEY} differs only" in explained.diagnosis.suspicions[0]
    unknown = explain(asked(Call(), "", replace=(KEY, "nobody-0001")), snapshot(api()), NOW_MS)
    assert "unknown here" in unknown.diagnosis.suspicions[0]


def asked(call, mistake, replace=("", ""), **options):
    raw = signed_by(call, *([mistake] if mistake and '"' not in mistake else [])).raw()
    given = raw.replace(*(text.encode() for text in replace)) if replace[0] else raw
    return Asked(question(read_request(given), Entrance()), **options)


def test_the_secrets_of_the_app_come_first_and_never_the_right_one_twice():
    known = snapshot(api(), keys={KEY: SECRET, "second": "other", "third": SECRET})
    secrets = secrets_to_try(request(headers={"X-Ca-Key": KEY}), known)
    assert [secret.value for secret in secrets] == [SECRET.encode(), b"other"]
    assert "AppKey second of the same app" in secrets[1].told
    assert not secrets_to_try(request(headers={"X-Ca-Key": "nobody"}), known)


def test_the_secret_before_the_last_rotation_is_named_when_it_was_used():
    known = snapshot(api())
    pair = KeyPair(APP.id, KEY, b"new-secret", SECRET.encode(), NOW_MS)
    known.directory._key_pairs._shards[0][KEY.encode()] = pair
    explained = explain(asked(Call(), ""), known, NOW_MS)
    ((finding,),) = explained.diagnosis.explanations
    assert finding.name == "other_secret"
    assert "before the last rotation" in finding.detail


def test_two_strings_are_shown_side_by_side_with_the_first_byte_that_differs():
    compared = side_by_side(b"GET\n*/*\n\n\n\nX-Ca-Key:k\n/a?b=1", b"GET\n\n\n\n\nX-Ca-Key:k\n/a?b=1 \n")
    assert (compared.at, compared.line, compared.column) == (4, 2, 1)
    assert (compared.server_byte, compared.client_byte) == ("0x2a '*'", "0x0a '\\n'")
    assert [line.name for line in compared.lines][:2] == ["method", "Accept"]
    assert [line.same for line in compared.lines] == [True, False, True, True, True, True, False, True]
    assert compared.lines[6].client == "/a?b=1␠"
    assert side_by_side(b"a", b"a").at is None
    end = side_by_side(b"a\nb", b"a\nb\xe8")
    assert (end.at, end.line, end.column, end.server_byte, end.client_byte) == (3, 2, 2, "the end", "0xe8")


def test_credentials_in_a_string_to_sign_are_not_shown():
    string = b"GET\n\n\n\n\nAuthorization:APPCODE abc\ncookie:s=1\nX-Ca-Key:k\n/a?AppCode=abc&b=1"
    shown = masked(string)
    assert b"abc" not in shown
    assert b"s=1" not in shown
    assert b"b=1" in shown
    assert "abc" not in without_credentials("Server StringToSign:`GET##/a?appcode=abc`")
    assert visible(b" a\t\r") == "␠a\\t\\r"


def test_the_string_that_the_client_signed_is_proved_by_the_signature():
    call = Call(query=[("a", "1"), ("B", "2")])
    sent = signed_by(call, "string_letter_case", "method_differs")
    given = Asked(question(read_request(sent.raw()), Entrance()), client_string=sent.string + b"\n")
    explained = explain(given, snapshot(api()), NOW_MS)
    assert explained.diagnosis.proved
    assert explained.diagnosis.client_string == sent.string
    assert explained.strings.line == 1


def test_a_string_in_the_spelling_of_the_error_message_is_read_too():
    sent = signed_by(Call(), "accept_added")
    given = asked(Call(), "accept_added", client_string=sent.string.replace(b"\n", b"#"))
    assert explain(given, snapshot(api()), NOW_MS).diagnosis.client_string == sent.string


def test_the_same_string_and_another_secret_is_told():
    sent = signed_by(Call(), "other_secret")
    explained = explain(asked(Call(), "other_secret", client_string=sent.string), snapshot(api()), NOW_MS)
    assert not explained.diagnosis.proved
    assert "build the same string" in explained.diagnosis.suspicions[0]
    assert "The two strings are the same" in printed(explained)


def test_another_string_than_was_signed_is_told():
    explained = explain(asked(Call(), "other_secret", client_string=b"GET\nsomething else"), snapshot(api()), NOW_MS)
    assert "not the one that was signed" in explained.diagnosis.suspicions[0]


def test_what_a_proxy_writes_is_suspected_and_not_called_certain():
    raw = signed_by(Call(headers={"X-Request-Id": "abc"})).raw().replace(b"X-Request-Id: abc", b"X-Request-Id: def")
    explained = explain(Asked(question(read_request(raw), Entrance())), snapshot(api()), NOW_MS)
    assert not explained.diagnosis.certain
    assert "X-Request-Id is signed, and Envoy" in explained.diagnosis.suspicions[0]
    gone = signed_by(Call(headers={"X-Tenant": "abc"})).raw().replace(b"X-Tenant: abc\r\n", b"")
    explained = explain(Asked(question(read_request(gone), Entrance())), snapshot(api()), NOW_MS)
    assert "X-Tenant is listed as signed, but did not arrive" in str(explained.diagnosis.suspicions)


def test_the_recorded_client_whose_request_id_envoy_replaced_is_told_so():
    """F5: the vendor's IoT SDK signs every header, X-Request-Id too."""
    case = CASES["F5-x-request-id-signed"]
    payload = message_of(case)
    for header in payload.attributes.request.http.header_map.headers:
        if header.key == "x-request-id":
            header.raw_value = b"4b8f2c1e-0a5d-4f6b-9c3e-1d2a3b4c5d6e"
    explained = explain(Asked(payload.SerializeToString()), demo()[0], case["clock_ms"])
    assert explained.way.checked.label == "signature_mismatch"
    assert explained.diagnosis.suspicions[0].startswith("X-Request-Id is signed, and Envoy")


def test_what_is_denied_for_something_else_has_no_diagnosis():
    known = snapshot(api(), grants=[])
    explained = explain(asked(Call(), ""), known, NOW_MS)
    assert explained.diagnosis is None
    assert diagnose(signed(), explained.way.decision, known, NOW_MS) is None


def printed(explained):
    console = Console(width=150, record=True, file=io.StringIO())
    print_explained(console, explained)
    return console.export_text()


def test_nothing_that_is_printed_holds_a_secret():
    for mistake in ("secret_white_space", "secret_ampersand", "accept_added", "other_secret"):
        explained = explain(asked(Call(query=[("appcode", "hidden-code")]), mistake), snapshot(api()), NOW_MS)
        told = printed(explained) + str(as_dict(explained))
        assert SECRET not in told
        assert "hidden-code" not in told
        assert mistake == "other_secret" or mistake in told


def test_a_signature_in_sha1_where_the_api_takes_it_is_diagnosed_as_such():
    sent = signed(options=SigningOptions("HmacSHA1", NOW_MS, "n"), secret="wrong")
    explained_ = diagnose(sent, explain(asked(Call(), "accept_added"), snapshot(api()), NOW_MS).way.decision,
                          snapshot(api()), NOW_MS)  # fmt: skip
    assert explained_.explanations == ()
