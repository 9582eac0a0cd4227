"""Every route of the admin API, once: how it is called, and who may. The app belongs to `shop`, the API to `maps`."""

from typing import Any, NamedTuple

from tests.stores.registry.desk import ADMIN, MAPS, MAPS_CONSUMER, READER, SHOP, SHOP_PROVIDER, SHOP_READER

ALL = frozenset({ADMIN, SHOP, SHOP_PROVIDER, MAPS, MAPS_CONSUMER, READER, SHOP_READER})
OF_SHOP = frozenset({SHOP, SHOP_PROVIDER, SHOP_READER})
CONSUMER, PROVIDER = frozenset({ADMIN, SHOP}), frozenset({ADMIN, MAPS})
SEE_APP = frozenset({ADMIN, READER}) | OF_SHOP
BATCH = {"apps": ["shop-web"], "apis": ["geocode"], "stage": "TEST"}


class Route(NamedTuple):
    method: str
    path: str
    """As the OpenAPI document has it."""
    may: frozenset[Any]
    form: object = None
    query: str = ""


ROUTES = (
    Route("POST", "/v1/owners", frozenset({ADMIN}), {"id": "new"}),
    Route("GET", "/v1/owners", ALL),
    Route("GET", "/v1/owners/{owner}", SEE_APP),
    Route("DELETE", "/v1/owners/{owner}", frozenset({ADMIN})),
    Route("POST", "/v1/apps", CONSUMER, {"id": "new", "owner": "shop", "name": "New app"}),
    Route("GET", "/v1/apps", ALL),
    Route("GET", "/v1/apps/{app}", SEE_APP),
    Route("PATCH", "/v1/apps/{app}", CONSUMER, {"disabled": True}),
    Route("DELETE", "/v1/apps/{app}", CONSUMER),
    Route("POST", "/v1/apps/{app}/keys", CONSUMER, {}),
    Route("GET", "/v1/apps/{app}/keys", SEE_APP),
    Route("GET", "/v1/keys/{app_key}", SEE_APP),
    Route("POST", "/v1/keys/{app_key}/rotate", CONSUMER, {"overlap_s": 60}),
    Route("POST", "/v1/keys/{app_key}/end-previous", CONSUMER),
    Route("POST", "/v1/keys/{app_key}/reveal", CONSUMER),
    Route("DELETE", "/v1/keys/{app_key}", CONSUMER),
    Route("POST", "/v1/apps/{app}/codes", CONSUMER, {}),
    Route("GET", "/v1/apps/{app}/codes", SEE_APP),
    Route("DELETE", "/v1/codes/{code}", CONSUMER),
    Route("POST", "/v1/apis", PROVIDER, {"id": "new", "owner": "maps"}),
    Route("GET", "/v1/apis", ALL),
    Route("GET", "/v1/apis/{api}", ALL),
    Route("PATCH", "/v1/apis/{api}", PROVIDER, {"self_grant": True}),
    Route("DELETE", "/v1/apis/{api}", PROVIDER),
    Route("POST", "/v1/grants", PROVIDER, BATCH),
    Route("GET", "/v1/grants", ALL),
    Route("POST", "/v1/grants/revoke", PROVIDER, {**BATCH, "stage": "RELEASE"}),
    Route("DELETE", "/v1/grants/{app}/{api}/{stage}", PROVIDER),
    Route("POST", "/v1/access-requests", CONSUMER, {"app": "shop-web", "api": "geocode", "stage": "TEST", "why": "x"}),
    Route("GET", "/v1/access-requests", ALL),
    Route("GET", "/v1/access-requests/{request}", ALL),
    Route("POST", "/v1/access-requests/{request}/approve", PROVIDER, {"answer": "welcome"}),
    Route("POST", "/v1/access-requests/{request}/refuse", PROVIDER, {"answer": "no"}),
    Route("POST", "/v1/access-requests/{request}/withdraw", CONSUMER),
    Route("POST", "/v1/tokens", frozenset({ADMIN}), {"name": "another one", "role": "admin"}),
    Route("GET", "/v1/tokens", frozenset({ADMIN})),
    Route("DELETE", "/v1/tokens/{token}", frozenset({ADMIN})),
    Route("GET", "/v1/audit", frozenset({ADMIN, READER})),
    Route("GET", "/v1/questions/who-may-call", ALL, query="?api=geocode"),
    Route("GET", "/v1/questions/may-call", ALL, query="?app=shop-web"),
    Route("GET", "/v1/questions/ending-grants", ALL),
    Route("GET", "/v1/questions/unused-credentials", ALL),
    Route("GET", "/v1/questions/can", ALL, query="?app=shop-web&api=geocode"),
)
