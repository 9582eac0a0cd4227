"""The memory of verified tokens: bounded, oldest out first, whole under threads."""

import threading
import time

from extauthz.domain.decision import Proof
from extauthz.domain.snapshot.token_memory import TokenMemory, VerifiedToken
from extauthz.domain.tokens.jwk import KeySet

KEYS = KeySet(())


def verified(until_s: float = 100, keys: KeySet = KEYS, subject: str = "") -> VerifiedToken:
    return VerifiedToken(keys, 0, until_s, Proof("jwt", subject=subject))


def name(number: int) -> bytes:
    return number.to_bytes(32, "big")


def test_it_never_holds_more_than_its_capacity_and_the_oldest_goes_first():
    memory = TokenMemory(3)
    for number in range(5):
        memory.remember(name(number), verified(), 0)
    assert [memory.recall(name(number), KEYS, 1) is not None for number in range(5)] == [False, False, True, True, True]
    assert len(memory) == 3


def test_what_has_ended_makes_room_before_anything_that_holds():
    memory = TokenMemory(10)
    for number in range(5):
        memory.remember(name(number), verified(until_s=10), 0)
    memory.remember(name(9), verified(), 50)
    assert len(memory) == 1


def test_an_entry_counts_only_beside_the_key_set_that_verified_it():
    memory = TokenMemory(3)
    memory.remember(name(1), verified(), 0)
    assert memory.recall(name(1), KeySet(()), 1) is None
    assert len(memory) == 0


def test_threads_that_remember_and_recall_at_once_never_see_another_tokens_proof():
    memory, faults = TokenMemory(50), []
    stop = time.monotonic() + 0.5

    def use(seed: int) -> None:
        number = seed
        while time.monotonic() < stop:
            number = (number * 31 + 7) % 200
            found = memory.recall(name(number), KEYS, 1)
            if found is None:
                memory.remember(name(number), verified(subject=str(number)), 1)
            elif found.proof.subject != str(number):
                faults.append(number)

    threads = [threading.Thread(target=use, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
    assert len(memory) <= 54, "at most one more for each thread"
