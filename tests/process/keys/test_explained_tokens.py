"""Explaining a token whose keys a provider publishes: they are fetched once, as a service does at its start."""

import json

import yaml
from typer.testing import CliRunner

from extauthz.cli.main import app
from tests.process.keys.key_server import KeyServer
from tests.unit.auth.token_making import bearer, public_jwk
from tests.unit.building import NOW_MS


def explained(tmp_path, port, token):
    remote = {"jwks_uri": f"http://127.0.0.1:{port}/keys", "allow_http": True, "allow_private_addresses": True}
    plugin = {"id": "login", "type": "jwt", "algorithms": ["RS256"], "remote_keys": remote}
    config = {
        "listen": [{"address": "127.0.0.1:9191"}],
        "groups": [{"id": "web", "domains": ["*"]}],
        "plugins": [plugin],
        "apis": [{"id": "profile", "group": "web", "methods": ["GET"], "path": "/profile", "auth": {"internet": "jwt"},
                  "plugins": ["login"]}],
    }  # fmt: skip
    (tmp_path / "extauthz.yaml").write_text(yaml.safe_dump(config))
    raw = f"GET /profile HTTP/1.1\nHost: example.com\nAuthorization: {token}\n\n"
    arguments = ["explain", "-c", str(tmp_path / "extauthz.yaml"), "--at", str(NOW_MS), "--json"]
    result = CliRunner().invoke(app, arguments, input=raw)
    assert result.exit_code < 2, result.output
    return json.loads(result.stdout)


def test_a_token_is_explained_with_the_keys_that_its_provider_publishes(tmp_path):
    server = KeyServer()
    server.replies["/keys"] = (200, {}, json.dumps({"keys": [public_jwk("rsa", kid="k1")]}).encode())
    with server.running():
        told = explained(tmp_path, server.port, bearer())
        assert (told["outcome"], told["method"]) == ("allow", "jwt")
        assert "1 keys: k1" in str(told["steps"])
        told = explained(tmp_path, server.port, bearer(exp=1))
        assert told["reason"] == "jwt_expired"
        asked = server.asked["/keys"]
        told = explained(tmp_path, server.port, "Basic abc")
        assert told["outcome"] == "deny"
        assert server.asked["/keys"] == asked, "keys are fetched for a token only"


def test_a_provider_that_does_not_answer_is_told_as_what_it_is(tmp_path):
    server = KeyServer()
    with server.running():
        assert explained(tmp_path, server.port, bearer())["reason"] == "jwt_keys_unavailable"
