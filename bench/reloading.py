"""A reload under load: latency at a fixed rate while a configuration with many apps is loaded."""

import os
import secrets
import signal
import sys
import threading
import time
from itertools import count

from bench import requests
from bench.distinct import ask_all
from bench.lanes import Lane
from bench.load import Round
from bench.pauses import first_key, write_apps
from bench.scenarios import AT_A_RATE, Bench
from bench.servers import SERVER_CORE, Server, free_port
from bench.traffic import Judge

RATE = 1000
APPS = 100_000
SECONDS = 40.0
"""Of a turn. A reload of so many apps takes two thirds of it, with that load beside it."""
_AFTER_S = 1.0


def reload_lane(bench: Bench) -> Lane:
    """Signed checks at a fixed rate; a second later all owners change, and a HUP."""
    file = bench.folder / "reloaded.yaml"
    file.touch(mode=0o600)
    ports, secret = (free_port(), free_port()), secrets.token_hex(16)
    write_apps(file, APPS, "before", ports, secret)
    process, log = bench.servers.run(
        "reloaded", [sys.executable, "-m", "extauthz", "serve", "--config", str(file)], SERVER_CORE
    )
    bench.servers.wait_ready("reloaded", process, log, f"http://127.0.0.1:{ports[1]}/readyz")
    server = Server("reloaded", f"127.0.0.1:{ports[0]}", process)
    numbers = count()

    def reload(owner: str) -> None:
        time.sleep(_AFTER_S)
        write_apps(file, APPS, owner, ports, secret)
        os.kill(process.pid, signal.SIGHUP)

    def turn() -> Round:
        app = first_key(), secret
        asked = [requests.signed_check(bench.world, next(numbers), app) for _ in range(round(RATE * SECONDS))]
        threading.Thread(target=reload, args=(f"owner-{next(numbers)}",), daemon=True).start()
        done = log.read_text().count("reloaded: revision")
        measured = ask_all(server.address, asked, Judge(), server.cpu_s, RATE)
        if log.read_text().count("reloaded: revision") == done:
            raise RuntimeError("the reload took longer than the load")
        return measured

    facts = {"load": f"own driver, open loop, {RATE}/s", "rate": RATE, "server": "reloaded", "apps": APPS}
    words = f"signed, while {APPS:,} apps are reloaded"
    return Lane("reload_under_load", turn, "", AT_A_RATE, words, facts, server.rss_mib)
