"""What we ship for the platforms, before the real Envoy: bootstraps, patches, dashboard and alert rules."""

import json
import re
import socket
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
import yaml
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from demo.keys import make_keys
from demo.stack import ROOT, Stack, envoy_binary, free_ports
from extauthz.client.httpx_auth import SignedAuth
from extauthz.client.signer import Credentials
from extauthz.config.schema import ConfigFile
from extauthz.config.sections.listen.certificates import Tls
from extauthz.domain.decision import OneTimeKind, OneTimeUse
from extauthz.domain.reason import NONCE_USED
from extauthz.envoy.doctor import Documents, ServiceFacts, examine, facts_from
from extauthz.envoy.doctor.tree import merged
from extauthz.registry.replica.folder import ReplicaFolder, Status
from extauthz.registry.replica.reading import Absent
from extauthz.replay.memory import MemoryReplayStore
from extauthz.replay.metrics import MemoryStoreMetrics, RedisStoreMetrics
from extauthz.replay.redis_client import RedisAddress
from extauthz.replay.redis_store import RedisReplayStore
from extauthz.serve.metrics import ReloadMetrics, WorkerMetrics
from extauthz.serve.registry_metrics import RegistryMetrics
from extauthz.serve.reload import ReloadStatus
from extauthz.transport.tls import CertificateMetrics, Certificates
from tests.deploy.promql import grouped, parse, selectors
from tests.process.transport.test_tls import write_pair
from tests.unit.envoy.doctor.seeds import cluster, ext_authz, good, host, manager

BOOTSTRAPS = [file for file in sorted((ROOT / "envoy").glob("*.yaml")) if "static_resources:" in file.read_text()]
SCRAPE_LABELS = {"instance", "job", "le", "http_conn_manager_prefix"}
"""What scraping adds; the last one stands for `envoy_http_conn_manager_prefix` where Istio configured the tags."""


