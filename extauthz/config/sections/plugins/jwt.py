"""``plugins`` of type ``jwt``: which tokens prove a caller, and what of them goes upstream."""

from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, StringConstraints

from extauthz.config.names import Id, Section, written
from extauthz.config.problems import Report, Warn
from extauthz.config.sections.identity_headers import CURE, may_tell_claim
from extauthz.config.sections.plugins.claims import ClaimHeaders, RequiredClaims, demanded_claims, told_claims
from extauthz.config.sections.plugins.keys import JwksEntry, RemoteKeysEntry, remote_keys, stated_keys
from extauthz.domain.tokens.jwk import ALGORITHMS, HMAC_ALGORITHMS, PUBLIC_KEY_ALGORITHMS, KeySet
from extauthz.domain.tokens.jwt import (
    CLOCK_SKEW_S,
    MAX_CLOCK_SKEW_S,
    MAX_TOKEN_BYTES,
    REMEMBERED_TOKENS,
    SEVEN_DAYS_S,
    TOKEN_TYPES,
    ClaimHeader,
    JwtPlugin,
    TokenPlace,
    token_type,
)
from extauthz.domain.tokens.key_source import KeySource, RemoteKeys

_OF_OUR_OWN_VERIFYING: Final = frozenset({"algorithms", "token_types", "max_token_bytes", "remember"})


class JwtEntry(Section):
    """A JWT plug-in. Its keys come from exactly one of jwk, jwks, remote_keys and trust_envoy_jwt_authn.

    ```yaml
    id: login
    type: jwt
    parameter: Authorization
    parameter_location: header
    remote_keys: {oidc_issuer: "https://login.example.com"}
    algorithms: [RS256]
    issuer: https://login.example.com
    audiences: [urn:orders]
    token_types: [jwt, at+jwt]
    required_claims: {tenant: [acme, beta], email: present}
    scopes: ["orders:read"]
    claim_headers: {sub: X-Token-Sub}
    prevent_jti_replay: true
    bypass_empty_token: false
    ignore_expiration_check: false
    clock_skew: 60
    max_lifetime: 604800
    max_token_bytes: 16384
    remember: 10000
    ```

    ```yaml
    id: partners
    type: jwt
    jwks: {file: partners.jwks.json}
    issuers: ["https://a.example.com", "https://b.example.com"]
    audiences: [urn:orders]
    ```

    ```yaml
    id: one-key
    type: jwt
    jwk: {kty: oct, kid: k1, k: c2hhcmVkLXNlY3JldC1vZi10aGlydHktdHdvLWJ5dGVz}
    audiences: [urn:orders]
    ```

    ```yaml
    id: verified-by-envoy
    type: jwt
    trust_envoy_jwt_authn: login_payload
    ```
    """

    id: Id = Field(description="the name by which APIs and groups list it")
    type: Literal["jwt"] = Field(description="what kind of plug-in this is")
    parameter: Annotated[
        str, *written(r"[A-Za-z0-9_.-]{1,128}", "a header, query parameter or cookie: letters, digits, `_`, `.`, `-`")
    ] = Field("Authorization", description="name of the header, query parameter or cookie that holds the token")
    parameter_location: TokenPlace = Field(TokenPlace.HEADER, description="where the token stands")
    jwk: dict[str, Any] | None = Field(None, repr=False, description="one public key, or a shared secret (kty oct)")
    jwks: JwksEntry | None = Field(
        None, union_mode="left_to_right", repr=False, description="a key set: inline, or {file: PATH}"
    )
    remote_keys: RemoteKeysEntry | None = Field(None, description="keys that a provider publishes")
    trust_envoy_jwt_authn: Annotated[str, StringConstraints(min_length=1)] | None = Field(
        None, description="read no token: trust the claims that Envoy's jwt_authn verified, by its payload_in_metadata"
    )
    algorithms: list[str] | None = Field(None, description="those that are accepted; default: what the keys can do")
    issuer: str | None = Field(None, description="what `iss` must be")
    issuers: Annotated[list[str], Field(min_length=1)] | None = Field(None, description="in place of issuer: several")
    audiences: list[str] = Field(default_factory=list, description="one of them must be in `aud`")
    token_types: Annotated[list[str], Field(min_length=1)] = Field(
        default=sorted(TOKEN_TYPES),
        description="accepted `typ`, in any letter case, `application/` or not; a token without one counts as jwt",
    )
    required_claims: RequiredClaims = Field(
        default_factory=dict, description="claim: accepted values, or the word present; or a list of {claim, values}"
    )
    scopes: list[Annotated[str, *written(r"[!#-\[\]-~]+", "one scope, without spaces and quotes")]] = Field(
        default_factory=list, description="all of them must be in the claim scope or scp"
    )
    claim_headers: ClaimHeaders = Field(
        default_factory=dict, description="claim: header sent upstream; or a list of {claim, header}"
    )
    prevent_jti_replay: bool = Field(False, description="a token passes once: its `jti` is remembered until it ends")
    bypass_empty_token: bool = Field(False, description="a request without a token passes, as nobody in particular")
    ignore_expiration_check: bool = Field(False, description="tokens that have ended still pass; for tests only")
    clock_skew: Annotated[int, Field(ge=0, le=MAX_CLOCK_SKEW_S)] = Field(CLOCK_SKEW_S, description="seconds")
    max_lifetime: Annotated[int, Field(gt=0)] = Field(SEVEN_DAYS_S, description="seconds; vendor: 7 days")
    max_token_bytes: Annotated[int, Field(ge=64, le=65_536)] = Field(
        MAX_TOKEN_BYTES, description="longer tokens are refused unread"
    )
    remember: Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        REMEMBERED_TOKENS, description="verified tokens kept, about 2 KB each; 0: verify each time"
    )


