"""Access requests, and when each credential was last used."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "access_requests",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("app_id", sa.String(64), nullable=False),
        sa.Column("api_id", sa.String(64), nullable=False),
        sa.Column("stage", sa.String(8), nullable=False),
        sa.Column("why", sa.String(500), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("asked_by", sa.String(64), nullable=False),
        sa.Column("asked_ms", sa.BigInteger, nullable=False),
        sa.Column("decided_by", sa.String(64)),
        sa.Column("decided_ms", sa.BigInteger),
        sa.Column("answer", sa.String(500), nullable=False),
        sa.Column("until_ms", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_access_requests"),
        sa.ForeignKeyConstraint(["app_id"], ["apps.id"], name="fk_access_requests_app_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["api_id"], ["apis.id"], name="fk_access_requests_api_id", ondelete="CASCADE"),
        sa.CheckConstraint("state IN ('pending', 'approved', 'refused', 'withdrawn')", name="ck_access_requests_state"),
    )
    op.create_index("ix_access_requests_app_id", "access_requests", ["app_id"])
    op.create_index("ix_access_requests_api_id", "access_requests", ["api_id"])
    op.create_table(
        "last_uses",
        sa.Column("credential", sa.String(160), nullable=False),
        sa.Column("app_id", sa.String(64), nullable=False),
        sa.Column("used_ms", sa.BigInteger, nullable=False),
        sa.Column("networks", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("credential", name="pk_last_uses"),
    )
    op.create_index("ix_last_uses_app_id", "last_uses", ["app_id"])


def downgrade() -> None:
    """Remove them; what they held is lost."""
    op.drop_table("last_uses")
    op.drop_table("access_requests")
