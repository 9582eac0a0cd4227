"""``python -m demo``: start Envoy, service and backend, play the calls, stay up until Ctrl-C."""

import argparse
import contextlib
import signal
import sys
import time
from types import FrameType

from rich.console import Console
from rich.table import Table

from demo.calls import Played, broken_call, curl_of, demo_calls, fresh_curl_line, play
from demo.keys import make_keys
from demo.registry import RegistryAct, Step, with_registry
from demo.stack import ROOT, Ports, Stack, StartError
from extauthz.config import load
from extauthz.domain.clock import wall_clock_ms
from extauthz.explain.explained import Asked, explain
from extauthz.explain.terminal import print_outcome
from extauthz.transport.choice import has_front
from extauthz.wire.asking import Entrance, HttpRequest, question


def main() -> int:
    """Run the demo; 0 when every call ended as expected."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="end after the table instead of waiting for Ctrl-C")
    parser.add_argument("--curl", action="store_true", help="print a curl line under each call")
    arguments = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 150)

    folder = ROOT / ".demo"
    folder.mkdir(exist_ok=True)
    private_jwk = make_keys(folder)
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, _stop)
    try:
        stack = Stack(folder, Ports(), config=with_registry(folder))
        stack.start(lambda what: console.print(f"starting {what} ..."))
    except (StartError, OSError) as error:
        console.print(f"[red]could not start:[/red] {error}")
        console.print(f"the demo needs these ports of 127.0.0.1: {sorted(Ports().replacements())}")
        return 1
    try:
        played = list(play(stack, demo_calls(private_jwk)))
        show(console, stack, played, with_curl=arguments.curl)
        broken = next(play(stack, [broken_call()]))
        played.append(broken)
        explain_call(console, stack, broken)
        steps = play_registry(console, stack)
        if not arguments.once:
            stay(console, stack)
    finally:
        stack.stop()
    return 0 if all(one.as_expected for one in played) and all(one.as_expected for one in steps) else 1


def show(console: Console, stack: Stack, played: list[Played], *, with_curl: bool) -> None:
    """The table of calls."""
    table = Table("", "network", "call", "shows", "expected", "got", "what the caller is told")
    for one in played:
        call = one.call
        table.add_row(
            "[green]ok[/green]" if one.as_expected else "[red]DIFFERS[/red]",
            call.network,
            f"{call.method} {call.path}",
            call.shows,
            f"{call.status} {call.code}",
            f"{one.status} {one.code}",
            one.message[:60] if one.as_expected else "; ".join(one.faults),
        )
    console.print(table)
    if with_curl:
        for one in played:
            print(f"# {one.call.shows}\n{curl_of(stack, one.call)}")
    differing = sum(not one.as_expected for one in played)
    transport = "front" if has_front() else "grpcio (make front builds the fast one)"
    console.print(f"{len(played)} calls through Envoy, {differing} not as expected; transport: {transport}")


def explain_call(console: Console, stack: Stack, played: Played) -> None:
    """Why a call was denied, as ``extauthz explain`` says it."""
    call = played.call
    console.print(f"\nOne more, {call.shows}: got {played.status} {played.code}. Why? `extauthz explain` says:\n")
    sent = tuple((name, value.encode()) for name, value in call.headers.items())
    asked = question(HttpRequest(call.method, call.path, "127.0.0.1:8080", sent, call.body), Entrance())
    print_outcome(console, explain(Asked(asked), load(stack.config_file).snapshot, wall_clock_ms()))


def play_registry(console: Console, stack: Stack) -> list[Step]:
    """The registry's act and its table."""
    console.print("\nNow an app that is made, granted, rotated and revoked while all this runs (docs/registry.md):")
    act = RegistryAct(stack)
    try:
        steps = list(act.play())
    finally:
        act.close()
    table = Table("", "what happens", "by", "the next signed call", "decided so after")
    for step in steps:
        mark = "[green]ok[/green]" if step.as_expected else f"[red]DIFFERS[/red]: {step.got}"
        table.add_row(mark, step.did, step.command, step.expected, f"{step.seconds * 1000:.0f} ms")
    console.print(table)
    return steps


def stay(console: Console, stack: Stack) -> None:
    """Keep everything up until Ctrl-C, or until a process ends."""
    console.print("\nUp until Ctrl-C. A signed call of your own (works once: try it twice):\n")
    print(fresh_curl_line(stack))
    console.print(
        "\nAnd: extauthz call GET http://127.0.0.1:8080/v1/orders --app-key demo-app-key-0001"
        "\nBreak its signature, and find the cause:"
        "\n     extauthz call GET 'http://127.0.0.1:8080/v1/orders?a=1' --app-key demo-app-key-0001 --dry-run"
        " | sed 's#\\*/\\*#text/html#' > call.txt"
        "\n     extauthz explain -c .demo/extauthz.yaml call.txt"
        "\n\n     metrics http://127.0.0.1:9901/metrics, decisions .demo/decisions.jsonl, Envoy http://127.0.0.1:9902\n"
    )
    with contextlib.suppress(KeyboardInterrupt):
        while not (ended := stack.has_ended()):
            time.sleep(0.5)
        console.print(f"[red]{ended} has ended by itself:[/red]\n{stack.log(ended)[-2000:]}")


def _stop(_signum: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt  # whoever ends the demo, and however, its processes end with it


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except KeyboardInterrupt:
        raise SystemExit(130) from None
