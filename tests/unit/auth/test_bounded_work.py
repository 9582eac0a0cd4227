"""What a stranger can make a signature check hash, join or try is bounded by what the stranger sends."""

import hmac

import pytest

from extauthz.auth import digest
from extauthz.auth.jwt import MAX_KEY_TRIES
from extauthz.auth.jwt import authenticate as authenticate_token
from extauthz.auth.parameters import MAX_MENDED, MAX_PLAIN_EQUALS, parse_pairs
from extauthz.auth.string_to_sign import MAX_HEAD_BYTES, StringToSign, signed_names
from extauthz.domain import reason
from extauthz.domain.decision import Refusal
from extauthz.domain.tokens.jwk import KeySet, read_key
from extauthz.domain.tokens.key_source import KeySource
from tests.unit.auth import one_api
from tests.unit.building import FORM, NOW_MS, SECRET, api, request, signed, snapshot

KNOWN = snapshot(api())


def spellings(name, count):
    """The first of the many ways to write a name in large and small letters."""
    letters = [letter for letter in range(len(name)) if name[letter].isalpha()]
    for number in range(count):
        large = {letter for place, letter in enumerate(letters) if number >> place & 1}
        yield "".join(one.upper() if place in large else one for place, one in enumerate(name))


def verify(sent, one=api()):  # noqa: B008
    return digest.authenticate(sent, one, KNOWN, NOW_MS)


def with_headers(sent, **more):
    named = {name.replace("_", "-"): value for name, value in more.items()}
    return sent._replace(headers={**sent.headers, **named})


@pytest.mark.parametrize("count", [2, 744])
def test_a_header_listed_in_two_spellings_is_refused(count):
    listed = ",".join(spellings("x-padding", count)).encode()
    sent = with_headers(signed(), x_ca_signature_headers=listed, x_padding=b"x" * 52_000)
    assert verify(sent).reason is reason.HEADER_INVALID
    assert signed_names(b"Accept,accept") is None, "one that is left out of the block as well"


def test_a_header_listed_twice_in_one_spelling_is_signed_once():
    assert signed_names(b"x-a,x-a, x-a") == signed_names(b"x-a")


@pytest.mark.parametrize(("size", "refused"), [(MAX_HEAD_BYTES - 1000, False), (MAX_HEAD_BYTES, True)])
def test_a_head_past_the_limit_is_refused_before_it_is_hashed(size, refused, monkeypatch):
    sent = with_headers(signed(), x_ca_signature_headers=b"X-Long", x_long=b"x" * size)
    hashed, real = [], hmac.digest
    monkeypatch.setattr(hmac, "digest", lambda *given: hashed.append(1) or real(*given))
    assert verify(sent).reason is (reason.HEADER_INVALID if refused else reason.SIGNATURE_MISMATCH)
    assert bool(hashed) is not refused


def test_all_readings_together_are_a_small_multiple_of_the_request():
    listed = ",".join(f"x-{number}" for number in range(900))
    headers = {"Content-Type": FORM, "Accept": "a,b", "X-Ca-Signature-Headers": listed}
    headers |= {f"x-{number}": "a,b" * 10 for number in range(900)}
    sent = request("POST", "/%20" * 1000 + "?a=1", headers, b"a=" + b"%41" * 10_000)
    size = len(sent.path) + len(sent.query) + len(sent.body)
    size += sum(len(name) + len(value) for name, value in sent.headers.items())
    string = StringToSign(sent, signed_names(listed.encode()))
    everything = [string.primary(), *(reading.string() for reading in string.others())]
    assert len(everything) == 6
    assert all(len(one) <= 2 * size for one in everything)


def test_the_head_is_hashed_once_for_the_readings_that_share_it(monkeypatch):
    begun, real = [], hmac.new
    monkeypatch.setattr(hmac, "new", lambda *given: begun.append(given) or real(*given))
    sent = signed("POST", "/v1/%20?k=1", {"Content-Type": FORM}, b"k=2", secret="wrong")
    assert verify(sent).reason is reason.SIGNATURE_MISMATCH
    assert [key for key, *_ in begun] == [SECRET.encode()]


@pytest.mark.parametrize(
    "form",
    [
        b"a=" + b"%41" * 400_000 + b"%",
        b"a=" + b"%" * (MAX_MENDED + 1),
        b"&".join([b"%41" * 40 + b"%4"] * 4000),
        b"a=%41" + b"=" * MAX_PLAIN_EQUALS,
    ],
)
def test_what_takes_longest_to_decode_is_not_decoded(form):
    assert parse_pairs(form) is None
    sent = signed("POST", headers={"Content-Type": FORM})._replace(body=form)
    assert verify(sent).reason is reason.BODY_UNAVAILABLE


def test_what_encoders_write_is_decoded_however_much_it_is():
    assert parse_pairs(b"a=" + b"%41" * 400_000) == [(b"a", b"A" * 400_000)]
    assert parse_pairs(b"a=" + b"+" * 400_000) == [(b"a", b" " * 400_000)]
    assert parse_pairs(b"a=100%&b=" + b"%41" * (MAX_MENDED - 1)) == [(b"a", b"100%"), (b"b", b"A" * (MAX_MENDED - 1))]


@pytest.mark.parametrize(("keys", "refused"), [(MAX_KEY_TRIES, False), (MAX_KEY_TRIES + 1, True)])
@pytest.mark.parametrize("kid", [None, "rsa-1"])
def test_a_token_is_checked_with_a_few_keys_and_never_with_the_first_of_many(keys, refused, kid):
    public = read_key(one_api.public_half(one_api.RSA_KEY))
    plugin = one_api.plugin(KeySource.fixed(KeySet((public,) * keys)))
    token = one_api.token(kid=kid)
    outcome = authenticate_token(one_api.request(token), one_api.api(plugin), one_api.serving(plugin),
                                 one_api.NOW_S * 1000)  # fmt: skip
    expected = Refusal(reason.JWT_INVALID, "kid is needed", f"{keys} keys could have signed it")
    assert (outcome == expected) is refused
