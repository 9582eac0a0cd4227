"""Plug-ins from their sections: keys read and judged, algorithms settled."""

import ssl
from collections.abc import Callable
from pathlib import Path

from extauthz.config.plugin_schema import IpControlEntry, JwtEntry, RemoteKeysEntry
from extauthz.config.problems import KeyPath
from extauthz.config.secrets import FromFile, SecretUnresolved, read_file
from extauthz.config.sections.headers import CURE, may_tell_claim
from extauthz.domain.ip import IpControl
from extauthz.domain.jwk import (
    ALGORITHMS,
    HMAC_ALGORITHMS,
    PUBLIC_KEY_ALGORITHMS,
    KeyRefused,
    KeySet,
    read_key,
)
from extauthz.domain.jwks import NotAKeySet, TooManyKeys, parse_document, read_key_set
from extauthz.domain.jwt import ClaimHeader, JwtPlugin, TokenPlace, token_type
from extauthz.domain.key_source import MOST_KEYS, KeySource, RemoteKeys

_OF_OUR_OWN_VERIFYING = frozenset({"algorithms", "token_types", "max_token_bytes", "remember"})
Report = Callable[[KeyPath, str], None]


def build_ip_control(entry: IpControlEntry, report: Report) -> IpControl | None:
    """An IP control plug-in, or None after reporting what is wrong."""
    allows = entry.allow is not None or entry.apps is not None
    if allows == (entry.refuse is not None):
        report((), "needs either an allow list (`allow`, `apps` or both) or a `refuse` list; `refuse` binds every app")
        return None
    apps = entry.apps or []
    by_app = {item.app: tuple(item.networks) for item in apps}
    if len(by_app) != len(apps):
        report(("apps",), "names an app twice; keep one entry with all of its networks")
        return None
    return IpControl(entry.id, allows, tuple(entry.allow or entry.refuse or ()), by_app)


def build_jwt(entry: JwtEntry, base: Path, report: Report, note: Report) -> JwtPlugin | None:
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
    told = entry.told_claims()
    if len({one.header.lower() for one in told}) != len(told):
        report(("claim_headers",), "gives one header to two claims, and the upstream could believe either of them")
        return None
    for one in told:
        name = one.header.lower()
        of_token = entry.parameter_location is TokenPlace.HEADER and name == entry.parameter.lower()
        if of_token or not may_tell_claim(name):
            report(one.place, f"tells a claim in `{one.header}`, a header that must not be overwritten; {CURE}")
            return None
    demanded = entry.demanded_claims()
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


def _key_source(entry: JwtEntry, base: Path, report: Report, note: Report) -> tuple[KeySource, frozenset[str]] | None:
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
        remote = _remote_keys(entry.remote_keys, base, lambda path, text: report(("remote_keys", *path), text))
        return None if remote is None else (KeySource(None, remote), PUBLIC_KEY_ALGORITHMS)
    keys = _read_keys(entry, base, report, note)
    if keys is None:
        return None
    return KeySource.fixed(keys), frozenset(algorithm for key in keys.keys for algorithm in key.keys)


def _remote_keys(entry: RemoteKeysEntry, base: Path, report: Report) -> RemoteKeys | None:
    url = entry.jwks_uri or entry.oidc_issuer
    if url is None or (entry.jwks_uri is not None and entry.oidc_issuer is not None):
        report((), "needs exactly one of `jwks_uri` and `oidc_issuer`")
        return None
    if url.startswith("http:") and not entry.allow_http:
        report(
            ("jwks_uri" if entry.jwks_uri else "oidc_issuer",), "is not https; use https, or state `allow_http: true`"
        )
        return None
    if entry.min_lifetime > entry.max_lifetime or entry.max_lifetime > entry.max_stale:
        report((), "needs `min_lifetime` <= `max_lifetime` <= `max_stale`")
        return None
    ca_file = None if entry.ca_file is None else (base / entry.ca_file).resolve()
    if ca_file is not None:
        try:
            ssl.create_default_context(cafile=ca_file)
        except (OSError, ValueError):  # an ssl.SSLError is an OSError
            report(("ca_file",), f"file {entry.ca_file} cannot be read as PEM certificates")
            return None
    return RemoteKeys(
        jwks_uri=entry.jwks_uri,
        oidc_issuer=entry.oidc_issuer,
        min_lifetime_s=entry.min_lifetime,
        max_lifetime_s=entry.max_lifetime,
        refresh_interval_s=entry.refresh_interval,
        max_stale_s=entry.max_stale,
        timeout_s=entry.timeout,
        max_bytes=entry.max_bytes,
        max_keys=entry.max_keys,
        ca_file=ca_file,
        allow_http=entry.allow_http,
        allow_private_addresses=entry.allow_private_addresses,
        allow_redirects=entry.allow_redirects,
    )


def _read_keys(entry: JwtEntry, base: Path, report: Report, note: Report) -> KeySet | None:
    if entry.jwk is not None:
        try:
            return KeySet((read_key(entry.jwk),))
        except KeyRefused as error:
            report(("jwk",), f"the key {error}")
            return None
    place: KeyPath = ("jwks", "file") if isinstance(entry.jwks, FromFile) else ("jwks",)
    try:
        document = parse_document(read_file(entry.jwks.file, base)) if isinstance(entry.jwks, FromFile) else entry.jwks
        read = read_key_set(document, MOST_KEYS, shared_secrets=True)
    except (SecretUnresolved, NotAKeySet, TooManyKeys) as error:
        report(place, str(error))
        return None
    if not read.keys.keys:
        why = f"none of its keys can verify tokens: {read.note}" if read.note else "it holds no keys"
        report(place, f"{why}; without a key no token can be accepted")
        return None
    if read.note:
        note(place, f"left out: {read.note}")
    return read.keys
