"""Reload in one process: by SIGHUP and by watching files; a bad file changes nothing."""

import copy
import json
import os
import signal
from typing import Any

import pytest

from extauthz.client.signer import Credentials, OutgoingRequest, SigningOptions, sign
from tests.process.running import CODE, base_config, eventually, free_ports, signed_headers, status_of

CODED = {"authorization": f"APPCODE {CODE}"}

SECRET_OF_ANOTHER = "another-secret-73a9b1c"


@pytest.fixture
def config() -> dict[str, Any]:
    port, operations = free_ports(2)
    return base_config([{"address": f"127.0.0.1:{port}"}], operations) | {"watch": False}


def without_grants(config: dict[str, Any]) -> dict[str, Any]:
    return copy.deepcopy(config) | {"grants": []}


def test_sighup_puts_a_changed_file_into_force_without_closing_a_connection(config, serve, call):
    running = serve(config)
    caller = call(config["listen"][0]["address"])
    assert status_of(caller.check("/coded", CODED)) == 200
    before = running.ready()["revision"]

    running.write(without_grants(config))
    assert running.ready()["revision"] == before, "nothing happens before the signal where watching is off"
    running.signal(signal.SIGHUP)
    eventually(lambda: running.ready()["revision"] != before)

    assert status_of(caller.check("/coded", CODED)) == 403
    assert running.metric('extauthz_reloads_total{result="success"}') == 1
    assert running.metric("extauthz_reload_last_success_timestamp_seconds") > 1e9


def test_a_bad_file_keeps_the_old_snapshot_and_says_so_everywhere(config, serve, call):
    running = serve(config)
    caller = call(config["listen"][0]["address"])
    before = running.ready()["revision"]

    running.write(config | {"grants": [{"app": "nobody", "apis": ["coded"]}]})
    running.signal(signal.SIGHUP)
    details = eventually(lambda: running.ready().get("reload_failed"))

    assert "app `nobody` does not exist" in details[0]
    assert running.ready()["ready"] is True
    assert running.ready()["revision"] == before
    assert status_of(caller.check("/coded", CODED)) == 200
    assert running.metric('extauthz_reloads_total{result="failure"}') == 1
    assert running.metric("extauthz_reload_last_error_timestamp_seconds") > 1e9
    assert running.metric("extauthz_reload_failing") == 1
    assert "reload refused" in running.log
    assert "app `nobody` does not exist" in running.log

    running.write(config)
    running.signal(signal.SIGHUP)
    eventually(lambda: "reload_failed" not in running.ready())
    assert running.metric("extauthz_reload_failing") == 0


def test_a_file_that_is_gone_or_no_yaml_keeps_the_old_snapshot(config, serve, call):
    running = serve(config)
    running.file.write_text("listen: [")
    running.signal(signal.SIGHUP)
    eventually(lambda: running.metric('extauthz_reloads_total{result="failure"}') == 1)
    running.file.unlink()
    running.signal(signal.SIGHUP)
    eventually(lambda: running.metric('extauthz_reloads_total{result="failure"}') == 2)
    assert status_of(call(config["listen"][0]["address"]).check("/coded", CODED)) == 200


def test_a_change_that_needs_a_restart_is_reported_and_the_rest_applies(config, serve, call):
    running = serve(config)
    caller = call(config["listen"][0]["address"])
    changed = without_grants(config) | {"replay": {"capacity": 5}, "transport": "grpcio"}
    running.write(changed)
    running.signal(signal.SIGHUP)

    assert eventually(lambda: running.ready().get("restart_needed")) == ["transport", "replay"]
    assert 'extauthz_restart_needed{key="replay"} 1.0' in running.get("/metrics")[1]
    assert "only a restart applies it: transport, replay" in running.log
    assert status_of(caller.check("/coded", CODED)) == 403


