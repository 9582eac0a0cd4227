"""CheckRequests as Envoy sends them, and a servicer over the demo's own configuration."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from demo.keys import make_keys
from demo.stack import ROOT, load_yaml
from extauthz.config import load
from extauthz.replay.memory import MemoryReplayStore
from extauthz.wire.generated import ext_authz_pb2 as pb
from extauthz.wire.servicer import Servicer
from tests.unit.building import NOW_MS


class Notes:
    """A recorder that keeps what it is told."""

    def __init__(self):
        self.decisions = []
        self.records = []

    def record(self, checked):
        self.decisions.append((checked.id, checked.request, checked.decision))
        self.records.append(checked)
        return True


@cache
def demo(lenient=False):
    """The demo's snapshot and the private JWK that signs its tokens. ``lenient`` about parameters in paths."""
    with TemporaryDirectory() as folder:
        private = make_keys(Path(folder))
        config = load_yaml(ROOT / "demo" / "extauthz.yaml")
        config["plugins"][0]["jwks"]["file"] = f"{folder}/jwt-public.jwks"
        for entry in config["apis"]:
            entry["lenient_path_parameters"] = lenient and "{" in entry["path"]
        file = Path(folder) / "extauthz.yaml"
        file.write_text(yaml.safe_dump(config))
        return load(file, lambda: NOW_MS).snapshot, private


def servicer(observer=None, store=None, now_ms=lambda: NOW_MS, known=None):
    return Servicer(known or demo()[0], store or MemoryReplayStore(10_000), observer or Notes(), now_ms)


def check_request(method="GET", path="/public/ping", headers=(), body=b"", *, raw=True, network=None, **http):
    """As Envoy 1.40 sends it; ``raw``: with encode_raw_headers and pack_as_bytes."""
    message = pb.CheckRequest()
    sent = message.attributes.request.http
    sent.id, sent.method, sent.path, sent.host, sent.scheme = "7", method, path, "api.example.com", "https"
    pairs = headers.items() if isinstance(headers, dict) else headers
    for name, value in pairs:
        if raw:
            encoded = value if isinstance(value, bytes) else value.encode()
            sent.header_map.headers.add(key=name.lower(), raw_value=encoded)
        else:
            sent.headers[name.lower()] = value
    if raw:
        sent.raw_body = body
    else:
        sent.body = body.decode()
    for field, value in http.items():
        setattr(sent, field, value)
    if network:
        message.attributes.context_extensions["extauthz.network"] = network
    return message


def answer(payload, serving=None, binding=None):
    """The CheckResponse to a message or to bytes."""
    encoded = payload if isinstance(payload, bytes) else payload.SerializeToString()
    return pb.CheckResponse.FromString((serving or servicer()).check(encoded, binding))


def error_header(response, name):
    """A header of a denial; empty when it is not there."""
    return next((h.header.value for h in response.denied_response.headers if h.header.key == name), "")
