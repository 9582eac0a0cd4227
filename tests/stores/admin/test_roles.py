"""Every route answers each role as the rules say, and whom it refuses changes nothing."""

import re
import shutil
from pathlib import Path

import pytest

from extauthz.registry import apps, codes, credentials, grants, requests, tokens
from extauthz.registry.rules import Role
from tests.stores.admin.conftest import PEOPLE, Api
from tests.stores.admin.routes import ROUTES, Route
from tests.stores.registry.desk import ADMIN, MAPS, SHOP

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


class Stocked:
    """The API over a registry that holds one of everything, and that can be put back to how it was."""

    def __init__(self, api: Api) -> None:
        self.api = api
        desk = api.desk
        desk.do(lambda tx: credentials.create_key(tx, desk.vault, SHOP, "shop-web"))
        desk.do(lambda tx: credentials.create_key(tx, desk.vault, SHOP, "shop-web", "shop-key-0001"))
        desk.do(lambda tx: credentials.rotate_key(tx, desk.vault, SHOP, "shop-key-0001", 60_000))
        code = desk.do(lambda tx: codes.create_code(tx, desk.vault, SHOP, "shop-web")).code
        desk.do(lambda tx: grants.grant(tx, MAPS, ["shop-web"], ["geocode"], "RELEASE"))
        asked = desk.do(lambda tx: requests.ask(tx, SHOP, "shop-web", "geocode", "RELEASE", "for maps"))
        token = desk.do(lambda tx: tokens.create_token(tx, desk.vault, ADMIN, "old one", Role.READER, None)).token
        desk.do(lambda tx: apps.create_owner(tx, ADMIN, "empty"))
        self._names = {
            "owner": "shop", "app": "shop-web", "app_key": "shop-key-0001", "code": code.id, "api": "geocode",
            "stage": "RELEASE", "request": asked.id, "token": token.id,
        }  # fmt: skip
        self._file = Path(desk.store.engine.url.database or "")
        desk.store.close()
        self._kept = self._file.with_suffix(".kept")
        shutil.copy(self._file, self._kept)

    def restore(self) -> None:
        self.api.desk.store.close()
        for leftover in self._file.parent.glob(f"{self._file.name}-*"):
            leftover.unlink()
        shutil.copy(self._kept, self._file)

    def everything(self):
        return self.api.desk.everything()

    def call(self, route: Route, who):
        names = {**self._names, "owner": "empty"} if route.method == "DELETE" else self._names
        path = re.sub(r"\{(\w+)\}", lambda found: names[found[1]], route.path)
        return self.api.call(route.method, path + route.query, route.form, who=who)


@pytest.fixture
def stocked(api) -> Stocked:
    return Stocked(api)


def test_each_route_answers_each_role_as_the_table_says(stocked):
    wrong = []
    for route in ROUTES:
        for who in PEOPLE:
            before = stocked.everything()
            answer = stocked.call(route, who)
            changed = stocked.everything() != before
            right = answer.is_success if who in route.may else answer.status_code in (403, 404) and not changed
            if not right:
                wrong.append((route.method, route.path, who.name, answer.status_code, answer.text, changed))
            if changed:
                stocked.restore()
    assert wrong == []


def test_every_route_is_in_the_table_and_asks_for_a_token(api):
    document = api.call("GET", "/v1/openapi.json").json()
    found = {
        (method.upper(), path): operation
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }
    assert set(found) == {(one.method, one.path) for one in ROUTES}
    assert all(operation["security"] == [{"HTTPBearer": []}] for operation in found.values())
    for method, path in found:
        refused = api.call(method, path, headers={"Authorization": "Bearer xat_nobody"})
        assert (refused.status_code, refused.headers["www-authenticate"]) == (
            401, 'Bearer realm="extauthz", error="invalid_token"',
        ), path  # fmt: skip
