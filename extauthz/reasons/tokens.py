"""Reasons of the JWT method."""

from typing import Final

from extauthz.reasons.story import Story

STORIES: Final[dict[str, Story]] = {
    "jwt_missing": Story(
        ("The request has no token where the plug-in looks: another header, a cookie that was not sent, no `Bearer`.",),
        ("The plug-in's `parameter` and `parameter_location`.",),
        ("Send `Authorization: Bearer TOKEN`, or what the plug-in names.",),
        "GET /web/profile without Authorization",
        "jwt-and-networks.md",
    ),
    "jwt_malformed": Story(
        ("What stands there is no JWT in compact form: an opaque access token, a cut one, one with quotes.",
         "It is longer than `max_token_bytes`."),
        ("A JWT has three parts with a dot between them. Tokens are never logged.",),
        ("Ask the provider for a JWT access token: for many that takes an `audience` parameter.",),
        "Authorization: Bearer opaque-token",
        "jwt-and-networks.md",
    ),
    "jwt_invalid": Story(
        ("The signature does not match the key, or the algorithm is not one of the plug-in's.",
         ("A claim is not as asked for: issuer, audience, scope, a required claim, `nbf`, a lifetime past "
         "`max_lifetime`.")),
        ("`{fact}` in the message says which rule.", "Decode the token's payload on a machine of yours, and compare."),
        ("Get the token for this audience and with these scopes.", ("Or mend the plug-in's `issuer`, `audiences`, "
                                                                   "`scopes`.")),
        "a token for another audience",
        "jwt-and-networks.md",
    ),
    "jwt_key_unknown": Story(
        ("The token was issued by another provider, or another environment of it.",
         "The provider rotated its keys, and has not published the new one yet.",
         "A key set in the file is not kept up to date."),
        ("The message names the `kid`; compare with the provider's key set.",
         "`/readyz`, `jwt_plugins`: how many keys, how old; `extauthz_jwks_fetches_total`."),
        ("With `remote_keys` an unknown key is fetched by itself, at most once in `refresh_interval`.",
         "Ask the provider to publish a key before it signs with it."),
        "a token with `kid: old-key`",
        "jwt-and-networks.md",
    ),
    "jwt_expired": Story(
        ("The token's `exp` has passed: the client kept it too long.", "A clock is wrong by more than `clock_skew`."),
        ("The message tells when it ended.",),
        ("Fetch a new token before the old one ends.", "Set the clocks (NTP); `clock_skew: 60` allows for a minute."),
        "a token that ended an hour ago",
        "jwt-and-networks.md",
    ),
    "jti_required": Story(
        ("The plug-in has `prevent_jti_replay`, and the provider's tokens carry no `jti`.",),
        ("Decode the token's payload on a machine of yours.",),
        ("Let the provider add `jti`, or take `prevent_jti_replay` out.",),
        "a token without `jti`",
        "jwt-and-networks.md",
    ),
    "jti_used": Story(
        ("The client uses a token twice, and the plug-in allows each of them once.",
         "Two Envoys in a row ask the service about one request.", "A replay of an overheard token."),
        ("Two lines of the log with one `peer` and `http`.",),
        ("Fetch a token for each request, or take `prevent_jti_replay` out for an API that is called often.",),
        "the same token, twice",
        "jwt-and-networks.md",
    ),
    "jwt_keys_unavailable": Story(
        ("The provider's key set was never obtained: DNS, egress policy, TLS, a wrong URL.",
         "The last one is older than `max_stale`."),
        ("`/readyz`, `jwt_plugins`: `last_fetch` says how it failed; the process log names the URL.",
         "`extauthz_jwks_fetches_total` by result."),
        ("Reach the URL from this very machine or pod, with the same proxy and CA (`ca_file`).",),
        "a start while the provider is down",
        "jwt-and-networks.md",
    ),
}  # fmt: skip
"""By label."""
