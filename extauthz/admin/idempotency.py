"""Creations that may be repeated: an ``Idempotency-Key`` gets the answer that it got first, for a day.

The answer is kept, sealed because it holds what is shown once, in the transaction that did the work: either both are
there or neither. What was refused is not kept, since it changed nothing.
"""

import hmac
import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from sqlalchemy import delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from extauthz.admin.problem import Refusal, invalid
from extauthz.registry.database.sealing import Vault, idempotency_label
from extauthz.registry.database.store import Store, Transaction
from extauthz.registry.database.tables import IDEMPOTENCY

KEPT_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class Answer:
    """What a creation answered. Its body may hold a secret."""

    status: int
    location: str
    body: bytes

    def __repr__(self) -> str:
        return f"Answer({self.status}, {self.location!r})"


class Repeatable:
    """One creation with an idempotency key. ``request`` is all that makes two requests the same one."""

    def __init__(self, tx: Transaction, vault: Vault, caller: str, key: str, request: bytes) -> None:
        self._tx = tx
        self._vault = vault
        self._place = (IDEMPOTENCY.c.key == key) & (IDEMPOTENCY.c.actor == caller)
        self._label = idempotency_label(caller, key)
        self._request_hash = vault.hash(request)
        self._claim = {
            "key": key, "actor": caller, "request_hash": self._request_hash, "status": 0, "answer": b"",
            "created_ms": tx.now_ms,
        }  # fmt: skip

    def earlier(self) -> Answer | None:
        """What was answered before; None, and the key is taken, when this is the first time. Raises Refusal.

        Who comes at the same moment with the same key waits here until the first one has committed.
        """
        view, place = self._tx.connection, self._place
        view.execute(delete(IDEMPOTENCY).where(place, IDEMPOTENCY.c.created_ms < self._tx.now_ms - KEPT_MS))
        dialect: Any = sqlite if view.dialect.name == "sqlite" else postgresql
        claim = dialect.insert(IDEMPOTENCY).values(**self._claim).on_conflict_do_nothing()
        if view.execute(claim.returning(IDEMPOTENCY.c.key)).first():
            return None
        row = view.execute(select(IDEMPOTENCY).where(place)).one()
        if not hmac.compare_digest(bytes(row.request_hash), self._request_hash):
            raise invalid("Idempotency-Key", "was used for another request; take a new key for each creation")
        kept = json.loads(self._vault.sealer.open(bytes(row.answer), self._label))
        return Answer(row.status, kept["location"], kept["body"].encode())

    def keep(self, answer: Answer) -> None:
        """Keep what this time is answered."""
        kept = json.dumps({"location": answer.location, "body": answer.body.decode()}).encode()
        sealed = self._vault.sealer.seal(kept, self._label)
        changing = update(IDEMPOTENCY).where(self._place).values(status=answer.status, answer=sealed)
        if not self._tx.connection.execute(changing).rowcount:
            raise Refusal(HTTPStatus.CONFLICT, "conflict", "the Idempotency-Key ended meanwhile; try again")


def forget_old(store: Store) -> None:
    """Remove the answers that are older than a day."""
    with store.changing() as tx:
        tx.connection.execute(delete(IDEMPOTENCY).where(IDEMPOTENCY.c.created_ms < tx.now_ms - KEPT_MS))
