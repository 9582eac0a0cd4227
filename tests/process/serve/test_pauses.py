"""A reload while checks are answered: the event loop goes on turning."""

import pytest

from bench.pauses import measure

LONGEST_MS = 50
"""What is promised is 10, of a machine with nothing else to do."""


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_reload_of_many_apps_lets_the_loop_turn_all_along(tmp_path):
    # In one piece each of its phases takes 50 to 250 ms here. A busy machine gets three tries.
    for attempt in range(3):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        pauses = measure(folder, apps=4000)
        if pauses.gaps_ms[-1] < LONGEST_MS and pauses.at(0.99) < LONGEST_MS / 2:
            return
    raise AssertionError(pauses.histogram())
