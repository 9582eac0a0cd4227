"""What each step of a check's way looked at and found, for people."""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Final, NamedTuple

from extauthz.auth import METHODS
from extauthz.decide.client_address import client_address
from extauthz.decide.pipeline import Entry
from extauthz.domain.api import Api, AuthPolicy
from extauthz.domain.app import Grant
from extauthz.domain.context_keys import API_KEY, NETWORK_KEY, STAGE_KEY, VPC_ID_KEY
from extauthz.domain.decision import Allow
from extauthz.domain.header_names import X_CA_STAGE
from extauthz.domain.ip import IpControl
from extauthz.domain.request import Network, Stage
from extauthz.domain.snapshot.directory import DirectoryUnavailable
from extauthz.explain.fact import Fact, Verdict, moment, text, told_of
from extauthz.explain.proofs import ROWS, api_of, request_of
from extauthz.explain.way import Way

_LIKE_IT: Final = 3


class Told(NamedTuple):
    """A step of the way, with what it looked at."""

    step: str
    verdict: Verdict
    refused_for: str
    """Why it ended the check; empty when it did not."""
    facts: tuple[Fact, ...]


def told_steps(way: Way, binding: Network | None) -> list[Told]:
    """Every step in order, those that were not reached too. ``binding`` as for ``walk``."""
    steps = []
    for entry in way.entries:
        try:
            facts = _network(way, binding) if entry.step == "network" else _FACTS[entry.step](way, entry)
        except DirectoryUnavailable as error:
            facts = [Fact("registry", str(error), Verdict.REFUSED)]
        why = ""
        if entry.refusal is not None:
            why = ": ".join(part for part in (entry.refusal.reason.label, entry.refusal.detail) if part)
        steps.append(Told(entry.step, Verdict.PASSED if not why else Verdict.REFUSED, why, tuple(facts)))
    steps += [Told(name, Verdict.NOT_REACHED, "", ()) for name in way.not_reached]
    return steps


def _spelling(way: Way, _: Entry) -> list[Fact]:
    request = request_of(way)
    return [Fact("host", request.host or "(none)"), Fact("path", request.path)]


def _api(way: Way, entry: Entry) -> list[Fact]:
    request, gateway = request_of(way), way.checked.snapshot.gateway
    facts = [Fact("asked for", f"{request.method} {request.path} on {request.host or '(no host)'}")]
    named = request.context.get(API_KEY)
    if named is not None:
        facts.append(Fact("Envoy's route", f"names API {named!r}"))
    api = entry.found.get("api")
    if isinstance(api, Api):
        facts.append(Fact("found", f"API {api.id} of group {api.group.id}, by {_template(api)}", Verdict.PASSED))
        return facts
    other = {gateway.routes.find(request.host, method, request.path) for method in _methods(way)} - {None}
    if other:
        told = [f"API {one.id} takes {', '.join(sorted(one.methods))}" for one in other if one is not None]
        facts.append(Fact("with another method", "; ".join(sorted(told))))
    elif gateway.routes.knows_host(request.host):
        templates = {api.path: api for api in gateway.apis.values() if api.path is not None}
        like_it = get_close_matches(request.path, templates, _LIKE_IT)
        facts.append(
            Fact("paths like it", "; ".join(f"{path} (API {templates[path].id})" for path in like_it) or "none")
        )
    else:
        domains = sorted({domain for api in gateway.apis.values() for domain in api.group.domains})
        facts.append(Fact("domains that are served", ", ".join(domains[:20]) or "none"))
    return facts


def _methods(way: Way) -> set[str]:
    return {method for api in way.checked.snapshot.gateway.apis.values() for method in api.methods}


def _template(api: Api) -> str:
    return "the name in Envoy's route alone" if api.path is None else f"{'|'.join(sorted(api.methods))} {api.path}"


def _domain(way: Way, _: Entry) -> list[Fact]:
    group = api_of(way).group if way.about.api else None
    binding = None if group is None else group.binding_of(request_of(way).host)
    if binding is None or (binding.network is None and binding.stage is None):
        return []
    tied = [str(part) for part in (binding.network, binding.stage) if part is not None]
    return [Fact("domain", f"{request_of(way).host} is tied to {' and '.join(tied)}")]


def _stage(way: Way, entry: Entry) -> list[Fact]:
    request = request_of(way)
    asked, pinned = request.headers.get(X_CA_STAGE, b""), request.context.get(STAGE_KEY)
    facts = [Fact("asked for", text(asked) if asked else "no X-Ca-Stage, so RELEASE unless route or domain say other")]
    if pinned is not None:
        facts.append(Fact("Envoy's route", f"serves {pinned} only"))
    stages = ", ".join(sorted(api_of(way).stages))
    found = entry.found.get("stage")
    verdict = Verdict.PASSED if isinstance(found, Stage) else Verdict.REFUSED
    facts.append(Fact("published", f"{found or 'none that was asked for'}; the API has {stages}", verdict))
    return facts


