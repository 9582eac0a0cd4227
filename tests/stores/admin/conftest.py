"""The admin API over both databases, with a token for each of the people of the registry's tests."""

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from extauthz.admin.app import build_app
from extauthz.admin.desk import OpenRegistry
from extauthz.registry import tokens
from tests.stores.registry.conftest import database, desk, postgres, sealer, store, templates
from tests.stores.registry.desk import (
    ADMIN,
    MAPS,
    MAPS_CONSUMER,
    READER,
    SHOP,
    SHOP_PROVIDER,
    SHOP_READER,
    Desk,
)

__all__ = ["database", "desk", "postgres", "sealer", "store", "templates"]
PEOPLE = (ADMIN, SHOP, SHOP_PROVIDER, MAPS, MAPS_CONSUMER, READER, SHOP_READER)


class Api:
    """The API as its callers see it."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        app = build_app(OpenRegistry(desk.store, desk.vault))
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://admin")
        self._runner = asyncio.Runner()
        self.tokens = {
            who: desk.do(
                lambda tx, who=who: tokens.create_token(tx, desk.vault, ADMIN, who.name, who.role, who.owner_id)
            ).value
            for who in PEOPLE
            if who is not ADMIN
        }
        self.tokens[ADMIN] = desk.do(
            lambda tx: tokens.create_token(tx, desk.vault, ADMIN, "ops team", ADMIN.role, None)
        ).value

    def call(self, method: str, path: str, form: object = None, **options: Any) -> httpx.Response:
        """One call, by ``who`` (the admin; None brings no token) and with ``headers``."""
        return self.together([(method, path, form, options)])[0]

    def together(self, calls: list[tuple[str, str, object, dict[str, Any]]]) -> list[httpx.Response]:
        """Several calls at once."""

        async def send() -> list[httpx.Response]:
            return await asyncio.gather(*(self._send(*call) for call in calls))

        return self._runner.run(send())

    async def _send(self, method: str, path: str, form: object, options: dict[str, Any]) -> httpx.Response:
        who = options.get("who", ADMIN)
        token = {} if who is None else {"Authorization": f"Bearer {self.tokens[who]}"}
        headers = {**token, **options.get("headers", {})}
        body = {"json": form} if form is not None else {"content": options.get("content", b"")}
        return await self.client.request(method, path, headers=headers, **body)

    def close(self) -> None:
        self._runner.run(self.client.aclose())
        self._runner.close()


@pytest.fixture
def api(desk: Desk) -> Iterator[Api]:
    made = Api(desk)
    yield made
    made.close()
