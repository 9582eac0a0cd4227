"""The chain of HTTP filters: what stands in it, behind wrappers and discovery, too, and whether it asks at a leaf."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from extauthz.envoy.doctor.material import EXT_AUTHZ, Answer, HttpFilter, Verdict
from extauthz.envoy.doctor.reading.matcher import Outcome, outcomes
from extauthz.envoy.doctor.reading.shadow import condition
from extauthz.envoy.doctor.reading.typed import Said, Typed, mentions, said, unwrap
from extauthz.envoy.doctor.tree import Json, Path, dig, mappings

_OURS: Final = "filters.http.ext_authz.v3.ExtAuthz"
_DELEGATES: Final = ("ExtAuthz", "ExtensionWithMatcher", "Composite")
_TERMINAL: Final = frozenset({"Router", "McpRouter", "UpstreamCodec"})
_GRAVITY: Final = (Verdict.UNKNOWN, Verdict.UNSEEN, Verdict.SOMETIMES, Verdict.OFF, Verdict.ABSENT, Verdict.ASKED)
"""Which answer counts where several filters, or several chains, give one: the first of these."""

Discovered = Mapping[str, tuple[Path, Json]]
"""Configurations of filters that a dump shows apart from the listeners, by name."""


def read_chain(path: Path, config: Json, discovered: Discovered, key: str = "http_filters") -> tuple[HttpFilter, ...]:
    """The filters under ``key``, each without its wrapper."""
    found = []
    for index, one in mappings(config.get(key)):
        place = (*path, key, index)
        name = str(one.get("name", EXT_AUTHZ))
        if "config_discovery" not in one:
            read = _read(name, unwrap(one.get("typed_config"), (*place, "typed_config")))
        elif name in discovered:
            typed_path, typed = discovered[name]
            read = _read(name, unwrap(typed, typed_path))
        else:
            read = _unseen(name, (*place, "config_discovery"), one["config_discovery"])
        found.append(_with_switch(read, one.get("disabled") is True))
    return tuple(found)


def first_terminal(filters: Sequence[HttpFilter]) -> int:
    """The position of the filter that ends the chain."""
    return next((index for index, one in enumerate(filters) if one.type in _TERMINAL), len(filters))


def asked_at(leaf: Path, levels: Sequence[tuple[Path, Json]], filters: Sequence[HttpFilter]) -> tuple[Answer, Json]:
    """Whether a chain asks us before a request takes a leaf, and the check settings that hold there."""
    end = first_terminal(filters)
    answers: list[tuple[Answer, Json]] = []
    for index, one in enumerate(filters[:end]):
        if one.type == "ExtAuthz":
            here = said(one.name, levels)
            answer = _answer(leaf, one, here, filters[:index], levels)
            if answer.verdict is Verdict.ASKED:
                return answer, here.check
            answers.append((answer, here.check))
    return min(answers, key=_rank, default=(Answer(Verdict.ABSENT, leaf), {}))


def gravest(answers: Sequence[tuple[Answer, Json]]) -> tuple[Answer, Json]:
    """The answer of several chains: each of them must ask."""
    return min(answers, key=lambda one: _GRAVITY.index(one[0].verdict))


def _rank(one: tuple[Answer, Json]) -> tuple[int, bool]:
    return _GRAVITY.index(one[0].verdict), not one[0].path


def _answer(
    leaf: Path, one: HttpFilter, here: Said, before: Sequence[HttpFilter], levels: Sequence[tuple[Path, Json]]
) -> Answer:
    specific = levels[-1][0]
    if here.enabled is False:
        return Answer(Verdict.OFF, here.enabled_at, deliberate=here.enabled_at[: len(specific)] == specific)
    if here.enabled is None and one.disabled:
        return Answer(Verdict.OFF, leaf, f"{one.name} is off in the chain, and nothing switches it on here")
    skipped = one.condition
    if here.config is not None:
        config = here.config
        if config.type == "ExtensionWithMatcherPerRoute" and one.delegated:
            skipped = _skipped(config.config.get("xds_matcher"), (*config.path, "xds_matcher"))
        elif config.type not in ("ExtAuthzPerRoute", ""):
            return Answer(Verdict.UNKNOWN, config.path, config.name)
        elif config.config.get("disabled") is True:
            deliberate = config.path[: len(specific)] == specific
            return Answer(Verdict.OFF, (*config.path, "disabled"), deliberate=deliberate)
        elif dig(here.check, "http_service") is not None:
            return Answer(Verdict.OFF, (*config.path, "check_settings", "http_service"), "another service is asked")
    return skipped or condition(one, before, levels) or Answer(Verdict.ASKED, one.path)


def _read(name: str, typed: Typed) -> HttpFilter:
    if typed.type == "ExtensionWithMatcher":
        return _delegate(name, typed)
    if typed.name.endswith(_OURS) or typed.type == "ExtAuthz":
        over_http = "http_service" in typed.config
        return HttpFilter(typed.path, name, "ExtAuthzOverHttp" if over_http else "ExtAuthz", typed.config)
    if mentions(typed.config, _OURS):
        unclear = Answer(Verdict.UNKNOWN, typed.path, f"an ext_authz filter inside {typed.type}")
        return HttpFilter(typed.path, name, "ExtAuthz", {}, condition=unclear)
    return HttpFilter(typed.path, name, typed.type, typed.config)


def _delegate(name: str, typed: Typed) -> HttpFilter:
    key = "xds_matcher" if "xds_matcher" in typed.config else "matcher"
    tree, place = typed.config.get(key), (*typed.path, key)
    inner = unwrap(
        dig(typed.config, "extension_config", "typed_config"), (*typed.path, "extension_config", "typed_config")
    )
    if inner.type == "Composite":
        return _composite(name, inner, tree, place)
    one = _read(name, inner)
    skipped = _skipped(tree, place) if tree is not None else None
    return HttpFilter(one.path, name, one.type, one.config, condition=one.condition or skipped, delegated=True)


def _skipped(tree: Any, path: Path) -> Answer | None:
    for outcome in outcomes(tree, path):
        if not outcome.understood:
            return Answer(Verdict.UNKNOWN, outcome.path, "a matcher")
        if outcome.action is None:
            continue
        if outcome.action.type == "SkipFilter":
            return Answer(Verdict.SOMETIMES, outcome.path, "SkipFilter")
        return Answer(Verdict.UNKNOWN, outcome.path, outcome.action.name)
    return None


def _composite(name: str, inner: Typed, tree: Any, path: Path) -> HttpFilter:
    """A filter that becomes another one for each request: it asks us where every outcome is an ext_authz filter."""
    ours: HttpFilter | None = None
    gap: Outcome | None = None
    for outcome in outcomes(tree, path):
        action = outcome.action
        delegated = None
        if action is not None and "sample_percent" not in action.config:
            place = (*action.path, "typed_config", "typed_config")
            delegated = _read(name, unwrap(dig(action.config, "typed_config", "typed_config"), place))
        if delegated is not None and delegated.type == "ExtAuthz" and delegated.condition is None:
            ours = ours or delegated
        else:
            gap = gap or outcome
    if ours is not None:
        unasked = Answer(Verdict.SOMETIMES, gap.path, "here the filter is no ext_authz") if gap else None
        return HttpFilter(ours.path, name, "ExtAuthz", ours.config, condition=unasked)
    if '"dynamic_config"' in json.dumps(tree, default=str):
        return HttpFilter(inner.path, name, "ExtAuthz", {}, condition=Answer(Verdict.UNSEEN, path))
    if mentions(tree, _OURS) or mentions(inner.config, _OURS):
        unclear = Answer(Verdict.UNKNOWN, inner.path, "an ext_authz filter inside Composite")
        return HttpFilter(inner.path, name, "ExtAuthz", {}, condition=unclear)
    return HttpFilter(inner.path, name, "Composite", inner.config)


def _unseen(name: str, path: Path, discovery: Any) -> HttpFilter:
    urls = dig(discovery, "type_urls")
    types = [str(url).rpartition(".")[2] for url in urls] if isinstance(urls, list) else []
    if types and not set(types) & set(_DELEGATES):
        return HttpFilter(path, name, types[0], {})
    return HttpFilter(path, name, "ExtAuthz", {}, condition=Answer(Verdict.UNSEEN, path))


def _with_switch(one: HttpFilter, disabled: bool) -> HttpFilter:
    return HttpFilter(one.path, one.name, one.type, one.config, disabled, one.condition, one.delegated)
