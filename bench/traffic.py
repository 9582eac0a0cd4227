"""Real traffic: checks that all differ, signed ones with a nonce as every SDK sends it, one in a hundred refused."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import count
from typing import Any, Final

from bench import requests
from bench.distinct import ask_all
from bench.inprocess import WrongAnswer, outcome_of
from bench.lanes import Lane
from bench.load import Round
from bench.scenarios import Bench
from bench.servers import Server
from bench.world import SMALL, World, filler
from extauthz.domain.reason import APP_CODE_UNKNOWN, JWT_INVALID, SIGNATURE_MISMATCH

REAL: Final = "checks that all differ, one in a hundred refused"
AT_A_SHARE: Final = "latency at a share of the peak"
USERS: Final = 1000
"""Whose tokens come again."""
REFUSED_EVERY: Final = 100
_EXPECTED: Final = frozenset({"allowed", *(one.label for one in (SIGNATURE_MISMATCH, APP_CODE_UNKNOWN, JWT_INVALID))})
Make = Callable[[bool], bytes]
"""Makes one check; told whether it is to be refused."""


@dataclass(slots=True)
class Traffic:
    """Makes checks. No number, and so no check, comes twice in a run."""

    world: World
    _numbers: Iterator[int] = field(default_factory=count)
    _tokens: list[str] = field(default_factory=list)

    def signed(self, refused: bool, apps: int = SMALL) -> bytes:
        """A signed GET with a nonce; with more than ``SMALL`` apps each by another one."""
        number = next(self._numbers)
        app = filler(self.world.root(), number * 7919 % (apps - SMALL)) if apps > SMALL else None
        return requests.signed_check(self.world, number, app, spoiled=refused)

    def coded(self, refused: bool) -> bytes:
        """An AppCode."""
        return requests.coded_check(self.world, next(self._numbers), spoiled=refused)

    def unseen(self, refused: bool) -> bytes:
        """A token that was never sent before."""
        number = next(self._numbers)
        return requests.token_check(self.world, requests.make_token(self.world, number), number, spoiled=refused)

    def seen(self, refused: bool) -> bytes:
        """The token of one of so many users."""
        if not self._tokens:
            self._tokens = [requests.make_token(self.world, next(self._numbers)) for _ in range(USERS)]
        number = next(self._numbers)
        return requests.token_check(self.world, self._tokens[number % USERS], number, spoiled=refused)

    def checks(self, make: Make, number: int) -> list[bytes]:
        """So many checks, of which every hundredth is to be refused."""
        return [make(place % REFUSED_EVERY == REFUSED_EVERY - 1) for place in range(number)]


class Judge:
    """Counts answers: what was to be refused was, and nothing else."""

    def __init__(self) -> None:
        self.refused = 0

    def __call__(self, answer: bytes) -> None:
        """Raises WrongAnswer for anything but an allow or a refusal of the proof."""
        outcome = outcome_of(answer)
        if outcome not in _EXPECTED:
            raise WrongAnswer(f"real traffic: {outcome}")
        self.refused += outcome != "allowed"

    def check(self, asked: int) -> None:
        """Raises WrongAnswer unless one in a hundred was refused."""
        if self.refused != asked // REFUSED_EVERY:
            raise WrongAnswer(f"real traffic: {self.refused} of {asked} were refused")


def ask_in_turn(server: Server, traffic: Traffic, make: Make, number: int, rate: float = 0) -> Round:
    """Ask so many different checks; see ``ask_all``."""
    judge = Judge()
    asked = traffic.checks(make, number)
    done = ask_all(server.address, asked, judge, server.cpu_s, rate, server.authority)
    judge.check(number)
    return done


def real_lanes(bench: Bench, traffic: Traffic, servers: dict[str, Server], checks: int) -> Iterator[Lane]:
    """The headline: every method on the front, and signed checks on whatever else there is.

    ``servers``: ``front``, and as far as they are to be measured ``tls``, ``redis``, ``apps`` (a million), ``apis``
    (ten thousand) and ``grpcio``.
    """
    front = servers["front"]

    def lane(name: str, words: str, server: Server, make: Make, number: int, baseline: str = "") -> Lane:
        facts: dict[str, Any] = {"load": "own driver, every check different", "server": server.name}
        turn = partial(ask_in_turn, server, traffic, make, number)
        return Lane(name, turn, baseline, REAL, words, facts, server.rss_mib)

    yield lane("signed", "signed, with a nonce", front, traffic.signed, checks)
    yield lane("appcode", "AppCode", front, traffic.coded, checks)
    ask_in_turn(front, traffic, traffic.seen, 2 * USERS)  # now they have been seen
    yield lane("jwt_seen", f"JWT, {USERS:,} users", front, traffic.seen, checks)
    yield lane("jwt_unseen", "JWT never seen before", front, traffic.unseen, checks // 4)
    more: dict[str, tuple[str, Make, int]] = {
        "tls": ("signed, over TLS", traffic.signed, checks),
        "redis": ("signed, nonces in Redis", traffic.signed, checks),
        "apps": ("signed, by 1,000,000 apps at random", partial(traffic.signed, apps=1_000_000), checks),
        "apis": ("signed, 10,000 APIs", traffic.signed, checks),
        "grpcio": ("signed, on grpcio", traffic.signed, checks // 3),
    }
    for name, (words, make, number) in more.items():
        if name in servers:
            yield lane(f"signed_{name}", words, servers[name], make, number, "signed")


def share_lanes(
    bench: Bench, traffic: Traffic, server: Server, name: str, words: str, peak: Callable[[], float]
) -> Iterator[Lane]:
    """Signed checks at a quarter and a half of a peak, for latency."""
    for share, said in ((0.25, "a quarter"), (0.5, "half")):

        @lru_cache(maxsize=1)
        def rate(share: float = share) -> float:
            return peak() * share

        def turn(rate: Callable[[], float] = rate) -> Round:
            return ask_in_turn(server, traffic, traffic.signed, round(rate() * bench.seconds), rate())

        facts = {"load": f"own driver, open loop, {said} of the peak", "server": server.name}
        yield Lane(f"{name}_at_{share:g}", turn, "", AT_A_SHARE, f"{words}, {said} of its peak", facts, server.rss_mib)
