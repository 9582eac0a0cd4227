"""The Helm chart: what it rendered is sound and is of this chart. What needs helm itself is in ``real_helm.py``."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from extauthz.config.schema import ConfigFile
from tests.deploy.chart_sums import CHART, RENDERED, SUMS, sums

VERSIONS = ("1.29", "1.34")
OF_THE_PROMETHEUS_OPERATOR = {
    "PodMonitor": {"selector", "podMetricsEndpoints"},
    "PrometheusRule": {"groups"},
}
VALUES = sorted((CHART / "ci").glob("*-values.yaml"))
SCHEMA = json.loads((CHART / "values.schema.json").read_text())


def objects(*files: Path) -> list[dict[str, Any]]:
    return [one for file in files for one in yaml.safe_load_all(file.read_text()) if one]


def rendering(name: str) -> list[dict[str, Any]]:
    return objects(*sorted((RENDERED / name).glob("*.yaml")))


ALL = [
    (file.stem.removesuffix("-values"), one) for file in VALUES for one in rendering(file.stem.removesuffix("-values"))
]


def the(name: str, kind: str, suffix: str = "extauthz") -> dict[str, Any]:
    return next(one for one in rendering(name) if one["kind"] == kind and one["metadata"]["name"] == suffix)


def test_manifests_and_renderings_are_those_of_this_chart():
    assert SUMS.read_text() == sums(), "run `make helm`"


@pytest.mark.parametrize(
    ("name", "one"), ALL, ids=[f"{name}-{one['kind']}-{one['metadata']['name']}" for name, one in ALL]
)
def test_every_object_that_the_chart_renders_is_sound(name: str, one: dict[str, Any]):
    assert one["metadata"]["namespace"] == "extauthz"
    fields = OF_THE_PROMETHEUS_OPERATOR.get(one["kind"])
    if fields is not None:
        assert one["apiVersion"] == "monitoring.coreos.com/v1"
        assert set(one["spec"]) == fields
        return
    for version in VERSIONS:
        kubernetes_validate.validate(one, version, strict=True)


def test_the_schema_of_the_values_describes_every_one_and_refuses_what_the_chart_itself_writes():
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    jsonschema.validate(defaults, SCHEMA)
    assert set(defaults) == set(SCHEMA["properties"]) - {"global"}
    for key, value in defaults.items():
        known = SCHEMA["properties"][key].get("properties")
        if known is not None:
            assert set(value) <= set(known), key
    for file in VALUES:
        jsonschema.validate(yaml.safe_load(file.read_text()), SCHEMA)
    for wrong in ({"config": {}}, {"store": {"kind": "memory"}}, {"secret": {"files": {"redis-url": "x"}}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, SCHEMA)


@pytest.mark.parametrize("name", ["own-redis-and-tls", "one-replica"])
def test_every_configuration_that_the_chart_writes_is_one(name: str):
    written = yaml.safe_load(the(name, "ConfigMap")["data"]["extauthz.yaml"])
    config = ConfigFile.model_validate(written)
    assert all(listen.tls is not None or listen.insecure for listen in config.listen)
    assert (config.replay.redis is None) is (name == "one-replica")
    mounted = the(name, "Deployment")["spec"]["template"]["spec"]["volumes"][0]["projected"]["sources"]
    files = {item["path"] for one in mounted for item in one.get("secret", {}).get("items", ())}
    named = {str(path) for one in config.listen if one.tls for path in (one.tls.cert, one.tls.key, one.tls.client_ca)}
    assert named | ({"redis-url"} if config.replay.redis else set()) == files


def test_one_replica_without_a_store_is_never_two():
    deployment = the("one-replica", "Deployment")["spec"]
    assert deployment["replicas"] == 1
    assert deployment["strategy"] == {"type": "Recreate"}
    assert deployment["template"]["spec"]["containers"][0]["args"][-2:] == ["--replicas", "1"]
    kinds = {one["kind"] for one in rendering("one-replica")}
    assert not kinds & {"HorizontalPodAutoscaler", "StatefulSet", "PodDisruptionBudget", "NetworkPolicy"}


def test_a_chart_with_everything_of_your_own_brings_no_secret_and_no_store():
    kinds = {one["kind"] for one in rendering("own-redis-and-tls")}
    assert {"PodMonitor", "HorizontalPodAutoscaler", "NetworkPolicy", "PodDisruptionBudget"} <= kinds
    assert not kinds & {"Secret", "StatefulSet"}


def test_alerts_and_dashboard_of_the_chart_are_the_ones_beside_it():
    for name in ("prometheus-alerts.yaml", "grafana-dashboard.json"):
        assert (CHART / "files" / name).resolve() == CHART.parent / name
