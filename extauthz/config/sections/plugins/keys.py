"""Keys of a JWT plug-in: stated in the file or beside it, or fetched from a provider."""

import ssl
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import Field

from extauthz.config.names import Section, Url
from extauthz.config.problems import KeyPath, Report, Warn, Warned
from extauthz.config.secrets import FromFile, SecretUnresolved, read_file
from extauthz.domain.tokens.jwk import KeyRefused, KeySet, read_key
from extauthz.domain.tokens.jwks import NotAKeySet, TooManyKeys, parse_document, read_key_set
from extauthz.domain.tokens.key_source import MOST_KEYS, RemoteKeys

Seconds = Annotated[float, Field(gt=0, le=30 * 24 * 3600)]
JwksEntry = FromFile | dict[str, Any] | list[dict[str, Any]]
_DEFAULTS: Final = RemoteKeys()


class RemoteKeysEntry(Section):
    """Keys that a provider publishes, fetched in the background. Times are in seconds.

    ```yaml
    oidc_issuer: https://login.example.com
    min_lifetime: 60
    max_lifetime: 3600
    refresh_interval: 30
    max_stale: 86400
    timeout: 5
    max_bytes: 262144
    max_keys: 64
    ca_file: provider-ca.pem
    allow_http: false
    allow_private_addresses: false
    allow_redirects: false
    ```

    ```yaml
    jwks_uri: https://login.example.com/keys.json
    ```
    """

    jwks_uri: Url | None = Field(None, description="where the key set is; or:")
    oidc_issuer: Url | None = Field(None, description="an OpenID Connect issuer, whose discovery document names it")
    min_lifetime: Seconds = Field(
        _DEFAULTS.min_lifetime_s, description="lower bound of what Cache-Control and Expires may ask for"
    )
    max_lifetime: Seconds = Field(_DEFAULTS.max_lifetime_s, description="the upper one of these bounds")
    refresh_interval: Seconds = Field(
        _DEFAULTS.refresh_interval_s, description="unknown key ids cause at most one fetch in this time"
    )
    max_stale: Seconds = Field(
        _DEFAULTS.max_stale_s, description="how long the last good set serves while the provider is down"
    )
    timeout: Annotated[float, Field(gt=0, le=60)] = Field(_DEFAULTS.timeout_s, description="of one whole fetch")
    max_bytes: Annotated[int, Field(ge=256, le=4_194_304)] = Field(
        _DEFAULTS.max_bytes, description="a larger key set is not taken"
    )
    max_keys: Annotated[int, Field(ge=1, le=MOST_KEYS)] = Field(
        _DEFAULTS.max_keys, description="a set of more keys is not taken"
    )
    ca_file: Path | None = Field(None, description="PEM file of the authorities to trust instead of the public ones")
    allow_http: bool = Field(
        _DEFAULTS.allow_http, description="take keys without TLS: only for tests and trusted links"
    )
    allow_private_addresses: bool = Field(
        _DEFAULTS.allow_private_addresses, description="the provider may be on this machine or network"
    )
    allow_redirects: bool = Field(_DEFAULTS.allow_redirects, description="follow the provider to another URL")


def remote_keys(entry: RemoteKeysEntry, base: Path, report: Report) -> RemoteKeys | None:
    """Where keys are fetched, or None after reporting what is wrong. ``base`` is the configuration file's folder."""
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


def stated_keys(
    jwk: dict[str, Any] | None, jwks: JwksEntry | None, base: Path, report: Report, note: Warn
) -> KeySet | None:
    """The keys that stand under `jwk` or `jwks`, or None after reporting what is wrong; ``note`` is told the rest."""
    if jwk is not None:
        try:
            return KeySet((read_key(jwk),))
        except KeyRefused as error:
            report(("jwk",), f"the key {error}")
            return None
    place: KeyPath = ("jwks", "file") if isinstance(jwks, FromFile) else ("jwks",)
    try:
        document = parse_document(read_file(jwks.file, base)) if isinstance(jwks, FromFile) else jwks
        read = read_key_set(document, MOST_KEYS, shared_secrets=True)
    except (SecretUnresolved, NotAKeySet, TooManyKeys) as error:
        report(place, str(error))
        return None
    if not read.keys.keys:
        why = f"none of its keys can verify tokens: {read.note}" if read.note else "it holds no keys"
        report(place, f"{why}; without a key no token can be accepted")
        return None
    if read.note:
        note(Warned.KEYS_LEFT_OUT, place, f"left out: {read.note}")
    return read.keys
