"""A plain Python client that signs by the vendor's documents, and the mistakes that clients make with it.

Nothing here is shared with the code that verifies or diagnoses: a mistake is made as a programmer makes it, at the
place in the client where it belongs.
"""

import base64
import hashlib
import hmac
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from urllib.parse import quote, quote_plus, unquote, urlencode

KEY, SECRET = "demo-app-key-0001", "demo-app-secret-0001"
OTHER_SECRET = "demo-app-secret-0002"
FORM = "application/x-www-form-urlencoded"
NO_BLOCK = ("X-Ca-Signature", "X-Ca-Signature-Headers")


@dataclass
class Call:
    """What a program wants to send."""

    method: str = "GET"
    path: str = "/v1/orders"
    query: list[tuple[str, str]] = field(default_factory=list)
    form: list[tuple[str, str]] | None = None
    json: object = None
    headers: dict[str, str] = field(default_factory=dict)
    """Sent and signed, beside those of the scheme."""
    host: str = "api.example.com"
    timestamp_ms: int = 1_700_000_000_000
    nonce: str = "nonce-1"


@dataclass
class Sent:
    """What went over the wire."""

    method: str
    target: str
    headers: list[tuple[str, str | bytes]]
    body: bytes
    string: bytes
    """What was signed."""

    def raw(self, host: str = "api.example.com") -> bytes:
        """The request as HTTP/1.1."""
        lines = [f"{self.method} {self.target} HTTP/1.1".encode()]
        if not any(name == "Host" for name, _ in self.headers):
            lines.append(f"Host: {host}".encode())
        lines += [
            f"{name}: ".encode() + (value if isinstance(value, bytes) else value.encode())
            for name, value in self.headers
        ]
        if self.body:
            lines.append(f"Content-Length: {len(self.body)}".encode())
        return b"\r\n".join([*lines, b"", self.body])


def utf16(pair: tuple[str, str]) -> bytes:
    return pair[0].encode("utf-16-be", "surrogatepass")


