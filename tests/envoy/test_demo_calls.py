"""Every call that the demo shows ends as the demo says, on both transports."""

import os
import re
import subprocess
import sys
from pathlib import Path

import httpx

from demo.calls import demo_calls, play, play_one
from demo.stack import ROOT
from tests.gateway import Gateway, running_gateway


def test_every_row_of_the_demo_ends_as_expected(gateway: Gateway):
    played = list(play(gateway.stack, demo_calls(gateway.private_jwk)))
    assert {f"{one.call.network}: {one.call.shows}": one.faults for one in played if one.faults} == {}
    assert {one.call.network for one in played} == {"internet", "vpc"}


def test_what_a_row_asks_of_an_api_holds_on_the_other_network_too(gateway: Gateway):
    other = {"internet": "vpc", "vpc": "internet"}
    with httpx.Client(timeout=10) as client:
        for call in demo_calls(gateway.private_jwk):
            if call.path.startswith("/internal/"):
                continue
            network = other[call.network]
            sees = {name: network if name == "x-ca-network" else value for name, value in call.backend_sees.items()}
            moved = type(call)(call.shows, network, call.method, call.path, call.status, call.code, call.headers,
                               call.body, sees)  # fmt: skip
            assert play_one(client.request, gateway.stack, moved).faults == [], call.shows


def test_the_configuration_files_as_shipped_play_the_whole_demo(tmp_path):
    with running_gateway(tmp_path) as shipped:
        played = list(play(shipped.stack, demo_calls(shipped.private_jwk)))
        assert {one.call.shows: one.faults for one in played if one.faults} == {}
        forged = [("X-Ca-App-Id", "admin"), ("x_ca_app_id", "admin"), ("X-Token-Sub", "admin")]
        seen = shipped.call("GET", "/public/ping", forged).seen_headers
        assert "admin" not in seen.values()


def test_a_newcomer_finds_the_cause_of_a_broken_signature_by_the_readmes_commands(gateway: Gateway, tmp_path: Path):
    readme = (ROOT / "README.md").read_text()
    block = next(block for block in re.findall(r"```\n(.*?)```", readme, re.DOTALL) if "call.txt" in block)
    commands = block.replace(".demo/extauthz.yaml", str(gateway.stack.config_file))
    bin_folder = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {**os.environ, "PATH": bin_folder, "EXTAUTHZ_APP_SECRET": "demo-app-secret-0001"}
    ran = subprocess.run(["sh", "-c", commands], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 1, ran.stderr
    assert "What is wrong (proved)" in ran.stdout
    assert "accept_differs" in ran.stdout
