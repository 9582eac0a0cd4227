"""Rules for how the process runs: whom it tells what, and what it forgets."""

from collections.abc import Iterator
from typing import Final

from extauthz.config.problems import Warned
from extauthz.domain.address import Address
from extauthz.lint.finding import Level, Rule, Spot, Subject, rule, warned

traces_in_plain_text = warned(
    Warned.TRACES_IN_PLAIN_TEXT,
    Level.WARNING,
    why="Who calls what, and the collector's key, can be read on the way.",
    cure="an endpoint with https://",
)
traces_without_path = warned(
    Warned.TRACES_WITHOUT_PATH,
    Level.WARNING,
    why="A collector answers 404 to spans that come to its root, and they are lost.",
    cure="add /v1/traces to the endpoint",
)
redis_in_plain_text = warned(
    Warned.REDIS_IN_PLAIN_TEXT,
    Level.WARNING,
    why="Whoever is on the way has the password, and can remove nonces so that requests may be replayed.",
    cure="rediss://",
)


@rule(
    "checks-in-plain-text",
    Level.NOTE,
    why="Each check holds the credentials of a request, and whoever reaches the port may ask.",
    cure="`tls` with `allowed_clients` on the listener, or an address on loopback or a Unix socket",
)
def checks_in_plain_text(subject: Subject) -> Iterator[Spot]:
    for index, listen in enumerate(subject.config.file.listen):
        if listen.insecure and not Address.parse(listen.address).is_local:
            yield Spot(("listen", index, "insecure"), f"{listen.address} takes checks without TLS")


@rule(
    "nonces-forgotten",
    Level.NOTE,
    why="Each worker remembers nonces for itself: one request can be replayed once at each of the others.",
    cure="a shared store, `replay: {redis: {url: ...}}`",
)
def nonces_forgotten(subject: Subject) -> Iterator[Spot]:
    if subject.config.file.replay.redis is None and subject.config.file.replay.scope == "per_worker":
        yield Spot(("replay", "scope"), "nonces are remembered by each worker alone")


RULES: Final[tuple[Rule, ...]] = (
    traces_in_plain_text,
    traces_without_path,
    redis_in_plain_text,
    checks_in_plain_text,
    nonces_forgotten,
)
