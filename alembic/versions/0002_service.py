"""The service: late records, incidents, alerts, retraining, drift, API keys, workers."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from schemas.views import drop_own_view, joined_name

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

TABLES = (
    "workers",
    "api_keys",
    "drift_features",
    "drifts",
    "batch_profiles",
    "retrain_requests",
    "alerts",
    "events",
    "incidents",
    "monitors",
)


def upgrade() -> None:
    for table, column in new_columns():
        op.add_column(table, column)
    op.create_index("ix_anomalies_incident_id", "anomalies", ["incident_id"])
    op.create_index("ix_runs_monitor_kind", "runs", ["monitor", "kind", "outcome", "finished_at"])
    op.create_index("ix_batches_recount_at", "batches", ["monitor", "recount_at"])
    op.execute(  # batches that were scored before are recounted once
        "UPDATE batches SET counted = records, recounted_at = finished_at, recount_at = finished_at "
        "WHERE state = 'done'"
    )
    create_monitors()
    create_incidents()
    create_events()
    create_alerts()
    create_retrain_requests()
    create_drift()
    create_api_keys()
    create_workers()


def downgrade() -> None:
    connection = op.get_bind()
    models = sa.table("models", sa.column("monitor"))
    for monitor in connection.scalars(sa.select(models.c.monitor).distinct()).all():
        drop_own_view(connection, joined_name(monitor))  # the next training creates it again
    for name in TABLES:
        op.drop_table(name)
    op.drop_index("ix_batches_recount_at", "batches")
    op.drop_index("ix_runs_monitor_kind", "runs")
    op.drop_index("ix_anomalies_incident_id", "anomalies")
    for table, column in new_columns():
        op.drop_column(table, column.name)


def new_columns() -> list[tuple[str, sa.Column]]:
    """Return the columns to add one by one, as views over watched tables depend on their tables."""
    return [
        ("models", sa.Column("card_markdown", sa.Text)),
        ("models", sa.Column("comparison", JSON)),
        ("batches", sa.Column("counted", sa.BigInteger)),
        ("batches", sa.Column("checksum", sa.String(255))),
        ("batches", sa.Column("recounted_at", TIME)),
        ("batches", sa.Column("recount_at", TIME)),
        ("batches", sa.Column("rescorings", sa.Integer, nullable=False, server_default="0")),
        ("batches", sa.Column("late_records", sa.BigInteger, nullable=False, server_default="0")),
        ("anomalies", sa.Column("superseded_at", TIME)),
        ("anomalies", sa.Column("incident_id", sa.BigInteger)),
        ("anomalies", sa.Column("is_muted", sa.Boolean, nullable=False, server_default=sa.false())),
        ("runs", sa.Column("scheduled_for", TIME)),
        ("runs", sa.Column("worker", sa.String(64))),
    ]


def create_monitors() -> None:
    op.create_table(
        "monitors",
        sa.Column("monitor", sa.String(64), nullable=False),
        sa.Column("scored_until", TIME),
        sa.Column("too_late_records", sa.BigInteger, nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("monitor", name="pk_monitors"),
    )


def create_incidents() -> None:
    op.create_table(
        "incidents",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("monitor", sa.String(64), nullable=False),
        sa.Column("entity", sa.String(255)),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("start_time", TIME, nullable=False),
        sa.Column("end_time", TIME, nullable=False),
        sa.Column("peak_time", TIME, nullable=False),
        sa.Column("peak_score", sa.Double, nullable=False),
        sa.Column("peak_severity", sa.Double, nullable=False),
        sa.Column("records", sa.BigInteger, nullable=False),
        sa.Column("top_feature", sa.String(255)),
        sa.Column("causes", JSON, nullable=False),
        sa.Column("is_muted", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("merged_into", sa.BigInteger),
        sa.Column("opened_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_incidents"),
        sa.CheckConstraint("state IN ('open', 'ended', 'merged', 'withdrawn')", name=op.f("ck_incidents_state")),
    )
    op.create_index("ix_incidents_monitor_state", "incidents", ["monitor", "state", "id"])
    op.create_index("ix_incidents_monitor_end_time", "incidents", ["monitor", "end_time"])
    op.create_index("ix_incidents_merged_into", "incidents", ["merged_into"])


def create_events() -> None:
    op.create_table(
        "events",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("monitor", sa.String(64)),
        sa.Column("entity", sa.String(255)),
        sa.Column("kind", sa.String(24), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("since", TIME),
        sa.Column("until", TIME),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("counts", JSON),
        sa.PrimaryKeyConstraint("id", name="pk_events"),
    )
    op.create_index("ix_events_monitor_kind", "events", ["monitor", "kind", "id"])
    op.create_index("ix_events_monitor_at", "events", ["monitor", "at"])


def create_alerts() -> None:
    op.create_table(
        "alerts",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("monitor", sa.String(64)),
        sa.Column("incident_id", sa.BigInteger),
        sa.Column("event_id", sa.BigInteger),
        sa.Column("reason", sa.String(16), nullable=False),
        sa.Column("channel", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False, server_default="pending"),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("next_try_at", TIME, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("token", sa.String(36)),
        sa.Column("lease_until", TIME),
        sa.Column("sent_at", TIME),
        sa.Column("error", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_alerts"),
        sa.CheckConstraint("reason IN ('opened', 'escalated', 'event')", name=op.f("ck_alerts_reason")),
        sa.CheckConstraint("state IN ('pending', 'sending', 'sent', 'failed')", name=op.f("ck_alerts_state")),
        sa.UniqueConstraint("incident_id", "reason", "channel", name="uq_alerts_incident_id_reason_channel"),
        sa.UniqueConstraint("event_id", "channel", name="uq_alerts_event_id_channel"),
    )
    op.create_index("ix_alerts_state", "alerts", ["state", "channel", "next_try_at"])
    op.create_index("ix_alerts_channel_sent_at", "alerts", ["channel", "sent_at"])


def create_retrain_requests() -> None:
    op.create_table(
        "retrain_requests",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("monitor", sa.String(64), nullable=False),
        sa.Column("reason", sa.String(255), nullable=False, server_default="sql"),
        sa.Column("requested_at", TIME, nullable=False, server_default=sa.func.current_timestamp()),
        sa.Column("state", sa.String(16), nullable=False, server_default="pending"),
        sa.Column("token", sa.String(36)),
        sa.Column("lease_until", TIME),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("finished_at", TIME),
        sa.Column("model_id", sa.Integer),
        sa.Column("served_by", sa.BigInteger),
        sa.Column("message", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_retrain_requests"),
        sa.CheckConstraint("state IN ('pending', 'running', 'done', 'failed')", name=op.f("ck_retrain_requests_state")),
    )
    op.create_index("ix_retrain_requests_state", "retrain_requests", ["state", "monitor", "id"])


def create_drift() -> None:
    op.create_table(
        "batch_profiles",
        sa.Column("batch_id", sa.BigInteger, nullable=False),
        sa.Column("monitor", sa.String(64), nullable=False),
        sa.Column("model_id", sa.Integer, nullable=False),
        sa.Column("records", sa.BigInteger, nullable=False),
        sa.Column("counts", JSON, nullable=False),
        sa.PrimaryKeyConstraint("batch_id", name="pk_batch_profiles"),
        sa.ForeignKeyConstraint(
            ["batch_id"], ["batches.id"], name="fk_batch_profiles_batch_id_batches", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name="fk_batch_profiles_model_id_models"),
    )
    op.create_index("ix_batch_profiles_monitor", "batch_profiles", ["monitor", "batch_id"])
    op.create_table(
        "drifts",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("monitor", sa.String(64), nullable=False),
        sa.Column("model_id", sa.Integer, nullable=False),
        sa.Column("from_batch", sa.BigInteger, nullable=False),
        sa.Column("upto_batch", sa.BigInteger, nullable=False),
        sa.Column("records", sa.BigInteger, nullable=False),
        sa.Column("assessed_at", TIME, nullable=False),
        sa.Column("ks_statistic", sa.Double, nullable=False),
        sa.Column("ks_p_value", sa.Double, nullable=False),
        sa.Column("max_psi", sa.Double),
        sa.Column("top_feature", sa.String(255)),
        sa.Column("is_drift", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_drifts"),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name="fk_drifts_model_id_models"),
        sa.UniqueConstraint(
            "monitor", "model_id", "from_batch", "upto_batch", name="uq_drifts_monitor_model_id_from_batch_upto_batch"
        ),
    )
    op.create_table(
        "drift_features",
        sa.Column("drift_id", sa.BigInteger, nullable=False),
        sa.Column("feature", sa.String(255), nullable=False),
        sa.Column("psi", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("drift_id", "feature", name="pk_drift_features"),
        sa.ForeignKeyConstraint(
            ["drift_id"], ["drifts.id"], name="fk_drift_features_drift_id_drifts", ondelete="CASCADE"
        ),
    )


def create_api_keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("scope", sa.String(8), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("revoked_at", TIME),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
        sa.CheckConstraint("scope IN ('read', 'write')", name=op.f("ck_api_keys_scope")),
        sa.UniqueConstraint("sha256", name="uq_api_keys_sha256"),
        sa.UniqueConstraint("name", name="uq_api_keys_name"),
    )


def create_workers() -> None:
    op.create_table(
        "workers",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("version", sa.String(32), nullable=False),
        sa.Column("started_at", TIME, nullable=False),
        sa.Column("seen_at", TIME, nullable=False),
        sa.Column("stopped_at", TIME),
        sa.Column("next_runs", JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_workers"),
    )
