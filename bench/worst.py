"""What an unauthenticated caller can make a check cost: ``python -m bench.worst`` prints docs/limits.md's table.

Header blocks of 60 KiB (Envoy's default limit), bodies of 1 MiB; nobody of these callers has proved anything.
"""

import base64
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import yaml

from demo.keys import make_keys
from demo.stack import ROOT, load_yaml
from extauthz.config import load
from extauthz.decide.replay import MemoryReplayStore
from extauthz.domain.decision import Decision, Deny
from extauthz.domain.request import Request
from extauthz.wire.generated import ext_authz_pb2 as pb
from extauthz.wire.servicer import Servicer

LIMIT_US: Final = 20_000
"""No refusal may cost more, in microseconds: one check holds up all others of its process."""
HEADERS: Final = 60 * 1024
BODY: Final = 1024 * 1024
_NOW_MS: Final = 1_700_000_000_000
_FORM: Final = ("content-type", b"application/x-www-form-urlencoded")
_PROOF: Final = (
    ("x-ca-key", b"demo-app-key-0001"), ("x-ca-timestamp", b"%d" % _NOW_MS), ("x-ca-nonce", b"n"),
    ("x-ca-signature", b"A" * 44), ("accept", b"*/*"),
)  # fmt: skip
Headers = Iterable[tuple[str, bytes]]


class _Last:
    decision: Decision | None = None

    def decided(self, request_id: str, request: Request | None, decision: Decision, seconds: float) -> None:
        self.decision = decision


def _check(path: str, headers: Headers, body: bytes = b"", method: str = "GET", **more: str) -> bytes:
    message = pb.CheckRequest()
    http = message.attributes.request.http
    http.id, http.method, http.path, http.host, http.scheme = "1", method, path, more.get("host", "a.example"), "https"
    for name, value in headers:
        http.header_map.headers.add(key=name, raw_value=value)
    http.raw_body = body
    message.attributes.context_extensions["extauthz.network"] = "vpc"
    return message.SerializeToString()


def _post(body: bytes, target: str = "/v1/orders", *headers: tuple[str, bytes]) -> bytes:
    return _check(target, [*_PROOF, _FORM, *headers], body, "POST")


def _form(unit: bytes) -> bytes:
    return b"a=" + _fill(unit, BODY - 2)


