"""IP control: allow and refuse lists, both kinds of addresses, and networks that bind one app."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.domain.ip import IpControl


def control(*networks: str, allow: bool = True, apps: dict[str, list[str]] | None = None) -> IpControl:
    by_app = {app: tuple(map(ip_network, listed)) for app, listed in (apps or {}).items()}
    return IpControl("c", allow, tuple(map(ip_network, networks)), by_app)


@pytest.mark.parametrize(
    ("address", "listed"),
    [
        ("61.3.9.0", True),
        ("61.3.9.255", True),
        ("61.3.10.0", False),
        ("8.8.8.8", True),
        ("8.8.8.9", False),
        ("2001:db8::1", True),
        ("2001:db8:ffff::", True),
        ("2001:db9::1", False),
        ("::ffff:8.8.8.8", True),
        ("::ffff:8.8.8.9", False),
        ("::8.8.8.8", False),
    ],
)
def test_an_allow_list_admits_what_it_names_and_a_refuse_list_the_rest(address: str, listed: bool):
    networks = ("61.3.9.0/24", "8.8.8.8/32", "2001:db8::/32")
    assert control(*networks).admits(address) is listed
    assert control(*networks, allow=False).admits(address) is not listed


@pytest.mark.parametrize(
    "address", ["", "localhost", "8.8.8", "8.8.8.8 ", "08.8.8.8", "8.8.8.8/32", "8.8.8.8,1.1.1.1", "٨.8.8.8"]
)
def test_what_is_no_address_is_never_admitted(address: str):
    assert control("0.0.0.0/0", "::/0").admits(address) is False
    assert control("8.8.8.8/32", allow=False).admits(address) is False


def test_an_empty_allow_list_admits_nobody():
    assert control().admits("8.8.8.8") is False


def test_an_ipv4_network_written_as_ipv6_is_the_same_network():
    assert control("::ffff:10.0.0.0/104").admits("10.1.2.3") is True
    assert control("::/0").admits("10.1.2.3") is False, "IPv4 is not inside IPv6"


@given(
    address=st.ip_addresses(),
    networks=st.lists(st.ip_addresses(v=4) | st.ip_addresses(v=6), max_size=5),
    data=st.data(),
)
def test_the_index_finds_what_a_walk_through_the_list_finds(address, networks, data):  # type: ignore[no-untyped-def]
    listed = [
        ip_network((one, data.draw(st.integers(0, one.max_prefixlen), label="length")), strict=False)
        for one in networks
    ]
    mapped = getattr(address, "ipv4_mapped", None) or address
    plain = [one for one in listed if getattr(one.network_address, "ipv4_mapped", None) is None]
    expected = any(mapped.version == one.version and mapped in one for one in plain)
    assert IpControl("c", True, tuple(plain)).admits(str(address)) is expected


OFFICE, ELSEWHERE, BRANCH = "203.0.113.9", "198.51.100.9", "192.0.2.9"


@pytest.mark.parametrize(
    ("address", "app", "admitted"),
    [
        (OFFICE, "bound", True),
        (ELSEWHERE, "bound", False),
        (ELSEWHERE, "other", True),
        (ELSEWHERE, None, False),
        (OFFICE, None, False),
    ],
)
def test_networks_of_an_app_bind_that_app_alone_and_nobody_anonymous_passes(address: str, app: str, admitted: bool):
    assert control(apps={"bound": ["203.0.113.0/24"]}).admits(address, app) is admitted


@pytest.mark.parametrize(
    ("address", "app", "admitted"),
    [
        (BRANCH, "bound", True),
        (OFFICE, "bound", True),
        (ELSEWHERE, "bound", False),
        (BRANCH, "other", True),
        (BRANCH, None, True),
        (OFFICE, "other", False),
        (ELSEWHERE, "other", False),
        (ELSEWHERE, None, False),
    ],
)
def test_beside_networks_for_everybody_other_apps_need_one_of_those(address: str, app: str, admitted: bool):
    assert control("192.0.2.0/24", apps={"bound": ["203.0.113.0/24"]}).admits(address, app) is admitted


def test_a_refuse_list_ignores_apps():
    refusing = control("203.0.113.0/24", allow=False, apps={"bound": ["198.51.100.0/24"]})
    assert refusing.asks_for_app is False
    assert refusing.admits(ELSEWHERE, "bound") is True
    assert refusing.admits(OFFICE, "other") is False


def test_an_address_is_looked_up_in_thousands_of_networks_as_in_one():
    assert ip_address("10.0.39.16")
    many = control(*(f"10.{a}.{b}.0/24" for a in range(20) for b in range(250)))
    assert many.admits("10.19.249.7") is True
    assert many.admits("10.20.0.1") is False
