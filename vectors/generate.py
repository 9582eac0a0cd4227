"""Writes ``signature-vectors.json``: requests, and what a client must sign for them. See README.md beside this file.

The strings come out of the very code that verifies requests; the test suite checks the file against a second, separate
implementation, so that one mistake cannot hide in both.
"""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

from extauthz.auth.string_to_sign import PRIMARY, StringToSign, signed_names
from extauthz.domain.app import HMAC_SHA1, HMAC_SHA256, sign_with
from extauthz.domain.request import Delivery, Network, Request

FILE = Path(__file__).parent / "signature-vectors.json"
CLOCK_MS = 1_700_000_000_000
APP_KEY = "demo-app-key-0001"
APP_SECRET = "demo-app-secret-0001"
NONCE = "6f1f1c1e-7f0c-4d0e-9a54-0c2f6c1d8a01"
FORM = "application/x-www-form-urlencoded"
CA = ("X-Ca-Key", "X-Ca-Nonce", "X-Ca-Timestamp")

Headers = list[tuple[str, str]]
Vector = dict[str, Any]


def ca(*listed: str, nonce: str = NONCE, timestamp: str = str(CLOCK_MS)) -> Headers:
    """The headers of the scheme as most clients send them; ``listed`` replaces X-Ca-Signature-Headers."""
    return [
        ("X-Ca-Key", APP_KEY),
        ("X-Ca-Nonce", nonce),
        ("X-Ca-Timestamp", timestamp),
        ("X-Ca-Signature-Headers", ",".join(listed or CA)),
    ]


def vector(
    name: str,
    shows: str,
    target: str,
    headers: Headers,
    body: bytes = b"",
    *,
    method: str = "GET",
    algorithm: str = HMAC_SHA256,
    reading: str = PRIMARY,
) -> Vector:
    """One request that is allowed, signed under the given reading of the scheme."""
    strings = _strings(method, target, headers, body)
    string = strings[reading]
    signature = base64.b64encode(sign_with(APP_SECRET.encode(), algorithm, string)).decode()
    return {
        "id": name,
        "shows": shows,
        "method": method,
        "target": target,
        "headers": [*(list(pair) for pair in headers), ["X-Ca-Signature", signature]],
        "body_base64": base64.b64encode(body).decode(),
        "app_key": APP_KEY,
        "app_secret": APP_SECRET,
        "algorithm": algorithm,
        "clock_ms": CLOCK_MS,
        "reading": reading,
        "string_to_sign": string.decode(),
        "signature": signature,
        "rules": {},
        "send": 1,
        "expect": "allow",
        "server_string_to_sign": strings[PRIMARY].decode(),
    }


def refused(name: str, shows: str, why: str, base: Vector, **changes: Any) -> Vector:
    """A request that is refused: an allowed one with something changed after it was signed."""
    changed = {**base, **changes, "id": name, "shows": shows, "expect": why}
    headers = [(key, value) for key, value in changed["headers"] if key != "X-Ca-Signature"]
    body = base64.b64decode(changed["body_base64"])
    changed["server_string_to_sign"] = _strings(changed["method"], changed["target"], headers, body)[PRIMARY].decode()
    return changed


def with_header(base: Vector, name: str, value: str | None) -> list[list[str]]:
    """The headers of a vector with one of them set to another value, or taken out."""
    kept = [pair for pair in base["headers"] if pair[0] != name]
    return kept if value is None else [*kept, [name, value]]


def md5(body: bytes) -> str:
    """The value of Content-MD5."""
    return base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()


