"""What valgrind is given to count is every lane, answered as intended."""

import os
import sys

from bench import counts, inprocess
from bench.world import World
from extauthz.wire.servicer import Servicer


def test_every_lane_is_counted_between_two_marks_and_is_answered_as_intended(tmp_path, monkeypatch):
    world, happened = World(), []

    class Watched(Servicer):
        def check(self, payload, binding=None):
            answer = super().check(payload, binding)
            happened.append(answer)
            return answer

    monkeypatch.setattr(inprocess, "Servicer", Watched)
    monkeypatch.setattr(os, "getloadavg", lambda: happened.append("mark"))
    config = world.write(tmp_path, "c", address="127.0.0.1:1", operations="127.0.0.1:2", transport="auto")
    monkeypatch.setattr(sys, "argv", ["counts", str(config), str(counts.write_requests(world, tmp_path))])
    counts.main()
    for lane in counts.LANES:
        begin = happened.index("mark")
        end = happened.index("mark", begin + 1)
        counted, happened = happened[begin + 1 : end], happened[end + 1 :]
        assert len(counted) == counts.COUNTED
        for answer in counted:
            inprocess.expect(answer, {counts.NONCE: "digest_get", counts.FIRST_SEEN: "jwt_repeated"}.get(lane, lane))
    assert not happened
