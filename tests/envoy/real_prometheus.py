"""Every panel and every alert, asked of a real Prometheus that scrapes services and an Envoy with traffic on them.

On demand: `make prometheus` runs it, and says what is missing.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import trustme
import yaml

from demo.stack import ROOT
from tests.deploy.promql import selectors
from tests.gateway import Gateway, patient_bootstrap, running_gateway, shipped_config, signed_headers
from tests.process.keys.key_server import KeyServer
from tests.process.running import CODE, Caller, Running, base_config, eventually, free_ports
from tests.process.running import signed_headers as signed_for_service
from tests.process.transport.test_tls import write_pair
from tests.stores.redis_server import RedisServer

PROMETHEUS = shutil.which("prometheus")
pytestmark = pytest.mark.timeout(400)
NOT_HERE = {
    "overloaded": "needs more load than a test may make",
    "other": "needs more than 20 000 APIs",
}
"""Label values that no traffic of this test makes; their expressions are asked all the same."""


class Scraper:
    """A Prometheus with the alerts that we ship."""

    def __init__(self, folder: Path, targets: dict[str, list[str]], metrics_path: dict[str, str]) -> None:
        assert PROMETHEUS
        self.port = free_ports(1)[0]
        rules = yaml.safe_load((ROOT / "deploy" / "prometheus-alerts.yaml").read_text())
        for group in rules["groups"]:
            group["interval"] = "1s"
        (folder / "alerts.yaml").write_text(yaml.safe_dump(rules))
        jobs = [
            {"job_name": job, "metrics_path": metrics_path[job], "static_configs": [{"targets": where}]}
            for job, where in targets.items()
        ]
        config = {"global": {"scrape_interval": "1s"}, "rule_files": ["alerts.yaml"], "scrape_configs": jobs}
        (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
        self._log = (folder / "prometheus.log").open("wb")
        self._process = subprocess.Popen(
            [PROMETHEUS, "--config.file=prometheus.yaml", "--storage.tsdb.path=data",
             f"--web.listen-address=127.0.0.1:{self.port}"],
            cwd=folder, stdout=self._log, stderr=subprocess.STDOUT,
        )  # fmt: skip
        eventually(self._is_ready, 30)

    def _is_ready(self) -> bool:
        assert self._process.poll() is None
        try:
            return bool(self.get("/api/v1/status/buildinfo"))
        except OSError:
            return False

    def get(self, path: str, **query: str) -> Any:
        url = f"http://127.0.0.1:{self.port}{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.loads(answer.read())["data"]

    def ask(self, expression: str) -> list[Any]:
        found = self.get("/api/v1/query", query=expression)["result"]
        assert isinstance(found, list)
        return found

    def alerts(self) -> dict[str, str]:
        """State by name of the alerts that are pending or firing."""
        return {one["labels"]["alertname"]: one["state"] for one in self.get("/api/v1/alerts")["alerts"]}

    def rules(self) -> list[dict[str, Any]]:
        return [rule for group in self.get("/api/v1/rules")["groups"] for rule in group["rules"]]

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(20)
        self._log.close()


def shared_service(folder: Path, redis: RedisServer, keys: KeyServer) -> dict[str, Any]:
    """Two workers with whatever a service alone does not have: Redis, a registry, TLS, keys of a provider."""
    first, _, second, _, operations = free_ports(5)
    write_pair(trustme.CA(), folder)
    plain, tls = f"127.0.0.1:{first}", f"127.0.0.1:{second}"
    config = base_config(
        [
            {"address": plain},
            {"address": tls, "tls": {"cert": str(folder / "tls.crt"), "key": str(folder / "tls.key")}},
        ],
        operations,
    )
    config["replay"] = {"redis": {"url": redis.url}}
    config["registry"] = {"database": f"sqlite:///{folder}/registry.db", "unsealed": True}
    config["decision_log"] = {"destination": {"file": str(folder / "decisions.jsonl")}}
    remote = {"jwks_uri": f"http://127.0.0.1:{keys.port}/keys", "allow_http": True, "allow_private_addresses": True}
    config["plugins"] = [{"id": "login", "type": "jwt", "remote_keys": remote}]
    config["apis"] += [
        {"id": "web", "group": "g", "methods": ["GET"], "path": "/web", "auth": {"internet": "jwt"},
         "plugins": ["login"]},
        {"id": "lenient", "group": "g", "methods": ["GET"], "path": "/lenient", "auth": {"internet": "digest"},
         "replay_outage": "allow"},
    ]  # fmt: skip
    config["grants"][0]["apis"].append("lenient")
    config["grants"][0]["until"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3 * 86_400))
    return config


@contextmanager
def both(folder: Path) -> Iterator[tuple[Gateway, Running, RedisServer]]:
    """A gateway whose service is alone, and a service of two workers with everything else."""
    config = shipped_config()
    config["replay"] = {"capacity": 4}
    config["digest"] = {"strict": "warn"}
    keys = KeyServer()
    (folder / "gateway").mkdir()
    (folder / "service").mkdir()
    redis = RedisServer(folder)
    with keys.running(), running_gateway(folder / "gateway", patient_bootstrap(), config) as gateway:
        public = (folder / "gateway" / "jwt-public.jwks").read_bytes()
        keys.replies["/keys"] = (200, {"Content-Type": "application/json"}, public)
        shared = shared_service(folder / "service", redis, keys)
        (folder / "service" / "extauthz.yaml").write_text(yaml.safe_dump(shared))
        command = ["registry", "migrate", "--config", str(folder / "service" / "extauthz.yaml")]
        subprocess.run([sys.executable, "-m", "extauthz", *command], check=True, capture_output=True)
        running = Running(folder / "service", shared, "--workers", "2")
        try:
            yield gateway, running.wait_ready(), redis
        finally:
            running.stop()
            redis.stop()


def traffic(gateway: Gateway, caller: Caller, turn: int) -> None:
    """One of everything."""
    signed = signed_headers("GET", "/v1/orders")
    for headers in (signed, signed, [], signed_headers("GET", "/v1/orders", secret="another-secret-00001"),
                    [("Authorization", "APPCODE demo-app-code-0001")]):  # fmt: skip
        gateway.call("GET", "/v1/orders", headers)
    gateway.call("GET", "/internal/report", [("Authorization", "APPCODE demo-app-code-0001")], network="vpc")
    gateway.call("GET", "/v1/orders", signed_headers("GET", "/v1/orders", nonce=""))
    once = signed_for_service("/signed", f"n-{turn}")
    for path, headers in (("/signed", once), ("/signed", once), ("/open", {}), ("/web", {}),
                          ("/coded", {"authorization": f"APPCODE {CODE}"}),
                          ("/lenient", signed_for_service("/lenient", f"l-{turn}"))):  # fmt: skip
        caller.check(path, headers, stream_id=f"{turn}-{path}-{time.monotonic_ns()}")


def asked(expression: str, instances: str = ".*") -> str:
    """An expression as Grafana would send it."""
    return (
        expression.replace("$__rate_interval", "20s").replace("$instance", instances).replace("$envoy", instances)
    )  # fmt: skip


def without_threshold(expression: str) -> str:
    """What an alert looks at, whatever it is by now: the left side of its comparison."""
    tree = promql_parser.parse(expression)
    while isinstance(tree, promql_parser.BinaryExpr) and str(tree.op) in (">", "<", "==", "and"):
        tree = tree.lhs
    return tree.prettify()


def is_made_here(expression: str) -> bool:
    wanted = {matcher.value for one in selectors(promql_parser.parse(expression)) for matcher in one.matchers.matchers}
    return not wanted & set(NOT_HERE)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Scraper, Callable[[str], None], RedisServer]]:
    folder: Path = tmp_path_factory.mktemp("watched")
    with both(folder) as (gateway, service, redis):
        (folder / "prometheus").mkdir()
        targets = {
            "extauthz": [f"127.0.0.1:{gateway.stack.ports.operations}", service.config["operations"]],
            "envoy": [f"127.0.0.1:{gateway.stack.ports.envoy_admin}"],
        }
        scraper = Scraper(folder / "prometheus", targets, {"extauthz": "/metrics", "envoy": "/stats/prometheus"})
        caller = Caller(service.config["listen"][0]["address"])
        turns = iter(range(10_000))

        def go_on(until: str) -> None:
            """Traffic until an expression has data."""
            eventually(lambda: (traffic(gateway, caller, next(turns)), scraper.ask(until))[1], 60)

        try:
            # What only happens once: a worker that dies, a setting that waits for a restart.
            os.kill(service.ready()["workers"][1]["pid"], signal.SIGKILL)  # the other one answers the calls
            service.write(service.config | {"limits": {"in_flight": 400}})
            go_on("extauthz_restart_needed == 1")
            go_on("sum(extauthz_workers_replaced_total) > 0")
            deadline = time.monotonic() + 8
            while time.monotonic() < deadline:
                go_on("vector(1)")
            yield scraper, go_on, redis
        finally:
            caller.close()
            scraper.stop()


def panels() -> list[tuple[str, str]]:
    dashboard = json.loads((ROOT / "deploy" / "grafana-dashboard.json").read_text())
    return [(one["title"], target["expr"]) for one in dashboard["panels"] for target in one.get("targets", ())]


def test_every_expression_of_the_dashboard_returns_data(seen):
    scraper, _, _ = seen
    empty = [(title, expression) for title, expression in panels()
             if not scraper.ask(asked(expression)) and is_made_here(asked(expression))]  # fmt: skip
    assert empty == []


def test_a_prometheus_takes_every_alert_and_each_looks_at_something_that_is_there(seen):
    scraper, _, _ = seen
    rules = scraper.rules()
    assert {rule["name"] for rule in rules if rule["health"] == "err"} == set()
    empty = []
    for rule in rules:
        looked_at = without_threshold(rule["query"])
        if rule["name"] == "ExtauthzGone":
            assert scraper.ask(rule["query"]) == []
        elif not scraper.ask(looked_at) and is_made_here(looked_at):
            empty.append((rule["name"], looked_at))
    # Reasons that only an outage makes; the next test makes one.
    assert {name for name, _ in empty} <= {"ExtauthzFailing", "ExtauthzPassesUnchecked", "ExtauthzDenialsUnusual"}


def test_an_outage_of_the_shared_store_makes_its_alerts_fire(seen):
    scraper, go_on, redis = seen
    redis.stop()
    go_on('extauthz_checks_total{reason="replay_unchecked"} > 0')
    go_on("extauthz_replay_store_up == 0")
    wanted = {"ExtauthzReplayStoreDown", "ExtauthzPassesUnchecked", "ExtauthzFailing"}

    def shown() -> bool:
        go_on("vector(1)")
        return wanted <= set(scraper.alerts())

    eventually(shown, 60)