def accepted() -> list[Vector]:
    """What every client and every gateway must agree on, and the two points where real clients do not."""
    json_body = '{"item":"茶","n":2}'.encode()
    plain = [("Accept", "application/json")]
    form = [("Accept", "application/json"), ("Content-Type", FORM)]
    all_lower = [(name.lower(), value) for name, value in [*plain, *ca(*(name.lower() for name in CA))]]
    return [
        vector("A01-plain-get", "names signed in the client's spelling, parameters sorted", "/v1/orders?b=2&a=1",
               plain + ca()),
        vector("A02-lower-case-names", "lower-case names stay lower-case", "/v1/orders?a=1", all_lower),
        vector("A03-list-unsorted", "the list's order does not matter; the block is sorted by code point", "/v1/orders",
               [*plain, ("a-trace", "7"), *ca("a-trace", "X-Ca-Timestamp", "X-Ca-Nonce", "X-Ca-Key")]),
        vector("A04-fixed-names-in-list", "Accept, Content-Type, Content-MD5 and Date never enter the block", "/v1/a",
               [*plain, ("Date", "Tue, 14 Nov 2023 22:13:20 GMT"), *ca("Accept", "Date", "X-Ca-Signature", *CA)]),
        vector("A05-absent-and-empty-headers", "a listed header that is absent or empty signs as `name:`", "/v1/a",
               [*plain, ("X-Empty", ""), *ca("X-Absent", "X-Empty", *CA)]),
        vector("A06-no-signature-headers", "without X-Ca-Signature-Headers the block is empty", "/v1/a?a=1",
               [*plain, ("X-Ca-Key", APP_KEY), ("X-Ca-Timestamp", str(CLOCK_MS))]),
        vector("A07-no-accept", "absent fixed headers are empty lines", "/v1/a", ca()),
        vector("A08-non-ascii-header", "header values are UTF-8", "/v1/a",
               [*plain, ("X-City", "杭州"), *ca("X-City", *CA)]),
        vector("A09-sha1", "HmacSHA1, where the API allows it", "/v1/orders?a=1",
               [*plain, ("X-Ca-Signature-Method", HMAC_SHA1), *ca("X-Ca-Signature-Method", *CA)], algorithm=HMAC_SHA1),
        vector("A10-stage", "the stage is an ordinary X-Ca header, in any letter case", "/v1/orders",
               [*plain, ("X-Ca-Stage", "test"), *ca("X-Ca-Stage", *CA)]),
        vector("A11-no-nonce", "the nonce is optional unless the API requires it", "/v1/orders",
               [*plain, *[pair for pair in ca("X-Ca-Key", "X-Ca-Timestamp") if pair[0] != "X-Ca-Nonce"]]),
        vector("P01-repeated-key", "only the first value of a repeated key", "/v1/s?tag=b&tag=a&x=1", plain + ca()),
        vector("P02-empty-and-valueless", "`k=` and `k` both sign as `k`", "/v1/s?b=&a&c=0", plain + ca()),
        vector("P03-plus-and-escapes", "parameters are decoded: + and %20 are spaces, %2B is a plus",
               "/v1/s?a=x+y&b=x%20y&c=x%2By", plain + ca()),
        vector("P04-delimiters-in-values", "decoded delimiters are written raw; the first = splits",
               "/v1/s?a=1%3D2%26c&b=3=4", plain + ca()),
        vector("P05-non-ascii", "keys and values are decoded as UTF-8",
               "/v1/s?%E5%90%8D=%E4%B8%AD%20%E6%96%87&a=%C3%A9", plain + ca()),
        vector("P06-utf16-order", "keys sort by UTF-16 units: U+1F600 before U+FF21",
               "/v1/s?%EF%BC%A1=1&%F0%9F%98%80=2&z=3", plain + ca()),
        vector("P07-case-of-keys", "keys keep their case; upper case sorts first", "/v1/s?b=1&B=2&a=3", plain + ca()),
        vector("P08-empty-pairs", "`&&` and a bare `?` add nothing", "/v1/s?&a=1&&", plain + ca()),
        vector("P09-bare-question-mark", "no parameters, no question mark", "/v1/s?", plain + ca()),
        vector("P10-false-and-zero", "0 and false are values", "/v1/s?a=0&b=false", plain + ca()),
        vector("F01-form", "form fields are pooled with the query and sorted", "/v1/login?channel=web", form + ca(),
               b"username=xiao+ming&password=%E5%AF%86%3D1", method="POST"),
        vector("F02-form-charset", "the media type decides, its parameters do not", "/v1/login",
               [("Content-Type", FORM.title() + "; charset=utf-8"), *ca()], b"b=2&a=1", method="POST"),
        vector("F03-form-wins", "a key in query and form: the form's value", "/v1/f?k=query&z=1", form + ca(),
               b"k=form", method="POST"),
        vector("F04-query-wins", "the other reading of a shared key: the query's value", "/v1/f?k=query&z=1",
               form + ca(), b"k=form", method="POST", reading="query_wins"),
        vector("F05-form-type-without-body", "a form type without a body is a GET like any other", "/v1/orders?a=1",
               form + ca()),
        vector("F06-form-valueless", "valueless and repeated form fields", "/v1/f", form + ca(), b"b&a=&c=1&c=2",
               method="PUT"),
        vector("W01-path-as-sent", "an escaped path is signed as it was sent", "/v1/orders/%E8%8C%B6?a=1",
               plain + ca()),
        vector("W02-path-decoded", "the other reading of an escaped path: decoded", "/v1/orders/%E8%8C%B6?a=1",
               plain + ca(), reading="decoded_path"),
        vector("W03-both-readings", "path decoded and query wins, together", "/v1/f/%20x?k=query", form + ca(),
               b"k=form", method="POST", reading="decoded_path+query_wins"),
        vector("B01-content-md5", "Content-MD5 binds a body that is no form", "/v1/items?q=1",
               [*plain, ("Content-Type", "application/json"), ("Content-MD5", md5(json_body)), *ca()], json_body,
               method="POST"),
        vector("B02-no-content-md5", "without Content-MD5 a body is not bound, and still accepted", "/v1/items",
               [*plain, ("Content-Type", "application/json"), *ca()], json_body, method="PUT"),
        vector("B03-delete", "no body, no Content-Type", "/v1/items/5", plain + ca(), method="DELETE"),
    ]  # fmt: skip


