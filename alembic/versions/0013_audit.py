"""Who did what; keys of some monitors, with an expiry and their last use; indexes of filtered pages."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
TIME = sa.DateTime(timezone=True)
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


PAGES = {
    "ix_anomalies_record_time": ("anomalies", ["record_time", "id"]),
    "ix_anomalies_entity": ("anomalies", ["entity", "id"]),
    "ix_incidents_start_time": ("incidents", ["start_time", "id"]),
    "ix_incidents_end_time": ("incidents", ["end_time", "id"]),
    "ix_incidents_entity": ("incidents", ["entity", "id"]),
    "ix_events_at": ("events", ["at", "id"]),
    "ix_anomalies_monitor": ("anomalies", ["monitor", "id"]),
    "ix_incidents_monitor": ("incidents", ["monitor", "id"]),
    "ix_events_monitor": ("events", ["monitor", "id"]),
}


def upgrade() -> None:
    for name, (table, columns) in PAGES.items():
        op.create_index(name, table, columns)
    op.add_column("api_keys", sa.Column("monitors", JSON))
    op.add_column("api_keys", sa.Column("expires_at", TIME))
    op.add_column("api_keys", sa.Column("last_used_at", TIME))
    op.create_table(
        "audit",
        sa.Column("id", ID, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("actor", sa.String(128), nullable=False),
        sa.Column("action", sa.String(24), nullable=False),
        sa.Column("monitor", sa.String(64)),
        sa.Column("subject", sa.String(128), nullable=False),
        sa.Column("detail", JSON),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
    op.create_index("ix_audit_monitor", "audit", ["monitor", "id"])


def downgrade() -> None:
    op.drop_table("audit")
    op.drop_column("api_keys", "last_used_at")
    op.drop_column("api_keys", "expires_at")
    op.drop_column("api_keys", "monitors")
    for name, (table, _) in PAGES.items():
        op.drop_index(name, table)