def build_jwt(entry: JwtEntry, base: Path, report: Report, note: Warn) -> JwtPlugin | None:
    """A JWT plug-in, or None after reporting what is wrong; ``note`` is told what is sound but worth knowing.

    ``base`` is the folder of the configuration file.
    """
    found = _key_source(entry, base, report, note)
    if found is None:
        return None
    source, possible = found
    if possible & HMAC_ALGORITHMS and possible - HMAC_ALGORITHMS:
        report((), "mixes shared secrets (kty oct) with public keys; use one plug-in for each")
        return None
    algorithms = set(entry.algorithms) if entry.algorithms is not None else possible
    for unknown in sorted(algorithms - ALGORITHMS):
        report(("algorithms",), f"algorithm `{unknown}` is not known; known: {', '.join(sorted(ALGORITHMS))}")
        return None
    if not algorithms & possible:
        report(("algorithms",), f"none of the keys can verify any of these; they can do {', '.join(sorted(possible))}")
        return None
    if entry.prevent_jti_replay and entry.ignore_expiration_check:
        message = (
            "cannot go with `ignore_expiration_check`: a token that never ends would have to be remembered forever"
        )
        report(("prevent_jti_replay",), message)
        return None
    told = told_claims(entry.claim_headers)
    if len({one.header.lower() for one in told}) != len(told):
        report(("claim_headers",), "gives one header to two claims, and the upstream could believe either of them")
        return None
    for one in told:
        name = one.header.lower()
        of_token = entry.parameter_location is TokenPlace.HEADER and name == entry.parameter.lower()
        if of_token or not may_tell_claim(name):
            report(one.place, f"tells a claim in `{one.header}`, a header that must not be overwritten; {CURE}")
            return None
    demanded = demanded_claims(entry.required_claims)
    if len({path for path, _ in demanded}) != len(demanded):
        report(("required_claims",), "names one claim twice; write all of its accepted values into one entry")
        return None
    issuers = _issuers(entry, source.remote, report)
    if issuers is None:
        return None
    header = entry.parameter_location is TokenPlace.HEADER
    return JwtPlugin(
        id=entry.id,
        key_source=source,
        algorithms=frozenset(algorithms & possible),
        place=entry.parameter_location,
        parameter=entry.parameter.lower() if header else entry.parameter,
        envoy_payload=entry.trust_envoy_jwt_authn,
        issuers=issuers,
        audiences=frozenset(entry.audiences),
        token_types=frozenset(token_type(kind) for kind in entry.token_types),
        required_claims=dict(demanded),
        scopes=frozenset(entry.scopes),
        claim_headers=tuple(ClaimHeader(one.claim, one.header.lower()) for one in told),
        prevent_jti_replay=entry.prevent_jti_replay,
        bypass_empty_token=entry.bypass_empty_token,
        ignore_expiration=entry.ignore_expiration_check,
        clock_skew_s=entry.clock_skew,
        max_lifetime_s=entry.max_lifetime,
        max_token_bytes=entry.max_token_bytes,
        remembered=entry.remember,
    )


def _issuers(entry: JwtEntry, remote: RemoteKeys | None, report: Report) -> frozenset[str] | None:
    """The accepted issuers: those that are stated, else the one whose discovery document is read, else any."""
    if entry.issuer is not None and entry.issuers is not None:
        report(("issuers",), "stands beside `issuer`; write all of them under `issuers`")
        return None
    key, stated = ("issuer", [entry.issuer]) if entry.issuer is not None else ("issuers", entry.issuers or [])
    for issuer in stated:
        if "{" in issuer:
            report((key,), f"`{issuer}` is a template, which no token carries; list the issuer of each tenant")
            return None
    if not stated and remote is not None and remote.oidc_issuer is not None:
        stated = [remote.oidc_issuer]
    return frozenset(stated)


def _key_source(entry: JwtEntry, base: Path, report: Report, note: Warn) -> tuple[KeySource, frozenset[str]] | None:
    """Where the keys come from, and the algorithms that they can be used with."""
    sources = (entry.jwk, entry.jwks, entry.remote_keys, entry.trust_envoy_jwt_authn)
    if sum(source is not None for source in sources) != 1:
        report((), "needs exactly one of `jwk`, `jwks`, `remote_keys` and `trust_envoy_jwt_authn`")
        return None
    if entry.trust_envoy_jwt_authn is not None:
        for name in sorted(entry.model_fields_set & _OF_OUR_OWN_VERIFYING):
            report((name,), "has no effect beside `trust_envoy_jwt_authn`: say it in Envoy's jwt_authn filter")
        return KeySource.fixed(KeySet(())), PUBLIC_KEY_ALGORITHMS
    if entry.remote_keys is not None:
        remote = remote_keys(entry.remote_keys, base, lambda path, text: report(("remote_keys", *path), text))
        return None if remote is None else (KeySource(None, remote), PUBLIC_KEY_ALGORITHMS)
    keys = stated_keys(entry.jwk, entry.jwks, base, report, note)
    if keys is None:
        return None
    return KeySource.fixed(keys), frozenset(algorithm for key in keys.keys for algorithm in key.keys)
