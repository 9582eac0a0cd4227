"""Key sets as providers publish them: from a file as from a URL, the usable keys serve and the others are noted."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from extauthz.cli.main import app
from extauthz.config import ConfigError, ServiceConfig, load
from extauthz.keys.document import read_published_keys
from extauthz.keys.http import FetchFailed, FetchResult
from tests.unit.auth.one_api import RSA_KEY, public_half
from tests.unit.auth.token_making import public_jwk
from tests.unit.domain.test_jwk import k, small_rsa

GOOD = public_half(RSA_KEY)
OTHER = public_jwk("other-rsa")


def file_with(document: Any, folder: Path) -> Path:
    keys = document if isinstance(document, bytes) else json.dumps(document).encode()
    (folder / "keys.json").write_bytes(keys)
    config = {
        "listen": [{"address": "127.0.0.1:9191"}],
        "groups": [{"id": "g", "domains": ["*"]}],
        "plugins": [{"id": "login", "type": "jwt", "jwks": {"file": "keys.json"}}],
        "apis": [{"id": "a", "group": "g", "methods": ["GET"], "path": "/a", "auth": {"internet": "jwt"},
                  "plugins": ["login"]}],
    }  # fmt: skip
    file = folder / "extauthz.yaml"
    file.write_text(yaml.safe_dump(config))
    return file


def loaded(document: Any, folder: Path) -> ServiceConfig:
    return load(file_with(document, folder))


SETS: dict[str, tuple[Any, list[str | None], list[str]]] = {
    "an encryption key": ([GOOD, OTHER | {"kid": "e1", "use": "enc", "alg": "RSA-OAEP"}], ["rsa-1"], ["`use`"]),
    "an encryption key by its alg": ([OTHER | {"alg": "RSA-OAEP-256"}, GOOD], ["rsa-1"], ["`alg`"]),
    "a key for encryption by its operations": ([OTHER | {"key_ops": ["wrapKey"]}, GOOD], ["rsa-1"], ["`key_ops`"]),
    "a use that its operations belie": ([OTHER | {"use": "enc", "key_ops": ["verify"]}, GOOD], ["rsa-1"], ["`use`"]),
    "a use and operations that agree": ([GOOD | {"use": "sig", "key_ops": ["verify"]}], ["rsa-1"], []),
    "one kid for several algorithms": ([GOOD | {"alg": name} for name in ("RS256", "RS512", "PS256")],
                                       ["rsa-1"] * 3, []),
    "one kid for two keys": ([GOOD, OTHER | {"kid": "rsa-1"}], ["rsa-1", "rsa-1"], []),
    "an unknown kind": ([GOOD, {"kty": "AKP", "alg": "ML-DSA-44", "kid": "q", "pub": "AAAA"}], ["rsa-1"], ["key type"]),
    "an unknown curve": ([GOOD, public_jwk("P-256", crv="secp256k1", alg="ES256K")], ["rsa-1"], ["curve"]),
    "a weak key": ([small_rsa() | {"kid": "old"}, GOOD], ["rsa-1"], ["2048 bits"]),
    "a weak secret": ([{"kty": "oct", "k": k(8)}, GOOD], ["rsa-1"], ["too short|shared secret"]),
    "a private key": ([RSA_KEY | {"kid": "mine"}, GOOD], ["rsa-1"], ["private key"]),
    "a kid that is a number": ([OTHER | {"kid": 7}, GOOD], ["rsa-1"], ["`kid`"]),
    "entries that are no keys": (["text", None, [], GOOD], ["rsa-1"], ["not an object"] * 3),
    "members that are null": ([GOOD | dict.fromkeys(("use", "alg", "key_ops", "x5c", "d"))], ["rsa-1"], []),
    "members that nobody asked for": ([GOOD | {"x5c": ["MIIB"], "x5t": "t", "issuer": "https://a/"}], ["rsa-1"], []),
    "every curve": ([public_jwk(kind, kid=kind) for kind in ("P-256", "P-384", "P-521", "Ed25519", "Ed448")],
                    ["P-256", "P-384", "P-521", "Ed25519", "Ed448"], []),
}  # fmt: skip


@pytest.mark.parametrize(("keys", "kids", "why"), SETS.values(), ids=SETS)
def test_the_usable_keys_of_a_set_serve_and_the_others_are_noted(
    keys: list[Any], kids: list[str], why: list[str], tmp_path: Path
):
    document = {"keys": keys, "more": None}
    published = read_published_keys(json.dumps(document).encode(), 64)
    config = loaded(document, tmp_path)
    plugin = config.snapshot.gateway.apis["a"].jwt
    assert plugin is not None
    assert plugin.key_source.current is not None
    for read in (published.keys, plugin.key_source.current):
        assert [key.kid for key in read.keys] == kids
    note = "".join(str(note) for note in config.notes)
    for reason in why:
        assert any(word in note for word in reason.split("|"))
        assert any(word in published.note for word in reason.split("|"))
    assert bool(note) == bool(why)


@pytest.mark.parametrize(
    "document",
    [
        b"\xef\xbb\xbf" + json.dumps({"keys": [GOOD]}).encode(),
        json.dumps({"keys": [GOOD]}).encode() + b"\r\n\n",
        [GOOD],
        GOOD,
        GOOD | {"keys": None},
    ],
    ids=["a byte order mark", "blank lines behind it", "a bare list", "one key alone", "one key with a null beside it"],
)
def test_a_set_in_another_wrapping_is_the_same_set(document: Any, tmp_path: Path):
    plugin = loaded(document, tmp_path).snapshot.gateway.apis["a"].jwt
    assert plugin is not None
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    for keys in (plugin.key_source.current, read_published_keys(body, 8).keys):
        assert keys is not None
        assert [key.kid for key in keys.keys] == ["rsa-1"]


@pytest.mark.parametrize(
    ("document", "told", "result"),
    [
        ([OTHER | {"use": "enc"}, small_rsa()], "none of its keys can verify tokens: key 1 `use` is not `sig`; key 2",
         FetchResult.NO_USABLE_KEY),
        ([], "holds no keys", FetchResult.NO_USABLE_KEY),
        ({"keys": []}, "holds no keys", FetchResult.NO_USABLE_KEY),
        ({"keys": None}, "must be a list of keys", FetchResult.MALFORMED),
        ("text", "must be a list of keys", FetchResult.MALFORMED),
        (json.dumps([GOOD]).encode("utf-16"), "is not UTF-8 text", FetchResult.MALFORMED),
        (b"{", "is not valid JSON", FetchResult.MALFORMED),
        ([GOOD] * 1001, "holds more than 1000 keys", FetchResult.TOO_LARGE),
    ],
)  # fmt: skip
def test_a_set_without_a_usable_key_is_a_mistake(document: Any, told: str, result: FetchResult, tmp_path: Path):
    with pytest.raises(ConfigError) as mistake:
        loaded(document, tmp_path)
    assert told in str(mistake.value)
    with pytest.raises(FetchFailed) as failure:
        read_published_keys(document if isinstance(document, bytes) else json.dumps(document).encode(), 1000)
    assert failure.value.result is result


def test_check_config_tells_which_keys_are_left_out_and_why(tmp_path: Path):
    file = file_with({"keys": [GOOD, OTHER | {"kid": "e\x1b1", "use": "enc"}]}, tmp_path)
    told = CliRunner().invoke(app, ["check-config", str(file)])
    assert told.exit_code == 0
    assert r"plugins[0].jwks.file: left out: key 2 (kid 'e\x1b1') `use` is not `sig`" in told.output
    assert "sound" in told.output


def test_a_long_list_of_useless_keys_makes_a_short_note(tmp_path: Path):
    document = [GOOD, *[OTHER | {"use": "enc", "kid": "k" * 500}] * 900]
    (note,) = loaded(document, tmp_path).notes
    assert "and 892 more" in note.message
    assert len(note.message) < 2000
