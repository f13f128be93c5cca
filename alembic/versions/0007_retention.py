"""Retention: models without artifact, deleted events; the guard of retrain requests and its indexes."""

import sqlalchemy as sa
from alembic import op

from schemas.request_guard import create_guard, drop_guard

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
TOTALS = ["monitor", "state", "model_id", "records", "anomalies", "late_records", "rescorings"]
PARTIAL_INDEXES = {
    "ix_anomalies_labelled": ("anomalies", ["monitor", "label"], "label != 'open'"),
    "ix_anomalies_labelled_at": ("anomalies", ["monitor", "labelled_at"], "labelled_at IS NOT NULL"),
    "ix_events_ongoing": ("events", ["monitor", "kind"], "since IS NOT NULL AND until IS NULL"),
}


def upgrade() -> None:
    op.add_column("models", sa.Column("pruned_at", TIME))
    op.create_index("ix_retrain_requests_monitor_requested_at", "retrain_requests", ["monitor", "requested_at"])
    op.create_index("ix_retrain_requests_served_by", "retrain_requests", ["served_by"])
    op.create_table(
        "pruned_events",
        sa.Column("monitor", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(24), nullable=False),
        sa.Column("events", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("monitor", "kind", name="pk_pruned_events"),
    )
    create_guard(op.get_bind())
    op.create_index("ix_runs_monitor_kind_started_at", "runs", ["monitor", "kind", "started_at"])
    op.create_index("ix_batches_totals", "batches", TOTALS)
    if has_partial_indexes():
        for name, (table, columns, condition) in PARTIAL_INDEXES.items():
            where = sa.text(condition)
            op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)


def downgrade() -> None:
    if has_partial_indexes():
        for name, (table, _, _) in PARTIAL_INDEXES.items():
            op.drop_index(name, table)
    op.drop_index("ix_batches_totals", "batches")
    op.drop_index("ix_runs_monitor_kind_started_at", "runs")
    drop_guard(op.get_bind())
    op.drop_table("pruned_events")
    op.drop_index("ix_retrain_requests_served_by", "retrain_requests")
    op.drop_index("ix_retrain_requests_monitor_requested_at", "retrain_requests")
    op.drop_column("models", "pruned_at")


def has_partial_indexes() -> bool:
    """Return whether the database has indexes of some of the rows."""
    return op.get_bind().dialect.name in {"sqlite", "postgresql"}
