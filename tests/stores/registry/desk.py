"""The registry as a test uses it: each call one transaction, by one of a few people."""

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import select

from extauthz.registry import apis, apps, credentials
from extauthz.registry.database.sealing import Sealer
from extauthz.registry.database.store import Store, Transaction, vault_of
from extauthz.registry.database.tables import METADATA
from extauthz.registry.rules import Actor, Role

ADMIN = Actor("admin", Role.ADMIN)
SHOP = Actor("shop-consumer", Role.CONSUMER, "shop")
SHOP_PROVIDER = Actor("shop-provider", Role.PROVIDER, "shop")
MAPS = Actor("maps-provider", Role.PROVIDER, "maps")
MAPS_CONSUMER = Actor("maps-consumer", Role.CONSUMER, "maps")
READER = Actor("reader", Role.READER)
SHOP_READER = Actor("shop-reader", Role.READER, "shop")

Result = TypeVar("Result")


class View:
    """A registry, whatever it holds."""

    def __init__(self, store: Store, sealer: Sealer) -> None:
        self.store = store
        with store.reading() as view:
            self.vault = vault_of(view, sealer)

    def do(self, act: Callable[[Transaction], Result]) -> Result:
        with self.store.changing() as tx:
            return act(tx)

    def see(self, look: Callable[..., Result], *arguments: Any, **options: Any) -> Result:
        with self.store.reading() as view:
            return look(view, *arguments, **options)

    def secret(self, app_key: str) -> str:
        return self.do(lambda tx: credentials.reveal_secret(tx, self.vault, ADMIN, app_key))

    def everything(self) -> dict[str, list[tuple[Any, ...]]]:
        """Every row of every table."""
        with self.store.reading() as view:
            return {
                table.name: sorted((tuple(row) for row in view.execute(select(table))), key=repr)
                for table in METADATA.sorted_tables
            }


class Desk(View):
    def __init__(self, store: Store, sealer: Sealer) -> None:
        super().__init__(store, sealer)
        self.do(lambda tx: apps.create_owner(tx, ADMIN, "shop"))
        self.do(lambda tx: apps.create_owner(tx, ADMIN, "maps"))
        self.do(lambda tx: apps.create_app(tx, SHOP, "shop-web", "shop", "Web shop"))
        self.do(lambda tx: apis.register_api(tx, MAPS, "geocode", "maps", stages=("RELEASE", "TEST")))
