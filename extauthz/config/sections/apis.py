"""What an API asks of its callers, and whether any caller could meet it."""

from collections.abc import Iterable, Iterator
from typing import Final

from extauthz.config.problems import KeyPath
from extauthz.config.schema import ApiEntry
from extauthz.config.sections.paths import method_fault, template_fault
from extauthz.domain.api import AppCodeMode, AuthMethod, AuthPolicy
from extauthz.domain.jwt import JwtPlugin, TokenPlace

NEVER_LISTED: Final = frozenset(
    {"accept", "content-md5", "content-type", "date", "x-ca-signature", "x-ca-signature-headers"}
)
"""Headers, in lower case, that no client can sign by listing them: four have a line of their own in the string to sign,
two are the signature (vendor doc 29475)."""


def entry_faults(entry: ApiEntry) -> Iterator[tuple[KeyPath, str]]:
    """What is wrong with an API's path and methods: where, and the cure."""
    fault = template_fault(entry.path) if entry.path is not None else ""
    if fault:
        yield ("path",), fault
    elif entry.lenient_path_parameters and "{" not in (entry.path or ""):
        yield ("lenient_path_parameters",), "has no effect: the `path` of this API has no `{name}`; leave it out"
    for position, method in enumerate(entry.methods):
        fault = method_fault(method)
        if fault:
            yield ("methods", position), fault


def policy_faults(policy: AuthPolicy, entry: ApiEntry, jwt: JwtPlugin | None) -> Iterator[str]:
    """What is wrong with what an API asks for on one network. That it asks for JWT without a plug-in is not told."""
    for alternative in policy.alternatives:
        if {AuthMethod.DIGEST, AuthMethod.APP_CODE} <= alternative:
            yield "digest and appcode cannot both be asked for; both prove the same thing, an app"
    if jwt is not None and jwt.bypass_empty_token and policy.methods > {AuthMethod.JWT}:
        yield (
            f"plug-in `{jwt.id}` has `bypass_empty_token`, which goes with plain `jwt` only; "
            "write `any_of` to say what opens the API without a token"
        )
    if AuthMethod.APP_CODE in policy.methods and entry.app_code == "off":
        yield "asks for appcode but `app_code` is off"


def strip_faults(entry: ApiEntry, jwt: JwtPlugin | None, policies: Iterable[AuthPolicy]) -> Iterator[str]:
    """What `strip_credentials` cannot take off: Envoy removes headers, and nothing else without changing the rest."""
    methods = frozenset(method for policy in policies for method in policy.methods)
    if AuthMethod.JWT in methods and jwt is not None and jwt.place is not TokenPlace.HEADER:
        yield (
            f"cannot take the token of plug-in `{jwt.id}` off a request: it stands in the {jwt.place.value}; "
            "say `strip_credentials: false` here, or `parameter_location: header` in the plug-in"
        )
    if AuthMethod.APP_CODE in methods and entry.app_code is AppCodeMode.HEADER_QUERY:
        yield "cannot take an AppCode off the query; say `strip_credentials: false` here, or `app_code: header`"


def never_signed(names: list[str]) -> Iterator[tuple[int, str]]:
    """The entries of `require_signed` that no request could meet, by position, each with the cure."""
    for position, name in enumerate(names):
        if name.lower() in NEVER_LISTED:
            yield position, f"no client can list `{name}` as signed: it is part of every signature; take it out"
