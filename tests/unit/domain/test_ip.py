"""IP control."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.domain.ip import IpControl

NETWORKS = tuple(map(ip_network, ["192.0.2.0/24", "2001:db8::/32"]))
ALLOW, REFUSE = IpControl("a", True, NETWORKS), IpControl("r", False, NETWORKS)


@pytest.mark.parametrize("address", ["192.0.2.0", "192.0.2.255", "2001:db8::1", "::ffff:192.0.2.7", "2001:DB8::1"])
def test_an_address_inside(address):
    assert ALLOW.admits(address)
    assert not REFUSE.admits(address)


@pytest.mark.parametrize(
    "address", ["192.0.3.0", "203.0.113.1", "2001:db9::1", "::ffff:192.0.3.1", "::1", "::192.0.2.7"]
)
def test_an_address_outside(address):
    assert not ALLOW.admits(address)
    assert REFUSE.admits(address)


@pytest.mark.parametrize("address", ["", "unknown", "192.0.2", "192.0.2.1:80", "192.0.2.01", "[2001:db8::1]",
                                     "3221225985", "192.0.2.1, 10.0.0.1", "@", "\x00"])  # fmt: skip
def test_what_is_no_address_is_admitted_by_neither_list(address):
    assert not ALLOW.admits(address)
    assert not REFUSE.admits(address)


def test_an_empty_list_lets_nobody_in_or_keeps_nobody_out():
    assert not IpControl("a", True, ()).admits("192.0.2.1")
    assert IpControl("r", False, ()).admits("192.0.2.1")


@given(st.ip_addresses().map(str))
def test_the_two_kinds_of_list_are_opposites(address):
    assert ALLOW.admits(address) is not REFUSE.admits(address)