def validate(file: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Have Envoy check a bootstrap; relative paths in it are below ``folder``."""
    (folder / ".demo").mkdir(exist_ok=True)  # where the demo's Envoy logs
    command = [envoy_binary(), "--mode", "validate", "-c", str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)


def validate_documents(folder: Path, documents: list[Any]) -> subprocess.CompletedProcess[str]:
    file = folder / "envoy.json"
    file.write_text(json.dumps(documents[0]))
    return validate(file, folder)


@pytest.mark.parametrize("file", BOOTSTRAPS, ids=lambda file: file.name)
def test_envoy_accepts_every_bootstrap_that_we_ship(file: Path, tmp_path: Path):
    result = validate(file, tmp_path)
    assert result.returncode == 0, result.stderr
    assert "OK" in result.stdout
    assert "deprecated" not in result.stderr.lower()


ISTIO_FILTERS = [one for one in good("istio.yaml") if one.get("kind") == "EnvoyFilter"]


def test_the_gateways_of_both_networks_are_patched_alike():
    assert [one["metadata"]["namespace"] for one in ISTIO_FILTERS] == ["ingress-internet", "ingress-vpc"]
    assert ISTIO_FILTERS[0]["spec"] == ISTIO_FILTERS[1]["spec"]


def test_the_patches_for_istio_are_fields_that_envoy_knows(tmp_path: Path):
    documents = good("static.yaml")
    targets = {
        "HTTP_FILTER": ext_authz(documents),
        "NETWORK_FILTER": manager(documents),
        "HTTP_ROUTE": host(documents)["routes"][-1],
    }
    for patch in ISTIO_FILTERS[0]["spec"]["configPatches"]:
        value, target = patch["patch"]["value"], targets[patch["applyTo"]]
        config = value.get("typed_config", value)
        assert config.get("@type") == target.get("@type")
        target.update(merged(target, config))
    result = validate_documents(tmp_path, documents)
    assert result.returncode == 0, result.stderr


def test_the_patches_for_envoy_gateway_are_fields_that_envoy_knows(tmp_path: Path):
    documents = good("static.yaml")
    patches = [one for one in good("envoy-gateway.yaml") if one["kind"] == "EnvoyPatchPolicy"]
    assert [one["spec"]["targetRef"]["name"] for one in patches] == ["internet", "vpc"]
    for policy in patches:
        for patch in policy["spec"]["jsonPatches"]:
            value = patch["operation"]["value"]
            for key in reversed(patch["operation"]["path"].strip("/").split("/")):
                value = {key: value}
            of_filter = "ext_authz" in patch["operation"]["jsonPath"]
            target = ext_authz(documents) if of_filter else manager(documents)
            target.update(merged(target, value))
    result = validate_documents(tmp_path, documents)
    assert result.returncode == 0, result.stderr


def test_envoys_validation_bites(tmp_path: Path):
    documents = good("static.yaml")
    ext_authz(documents)["encode_raw_header"] = True
    assert validate_documents(tmp_path, documents).returncode != 0


def test_what_we_ship_for_kubernetes_fits_what_we_ship_for_istio_and_envoy_gateway():
    config_map = yaml.safe_load((ROOT / "deploy" / "kubernetes" / "configmap.yaml").read_text())
    config = ConfigFile.model_validate(yaml.safe_load(config_map["data"]["extauthz.yaml"]))
    for name in ("istio.yaml", "envoy-gateway.yaml"):
        documents = Documents((ROOT / "envoy" / name).read_text()).documents
        assert examine(documents, facts_from(config, workers=1)) == []


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The production bootstrap with the demo's service behind it, on loopback."""
    folder = tmp_path_factory.mktemp("static")
    (folder / ".demo").mkdir()
    make_keys(folder)
    documents = good("static.yaml")
    for listener in documents[0]["static_resources"]["listeners"]:
        listener["address"]["socket_address"]["address"] = "127.0.0.1"
    cluster(documents)["load_assignment"]["endpoints"][0]["lb_endpoints"].pop()  # one process is enough here
    running = Stack(folder, free_ports(), documents[0], concurrency=1)
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def client(stack: Stack) -> Iterator[httpx.Client]:
    with httpx.Client() as client:
        yield client


SIGNED = SignedAuth(Credentials("demo-app-key-0001", "demo-app-secret-0001"))


def test_the_production_bootstrap_lets_a_signed_request_pass_and_no_other(stack: Stack, client: httpx.Client):
    url = stack.url("internet", "/v1/orders")
    assert client.get(url, auth=SIGNED).status_code == 200
    assert client.get(url).status_code in (400, 401, 403)
    assert client.post(url, auth=SIGNED, content=b"\xff\x00binary").status_code == 200


@pytest.mark.parametrize("size", [65_537, 1_048_575, 1_048_576])
@pytest.mark.parametrize("chunked", [False, True], ids=["content-length", "chunked"])
def test_the_production_bootstrap_buffers_every_body_that_its_limit_allows(
    stack: Stack, client: httpx.Client, size: int, chunked: bool
):
    body = b"\xff" * size
    code = {"Authorization": "APPCODE demo-app-code-0001"}
    content = iter([body[:1000], body[1000:]]) if chunked else body
    answer = client.post(stack.url("internet", "/v1/orders"), headers=code, content=content)
    assert answer.status_code != 413
    assert "x-ca-request-id" in answer.headers


def raw_headers(url: str) -> list[tuple[str, str]]:
    """Status line and headers of an answer as they cross the wire, letter by letter."""
    _, _, rest = url.partition("://")
    address, _, path = rest.partition("/")
    host_name, _, port = address.partition(":")
    with socket.create_connection((host_name, int(port)), timeout=10) as connection:
        connection.sendall(f"GET /{path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        received = b""
        while part := connection.recv(65536):
            received += part
    lines = received.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]
    return [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]


def as_java_reads(headers: list[tuple[str, str]], name: str) -> str | None:
    """The vendor's demo for Java puts each header into a HashMap and gets it by its exact name."""
    return dict(headers).get(name)


def as_php_reads(headers: list[tuple[str, str]], name: str) -> str | None:
    """The vendor's client for PHP cuts the header text at line ends and at the first colon, and looks the name up."""
    text = "\r\n".join(f"{key}: {value}" for key, value in headers)
    found = {line[: line.index(":")]: line[line.index(":") + 1 :].strip() for line in text.split("\r\n")}
    return found.get(name)


@pytest.mark.parametrize("read", [as_java_reads, as_php_reads])
@pytest.mark.parametrize("network", ["internet", "vpc"])
def test_the_vendors_clients_for_java_and_php_find_error_message_and_request_id(
    stack: Stack, network: str, read: Callable[[list[tuple[str, str]], str], str | None]
):
    refused = raw_headers(stack.url(network, "/v1/orders"))
    assert read(refused, "X-Ca-Error-Message")
    assert read(refused, "X-Ca-Error-Code")
    assert read(refused, "X-Ca-Request-Id")
    assert read(raw_headers(stack.url(network, "/public/ping")), "X-Ca-Request-Id")


def test_every_connection_manager_that_we_ship_writes_header_names_in_capitals():
    wanted = {"header_key_format": {"proper_case_words": {}}}
    for name in ("demo.yaml", "static.yaml"):
        for listener in good(name)[0]["static_resources"]["listeners"]:
            config = listener["filter_chains"][0]["filters"][0]["typed_config"]
            assert config["http_protocol_options"] == wanted
    for one in ISTIO_FILTERS:
        patches = [patch["patch"]["value"].get("typed_config", {}) for patch in one["spec"]["configPatches"]]
        assert wanted in [config.get("http_protocol_options") for config in patches]
    for one in good("envoy-gateway.yaml"):
        if one["kind"] == "EnvoyPatchPolicy":
            operations = [patch["operation"] for patch in one["spec"]["jsonPatches"]]
            assert wanted in [entry["value"] for entry in operations if entry["path"] == "/http_protocol_options"]


def test_a_private_peer_of_the_production_bootstrap_is_nobody_that_envoy_believes(stack: Stack, client: httpx.Client):
    forged = {"X-Envoy-Original-Path": "/forged", "X-Envoy-Upstream-Rq-Timeout-Ms": "1"}
    seen = client.get(stack.url("internet", "/public/ping"), headers=forged).json()["headers"]
    assert "x-envoy-internal" not in seen
    assert "x-envoy-original-path" not in seen


def test_the_production_bootstrap_keeps_the_networks_apart(stack: Stack, client: httpx.Client):
    code = {"Authorization": "APPCODE demo-app-code-0001"}
    assert client.get(stack.url("vpc", "/internal/report"), headers=code).status_code == 200
    assert client.get(stack.url("internet", "/internal/report"), headers=code).status_code == 403


def test_the_production_bootstrap_answers_the_load_balancer_without_asking(stack: Stack, client: httpx.Client):
    answer = client.get(stack.url("internet", "/-/healthz"))
    assert answer.status_code == 200
    assert "x-ca-request-id" not in answer.headers
    assert client.get(stack.url("internet", "/-/healthz/x")).status_code == 404
    assert "x-ca-error-code" in client.get(stack.url("internet", "/-/healthz/x")).headers


def test_the_production_bootstrap_refuses_encoded_slashes_and_upgrades(stack: Stack, client: httpx.Client):
    assert client.get(stack.url("internet", "/public%2Fping")).status_code == 400
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket"}
    assert client.get(stack.url("internet", "/public/ping"), headers=upgrade).status_code == 403


def test_the_doctor_reads_what_the_admin_page_of_a_running_envoy_shows(stack: Stack):
    with urllib.request.urlopen(f"http://127.0.0.1:{stack.ports.envoy_admin}/config_dump") as answer:
        text = answer.read().decode()
    assert examine(Documents(text).documents, ServiceFacts()) == []
    worse = text.replace('"with_request_body"', '"without_request_body"')
    findings = examine(Documents(worse).documents, ServiceFacts())
    assert [finding.rule.id for finding in findings] == ["body-missing", "body-missing"]


def expressions() -> list[tuple[str, str]]:
    """Every PromQL expression that we ship, with the name of where it stands."""
    dashboard = json.loads((ROOT / "deploy" / "grafana-dashboard.json").read_text())
    rules = yaml.safe_load((ROOT / "deploy" / "prometheus-alerts.yaml").read_text())
    shown = [(panel["title"], target["expr"]) for panel in dashboard["panels"] for target in panel.get("targets", ())]
    return shown + [(rule["alert"], rule["expr"]) for group in rules["groups"] for rule in group["rules"]]


@pytest.fixture(scope="module")
def scraped(stack: Stack, client: httpx.Client) -> dict[str, set[str]]:
    """Metric names that the running service and the running Envoy show, each with its labels."""
    client.get(stack.url("internet", "/v1/orders"), auth=SIGNED)
    client.get(stack.url("internet", "/v1/orders"))
    found: dict[str, set[str]] = {}
    texts = []
    for port, path in ((stack.ports.operations, "/metrics"), (stack.ports.envoy_admin, "/stats/prometheus")):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as answer:
            texts.append(answer.read().decode())
    with_all_parts = CollectorRegistry()
    with_all_parts.register(ReloadMetrics(ReloadStatus(restart_needed=("listen",))))
    with_all_parts.register(WorkerMetrics(2, lambda: 2, {"died": 1}))
    memory = MemoryReplayStore(2)
    memory.nonces.record(OneTimeUse(b"n", 1, b"", NONCE_USED, b"", "app"), 0)
    with_all_parts.register(MemoryStoreMetrics(memory))
    shared = RedisReplayStore(RedisAddress("redis://127.0.0.1"), 0.1, 1, "")
    shared.shares.refused[OneTimeKind.NONCE]["app"] = 1
    with_all_parts.register(RedisStoreMetrics(shared))
    write_pair(trustme.CA(), stack.folder)
    tls = Certificates(Tls(cert=Path("tls.crt"), key=Path("tls.key")), stack.folder, "127.0.0.1:1")
    with_all_parts.register(CertificateMetrics([tls]))
    folder = ReplicaFolder(stack.folder)
    folder.tell(Status(up=True, confirmed_ms=1, written_ms=1))
    with_all_parts.register(RegistryMetrics(folder, Absent, lambda: 0))
    texts.append(generate_latest(with_all_parts).decode())
    for text in texts:
        for family in text_string_to_metric_families(text):
            if family.type == "counter":
                found.setdefault(f"{family.name}_total", set())
            found.setdefault(family.name, set())
            for sample in family.samples:
                found.setdefault(sample.name, set()).update(sample.labels)
    return found


@pytest.mark.parametrize(("where", "expression"), expressions())
def test_dashboard_and_alerts_read_metrics_and_labels_that_exist(
    where: str, expression: str, scraped: dict[str, set[str]]
):
    tree = parse(expression)
    read = list(selectors(tree))
    assert read
    for one in read:
        assert one.name in scraped, one.name
        named = {matcher.name for matcher in one.matchers.matchers}
        assert named <= scraped[one.name] | SCRAPE_LABELS or not scraped[one.name]
    for labels, names in grouped(tree):
        known = set().union(*(scraped[name] for name in names))
        assert labels <= known | SCRAPE_LABELS or not known


def test_every_reason_that_an_alert_names_is_in_the_catalogue():
    from extauthz.domain.reason import ALLOW_LABELS, CATALOGUE

    named = {
        reason
        for _, expression in expressions()
        for one in selectors(parse(expression))
        for matcher in one.matchers.matchers
        if matcher.name == "reason"
        for reason in matcher.value.split("|")
    }
    assert "internal_error" in named
    assert named <= {*CATALOGUE, *ALLOW_LABELS}


def test_every_alert_says_how_bad_it_is_and_what_it_means():
    rules = yaml.safe_load((ROOT / "deploy" / "prometheus-alerts.yaml").read_text())
    alerts = [rule for group in rules["groups"] for rule in group["rules"]]
    assert len({rule["alert"] for rule in alerts}) == len(alerts)
    assert all(rule["labels"]["severity"] in ("critical", "warning") for rule in alerts)
    assert all(rule["annotations"]["summary"] for rule in alerts)


def test_every_alert_has_a_line_in_the_runbook_and_every_line_an_alert():
    rules = yaml.safe_load((ROOT / "deploy" / "prometheus-alerts.yaml").read_text())
    runbook = (ROOT / "docs" / "operations.md").read_text().partition("## When an alert fires")[2]
    alerts = {rule["alert"] for group in rules["groups"] for rule in group["rules"]}
    first_cells = " ".join(line.split("|")[1] for line in runbook.splitlines() if line.startswith("| `"))
    assert set(re.findall(r"`(\w+)`", first_cells)) == alerts


def test_everything_that_the_service_can_fail_by_wakes_somebody():
    from extauthz.domain.reason import CATALOGUE

    failing = next(expression for where, expression in expressions() if where == "ExtauthzFailing")
    (matcher,) = next(iter(selectors(parse(failing)))).matchers.matchers
    assert set(matcher.value.split("|")) == {reason.label for reason in CATALOGUE.values() if reason.failure}


def test_the_dashboard_has_a_panel_for_whatever_an_alert_of_the_service_reads():
    rules = yaml.safe_load((ROOT / "deploy" / "prometheus-alerts.yaml").read_text())
    alerts = {rule["alert"] for rule in rules["groups"][0]["rules"]}
    shown, read = set(), set()
    for where, expression in expressions():
        (read if where in alerts else shown).update(one.name for one in selectors(parse(expression)))
    only_alerted = {"extauthz_tls_renewal_failures_total", "process_start_time_seconds"}
    assert read - shown <= only_alerted | {"extauthz_build_info"}


def test_the_autoscaler_reads_what_the_adapter_offers_and_the_service_shows(scraped: dict[str, set[str]]):
    scaler = yaml.safe_load((ROOT / "deploy" / "kubernetes" / "horizontalpodautoscaler.yaml").read_text())
    wanted = [one["pods"]["metric"]["name"] for one in scaler["spec"]["metrics"] if one["type"] == "Pods"]
    adapter = yaml.safe_load((ROOT / "deploy" / "prometheus-adapter.yaml").read_text())
    (rule,) = adapter["rules"]["custom"]
    assert [rule["name"]["as"]] == wanted
    (series,) = selectors(parse(rule["seriesQuery"]))
    assert re.fullmatch(rule["name"]["matches"], series.name)
    assert {matcher.name for matcher in series.matchers.matchers} == set(rule["resources"]["overrides"])
    query = rule["metricsQuery"].replace("<<.Series>>", series.name).replace("<<.GroupBy>>", "pod")
    (read,) = selectors(parse(query.replace("<<.LabelMatchers>>", 'namespace="extauthz",pod=~"a|b"')))
    assert read.name in scraped


def test_the_panels_of_the_dashboard_do_not_overlap():
    dashboard = json.loads((ROOT / "deploy" / "grafana-dashboard.json").read_text())
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in dashboard["panels"])
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
