"""A revocation through the admin API is refused at a real Envoy within a second, by every worker, under steady load.

Five trials a database here; ``make trials`` runs a hundred and prints what they took.
"""

import http.client
import json
import logging
import os
import statistics
import subprocess
import threading
import time
import urllib.request
from pathlib import Path

import httpx
import pytest
import yaml

from demo.stack import envoy_binary
from extauthz.registry import apps, codes, grants, tokens
from tests.process.running import Running, eventually, free_ports
from tests.stores.admin.live import MASTER_KEY_TEXT, AdminProcess
from tests.stores.registry.desk import ADMIN, MAPS, SHOP

_log = logging.getLogger("trials")
TRIALS = int(os.environ.get("TRIALS", "5"))
WORKERS = 2
LOAD_S = 100
"""Calls a second beside those of the trial."""
IN_A_ROW = 3 * WORKERS
"""Answers that say the same, after which both workers have been asked: Envoy asks them in turn."""


def bootstrap(listener: int, admin: int, workers: list[int]) -> dict:
    """One listener, which answers 200 by itself where the service allows."""
    at = "{address: 127.0.0.1, port_value: %d}"
    types = "type.googleapis.com/envoy.extensions"
    return yaml.safe_load(f"""
admin: {{address: {{socket_address: {at % admin}}}}}
static_resources:
  listeners:
  - name: trial
    address: {{socket_address: {at % listener}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": {types}.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: trial
          route_config:
            virtual_hosts:
            - {{name: all, domains: ["*"], routes: [{{match: {{prefix: /}}, direct_response: {{status: 200}}}}]}}
          http_filters:
          - name: envoy.filters.http.ext_authz
            typed_config:
              "@type": {types}.filters.http.ext_authz.v3.ExtAuthz
              grpc_service: {{envoy_grpc: {{cluster_name: extauthz}}, timeout: 5s}}
              transport_api_version: V3
          - name: envoy.filters.http.router
            typed_config: {{"@type": {types}.filters.http.router.v3.Router}}
  clusters:
  - name: extauthz
    type: STATIC
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": {types}.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {{http2_protocol_options: {{}}}}
    load_assignment:
      cluster_name: extauthz
      endpoints:
      - lb_endpoints: [{", ".join(f"{{endpoint: {{address: {{socket_address: {at % port}}}}}}}" for port in workers)}]
""")


