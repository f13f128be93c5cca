"""Flagged records in a row: their places among the records of their entity, and the counts of these records."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("anomalies", sa.Column("entity_position", sa.Integer))
    op.add_column("anomalies", sa.Column("in_row", sa.Integer))
    op.add_column("incidents", sa.Column("in_row", sa.Integer, nullable=False, server_default="1"))
    op.create_table(
        "batch_entities",
        sa.Column("batch_id", sa.BigInteger, nullable=False),
        sa.Column("entity", sa.String(255), nullable=False),
        sa.Column("monitor", sa.String(64), nullable=False),
        sa.Column("records", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("batch_id", "entity", name="pk_batch_entities"),
        sa.ForeignKeyConstraint(
            ["batch_id"], ["batches.id"], name="fk_batch_entities_batch_id_batches", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_batch_entities_entity", "batch_entities", ["monitor", "entity", "batch_id"])


def downgrade() -> None:
    op.drop_table("batch_entities")
    op.drop_column("incidents", "in_row")
    op.drop_column("anomalies", "in_row")
    op.drop_column("anomalies", "entity_position")
