"""The registry's services over the admin API: the same calls, and the same records as answers."""

import inspect
import os
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar, get_type_hints
from urllib.parse import quote

import httpx
from pydantic import TypeAdapter

from extauthz.registry import apis, apps, audit, codes, credentials, grants, questions, requests, tokens
from extauthz.registry.text import utc_text

Result = TypeVar("Result")
TOKEN_VARIABLE: Final = "EXTAUTHZ_TOKEN"  # noqa: S105  the variable's name
_LARGEST_PAGE: Final = 500
_TIMEOUT_S: Final = 30.0


class ApiFault(Exception):
    """A call that the admin API did not do; the message says why."""


@dataclass(frozen=True, slots=True)
class _Route:
    """Where a service is on the API, and which of its arguments goes under which name."""

    method: str
    path: str
    names: Mapping[str, str] = field(default_factory=dict)
    """Argument by name in the body or query."""
    answer: Callable[[Any], Any] = lambda body: body
    """What the service returns, out of the body of the answer."""
    is_list: bool = False


def _removed(other: str) -> Callable[[Any], Any]:
    return lambda body: [(one[other], one["stage"]) for one in body["grants"]]


_UNTIL: Final = {"until": "until_ms"}
_BATCH: Final = {"apps": "app_ids", "apis": "api_ids", "stage": "stage"}
_KEY: Final = "/keys/{app_key}"
_REQUEST: Final = "/access-requests/{request_id}"
_ROUTES: Final[Mapping[Callable[..., Any], _Route]] = {
    apps.create_owner: _Route("POST", "/owners", {"id": "owner_id", "description": "description"}),
    apps.list_owners: _Route("GET", "/owners", is_list=True),
    apps.delete_owner: _Route("DELETE", "/owners/{owner_id}"),
    apps.create_app: _Route(
        "POST", "/apps", {"id": "app_id", "owner": "owner_id", "name": "name", "description": "description"}
    ),
    apps.list_apps: _Route("GET", "/apps", {"owner": "owner_id"}, is_list=True),
    apps.change_app: _Route(
        "PATCH", "/apps/{app_id}", {"name": "name", "description": "description", "disabled": "disabled"}
    ),
    apps.delete_app: _Route("DELETE", "/apps/{app_id}", answer=_removed("api")),
    credentials.create_key: _Route("POST", "/apps/{app_id}/keys", {"app_key": "app_key", "app_secret": "secret"}),
    credentials.list_keys: _Route("GET", "/apps/{app_id}/keys", is_list=True),
    credentials.rotate_key: _Route("POST", f"{_KEY}/rotate", {"overlap_s": "overlap_ms", "app_secret": "secret"}),
    credentials.end_previous_secret: _Route("POST", f"{_KEY}/end-previous"),
    credentials.reveal_secret: _Route("POST", f"{_KEY}/reveal", answer=lambda body: body["app_secret"]),
    credentials.delete_key: _Route("DELETE", _KEY),
    codes.create_code: _Route("POST", "/apps/{app_id}/codes", {"app_code": "code"}),
    codes.list_codes: _Route("GET", "/apps/{app_id}/codes", is_list=True),
    codes.delete_code: _Route("DELETE", "/codes/{code_id}"),
    apis.register_api: _Route(
        "POST",
        "/apis",
        {"id": "api_id", "owner": "owner_id", "group": "group", "stages": "stages", "self_grant": "self_grant"},
    ),
    apis.list_apis: _Route("GET", "/apis", {"owner": "owner_id"}, is_list=True),
    apis.delete_api: _Route("DELETE", "/apis/{api_id}", answer=_removed("app")),
    grants.grant: _Route(
        "POST", "/grants", {**_BATCH, **_UNTIL, "description": "description"}, lambda body: body["items"]
    ),
    grants.revoke: _Route("POST", "/grants/revoke", _BATCH, lambda body: body["revoked"]),
    grants.list_grants: _Route(
        "GET", "/grants", {"app": "app_id", "api": "api_id", "ends_before": "ends_before_ms"}, is_list=True
    ),
    requests.ask: _Route(
        "POST", "/access-requests", {"app": "app_id", "api": "api_id", "stage": "stage", "why": "why"}
    ),
    requests.list_requests: _Route("GET", "/access-requests", {"state": "state"}, is_list=True),
    requests.approve: _Route("POST", f"{_REQUEST}/approve", {**_UNTIL, "answer": "answer"}),
    requests.refuse: _Route("POST", f"{_REQUEST}/refuse", {"answer": "answer"}),
    tokens.create_token: _Route("POST", "/tokens", {"name": "name", "role": "role", "owner": "owner_id", **_UNTIL}),
    tokens.list_tokens: _Route("GET", "/tokens", is_list=True),
    tokens.delete_token: _Route("DELETE", "/tokens/{token_id}"),
    audit.list_audit: _Route("GET", "/audit", {"target": "target"}, is_list=True),
    questions.who_may_call: _Route("GET", "/questions/who-may-call", {"api": "api_id", "stage": "stage"}, is_list=True),
    questions.may_call: _Route("GET", "/questions/may-call", {"app": "app_id"}, is_list=True),
    questions.can: _Route("GET", "/questions/can", {"app": "app_id", "api": "api_id", "stage": "stage"}),
}
_CREATING: Final = frozenset(
    {
        apps.create_owner, apps.create_app, credentials.create_key, credentials.rotate_key, codes.create_code,
        apis.register_api, grants.grant, requests.ask, tokens.create_token,
    }
)  # fmt: skip
"""Services whose routes take an idempotency key."""


