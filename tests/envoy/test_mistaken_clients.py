"""Every known mistake of signing clients, made through the real Envoy: it is denied, and explaining names it."""

import random
import time

import pytest

from extauthz.config import load
from extauthz.domain.snapshot import Snapshot
from extauthz.explain.diagnosis.mistakes.table import MISTAKES
from extauthz.explain.explained import Asked, explain, outcome_of
from extauthz.explain.reading import read_request
from extauthz.wire.asking import Entrance, question
from tests.gateway import Answer, Gateway
from tests.mistaken_client import MADE, Client, Make, Sent, random_call

PATHS = ("/v1/orders", "/lenient/{}")


@pytest.fixture(scope="module")
def snapshot(gateway: Gateway) -> Snapshot:
    """What the service decides by."""
    return load(gateway.stack.config_file).snapshot


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def sent_through(gateway: Gateway, sent: Sent) -> Answer:
    named = dict(sent.headers)
    host = str(named.get("Host", "127.0.0.1"))
    others = [(name, value) for name, value in sent.headers if name != "Host"]
    return gateway.call(sent.method, sent.target, others, sent.body, host=host)


def mistaken(dice: random.Random, make: Make | None) -> Sent:
    call = random_call(dice, PATHS)
    call.timestamp_ms, call.host = now_ms(), "127.0.0.1"
    client = Client(call)
    if make is not None:
        make(client)
    return client.send()


def explained(sent: Sent, snapshot: Snapshot):
    payload = question(read_request(sent.raw("127.0.0.1")), Entrance({"extauthz.network": "internet"}))
    return explain(Asked(payload), snapshot, now_ms())


@pytest.mark.parametrize("name", [mistake.name for mistake in MISTAKES])
def test_a_mistake_is_denied_by_the_gateway_and_named_by_explain(gateway: Gateway, snapshot: Snapshot, name: str):
    for number, make in enumerate(MADE[name]):
        dice = random.Random(f"{name}{number}")
        for _ in range(200):
            sent = mistaken(dice, make)
            if outcome_of(explained(sent, snapshot).way.decision) == "deny, signature_mismatch":
                break
        answer = sent_through(gateway, sent)
        assert (answer.status, answer.code) == (403, "A403SG"), answer.message
        told = explained(sent, snapshot)
        names = [[finding.name for finding in one] for one in told.diagnosis.explanations]
        assert [name] in names
        assert not told.diagnosis.certain or names == [[name]]
        assert told.way.answered.status == answer.status


def test_the_same_client_without_a_mistake_passes_and_is_explained_so(gateway: Gateway, snapshot: Snapshot):
    dice = random.Random(7)
    for _ in range(10):
        sent = mistaken(dice, None)
        assert outcome_of(explained(sent, snapshot).way.decision) == "allow, allowed"
        assert sent_through(gateway, sent).status == 200


def test_the_first_difference_is_where_the_answer_shows_it(gateway: Gateway, snapshot: Snapshot):
    sent = mistaken(random.Random(1), MADE["accept_added"][0])
    answer = sent_through(gateway, sent)
    payload = question(read_request(sent.raw("127.0.0.1")), Entrance())
    told = explain(Asked(payload, error_message=answer.message), snapshot, now_ms())
    assert told.strings.line == 2
    assert "this very request" in told.notes[0]