class Client:
    """Signs one call. Every attribute and method is a place where a program can go wrong."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.method = call.method
        self.wire_path = self.path = quote(call.path, safe="/;@")
        self.wire_query = urlencode(call.query, quote_via=quote)
        self.body = b""
        self.accept = self.wire_accept = "application/json"
        self.type = self.wire_type = ""
        if call.form is not None:
            self.wire_form = urlencode(call.form)
            self.body, self.type, self.wire_type = self.wire_form.encode(), FORM, FORM
        elif call.json is not None:
            self.body = json.dumps(call.json).encode()
            self.type = self.wire_type = "application/json"
        self.md5 = self.wire_md5 = (
            "" if call.json is None else base64.b64encode(hashlib.md5(self.body).digest()).decode()
        )
        self.date = self.wire_date = formatdate(call.timestamp_ms / 1000, usegmt=True)
        self.lines = {
            "X-Ca-Key": KEY,
            "X-Ca-Nonce": call.nonce,
            "X-Ca-Timestamp": str(call.timestamp_ms),
            **call.headers,
        }
        self.wire: dict[str, str | bytes] = dict(self.lines)
        self.listed = list(self.lines)
        self.first_lines: list[str] | None = None
        self.pairs = [*(call.form or []), *call.query]
        self.sort_headers: Callable[[list[str]], list[str]] = sorted
        self.sort_pairs: Callable[[list[tuple[str, str]]], list[tuple[str, str]]] = lambda pairs: sorted(
            pairs, key=utf16
        )
        self.unite: Callable[[list[tuple[str, str]]], list[tuple[str, str]]] = first_values
        self.write: Callable[[str, str], str] = lambda key, value: f"{key}={value}" if value else key
        self.colon, self.before_path = ":", "\n"
        self.finish: Callable[[str], str] = lambda text: text
        self.encode: Callable[[str], bytes] = str.encode
        self.secret: bytes = SECRET.encode()
        self.mac: Callable[[bytes, bytes], bytes] = lambda key, text: hmac.digest(key, text, "sha256")
        self.spell: Callable[[bytes], str] = lambda raw: base64.b64encode(raw).decode()

    def string(self) -> bytes:
        first = (
            [self.method, self.accept, self.md5, self.type, self.date] if self.first_lines is None else self.first_lines
        )
        names = self.sort_headers(list(self.lines))
        head = "\n".join([*first, *(f"{name}{self.colon}{self.lines[name]}" for name in names)])
        pairs = "&".join(self.write(key, value) for key, value in self.sort_pairs(self.unite(self.pairs)))
        return self.encode(self.finish(head + self.before_path + self.path + ("?" + pairs if pairs else "")))

    def send(self) -> Sent:
        string = self.string()
        signature = self.spell(self.mac(self.secret, string))
        fixed = [("Accept", self.wire_accept), ("Content-MD5", self.wire_md5), ("Content-Type", self.wire_type)]
        headers: list[tuple[str, str | bytes]] = [
            (name, value) for name, value in [*fixed, ("Date", self.wire_date)] if value
        ]
        headers += self.wire.items()
        headers += [("X-Ca-Signature-Headers", ",".join(self.listed)), ("X-Ca-Signature", signature)]
        target = self.wire_path + ("?" + self.wire_query if self.wire_query else "")
        return Sent(self.call.method, target, headers, self.body, string)


def first_values(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    values: dict[str, str] = {}
    for key, value in pairs:
        values.setdefault(key, value)
    return list(values.items())


def signed_by(call: Call, *mistakes: str) -> Sent:
    """The call as a client sends it that makes these mistakes."""
    client = Client(call)
    for mistake in mistakes:
        for make in MADE[mistake][:1]:
            make(client)
    return client.send()


def variants_of(call: Call, mistake: str) -> list[Sent]:
    """The call with every variant of a mistake."""
    sent = []
    for make in MADE[mistake]:
        client = Client(call)
        make(client)
        sent.append(client.send())
    return sent


Make = Callable[[Client], None]


def setting(**values: object) -> Make:
    def make(client: Client) -> None:
        for name, value in values.items():
            setattr(client, name, value)

    return make


def header(name: str, change: Callable[[str], str]) -> Make:
    def make(client: Client) -> None:
        if name in client.lines:
            client.lines[name] = change(client.lines[name])

    return make


def first_lines(change: Callable[[list[str]], list[str]]) -> Make:
    def make(client: Client) -> None:
        lines = [client.method, client.accept, client.md5, client.type, client.date]
        client.first_lines = change(client.first_lines or lines)

    return make


def signed_stage_later(client: Client) -> None:
    client.wire["X-Ca-Stage"] = "RELEASE"
    client.listed.append("X-Ca-Stage")


def no_block(client: Client) -> None:
    client.lines = {}


def drop_line(client: Client) -> None:
    client.lines.pop("X-Tenant", None)


def drop_value(client: Client) -> None:
    if "X-Ca-Nonce" in client.lines:
        client.lines["X-Ca-Nonce"] = ""


def unlisted(client: Client) -> None:
    client.listed.remove("X-Ca-Nonce")


def date_in_block(client: Client) -> None:
    client.lines["Date"] = client.wire_date
    client.listed.append("Date")


def names(change: Callable[[str], str]) -> Make:
    def make(client: Client) -> None:
        client.lines = {change(name): value for name, value in client.lines.items()}

    return make


def double_encoded(client: Client) -> None:
    for name, value in client.wire.items():
        if isinstance(value, str) and not value.isascii():
            client.wire[name] = value.encode().decode("latin-1").encode()


def latin_header(client: Client) -> None:
    for name, value in client.wire.items():
        if isinstance(value, str) and not value.isascii():
            client.wire[name] = value.encode("gb18030")


def proxied(client: Client) -> None:
    if "X-Forwarded-For" in client.wire:
        client.wire["X-Forwarded-For"] = f"{client.call.headers['X-Forwarded-For']}, 192.0.2.7"


def only(*parts: str) -> Make:
    def make(client: Client) -> None:
        client.pairs = [
            *((client.call.form or []) if "form" in parts else []),
            *(client.call.query if "query" in parts else []),
        ]

    return make


def raw_pairs(client: Client) -> None:
    texts = [client.wire_query] + ([client.wire_form] if client.call.form is not None else [])
    client.pairs = [
        (k, v) for text in texts[::-1] for k, _, v in (part.partition("=") for part in text.split("&")) if k or v
    ]


def recoded(encode: Callable[[str], str]) -> Make:
    def make(client: Client) -> None:
        client.write = lambda key, value: f"{encode(key)}={encode(value)}" if value else encode(key)

    return make


def without_empty(client: Client) -> None:
    client.pairs = [(key, value) for key, value in client.pairs if value]


def joined(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    values: dict[str, list[str]] = {}
    for key, value in pairs:
        values.setdefault(key, []).append(value)
    return [(key, ",".join(several)) for key, several in values.items()]


def query_in_order(client: Client) -> None:
    client.pairs = [*client.call.query, *(client.call.form or [])]
    client.sort_pairs = list


def plus_kept(client: Client) -> None:
    client.wire_query = urlencode(client.call.query)
    client.pairs = [(unquote(quote_plus(key)), unquote(quote_plus(value))) for key, value in client.pairs]


def decoded_twice(client: Client) -> None:
    client.pairs = [(unquote(key), unquote(value)) for key, value in client.pairs]


def gbk(client: Client) -> None:
    if client.call.form is not None:
        client.body = urlencode(client.call.form, encoding="gb18030").encode()
    client.wire_query = urlencode(client.call.query, encoding="gb18030", quote_via=quote)


def json_fields(client: Client) -> None:
    if isinstance(client.call.json, dict):
        client.pairs = [*client.pairs, *((key, str(value)) for key, value in client.call.json.items())]


def path(change: Callable[[str], str]) -> Make:
    def make(client: Client) -> None:
        client.path = change(client.path)

    return make


def whole_url(client: Client) -> None:
    client.path = "http://" + client.call.headers.get("Host", client.call.host) + client.path


def append_body(client: Client) -> None:
    body = client.body.decode("utf-8", "surrogateescape")
    client.finish = lambda text: text + body


def secret(change: Callable[[bytes], bytes]) -> Make:
    def make(client: Client) -> None:
        client.secret = change(client.secret)

    return make


def hash_mac(name: str) -> Make:
    return setting(mac=lambda key, text: hmac.digest(key, text, name))


def random_date(client: Client) -> None:
    client.wire_date = ""


MADE: dict[str, list[Make]] = {
    "accept_added": [setting(accept="", wire_accept="*/*"), setting(accept="")],
    "accept_differs": [setting(wire_accept="*/*"), setting(accept="*/*"), setting(wire_accept="")],
    "content_type_added": [setting(type="")],
    "content_type_parameters": [
        lambda client: setting(wire_type=client.wire_type and client.wire_type + "; charset=utf-8")(client),
        lambda client: setting(type=client.type and client.type + "; charset=utf-8")(client),
    ],
    "content_type_differs": [setting(type="application/octet-stream")],
    "content_md5_left_out": [setting(md5="")],
    "content_md5_not_sent": [setting(wire_md5="")],
    "content_md5_spelled": [
        lambda client: setting(md5=client.md5 and hashlib.md5(client.body).hexdigest())(client),
        lambda client: setting(
            md5=client.md5 and base64.b64encode(hashlib.md5(client.body).hexdigest().encode()).decode()
        )(client),
    ],
    "date_added": [setting(date="")],
    "date_not_sent": [random_date],
    "method_differs": [lambda client: setting(method=client.method.lower())(client), setting(method="PUT")],
    "empty_lines_left_out": [first_lines(lambda lines: [line for line in lines if line])],
    "fixed_line_missing": [first_lines(lambda lines: [lines[0], *lines[2:]])],
    "fixed_lines_order": [first_lines(lambda lines: [lines[0], lines[2], lines[3], lines[1], lines[4]])],
    "stage_forgotten": [signed_stage_later],
    "timestamp_unit": [header("X-Ca-Timestamp", lambda text: str(int(text) // 1000))],
    "headers_not_signed": [no_block],
    "listed_not_signed": [drop_line, drop_value],
    "signed_not_listed": [unlisted],
    "fixed_header_among_lines": [date_in_block],
    "header_name_case": [names(str.lower)],
    "headers_unsorted": [setting(sort_headers=list)],
    "headers_sorted_ignoring_case": [setting(sort_headers=lambda lines: sorted(lines, key=str.lower))],
    "blank_after_colon": [setting(colon=": ")],
    "blank_at_edge": [header("X-Tenant", lambda text: text + " "), header("X-Tenant", lambda text: " " + text)],
    "header_charset": [double_encoded, latin_header],
    "host_port": [header("Host", lambda text: text + ":8080")],
    "rewritten_by_proxy": [proxied],
    "line_feed_before_path": [setting(before_path="")],
    "extra_line_before_path": [setting(before_path="\n\n")],
    "query_left_out": [only("form")],
    "form_left_out": [only("query")],
    "parameters_left_out": [lambda client: only()(client) if client.call.form and client.call.query else None],
    "encoded_values": [raw_pairs],
    "encoded_again": [recoded(lambda text: quote(text, safe="!'()*")), recoded(quote_plus), recoded(quote)],
    "empty_as_equals": [setting(write=lambda key, value: f"{key}={value}")],
    "empty_left_out": [without_empty],
    "repeated_parameter": [setting(unite=joined), setting(unite=list)],
    "parameters_unsorted": [query_in_order],
    "parameters_sorted_ignoring_case": [setting(sort_pairs=lambda pairs: sorted(pairs, key=lambda p: p[0].lower()))],
    "parameters_sorted_encoded": [setting(sort_pairs=lambda pairs: sorted(pairs, key=lambda p: quote(p[0], safe="")))],
    "parameters_sorted_as_pairs": [
        setting(sort_pairs=lambda pairs: sorted(pairs, key=lambda p: f"{p[0]}={p[1]}" if p[1] else p[0]))
    ],
    "parameters_sorted_by_code_point": [setting(sort_pairs=lambda pairs: sorted(pairs, key=lambda p: p[0]))],
    "plus_kept": [plus_kept],
    "decoded_twice": [decoded_twice],
    "parameter_charset": [gbk],
    "json_fields_signed": [json_fields],
    "whole_url_signed": [whole_url],
    "path_prefix_left_out": [path(lambda text: "/" + text.split("/", 2)[2])],
    "path_slash": [path(lambda text: text + "/")],
    "path_decoded_twice": [path(lambda text: unquote(unquote(text)))],
    "path_encoded_again": [path(quote), path(lambda text: quote(unquote(text), safe=""))],
    "path_letter_case": [path(str.lower)],
    "line_feed_at_end": [setting(finish=lambda text: text + "\n")],
    "other_line_ends": [
        setting(finish=lambda text: text.replace("\n", "\r\n")),
        setting(finish=lambda text: text.replace("\n", "\\n")),
        setting(finish=lambda text: text.replace("\n", "#")),
    ],
    "no_line_feeds": [setting(finish=lambda text: text.replace("\n", ""))],
    "body_appended": [append_body],
    "string_letter_case": [setting(finish=str.lower)],
    "string_charset": [
        setting(encode=lambda text: text.encode("utf-16-le")),
        setting(encode=lambda text: text.encode("latin-1", "replace")),
    ],
    "secret_white_space": [secret(lambda text: text + b"\n"), secret(lambda text: b" " + text)],
    "secret_ampersand": [secret(lambda text: text + b"&")],
    "secret_encoded": [secret(base64.b64encode)],
    "app_key_as_secret": [secret(lambda _: KEY.encode())],
    "hmac_arguments_swapped": [setting(mac=lambda key, text: hmac.digest(text, key, "sha256"))],
    "plain_hash": [setting(mac=lambda key, text: hashlib.sha256(key + text).digest())],
    "plain_hash_behind": [setting(mac=lambda key, text: hashlib.sha256(text + key).digest())],
    "hashed_before_hmac": [
        setting(mac=lambda key, text: hmac.digest(key, hashlib.sha256(text).hexdigest().encode(), "sha256"))
    ],
    "signature_in_hex": [setting(spell=bytes.hex)],
    "signature_base64_of_hex": [setting(spell=lambda raw: base64.b64encode(raw.hex().encode()).decode())],
    "signature_base64_alphabet": [
        setting(spell=lambda raw: base64.urlsafe_b64encode(raw).decode().rstrip("=")),
        setting(spell=lambda raw: quote_plus(base64.b64encode(raw))),
    ],
    "signature_base64_twice": [setting(spell=lambda raw: base64.b64encode(base64.b64encode(raw)).decode())],
    "other_hash": [hash_mac("sha1"), hash_mac("sha512")],
    "other_secret": [secret(lambda _: OTHER_SECRET.encode())],
}
"""By the name of the mistake, how a client makes it. The first is the usual one."""

KEYS = ["b", "A", "c_d", "c", "a-b", "a", "名", "Zeta", "x.y", "page", "Size", "\uffee", "🍵", "k[]"]
VALUES = ["1", "x y", "a+b", "", "50%", "%41%2B", "茶", "A&B=C", "ü", "~t!*'()", "/path?", "plain", "UPPER"]


PATHS = ("/v1/orders", "/V1/Orders/{}", "/v1/orders/{}/items/{}")


def random_call(dice: random.Random, paths: Sequence[str] = PATHS) -> Call:
    """A call as programs make them, with what it takes for mistakes to show."""
    pairs = [(key, dice.choice(VALUES)) for key in dice.sample(KEYS, dice.randint(2, 6))]
    if dice.random() < 0.3:
        pairs.append((pairs[0][0], dice.choice(VALUES)))
    path = dice.choice(paths)
    path = path.replace("{}", dice.choice(["茶 1", "42", "a%41b", "Ünit", "a,b"]), 1).replace("{}", "7")
    headers = {"X-Tenant": dice.choice(["north", "South 2"]), "a-first": "1"}
    if dice.random() < 0.4:
        headers["X-Name"] = dice.choice(["茶", "Jürgen"])
    if dice.random() < 0.4:
        headers["Host"] = "api.example.com"
    if dice.random() < 0.4:
        headers["X-Forwarded-For"] = "198.51.100.4"
    kind = dice.choice(["GET", "form", "json"])
    call = Call("GET" if kind == "GET" else "POST", path, pairs, headers=headers, nonce=f"nonce-{dice.random()}")
    if kind == "form":
        half = len(pairs) // 2
        call.query, call.form = pairs[:half], pairs[half:]
    elif kind == "json":
        call.json = {"item": "茶", "n": dice.randint(1, 9)}
    return call
