"""Serving from the registry: real processes, both databases; what is committed decides checks within a second."""

import random
import statistics
import time
from pathlib import Path

import pytest
from tests.unit.serve.running import CODE, Caller, Running, base_config, free_ports, status_of

from extauthz.client.signer import Credentials, OutgoingRequest, SigningOptions, sign
from extauthz.registry import credentials, grants
from tests.stores.registry.conftest import MASTER_KEY
from tests.stores.registry.desk import MAPS, SHOP

KEY = "shop-key-0001"
FILE_APP = {"authorization": f"APPCODE {CODE}"}


@pytest.fixture
def start(tmp_path, database):
    """Starts `extauthz serve` over the registry; with two workers, two callers, one for each."""
    started, callers = [], []

    def start(workers=1, wait=True, folder="service", **registry):
        port, _, operations = free_ports(3)
        config = base_config([{"address": f"127.0.0.1:{port}"}], operations)
        config["apis"].append(
            {**config["apis"][1], "id": "geocode", "path": "/geocode", "auth": {"internet": "appcode"}}
        )
        config["apis"].append(
            {**config["apis"][1], "id": "geosigned", "path": "/geosigned", "auth": {"internet": "digest"}}
        )
        config["replay"] = {"scope": "per_worker"}
        config["registry"] = {"database": database, "master_keys": {"file": "master.keys"}, **registry}
        (tmp_path / folder).mkdir(exist_ok=True)
        write_master_keys(tmp_path / folder, MASTER_KEY)
        arguments = ("--workers", str(workers)) if workers > 1 else ()
        running = Running(tmp_path / folder, config, *arguments)
        started.append(running)
        if wait:
            running.wait_ready()
        running.callers = [Caller(f"127.0.0.1:{port + index}") for index in range(workers)]
        callers.extend(running.callers)
        return running

    yield start
    for caller in callers:
        caller.close()
    for running in started:
        running.stop()


def write_master_keys(folder: Path, *keys: bytes) -> None:
    import base64

    (folder / "master.keys").write_text("".join(base64.b64encode(key).decode() + "\n" for key in keys))


def code_header(code):
    return {"authorization": f"APPCODE {code}"}


def signed(secret, path="/geosigned"):
    headers = sign(OutgoingRequest("GET", path), Credentials(KEY, secret), SigningOptions(nonce=f"{random.random()}"))
    return {name.lower(): value for name, value in headers.items()}


@pytest.fixture
def coded(desk):
    """The code of an app of the registry that was granted API `geocode`."""
    desk.do(lambda tx: grants.grant(tx, MAPS, ["shop-web"], ["geocode"], "RELEASE"))
    return code_header(desk.do(lambda tx: credentials.create_code(tx, desk.vault, SHOP, "shop-web")).app_code)


def statuses(running, path, headers):
    return [status_of(caller.check(path, headers)) for caller in running.callers]


def test_a_grant_and_its_revocation_decide_every_worker_within_a_second(desk, coded, start):
    running = start(workers=2)
    assert statuses(running, "/geocode", coded) == [200, 200]
    assert statuses(running, "/coded", FILE_APP) == [200, 200]
    waited = []
    for _ in range(10):
        for act, wanted in ((grants.revoke, 403), (grants.grant, 200)):
            desk.do(lambda tx, act=act: act(tx, MAPS, ["shop-web"], ["geocode"], "RELEASE"))
            committed_s = time.monotonic()
            while statuses(running, "/geocode", coded) != [wanted, wanted]:
                assert time.monotonic() < committed_s + 10
            waited.append(time.monotonic() - committed_s)
    assert max(waited) < 1.0, f"median {statistics.median(waited):.3f} s, worst {max(waited):.3f} s"
