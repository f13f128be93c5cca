"""Records that cannot be read, with their batch."""

import sqlalchemy as sa
from alembic import op

revision = "0005_unreadable_records"
down_revision = "0004"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "unreadable_records",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("monitor", sa.String(64), nullable=False),
        sa.Column("batch_id", sa.BigInteger, nullable=False),
        sa.Column("record_key", sa.String(512), nullable=False),
        sa.Column("column_name", sa.String(255), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("found_at", TIME, nullable=False),
        sa.Column("checked_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_unreadable_records"),
        sa.ForeignKeyConstraint(
            ["batch_id"], ["batches.id"], name="fk_unreadable_records_batch_id_batches", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_unreadable_records_batch_id", "unreadable_records", ["batch_id"])
    op.create_index("ix_unreadable_records_monitor_checked_at", "unreadable_records", ["monitor", "checked_at"])


def downgrade() -> None:
    op.drop_table("unreadable_records")
