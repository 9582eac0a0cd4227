"""A sound configuration to damage, and the mistakes that are found in a file."""

import re
from typing import Any

import pytest

from extauthz.config import ConfigError, load
from extauthz.domain.snapshot import Snapshot
from tests.unit.building import NOW_MS

GOOD = """\
listen: [{address: "127.0.0.1:9191"}]
groups: [{id: shop, domains: ["*"]}]
apis:
  - {id: orders, group: shop, methods: [GET], path: /v1/orders, auth: {internet: digest}}
  - {id: open, group: shop, methods: [GET], path: /open, auth: {internet: none, vpc: none}}
apps:
  - id: shop-app
    keys: [{app_key: shop-key-0001, app_secret: shop-secret-0001}]
    app_codes: [shop-code-0001]
grants: [{app: shop-app, apis: [orders]}]
"""


def mistakes(file):
    """Line and key path of every mistake, and all the text."""
    with pytest.raises(ConfigError) as error:
        load(file)
    places = []
    for line in str(error.value).splitlines():
        where, number, rest = re.fullmatch(rf"({re.escape(str(file))}):(\d+): (.*)", line).groups()
        assert where
        places.append((int(number), rest.partition(": ")[0]))
    return places, str(error.value)


def config(**changes: Any) -> dict[str, Any]:
    """One group, one API, one app with a grant; changes by section, of its first entry."""
    data = {
        "listen": [{"address": "127.0.0.1:9191"}],
        "groups": [{"id": "web", "domains": ["api.example.com"]}],
        "apis": [{"id": "user", "group": "web", "methods": ["GET"], "path": "/users", "auth": {"internet": "digest"}}],
        "apps": [{"id": "shop", "keys": [{"app_key": "shop-key-1", "app_secret": "b7f0c1d29e834a56"}]}],
        "grants": [{"app": "shop", "apis": ["user"]}],
    }
    for section, change in changes.items():
        entries = data.setdefault(section, [])
        if isinstance(change, list) or not entries:
            data[section] = change
        else:
            entries[0] = entries[0] | change
    return data


def snapshot(write, data) -> Snapshot:
    return load(write(data), lambda: NOW_MS).snapshot


def found(write, data) -> list[str]:
    """Every mistake without its file: line, place, text. The file must have some."""
    file = write(data)
    with pytest.raises(ConfigError) as error:
        load(file, lambda: NOW_MS)
    return [str(problem).removeprefix(f"{file}:") for problem in error.value.problems]
