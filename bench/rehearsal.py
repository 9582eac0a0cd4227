"""How fast a decision log is rehearsed: ``python -m bench.rehearsal [lines]`` writes one, and decides it again.

The log is one that the service would write: 200 APIs, 1,000 apps, paths with ids, an allow in nine of ten lines.
"""

import random
import resource
import sys
import tempfile
import time
from pathlib import Path

from extauthz.domain import reason
from extauthz.domain.api import Api, ApiGroup, AuthMethod, AuthPolicy
from extauthz.domain.app import App, Grant
from extauthz.domain.decision import Allow, Deny, Subject
from extauthz.domain.request import Delivery, Network, Request, Stage
from extauthz.domain.settings import Settings
from extauthz.domain.snapshot import Snapshot
from extauthz.domain.snapshot.directory import build_directory
from extauthz.domain.snapshot.gateway import build_gateway
from extauthz.observe.decision_line import LineMaker, entry_of
from extauthz.rehearse.rehearsal import rehearse
from extauthz.wire.checked import checked

NOW_MS = 1_700_000_000_000


def world(granted: int) -> Snapshot:
    """A snapshot in which ``granted`` of each thousand grants are there."""
    group = ApiGroup("shop", frozenset({"api.example.com", "*.example.com"}))
    policy = AuthPolicy((frozenset({AuthMethod.DIGEST}),))
    apis = [
        Api(f"api-{number}", group, frozenset({"GET", "POST"}), f"/v1/things-{number}/{{id}}/parts", frozenset(Stage),
            {Network.INTERNET: policy, Network.VPC: policy})
        for number in range(200)
    ]  # fmt: skip
    apps = [App(f"app-{number}", "shop") for number in range(1000)]
    grants = [
        Grant(app.id, api.id, Stage.RELEASE)
        for app in apps
        for number, api in enumerate(apis)
        if hash((app.id, number)) % 1000 < granted
    ]
    gateway = build_gateway("gateway", NOW_MS, Settings(), apis)
    return Snapshot(gateway, build_directory("directory", apps, [], [], grants))


def write(log: Path, lines: int, held: Snapshot) -> None:
    """Write a log of so many decisions."""
    draw = random.Random(1)
    maker = LineMaker(lambda _: 1.0)
    apis = list(held.gateway.apis.values())
    with log.open("w") as opened:
        for number in range(lines):
            api, app = draw.choice(apis), App(f"app-{draw.randrange(1000)}", "shop")
            path = (api.path or "").replace("{id}", str(number))
            sent = Request("", "GET", "api.example.com", path, "", {"x-ca-stage": b"RELEASE"}, frozenset(), b"",
                           Delivery.WHOLE, Network.INTERNET, "", "192.0.2.1", {})  # fmt: skip
            about = Subject(api, Stage.RELEASE, "digest", app)
            decision = Allow("allowed", about) if draw.random() < 0.9 else Deny(reason.NOT_GRANTED, about)
            record = checked(f"{number:036d}", 0.0, Network.INTERNET, sent, decision, held, held.revision)
            opened.write(maker.line(entry_of(record)))


def main() -> None:
    """Write, rehearse, report."""
    lines = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "decisions.jsonl"
        held = world(1000)
        write(log, lines, held)
        other = world(990)
        before = resource.getrusage(resource.RUSAGE_SELF)
        started = time.perf_counter()
        tally = rehearse([log], other)
        seconds = time.perf_counter() - started
        after = resource.getrusage(resource.RUSAGE_SELF)
        print(
            f"{tally.lines:,} lines, {log.stat().st_size >> 20} MiB: {seconds:.1f} s, of which "
            f"{after.ru_utime - before.ru_utime:.1f} s of processor time; memory grew by "
            f"{(after.ru_maxrss - before.ru_maxrss) >> 10} MiB; {tally.changed:,.0f} changes, "
            f"{len(tally.groups()):,} groups"
        )


if __name__ == "__main__":
    main()
