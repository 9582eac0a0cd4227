"""Reasons for credentials in general, for AppCodes, and for what an app was granted."""

from typing import Final

from extauthz.reasons.story import Story

STORIES: Final[dict[str, Story]] = {
    "credential_missing": Story(
        (
            "The client sends no credential: it calls the URL as a browser would.",
            "The API asks for two proofs at once (`all_of`), and only one came.",
            "A proxy before Envoy drops `Authorization` or `X-Ca-*`.",
        ),
        ("`detail` in the log tells what was presented.", "Call it yourself: `extauthz call GET URL -k APPKEY`."),
        ("Sign the request, or send `Authorization: APPCODE ...`, as the API's `auth` asks for on this network.",),
        "GET /v1/orders without any X-Ca header",
        "signing.md",
    ),
    "method_refused": Story(
        (
            ("The credential is of a method that the API does not take on this network: an AppCode from the Internet "
            "where "
            "`auth` says `digest`."),
        ),
        ("`detail` in the log names the method.", "`extauthz can APP API -c FILE` shows what opens it (`methods`)."),
        ("Bring what the API asks for.", "Or let it take this one: `auth: {internet: {any_of: [digest, appcode]}}`."),
        "Authorization: APPCODE ... for an API with `auth: {internet: digest}`",
        "jwt-and-networks.md",
    ),
    "credential_ambiguous": Story(
        (("The request carries credentials of two methods, each of which would open the API: a library adds one to "
         "all calls."),),
        ("`detail` in the log lists what was presented.",),
        ("Send one. For an API that wants both, write `all_of`.",),
        "a signature and a bearer token for `auth: {internet: {any_of: [digest, jwt]}}`",
        "jwt-and-networks.md",
    ),
    "app_code_unknown": Story(
        (
            "The AppCode was deleted, mistyped, or belongs to another environment.",
            "Something stands around it: quotes, a line feed, the word APPCODE twice.",
        ),
        (("The code is never logged. `peer` and `http` say who called what; compare the code's last characters with "
         "`extauthz codes list APP` (`hint`)."),),
        ("Send the code of this environment.", ("A leaked or lost one: `extauthz codes create APP`, then delete the "
                                               "old one.")),
        "Authorization: APPCODE 0123456789abcdef",
        "signing.md",
    ),
    "app_disabled": Story(
        ("Somebody disabled the app: by `disabled: true` in the file, or by `extauthz apps disable`.",),
        ("`extauthz audit --target app/APP` says who did it and when.", "`extauthz can APP API -c FILE`."),
        ("`extauthz apps enable APP`, or take `disabled` out of the file.",),
        "a signed call of an app with `disabled: true`",
        "registry.md",
    ),
    "not_granted": Story(
        (
            "The app was never granted this API. An empty list of grants means nobody.",
            "It has a grant for another stage: one for TEST does not open RELEASE.",
            "The grant stands in the registry under an API id that the file spells otherwise.",
        ),
        ("`app_id`, `api` and `stage` in the log are what was compared.", ("`extauthz can APP API --stage STAGE -c "
                                                                          "FILE`, "
         "`extauthz what-can APP -c FILE`.")),
        ("The API's owner: `extauthz grants create --app APP --api API --stage STAGE`, or an entry under `grants`.",
         "The caller: `extauthz requests ask APP API --why ...`."),
        "a well signed call of an app without a grant",
        "registry.md",
    ),
    "grant_expired": Story(
        ("The grant had an end, and it has passed. The end itself is outside.",),
        ("`extauthz can APP API -c FILE` shows `until`.", "`extauthz lint FILE` names those that end within 30 days."),
        ("Grant it again with a later `--until`, or without one.",),
        "a call at 2027-02-01 with `until: 2027-01-31T00:00:00Z`",
        "registry.md",
    ),
    "identity_invalid": Story(
        (
            ("A value that an identity header should tell cannot stand in a header as it is: control characters or "
            "blanks at "
            "the ends in a token's subject, an owner that is too long."),
            "The client's address is none: a peer on a Unix socket, for `identity_headers: {X-Client: client_ip}`.",
        ),
        ("`detail` in the log shows the value and the header.",),
        ("Mend the value where it is made: the provider's claim, the app's `owner`.", "Or tell another fact."),
        "a token whose `sub` ends with a space, with `identity_headers: {X-User: subject}`",
        "jwt-and-networks.md",
    ),
}  # fmt: skip
"""By label."""
