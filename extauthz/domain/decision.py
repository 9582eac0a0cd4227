"""What a check can end in: an allow or a deny, nothing between."""

from enum import StrEnum
from typing import NamedTuple

from extauthz.domain.api import Api
from extauthz.domain.app import App
from extauthz.domain.reason import Reason
from extauthz.domain.request import Stage


class Refusal(NamedTuple):
    """A step's answer when the request may not go on."""

    reason: Reason
    fact: str = ""
    """What the caller is told in the message's ``{fact}``. May hold what the caller sent, never a secret."""
    detail: str = ""
    """What the operator is told in the decision log. Never a credential."""


class OneTimeKind(StrEnum):
    """What may be used once. Each kind has room of its own in the replay store."""

    NONCE = "nonce"
    JTI = "jti"


class OneTimeUse(NamedTuple):
    """A nonce or jti that a proof brought, to be recorded before the request may pass."""

    key: bytes
    """A fixed-length hash, so that clients cannot grow the store with long values."""
    expires_ms: int
    fingerprint: bytes
    """Equal only when Envoy asks again about the same HTTP stream with the same proof; empty: never equal."""
    used: Reason
    """The reason to give when the value was used before."""
    proof: bytes = b""
    """A second key for the same value: a hash of what was signed, whichever API or plug-in it is taken for. A key that
    holds a configured id is worth nothing once that id has changed. Empty: there is none."""
    holder: str = ""
    """Whose share of the store it takes: the app's id, or the plug-in's. Empty: nobody's."""
    kind: OneTimeKind = OneTimeKind.NONCE


class Proof(NamedTuple):
    """What a successful authentication established."""

    method: str
    app: App | None = None
    subject: str = ""
    uses: tuple[OneTimeUse, ...] = ()
    reading: str = ""
    """Which reading of the string to sign matched; empty when the method knows only one."""
    warning: str = ""
    """What strict mode would have refused; empty when nothing."""
    claim_headers: tuple[tuple[str, str], ...] = ()
    credential: str = ""
    """Which credential of the app it was: ``key/APPKEY``, ``previous/APPKEY`` (its older secret), ``code/ID``."""


class Extra(NamedTuple):
    """What goes upstream because of this very request, beside what app and API settle for all of its kind."""

    headers: tuple[tuple[str, str], ...] = ()
    """Identity headers whose value comes from the request, such as the client's address, and claims of its token."""
    misspelled: tuple[str, ...] = ()
    """Headers of the client that a backend could mistake for ours, because they differ in ``_`` and ``-`` only."""


class Upstream(NamedTuple):
    """What changes on the request before it goes on."""

    set_headers: tuple[tuple[str, str], ...]
    """Overwrite every copy that the client sent."""
    remove_headers: tuple[str, ...]


class Subject(NamedTuple):
    """What is known about a check by the time it is decided, for logs, metrics and Envoy's access log."""

    api: Api | None = None
    stage: Stage | None = None
    method: str = ""
    app: App | None = None


class Deny(NamedTuple):
    """The request may not pass."""

    reason: Reason
    about: Subject
    fact: str = ""
    detail: str = ""


class Unproven(NamedTuple):
    """What an allow in shadow tells when its proof turns out to be no proof, because it was used before."""

    about: Subject
    extra: Extra


class Allow(NamedTuple):
    """The request may pass, once ``uses`` are recorded."""

    label: str
    """One of reason.ALLOW_LABELS."""
    about: Subject
    extra: Extra = Extra()
    uses: tuple[OneTimeUse, ...] = ()
    reading: str = ""
    warning: str = ""
    credential: str = ""
    """As the proof names it."""
    would_deny: Deny | None = None
    """What it would be, were it not in shadow; None: an allow like any other."""
    unproven: Unproven | None = None
    """What passes instead when one of ``uses`` was used before; None: nothing."""


Decision = Allow | Deny