class RemoteRegistry:
    """A registry behind its admin API."""

    def __init__(self, url: str) -> None:
        """The token is in the environment, so that no list of processes shows it. Raises ApiFault."""
        token = os.environ.get(TOKEN_VARIABLE, "")
        if not token:
            raise ApiFault(f"environment variable {TOKEN_VARIABLE} is not set; export a token of the admin API in it")
        parsed = httpx.URL(url)
        if parsed.scheme not in ("https", "http") or not parsed.host:
            raise ApiFault("the address of the admin API is a URL, such as https://admin.example.com:9902")
        self._client = httpx.Client(
            base_url=parsed.join("/"), headers={"Authorization": f"Bearer {token}"}, timeout=_TIMEOUT_S
        )

    def close(self) -> None:
        """Close every connection."""
        self._client.close()

    def do(self, service: Callable[..., Result], *arguments: Any, **options: Any) -> Result:
        """What ``service`` returns with these arguments, those behind the actor. Raises ApiFault."""
        route = _ROUTES[service]
        given = _bound(service, arguments, options)
        path = route.path.format_map({name: quote(str(value), safe="") for name, value in given.items()})
        values = {name: sent for name, of in route.names.items() if (sent := _sent(of, given.get(of))) is not None}
        if route.is_list:
            answer = self._walk(path, values, given)
        elif route.method == "GET":
            answer = route.answer(self._call("GET", path, params=values))
        else:
            body = values if route.names else None
            answer = route.answer(self._call(route.method, path, body=body, creates=service in _CREATING))
        returned: Result = TypeAdapter(get_type_hints(service)["return"]).validate_python(answer)
        return returned

    def _walk(self, path: str, values: dict[str, Any], given: dict[str, Any]) -> list[Any]:
        """As many entries of a list as are wanted, page by page."""
        wanted, after = given.get("limit", _LARGEST_PAGE), given.get("after") or ""
        paged = "limit" in given
        items: list[Any] = []
        cursor: dict[str, str] = {}
        while True:
            limit = {"limit": min(wanted, _LARGEST_PAGE)} if paged else {}
            page = self._call("GET", path, params={**values, **limit, **cursor})
            items += [one for one in page["items"] if not isinstance(after, str) or one.get("id", "~") > after]
            if page["next"] is None or len(items) >= wanted:
                return items[:wanted]
            cursor = {"cursor": page["next"]}

    def _call(
        self, method: str, path: str, params: dict[str, Any] | None = None, body: Any = None, creates: bool = False
    ) -> Any:
        """The body of an answer. What creates is asked once more if the answer got lost: its key makes it one."""
        headers = {"Idempotency-Key": str(uuid.uuid4())} if creates else {}
        for is_last in (not creates, True):
            try:
                answer = self._client.request(method, f"v1{path}", params=params, json=body, headers=headers)
                break
            except httpx.TransportError as error:
                if is_last:
                    raise ApiFault(f"the admin API cannot be reached: {str(error) or type(error).__name__}") from None
        if answer.is_success:
            return answer.json() if answer.content else None
        try:
            problem = answer.json()
            told = f"{problem['detail']} (request {problem['request_id']})"
        except (ValueError, KeyError, TypeError):
            told = f"the admin API answered {answer.status_code}"
        raise ApiFault(told)


def _bound(service: Callable[..., Any], arguments: tuple[Any, ...], options: dict[str, Any]) -> dict[str, Any]:
    """The arguments by name. Those up to the actor stand for who calls, which the API knows by the token."""
    names = list(inspect.signature(service).parameters)
    first = names.index("actor") + 1
    return dict(zip(names[first:], arguments, strict=False)) | options


def _sent(argument: str, value: Any) -> Any:
    """An argument as the API takes it."""
    if value is None:
        return None
    if argument.endswith(("until_ms", "before_ms")):
        return utc_text(value)
    if argument == "overlap_ms":
        return value // 1000
    if argument == "stage":
        return str(value).upper()
    return list(value) if isinstance(value, tuple) else value
