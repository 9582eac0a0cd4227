"""Several workers, one service: started, watched, replaced, restarted one by one, ended; shown as one."""

import copy
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import Any

import grpc
import pytest
import yaml

from extauthz.config import load
from extauthz.config.place import Place
from extauthz.serve.workers.merged_metrics import MergedMetrics
from extauthz.serve.workers.process import WorkerProcess, WorkerRefused, WorkerSilent
from extauthz.wire.servicer import CHECK_PATH
from tests.process.keys.key_server import KeyServer
from tests.process.running import CODE, base_config, check_request, eventually, free_ports, status_of

CODED = {"authorization": f"APPCODE {CODE}"}


@pytest.fixture
def config() -> dict[str, Any]:
    first, _, operations = free_ports(3)
    return base_config([{"address": f"127.0.0.1:{first}"}], operations) | {
        "watch": False,
        "replay": {"scope": "per_worker"},
    }


def addresses(config: dict[str, Any], count: int = 2) -> list[str]:
    host, _, port = config["listen"][0]["address"].rpartition(":")
    return [f"{host}:{int(port) + index}" for index in range(count)]


def checks_total(running) -> float:
    text = running.get("/metrics")[1]
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith("extauthz_checks_total"))


def pids(running) -> list[int]:
    return [worker["pid"] for worker in running.ready().get("workers", []) if worker["ready"]]


def revisions(running) -> set[str]:
    return {worker["revision"] for worker in running.ready()["workers"]}


def test_each_worker_has_a_port_and_one_metrics_page_counts_for_all(config, serve, call):
    running = serve(config, "--workers", "2")
    for address in addresses(config):
        assert status_of(call(address).check("/coded", CODED)) == 200
    assert checks_total(running) == 2
    assert running.metric("extauthz_workers_ready") == 2
    assert running.metric('extauthz_check_duration_seconds_count{decision="allow",method="appcode"}') == 2
    assert running.metric('extauthz_snapshot_entries{kind="apis"}') == 3, "a size is not added up"
    assert running.get("/healthz")[0] == 200
    assert running.stop() == 0


def test_a_killed_worker_is_replaced_and_no_counter_goes_backwards(config, serve, call):
    running = serve(config, "--workers", "2")
    callers = [call(address) for address in addresses(config)]
    for caller in callers * 5:
        caller.check("/coded", CODED)
    assert checks_total(running) == 10
    before = pids(running)

    os.kill(before[0], signal.SIGKILL)
    assert status_of(callers[1].check("/coded", CODED)) == 200, "the other one serves on"
    seen = [10.0]

    def replaced() -> bool:
        seen.append(checks_total(running))
        return len(pids(running)) == 2 and pids(running)[0] != before[0]

    eventually(replaced, 30)
    assert status_of(call(addresses(config)[0]).check("/coded", CODED)) == 200
    seen.append(checks_total(running))
    assert seen == sorted(seen)
    assert seen[-1] == 12
    assert pids(running)[1] == before[1]
    assert running.metric('extauthz_workers_replaced_total{why="died"}') == 1


def test_a_worker_that_hangs_is_killed_and_replaced(config, serve):
    running = serve(config, "--workers", "2")
    before = pids(running)
    os.kill(before[1], signal.SIGSTOP)
    eventually(lambda: running.metric('extauthz_workers_replaced_total{why="silent"}') == 1, 30)
    eventually(lambda: len(pids(running)) == 2)
    assert pids(running)[0] == before[0]


def test_hup_restarts_one_by_one_and_somebody_always_serves(config, serve, call):
    running = serve(config | {"drain": 0.5}, "--workers", "2")
    before, revision = pids(running), running.ready()["revision"]
    refused_by_all: list[float] = []
    done = threading.Event()

    def ask_like_envoy() -> None:
        callers = [call(address, **{"grpc.max_reconnect_backoff_ms": 100}) for address in addresses(config)]
        while not done.is_set():
            for caller in callers:
                try:
                    caller.check("/open")
                    break
                except grpc.RpcError:
                    continue
            else:
                refused_by_all.append(time.time())
            time.sleep(0.005)

    asking = threading.Thread(target=ask_like_envoy)
    asking.start()
    changed = copy.deepcopy(config) | {"drain": 0, "grants": []}
    running.write(changed)
    running.signal(signal.SIGHUP)
    eventually(lambda: len(pids(running)) == 2 and not set(pids(running)) & set(before), 40)
    eventually(lambda: running.ready()["revision"] != revision)
    done.set()
    asking.join()

    assert refused_by_all == []
    assert len(revisions(running)) == 1
    assert "restart_needed" not in running.ready(), "a restart applies what a reload cannot"
    for address in addresses(config):
        assert status_of(call(address).check("/coded", CODED)) == 403


