"""Whether an app may call an API, who may, and what an app may: asked of one snapshot, answered by the steps."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from extauthz.access.assumed import APP_METHODS, UPSTREAM, Assumed, walk
from extauthz.domain.api import Api, AuthMethod
from extauthz.domain.context_keys import API_KEY, STAGE_KEY, VPC_ID_KEY
from extauthz.domain.reason import ALLOWED, ANONYMOUS
from extauthz.domain.request import Delivery, Network, Request, Stage
from extauthz.domain.snapshot import Snapshot

_UNASKED: Final = ("spelling", "api", "domain", UPSTREAM)
"""Steps that judge host and path, which a question does not have."""
_ADDRESSES: Final = ("address", "app_address")
NO_CREDENTIAL: Final = "no_credential"
"""Not the label of a check, which has a credential or is told that it lacks one: an app that has none to bring."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether an app may call an API in a stage from a network at a moment."""

    app: str
    api: str
    stage: str
    network: str
    may: bool
    reason: str
    """The label that a check would end with, or ``no_credential``."""
    why: str
    """For people; empty where the reason says it all."""
    methods: str
    """What opens the API on this network."""
    until: str | None
    """When the grant ends or has ended, ISO 8601, UTC; None: there is none, or it does not end."""
    condition: str
    """What else must hold and the question did not say; empty when nothing."""


def can(
    snapshot: Snapshot,
    app_id: str,
    api: Api,
    stage: Stage,
    network: Network,
    now_ms: int,
    *,
    address: str = "",
    proves: frozenset[str] | None = None,
) -> Verdict:
    """Whether the app may call. ``now_ms`` in milliseconds since 1970; without an ``address`` IP control is not asked.

    ``proves`` are the methods that the app has a credential for; None: not known. Raises DirectoryUnavailable.
    """
    left_out = _UNASKED if address else (*_UNASKED, *_ADDRESSES)
    request = _request(api, stage, network, address)
    check, refusal = walk(request, snapshot, now_ms, Assumed("", app_id), left_out, api)
    if refusal is not None and not needs_app(api, network):
        other = walk(request, snapshot, now_ms, Assumed(""), left_out, api)
        check, refusal = other if other.refusal is None else (check, refusal)
    grant = snapshot.directory.grant(app_id, api.id, stage)
    of_app = bool(APP_METHODS.intersection(getattr(check, "methods", ())))
    if refusal is not None:
        label, why = refusal.reason.label, refusal.detail or refusal.reason.advice
    elif not of_app:
        label, why = ANONYMOUS, f"no app is needed on {network}: {told_policy(api, network)}"
    elif proves is not None and not _can_prove(api, network, proves):
        label, why = NO_CREDENTIAL, f"app `{app_id}` has no credential for {told_policy(api, network)}; create one"
    else:
        label, why = (
            ALLOWED,
            "granted" + (f" by `{grant.granted_by}`" if grant is not None and grant.granted_by else ""),
        )
    may = label in (ALLOWED, ANONYMOUS)
    unasked = may and not address and api.ip_control is not None
    return Verdict(
        app_id, api.id, stage.value, network.value, may, label, why, told_policy(api, network),
        None if grant is None or grant.until_ms is None else utc(grant.until_ms),
        f"the address must pass IP control `{api.ip_control.id}`" if unasked and api.ip_control else "",
    )  # fmt: skip


def _can_prove(api: Api, network: Network, proves: frozenset[str]) -> bool:
    alternatives = api.auth[network].alternatives
    return any(methods & APP_METHODS and methods & APP_METHODS <= proves for methods in alternatives)


def told_policy(api: Api, network: Network) -> str:
    """The methods that open an API on a network, as the configuration words them; empty when none does."""
    policy = api.auth.get(network)
    if policy is None:
        return ""
    return " or ".join("+".join(sorted(methods)) or str(AuthMethod.NONE) for methods in policy.alternatives)


def needs_app(api: Api, network: Network) -> bool:
    """Whether an API is open on a network, and only to apps that were granted it."""
    policy = api.auth.get(network)
    return policy is not None and all(methods & APP_METHODS for methods in policy.alternatives)


def utc(time_ms: int) -> str:
    """A time in milliseconds since 1970 as ISO 8601 text."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _request(api: Api, stage: Stage, network: Network, address: str) -> Request:
    """The request of a question: what Envoy would state of the listener and the route, and nothing from a client."""
    context = {API_KEY: api.id, STAGE_KEY: stage.value}
    if api.vpc_ids and network is Network.VPC:  # a question of an API that names VPCs is asked from one of them
        context[VPC_ID_KEY] = min(api.vpc_ids)
    headers = {"x-envoy-external-address": address.encode()} if address else {}
    return Request(
        stream_id="", method=min(api.methods), host="", path="/", query="", headers=headers, repeated=frozenset(),
        body=b"", delivery=Delivery.WHOLE, network=network, scheme="", peer=address, context=context,
    )  # fmt: skip
