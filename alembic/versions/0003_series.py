"""Series: tracked thresholds, and the entities of a batch."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    op.add_column("batches", sa.Column("entities", JSON))
    op.create_table(
        "trackers",
        sa.Column("model_id", sa.Integer, nullable=False),
        sa.Column("entity", sa.String(255), nullable=False),
        sa.Column("batch_id", sa.BigInteger, nullable=False),
        sa.Column("state_before", JSON, nullable=False),
        sa.Column("state_after", JSON, nullable=False),
        sa.PrimaryKeyConstraint("model_id", "entity", "batch_id", name="pk_trackers"),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name="fk_trackers_model_id_models"),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"], name="fk_trackers_batch_id_batches", ondelete="CASCADE"),
    )
    op.create_index("ix_trackers_batch_id", "trackers", ["batch_id"])


def downgrade() -> None:
    op.drop_table("trackers")
    op.drop_column("batches", "entities")