def test_hup_with_a_bad_file_changes_nothing_and_a_dead_worker_gets_the_last_good_one(config, serve, call):
    running = serve(config, "--workers", "2")
    before = pids(running)
    running.write(config | {"grants": [{"app": "nobody", "apis": ["coded"]}]})
    running.signal(signal.SIGHUP)
    details = eventually(lambda: running.ready().get("reload_failed"))
    assert "app `nobody` does not exist" in details[0]
    assert pids(running) == before

    os.kill(before[0], signal.SIGKILL)
    eventually(lambda: len(pids(running)) == 2 and pids(running)[0] != before[0], 30)
    running.wait_ready()
    assert status_of(call(addresses(config)[0]).check("/coded", CODED)) == 200
    assert len(revisions(running)) == 1


def test_a_watched_change_reaches_all_workers_without_a_restart(config, serve, call):
    running = serve(config | {"watch": True}, "--workers", "2")
    before = pids(running)
    callers = [call(address) for address in addresses(config)]
    running.write(config | {"watch": True, "grants": []})
    eventually(lambda: [status_of(caller.check("/coded", CODED)) for caller in callers] == [403, 403])
    assert pids(running) == before
    assert running.metric('extauthz_reloads_total{result="success"}') == 1


def test_the_end_of_the_supervisor_is_the_end_of_the_workers(config, serve):
    running = serve(config, "--workers", "2")
    workers = pids(running)
    running.process.kill()
    running.process.wait()
    eventually(lambda: not any(os.path.exists(f"/proc/{pid}/exe") and _is_running(pid) for pid in workers))


