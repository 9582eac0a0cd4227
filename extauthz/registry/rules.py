"""Who may do what in the registry: one table of roles, ownership and actions (vendor doc: API authorization).

The provider of an API may grant it to any app, its own or another account's, by the app's id alone. A consumer acts for
its own apps only. Each side revokes only what it granted.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Final

from extauthz.registry.errors import Forbidden


class Role(StrEnum):
    """What a token, or a person, is there for."""

    ADMIN = "admin"
    PROVIDER = "provider"
    CONSUMER = "consumer"
    READER = "reader"


class Side(StrEnum):
    """Who made a grant (vendor: Operator)."""

    PROVIDER = "provider"
    CONSUMER = "consumer"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks. Everybody but an admin acts for one owner; a reader without an owner may read everything."""

    name: str
    role: Role
    owner_id: str | None = None


class Action(StrEnum):
    """What can be done. The word is also what the audit trail says."""

    CREATE_OWNER = "create_owner"
    DELETE_OWNER = "delete_owner"
    READ_OWNER = "read_owner"
    CREATE_APP = "create_app"
    READ_APP = "read_app"
    CHANGE_APP = "change_app"
    DELETE_APP = "delete_app"
    CREATE_CREDENTIAL = "create_credential"
    ROTATE_CREDENTIAL = "rotate_credential"
    DELETE_CREDENTIAL = "delete_credential"
    REVEAL_SECRET = "reveal_secret"  # noqa: S105
    REGISTER_API = "register_api"
    READ_API = "read_api"
    CHANGE_API = "change_api"
    DELETE_API = "delete_api"
    GRANT_AS_PROVIDER = "grant_as_provider"
    GRANT_AS_CONSUMER = "grant_as_consumer"
    REVOKE_PROVIDER_GRANT = "revoke_provider_grant"
    REVOKE_CONSUMER_GRANT = "revoke_consumer_grant"
    READ_GRANT = "read_grant"
    ASK_ACCESS = "ask_access"
    WITHDRAW_REQUEST = "withdraw_request"
    DECIDE_REQUEST = "decide_request"
    READ_REQUEST = "read_request"
    MANAGE_TOKENS = "manage_tokens"
    READ_AUDIT = "read_audit"


class _Own(Enum):
    """What who asks has to own."""

    ANYTHING = "nothing in particular"
    APP = "the app"
    API = "the API"
    EITHER = "the app or the API"
    OWNER = "the account"


_APP: Final = {Role.CONSUMER: _Own.APP}
_API: Final = {Role.PROVIDER: _Own.API}
_READ_BOTH: Final = {Role.CONSUMER: _Own.EITHER, Role.PROVIDER: _Own.EITHER, Role.READER: _Own.EITHER}
RULES: Final[Mapping[Action, Mapping[Role, _Own]]] = {
    Action.CREATE_OWNER: {},
    Action.DELETE_OWNER: {},
    Action.READ_OWNER: {Role.CONSUMER: _Own.OWNER, Role.PROVIDER: _Own.OWNER, Role.READER: _Own.OWNER},
    Action.CREATE_APP: _APP,
    Action.READ_APP: {Role.CONSUMER: _Own.APP, Role.PROVIDER: _Own.APP, Role.READER: _Own.APP},
    Action.CHANGE_APP: _APP,
    Action.DELETE_APP: _APP,
    Action.CREATE_CREDENTIAL: _APP,
    Action.ROTATE_CREDENTIAL: _APP,
    Action.DELETE_CREDENTIAL: _APP,
    Action.REVEAL_SECRET: _APP,
    Action.REGISTER_API: _API,
    Action.READ_API: dict.fromkeys((Role.CONSUMER, Role.PROVIDER, Role.READER), _Own.ANYTHING),
    Action.CHANGE_API: _API,
    Action.DELETE_API: _API,
    Action.GRANT_AS_PROVIDER: _API,
    Action.GRANT_AS_CONSUMER: _APP,
    Action.REVOKE_PROVIDER_GRANT: _API,
    Action.REVOKE_CONSUMER_GRANT: _APP,
    Action.READ_GRANT: _READ_BOTH,
    Action.ASK_ACCESS: _APP,
    Action.WITHDRAW_REQUEST: _APP,
    Action.DECIDE_REQUEST: _API,
    Action.READ_REQUEST: _READ_BOTH,
    Action.MANAGE_TOKENS: {},
    Action.READ_AUDIT: {Role.READER: _Own.OWNER},
}
"""For each action, what each role has to own. A role that is not listed may not do it; an admin may do everything."""


def permitted(actor: Actor, action: Action, *, app_owner: str | None = None, api_owner: str | None = None) -> bool:
    """Whether ``actor`` may do this to an app or API of these owners. For owners themselves, pass the id as either."""
    if actor.role is Role.ADMIN:
        return True
    own = RULES[action].get(actor.role)
    if own is None:
        return False
    if own is _Own.ANYTHING:
        return True
    if actor.owner_id is None:
        return actor.role is Role.READER
    if own is _Own.APP:
        return actor.owner_id == app_owner
    if own is _Own.API:
        return actor.owner_id == api_owner
    return actor.owner_id in (app_owner, api_owner)


def demand(actor: Actor, action: Action, *, app_owner: str | None = None, api_owner: str | None = None) -> None:
    """Raise Forbidden unless the action is permitted."""
    if not permitted(actor, action, app_owner=app_owner, api_owner=api_owner):
        raise Forbidden(f"the role {actor.role} does not permit `{action}` here")
