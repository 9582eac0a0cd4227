"""Serving from the registry: real processes, both databases; what is committed decides checks within a second."""

import base64
import os
import random
import signal
import statistics
import time
from pathlib import Path

import grpc
import pytest

from extauthz.client.signer import Credentials, OutgoingRequest, SigningOptions, sign
from extauthz.registry import apis, apps, codes, credentials, grants
from extauthz.registry.database.reseal import reseal
from extauthz.registry.database.sealing import Sealer, Vault
from extauthz.registry.replica.feed import position_of
from extauthz.registry.text import utc_text
from tests.process.running import CODE, Caller, Running, base_config, eventually, free_ports, status_of
from tests.stores.registry.conftest import MASTER_KEY
from tests.stores.registry.desk import MAPS, SHOP

KEY = "shop-key-0001"
FILE_APP = {"authorization": f"APPCODE {CODE}"}


@pytest.fixture
def start(request, tmp_path):
    """Starts `extauthz serve` over the registry; with two workers, two callers, one for each."""
    started, callers = [], []

    def start(workers=1, wait=True, database=None):
        database = database or request.getfixturevalue("database")
        port, _, operations = free_ports(3)
        config = base_config([{"address": f"127.0.0.1:{port}"}], operations)
        config["apis"].append(
            {**config["apis"][1], "id": "geocode", "path": "/geocode", "auth": {"internet": "appcode"}}
        )
        config["apis"].append(
            {**config["apis"][1], "id": "geosigned", "path": "/geosigned", "auth": {"internet": "digest"}}
        )
        config["replay"] = {"scope": "per_worker"}
        config["registry"] = {"database": database, "master_keys": {"file": "master.keys"}}
        folder = tmp_path / "service"
        folder.mkdir(exist_ok=True)
        write_master_keys(folder, MASTER_KEY)
        arguments = ("--workers", str(workers)) if workers > 1 else ()
        running = Running(folder, config, *arguments)
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
    return code_header(desk.do(lambda tx: codes.create_code(tx, desk.vault, SHOP, "shop-web")).app_code)


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


def test_a_change_of_the_file_keeps_the_registrys_apps_and_the_other_way_round(desk, coded, start):
    running = start()
    before = running.ready()["revision"]
    running.write(running.config | {"grants": []})
    eventually(lambda: running.ready()["revision"] != before)
    assert statuses(running, "/coded", FILE_APP) == [403]
    assert statuses(running, "/geocode", coded) == [200]
    file_revision = running.ready()["revision"].partition("+")[0]
    desk.do(lambda tx: grants.revoke(tx, MAPS, ["shop-web"], ["geocode"], "RELEASE"))
    eventually(lambda: statuses(running, "/geocode", coded) == [403])
    assert running.ready()["revision"].partition("+")[0] == file_revision
    assert f'extauthz_snapshot_info{{revision="{file_revision}"}}' in running.get("/metrics")[1]


def test_signed_calls_of_the_registrys_app_pass_and_a_disabled_app_is_refused(desk, start):
    made = desk.do(lambda tx: credentials.create_key(tx, desk.vault, SHOP, "shop-web", KEY))
    desk.do(lambda tx: apis.register_api(tx, MAPS, "geosigned", "maps"))
    desk.do(lambda tx: grants.grant(tx, MAPS, ["shop-web"], ["geosigned"], "RELEASE"))
    running = start()
    assert statuses(running, "/geosigned", signed(made.app_secret)) == [200]
    assert statuses(running, "/geosigned", signed("wrong")) == [403]
    desk.do(lambda tx: apps.change_app(tx, SHOP, "shop-web", disabled=True))
    eventually(lambda: statuses(running, "/geosigned", signed(made.app_secret)) == [403])
    desk.do(lambda tx: apps.change_app(tx, SHOP, "shop-web", disabled=False))
    eventually(lambda: statuses(running, "/geosigned", signed(made.app_secret)) == [200])
    told = running.get("/metrics")[1] + running.log + str(running.ready())
    assert made.app_secret not in told
    assert base64.b64encode(MASTER_KEY).decode() not in told


