"""Retention: models without artifact, deleted events; the guard of retrain requests and its indexes."""

import sqlalchemy as sa
from alembic import op

from schemas.request_guard import create_guard, drop_guard

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


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


def downgrade() -> None:
    drop_guard(op.get_bind())
    op.drop_table("pruned_events")
    op.drop_index("ix_retrain_requests_served_by", "retrain_requests")
    op.drop_index("ix_retrain_requests_monitor_requested_at", "retrain_requests")
    op.drop_column("models", "pruned_at")
