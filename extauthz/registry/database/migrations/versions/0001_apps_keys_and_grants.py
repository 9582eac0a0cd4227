"""Owners, apps, their credentials, APIs, grants, tokens, the audit trail and the order of changes."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_SERIAL = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "owners",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("description", sa.String(180), nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_owners"),
    )
    op.create_table(
        "apps",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("owner_id", sa.String(64), nullable=False),
        sa.Column("name", sa.String(26), nullable=False),
        sa.Column("description", sa.String(180), nullable=False),
        sa.Column("disabled", sa.Boolean, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_apps"),
        sa.ForeignKeyConstraint(["owner_id"], ["owners.id"], name="fk_apps_owner_id"),
    )
    op.create_index("ix_apps_owner_id", "apps", ["owner_id"])
    op.create_table(
        "key_pairs",
        sa.Column("app_key", sa.String(128), nullable=False),
        sa.Column("app_id", sa.String(64), nullable=False),
        sa.Column("is_default", sa.Boolean, nullable=False),
        sa.Column("secret", sa.LargeBinary, nullable=False),
        sa.Column("previous_secret", sa.LargeBinary),
        sa.Column("previous_until_ms", sa.BigInteger),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("rotated_ms", sa.BigInteger),
        sa.PrimaryKeyConstraint("app_key", name="pk_key_pairs"),
        sa.ForeignKeyConstraint(["app_id"], ["apps.id"], name="fk_key_pairs_app_id", ondelete="CASCADE"),
    )
    op.create_index("ix_key_pairs_app_id", "key_pairs", ["app_id"])
    op.create_table(
        "app_codes",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("app_id", sa.String(64), nullable=False),
        sa.Column("code_hash", sa.LargeBinary(32), nullable=False),
        sa.Column("hint", sa.String(8), nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_app_codes"),
        sa.ForeignKeyConstraint(["app_id"], ["apps.id"], name="fk_app_codes_app_id", ondelete="CASCADE"),
        sa.UniqueConstraint("code_hash", name="uq_app_codes_code_hash"),
    )
    op.create_index("ix_app_codes_app_id", "app_codes", ["app_id"])
    op.create_table(
        "apis",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("group_id", sa.String(64), nullable=False),
        sa.Column("owner_id", sa.String(64), nullable=False),
        sa.Column("stages", sa.String(64), nullable=False),
        sa.Column("self_grant", sa.Boolean, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_apis"),
        sa.ForeignKeyConstraint(["owner_id"], ["owners.id"], name="fk_apis_owner_id"),
    )
    op.create_index("ix_apis_owner_id", "apis", ["owner_id"])
    op.create_table(
        "grants",
        sa.Column("app_id", sa.String(64), nullable=False),
        sa.Column("api_id", sa.String(64), nullable=False),
        sa.Column("stage", sa.String(8), nullable=False),
        sa.Column("until_ms", sa.BigInteger),
        sa.Column("side", sa.String(8), nullable=False),
        sa.Column("granted_by", sa.String(64), nullable=False),
        sa.Column("description", sa.String(180), nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("app_id", "api_id", "stage", name="pk_grants"),
        sa.ForeignKeyConstraint(["app_id"], ["apps.id"], name="fk_grants_app_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["api_id"], ["apis.id"], name="fk_grants_api_id", ondelete="CASCADE"),
        sa.CheckConstraint("side IN ('provider', 'consumer')", name="ck_grants_side"),
    )
    op.create_index("ix_grants_api_id_stage", "grants", ["api_id", "stage"])
    op.create_index("ix_grants_until_ms", "grants", ["until_ms"])
    op.create_table(
        "tokens",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(32), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("role", sa.String(10), nullable=False),
        sa.Column("owner_id", sa.String(64)),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("until_ms", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_tokens"),
        sa.ForeignKeyConstraint(["owner_id"], ["owners.id"], name="fk_tokens_owner_id"),
        sa.UniqueConstraint("token_hash", name="uq_tokens_token_hash"),
        sa.CheckConstraint("role IN ('admin', 'provider', 'consumer', 'reader')", name="ck_tokens_role"),
    )
    op.create_table(
        "audit",
        sa.Column("number", _SERIAL, autoincrement=True, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.String(128), nullable=False),
        sa.Column("action", sa.String(40), nullable=False),
        sa.Column("target", sa.String(200), nullable=False),
        sa.Column("before", sa.Text),
        sa.Column("after", sa.Text),
        sa.Column("request_id", sa.String(36), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_audit"),
    )
    op.create_index("ix_audit_at_ms", "audit", ["at_ms"])
    op.create_index("ix_audit_target", "audit", ["target"])
    op.create_table(
        "revision",
        sa.Column("only", sa.Integer, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("registry_id", sa.String(36), nullable=False),
        sa.Column("hash_key", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("only", name="pk_revision"),
        sa.CheckConstraint('"only" = 1', name="ck_revision_only"),
    )
    op.create_table(
        "changes",
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("place", sa.Integer, nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("key", sa.String(200), nullable=False),
        sa.PrimaryKeyConstraint("revision", "place", name="pk_changes"),
    )
    op.create_table(
        "idempotency",
        sa.Column("key", sa.String(100), nullable=False),
        sa.Column("actor", sa.String(128), nullable=False),
        sa.Column("request_hash", sa.LargeBinary(32), nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("answer", sa.LargeBinary, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("key", "actor", name="pk_idempotency"),
    )
    op.create_index("ix_idempotency_created_ms", "idempotency", ["created_ms"])


def downgrade() -> None:
    """Remove them all."""
    for table in (
        "idempotency", "changes", "revision", "audit", "tokens", "grants", "apis", "app_codes", "key_pairs", "apps",
        "owners",
    ):  # fmt: skip
        op.drop_table(table)
