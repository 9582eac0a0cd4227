"""Requests as strangers who mean harm put them together: every part filled with whatever costs most, to its limit.

Header blocks of 60 KiB, which is Envoy's default limit, and bodies just below the limit of a form; nobody of these
callers has proved anything.
"""

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm

from demo.keys import make_keys
from demo.stack import ROOT, load_yaml
from extauthz.config import load
from extauthz.domain.snapshot import Snapshot
from extauthz.wire.generated import ext_authz_pb2 as pb

NOW_MS: Final = 1_700_000_000_000
HEADERS: Final = 60 * 1024
BODY: Final = 2 * 1024 * 1024 - 4096
"""What a body can have in a message of 2 MiB, and in a form of as much."""
_FORM: Final = b"application/x-www-form-urlencoded"
_MANY: Final = 64
WIDE: Final = "x-wide-header"
ROUTES: Final = {
    "open": "/public/ping", "report": "/internal/report", "orders": "/v1/orders", "order": "/v1/orders/%34",
    "profile": "/web/profile", "either": "/either", "cookie": "/cookie", "keys": "/keys", "strict": "/strict",
}  # fmt: skip
UNITS: Final = (
    b"a", b"A", b"%41", b"%4", b"%", b"%%", b"%C3%A9", b"%FF", b"%26", b"%3D", b"%2e", b"+", b"=", b"&", b";", b",",
    b"\\", b"/", b".", b" ", b"\t", b"\n", b"\xff", "\N{HOT BEVERAGE}".encode(),
    "\N{TEACUP WITHOUT HANDLE}".encode(), b'"', b"[", b"]=", b"{", b"token=", b"appcode=", b"a.b.c",
)  # fmt: skip


