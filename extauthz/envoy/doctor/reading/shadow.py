"""Conditions under which an ext_authz filter asks at all: sampling, and metadata that another filter must have set.

Istio writes an RBAC filter with shadow rules before ours, and has ours ask where one of its policies matched.
"""

import re
from collections.abc import Sequence
from typing import Any, Final

from extauthz.envoy.doctor.material import Answer, HttpFilter, Verdict
from extauthz.envoy.doctor.reading.typed import said
from extauthz.envoy.doctor.tree import Json, Path, dig, items, mappings

_RBAC: Final = "envoy.filters.http.rbac"
_ID: Final = "shadow_effective_policy_id"
_WHOLE: Final = {"HUNDRED": 100, "TEN_THOUSAND": 10_000, "MILLION": 1_000_000, 0: 100, 1: 10_000, 2: 1_000_000}


def condition(one: HttpFilter, before: Sequence[HttpFilter], levels: Sequence[tuple[Path, Json]]) -> Answer | None:
    """What may keep the filter from asking; None where nothing can, or where it denies instead."""
    config = one.config
    if dig(config, "deny_at_disable", "default_value") in (True, {"value": True}):
        return None
    enabled = config.get("filter_enabled")
    if enabled is not None and not _is_whole(enabled):
        return Answer(Verdict.SOMETIMES, (*one.path, "filter_enabled"))
    wanted = config.get("filter_enabled_metadata")
    if wanted is None:
        return None
    why = _unproven(wanted, before, levels)
    return Answer(Verdict.SOMETIMES, (*one.path, "filter_enabled_metadata"), why) if why else None


def _is_whole(enabled: Any) -> bool:
    share = dig(enabled, "default_value")
    numerator = dig(share, "numerator") or 0
    whole = _WHOLE.get(dig(share, "denominator") or "HUNDRED")
    return isinstance(numerator, int) and whole is not None and numerator >= whole


def _unproven(wanted: Any, before: Sequence[HttpFilter], levels: Sequence[tuple[Path, Json]]) -> str:
    """Why the metadata may be missing from a request; empty where it is always there."""
    keys = [str(part.get("key")) for _, part in mappings(dig(wanted, "path"))]
    if dig(wanted, "filter") != _RBAC or len(keys) != 1 or not keys[0].endswith(_ID) or dig(wanted, "invert"):
        return "no filter before it is known to set this metadata always"
    why = "no RBAC filter before it sets this metadata"
    for one in before:
        rbac = _rbac(one, levels) if one.type == "RBAC" else None
        if rbac is None or str(rbac.get("shadow_rules_stat_prefix") or "") + _ID != keys[0]:
            continue
        if "shadow_matcher" in rbac:
            return "its RBAC filter decides by a matcher"
        why = _gap(rbac, dig(wanted, "value"))
    return why


def _rbac(one: HttpFilter, levels: Sequence[tuple[Path, Json]]) -> Json | None:
    """The configuration that holds on this leaf; None where the filter is off."""
    here = said(one.name, levels)
    if one.disabled if here.enabled is None else not here.enabled:
        return None
    if here.config is None:
        return one.config
    own = here.config.config.get("rbac")
    return own if isinstance(own, dict) else None


def _gap(rbac: Json, value: Any) -> str:
    """Policies are tried by the order of their names, and the first that matches gives its name."""
    policies = sorted(items(dig(rbac, "shadow_rules", "policies")))
    for name, policy in policies:
        if not _matches(value, name):
            return f"where policy {name} matches, another name is set"
        if _is_universal(policy):
            return ""
    return f"no policy takes every request: {', '.join(name for name, _ in policies) or 'there is none'}"


def _matches(value: Any, text: str) -> bool:
    if dig(value, "present_match") is True:
        return True
    wanted = dig(value, "string_match")
    if not isinstance(wanted, dict):
        return False
    if wanted.get("ignore_case"):
        text = text.lower()
        wanted = {key: item.lower() if isinstance(item, str) else item for key, item in wanted.items()}
    regex = dig(wanted, "safe_regex", "regex")
    if isinstance(regex, str):
        try:
            return re.fullmatch(regex, text) is not None
        except re.error:
            return False
    return (
        ("exact" in wanted and text == wanted["exact"])
        or ("prefix" in wanted and text.startswith(str(wanted["prefix"])))
        or ("suffix" in wanted and text.endswith(str(wanted["suffix"])))
        or ("contains" in wanted and str(wanted["contains"]) in text)
    )


def _is_universal(policy: Any) -> bool:
    """Whether a policy matches every request. Its permissions are alternatives, and so are its principals."""
    conditioned = {"condition", "checked_condition"} & set(dict(items(policy)))
    return not conditioned and all(
        any(_takes_all(rule) for _, rule in mappings(dig(policy, part))) for part in ("permissions", "principals")
    )


def _takes_all(rule: Json) -> bool:
    if rule.get("any") is True:
        return True
    for every in (("and_rules", "rules"), ("and_ids", "ids")):
        if every[0] in rule:
            return all(_takes_all(one) for _, one in mappings(dig(rule, *every)))
    return any(
        _takes_all(one) for some in (("or_rules", "rules"), ("or_ids", "ids")) for _, one in mappings(dig(rule, *some))
    )
