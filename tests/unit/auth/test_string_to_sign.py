"""The string to sign: which readings of one request there are."""

import pytest

from extauthz.auth.string_to_sign import READINGS, StringToSign
from tests.unit.building import FORM, request

PRIMARY, DECODED_PATH, QUERY_WINS, BOTH = READINGS


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
    readings = dict(string.others())
    assert list(readings) == others
    assert len({string.primary(), *readings.values()}) == 1 + len(others)
