"""Batches whose records changed too late to be rescored, and the key columns that batches are ranges of."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    op.add_column("batches", sa.Column("has_changed", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("monitors", sa.Column("key_columns", JSON))


def downgrade() -> None:
    op.drop_column("monitors", "key_columns")
    op.drop_column("batches", "has_changed")
