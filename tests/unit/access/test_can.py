"""`extauthz can`, `who-can`, `what-can` over a file: what they say is what a check does."""

import itertools
import json

import pytest
from typer.testing import CliRunner, Result

from extauthz.access.assumed import _WITHOUT_CREDENTIAL
from extauthz.access.question import _ADDRESSES, _UNASKED, can
from extauthz.cli.main import app
from extauthz.config import load
from extauthz.decide.pipeline import STEPS, decide
from extauthz.domain.app import App, Grant
from extauthz.domain.decision import Allow
from extauthz.domain.ip import IpControl
from extauthz.domain.request import Network, Stage
from tests.unit.building import APP_CODE, DIGEST, NONE, NOW_MS, api, policy, signed, snapshot
from tests.unit.config.writing import config

OFFICE = IpControl("office", True, (), {})


def ask(write, *arguments, code: int = 0, data=None) -> Result:
    file = write(data or config(apis={"auth": {"internet": "digest", "vpc": "none"}}))
    done = CliRunner().invoke(app, [*arguments, "-c", str(file)], env={"EXTAUTHZ_API": None})
    assert done.exit_code == code, done.output
    return done


def test_the_steps_that_are_left_out_or_stood_in_for_are_steps():
    assert {*_UNASKED, *_ADDRESSES, *_WITHOUT_CREDENTIAL} <= {step.name for step in STEPS}


@pytest.mark.parametrize("one", [
    api(), api(NONE), api(NONE, DIGEST), api(APP_CODE, DIGEST), api(stages=frozenset({Stage.PRE})),
    api(auth={Network.VPC: policy(DIGEST)}), api(ip_control=OFFICE),
], ids=["digest", "open", "open or digest", "appcode or digest", "only PRE", "only vpc", "ip control"])  # fmt: skip
def test_the_answer_is_what_a_signed_call_of_the_app_ends_in(one):
    grants = [None, [], [Grant("demo-app", "orders", Stage.RELEASE, NOW_MS)], [Grant("demo-app", "orders", Stage.TEST)]]
    told = set()
    for granted, disabled, network, stage in itertools.product(grants, (True, False), Network, Stage):
        known = snapshot(one, grants=granted, app=App("demo-app", disabled=disabled))
        sent = signed(headers={"X-Ca-Stage": stage.value}, network=network)
        verdict = can(known, "demo-app", one, stage, network, NOW_MS, address=sent.peer)
        decision = decide(sent, known, NOW_MS)
        unsigned = decide(sent._replace(headers={"x-ca-stage": stage.value.encode()}), known, NOW_MS)
        assert verdict.may == (isinstance(decision, Allow) or isinstance(unsigned, Allow))
        if not isinstance(decision, Allow) and not verdict.may:
            assert verdict.reason == decision.reason.label
        told.add(verdict.reason)
    assert len(told) > 1


def test_an_app_with_a_grant_may_call_until_it_ends(write):
    data = config(grants={"until": "2090-01-01T00:00:00Z"})
    verdict = json.loads(ask(write, "can", "shop", "user", "--json", data=data).stdout)
    assert (verdict["may"], verdict["network"], verdict["methods"]) == (True, "internet", "digest")
    assert verdict["until"] == "2090-01-01T00:00:00Z"
    assert "grant_expired" in ask(write, "can", "shop", "user", "--at", "2090-01-01", code=2, data=data).stdout
    assert "stage_invalid" in ask(write, "can", "shop", "user", "--stage", "test", code=2, data=data).stdout
    assert "vpc_refused" in ask(write, "can", "shop", "user", "--network", "vpc", code=2, data=data).stdout


def test_an_app_without_a_fitting_credential_may_not_call(write):
    data = config(apis={"auth": {"vpc": "appcode"}})
    assert "no_credential" in ask(write, "can", "shop", "user", code=2, data=data).stdout


def test_ip_control_is_asked_with_an_address_and_is_a_condition_without(write):
    data = config(
        apis={"plugins": ["office"]}, plugins=[{"id": "office", "type": "ip_control", "allow": ["10.0.0.0/8"]}]
    )
    assert "must pass IP control `office`" in ask(write, "can", "shop", "user", data=data).stdout
    assert "condition  \n" in ask(write, "can", "shop", "user", "--from", "10.1.2.3", data=data).stdout
    assert "ip_refused" in ask(write, "can", "shop", "user", "--from", "192.0.2.1", code=2, data=data).stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("can", "shpo", "user"), "app `shpo` does not exist; did you mean `shop`?"),
        (("can", "shop", "usr"), "API `usr` does not exist; did you mean `user`?"),
        (("who-can", "usr"), "API `usr` does not exist; did you mean `user`?"),
        (("what-can", "shpo"), "app `shpo` does not exist; did you mean `shop`?"),
        (("what-can", "shop", "--at", "soon"), "'soon' is no moment"),
    ],
)
def test_what_does_not_exist_is_told_and_ends_with_another_code_than_no(write, arguments, told):
    done = ask(write, *arguments, code=2 if "--at" in arguments else 1)
    assert told in done.stderr


def test_who_may_call_is_listed_by_network_and_anybody_is_told_as_such(write):
    rows = json.loads(ask(write, "who-can", "user", "--json").stdout)
    assert [(row["app"], row["network"]) for row in rows] == [("shop", "internet"), ("*", "vpc")]
    assert (
        json.loads(ask(write, "who-can", "user", "--network", "internet", "--at", "+1d", "--json").stdout) == rows[:1]
    )


def test_what_an_app_may_call_is_listed(write):
    rows = json.loads(ask(write, "what-can", "shop", "--json").stdout)
    assert [(row["api"], row["network"], row["reason"]) for row in rows] == [
        ("user", "internet", "allowed"),
        ("user", "vpc", "anonymous"),
    ]
    data = config(grants=[], apis={"auth": {"internet": "digest"}})
    assert "it may call nothing" in ask(write, "what-can", "shop", data=data).stdout


def test_the_registry_alone_knows_no_network_and_says_so(monkeypatch):
    done = CliRunner().invoke(app, ["can", "shop", "user", "--network", "vpc"], env={"EXTAUTHZ_CONFIG": None})
    assert done.exit_code == 1
    assert "name a file that has the API" in done.stderr


def test_a_disabled_app_may_call_nothing_that_asks_for_an_app(write):
    held = load(write(config(apps={"disabled": True})), lambda: NOW_MS).snapshot
    verdict = can(held, "shop", held.gateway.apis["user"], Stage.RELEASE, Network.INTERNET, NOW_MS)
    assert (verdict.may, verdict.reason) == (False, "app_disabled")
