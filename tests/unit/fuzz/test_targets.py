"""The fuzz targets hold for their seeds and for what comes of cutting and mixing them; the fuzzer goes further."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.auth.string_to_sign import StringToSign
from fuzz.seeds import SEEDS, WORDS
from fuzz.targets import TARGETS

EACH = pytest.mark.parametrize("name", TARGETS)
FORM = b"POST /v1 a\ncontent-type: application/x-www-form-urlencoded\n\n"
FOUND = {
    "sign": [
        b"POST /v1/orders a\ncontent-type: text-urlencoded\ncontent-md5: AAAA\n\nq=1",
        FORM + b"\xff=1&\xee\x80\x80=2&\xf0\x9f\x98\x80=3&\xed\xa0\x80=4",
    ],
    "path": [b"/v1?orders/42", b"/%ff/%c0%af"],
    "token": [b'{"exp":1e400}', b'{"exp":1700000600,"roles":[1e400,true,null]}', b'{"exp":' + b"9" * 5000 + b"}"],
    "check": [b"", b"\x0a", b"A"],
}
"""Inputs that once broke a target, or that a reader would try first."""


@EACH
def test_a_target_holds_for_its_seeds_and_for_what_was_found(name):
    for data in (*SEEDS[name], *FOUND[name]):
        TARGETS[name](data)


@EACH
@given(data=st.data())
def test_a_target_holds_for_seeds_that_are_cut_and_mixed(name, data):
    piece = st.one_of(
        st.builds(
            lambda seed, start, end: seed[start:end],
            st.sampled_from(SEEDS[name]), st.integers(0, 200), st.integers(0, 400),
        ),
        st.sampled_from([word.encode() for word in WORDS]),
        st.binary(max_size=8),
    )  # fmt: skip
    TARGETS[name](b"".join(data.draw(st.lists(piece, max_size=5))))


def test_the_string_to_sign_target_notices_a_wrong_string(monkeypatch):
    right = StringToSign.primary
    monkeypatch.setattr(StringToSign, "primary", lambda string: right(string) + b"&")
    with pytest.raises(AssertionError):
        TARGETS["sign"](SEEDS["sign"][4])
