"""Addresses of sockets: one reader for every place that names one."""

import pytest

from extauthz.domain.address import Address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:9191", Address("127.0.0.1", 9191)),
        ("auth.example.com:9191", Address("auth.example.com", 9191)),
        ("[::1]:9191", Address("::1", 9191)),
        ("unix:/run/extauthz.sock", Address(path="/run/extauthz.sock")),
    ],
)
def test_an_address_is_read_and_told_in_one_form(text, address):
    assert Address.parse(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    "text", ["", ":9191", "9191", "unix:", "::1:9191", "[127.0.0.1]:80", "host:", "host:-1", "host:²"]
)
def test_what_could_be_read_in_two_ways_or_none_is_not_an_address(text):
    with pytest.raises(ValueError, match=r"host:port|needs a path"):
        Address.parse(text)


@pytest.mark.parametrize(
    ("text", "local"),
    [
        ("localhost:1", True),
        ("127.8.0.1:1", True),
        ("[::1]:1", True),
        ("[0:0:0:0:0:0:0:1]:1", True),
        ("unix:/run/x.sock", True),
        ("0.0.0.0:1", False),
        ("[::]:1", False),
        ("10.0.0.1:1", False),
        ("auth.example.com:1", False),
    ],
)
def test_an_address_is_local_when_no_other_machine_reaches_it(text, local):
    assert Address.parse(text).is_local is local


@pytest.mark.parametrize(
    ("one", "other", "collide"),
    [
        ("127.0.0.1:1", "localhost:1", True),
        ("127.0.0.1:1", "127.0.0.1:2", False),
        ("127.0.0.1:1", "127.0.0.2:1", False),
        ("0.0.0.0:1", "10.0.0.1:1", True),
        ("0.0.0.0:1", "[::1]:1", False),
        ("[::]:1", "127.0.0.1:1", True),
        ("[0:0:0:0:0:0:0:0]:1", "127.0.0.1:1", True),
        ("[::1]:1", "[0::1]:1", True),
        ("unix:/a", "unix:/a", True),
        ("unix:/a", "unix:/b", False),
        ("unix:/a", "127.0.0.1:1", False),
    ],
)
def test_two_addresses_collide_when_both_cannot_be_listened_on(one, other, collide):
    assert Address.parse(one).collides_with(Address.parse(other)) is collide
    assert Address.parse(other).collides_with(Address.parse(one)) is collide


def test_each_worker_has_an_address_beside_the_first():
    assert str(Address.parse("[::]:9191").of_worker(2)) == "[::]:9193"
    assert str(Address.parse("unix:/run/extauthz.sock").of_worker(2)) == "unix:/run/extauthz.2.sock"
