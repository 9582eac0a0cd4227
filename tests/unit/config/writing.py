"""A sound configuration to damage, and the mistakes that are found in a file."""

import re

import pytest

from extauthz.config import ConfigError, load

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
