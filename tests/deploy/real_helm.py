"""The chart by a real helm: it renders what is kept, and refuses wrong values. `make helm` runs it; CI has no helm."""

import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.deploy.chart_sums import BY_HAND, CHART, PLAIN
from tests.deploy.test_chart import VALUES, objects, rendering

HELM = os.environ.get("HELM") or "helm"


def with_helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [HELM, "template", "extauthz", str(CHART), "--namespace", "extauthz", "--kube-version", "1.34.0"]
    return subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("values", VALUES, ids=lambda file: file.stem)
def test_the_chart_renders_what_is_kept(values: Path):
    result = with_helm("--values", str(values))
    assert result.returncode == 0, result.stderr
    name = values.stem.removesuffix("-values")
    kept = rendering(name) or objects(*(file for file in PLAIN.iterdir() if file.name not in BY_HAND))
    rendered = [one for one in yaml.safe_load_all(result.stdout) if one]
    told = {(one["kind"], one["metadata"]["name"]): one for one in rendered}
    for one in kept:
        assert told.pop((one["kind"], one["metadata"]["name"])) == one
    assert {kind for kind, _ in told} <= {"PrometheusRule", "ConfigMap"}
    for kind, name in told:
        if kind == "PrometheusRule":
            assert told[kind, name]["spec"] == yaml.safe_load((CHART / "files" / "prometheus-alerts.yaml").read_text())
        else:
            shown = json.loads(told[kind, name]["data"]["extauthz.json"])
            assert shown == json.loads((CHART / "files" / "grafana-dashboard.json").read_text())


@pytest.mark.parametrize(
    ("settings", "cure"),
    [
        ("store.kind=valkey", "store.password must be"),
        ("store.kind=redis", "needs store.secret"),
        ("store.kind=none", "set replicas: 1"),
        ("store.password=0123456789abcdef,config=replay: {}", "the chart writes `replay` itself"),
        ("replcas=3", "replcas"),
        ("networks.intranet=9191", "intranet"),
    ],
)
def test_the_chart_refuses_values_that_cannot_work_and_names_the_cure(settings: str, cure: str):
    result = with_helm("--set", settings)
    assert result.returncode != 0
    assert cure in result.stderr
