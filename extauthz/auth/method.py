"""What an authentication method is to everybody else: all that a new one has to bring."""

from collections.abc import Callable
from typing import NamedTuple

from extauthz.domain.api import Api
from extauthz.domain.decision import Proof, Refusal
from extauthz.domain.request import Request
from extauthz.domain.snapshot import Snapshot


class Method(NamedTuple):
    """A name and four pure functions."""

    name: str
    """As policies, logs and metrics call it."""
    is_presented: Callable[[Request, Api], bool]
    """Whether the request carries this method's credential, right or wrong."""
    authenticate: Callable[[Request, Api, Snapshot, int], Proof | Refusal]
    """Verify the credential. The time is in milliseconds since 1970; what may be used once is named in the proof."""
    credential_headers: Callable[[Api], tuple[str, ...]]
    """Lower-case names of the headers in which the credential stands: they are taken off where an API asks for it."""
    absent: Callable[[Api], Refusal | None] | None = None
    """What is answered where an API takes this method alone and its credential is missing; None lets the call pass as
    anonymous. A method without this function is answered for as all others are: credential missing."""
