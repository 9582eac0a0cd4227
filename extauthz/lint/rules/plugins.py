"""Rules for plug-ins: what nobody uses, and tokens that are believed too easily."""

from collections.abc import Iterator
from typing import Final

from extauthz.config.problems import Warned
from extauthz.config.sections.plugins.jwt import JwtEntry
from extauthz.domain.tokens.jwt import JwtPlugin
from extauthz.lint.finding import Level, Rule, Spot, Subject, rule, warned


def _jwt(subject: Subject) -> Iterator[tuple[int, JwtEntry, JwtPlugin]]:
    """The JWT plug-ins that some API uses: where they stand, as they are written, and as they verify."""
    used = {api.jwt.id: api.jwt for api in subject.config.snapshot.gateway.apis.values() if api.jwt is not None}
    for index, entry in enumerate(subject.config.file.plugins):
        if isinstance(entry, JwtEntry) and entry.id in used:
            yield index, entry, used[entry.id]


@rule(
    "plugin-unused",
    Level.WARNING,
    why="What it was written to protect is not bound to it.",
    cure="list it under `plugins` of an API or a group, or take it out",
)
def plugin_unused(subject: Subject) -> Iterator[Spot]:
    apis = subject.config.snapshot.gateway.apis.values()
    used = {plugin.id for api in apis for plugin in (api.jwt, api.ip_control) if plugin is not None}
    for index, entry in enumerate(subject.config.file.plugins):
        if entry.id not in used:
            yield Spot(("plugins", index), f"no API uses plug-in `{entry.id}`")


@rule(
    "algorithm-without-key",
    Level.WARNING,
    why="No key of the plug-in can verify a token of this algorithm, so every such token is refused.",
    cure="take the algorithm out, or add the key that it was written for",
)
def algorithm_without_key(subject: Subject) -> Iterator[Spot]:
    for index, entry, plugin in _jwt(subject):
        for position, algorithm in enumerate(entry.algorithms or ()):
            if algorithm not in plugin.algorithms:
                path = ("plugins", index, "algorithms", position)
                yield Spot(path, f"no key of plug-in `{entry.id}` can verify {algorithm}")


@rule(
    "token-for-anybody",
    Level.WARNING,
    why="A provider gives tokens to many clients for many services; without an audience each of them opens these APIs.",
    cure="`audiences: [...]`, or a `required_claims` entry that names this service",
)
def token_for_anybody(subject: Subject) -> Iterator[Spot]:
    for index, entry, plugin in _jwt(subject):
        if not plugin.audiences and not plugin.required_claims and not plugin.scopes:
            yield Spot(("plugins", index), f"plug-in `{entry.id}` asks for no audience, scope or claim")


@rule(
    "token-never-expires",
    Level.WARNING,
    why="A token that leaks opens the APIs for ever; only another key ends that.",
    cure="take `ignore_expiration_check` out",
)
def token_never_expires(subject: Subject) -> Iterator[Spot]:
    for index, entry, plugin in _jwt(subject):
        if plugin.ignore_expiration:
            yield Spot(("plugins", index, "ignore_expiration_check"), f"plug-in `{entry.id}` ignores `exp`")


@rule(
    "keys-in-plain-text",
    Level.WARNING,
    why="Whoever is on the way between here and the provider can put in a key of their own, and make any token.",
    cure="https, and `ca_file` for a provider with a private authority",
)
def keys_in_plain_text(subject: Subject) -> Iterator[Spot]:
    for index, entry, plugin in _jwt(subject):
        remote = plugin.key_source.remote
        url = "" if remote is None else remote.jwks_uri or remote.oidc_issuer or ""
        if url.startswith("http:"):
            yield Spot(("plugins", index, "remote_keys"), f"plug-in `{entry.id}` fetches its keys without TLS")


keys_left_out = warned(
    Warned.KEYS_LEFT_OUT,
    Level.WARNING,
    why="Tokens that were signed with such a key are refused.",
    cure="publish the key in a form that is read, or take it out of the set",
)

RULES: Final[tuple[Rule, ...]] = (
    plugin_unused,
    algorithm_without_key,
    token_for_anybody,
    token_never_expires,
    keys_in_plain_text,
    keys_left_out,
)
