"""A new authentication method is one module and one line in the registry: everything else follows from these."""

import pytest

from extauthz.auth import METHODS
from extauthz.decide.pipeline import decide
from extauthz.decide.upstream import upstream_changes
from extauthz.domain.decision import Allow, Deny
from extauthz.domain.request import Network
from extauthz.observe.check_metrics import CheckMetrics
from extauthz.replay.memory import MemoryReplayStore
from extauthz.wire.servicer import Servicer
from tests.unit.auth import ticket
from tests.unit.building import DIGEST, NONE, NOW_MS, api, request, signed, snapshot
from tests.unit.wire.checking import answer, check_request

TICKET = frozenset({"ticket"})
GOOD = {"x-ticket": ticket.VALID.decode()}


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setitem(METHODS, ticket.METHOD.name, ticket.METHOD)


def outcome(sent, *alternatives, **changes):
    decision = decide(sent, snapshot(api(*alternatives, **changes)), NOW_MS)
    return decision.label if isinstance(decision, Allow) else decision.reason.label


def test_a_fifth_method_is_chosen_and_verified_like_the_others():
    assert outcome(request(headers=GOOD), TICKET) == "allowed"
    assert outcome(request(headers={"x-ticket": "forged"}), TICKET) == "app_code_unknown"
    assert outcome(request(), TICKET) == "credential_missing"
    assert outcome(request(headers=GOOD), DIGEST) == "method_refused"
    assert outcome(signed(), TICKET) == "method_refused"


def test_a_fifth_method_combines_with_the_others():
    both = {DIGEST, "ticket"}
    assert outcome(signed(), both) == "credential_missing"
    assert outcome(signed(headers=GOOD), both) == "allowed"
    assert outcome(signed(headers=GOOD), DIGEST, TICKET) == "credential_ambiguous"
    assert outcome(request(headers=GOOD), NONE, TICKET) == "allowed"
    assert outcome(request(headers={"x-ticket": "forged"}), NONE, TICKET) == "app_code_unknown"


def test_an_app_of_a_fifth_method_needs_a_grant_as_every_app_does():
    decision = decide(request(headers=GOOD), snapshot(api(TICKET), grants=[]), NOW_MS)
    assert isinstance(decision, Deny)
    assert decision.reason.label == "not_granted"
    assert decision.about.method == "ticket"


def removed(sent, *alternatives, **changes):
    known = snapshot(api(*alternatives, **changes))
    decision = decide(sent, known, NOW_MS)
    assert isinstance(decision, Allow)
    settled = upstream_changes(decision.about, Network.INTERNET, "id", (), known.gateway.settings)
    return {*settled.remove_headers, *decision.extra.misspelled}


def test_the_credential_of_a_fifth_method_is_taken_off_where_the_api_says_so():
    assert "x-ticket" in removed(request(headers=GOOD), TICKET, strip_credentials=True)
    assert "x-ticket" not in removed(request(headers=GOOD), TICKET)
    assert "x-ticket" in removed(signed(headers=GOOD), {DIGEST, "ticket"}, strip_credentials=True)
    assert "x-ticket" in removed(request(), NONE, TICKET), "nobody verified what could stand there"


def test_no_look_alike_of_a_fifth_methods_header_passes():
    assert "x_ticket" in removed(request(headers={**GOOD, "x_ticket": "admin"}), TICKET)


def test_a_fifth_method_is_counted_by_its_name_and_envoy_is_answered():
    held = snapshot(api(TICKET, strip_credentials=True))
    told = CheckMetrics(held.gateway.apis)
    serving = Servicer(held, MemoryReplayStore(10), told, lambda: NOW_MS)
    allowed = answer(check_request(path="/v1/orders", headers=GOOD), serving)
    assert allowed.status.code == 0
    assert "x-ticket" in allowed.ok_response.headers_to_remove
    assert answer(check_request(path="/v1/orders", headers={"x-ticket": "forged"}), serving).status.code != 0
    counted = {
        (sample.labels["method"], sample.labels["decision"]): sample.value
        for family in told.collect()
        if family.name == "extauthz_checks"
        for sample in family.samples
    }
    assert counted == {("ticket", "allow"): 1, ("ticket", "deny"): 1}
