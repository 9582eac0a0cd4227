"""Parameters: how a query string or a form body is cut and decoded."""

import pytest

from extauthz.auth.parameters import is_form, parse_pairs


@pytest.mark.parametrize(
    ("encoded", "pairs"),
    [
        (b"", []),
        (b"&&", []),
        (b"a", [(b"a", b"")]),
        (b"a=", [(b"a", b"")]),
        (b"=", [(b"", b"")]),
        (b"=a", [(b"", b"a")]),
        (b"a=1&b=2&a=3", [(b"a", b"1"), (b"b", b"2"), (b"a", b"3")]),
        (b"a=b=c", [(b"a", b"b=c")]),
        (b"a;b=1;2", [(b"a;b", b"1;2")]),
        (b"a+b=1+2", [(b"a b", b"1 2")]),
        (b"a=1%2B2", [(b"a", b"1+2")]),
        (b"a+%3D=b=c+%26", [(b"a =", b"b=c &")]),
        (b"&a=%E4%B8%AD&&b=%FF", [(b"a", "\N{CJK UNIFIED IDEOGRAPH-4E2D}".encode()), (b"b", b"\xff")]),
        (b"a=%zz%4", [(b"a", b"%zz%4")]),
    ],
)
def test_only_an_ampersand_separates_and_the_first_equals_sign_splits(encoded, pairs):
    assert parse_pairs(encoded) == pairs


@pytest.mark.parametrize("tail", [b"", b"&z=%20", b"&z=+"])
def test_an_escape_elsewhere_changes_nothing_about_a_plain_parameter(tail):
    """Queries without an escape take a shorter way, which has to lead to the same place."""
    plain = b"a=b=c&&d&=e&f="
    assert (
        parse_pairs(plain + tail)[:4] == parse_pairs(plain) == [(b"a", b"b=c"), (b"d", b""), (b"", b"e"), (b"f", b"")]
    )


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        (b"application/x-www-form-urlencoded", True),
        (b"Application/X-WWW-Form-UrlEncoded ; charset=utf-8;a=b", True),
        (b" application/x-www-form-urlencoded", True),
        (b"application/x-www-form-urlencoded2", False),
        (b"application/x-www-form-urlencoded, text/plain", False),
        (b"text/plain;application/x-www-form-urlencoded", False),
        (b"multipart/form-data", False),
        (b"", False),
    ],
)
def test_a_form_is_told_by_its_media_type_alone(content_type, expected):
    assert is_form(content_type) is expected
