"""Indexes that hold what trainings, status and metrics read; when a failed training is tried again."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

ANOMALIES = ["monitor", "id", "incident_id", "record_key", "severity", "label", "model_id", "threshold"]
COVERING = {
    "ix_anomalies_monitor": ("anomalies", [*ANOMALIES, "superseded_at"]),
    "ix_incidents_monitor": (
        "incidents",
        ["monitor", "id", "state", "entity", "start_time", "end_time", "suppressed_by"],
    ),
}
OF_LABELS = ["record_key", "incident_id", "model_id", "superseded_at", "record_time", "flagged_at", "labelled_at"]


def upgrade() -> None:
    op.add_column("retrain_requests", sa.Column("failures", sa.Integer, nullable=False, server_default="0"))
    op.add_column("retrain_requests", sa.Column("not_before", sa.DateTime(timezone=True)))
    for name, (table, columns) in COVERING.items():
        op.drop_index(name, table)
        op.create_index(name, table, columns)
    dialect = op.get_bind().dialect.name
    if dialect == "postgresql":
        create_index_of_labels(postgresql_include=OF_LABELS)
    elif dialect != "sqlite":
        op.create_index("ix_events_until", "events", ["until", "since", "monitor", "kind"])


def downgrade() -> None:
    op.drop_column("retrain_requests", "not_before")
    op.drop_column("retrain_requests", "failures")
    dialect = op.get_bind().dialect.name
    if dialect == "postgresql":
        create_index_of_labels()
    elif dialect != "sqlite":
        op.drop_index("ix_events_until", "events")
    for name, (table, columns) in COVERING.items():
        op.drop_index(name, table)
        op.create_index(name, table, columns[:2])


def create_index_of_labels(**options: list[str]) -> None:
    """Create the index of labelled rows in place of the one that is there."""
    op.drop_index("ix_anomalies_labelled", "anomalies")
    columns = ["monitor", "label"]
    op.create_index("ix_anomalies_labelled", "anomalies", columns, postgresql_where="label != 'open'", **options)