def _fill(unit: bytes, size: int) -> bytes:
    return (unit * (size // len(unit) + 1))[:size]


def _distinct(count: int, pattern: str = "{:x}=1") -> bytes:
    return "&".join(pattern.format(number) for number in range(count)).encode()


def _bearer(header: bytes, claims: bytes) -> Headers:
    parts = [base64.urlsafe_b64encode(part).rstrip(b"=") for part in (header, claims, b"s" * 256)]
    return [("authorization", b"Bearer " + b".".join(parts))]


def _names() -> bytes:
    return b",".join(b"%x" % number for number in range(11_000))[:HEADERS]


def cases() -> dict[str, Callable[[], bytes]]:
    """Every case by its name in the table."""
    some = 4_990
    text = _fill(b"%41", HEADERS).decode()
    return {
        "a plain refusal, for comparison": lambda: _check("/v1/orders", _PROOF),
        "15,000 headers, one name": lambda: _check("/v1/orders", [("a", b"b")] * 15_000),
        "15,000 headers, distinct names": lambda: _check("/v1/orders", [(f"{n:x}", b"") for n in range(15_000)]),
        "one header of 60 KiB": lambda: _check("/v1/orders", [("cookie", b"x" * HEADERS)]),
        "path of 60 KiB": lambda: _check("/" + "a" * HEADERS, _PROOF),
        "path of 30,000 segments": lambda: _check("/a" * (HEADERS // 2), _PROOF),
        "path of 60 KiB, a dot at its end": lambda: _check("/a" * (HEADERS // 2) + "/.", _PROOF),
        "path of 60 KiB in escapes": lambda: _check("/" + text, _PROOF),
        "method of 60 KiB": lambda: _check("/v1/orders", _PROOF, method="G" * HEADERS),
        "host of 60 KiB": lambda: _check("/v1/orders", _PROOF, host="a." * (HEADERS // 2)),
        "AppKey of 60 KiB": lambda: _check("/v1/orders", [*_PROOF[1:], ("x-ca-key", b"k" * HEADERS)]),
        "X-Ca-Signature-Headers, 11,000 names": lambda: _check(
            "/v1/orders", [*_PROOF, ("x-ca-signature-headers", _names())]
        ),
        "AppCode API, query of 30,000 parameters": lambda: _check("/internal/report?" + "&a" * (HEADERS // 2), []),
        "AppCode API, query of 15,000 escaped": lambda: _check("/internal/report?" + "%41&" * (HEADERS // 4), []),
        "digest API, query of 30,000 parameters": lambda: _check("/v1/orders?" + "a&" * (HEADERS // 2), _PROOF),
        "digest API, query of 4,990 distinct": lambda: _check("/v1/orders?" + _distinct(some).decode(), _PROOF),
        "digest API, query of 60 KiB in escapes": lambda: _check("/v1/orders?" + text, _PROOF),
        "JWT of 16 KiB, 8,000 arrays deep": lambda: _check("/web/profile", _bearer(b"[" * 2000, b"[" * 9900)),
        "JWT of 16 KiB, nested objects": lambda: _check("/web/profile", _bearer(b"{}", b'{"":' * 2900)),
        "JWT of 16 KiB, 2,000 members": lambda: _check(
            "/web/profile",
            _bearer(b'{"alg":"RS256","kid":"demo-1"}', b"{" + b",".join(b'"%x":1' % n for n in range(1400)) + b"}"),
        ),
        "JWT of 60 KiB": lambda: _check("/web/profile", [("authorization", b"Bearer " + b"a." * (HEADERS // 2))]),
        "JWT, wrong RSA signature": lambda: _check(
            "/web/profile", _bearer(b'{"alg":"RS256","kid":"demo-1"}', b'{"exp":1700000100}')
        ),
        "form of 1 MiB, one value": lambda: _post(_form(b"x")),
        "form of 1 MiB in escapes": lambda: _post(_form(b"%41")),
        "form of 1 MiB in broken escapes": lambda: _post(_form(b"%4g")),
        "form of 1 MiB, escaped control characters": lambda: _post(_form(b"%01")),
        "form of 1 MiB, plus signs": lambda: _post(_form(b"+")),
        "form of 1 MiB, bytes that are no UTF-8": lambda: _post(_form(b"\xff")),
        "form of 1 MiB, a key that is no UTF-8": lambda: _post(b"\xff" * BODY),
        "form of 1 MiB, short runs of escapes": lambda: _post(_form(b"%41a")),
        "form of 1 MiB, backslashes": lambda: _post(b"%" + _form(b"\\")[1:]),
        "form of 1 MiB of `&`": lambda: _post(b"&" * BODY),
        "form of 4,990 distinct parameters": lambda: _post(_distinct(some)),
        "form of 4,990 in escapes": lambda: _post(_distinct(some, "%C3%A9{:x}=%20")),
        "form and query share a key, path escaped": lambda: _post(
            _distinct(some - 10, "%C3%A9{:x}=%20"), "/v1/orders/%34?%C3%A90=1"
        ),
        "form of 1 MiB, all four readings": lambda: _post(_form(b"%41"), "/v1/orders/%34?a=1"),
        "form of 990 of 1 KiB, all four readings": lambda: _post(
            b"&".join(b"%x=" % n + b"%41" * 340 for n in range(990)), "/v1/orders/%34?1=1"
        ),
        "form of 8 MiB": lambda: _post(b"a=" + _fill(b"%41", 8 * BODY - 2000)),
        "JSON body of 1 MiB with Content-MD5": lambda: _check(
            "/v1/orders", [*_PROOF, ("content-md5", b"A")], b"x" * BODY, "POST"
        ),
    }


def measure(wanted: str = "") -> list[tuple[str, float, str]]:
    """Name, microseconds of a check (the best of some), and the reason of its refusal."""
    with TemporaryDirectory() as folder:
        make_keys(Path(folder))
        config: dict[str, Any] = load_yaml(ROOT / "demo" / "extauthz.yaml")
        config["plugins"][0]["jwks"]["file"] = f"{folder}/jwt-public.jwks"
        config["apis"][3]["methods"].append("POST")
        file = Path(folder) / "extauthz.yaml"
        file.write_text(yaml.safe_dump(config))
        snapshot = load(file, lambda: _NOW_MS).snapshot
    last = _Last()
    servicer = Servicer(snapshot, MemoryReplayStore(100), last, lambda: _NOW_MS)
    results = []
    for name, make in cases().items():
        if wanted in name:
            payload = make()
            best = min(_time(servicer, payload) for _ in range(5))
            refused = last.decision.reason.label if isinstance(last.decision, Deny) else "ALLOWED"
            results.append((name, best * 1e6, refused))
    return results


def _time(servicer: Servicer, payload: bytes) -> float:
    begun = time.process_time()
    servicer.check(payload)
    return time.process_time() - begun


if __name__ == "__main__":
    for name, microseconds, refused in measure(*sys.argv[1:]):
        print(f"| {name} | {microseconds:,.0f} | `{refused}` |" + ("  <--" if microseconds > LIMIT_US else ""))
