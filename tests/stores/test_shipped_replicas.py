"""The configuration that deploy/kubernetes ships: replicas of one mind about what was used, across restarts too."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from extauthz.client.signer import Credentials, OutgoingRequest, SigningOptions, sign
from extauthz.wire.generated import ext_authz_pb2 as pb
from tests.deploy.test_manifests import mounted_files, the
from tests.process.running import Caller, Running, eventually, free_ports, status_of
from tests.stores.redis_server import RedisServer
from tests.transports import EVERY_TRANSPORT

PATH = "/v1/orders"


class ShippedStore(RedisServer):
    """The server with the shipped configuration and users; only places differ."""

    def __init__(self, folder: Path) -> None:
        self.file, users = folder / "valkey.conf", folder / "users.acl"
        self.file.write_text(the("ConfigMap", "extauthz-nonces")["data"]["valkey.conf"])
        users.write_text(the("Secret", "extauthz-nonces")["stringData"]["users.acl"])
        super().__init__(folder, "--aclfile", str(users))

    def _command_line(self) -> list[str]:
        binary, *options = super()._command_line()
        return [binary, str(self.file), *options]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ShippedStore]:
    server = ShippedStore(tmp_path)
    yield server
    server.stop()


def shipped(transport: str) -> dict[str, Any]:
    """The ConfigMap's configuration, listening where it is free."""
    config: dict[str, Any] = yaml.safe_load(the("ConfigMap")["data"]["extauthz.yaml"])
    *ports, operations = free_ports(len(config["listen"]) + 1)
    for listen, port in zip(config["listen"], ports, strict=True):
        listen["address"] = f"127.0.0.1:{port}"
    changes = {"operations": f"127.0.0.1:{operations}", "drain": 0, "decision_log": {"destination": "none"}}
    return config | changes | {"transport": transport}


def start(serve: Callable[..., Running], config: dict[str, Any], store: ShippedStore) -> Running:
    for name, content in mounted_files().items():
        content = content.replace("extauthz-nonces:6379", f"127.0.0.1:{store.port}")
        (store.file.parent / name).write_text(content)
    config = yaml.safe_load(yaml.safe_dump(config).replace("file: ", f"file: {store.file.parent}/"))
    arguments = the("Deployment")["spec"]["template"]["spec"]["containers"][0]["args"]
    return serve(config, *arguments[arguments.index("--replicas") :])


def ask(caller: Caller, headers: dict[str, str], stream_id: str) -> int:
    request = pb.CheckRequest()
    http = request.attributes.request.http
    http.id, http.method, http.path, http.host, http.scheme = stream_id, "GET", PATH, "api.example.com", "https"
    http.headers.update(headers)
    return status_of(caller.raw(request.SerializeToString()))


def signed(nonce: str) -> dict[str, str]:
    credentials = Credentials("partner-key-0001", mounted_files()["partner-app-secret"])
    headers = sign(OutgoingRequest("GET", PATH), credentials, SigningOptions(nonce=nonce))
    return {name.lower(): value for name, value in headers.items()}


@EVERY_TRANSPORT
def test_three_replicas_of_the_shipped_configuration_refuse_a_replayed_call(store, serve, call, transport):
    configs = [shipped(transport) for _ in range(3)]
    replicas = [start(serve, config, store) for config in configs]
    callers = [call(config["listen"][0]["address"]) for config in configs]
    for number in range(9):
        headers = signed(f"n-{number}")
        first, *others = [(number + place) % 3 for place in range(3)]
        assert ask(callers[first], headers, "first") == 200
        assert [ask(callers[one], headers, f"replay-{one}") for one in (*others, first)] == [403] * 3

    overheard = signed("overheard")
    assert ask(callers[0], overheard, "first") == 200
    replicas[0].stop()
    start(serve, configs[0], store)
    assert ask(call(configs[0]["listen"][0]["address"]), overheard, "after a restart of the replica") == 403

    time.sleep(1.1)  # appendfsync everysec
    store.stop()
    store.start()
    eventually(lambda: ask(callers[1], signed(f"again-{time.monotonic()}"), "s") == 200)
    assert ask(callers[1], overheard, "after a restart of the store") == 403


def test_the_store_lets_nobody_else_in_and_lets_us_do_no_more_than_we_need(store):
    assert b"NOAUTH" in store.command("GET", "extauthz:x")
    assert b"NOAUTH" in store.command("PING")
    _, _, password = mounted_files()["redis-url"].partition("redis://extauthz:")
    password = password.partition("@")[0]
    import redis

    with redis.Redis(port=store.port, username="extauthz", password=password) as client:
        client.set("extauthz:x", "1", nx=True, px=60_000)
        for refused in (client.flushall, lambda: client.get("other"), lambda: client.config_get("*"), client.keys):
            with pytest.raises(redis.exceptions.NoPermissionError):
                refused()
