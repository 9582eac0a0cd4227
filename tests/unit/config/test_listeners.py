"""Addresses that cannot be listened on are found before the start: no such port, or taken by another listener."""

import pytest

from extauthz.config import load
from tests.unit.config.writing import GOOD, mistakes


@pytest.mark.parametrize("address", ["127.0.0.1:65536", "127.0.0.1:0", "[::1]:99999", "localhost:70000", "127.0.0.1"])
@pytest.mark.parametrize("key", ["listen[0].address", "operations"])
def test_a_port_that_does_not_exist_is_refused_before_the_start(write, key, address):
    listen, operations = (address, "127.0.0.1:9901") if key != "operations" else ("127.0.0.1:9191", address)
    file = write(f"operations: '{operations}'\nlisten: [{{address: '{listen}'}}]\n")
    places, text = mistakes(file)
    assert places == [(1 if key == "operations" else 2, key)]
    assert "must be host:port such as 127.0.0.1:9191" in text
    assert "a port from 1 to 65535" in text


def test_every_port_that_exists_is_taken(write):
    for port in (1, 80, 9999, 10000, 59999, 60000, 64999, 65000, 65499, 65500, 65529, 65530, 65535):
        assert load(write(GOOD.replace("9191", str(port)))).file.listen[0].address == f"127.0.0.1:{port}"


def test_the_operations_port_is_no_unix_socket(write):
    places, _ = mistakes(write(GOOD + "operations: unix:/run/extauthz/operations.sock\n"))
    assert places == [(11, "operations")]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("127.0.0.1:9191", "127.0.0.1:9191"),
        ("127.0.0.1:9191", "localhost:9191"),
        ("0.0.0.0:9191", "127.0.0.1:9191"),
        ("[::1]:9191", "[::]:9191"),
        ("[::]:9191", "0.0.0.0:9191"),
        ("unix:/run/x.sock", "unix:/run/x.sock"),
    ],
)
def test_two_listeners_on_one_address_are_found_before_the_start(write, first, second):
    listen = f"listen:\n- {{address: '{first}', insecure: true}}\n- {{address: '{second}', insecure: true}}\n"
    places, text = mistakes(write(listen))
    assert places == [(3, "listen[1].address")]
    assert f"`listen[0]` takes {first} already; write another address or port" in text


def test_a_listener_on_the_operations_port_is_found_before_the_start(write):
    for operations, who in (
        ("operations: 127.0.0.1:9901\n", "`operations` takes"),
        ("", "`operations` by default takes"),
    ):
        places, text = mistakes(write(f"{operations}listen: [{{address: '127.0.0.1:9901'}}]\n"))
        assert places == [(1 + bool(operations), "listen[0].address")]
        assert f"{who} 127.0.0.1:9901 already" in text


def test_listeners_that_differ_in_port_address_or_ip_version_stand_side_by_side(write):
    addresses = ["127.0.0.1:9191", "127.0.0.2:9191", "[::1]:9191", "127.0.0.1:9192", "0.0.0.0:9193", "[::1]:9193",
                 "unix:/run/x.sock", "unix:/run/y.sock"]  # fmt: skip
    assert len(load(write({"listen": [{"address": one, "insecure": True} for one in addresses]})).file.listen) == 8
