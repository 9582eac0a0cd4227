"""A value that comes later: it is handed over once, and nothing of it is left for the collector."""

import gc

import pytest

from extauthz.later import Later


@pytest.mark.parametrize("wanted_first", [True, False])
def test_it_is_handed_over_whoever_is_first(wanted_first):
    later: Later[str] = Later()
    got: list[str] = []
    steps = [lambda: later.then(got.append), lambda: later.come("here")]
    for step in steps if wanted_first else reversed(steps):
        assert got == []
        step()
    assert got == ["here"]


def test_a_value_that_is_nothing_comes_too():
    later: Later[None] = Later()
    later.come(None)
    got: list[None] = []
    later.then(got.append)
    assert got == [None]


def test_what_is_done_with_it_may_know_it_and_is_still_freed_at_once():
    gc.collect()
    gc.disable()
    try:
        for _ in range(100):
            later: Later[int] = Later()
            later.then(lambda value, known=later: (value, known))
            later.come(1)
        del later
        assert gc.collect() == 0
    finally:
        gc.enable()
