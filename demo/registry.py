"""The demo's second act: another account's app is made, granted, rotated and revoked while everything runs."""

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from demo.stack import ROOT, Stack, StartError, load_yaml
from extauthz.client import Credentials, OutgoingRequest, SigningOptions, sign
from extauthz.registry.database.migrate import migrate
from extauthz.registry.database.sealing import Sealer, new_master_key
from extauthz.registry.database.store import Store

PATIENCE_S: Final = 5.0
_DATABASE: Final = "registry.db"
_TARGET: Final = "/v1/orders?status=open"


@dataclass(frozen=True)
class Step:
    """What somebody did with the registry, and how the next calls through Envoy ended."""

    did: str
    command: str
    expected: str
    got: str
    seconds: float
    """From the end of the command to the call that ended as expected."""

    @property
    def as_expected(self) -> bool:
        """Whether it came to that in time."""
        return self.got == self.expected


def with_registry(folder: Path) -> dict[str, Any]:
    """The demo's configuration with an empty registry beside it, in ``folder``."""
    for file in folder.glob(f"{_DATABASE}*"):
        file.unlink()
    master_keys, master_key = folder / "master.keys", new_master_key()
    master_keys.unlink(missing_ok=True)
    with os.fdopen(os.open(master_keys, os.O_WRONLY | os.O_CREAT, 0o600), "w") as opened:
        opened.write(master_key)
    config = load_yaml(ROOT / "demo" / "extauthz.yaml")
    database = f"sqlite:///{folder / _DATABASE}"
    store = Store(database)
    migrate(store, Sealer([base64.b64decode(master_key)]))  # as `extauthz registry migrate` does
    store.close()
    config["registry"] = {
        "database": database,
        "master_keys": {"file": str(master_keys)},
        "replica": {"folder": str(folder / "registry-replica")},
    }
    return config


class RegistryAct:
    """Plays the act. The API belongs to `demo`, the app to `reseller-inc`: it is granted by its id alone."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._client = httpx.Client(timeout=10)

    def play(self) -> Iterator[Step]:
        """One step after the other. Raises StartError when a command fails."""
        self._run("owners create demo")
        self._run("owners create reseller-inc")
        self._run("apis register orders --owner demo")
        self._run("apps create reseller --owner reseller-inc --name Reseller")
        key = self._run("keys create reseller")
        first = Credentials(key["app_key"], key["app_secret"])
        yield self._step("an app of another account, with a key", "keys create reseller", "403 I403AA", first)
        command = "grants create --app reseller --api orders"
        self._run(command)
        yield self._step("its id is granted an API", command, "200", first)
        command = f"keys rotate {key['app_key']} --overlap +1h"
        second = Credentials(key["app_key"], self._run(command)["app_secret"])
        yield self._step("its secret is rotated: the new one", command, "200", second)
        yield self._step("and the old one, for an hour", "", "200", first)
        command = "grants revoke --app reseller --api orders"
        self._run(command)
        yield self._step("the grant is revoked", command, "403 I403AA", second)

    def close(self) -> None:
        """End the connections."""
        self._client.close()

    def _run(self, command: str) -> dict[str, Any]:
        words = command.split()
        as_json = ["--json"] if words[0] == "keys" else []
        done = subprocess.run(
            [sys.executable, "-m", "extauthz", *words, *as_json, "--config", str(self._stack.config_file)],
            capture_output=True, text=True, check=False, cwd=ROOT,
        )  # fmt: skip
        if done.returncode:
            raise StartError(f"`extauthz {command}` failed:\n{done.stderr}")
        told: dict[str, Any] = json.loads(done.stdout) if as_json else {}
        return told

    def _step(self, did: str, command: str, expected: str, credentials: Credentials) -> Step:
        began_s = time.monotonic()
        got = self._call(credentials)
        while got != expected and time.monotonic() < began_s + PATIENCE_S:
            time.sleep(0.02)
            got = self._call(credentials)
        return Step(did, command and f"extauthz {command}", expected, got, time.monotonic() - began_s)

    def _call(self, credentials: Credentials) -> str:
        """How a signed call through Envoy ends: status and code."""
        headers = sign(OutgoingRequest("GET", _TARGET), credentials, SigningOptions())
        answer = self._client.get(self._stack.url("internet", _TARGET), headers=headers)
        return f"{answer.status_code} {answer.headers.get('x-ca-error-code', '')}".strip()
