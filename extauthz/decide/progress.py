"""One check on its way through the steps: what is asked, and what the steps have found so far."""

from collections.abc import Callable
from typing import Final, NamedTuple

from extauthz.domain.api import Api, AuthPolicy, DomainBinding
from extauthz.domain.app import App
from extauthz.domain.decision import Extra, Proof, Refusal, Subject
from extauthz.domain.request import Request, Stage
from extauthz.domain.snapshot import Snapshot

_NO_BINDING: Final = DomainBinding()
FINDINGS: Final = (
    "path_fault",
    "api",
    "binding",
    "stage",
    "policy",
    "methods",
    "method",
    "proof",
    "app",
    "extra",
)
"""The attributes of Progress that steps set, in the order in which they are found."""


class Progress:
    """What a check asks, and what was found. Each step reads what earlier steps set and sets its own.

    What no step has set yet cannot be read: a step out of its place raises AttributeError, which ends in a denial.
    """

    __slots__ = ("now_ms", "request", "snapshot", *FINDINGS)

    path_fault: str
    """What is ambiguous in the path, where some API may take it all the same; empty for a plain path."""
    api: Api
    binding: DomainBinding
    """What the domain of the call is tied to."""
    stage: Stage
    policy: AuthPolicy
    """Which proofs open the API on the network of the call."""
    methods: frozenset[str]
    """The methods that must all hold; empty for an anonymous call."""
    method: str
    """The method that is being verified or was; empty before, ``none`` for an anonymous call."""
    proof: Proof
    app: App | None
    extra: Extra

    def __init__(self, request: Request, snapshot: Snapshot, now_ms: int) -> None:
        """``now_ms`` is the time in milliseconds since 1970."""
        self.request = request
        self.snapshot = snapshot
        self.now_ms = now_ms
        self.path_fault = ""
        self.binding = _NO_BINDING
        self.method = ""
        self.app = None

    def subject(self) -> Subject:
        """Whom and what the check is about, as far as is known by now."""
        api: Api | None = getattr(self, "api", None)
        stage: Stage | None = getattr(self, "stage", None)
        return Subject(api, stage, self.method, self.app)

    def found(self) -> dict[str, object]:
        """What is known by now, by the names in FINDINGS."""
        return {name: getattr(self, name) for name in FINDINGS if hasattr(self, name)}


class Step(NamedTuple):
    """A rule of the way of one check. All of them have one signature, so that a recorder can stand around each."""

    name: str
    run: Callable[[Progress], Refusal | None]
    """Judge the check: a refusal ends it, None lets it go on to the next step."""
