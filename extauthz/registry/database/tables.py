"""The tables of the registry, the same on SQLite and PostgreSQL.

Times are milliseconds since 1970, so that both databases compare them alike. Secrets are stored sealed, codes and
tokens as keyed hashes: see ``sealing``.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

METADATA: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)
_Serial = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows by itself only under INTEGER

OWNERS: Final = Table(
    "owners",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("description", String(180), nullable=False, default=""),
    Column("created_ms", BigInteger, nullable=False),
)

APPS: Final = Table(
    "apps",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("owner_id", String(64), ForeignKey("owners.id"), nullable=False, index=True),
    Column("name", String(26), nullable=False),
    Column("description", String(180), nullable=False, default=""),
    Column("disabled", Boolean, nullable=False, default=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("version", Integer, nullable=False, default=1),
)

KEY_PAIRS: Final = Table(
    "key_pairs",
    METADATA,
    Column("app_key", String(128), primary_key=True),
    Column("app_id", String(64), ForeignKey("apps.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("is_default", Boolean, nullable=False, default=False),
    Column("secret", LargeBinary, nullable=False),
    Column("previous_secret", LargeBinary),
    Column("previous_until_ms", BigInteger),
    Column("created_ms", BigInteger, nullable=False),
    Column("rotated_ms", BigInteger),
)

APP_CODES: Final = Table(
    "app_codes",
    METADATA,
    Column("id", String(36), primary_key=True),
    Column("app_id", String(64), ForeignKey("apps.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("code_hash", LargeBinary(32), nullable=False, unique=True),
    Column("hint", String(8), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
)

APIS: Final = Table(
    "apis",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("group_id", String(64), nullable=False, default=""),
    Column("owner_id", String(64), ForeignKey("owners.id"), nullable=False, index=True),
    Column("stages", String(64), nullable=False, default="RELEASE"),
    Column("self_grant", Boolean, nullable=False, default=False),
    Column("created_ms", BigInteger, nullable=False),
)

GRANTS: Final = Table(
    "grants",
    METADATA,
    Column("app_id", String(64), ForeignKey("apps.id", ondelete="CASCADE"), primary_key=True),
    Column("api_id", String(64), ForeignKey("apis.id", ondelete="CASCADE"), primary_key=True),
    Column("stage", String(8), primary_key=True),
    Column("until_ms", BigInteger),
    Column("side", String(8), nullable=False),
    Column("granted_by", String(64), nullable=False),
    Column("description", String(180), nullable=False, default=""),
    Column("created_ms", BigInteger, nullable=False),
    CheckConstraint("side IN ('provider', 'consumer')", name="side"),
    Index("ix_grants_api_id_stage", "api_id", "stage"),
    Index("ix_grants_until_ms", "until_ms"),
)

ACCESS_REQUESTS: Final = Table(
    "access_requests",
    METADATA,
    Column("id", String(36), primary_key=True),
    Column("app_id", String(64), ForeignKey("apps.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("api_id", String(64), ForeignKey("apis.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("stage", String(8), nullable=False),
    Column("why", String(500), nullable=False),
    Column("state", String(10), nullable=False),
    Column("asked_by", String(64), nullable=False),
    Column("asked_ms", BigInteger, nullable=False),
    Column("decided_by", String(64)),
    Column("decided_ms", BigInteger),
    Column("answer", String(500), nullable=False, default=""),
    Column("until_ms", BigInteger),
    CheckConstraint("state IN ('pending', 'approved', 'refused', 'withdrawn')", name="state"),
)

TOKENS: Final = Table(
    "tokens",
    METADATA,
    Column("id", String(36), primary_key=True),
    Column("token_hash", LargeBinary(32), nullable=False, unique=True),
    Column("name", String(64), nullable=False),
    Column("role", String(10), nullable=False),
    Column("owner_id", String(64), ForeignKey("owners.id")),
    Column("created_ms", BigInteger, nullable=False),
    Column("until_ms", BigInteger),
    CheckConstraint("role IN ('admin', 'provider', 'consumer', 'reader')", name="role"),
)

LAST_USES: Final = Table(
    "last_uses",
    METADATA,
    Column("credential", String(160), primary_key=True),
    Column("app_id", String(64), nullable=False, index=True),
    Column("used_ms", BigInteger, nullable=False),
    Column("networks", String(64), nullable=False, default=""),
)
"""When a credential last proved an app. Written late and in bulk, and no part of any revision."""

AUDIT: Final = Table(
    "audit",
    METADATA,
    Column("number", _Serial, primary_key=True, autoincrement=True),
    Column("at_ms", BigInteger, nullable=False, index=True),
    Column("actor", String(128), nullable=False),
    Column("action", String(40), nullable=False),
    Column("target", String(200), nullable=False, index=True),
    Column("before", Text),
    Column("after", Text),
    Column("request_id", String(36), nullable=False, default=""),
)
"""Who did what, with the values before and after as JSON. Never a secret, and never changed."""

REVISION: Final = Table(
    "revision",
    METADATA,
    Column("only", Integer, primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("registry_id", String(36), nullable=False),
    Column("hash_key", LargeBinary, nullable=False),
    CheckConstraint('"only" = 1', name="only"),
)
"""One row: the revision of the last committed change, an id by which a replica knows its registry, and the sealed key
of its hashes."""

CHANGES: Final = Table(
    "changes",
    METADATA,
    Column("revision", BigInteger, primary_key=True),
    Column("place", Integer, primary_key=True),
    Column("kind", String(8), nullable=False),
    Column("key", String(200), nullable=False),
)
"""Which entries each revision changed. What they are now stands in their own tables."""

IDEMPOTENCY: Final = Table(
    "idempotency",
    METADATA,
    Column("key", String(100), primary_key=True),
    Column("actor", String(128), primary_key=True),
    Column("request_hash", LargeBinary(32), nullable=False),
    Column("status", Integer, nullable=False),
    Column("answer", LargeBinary, nullable=False),
    Column("created_ms", BigInteger, nullable=False, index=True),
)
"""Answers that were given, sealed, so that a repeated creation gets the same one."""
