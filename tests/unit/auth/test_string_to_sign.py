"""The string to sign: which readings of one request there are."""

import pytest

from extauthz.auth import string_to_sign
from extauthz.auth.string_to_sign import READINGS, StringToSign, signed_names
from tests.unit.building import FORM, request

PRIMARY, DECODED_PATH, QUERY_WINS, BOTH, FIRST_VALUES, BOTH_FIRST = READINGS


@pytest.mark.parametrize(
    ("target", "body", "others"),
    [
        ("/v1/orders?a=1", b"b=2", []),
        ("/v1/orders?a=1", b"a=2", [QUERY_WINS]),
        ("/v1/%20", b"a=2", [DECODED_PATH]),
        ("/v1/%20?a=1", b"a=2", [DECODED_PATH, QUERY_WINS, BOTH]),
        ("/v1/%zz?a=1", b"b=2", []),
    ],
)
def test_a_request_is_read_in_no_more_ways_than_differ(target, body, others):
    """Each costs an HMAC that a stranger can ask for."""
    string = StringToSign(request("POST", target, {"Content-Type": FORM}, body), ())
    readings = list(string.others())
    assert [reading.name for reading in readings] == others
    assert len({string.primary(), *(reading.string() for reading in readings)}) == 1 + len(others)


def test_keys_that_are_no_text_have_their_place_in_the_order_too():
    """Bytes that are no UTF-8 sort as they are, without being decoded, so that no query is a reason to fail."""
    query = "%EF%BC%A1=full&%FF=byte&%F0%9F%98%80=astral&%ED%A0%80=half&%E4%B8%AD=han&a=1"
    string = StringToSign(request(target=f"/?{query}"), ()).primary()
    pairs = string.partition(b"?")[2].split(b"&")
    assert [pair.partition(b"=")[2] for pair in pairs] == [b"1", b"han", b"half", b"astral", b"full", b"byte"]


def test_a_long_list_of_names_is_read_like_a_short_one_and_is_not_kept():
    """Strangers choose the lists, so what is kept of them is bounded in number and in length."""
    longest = b"x-" + b"a" * 510
    for listed, kept in (longest, 1), (longest + b"a", 1), (b"x-a", 2):
        assert signed_names(listed) == ((listed + b":", listed.decode()),)
        assert string_to_sign._signed_names_cached.cache_info().currsize == kept
    assert signed_names(longest + b"a/") is None
