"""The nonce store: a value passes once, Envoy's own repeat passes with it, and when full it refuses."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.decide.pipeline import decide
from extauthz.decide.replay import REPEAT_MS, Outcome, settle
from extauthz.domain import reason
from extauthz.domain.decision import Allow, Deny, OneTimeUse, Subject, Upstream
from extauthz.replay.memory import MemoryReplayStore
from tests.unit.building import NOW_MS, api, signed, snapshot

LATER_MS = NOW_MS + 900_000


def use(name=b"n", expires_ms=LATER_MS, fingerprint=b"f"):
    return OneTimeUse(name, expires_ms, fingerprint, reason.NONCE_USED)


def test_a_value_passes_once():
    store = MemoryReplayStore(10)
    assert store.record(use(), NOW_MS) is Outcome.FIRST
    assert store.record(use(fingerprint=b"g"), NOW_MS) is Outcome.USED
    assert store.record(use(b"m"), NOW_MS) is Outcome.FIRST


def test_envoys_repeat_passes_within_seconds_and_not_later():
    store = MemoryReplayStore(10)
    store.record(use(), NOW_MS)
    assert store.record(use(), NOW_MS + REPEAT_MS) is Outcome.ASKED_AGAIN
    assert store.record(use(), NOW_MS + REPEAT_MS + 1) is Outcome.USED


def test_without_a_stream_id_nothing_counts_as_envoys_repeat():
    store = MemoryReplayStore(10)
    store.record(use(fingerprint=b""), NOW_MS)
    assert store.record(use(fingerprint=b""), NOW_MS) is Outcome.USED


def test_a_value_is_remembered_through_its_last_millisecond():
    store = MemoryReplayStore(10)
    store.record(use(expires_ms=NOW_MS + 5), NOW_MS)
    assert store.record(use(fingerprint=b"g"), NOW_MS + 5) is Outcome.USED
    assert store.record(use(fingerprint=b"g"), NOW_MS + 6) is Outcome.FIRST


def test_a_full_store_refuses_rather_than_forgets():
    store = MemoryReplayStore(2)
    for name in b"a", b"b":
        assert store.record(use(name), NOW_MS) is Outcome.FIRST
    assert store.record(use(b"c"), NOW_MS) is Outcome.FULL
    assert store.record(use(b"a", fingerprint=b"g"), NOW_MS) is Outcome.USED
    assert len(store) == store.nonces.capacity == 2
    assert store.record(use(b"c"), LATER_MS + 1) is Outcome.FIRST


def test_a_burst_that_expired_at_once_makes_room_again():
    store = MemoryReplayStore(100)
    for number in range(100):
        store.record(use(str(number).encode(), NOW_MS), NOW_MS)
    assert store.record(use(b"new"), NOW_MS + 1) is Outcome.FIRST
    for number in range(4):
        store.record(use(f"more-{number}".encode()), NOW_MS + 1)
    assert len(store) == 5


def test_fifty_threads_racing_with_one_nonce_are_one_first():
    store, barrier, outcomes = MemoryReplayStore(1000), threading.Barrier(50), []

    def race(number):
        barrier.wait()
        outcomes.append(store.record(use(fingerprint=str(number).encode()), NOW_MS))

    threads = [threading.Thread(target=race, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcome.value for outcome in outcomes) == ["first"] + ["used"] * 49


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 50), st.integers(1, 30)), max_size=60))
def test_no_live_value_ever_passes_twice(steps):
    """Against the simplest model there is: a value may pass when none of its earlier lives still lasts."""
    store, alive, now_ms = MemoryReplayStore(100), {}, NOW_MS
    for name, wait_ms, life_ms in steps:
        now_ms += wait_ms
        outcome = store.record(use(bytes([name]), now_ms + life_ms, b""), now_ms)
        if alive.get(name, 0) >= now_ms:
            assert outcome is Outcome.USED
        elif outcome is Outcome.FIRST:
            alive[name] = now_ms + life_ms


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [(Outcome.USED, reason.NONCE_USED), (Outcome.FULL, reason.REPLAY_STORE_FULL),
     (Outcome.UNAVAILABLE, reason.REPLAY_STORE_UNAVAILABLE)],
)  # fmt: skip
def test_what_is_not_recorded_is_denied(outcome, expected):
    allow = Allow("allowed", Subject(), Upstream((), ()), (use(),))
    decision = settle(allow, use(), outcome)
    assert isinstance(decision, Deny)
    assert decision.reason is expected


def play(store, sent, now_ms=NOW_MS, known=None):
    decision = decide(sent, known or snapshot(api()), now_ms)
    for one in decision.uses if isinstance(decision, Allow) else ():
        decision = settle(decision, one, store.record(one, now_ms))
    return decision.label if isinstance(decision, Allow) else decision.reason.label


def test_only_the_same_stream_with_the_same_proof_is_envoys_repeat():
    store = MemoryReplayStore(10)
    assert play(store, signed()) == "allowed"
    assert play(store, signed()) == "asked_again"
    assert play(store, signed(stream_id="stream-2")) == "nonce_used"
    assert play(store, signed(target="/v1/other")) == "nonce_used"
    assert play(store, signed(), now_ms=NOW_MS + REPEAT_MS + 1) == "nonce_used"


def test_a_nonce_holds_until_its_timestamp_is_too_old():
    store = MemoryReplayStore(10)
    assert play(store, signed()) == "allowed"
    assert play(store, signed(stream_id="s"), now_ms=NOW_MS + 900_000) == "nonce_used"
    assert play(store, signed(stream_id="s"), now_ms=NOW_MS + 900_001) == "timestamp_expired"


def test_a_stranger_cannot_burn_a_nonce():
    store = MemoryReplayStore(10)
    assert play(store, signed(secret="wrong")) == "signature_mismatch"
    assert play(store, signed(), known=snapshot(api(), grants=[])) == "not_granted"
    assert len(store) == 0
    assert play(store, signed()) == "allowed"
