"""What a reload changed, for its log line: names of entries, never a value."""

from collections.abc import Hashable, Iterable
from heapq import nsmallest
from typing import Any, Final

from extauthz.config import ServiceConfig
from extauthz.domain.snapshot.sharded import GrowingMap
from extauthz.pauses import settle

_SECTIONS: Final = {"groups": "groups", "plugins": "plug-ins", "apis": "APIs", "apps": "apps"}
_NAMED: Final = 5


def changes(before: ServiceConfig, after: ServiceConfig) -> str:
    """Entries added, removed and changed, such as ``APIs: +orders; apps: shop changed``; empty when there are none."""
    told = []
    for section, name in _SECTIONS.items():
        old, new = _by_id(before, section), _by_id(after, section)
        also = _apps_with_other_credentials(before, after) if section == "apps" else GrowingMap[str, None]()
        told.append(_told(name, old, new, also))
    told.append(_told("grants", _grants(before), _grants(after), GrowingMap()))
    return "; ".join(part for part in told if part)


def _map(entries: Iterable[tuple[str, Any]]) -> GrowingMap[str, Any]:
    made = GrowingMap(entries)
    settle()  # else a collection looks at each of them
    return made


def _by_id(config: ServiceConfig, section: str) -> GrowingMap[str, Any]:
    return _map((entry.id, entry) for entry in getattr(config.file, section))


def _told(name: str, old: GrowingMap[str, Any], new: GrowingMap[str, Any], also: GrowingMap[str, None]) -> str:
    # In loops of our own: those of sets hold the interpreter, and every check, for as long as there are apps.
    added = [key for key in new if key not in old]
    removed = [key for key in old if key not in new]
    changed = [key for key in new if key in old and (new[key] != old[key] or key in also)]
    parts = [_list("added", added), _list("removed", removed), _list("changed", changed)]
    told = ", ".join(part for part in parts if part)
    return f"{name}: {told}" if told else ""


def _list(what: str, keys: Iterable[Hashable]) -> str:
    names = [str(key) for key in keys]
    more = ", ..." if len(names) > _NAMED else ""
    return f"{len(names)} {what} ({', '.join(nsmallest(_NAMED, names))}{more})" if names else ""


def _grants(config: ServiceConfig) -> GrowingMap[str, Any]:
    return _map(
        (f"{grant.app} for {api} in {stage}", grant.until)
        for grant in config.file.grants
        for api in grant.apis
        for stage in grant.stages
    )


def _apps_with_other_credentials(before: ServiceConfig, after: ServiceConfig) -> GrowingMap[str, None]:
    """Apps whose secrets or codes have other values, which a file that names them elsewhere does not show."""
    old, new = before.snapshot.directory, after.snapshot.directory
    changed = GrowingMap[str, None]()
    for app_key, pair in new.key_pairs():
        known = old.key_pair(app_key)
        if known is not None and (known.secret, known.previous) != (pair.secret, pair.previous):
            changed[pair.app_id] = None
    for code, app_id in new.app_codes():
        if old.app_of_code(code) is None:
            changed[app_id] = None
    return changed
