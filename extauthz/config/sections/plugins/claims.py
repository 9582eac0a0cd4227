"""Claims in a JWT plug-in's section: each by its name, or by the names that lead to a member of an object."""

from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Discriminator, Field, StrictBool, StrictInt, StrictStr, StringConstraints, Tag

from extauthz.config.names import HeaderName, Section
from extauthz.config.problems import KeyPath
from extauthz.domain.tokens.jwt import ClaimPath, ClaimValue

ClaimName = Annotated[str, StringConstraints(min_length=1, max_length=256)]
ClaimPlace = ClaimName | Annotated[list[ClaimName], Field(min_length=1, max_length=16)]
AcceptedValues = Literal["present"] | Annotated[list[StrictBool | StrictInt | StrictStr], Field(min_length=1)]


class ClaimHeaderEntry(Section):
    """A claim that goes upstream in a header.

    ```yaml
    claim: [realm_access, tenant]
    header: X-Tenant
    ```
    """

    claim: ClaimPlace = Field(description="its name, or for a member of an object the names that lead to it")
    header: HeaderName = Field(description="the header; clients' copies never pass")


class RequiredClaimEntry(Section):
    """A claim that tokens must have.

    ```yaml
    claim: [realm_access, tenant]
    values: [acme, beta]
    ```
    """

    claim: ClaimPlace = Field(description="its name, or for a member of an object the names that lead to it")
    values: AcceptedValues = Field(description="accepted values, or the word present")


def _form(value: Any) -> str:
    return "listed" if isinstance(value, list) else "by name"


ClaimHeaders = Annotated[
    Annotated[dict[ClaimName, HeaderName], Tag("by name")] | Annotated[list[ClaimHeaderEntry], Tag("listed")],
    Discriminator(_form),
]
RequiredClaims = Annotated[
    Annotated[dict[ClaimName, AcceptedValues], Tag("by name")] | Annotated[list[RequiredClaimEntry], Tag("listed")],
    Discriminator(_form),
]


class ToldClaim(NamedTuple):
    """A claim of ``claim_headers``, in whichever form it was written."""

    place: KeyPath
    claim: ClaimPath
    header: str


def told_claims(section: dict[str, str] | list[ClaimHeaderEntry]) -> list[ToldClaim]:
    """``claim_headers`` with every claim as a path."""
    if isinstance(section, dict):
        return [ToldClaim(("claim_headers", claim), (claim,), header) for claim, header in section.items()]
    return [
        ToldClaim(("claim_headers", index, "header"), _path(entry.claim), entry.header)
        for index, entry in enumerate(section)
    ]


def demanded_claims(section: RequiredClaims) -> list[tuple[ClaimPath, tuple[ClaimValue, ...] | None]]:
    """``required_claims`` with every claim as a path; None where any value will do."""
    if isinstance(section, dict):
        return [((claim,), _accepted(values)) for claim, values in section.items()]
    return [(_path(entry.claim), _accepted(entry.values)) for entry in section]


def _accepted(values: Literal["present"] | list[ClaimValue]) -> tuple[ClaimValue, ...] | None:
    return None if values == "present" else tuple(values)


def _path(claim: str | list[str]) -> ClaimPath:
    return (claim,) if isinstance(claim, str) else tuple(claim)
