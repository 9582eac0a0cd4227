"""Plug-ins from their sections: keys read and judged, algorithms settled."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from extauthz.config.problems import KeyPath
from extauthz.config.schema import IpControlEntry, JwtEntry
from extauthz.config.secrets import FromFile, SecretUnresolved, read_file
from extauthz.domain.ip import IpControl
from extauthz.domain.jwt import (
    ALGORITHMS,
    HMAC_ALGORITHMS,
    ClaimHeader,
    JwtPlugin,
    KeyRefused,
    KeySet,
    TokenPlace,
    VerificationKey,
    read_key,
)

Report = Callable[[KeyPath, str], None]


def build_ip_control(entry: IpControlEntry, report: Report) -> IpControl | None:
    """An IP control plug-in, or None after reporting what is wrong."""
    if (entry.allow is None) == (entry.refuse is None):
        report((), "needs exactly one of `allow` and `refuse`")
        return None
    networks = entry.allow if entry.allow is not None else entry.refuse
    return IpControl(entry.id, entry.allow is not None, tuple(networks or ()))


def build_jwt(entry: JwtEntry, base: Path, report: Report) -> JwtPlugin | None:
    """A JWT plug-in, or None after reporting what is wrong. ``base`` is the folder of the configuration file."""
    keys = _read_keys(entry, base, report)
    if keys is None:
        return None
    possible = {algorithm for key in keys for algorithm in key.keys}
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
    header = entry.parameter_location is TokenPlace.HEADER
    return JwtPlugin(
        id=entry.id,
        key_set=KeySet(tuple(keys)),
        algorithms=frozenset(algorithms & possible),
        place=entry.parameter_location,
        parameter=entry.parameter.lower() if header else entry.parameter,
        issuer=entry.issuer,
        audiences=frozenset(entry.audiences),
        claim_headers=tuple(ClaimHeader(claim, name.lower()) for claim, name in entry.claim_headers.items()),
        prevent_jti_replay=entry.prevent_jti_replay,
        bypass_empty_token=entry.bypass_empty_token,
        ignore_expiration=entry.ignore_expiration_check,
        clock_skew_s=entry.clock_skew,
        max_lifetime_s=entry.max_lifetime,
    )


def _read_keys(entry: JwtEntry, base: Path, report: Report) -> list[VerificationKey] | None:
    if (entry.jwk is None) == (entry.jwks is None):
        report((), "needs exactly one of `jwk` and `jwks`")
        return None
    place: KeyPath = ("jwk",) if entry.jwk is not None else ("jwks",)
    documents = [entry.jwk] if entry.jwk is not None else _documents(entry.jwks, base, report)
    if documents is None:
        return None
    keys = []
    for index, document in enumerate(documents):
        try:
            keys.append(read_key(document if isinstance(document, dict) else {}))
        except KeyRefused as error:
            report(place, f"key {index + 1} {error}")
            return None
    kids = [key.kid for key in keys if key.kid is not None]
    if len(set(kids)) != len(kids):
        report(place, "two keys have the same `kid`")
        return None
    if not keys:
        report(place, "holds no keys; without one no token can be accepted")
        return None
    return keys


def _documents(jwks: Any, base: Path, report: Report) -> list[Any] | None:
    if isinstance(jwks, FromFile):
        try:
            jwks = json.loads(read_file(jwks.file, base))
        except SecretUnresolved as error:
            report(("jwks", "file"), str(error))
            return None
        except (ValueError, RecursionError):
            report(("jwks", "file"), "is not valid JSON")
            return None
    documents = jwks.get("keys") if isinstance(jwks, dict) else jwks
    if not isinstance(documents, list):
        report(("jwks",), "must be a list of keys, or a mapping with `keys`")
        return None
    return documents