def _network(way: Way, binding: Network | None) -> list[Fact]:
    request, api = request_of(way), api_of(way)
    port_networks = way.checked.snapshot.gateway.settings.port_networks
    if binding is not None:
        why = "stated by the listener (`--network`)"
    elif NETWORK_KEY in request.context:
        why = f"stated by Envoy's context, {NETWORK_KEY}={request.context[NETWORK_KEY]!r}"
    else:
        why = "by the port of Envoy's listener" if port_networks else "as nobody states one, the stricter view"
    open_on = ", ".join(sorted(f"{network}: {_policy(policy)}" for network, policy in api.auth.items()))
    verdict = Verdict.PASSED if request.network in api.auth else Verdict.REFUSED
    facts = [Fact("came by", f"{request.network}, {why}"), Fact("open on", open_on or "no network", verdict)]
    if request.network is Network.VPC and api.vpc_ids:
        came_from = request.context.get(VPC_ID_KEY, "(not stated)")
        allowed = Verdict.PASSED if came_from in api.vpc_ids else Verdict.REFUSED
        facts.append(Fact("VPC", f"{came_from}; whitelist: {', '.join(sorted(api.vpc_ids))}", allowed))
    return facts


def _policy(policy: AuthPolicy) -> str:
    return " or ".join("+".join(sorted(methods)) or "none" for methods in policy.alternatives)


def _address(way: Way, entry: Entry) -> list[Fact]:
    control = api_of(way).ip_control
    return _addresses(way, entry, control) if control is not None and not control.asks_for_app else []


def _app_address(way: Way, entry: Entry) -> list[Fact]:
    control = api_of(way).ip_control
    return _addresses(way, entry, control) if control is not None and control.asks_for_app else []


def _addresses(way: Way, entry: Entry, control: IpControl) -> list[Fact]:
    address = client_address(request_of(way), way.checked.snapshot.gateway.settings)
    networks = ", ".join(str(network) for network in control.networks[:10]) or "(of apps only)"
    kind = "allows" if control.allow else "refuses"
    verdict = Verdict.PASSED if entry.refusal is None else Verdict.REFUSED
    return [Fact("address", f"{address or '(unknown)'}; plug-in {control.id} {kind} {networks}", verdict)]


def _credential(way: Way, entry: Entry) -> list[Fact]:
    request, api = request_of(way), api_of(way)
    presented = [name for name, method in METHODS.items() if method.is_presented(request, api)]
    facts = [
        Fact("taken here", _policy(api.auth[request.network])),
        Fact("presented", ", ".join(presented) or "nothing"),
    ]
    chosen = entry.found.get("methods")
    if isinstance(chosen, frozenset):
        facts.append(Fact("to be proved", "+".join(sorted(chosen)) or "nothing: an anonymous call", Verdict.PASSED))
    return facts


def _proof(way: Way, entry: Entry) -> list[Fact]:
    names = str(entry.found.get("method", way.about.method)).split("+")
    facts: list[Fact] = []
    for name in names:
        facts += told_of(ROWS.get(name, ()), way, entry.refusal)
    return facts


def _grant(way: Way, _: Entry) -> list[Fact]:
    about, directory = way.about, way.checked.snapshot.directory
    app, api, stage = about.app, about.api, about.stage
    if app is None or api is None or stage is None:
        return [Fact("app", "none is involved, so no grant is needed")]
    facts = [Fact("app", f"{app.id}{', disabled' if app.disabled else ''}{f', of {app.owner}' if app.owner else ''}")]
    if app.disabled:
        return facts
    grant = directory.grant(app.id, api.id, stage)
    others = [other for other in Stage if other is not stage and directory.grant(app.id, api.id, other) is not None]
    if grant is None:
        hint = f"; it has one for {', '.join(others)}" if others else ""
        facts.append(Fact("grant", f"none for API {api.id} in stage {stage}{hint}", Verdict.REFUSED))
    else:
        verdict = Verdict.PASSED if grant.is_live(way.now_ms) else Verdict.REFUSED
        facts.append(Fact("grant", f"API {api.id}, stage {stage}{_terms(grant)}", verdict))
    return facts


def _terms(grant: Grant) -> str:
    by = f", by {grant.granted_by}" if grant.granted_by else ""
    return by + (f", until {moment(grant.until_ms)}" if grant.until_ms is not None else ", without end")


def _upstream(way: Way, _: Entry) -> list[Fact]:
    answered = way.answered
    if not answered.allowed:
        return []
    facts = [Fact("set", f"{name}: {value}") for name, value in answered.set_headers]
    if answered.removed:
        facts.append(Fact("removed", ", ".join(answered.removed)))
    if isinstance(way.decision, Allow):
        for use in way.decision.uses:
            told = f"{use.kind} of {use.holder}: whether it was used before, the running service knows"
            facts.append(Fact("once only", told))
        if way.decision.warning:
            facts.append(Fact("strict mode would refuse", way.decision.warning))
    return facts


_FACTS: Final[Mapping[str, Callable[[Way, Entry], list[Fact]]]] = {
    "spelling": _spelling,
    "api": _api,
    "domain": _domain,
    "stage": _stage,
    "address": _address,
    "credential": _credential,
    "proof": _proof,
    "grant": _grant,
    "app_address": _app_address,
    "upstream": _upstream,
}
"""By the name of the step; ``network`` is told apart, as the listener's own word counts there."""