def test_a_watched_file_is_reloaded_when_it_is_replaced_and_a_secret_file_when_it_is_written(config, serve, call):
    config |= {"watch": True, "decision_log": {"destination": {"file": "decisions.jsonl"}}}
    running = serve(config)
    folder = running.file.parent
    caller = call(config["listen"][0]["address"])
    (folder / "secrets").mkdir()
    (folder / "secrets" / "code").write_text("another-code-0001\n")
    config["apps"][0]["app_codes"] = [{"file": "secrets/code"}]
    running.write(config)
    eventually(lambda: status_of(caller.check("/coded", {"authorization": "APPCODE another-code-0001"})) == 200)
    assert status_of(caller.check("/coded", CODED)) == 400

    (folder / "secrets" / "code").write_text("a-third-code-0001\n")
    eventually(lambda: status_of(caller.check("/coded", {"authorization": "APPCODE a-third-code-0001"})) == 200)
    assert running.metric('extauthz_reloads_total{result="success"}') == 2, "the log in the same folder is no reason"
    assert "change detected" not in running.log, "a line about each line of the decision log"


def test_a_swapped_symbolic_link_as_kubernetes_mounts_it_is_seen(config, serve, call, tmp_path):
    running = serve(config | {"watch": True})
    folder = running.file.parent
    for name, content in (("v1", config), ("v2", without_grants(config))):
        (folder / name).mkdir()
        (folder / name / "extauthz.yaml").write_text(json.dumps(content | {"watch": True}))
    (folder / "..data").symlink_to("v1")
    running.file.unlink()
    running.file.symlink_to("..data/extauthz.yaml")
    caller = call(config["listen"][0]["address"])
    eventually(lambda: running.metric('extauthz_reloads_total{result="success"}') >= 1)
    assert status_of(caller.check("/coded", CODED)) == 200

    (folder / "..data.new").symlink_to("v2")
    os.replace(folder / "..data.new", folder / "..data")
    eventually(lambda: status_of(caller.check("/coded", CODED)) == 403)


def test_the_decision_log_names_the_revision_that_decided(config, serve, call):
    config["decision_log"] = {"destination": {"file": "decisions.jsonl"}}
    running = serve(config)
    caller = call(config["listen"][0]["address"])
    caller.check("/open")
    first = running.ready()["revision"]
    running.write(without_grants(config))
    running.signal(signal.SIGHUP)
    second = eventually(lambda: (now := running.ready()["revision"]) != first and now)
    caller.check("/open")
    assert running.stop() == 0
    lines = (running.file.parent / "decisions.jsonl").read_text().splitlines()
    assert [json.loads(line)["revision"] for line in lines] == [first, second]


def test_a_secret_never_shows_in_what_a_failed_reload_tells(config, serve):
    running = serve(config)
    config["apps"][0]["app_codes"] = ["short"]
    config["apps"][0]["keys"][0]["app_secret"] = ["not-a-text-but-secret"]
    running.write(config)
    running.signal(signal.SIGHUP)
    told = json.dumps(eventually(lambda: running.ready().get("reload_failed"))) + running.log
    assert "not-a-text-but-secret" not in told
    assert '"short"' not in told


def test_what_was_signed_before_the_start_is_refused_where_the_configuration_says_so(config, serve, call):
    """Nonces in memory end with the process: this may have passed before its restart."""
    overheard = signed_headers("/signed", "overheard")
    first = serve(config | {"replay": {"refuse_signed_before_start": True}})
    caller = call(config["listen"][0]["address"])
    assert status_of(caller.check("/signed", overheard)) == 403
    assert status_of(caller.check("/signed", signed_headers("/signed", "new"))) == 200
    assert first.metric('extauthz_replay_entries{kind="nonce"}') == 1


def test_a_flooding_app_is_named_by_metrics_and_no_other_app_notices(config, serve, call):
    config["replay"] = {"capacity": 10}
    config["apps"].append({"id": "other", "keys": [{"app_key": "other-key-0001", "app_secret": SECRET_OF_ANOTHER}]})
    config["grants"].append({"app": "other", "apis": ["signed"]})
    running = serve(config)
    caller = call(config["listen"][0]["address"])
    answers = [status_of(caller.check("/signed", signed_headers("/signed", f"n-{number}"))) for number in range(20)]
    assert answers == [200] * 5 + [429] * 15
    honest = sign(
        OutgoingRequest("GET", "/signed"), Credentials("other-key-0001", SECRET_OF_ANOTHER), SigningOptions(nonce="n")
    )
    assert status_of(caller.check("/signed", {name.lower(): value for name, value in honest.items()})) == 200
    assert running.metric('extauthz_replay_share_refused_total{holder="app",kind="nonce"}') == 15
    assert running.metric('extauthz_replay_holder_entries{holder="app",kind="nonce"}') == 5
