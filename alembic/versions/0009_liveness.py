"""The rhythm of each entity, and incidents that had ended too long ago to be alerted."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("monitors", sa.Column("records_counted", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("monitors", sa.Column("source_pauses", JSON))
    op.add_column("incidents", sa.Column("not_announced", sa.String(8)))
    op.create_table(
        "entity_rhythms",
        sa.Column("monitor", sa.String(64), nullable=False),
        sa.Column("entity", sa.String(255), nullable=False),
        sa.Column("first_at", TIME, nullable=False),
        sa.Column("last_at", TIME, nullable=False),
        sa.Column("first_position", sa.BigInteger, nullable=False),
        sa.Column("last_position", sa.BigInteger, nullable=False),
        sa.Column("pauses", sa.BigInteger, nullable=False),
        sa.Column("usual_records", sa.Double, nullable=False),
        sa.Column("usual_seconds", sa.Double, nullable=False),
        sa.Column("longest", JSON, nullable=False),
        sa.Column("retired_at", TIME),
        sa.PrimaryKeyConstraint("monitor", "entity", name="pk_entity_rhythms"),
    )
    op.create_index("ix_entity_rhythms_monitor_last_at", "entity_rhythms", ["monitor", "last_at"])


def downgrade() -> None:
    op.drop_table("entity_rhythms")
    op.drop_column("incidents", "not_announced")
    op.drop_column("monitors", "source_pauses")
    op.drop_column("monitors", "records_counted")
