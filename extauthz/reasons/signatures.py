"""Reasons of the digest method: the signature, its time, its nonce, and the body."""

from typing import Final

from extauthz.reasons.story import Story

STORIES: Final[dict[str, Story]] = {
    "signature_missing": Story(
        ("The client sends `X-Ca-Key` and no `X-Ca-Signature`: it does not sign, or a proxy dropped the header.",),
        ("Capture one request before Envoy.", "`extauthz call GET URL -k APPKEY` signs one for comparison."),
        ("Sign with one of the vendor's SDKs, or as signing.md says.",),
        "X-Ca-Key: my-app-key",
        "signing.md",
    ),
    "app_key_unknown": Story(
        (
            "The AppKey was deleted, mistyped, or belongs to another environment.",
            "The client sends the AppSecret, or the app's id, as AppKey.",
        ),
        (
            "No AppKey of a stranger is logged. Compare the client's with `extauthz keys list APP`.",
            "A key that was made just now reaches every replica within a second.",
        ),
        ("Use an AppKey of this environment, with its AppSecret.",),
        "X-Ca-Key: key-of-another-environment",
        "registry.md",
    ),
    "signature_method_refused": Story(
        (
            "The client signs with HmacSHA1, and the API takes HmacSHA256 only, the default.",
            "`X-Ca-Signature-Method` names something else, such as `HMAC-SHA256`.",
        ),
        ("`detail` in the log names the algorithm.",),
        ("Sign with HmacSHA256.", "Or accept both: `digest: {algorithms: [HmacSHA256, HmacSHA1]}`."),
        "X-Ca-Signature-Method: HmacSHA1",
        "signing.md",
    ),
    "signature_mismatch": Story(
        (
            "The AppSecret is another one: of another environment, with a line feed at its end, or rotated.",
            ("The library sends an `Accept` or `Content-Type` that the client did not sign, or signs one that it does "
            "not "
            "send."),
            "Query or form parameters are signed encoded instead of decoded, or unsorted, or `k=` for an empty value.",
            "A proxy before Envoy changes a signed header, the path or the query.",
            "The body's Content-MD5 was computed over something else, in hex instead of base64.",
        ),
        (
            ("The message holds the string that the server signed (`#` stands for a line feed): compare it with the "
            "client's, "
            "line by line. Headers that the caller need not know are masked; with `errors: {reveal: minimal}` it is "
            "left out."),
            "`extauthz explain` names the first difference, and the known mistake behind it.",
            "`extauthz call METHOD URL -k APPKEY` makes the right string for the same request.",
        ),
        (
            "Sign what is sent, after the HTTP library has added its headers.",
            "Rotate with `previous`, so that clients with the older AppSecret still pass meanwhile.",
        ),
        "a request that was signed with another AppSecret",
        "signing.md",
    ),
    "timestamp_invalid": Story(
        ("`X-Ca-Timestamp` is not a whole number: a date, a decimal, an empty value.",),
        ("Capture one request before Envoy.",),
        ("Send milliseconds since 1970: `System.currentTimeMillis()`, `Date.now()`, `int(time.time() * 1000)`.",),
        "X-Ca-Timestamp: 2027-01-31T12:00:00Z",
        "signing.md",
    ),
    "timestamp_required": Story(
        ("The API has `digest: {require_timestamp: true}`, and the client sends no `X-Ca-Timestamp`.",),
        ("`api` in the log; its `digest` section, and the file's own.",),
        ("Send the header, and list it in `X-Ca-Signature-Headers`.",),
        "a signed request without X-Ca-Timestamp",
        "signing.md",
    ),
    "timestamp_expired": Story(
        (
            "The client's clock is wrong by more than `digest: {window}`, 15 minutes by default.",
            "The client sends seconds, which lie in January 1970 when read as milliseconds.",
            "The request waited in a queue, or a retry sends the old signature again.",
        ),
        ("`detail` in the log; compare the header with `time`.",),
        ("Set the clock (NTP), send milliseconds, sign each try anew.", ("A wider window: `digest: {window: 3600}` "
                                                                         "(seconds); "
                                                                        "nonces "
         "are then kept for as long.")),
        "X-Ca-Timestamp: 1700000000 (seconds)",
        "signing.md",
    ),
    "nonce_required": Story(
        ("The API has `digest: {require_nonce: true}`, and the client sends no `X-Ca-Nonce`.",),
        ("`api` in the log; its `digest` section, and the file's own.",),
        ("Send a fresh UUID with each request, and list the header in `X-Ca-Signature-Headers`.",),
        "a signed request without X-Ca-Nonce",
        "signing.md",
    ),
    "nonce_used": Story(
        (
            "The client retries with the same signature instead of signing again.",
            "Two Envoys in a row ask the service about one request.",
            "A replay: somebody sends what they overheard.",
        ),
        ("Two lines of the log with one `credential` and `http`: the time between them tells a retry from a replay.",),
        ("Draw a nonce and sign for each try.", "Let only one Envoy on the way ask."),
        "the same signed request, twice",
        "signing.md",
    ),
    "signed_header_required": Story(
        ("`digest: {require_signed: [...]}` names a header that the client's `X-Ca-Signature-Headers` does not list.",),
        ("The message names the header.",),
        ("Sign it: most SDKs take a list of headers to sign.",),
        "no X-Ca-Timestamp in X-Ca-Signature-Headers, with `require_signed: [x-ca-timestamp]`",
        "signing.md",
    ),
    "strict_refused": Story(
        (("The signature is right, and leaves part of the request open: an unsigned body, a repeated parameter, a "
         "spelling "
         "that parsers do not read alike."),),
        ("The message says what is open.", ("`strict: warn` counts it in `extauthz_strict_warnings_total` and lets it "
                                           "pass.")),
        ("Send `Content-MD5` for bodies, timestamp and nonce among the signed headers, each parameter once.",),
        "?a=1&a=2 with `digest: {strict: on}`",
        "signing.md",
    ),
    "content_md5_invalid": Story(
        (
            "The body was changed after it was signed: re-encoded JSON, another line end, compression.",
            "Content-MD5 is in hex, or of another text. It is the base64 of the 16 bytes of the hash.",
        ),
        ("`openssl md5 -binary BODY | base64` over the bytes that are sent.",),
        ("Hash the bytes that go on the wire, after serializing them.",),
        "Content-MD5: 0123456789abcdef0123456789abcdef (hex)",
        "signing.md",
    ),
    "body_too_large": Story(
        ("The proof covers a body that is past Envoy's `max_request_bytes`, so only its beginning arrived.",
         "A form is past `limits: {form_mebibytes}`."),
        ("`extauthz doctor ENVOY.yaml --config FILE` compares the limits.",),
        ("Raise `max_request_bytes` in Envoy, and `message_mebibytes` above it; for forms `form_mebibytes`.",
         "Large uploads: an API of their own without Content-MD5, so that the body is not part of the proof."),
        "a signed PUT of 5 MiB with `max_request_bytes: 1048576`",
        "signing.md",
    ),
    "body_unavailable": Story(
        ("Envoy did not send the body: no `with_request_body`, or a route with `disable_request_body_buffering`.",
         "Envoy sent it as text (`pack_as_bytes` is off), and it is not UTF-8.",
         "A form has more parameters than are read."),
        ("The message says which.", "`extauthz doctor ENVOY.yaml --config FILE`: `body-missing`, `route-unbuffered`."),
        ("`with_request_body: {max_request_bytes: 1048576, allow_partial_message: true, pack_as_bytes: true}`.",),
        "a signed form on a route that does not buffer",
        "envoy.md",
    ),
}  # fmt: skip
"""By label."""