class Trials:
    """A real Envoy before two workers, and calls through it."""

    running: Running

    def __init__(self, folder: Path, workers: list[int]) -> None:
        self._listener, self._admin = free_ports(2)
        file = folder / "envoy.json"
        file.write_text(json.dumps(bootstrap(self._listener, self._admin, workers)))
        command = [envoy_binary(), "-c", str(file), "--concurrency", "1", "--use-dynamic-base-id", "-l", "error"]
        self.log = folder / "envoy.log"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        self._connection = http.client.HTTPConnection("127.0.0.1", self._listener, timeout=20)

    def call(self, code: str, connection: http.client.HTTPConnection | None = None) -> int:
        """The status of one call of an app."""
        connection = connection or self._connection
        connection.request("GET", "/geocode", headers={"Authorization": f"APPCODE {code}"})
        answer = connection.getresponse()
        answer.read()
        return answer.status

    def is_up(self) -> bool:
        assert self._process.poll() is None, self.log.read_text()
        try:
            return self.call("nobody-0001") == 400
        except OSError:
            self._connection.close()
            return False

    def last(self, code: str, status: int) -> float:
        """When the last call began that got this status, before none of ``IN_A_ROW`` did; monotonic seconds."""
        last_s, others = 0.0, 0
        while others < IN_A_ROW:
            begun_s = time.monotonic()
            if self.call(code) == status:
                last_s, others = begun_s, 0
            else:
                others += 1
        return last_s

    def load(self, code: str, stopping: threading.Event, seen: list[int]) -> None:
        """Call steadily until told to stop."""
        connection = http.client.HTTPConnection("127.0.0.1", self._listener, timeout=20)
        while not stopping.wait(1 / LOAD_S):
            seen.append(self.call(code, connection))
        connection.close()

    def asked(self) -> list[int]:
        """How many checks each worker answered."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._admin}/clusters", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        return [int(line.rpartition("::")[2]) for line in lines if "::rq_success::" in line]

    def stop(self) -> None:
        self._connection.close()
        self._process.terminate()
        self._process.wait(20)


@pytest.fixture
def trials(tmp_path, database):
    port, _, operations = free_ports(3)
    config = {
        "listen": [{"address": f"127.0.0.1:{port}"}],
        "operations": f"127.0.0.1:{operations}",
        "decision_log": {"destination": "none"},
        "replay": {"scope": "per_worker"},
        "registry": {"database": database, "master_keys": {"file": "master.keys"}},
        "groups": [{"id": "g", "domains": ["*"]}],
        "apis": [
            {"id": "geocode", "group": "g", "methods": ["GET"], "path": "/geocode", "auth": {"internet": "appcode"}}
        ],
    }
    folder = tmp_path / "service"
    folder.mkdir()
    (folder / "master.keys").write_text(MASTER_KEY_TEXT)
    running = Running(folder, config, "--workers", str(WORKERS))
    made = None
    try:
        eventually(lambda: len([one for one in running.ready().get("workers", []) if one.get("ready")]) == WORKERS, 90)
        made = Trials(tmp_path, [port + number for number in range(WORKERS)])
        eventually(made.is_up, 60)
        made.running = running
        yield made
    finally:
        if made is not None:
            made.stop()
        running.stop()


@pytest.mark.timeout(300 + 10 * TRIALS)
def test_a_revocation_through_the_api_is_refused_at_envoy_within_a_second(
    desk, database, tmp_path, trials, record_property
):
    desk.do(lambda tx: apps.create_app(tx, SHOP, "shop-load", "shop", "Steady load"))
    desk.do(lambda tx: grants.grant(tx, MAPS, ["shop-load"], ["geocode"], "RELEASE"))
    load, tried = (
        desk.do(lambda tx, app=app: codes.create_code(tx, desk.vault, SHOP, app)).app_code
        for app in ("shop-load", "shop-web")
    )
    token = desk.do(lambda tx: tokens.create_token(tx, desk.vault, ADMIN, "ops team", ADMIN.role, None)).value
    secrets = [load, tried, token, MASTER_KEY_TEXT]
    admin = AdminProcess(tmp_path, database).start()
    eventually(lambda: trials.last(load, 400) == 0)
    stopping, seen, took_s = threading.Event(), [], []
    loading = threading.Thread(target=trials.load, args=(load, stopping, seen))
    loading.start()
    try:
        with httpx.Client(base_url=admin.url, headers={"Authorization": f"Bearer {token}"}, timeout=30) as api:
            secrets.append(api.post("/v1/apps/shop-web/keys").json()["app_secret"])
            secrets.append(api.post("/v1/apps/shop-web/codes").json()["app_code"])
            for _ in range(TRIALS):
                granted = api.post("/v1/grants", json={"apps": ["shop-web"], "apis": ["geocode"]})
                assert granted.status_code in (200, 201), granted.text
                trials.last(tried, 403)
                revoked = api.delete("/v1/grants/shop-web/geocode/RELEASE")
                answered_s = time.monotonic()
                assert revoked.status_code in (200, 204), revoked.text
                took_s.append(max(0.0, trials.last(tried, 200) - answered_s))
        told_of = admin.log.read_text() + trials.running.log + trials.running.get("/metrics")[1]
        told_of += trials.log.read_text() + str(trials.running.ready()) + repr(desk.everything())
        assert len(told_of) > 5_000
        assert [secret for secret in secrets if secret in told_of] == [], "no log, metric or row holds one in clear"
    finally:
        stopping.set()
        loading.join()
        admin.stop()
    told = f"{TRIALS} trials: median {statistics.median(took_s):.3f} s, worst {max(took_s):.3f} s"
    told += f", {len(seen)} calls beside them, load average {os.getloadavg()[0]:.0f}"
    record_property("revocations", told)
    _log.info(told)
    assert sum(took < 1.0 for took in took_s) == TRIALS, f"{told}: {sorted(took_s)[-5:]}"
    assert set(seen) == {200}, "nobody else noticed anything"
    assert len(trials.asked()) == WORKERS
    assert min(trials.asked()) > TRIALS, "both workers were asked"