class TestFirstStart:
    @pytest.fixture
    def database(self, empty_database):
        return empty_database

    @pytest.mark.parametrize("workers", [1, 2])
    def test_without_database_and_replica_the_registrys_apps_get_503_until_it_is_there(
        self, start, make_desk, database, workers
    ):
        running = start(workers=workers, wait=False)
        eventually(lambda: running.ready().get("registry") or running.ready().get("workers"))
        eventually(lambda: statuses_or_none(running, "/coded", FILE_APP) == [200] * workers, 30)
        assert statuses(running, "/coded", code_header("a-stranger-0001")) == [503] * workers
        assert statuses(running, "/open", {}) == [200] * workers
        status, body = running.get("/readyz")
        assert status == 503, body
        eventually(lambda: "holds no registry" in running.get("/readyz")[1])
        assert 'reason="registry_unavailable"' in running.get("/metrics")[1]
        assert running.metric("extauthz_registry_up") == 0
        desk = make_desk(database)
        desk.do(lambda tx: grants.grant(tx, MAPS, ["shop-web"], ["geocode"], "RELEASE"))
        code = desk.do(lambda tx: codes.create_code(tx, desk.vault, SHOP, "shop-web")).app_code
        running.wait_ready()
        eventually(lambda: statuses(running, "/geocode", code_header(code)) == [200] * workers)
        assert statuses(running, "/coded", code_header("a-stranger-0001")) == [400] * workers
        assert running.metric("extauthz_registry_up") == 1


def statuses_or_none(running, path, headers):
    try:
        return statuses(running, path, headers)
    except grpc.RpcError:
        return None


def test_with_the_database_gone_a_restart_serves_what_was_known(own_postgres, make_desk, start):
    desk = make_desk(own_postgres.url)
    desk.do(lambda tx: grants.grant(tx, MAPS, ["shop-web"], ["geocode"], "RELEASE"))
    coded = code_header(desk.do(lambda tx: codes.create_code(tx, desk.vault, SHOP, "shop-web")).app_code)
    first = start(database=own_postgres.url)
    assert statuses(first, "/geocode", coded) == [200]
    own_postgres.stop(signal.SIGQUIT)
    eventually(lambda: first.metric("extauthz_registry_up") == 0)
    assert statuses(first, "/geocode", coded) == [200]
    assert first.get("/readyz")[0] == 200
    first.stop()
    second = start(database=own_postgres.url)
    assert statuses(second, "/geocode", coded) == [200]
    eventually(lambda: second.ready()["registry"].get("fault"))
    assert second.metric("extauthz_registry_up") == 0
    assert second.metric("extauthz_registry_age_seconds") > 0
    own_postgres.start()
    desk.store.engine.dispose()
    desk.do(lambda tx: grants.revoke(tx, MAPS, ["shop-web"], ["geocode"], "RELEASE"))
    eventually(lambda: statuses(second, "/geocode", coded) == [403])
    eventually(lambda: second.metric("extauthz_registry_up") == 1)
    assert second.log.count("read whole") == 1


def test_a_replicator_that_is_killed_is_replaced_and_nothing_is_missed(desk, coded, start):
    running = start(workers=2)
    for act, wanted in ((grants.revoke, 403), (grants.grant, 200)):
        os.kill(replicator_of(running), signal.SIGKILL)
        desk.do(lambda tx, act=act: act(tx, MAPS, ["shop-web"], ["geocode"], "RELEASE"))
        eventually(lambda wanted=wanted: statuses(running, "/geocode", coded) == [wanted, wanted])
    assert running.log.count("the replicator ended") == 2
    running.stop()
    assert not Path(f"/proc/{running.process.pid}").exists()


def replicator_of(running):
    def find():
        for child in Path(f"/proc/{running.process.pid}/task").glob("*/children"):
            for pid in child.read_text().split():
                if b"extauthz.registry.replica.replicator" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    return int(pid)
        return None

    return eventually(find)


def test_an_app_that_stands_in_both_places_is_the_files_and_is_told_of(desk, start):
    running = start()
    assert running.metric("extauthz_registry_conflicts") == 0
    desk.do(lambda tx: apps.create_app(tx, SHOP, "app", "shop", "Same id"))
    code = desk.do(lambda tx: codes.create_code(tx, desk.vault, SHOP, "app")).app_code
    eventually(lambda: running.metric("extauthz_registry_conflicts") == 1)
    assert running.ready()["registry"]["also_in_the_file"] == ["app"]
    assert statuses(running, "/coded", code_header(code)) == [400]
    assert statuses(running, "/coded", FILE_APP) == [200]
    desk.do(lambda tx: apps.delete_app(tx, SHOP, "app"))
    eventually(lambda: running.metric("extauthz_registry_conflicts") == 0)


