"""From a denied request to what its client did wrongly: the secrets to try, the search, and what cannot be proved."""

import hmac
from base64 import b64encode
from collections.abc import Callable, Sequence
from itertools import chain, islice
from typing import Final

from extauthz.auth.string_to_sign import StringToSign
from extauthz.domain import reason
from extauthz.domain.app import HMAC_SHA1, HMAC_SHA256, KeyPair
from extauthz.domain.decision import Deny
from extauthz.domain.header_names import X_CA_KEY, X_CA_SIGNATURE, X_CA_SIGNATURE_METHOD, as_written
from extauthz.domain.request import Delivery, Request
from extauthz.domain.snapshot import Snapshot
from extauthz.explain.diagnosis.body import diagnose_content_md5
from extauthz.explain.diagnosis.changes import Secret
from extauthz.explain.diagnosis.clock import diagnose_timestamp
from extauthz.explain.diagnosis.finding import Diagnosis, findings_of
from extauthz.explain.diagnosis.mistakes.draft import Case, case_of
from extauthz.explain.diagnosis.search import search
from extauthz.explain.fact import moment
from extauthz.wire.asking import written_by_envoy

_LOOKED_THROUGH: Final = 200_000
"""Key pairs of the file among which others of the same app are looked for."""
_OTHER_SECRETS: Final = 300
"""Secrets of other AppKeys that are tried."""
_HASHES: Final = {HMAC_SHA1: "sha1", HMAC_SHA256: "sha256"}


KeysOf = Callable[[str], Sequence[KeyPair]]
"""The key pairs of an app, by its id, as far as they can be had."""


def no_keys(_app_id: str) -> Sequence[KeyPair]:
    """Where the snapshot knows them all."""
    return ()


def diagnose(
    request: Request,
    decision: Deny,
    snapshot: Snapshot,
    now_ms: int,
    given: bytes | None = None,
    keys_of: KeysOf = no_keys,
) -> Diagnosis | None:
    """What is wrong with a request that was denied for its signature, timestamp, Content-MD5 or AppKey; else None.

    ``given`` is the string that the client says it signed. ``keys_of`` knows keys that the snapshot cannot list.
    """
    api = decision.about.api
    if decision.reason is reason.CONTENT_MD5_INVALID:
        return diagnose_content_md5(request)
    if decision.reason in (reason.TIMESTAMP_EXPIRED, reason.TIMESTAMP_INVALID) and api is not None:
        return diagnose_timestamp(request, now_ms, api.digest.window_ms)
    if decision.reason is reason.APP_KEY_UNKNOWN:
        return Diagnosis(suspicions=tuple(_keys_like_it(request, snapshot)))
    if decision.reason is reason.SIGNATURE_MISMATCH:
        return _signature(request, secrets_to_try(request, snapshot, keys_of), given)
    return None


def _signature(request: Request, secrets: Sequence[Secret], given: bytes | None) -> Diagnosis | None:
    case = case_of(request)
    if case is None or not secrets:
        return None
    server = StringToSign(request, case.names).primary()
    signature = request.headers.get(X_CA_SIGNATURE, b"")
    method = _method(request)
    result = search(case, signature, method, secrets)
    client, proved = result.string, bool(result.found)
    suspicions = _suspicions(request, case)
    if given is not None:
        client, was_signed = _as_signed(given, signature, method, secrets[0].value)
        proved = proved or was_signed
        if client == server:
            suspicions.insert(0, "Client and service build the same string: secret, hash or encoding differ.")
        elif not was_signed and not result.found:
            suspicions.insert(
                0, "The string that was given is not the one that was signed, or another secret was used."
            )
    if not result.found and not suspicions:
        suspicions.append(
            "No known mistake explains it. Most often, then, the AppSecret is another one: compare the two; else give "
            "the string that the client signed with --client-string."
        )
    return Diagnosis(
        tuple(findings_of(change) for change in result.found), proved, result.certain, tuple(suspicions), server,
        client, result.tried, result.seconds, result.cut,
    )  # fmt: skip


def _method(request: Request) -> str:
    stated = request.headers.get(X_CA_SIGNATURE_METHOD, b"").strip().lower()
    return HMAC_SHA1 if stated == HMAC_SHA1.lower().encode() else HMAC_SHA256


def _as_signed(given: bytes, signature: bytes, method: str, secret: bytes) -> tuple[bytes, bool]:
    """The string out of what was given, and whether the signature was made of it. A file may end with a line feed."""
    text = given if b"\n" in given.rstrip(b"\n") else given.replace(b"#", b"\n")
    sent = signature.strip()
    for string in (text, text.removesuffix(b"\n"), text.replace(b"\r\n", b"\n"), text.replace(b"\r\n", b"\n").rstrip()):
        if b64encode(hmac.digest(secret, string, _HASHES[method])) == sent:
            return string, True
    return text.removesuffix(b"\n"), False


def secrets_to_try(request: Request, snapshot: Snapshot, keys_of: KeysOf = no_keys) -> Sequence[Secret]:
    """The secret of the request's AppKey, and after it those that the client may have taken for it."""
    directory = snapshot.directory
    pair = directory.key_pair(request.headers.get(X_CA_KEY, b"").strip())
    if pair is None:
        return ()
    secrets = [Secret(pair.secret)]
    if pair.previous is not None and pair.previous_until_ms is not None:
        ended = moment(pair.previous_until_ms)
        secrets.append(Secret(pair.previous, f"the secret before the last rotation, which held until {ended}"))
    own: list[Secret] = []
    others: list[Secret] = []
    known = (other for _, other in islice(directory.key_pairs(), _LOOKED_THROUGH))
    for other in chain(keys_of(pair.app_id), known):
        if other.app_key == pair.app_key or other.secret == pair.secret:
            continue
        if other.app_id == pair.app_id:
            own.append(Secret(other.secret, f"the secret of AppKey {other.app_key} of the same app"))
        elif len(others) < _OTHER_SECRETS:
            others.append(Secret(other.secret, f"the secret of AppKey {other.app_key} of app {other.app_id}"))
    return [*secrets, *own[:_OTHER_SECRETS], *others]


def _suspicions(request: Request, case: Case) -> list[str]:
    """What is known to break signatures and cannot be undone from here."""
    listed = frozenset(name.lower for name in case.names)
    told = [
        f"{as_written(name)} is signed, and Envoy or a proxy writes it: what was signed is gone. Do not sign it."
        for name in written_by_envoy(listed & request.headers.keys())
    ]
    told += [
        f"{as_written(name)} is listed as signed, but did not arrive: a proxy may have taken it off."
        for name in sorted(listed - request.headers.keys())
    ]
    if request.delivery is not Delivery.WHOLE:
        told.append(f"The body is {request.delivery.value}: its fields are signed if it is a form.")
    if request.lossy:
        told.append("Envoy is not set to `encode_raw_headers`: a `!` may stand for other bytes.")
    return told


def _keys_like_it(request: Request, snapshot: Snapshot) -> list[str]:
    sent = request.headers.get(X_CA_KEY, b"").strip()
    plain = sent.strip(b"\"' ").lower()
    alike = sorted(
        pair.app_key
        for _, pair in islice(snapshot.directory.key_pairs(), _LOOKED_THROUGH)
        if pair.app_key.lower().encode() == plain and pair.app_key.encode() != sent
    )
    if alike:
        return [f"AppKey {alike[0]} differs only in letter case or quotation marks: send it exactly so."]
    return ["The AppKey is unknown here: another environment's, deleted, or not yet replicated to this host."]
