"""IP control that depends on the app is applied once the app has proved who it is, and cannot be gone round."""

from pathlib import Path

import pytest
import yaml

from extauthz.config import load
from extauthz.decide.pipeline import decide
from extauthz.domain import reason
from extauthz.domain.decision import Allow
from extauthz.domain.snapshot import Snapshot
from tests.unit.auth.one_api import request

CONFIG = {
    "listen": [{"address": "127.0.0.1:9191"}],
    "groups": [{"id": "g", "domains": ["*"]}],
    "plugins": [
        {"id": "bound", "type": "ip_control", "apps": [{"app": "bound-app", "networks": ["192.0.2.1"]}]},
    ],
    "apis": [
        {"id": "a", "group": "g", "methods": ["GET"], "path": "/a", "plugins": ["bound"],
         "auth": {"internet": {"any_of": ["none", "appcode"]}}},
    ],
    "apps": [
        {"id": "bound-app", "app_codes": ["code-of-bound"]},
        {"id": "other-app", "app_codes": ["code-of-other"]},
        {"id": "no-grant", "app_codes": ["code-of-nobody"]},
    ],
    "grants": [{"app": "bound-app", "apis": ["a"]}, {"app": "other-app", "apis": ["a"]}],
}  # fmt: skip


@pytest.fixture
def snapshot(tmp_path: Path) -> Snapshot:
    file = tmp_path / "extauthz.yaml"
    file.write_text(yaml.safe_dump(CONFIG))
    return load(file).snapshot


@pytest.mark.parametrize(
    ("code", "peer", "ends"),
    [
        ("code-of-bound", "192.0.2.1", "allowed"),
        ("code-of-bound", "192.0.2.2", reason.IP_REFUSED.label),
        ("code-of-bound", "", reason.IP_REFUSED.label),
        ("code-of-other", "192.0.2.2", "allowed"),
        ("code-of-nobody", "192.0.2.1", reason.NOT_GRANTED.label),
        ("", "192.0.2.1", reason.IP_REFUSED.label),
        ("", "192.0.2.2", reason.IP_REFUSED.label),
    ],
)
def test_who_may_call_from_where(snapshot: Snapshot, code: str, peer: str, ends: str):
    headers = {"authorization": f"APPCODE {code}".encode()} if code else {}
    decision = decide(request("", headers=headers)._replace(peer=peer), snapshot, 0)
    assert (decision.label if isinstance(decision, Allow) else decision.reason.label) == ends
