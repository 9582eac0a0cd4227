"""Rules for APIs: who may call them, and with how good a proof."""

from collections.abc import Iterator
from typing import Final

from extauthz.access.question import needs_app
from extauthz.config.problems import KeyPath, Warned
from extauthz.domain.api import Api, AppCodeMode, AuthMethod, Strictness
from extauthz.domain.app import HMAC_SHA1
from extauthz.domain.request import Network
from extauthz.lint.finding import Level, Rule, Spot, Subject, rule, warned
from extauthz.lint.usable import Usable


def _on_internet(subject: Subject, method: AuthMethod) -> Iterator[tuple[KeyPath, Api]]:
    """The APIs that a method opens on the Internet, and where they say so."""
    for index, entry in enumerate(subject.config.file.apis):
        api = subject.config.snapshot.gateway.apis[entry.id]
        policy = api.auth.get(Network.INTERNET)
        if policy is not None and method in policy.methods:
            yield ("apis", index, "auth", Network.INTERNET.value), api


open_on_internet = warned(
    Warned.OPEN_ON_INTERNET,
    Level.WARNING,
    why="Anybody who finds the API may call it; the vendor means such APIs for short tests.",
    cure="ask for a proof under `auth: {internet: ...}`, or open it for `vpc` alone",
)


@rule(
    "appcode-on-internet",
    Level.WARNING,
    why="An AppCode travels as it is and opens everything that its app may call: whoever sees one request has it. The "
    "vendor means AppCodes for calls between internal systems.",
    cure="ask for `digest` on the Internet, and leave `appcode` to `vpc`",
)
def appcode_on_internet(subject: Subject) -> Iterator[Spot]:
    for path, api in _on_internet(subject, AuthMethod.APP_CODE):
        yield Spot(path, f"API `{api.id}` takes AppCodes on the Internet")


@rule(
    "appcode-in-query",
    Level.NOTE,
    why="A query is written into the access logs, histories and referrers of everything on the way, with the AppCode.",
    cure="`app_code: header`, once no client sends it in the query",
)
def appcode_in_query(subject: Subject) -> Iterator[Spot]:
    for index, entry in enumerate(subject.config.file.apis):
        api = subject.config.snapshot.gateway.apis[entry.id]
        taken = any(AuthMethod.APP_CODE in policy.methods for policy in api.auth.values())
        if taken and api.app_code is AppCodeMode.HEADER_QUERY:
            yield Spot(("apis", index, "app_code"), f"API `{api.id}` takes AppCodes in the query")


@rule(
    "digest-sha1",
    Level.NOTE,
    why="HmacSHA1 is not broken, but policies and auditors forbid SHA-1, and no current SDK needs it.",
    cure="`digest: {algorithms: [HmacSHA256]}`, once no client sends `X-Ca-Signature-Method: HmacSHA1`",
)
def digest_sha1(subject: Subject) -> Iterator[Spot]:
    for index, entry in enumerate(subject.config.file.apis):
        api = subject.config.snapshot.gateway.apis[entry.id]
        if _takes_digest(api) and HMAC_SHA1 in api.digest.algorithms:
            yield Spot(("apis", index, "digest"), f"API `{api.id}` accepts HmacSHA1")


@rule(
    "digest-replayable",
    Level.NOTE,
    why="Without a nonce a recorded request passes again: for ever where no timestamp is required either.",
    cure="`digest: {require_timestamp: true, require_nonce: true}`; the vendor's SDKs send both",
)
def digest_replayable(subject: Subject) -> Iterator[Spot]:
    for path, api in _on_internet(subject, AuthMethod.DIGEST):
        if not api.digest.require_nonce:
            yield Spot(path, f"API `{api.id}` takes signed requests without a nonce from the Internet")


@rule(
    "digest-open-parts",
    Level.NOTE,
    why="The vendor's scheme leaves parts of a request unsigned where the client does not list them, and `strict` only "
    "warns of what it would refuse.",
    cure="`digest: {strict: on}`, once `extauthz_strict_warnings_total` stays where it is",
)
def digest_open_parts(subject: Subject) -> Iterator[Spot]:
    for index, entry in enumerate(subject.config.file.apis):
        api = subject.config.snapshot.gateway.apis[entry.id]
        if _takes_digest(api) and api.digest.strict is Strictness.WARN:
            yield Spot(("apis", index, "digest"), f"API `{api.id}` only warns of what strict mode would refuse")


@rule(
    "api-nobody-may-call",
    Level.WARNING,
    why="It asks for an app, and no enabled app with a fitting credential has a live grant: every call is denied.",
    cure="grant it (`grants`, or `extauthz grants create`), or take the API out",
)
def api_nobody_may_call(subject: Subject) -> Iterator[Spot]:
    if subject.config.file.registry is not None and subject.registry is None:
        return  # its grants are not known
    usable = Usable.of(subject)
    for index, entry in enumerate(subject.config.file.apis):
        api = subject.config.snapshot.gateway.apis[entry.id]
        asked = [network for network in api.auth if needs_app(api, network)]
        if len(asked) == len(api.auth) and not usable.opens(api):
            yield Spot(("apis", index), f"nobody may call API `{api.id}`")


def _takes_digest(api: Api) -> bool:
    return any(AuthMethod.DIGEST in policy.methods for policy in api.auth.values())


RULES: Final[tuple[Rule, ...]] = (
    open_on_internet,
    appcode_on_internet,
    appcode_in_query,
    digest_sha1,
    digest_replayable,
    digest_open_parts,
    api_nobody_may_call,
)
