"""What the framework does not say by itself: the problems that every route may answer with, and examples of answers."""

from typing import Any, Final

from extauthz.admin.problem import MEDIA_TYPE, Mistake, Problem

_PROBLEM: Final = {"$ref": "#/components/schemas/Problem"}
_ANSWERS: Final = {
    "400": "The request broke off.",
    "401": "No token, or one that is worth nothing.",
    "403": "The token's role does not permit this.",
    "404": "What was named does not exist, or not for this caller.",
    "408": "The body took too long.",
    "409": "It contradicts what is there already.",
    "412": "The app was changed since its ETag was read.",
    "413": "The body is too large.",
    "415": "The body is not JSON.",
    "422": "A value cannot be used; `field` says which.",
    "500": "A mistake of this service.",
    "503": "The database cannot be reached, or there are too many requests.",
    "507": "The database has no room left.",
}
_OF_A_LOOK_UP: Final = ("401", "403", "404", "422", "500", "503")
_MOMENT: Final = "2026-11-25T09:00:00.000Z"
_UUID: Final = "0b9a4c1e-7a54-4f0e-8d36-6b8f0c2d9e11"
_OWNER: Final = {"id": "shop", "description": "The web shop's team", "created": _MOMENT}
_APP: Final = {
    "id": "shop-web", "owner": "shop", "name": "Web shop", "description": "", "disabled": False, "created": _MOMENT,
    "version": 1,
}  # fmt: skip
_KEY: Final = {
    "app_key": "6f1d0c8a9b2e4d57a3c1e0f4", "app": "shop-web", "is_default": True, "created": _MOMENT, "rotated": None,
    "previous_until": None, "last_used": "2026-11-25T08:59:00.000Z", "previous_last_used": None,
}  # fmt: skip
_CODE: Final = {"id": _UUID, "app": "shop-web", "hint": "9f3a", "created": _MOMENT, "last_used": None}
_API: Final = {
    "id": "geocode", "group": "", "owner": "maps", "stages": ["RELEASE", "TEST"], "self_grant": False,
    "created": _MOMENT,
}  # fmt: skip
_GRANT: Final = {
    "app": "shop-web", "api": "geocode", "stage": "RELEASE", "until": "2027-12-31T00:00:00.000Z", "side": "provider",
    "granted_by": "token:maps", "description": "", "created": _MOMENT,
}  # fmt: skip
_LIVE: Final = {
    "app": "shop-web", "app_owner": "shop", "app_disabled": False, "api": "geocode", "api_owner": "maps",
    "stage": "RELEASE", "until": "2027-12-31T00:00:00.000Z", "side": "provider", "granted_by": "token:maps",
}  # fmt: skip
_REQUEST: Final = {
    "id": _UUID, "app": "shop-web", "api": "geocode", "stage": "TEST", "why": "Addresses at the checkout",
    "state": "pending", "asked_by": "token:shop", "asked": _MOMENT, "decided_by": None, "decided": None, "answer": "",
    "until": None,
}  # fmt: skip
_TOKEN: Final = {
    "id": _UUID, "name": "shop deploys", "role": "consumer", "owner": "shop", "created": _MOMENT, "until": None,
}  # fmt: skip
_REMOVED: Final = {"app": "shop-web", "api": "geocode", "stage": "RELEASE"}
_UNUSED: Final = {
    "kind": "key", "id": "6f1d0c8a9b2e4d57a3c1e0f4", "app": "shop-web", "owner": "shop", "created": _MOMENT,
    "last_used": None,
}  # fmt: skip
_AUDIT: Final = {
    "number": 42, "at": _MOMENT, "actor": "token:shop", "action": "create_owner", "target": "owner/shop",
    "before": None, "after": _OWNER, "request_id": _UUID,
}  # fmt: skip
_SHOWN_ONCE: Final = "shown once, here"
EXAMPLES: Final[dict[str, Any]] = {
    "AccessRequest": _REQUEST,
    "ApiRecord": _API,
    "AppRecord": _APP,
    "AuditEntry": _AUDIT,
    "CodeRecord": _CODE,
    "GrantRecord": _GRANT,
    "Granted": {"items": [_GRANT]},
    "KeyRecord": _KEY,
    "LiveGrant": _LIVE,
    "Mistake": {"field": "name", "detail": "must be 4 to 26 printable characters without blanks at the ends"},
    "NewCode": {"code": _CODE, "app_code": _SHOWN_ONCE},
    "NewKey": {"key": _KEY, "app_secret": _SHOWN_ONCE},
    "NewToken": {"token": _TOKEN, "value": _SHOWN_ONCE},
    "Owner": _OWNER,
    "Problem": {
        "type": "urn:extauthz:problem:conflict", "title": "Conflict", "status": 409,
        "detail": "app `shop-web` exists already", "request_id": _UUID,
    },
    "Removed": {"grants": [_REMOVED]},
    "RemovedGrant": _REMOVED,
    "Revealed": {"app_key": "6f1d0c8a9b2e4d57a3c1e0f4", "app_secret": "what the app signs with"},
    "Revoked": {"revoked": 1},
    "TokenRecord": _TOKEN,
    "UnusedCredential": _UNUSED,
    "Verdict": {
        "app": "shop-web", "api": "geocode", "stage": "TEST", "may": False, "reason": "not_granted",
        "why": "app `shop-web` has no grant for API `geocode` in stage TEST, only in RELEASE", "until": None,
    },
}  # fmt: skip
"""One example of each kind of answer, by the name of its schema."""


def complete(document: dict[str, Any]) -> dict[str, Any]:
    """The framework's document with every problem and example."""
    schemas = document["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for model in (Problem, Mistake):
        schemas[model.__name__] = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas[model.__name__].pop("$defs", None)
    for name, schema in schemas.items():
        example = EXAMPLES.get(name.removesuffix("-Output"))
        if name.startswith("Page_"):
            items = schema["properties"]["items"]["items"]["$ref"].rpartition("/")[2]
            example = {"items": [EXAMPLES[items]], "next": None}
        if example is not None and "examples" not in schema:
            schema["examples"] = [example]
    for operations in document["paths"].values():
        for method, operation in operations.items():
            for status in _OF_A_LOOK_UP if method == "get" else _ANSWERS:
                operation["responses"][status] = {
                    "description": _ANSWERS[status],
                    "content": {MEDIA_TYPE: {"schema": _PROBLEM}},
                }
    return document