def rejected(by_id: dict[str, Vector]) -> list[Vector]:
    """What must be refused, and with which reason."""
    plain, posted, sha1, form = (by_id[name] for name in ("A01-plain-get", "B01-content-md5", "A09-sha1", "F01-form"))
    other_body = base64.b64encode(b'{"item":"gold","n":2}').decode()
    wrong = base64.b64encode(sign_with(b"demo-app-secret-0002", HMAC_SHA256, plain["string_to_sign"].encode())).decode()
    lower = plain["string_to_sign"].replace("X-Ca-", "x-ca-").encode()
    lowered = base64.b64encode(sign_with(APP_SECRET.encode(), HMAC_SHA256, lower)).decode()
    return [
        refused("N01-wrong-secret", "signed with another app's secret", "signature_mismatch", plain,
                headers=with_header(plain, "X-Ca-Signature", wrong)),
        refused("N02-lower-cased-names", "the client lists X-Ca-Key but signs x-ca-key", "signature_mismatch", plain,
                headers=with_header(plain, "X-Ca-Signature", lowered)),
        refused("N03-other-query", "a parameter was changed after signing", "signature_mismatch", plain,
                target="/v1/orders?b=2&a=2"),
        refused("N04-other-path", "the path was changed after signing", "signature_mismatch", plain,
                target="/v1/order?b=2&a=1"),
        refused("N05-other-method", "the method was changed after signing", "signature_mismatch", plain,
                method="DELETE"),
        refused("N06-accept-added", "an HTTP library added Accept after signing", "signature_mismatch",
                by_id["A07-no-accept"], headers=[*by_id["A07-no-accept"]["headers"], ["Accept", "*/*"]]),
        refused("N07-body-changed", "the body is not the one that Content-MD5 was made of", "content_md5_invalid",
                posted, body_base64=other_body),
        refused("N08-body-missing", "Content-MD5 with an empty body", "content_md5_invalid", posted, body_base64=""),
        refused("N09-form-changed", "a form field was changed", "signature_mismatch", form,
                body_base64=base64.b64encode(b"username=root&password=%E5%AF%86%3D1").decode()),
        refused("N10-late", "901 seconds after the timestamp", "timestamp_expired", plain,
                clock_ms=CLOCK_MS + 901_000),
        refused("N11-early", "901 seconds before the timestamp", "timestamp_expired", plain,
                clock_ms=CLOCK_MS - 901_000),
        refused("N12-seconds", "a timestamp in seconds", "timestamp_expired", plain,
                headers=with_header(plain, "X-Ca-Timestamp", str(CLOCK_MS // 1000))),
        refused("N13-no-number", "a timestamp that is no number", "timestamp_invalid", plain,
                headers=with_header(plain, "X-Ca-Timestamp", "now")),
        refused("N14-replay", "the same request twice", "nonce_used", plain, send=2),
        refused("N15-sha1-not-allowed", "the API takes HmacSHA256 only", "signature_method_refused", sha1,
                rules={"algorithms": [HMAC_SHA256]}),
        refused("N16-unknown-key", "an AppKey that no app has", "app_key_unknown", plain,
                headers=with_header(plain, "X-Ca-Key", "demo-app-key-9999")),
        refused("N17-no-signature", "an AppKey without a signature", "signature_missing", plain,
                headers=with_header(plain, "X-Ca-Signature", None)),
        refused("N18-nonce-required", "the API requires a nonce", "nonce_required", by_id["A11-no-nonce"],
                rules={"require_nonce": True}),
        refused("N19-strict-repeated-key", "strict mode refuses what only the first value of a key is signed of",
                "strict_refused", by_id["P01-repeated-key"], rules={"strict": "on"}),
        refused("N20-strict-unbound-body", "strict mode refuses a body without Content-MD5", "strict_refused",
                by_id["B02-no-content-md5"], rules={"strict": "on"}),
    ]  # fmt: skip


def build() -> dict[str, Any]:
    """The whole file."""
    allowed = accepted()
    return {
        "schema": 1,
        "about": "Requests for the digest scheme and what must be signed for them. Schema: README.md in this folder.",
        "vectors": allowed + rejected({entry["id"]: entry for entry in allowed}),
    }


def text() -> str:
    """The file as it is written."""
    return json.dumps(build(), ensure_ascii=False, indent=1) + "\n"


def _strings(method: str, target: str, headers: Headers, body: bytes) -> dict[str, bytes]:
    path, _, query = target.partition("?")
    lower = {name.lower(): value.encode() for name, value in headers}
    request = Request(
        stream_id="", method=method, host="", path=path, query=query, headers=lower, repeated=frozenset(),
        body=body, delivery=Delivery.WHOLE, network=Network.INTERNET, scheme="", peer="", context={},
    )  # fmt: skip
    string = StringToSign(request, signed_names(lower.get("x-ca-signature-headers", b"")) or ())
    return {PRIMARY: string.primary(), **{other.name: other.string() for other in string.others()}}


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