def test_master_keys_rotate_without_a_restart(desk, sealer, start):
    newer = bytes(range(1, 33))
    made = desk.do(lambda tx: credentials.create_key(tx, desk.vault, SHOP, "shop-web", KEY))
    desk.do(lambda tx: apis.register_api(tx, MAPS, "geosigned", "maps"))
    desk.do(lambda tx: grants.grant(tx, MAPS, ["shop-web"], ["geosigned"], "RELEASE"))
    running = start(workers=2)
    assert statuses(running, "/geosigned", signed(made.app_secret)) == [200, 200]
    write_master_keys(running.file.parent, newer, MASTER_KEY)
    eventually(lambda: running.metric('extauthz_reloads_total{result="success"}') == 1)
    reseal(desk.store, Sealer([newer, MASTER_KEY]))
    write_master_keys(running.file.parent, newer)
    eventually(lambda: running.metric('extauthz_reloads_total{result="success"}') == 2)
    vault = Vault(Sealer([newer]), hash_key_of(desk.store))
    second = desk.do(lambda tx: credentials.rotate_key(tx, vault, SHOP, KEY))
    eventually(lambda: statuses(running, "/geosigned", signed(second.app_secret)) == [200, 200])
    assert running.metric("extauthz_registry_unreadable_keys") == 0


def hash_key_of(store):
    with store.reading() as view:
        return position_of(view).sealed_hash_key


def test_who_lists_keys_sees_when_each_secret_was_last_used(desk, start):
    first = desk.do(lambda tx: credentials.create_key(tx, desk.vault, SHOP, "shop-web", KEY))
    code = desk.do(lambda tx: codes.create_code(tx, desk.vault, SHOP, "shop-web"))
    for api in ("geosigned", "geocode"):
        desk.do(lambda tx, api=api: apis.register_api(tx, MAPS, api, "maps") if api == "geosigned" else None)
        desk.do(lambda tx, api=api: grants.grant(tx, MAPS, ["shop-web"], [api], "RELEASE"))
    running = start()
    began = now_text()
    assert statuses(running, "/geosigned", signed(first.app_secret)) == [200]
    second = desk.do(lambda tx: credentials.rotate_key(tx, desk.vault, SHOP, KEY, 600_000))
    eventually(lambda: statuses(running, "/geosigned", signed(second.app_secret)) == [200])
    assert statuses(running, "/geosigned", signed(first.app_secret)) == [200], "both secrets are valid"
    assert statuses(running, "/geosigned", signed("another")) == [403]
    assert statuses(running, "/geocode", code_header(code.app_code)) == [200]
    assert statuses(running, "/coded", FILE_APP) == [200]
    running.stop()  # hands on what was noted within the last minute ...
    again = start()  # ... to whoever writes the replica next
    eventually(lambda: len(desk.everything()["last_uses"]) == 3)
    (key,) = desk.see(credentials.list_keys, SHOP, "shop-web")
    assert began <= key.last_used <= now_text()
    assert began <= key.previous_last_used <= now_text()
    assert desk.see(codes.list_codes, SHOP, "shop-web")[0].last_used >= began
    assert {row[3] for row in desk.everything()["last_uses"]} == {"internet"}
    again.stop()


def now_text():
    return utc_text(time.time_ns() // 1_000_000)


def test_a_worker_that_is_killed_is_replaced_by_one_that_decides_by_what_is_committed(desk, coded, start):
    running = start(workers=2)
    assert statuses(running, "/geocode", coded) == [200, 200]
    for act, wanted in ((grants.revoke, 403), (grants.grant, 200)):
        killed = running.ready()["workers"][0]["pid"]
        os.kill(killed, signal.SIGKILL)
        desk.do(lambda tx, act=act: act(tx, MAPS, ["shop-web"], ["geocode"], "RELEASE"))
        eventually(lambda wanted=wanted: statuses_or_none(running, "/geocode", coded) == [wanted, wanted], 30)
        assert killed not in [worker["pid"] for worker in running.ready()["workers"]]
