"""Shares of the replay store: whoever floods it is refused, and all others go on being served."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.client import SigningOptions
from extauthz.decide.pipeline import decide
from extauthz.decide.replay import Outcome, settle
from extauthz.domain import reason
from extauthz.domain.app import App, Grant, KeyPair
from extauthz.domain.decision import Deny, OneTimeKind, OneTimeUse
from extauthz.domain.request import Stage
from extauthz.domain.settings import Settings
from extauthz.domain.snapshot import Snapshot
from extauthz.domain.snapshot.directory import build_directory
from extauthz.domain.snapshot.gateway import build_gateway
from extauthz.replay.memory import MAX_NAMED, NOT_NAMED, MemoryReplayStore
from tests.unit.building import NOW_MS, api, signed, snapshot

LIVES_MS = 900_000


def use(holder: str, number: int, kind: OneTimeKind = OneTimeKind.NONCE) -> OneTimeUse:
    name = f"{kind}:{holder}:{number}".encode()
    return OneTimeUse(name, NOW_MS + LIVES_MS, b"", reason.NONCE_USED, b"proof of " + name, holder, kind)


def flood(store: MemoryReplayStore, holder: str, kind: OneTimeKind = OneTimeKind.NONCE) -> int:
    """How many values one holder gets in before it is refused."""
    number = 0
    while store.record(use(holder, number, kind), NOW_MS) is Outcome.FIRST:
        number += 1
    return number


def test_one_flooding_app_ends_at_its_share_and_every_other_app_is_served():
    apps = {name: App(name) for name in ("flooder", "honest")}
    pairs = [KeyPair(app.id, f"key-of-{name}", b"secret-0001") for name, app in apps.items()]
    orders = api()
    grants = [Grant(name, orders.id, Stage.RELEASE) for name in apps]
    gateway = build_gateway("r", NOW_MS, Settings(), [orders])
    known = Snapshot(gateway, build_directory("r", apps.values(), pairs, [], grants))
    store = MemoryReplayStore(100)

    def ask(app: str, nonce: str) -> str:
        options = SigningOptions(timestamp_ms=NOW_MS + LIVES_MS, nonce=nonce)
        decision = decide(signed(key=f"key-of-{app}", secret="secret-0001", options=options), known, NOW_MS)
        for one in decision.uses:
            decision = settle(decision, one, store.record(one, NOW_MS))
        return decision.reason.label if isinstance(decision, Deny) else decision.label

    assert [ask("flooder", f"n-{number}") for number in range(300)].count("allowed") == 50
    assert ask("flooder", "another") == "replay_share_full"
    assert {ask("honest", f"n-{number}") for number in range(20)} == {"allowed"}
    assert store.nonces.refused == {"flooder": 251}
    assert store.nonces.largest_holders(5) == [("flooder", 50), ("honest", 20)]


def test_jtis_and_nonces_take_no_room_from_each_other():
    store = MemoryReplayStore(10, 4)
    flood(store, "plug-in", OneTimeKind.JTI)
    assert len(store.jtis) == 2
    assert flood(store, "app") == 5
    assert store.record(use("other plug-in", 1, OneTimeKind.JTI), NOW_MS) is Outcome.FIRST


@pytest.mark.parametrize(("share", "expected"), [(0.25, 25), (0.5, 50), (0.75, 75), (1, 100)])
def test_an_app_that_is_alone_gets_its_share_of_the_room(share, expected):
    store = MemoryReplayStore(100, share=share)
    assert flood(store, "alone") == expected
    refused = Outcome.FULL if share == 1 else Outcome.SHARE_FULL
    assert store.record(use("alone", -1), NOW_MS) is refused


def test_what_an_app_used_before_is_known_as_used_when_its_share_is_full():
    store = MemoryReplayStore(10)
    flood(store, "app")
    assert store.record(use("app", 0), NOW_MS) is Outcome.USED


def test_a_share_is_given_back_when_its_values_have_expired():
    store = MemoryReplayStore(10)
    assert flood(store, "app") == 5
    later = use("app", -1)._replace(expires_ms=NOW_MS + 3 * LIVES_MS)
    assert store.record(later, NOW_MS + LIVES_MS + 1) is Outcome.FIRST
    assert store.nonces.largest_holders(5) == [("app", 1)]


@given(st.integers(1, 6), st.integers(100, 1000))
def test_each_flooding_app_gets_half_of_what_the_ones_before_have_left(flooders, capacity):
    store = MemoryReplayStore(capacity)
    for number in range(flooders):
        flood(store, f"flooder-{number}")
    left = capacity - len(store)
    assert left >= capacity >> flooders
    assert flood(store, "newcomer") == (left + 1) // 2


def test_as_many_apps_as_have_no_end_are_named_in_metrics_and_no_more():
    store = MemoryReplayStore(1_000_000, share=1e-9)
    for number in range(MAX_NAMED + 10):
        assert flood(store, f"app-{number}") == 1
    assert len(store.nonces.refused) == MAX_NAMED + 1
    assert store.nonces.refused[NOT_NAMED] == 10


def test_a_denial_for_a_full_share_names_the_app_to_the_operator_and_not_to_the_caller():
    store = MemoryReplayStore(4)
    flood(store, "app")
    decision = decide(signed(), snapshot(api()), NOW_MS)
    denied = settle(decision, use("app", 9), Outcome.SHARE_FULL)
    assert isinstance(denied, Deny)
    assert denied.reason is reason.REPLAY_SHARE_FULL
    assert "'app'" in denied.detail
    assert denied.fact == ""
