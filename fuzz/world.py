"""What is fuzzed: the demo's configuration, with keys, secrets and codes that nobody has seen."""

import secrets
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import yaml

from demo.keys import make_keys
from demo.stack import ROOT, load_yaml
from extauthz.config import load
from extauthz.domain.snapshot import Snapshot

NOW_MS: Final = 1_700_000_000_000
APP_KEY: Final = "known-app-key-0001"
"""The one AppKey that callers know. Its secret, as everything else of the apps, is random and forgotten at once."""


@cache
def snapshot() -> Snapshot:
    """The demo's APIs, behind secrets that no input can contain: an allow of a protected API is a bug."""
    with TemporaryDirectory() as folder:
        make_keys(Path(folder))
        config = load_yaml(ROOT / "demo" / "extauthz.yaml")
        config["plugins"][0]["jwks"]["file"] = f"{folder}/jwt-public.jwks"
        for index, app in enumerate(config["apps"]):
            app_key = APP_KEY if index == 0 else secrets.token_hex()
            app["keys"] = [{"app_key": app_key, "app_secret": secrets.token_hex()}]
            app["app_codes"] = [secrets.token_hex()]
        file = Path(folder) / "extauthz.yaml"
        file.write_text(yaml.safe_dump(config))
        return load(file, lambda: NOW_MS).snapshot
