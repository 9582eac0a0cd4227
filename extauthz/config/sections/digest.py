"""How an API reads signed requests, and what no signed request could have."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, Final, cast

from pydantic import Field

from extauthz.config.names import Algorithm, HeaderName, Section, switch
from extauthz.domain.api import DigestRules, Strictness
from extauthz.domain.horizon import VENDORS_WINDOW_MS

NEVER_LISTED: Final = frozenset(
    {"accept", "content-md5", "content-type", "date", "x-ca-signature", "x-ca-signature-headers"}
)
"""Headers, in lower case, that no client can sign by listing them: four have a line of their own in the string to sign,
two are the signature (vendor doc 29475)."""
Window = Annotated[timedelta, Field(gt=timedelta(0), le=timedelta(days=1))]
_DEFAULTS: Final = DigestRules()
VENDORS_WINDOW: Final = timedelta(milliseconds=VENDORS_WINDOW_MS)


class Digest(Section):
    """How an API reads signed requests.

    ```yaml
    algorithms: [HmacSHA256]
    window: 900
    require_timestamp: true
    require_nonce: true
    require_signed: [X-Tenant]
    strict: on
    ```
    """

    algorithms: Annotated[list[Algorithm], Field(min_length=1)] = Field(
        default=cast("list[Algorithm]", sorted(_DEFAULTS.algorithms)),
        description="what X-Ca-Signature-Method may name; HmacSHA1 is for old clients only",
    )
    window: Window = Field(
        VENDORS_WINDOW, description="allowed clock difference, both ways: seconds or ISO 8601 (PT15M)"
    )
    require_timestamp: bool = Field(_DEFAULTS.require_timestamp, description="refuse requests without X-Ca-Timestamp")
    require_nonce: bool = Field(_DEFAULTS.require_nonce, description="refuse requests without X-Ca-Nonce")
    require_signed: list[HeaderName] = Field(
        default_factory=list, description="headers that every signature must cover"
    )
    strict: Annotated[Strictness, switch(on="on", off="off")] = Field(
        _DEFAULTS.strict, description="on: refuse what two readers could take for two things; warn: pass and count it"
    )


def digest_rules(defaults: Digest, own: Digest) -> DigestRules:
    """What an API states for itself, and the defaults for the rest."""
    stated = {name: getattr(own, name) for name in own.model_fields_set}
    section = defaults.model_copy(update=stated)
    return DigestRules(
        algorithms=frozenset(section.algorithms),
        window_ms=int(section.window.total_seconds() * 1000),
        require_timestamp=section.require_timestamp,
        require_nonce=section.require_nonce,
        require_signed=frozenset(name.lower() for name in section.require_signed),
        strict=section.strict,
    )


def never_signed(names: list[str]) -> Iterator[tuple[int, str]]:
    """The entries of `require_signed` that no request could meet, by position, each with the cure."""
    for position, name in enumerate(names):
        if name.lower() in NEVER_LISTED:
            yield position, f"no client can list `{name}` as signed: it is part of every signature; take it out"