def _is_running(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_port_that_is_taken_ends_the_start_with_a_message(config, serve):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", int(addresses(config)[1].rpartition(":")[2])))
        taken.listen()
        running = serve(config, "--workers", "2", wait=False)
        assert running.process.wait(30) == 1
    assert "worker 1 cannot start: cannot listen on" in running.log


def test_when_one_worker_cannot_start_the_others_end_quietly(config, serve):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", int(addresses(config)[0].rpartition(":")[2])))
        taken.listen()
        running = serve(config, "--workers", "2", wait=False)
        assert running.process.wait(30) == 1
    ours = [line for line in running.log.splitlines() if "gRPC" not in line and "extauthz.yaml:" not in line]
    assert len(ours) == 1, running.log
    assert ours[0].startswith(f"cannot start: worker 0 cannot start: cannot listen on {addresses(config)[0]} (`listen")


def test_a_worker_that_is_scraped_before_its_start_starts_nevertheless(config, tmp_path, capfd):
    file = tmp_path / "extauthz.yaml"
    file.write_text(yaml.safe_dump(config))
    worker = WorkerProcess(Place(0, 2), MergedMetrics())
    try:
        worker.ask("ping", 20)
        assert worker.state["ready"] is False
        worker.start(load(file))
        assert worker.state["ready"] is True
    finally:
        worker.kill()
        worker.retire()
    assert "failed" not in capfd.readouterr().err


def test_a_ping_carries_no_numbers_however_many_there_are(config, tmp_path):
    file = tmp_path / "extauthz.yaml"
    file.write_text(yaml.safe_dump(config))
    metrics = MergedMetrics()
    worker = WorkerProcess(Place(0, 2), metrics)
    try:
        worker.start(load(file))
        worker.ask("ping", 20)
        assert list(metrics.collect()) == []
        assert worker.state.keys() == {"ready", "revision", "jwt_plugins"}
        worker.numbers.ask()
        worker.numbers.wait(time.monotonic() + 20)
        assert "extauthz_build_info" in {family.name for family in metrics.collect()}
    finally:
        worker.kill()
        worker.retire()


def test_numbers_on_their_way_keep_no_ping_and_no_end_of_a_worker_waiting(config, tmp_path):
    """Those of thousands of APIs are more than a pipe holds."""
    config["apis"] += [
        {"id": f"api-{number}", "group": "g", "methods": ["GET"], "path": f"/{number}", "auth": {"internet": "none"}}
        for number in range(3000)
    ]
    file = tmp_path / "extauthz.yaml"
    file.write_text(yaml.safe_dump(config))
    metrics = MergedMetrics({one["id"] for one in config["apis"]})
    worker = WorkerProcess(Place(0, 1), metrics)
    try:
        worker.start(load(file))
        with grpc.insecure_channel(config["listen"][0]["address"]) as channel:
            check = channel.unary_unary(CHECK_PATH)
            for one in [check.future(check_request(f"/{number}"), timeout=60) for number in range(3000)]:
                one.result()
        worker.numbers.ask()
        began = time.monotonic()
        worker.ask("ping", 20)
        assert time.monotonic() - began < 1
        worker.numbers.wait(time.monotonic() + 20)
        worker.ask("stop", 20)
        deadline = time.monotonic() + 20
        while not worker.has_ended() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert worker.has_ended(), "the last numbers are read as they come, or the worker could not end"
    finally:
        worker.kill()
        worker.retire()
    (checks,) = (family for family in metrics.collect() if family.name == "extauthz_checks")
    assert sum(sample.value for sample in checks.samples) == 3000


def test_a_worker_that_hangs_holds_no_scrape_up_for_long_and_is_asked_once(config, serve):
    running = serve(config, "--workers", "2")
    os.kill(pids(running)[1], signal.SIGSTOP)
    began = time.monotonic()
    assert "extauthz_build_info" in running.get("/metrics")[1]
    assert time.monotonic() - began < 4.5


def test_a_worker_that_is_stopped_does_not_stop_the_supervisor_that_hands_it_a_large_configuration(config, tmp_path):
    file = tmp_path / "extauthz.yaml"
    file.write_text(yaml.safe_dump(config))
    worker = WorkerProcess(Place(0, 2), MergedMetrics())
    try:
        worker.start(load(file))
        os.kill(worker.pid, signal.SIGSTOP)
        began = time.monotonic()
        with pytest.raises(WorkerSilent):
            worker.ask("reload", 60, (("#" * 65_536,) * 300,))
        assert time.monotonic() - began < 20
    finally:
        worker.kill()
        worker.retire()


def test_an_api_that_is_gone_is_forgotten_by_all_workers_living_and_dead(config, serve, call):
    running = serve(config | {"watch": True}, "--workers", "2")
    for address in addresses(config):
        assert status_of(call(address).check("/open")) == 200
    assert 'api="open"' in running.get("/metrics")[1]
    before = pids(running)
    os.kill(before[0], signal.SIGKILL)
    eventually(lambda: len(pids(running)) == 2 and pids(running)[0] != before[0], 30)
    assert 'api="open"' in running.get("/metrics")[1]
    config["apis"] = [one for one in config["apis"] if one["id"] != "open"]
    running.write(config | {"watch": True})
    eventually(lambda: 'api="open"' not in running.get("/metrics")[1], 30)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_query_of_a_key_set_s_address_is_in_no_log(config, serve, workers):
    with KeyServer().running() as provider:
        address = f"http://127.0.0.1:{provider.port}/keys?code=the-query-is-secret"
        remote = {"jwks_uri": address, "allow_http": True, "allow_private_addresses": True}
        config["plugins"] = [{"id": "idp", "type": "jwt", "remote_keys": remote}]
        config["apis"][0] |= {"auth": {"internet": "jwt"}, "plugins": ["idp"]}
        running = serve(config, "--workers", workers, wait=False)
        eventually(lambda: provider.asked.total() >= int(workers), 30)
        eventually(lambda: "could not be fetched" in running.log)
        running.stop()
    assert "the-query-is-secret" not in running.log


def test_several_workers_with_nonces_in_memory_refuse_to_start_unless_told(config, serve):
    running = serve(config | {"replay": {}}, "--workers", "2", wait=False)
    assert running.process.wait(30) == 1
    assert "replay: {scope: per_worker}" in running.log


@pytest.mark.parametrize(
    ("listen", "complaint"),
    [
        (["127.0.0.1:7000", "127.0.0.1:7001"], "127.0.0.1:7001, which worker 1 of listen[0] takes"),
        (["127.0.0.1:7000", "0.0.0.0:7002"], "0.0.0.0:7002, which worker 2 of listen[0] takes"),
        (["127.0.0.1:65534"], "no port above 65535"),
        (["127.0.0.1:9899"], "127.0.0.1:9901, which operations takes"),
    ],
)
def test_listeners_of_workers_that_collide_are_named(config, tmp_path, listen, complaint):
    config = config | {"listen": [{"address": one, "insecure": True} for one in listen], "operations": "127.0.0.1:9901"}
    result = envoy_cluster(tmp_path, config, "--workers", "3")
    assert result.returncode == 1
    assert complaint in result.stderr


def envoy_cluster(tmp_path, config, *arguments: str) -> subprocess.CompletedProcess[str]:
    file = tmp_path / "extauthz.yaml"
    file.write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "extauthz", "envoy-cluster", "--config", str(file), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_envoy_cluster_lists_every_socket_and_envoy_accepts_it(config, tmp_path):
    from demo.stack import ROOT, envoy_binary

    config["listen"] = [
        {"address": "127.0.0.1:7000", "network": "internet"},
        {"address": "unix:/run/extauthz/vpc.sock", "network": "vpc"},
    ]
    result = envoy_cluster(tmp_path, config, "--workers", "2")
    assert result.returncode == 0, result.stderr
    clusters = yaml.safe_load(result.stdout)
    found = {
        cluster["name"]: [
            entry["endpoint"]["address"] for entry in cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
        ]
        for cluster in clusters
    }
    assert found == {
        "extauthz-internet": [
            {"socket_address": {"address": "127.0.0.1", "port_value": 7000}},
            {"socket_address": {"address": "127.0.0.1", "port_value": 7001}},
        ],
        "extauthz-vpc": [
            {"pipe": {"path": "/run/extauthz/vpc.0.sock"}},
            {"pipe": {"path": "/run/extauthz/vpc.1.sock"}},
        ],
    }
    shipped = yaml.safe_load((ROOT / "envoy" / "demo.yaml").read_text())["static_resources"]["clusters"][0]
    for key in shipped.keys() - {"name", "load_assignment", "circuit_breakers"}:
        assert clusters[0][key] == shipped[key], f"{key} differs from the demo's"
    two, one = (cluster["circuit_breakers"]["thresholds"][0] for cluster in (clusters[0], shipped))
    assert two["max_requests"] == 2 * one["max_requests"] == 2 * 400

    bootstrap = tmp_path / "envoy.yaml"
    bootstrap.write_text(yaml.safe_dump({"static_resources": {"clusters": clusters}}))
    validated = subprocess.run(
        [envoy_binary(), "-c", str(bootstrap), "--mode", "validate"], capture_output=True, text=True, timeout=100
    )
    assert validated.returncode == 0, validated.stderr[-1000:]


def test_workers_that_share_standard_output_write_whole_lines(config, serve, call):
    running = serve(config | {"decision_log": {"destination": "stdout"}}, "--workers", "2")
    threads = [threading.Thread(target=_ask_often, args=(call(address),)) for address in addresses(config)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert running.stop() == 0
    told = [line for line in running.log.splitlines() if "extauthz.yaml:" not in line]  # not what is said of the file
    lines = [line for line in told if line.startswith("{") or line.endswith("}")]
    assert len([json.loads(line) for line in lines]) == 600


def _ask_often(caller) -> None:
    check = caller.channel.unary_unary(CHECK_PATH)
    for one in [check.future(check_request("/open"), timeout=20) for _ in range(300)]:
        one.result()


def test_one_answer_that_fails_does_not_end_the_talk_between_supervisor_and_worker(config, tmp_path):
    file = tmp_path / "extauthz.yaml"
    file.write_text(yaml.safe_dump(config))
    metrics = MergedMetrics()
    worker = WorkerProcess(Place(0, 2), metrics)
    try:
        worker.start(load(file))
        bad = yaml.safe_dump(config | {"grants": [{"app": "nobody", "apis": ["coded"]}]})
        with pytest.raises(WorkerRefused, match="`nobody` does not exist"):
            worker.ask("reload", 20, ((bad,),))
        worker.ask("ping", 20)
        assert worker.state["ready"] is True
    finally:
        worker.kill()
        worker.retire()


def test_several_replicas_with_nonces_in_memory_refuse_to_start_unless_told(config, serve):
    running = serve(config | {"replay": {}}, "--replicas", "3", wait=False)
    assert running.process.wait(30) == 1
    assert "replay: {scope: per_worker}" in running.log
    assert "could be replayed once per replica" in running.log
    by_environment = serve(config | {"replay": {}}, env={"EXTAUTHZ_REPLICAS": "3"}, wait=False)
    assert by_environment.process.wait(30) == 1
    for arguments, replay in ((["--replicas", "1"], {}), (["--replicas", "3"], {"scope": "per_worker"})):
        free = config | {"replay": replay, "operations": f"127.0.0.1:{free_ports(1)[0]}"}
        assert serve(free, *arguments).stop() == 0


@pytest.mark.parametrize(
    ("replay", "warned"), [({}, True), ({"scope": "per_worker"}, False), ({"scope": "service"}, False)]
)
def test_in_kubernetes_nonces_in_memory_are_warned_of_unless_the_configuration_speaks(config, serve, replay, warned):
    running = serve(config | {"replay": replay}, env={"KUBERNETES_SERVICE_HOST": "10.0.0.1"})
    assert ("could be replayed at each" in running.log) is warned