@dataclass(frozen=True)
class Filling:
    """Text made of equal pieces."""

    units: tuple[bytes, ...]
    piece: int
    """Bytes of a piece, rounded down to whole units: an escape that is cut is a unit of its own."""
    joint: bytes
    as_pair: bool
    """Whether there is a ``=`` in the middle of a piece."""
    numbered: bool
    """Whether pieces differ, at their beginning."""
    share: float
    """Of the room that is left."""

    def text(self, room: int) -> bytes:
        """The text, at most ``room`` bytes of it."""
        size = int(room * self.share)
        unit = b"".join(self.units)
        if size < len(unit) + 8:
            return b""
        units = max(min(self.piece, size - 8) // len(unit), 1)
        body = unit * units
        if self.as_pair:
            body = unit * (units // 2) + b"=" + unit * (units - units // 2)
        each = len(body) + len(self.joint) + (6 if self.numbered else 0)
        count = min(size // each, 70_000)
        pieces = [b"%06x" % number + body for number in range(count)] if self.numbered else [body] * count
        return self.joint.join(pieces)[:size]

    def told(self) -> str:
        """What it is, in a few characters."""
        marks = ("=" if self.as_pair else "") + ("#" if self.numbered else "")
        return f"<{b''.join(self.units)!r} to {self.piece}{marks}, joined by {self.joint!r}, {self.share:.0%}>"


@dataclass(frozen=True)
class Hostile:
    """A request. Parts that are None are left out."""

    route: str
    path: Filling | None
    query: Filling | None
    cookie: Filling | None
    listed: Filling | str | None
    """What X-Ca-Signature-Headers lists: a text, or the spellings of WIDE."""
    wide: Filling | None
    """The value of the header WIDE."""
    copies: int
    """How often WIDE comes, and Accept."""
    authorization: Filling | bytes | None
    is_form: bool
    body: Filling | None
    signs: bool

    def message(self) -> bytes:
        """The serialized question."""
        room = HEADERS
        message = pb.CheckRequest()
        http = message.attributes.request.http
        target = ROUTES[self.route]
        for start, filling in ((b"/", self.path), (b"?", self.query)):
            if filling is not None:
                text = start + filling.text(room)
                target += text.decode("utf-8", "replace")
                room -= min(len(text), room)
        http.id, http.path, http.host, http.scheme = "1", target, "a.example", "https"
        http.method = "POST" if self.body is not None else "GET"
        headers: list[tuple[str, bytes]] = []
        if self.signs:
            headers += [
                ("x-ca-key", b"demo-app-key-0001"), ("x-ca-timestamp", b"%d" % NOW_MS), ("x-ca-nonce", b"n"),
                ("x-ca-signature", b"A" * 44),
            ]  # fmt: skip
        if self.listed is not None:
            listed = spellings(WIDE, 580) if isinstance(self.listed, str) else self.listed.text(min(room, 8192))
            headers.append(("x-ca-signature-headers", listed))
            room -= min(len(listed), room)
        for name, part in ("cookie", self.cookie), ("authorization", self.authorization), (WIDE, self.wide):
            if part is not None:
                text = part if isinstance(part, bytes) else part.text(room // (self.copies if name == WIDE else 1))
                headers += [(name, text)] * (self.copies if name == WIDE else 1)
                room -= min(len(text), room)
        headers += [("accept", b"a/b,c/d")] * min(self.copies, 3)
        headers.append(("content-type", _FORM if self.is_form else b"application/json"))
        for name, text in headers:
            http.header_map.headers.add(key=name, raw_value=text)
        if self.body is not None:
            http.raw_body = self.body.text(BODY)
        message.attributes.context_extensions["extauthz.network"] = "vpc"
        return message.SerializeToString()

    def told(self) -> str:
        """The parts that are there, each in a few characters."""
        return ", ".join(
            f"{name}={part.told() if isinstance(part, Filling) else repr(part)[:40]}"
            for name, part in vars(self).items()
            if part is not None
        )


def spellings(name: str, count: int) -> bytes:
    """A name in so many mixtures of letter cases."""
    letters = [place for place, letter in enumerate(name) if letter.isalpha()]
    spelled = []
    for number in range(count):
        upper = {place for bit, place in enumerate(letters) if number >> bit & 1}
        spelled.append("".join(letter.upper() if place in upper else letter for place, letter in enumerate(name)))
    return ",".join(spelled).encode()


def token(header: bytes, claims: bytes) -> bytes:
    """A bearer token with a signature that is none."""
    parts = [base64.urlsafe_b64encode(part).rstrip(b"=") for part in (header, claims, b"s" * 96)]
    return b"Bearer " + b".".join(parts)


TOKENS: Final = (
    token(b'{"alg":"ES384"}', b'{"exp":1700000100}'),
    token(b'{"alg":"RS256","kid":"demo-1"}', b'{"exp":1700000100}'),
    token(b'{"alg":"RS256","kid":"demo-1"}', b"{" + b",".join(b'"%x":1' % n for n in range(1100)) + b"}"),
    token(b"[" * 2000, b"[" * 9000),
    token(b"{}", b'{"":' * 2900),
    b"Bearer " + b"a." * 30_000,
    b"Bearer a.b.c," * 4000,
)
FILLINGS: Final = st.builds(
    Filling,
    st.lists(st.sampled_from(UNITS), min_size=1, max_size=3).map(tuple),
    st.sampled_from([1, 2, 3, 8, 20, 64, 120, 127, 128, 208, 1024, 8192, BODY]),
    st.sampled_from([b"&", b"&", b"&", b";", b",", b", ", b"/", b""]),
    st.booleans(),
    st.booleans(),
    st.sampled_from([1.0, 1.0, 0.5, 0.1]),
)
MAYBE: Final = st.none() | FILLINGS
HOSTILE: Final = st.builds(
    Hostile,
    st.sampled_from(sorted(ROUTES)),
    MAYBE,
    MAYBE,
    MAYBE,
    st.none() | st.just("spellings") | FILLINGS,
    MAYBE,
    st.sampled_from([1, 2, 900]),
    st.none() | st.sampled_from(TOKENS) | FILLINGS,
    st.booleans(),
    MAYBE,
    st.booleans(),
)


def hostile_snapshot(folder: Path) -> Snapshot:
    """The demo's configuration, and APIs that read credentials everywhere, with many keys, and strictly."""
    make_keys(folder)
    config: dict[str, Any] = load_yaml(ROOT / "demo" / "extauthz.yaml")
    config["plugins"][0]["jwks"]["file"] = f"{folder}/jwt-public.jwks"
    config["plugins"] += [
        {**config["plugins"][0], "id": "in-query", "parameter_location": "query", "parameter": "token"},
        {**config["plugins"][0], "id": "in-cookie", "parameter_location": "cookie", "parameter": "token"},
        {"id": "many", "type": "jwt", "jwks": {"keys": [_public_key() for _ in range(_MANY)]}},
    ]
    digest = {"digest": {"algorithms": ["HmacSHA256"]}}
    config["apis"] += [
        _api("either", {"any_of": ["jwt", "appcode", "digest"]}, plugins=["in-query"], app_code="header_query"),
        _api("cookie", {"any_of": ["jwt", "none"]}, plugins=["in-cookie"]),
        _api("keys", "jwt", plugins=["many"]),
        _api("strict", "digest", digest={**digest["digest"], "strict": "on"}),
    ]
    for api in config["apis"]:
        api["methods"] = ["GET", "POST"]
    file = folder / "hostile.yaml"
    file.write_text(yaml.safe_dump(config))
    return load(file, lambda: NOW_MS).snapshot


def _api(name: str, auth: Any, **more: Any) -> dict[str, Any]:
    return {"id": name, "group": "demo", "path": f"/{name}", "auth": {"internet": auth, "vpc": auth}, **more}


def _public_key() -> dict[str, Any]:
    jwk = ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP384R1()).public_key(), as_dict=True)
    return {name: value for name, value in jwk.items() if name != "key_ops"} | {"alg": "ES384"}
