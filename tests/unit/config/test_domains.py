"""A domain that no host can match is a mistake with its cure; any other is reached by the host that was meant."""

import pytest

from extauthz.wire.request import canonical_host
from tests.unit.config.writing import config, found, snapshot


@pytest.mark.parametrize(
    ("domain", "cure"),
    [
        ("https://api.example.com", "write `api.example.com`"),
        ("https://user@api.example.com:8443/v1?x#y", "write `api.example.com`"),
        ("//api.example.com", "write `api.example.com`"),
        ("api.example.com:8080", "write `api.example.com`"),
        ("api.example.com:", "write `api.example.com`"),
        ("api.example.com/v1", "write `api.example.com`"),
        ("*.example.com:443", "write `*.example.com`"),
        ("bücher.example:443", "write `bücher.example`"),
        ("[2001:db8::1]:443", "write `[2001:db8::1]`"),
        ("2001:db8::1", "write `[2001:db8::1]`"),
        ("[2001:db8:0:0:0:0:0:1]", "write `[2001:db8::1]`"),
        ("[fe80::1%eth0]", "zone"),
        ("[api.example.com]", "IPv6 address in brackets"),
        ("api.example.com.", "write `api.example.com`"),
        (".example.com", "write `*.example.com`"),
        ("api.*.com", "`*` stands alone, or at the front"),
        ("api*.example.com", "`*` stands alone, or at the front"),
        ("*example.com", "`*` stands alone, or at the front"),
        ("**.example.com", "`*` stands alone, or at the front"),
        ("*.*", "`*` stands alone, or at the front"),
        ("*.", "ends with a dot"),
        ("", "is empty"),
        ("a..b", "empty label"),
        ("a.com,b.com", "each name as an entry of its own"),
        ("a.com b.com", "each name as an entry of its own"),
        ("a.com|b.com", "each name as an entry of its own"),
        ("-a.example.com", "inner hyphens"),
        ("api.example-.com", "inner hyphens"),
        (r".*\.example\.com", "`*` stands alone"),
        ("^api$", "must be a host name"),
        ("{tenant}.example.com", "must be a host name"),
        ("api.exa%6Dple.com", "must be a host name"),
        (f"{'a' * 64}.example.com", "no host name has more than 63"),
        (".".join(["a" * 60] * 5), "no host name has more than 253"),
        ("192.0.2.300", "not an IPv4 address"),
        ("10.0.0.0/8", "write `10.0.0.0`"),
        ("*.192.0.2.1", "no name is below an address"),
        ("☕.example", "begin with `xn--`"),
        (" api.example.com", "begins or ends with white space"),
        ("api.example.com\u200b", "invisible character U+200B"),
    ],
)
@pytest.mark.parametrize("bound", [False, True])
def test_a_domain_that_no_host_can_match_is_a_mistake_with_its_cure(write, domain, cure, bound):
    entry = {"name": domain, "network": "internet"} if bound else domain
    first, *more = found(write, config(groups={"domains": [entry]}))
    assert "groups[0].domains[0]" in first
    assert cure in first
    assert not more


@pytest.mark.parametrize(
    ("domain", "host"),
    [
        ("API.Example.COM", "api.example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("bu\u0308cher.example", "xn--bcher-kva.example"),
        ("straße.example", "xn--strae-oqa.example"),
        ("例え。テスト", "xn--r8jz45g.xn--zckzah"),
        ("*.bücher.example", "api.xn--bcher-kva.example"),
        ("xn--bcher-kva.example", "XN--BCHER-KVA.example:443"),
        ("my_service.internal", "my_service.internal:8080"),
        ("192.0.2.1", "192.0.2.1:8080"),
        ("[2001:DB8::1]", "[2001:db8::1]:8080"),
        ("*.example.com", "a.b.example.com."),
        ("*", "anything.example"),
    ],
)
def test_a_domain_is_reached_by_the_host_that_its_author_had_in_mind(write, domain, host):
    routes = snapshot(write, config(groups={"domains": [domain]})).gateway.routes
    assert routes.find(canonical_host(host), "GET", "/users").id == "user"


def test_two_spellings_of_one_domain_are_one_domain(write):
    assert "duplicate domain `xn--bcher-kva.example`" in found(
        write, config(groups={"domains": ["bücher.example", "xn--bcher-kva.example"]})
    )[0]  # fmt: skip


@pytest.mark.parametrize("free", ["api.example.com", {"name": "API.example.com", "network": "internet"}])
@pytest.mark.parametrize("tied", [{"network": "vpc"}, {"stage": "TEST"}, {"network": "vpc", "stage": "TEST"}])
def test_a_domain_that_is_tied_in_one_group_is_not_free_in_another(write, free, tied):
    groups = [
        {"id": "web", "domains": [free]},
        {"id": "tied", "domains": [{"name": "api.example.com", **tied}, "free.example.com"]},
    ]
    (only,) = found(write, config(groups=groups))
    assert "groups[1].domains: domain `api.example.com` is tied to" in only
    assert "in group `web`" in only


def test_a_domain_may_be_tied_alike_in_two_groups(write):
    tie = [{"name": "api.example.com", "network": "internet", "stage": "RELEASE"}]
    groups = [{"id": "web", "domains": tie}, {"id": "other", "domains": tie}]
    assert snapshot(write, config(groups=groups)).gateway.apis


@pytest.mark.parametrize("tie", [{"network": "vpc"}, {"stage": "TEST"}])
def test_an_api_that_no_domain_of_its_group_leads_to_is_a_mistake(write, tie):
    (only,) = found(write, config(groups={"domains": [{"name": "api.example.com", **tie}]}))
    assert "apis[0]: no call can reach it" in only
