"""The way of one check when the proof is taken as given, because a person asks or a log tells of it.

These are the steps that serve, from the same table, but for the two that read a credential. No client's request may
ever come here: a contract in pyproject.toml keeps whatever serves from importing this room.
"""

from collections.abc import Callable, Collection
from typing import Final, NamedTuple

from extauthz.decide.credential_choice import which_credential
from extauthz.decide.pipeline import STEPS
from extauthz.decide.progress import Progress
from extauthz.domain import reason
from extauthz.domain.api import Api, AuthMethod
from extauthz.domain.decision import Proof, Refusal
from extauthz.domain.request import Request
from extauthz.domain.snapshot import Snapshot

KEY: Final = "key/"
PREVIOUS: Final = "previous/"
UPSTREAM: Final = "upstream"


class Assumed(NamedTuple):
    """A proof that nobody verifies here."""

    method: str
    """As a decision names it: ``digest``, ``jwt+digest``, ``none``; empty: whichever the API takes from an app, or from
    somebody who is none."""
    app_id: str = ""
    """Empty: the proof is not of an app."""
    credential: str = ""
    """Which credential of the app it was, as ``Proof`` names it; empty: not known."""


class Reached(NamedTuple):
    """How far a check came."""

    check: Progress
    refusal: Refusal | None


def walk(
    request: Request,
    snapshot: Snapshot,
    now_ms: int,
    proof: Assumed | None,
    left_out: Collection[str] = (UPSTREAM,),
    api: Api | None = None,
) -> Reached:
    """Take a check through the steps but those ``left_out``. ``now_ms`` is in milliseconds since 1970.

    ``api`` is known where the step that finds it is left out.

    With ``proof`` None nothing is known of a credential, and the check ends before the step that would choose one.
    Raises DirectoryUnavailable.
    """
    check = Progress(request, snapshot, now_ms)
    if api is not None:
        check.api = api
    for name, run in STEPS:
        if name in left_out:
            continue
        if name in _WITHOUT_CREDENTIAL:
            if proof is None:
                return Reached(check, None)
            refusal = _WITHOUT_CREDENTIAL[name](check, proof)
        else:
            refusal = run(check)
        if refusal is not None:
            return Reached(check, refusal)
    return Reached(check, None)


def _assume_credential(check: Progress, proof: Assumed) -> Refusal | None:
    """Whether the API takes this method on this network."""
    alternatives = check.policy.alternatives
    if not proof.method:
        of_apps = [methods for methods in alternatives if methods & APP_METHODS]
        others = [methods for methods in alternatives if not methods & APP_METHODS]
        fitting = (of_apps or others) if proof.app_id else others
        if not fitting:
            return Refusal(reason.CREDENTIAL_MISSING, detail=f"only an app may call from {check.request.network}")
        check.methods = fitting[0]
        return None
    if proof.method == AuthMethod.NONE:
        return which_credential(check)  # the request that stands for it carries none either
    methods = frozenset(proof.method.split("+"))
    if methods not in alternatives:
        return Refusal(reason.METHOD_REFUSED, detail=f"{proof.method} is not accepted on {check.request.network}")
    check.methods = methods
    return None


def _assume_proof(check: Progress, proof: Assumed) -> Refusal | None:
    """Whether the app that the proof was of exists, and its credential with it."""
    check.method = proof.method or "+".join(sorted(check.methods)) or AuthMethod.NONE
    check.proof = Proof(check.method)
    if not proof.app_id:
        return None
    directory = check.snapshot.directory
    app = directory.app(proof.app_id)
    unknown = reason.APP_CODE_UNKNOWN if AuthMethod.APP_CODE in check.method else reason.APP_KEY_UNKNOWN
    if app is None:
        return Refusal(unknown, detail=f"no app {proof.app_id!r}")
    for prefix in (KEY, PREVIOUS):
        if proof.credential.startswith(prefix):
            pair = directory.key_pair(proof.credential.removeprefix(prefix).encode())
            if pair is None or pair.app_id != app.id:
                return Refusal(unknown, detail=f"the AppKey is not one of app {app.id!r}")
            if prefix == PREVIOUS and pair.previous_at(check.now_ms) is None:
                return Refusal(reason.SIGNATURE_MISMATCH, detail=f"the previous AppSecret of app {app.id!r} has ended")
    check.app = app
    return None


APP_METHODS: Final = frozenset({str(AuthMethod.DIGEST), str(AuthMethod.APP_CODE)})
"""The methods that prove an app."""
_WITHOUT_CREDENTIAL: Final[dict[str, Callable[[Progress, Assumed], Refusal | None]]] = {
    "credential": _assume_credential,
    "proof": _assume_proof,
}
"""What stands in for the steps that read a credential, by their names in STEPS."""
